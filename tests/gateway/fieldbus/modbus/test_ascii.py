"""Modbus ASCII: frames, the guard over them, pymodbus's own server, the simulator, and what one damaged frame does."""

from __future__ import annotations

import asyncio
import random
import struct
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from firmware_sim.cli.run import Simulator
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from gateway.devices.profile import load_profile
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.modbus.ascii_framing import ASCII, LONGEST_FRAME, decode, encode
from gateway.fieldbus.modbus.dialect import OVER_ASCII, OVER_RTU
from gateway.fieldbus.modbus.frames import Request, crc, parse_request
from gateway.fieldbus.polling.line_monitor import LineMonitor
from gateway.fieldbus.polling.open_line import connect
from gateway.fieldbus.wire.connections import Endpoint
from gateway.fieldbus.wire.errors import NotARead
from gateway.fieldbus.wire.guard import Guard
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.link import Answer, Manners, ObservedFrame, Refusal, Silence
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import (
    SAFETY_S,
    Sent,
    answer,
    bus,
    free_port,
    meter,
    patient,
    refuse,
    rtu_talk,
    running,
    serving,
    tcp_line,
)

PATIENT = Manners(SAFETY_S)
READ = Request(1, 3, 10, 2)


def ascii_of(rtu: bytes) -> bytes:
    return encode(rtu[:-2])


def cut(data: bytes) -> tuple[list[Request], bytes]:
    """The whole questions at the head of the bytes."""
    found = []
    while (end := data.find(b"\r\n") + 2) >= 2:
        body = decode(data[:end])
        assert body is not None, data
        found.append(parse_request(body + crc(body)))
        data = data[end:]
    return found, data


def speaking(device: Callable[[Request], Sent]) -> Callable[[Request], Sent]:
    """A device that answers in ASCII what the other answers in RTU."""
    return lambda request: [(delay, ascii_of(frame)) for delay, frame in device(request)]


def ascii_line(port: int, *meters: MeterSpec) -> LineSpec:
    return tcp_line(port, *meters, kind="modbus-ascii")


def test_a_frame_is_what_the_standard_says() -> None:
    frame = b":0103000A0001F1\r\n"
    assert encode(bytes.fromhex("0103000A0001")) == frame
    assert decode(frame) == bytes.fromhex("0103000A0001")
    assert ASCII.sent(Request(1, 3, 10, 1)) == frame
    assert ASCII.permit(frame) == frame


@pytest.mark.parametrize("frame", [encode(bytes.fromhex("01060001002A")), READ.frame, b":01030000\r\n", b":\r\n", b""])
def test_nothing_but_a_read_passes_the_gate(frame: bytes) -> None:
    with pytest.raises(NotARead):
        ASCII.permit(frame)


def test_no_other_character_in_one_place_makes_another_frame() -> None:
    frame = ascii_of(answer(READ))
    for place in range(len(frame)):
        for character in range(256):
            other = frame[:place] + bytes([character]) + frame[place + 1 :]
            assert decode(other) in (None, decode(frame)), other


def test_a_frame_ends_at_its_end_mark_and_has_the_length_that_it_says() -> None:
    whole = ascii_of(answer(READ))
    assert [ASCII.answer_length(whole[:n]) for n in range(1, len(whole))] == [None] * (len(whole) - 1)
    assert ASCII.answer_length(whole + b":01") == len(whole)
    short = encode(bytes.fromhex("0103040001"))
    assert (ASCII.answer_length(short), ASCII.question_length(short)) == (0, 0)
    assert ASCII.question_length(ASCII.sent(READ)) == 17
    assert ASCII.answer_length(b":" + b"0" * LONGEST_FRAME) == 0
    assert ASCII.answer_length(b"0103") == 0


class Wire:
    """A made-up line on a made-up clock: answers come in time, late, twice, damaged, or not at all."""

    TIMEOUT, LIFE = 200, 640  # ms

    def __init__(self, seed: int) -> None:
        self.rng, self.now, self.number = random.Random(seed), 0, 0
        self.seen: list[ObservedFrame] = []
        self.guard = Guard(ASCII, KeyTable(self.LIFE / 1000), 0.004, self.seen.append)
        self.due: list[tuple[int, bytes]] = []
        self.right = self.wrong = 0

    def pass_time(self, until: int) -> None:
        self.due.sort()
        while self.due and self.due[0][0] <= until:
            self.now, data = max(self.now, self.due[0][0]), self.due.pop(0)[1]
            self.guard.receive(data, self.now / 1000)
        self.now = max(self.now, until)

    def ask(self) -> None:
        request = Request(1, 3, 10, self.rng.choice((2, 2, 3)))
        while self.guard.choose([request], self.now / 1000) is None:
            self.pass_time(self.now + 20)
        self.number += 1
        expected = struct.pack(f">{request.count}H", *[self.number] * request.count)
        self.guard.ask(request, self.now / 1000)
        self.guard.sent(self.now / 1000)
        frame = ascii_of(answer(request, expected))
        kind = self.rng.choice(("whole", "whole", "whole", "late", "twice", "damaged", "lost", "refused"))
        if kind == "refused":
            frame = ascii_of(refuse(request))
        if kind == "damaged":
            place = self.rng.randrange(len(frame))
            frame = frame[:place] + bytes([frame[place] ^ 1 << self.rng.randrange(7)]) + frame[place + 1 :]
        if kind != "lost":
            self.due.append((self.now + self.rng.randrange(210, self.LIFE) if kind == "late" else self.now + 20, frame))
        if kind == "twice":
            self.due.append((self.now + self.rng.randrange(30, self.LIFE - 20), frame))
        deadline = self.now + self.TIMEOUT
        while not self.guard.decided and self.now < deadline:
            self.pass_time(self.now + 10)
        outcome = self.guard.finish(self.now / 1000)
        if isinstance(outcome, Answer):
            self.right += outcome.data == expected
            self.wrong += outcome.data != expected
        elif isinstance(outcome, Refusal):
            self.wrong += kind != "refused" and not outcome.doubtful


def test_no_late_doubled_or_damaged_answer_becomes_another_questions() -> None:
    right = 0
    for seed in range(60):
        wire = Wire(seed)
        for _ in range(30):
            wire.ask()
            wire.pass_time(wire.now + wire.rng.choice((5, 50, 300)))
        assert wire.wrong == 0, seed
        right += wire.right
    assert right > 60 * 30 / 3


def test_registers_of_pymodbus_own_server() -> None:
    async def test() -> None:
        port = free_port()
        words = SimDevice(id=1, simdata=[SimData(0, count=200, values=0x1234, datatype=DataType.REGISTERS)])
        server = ModbusTcpServer(words, framer=FramerType.ASCII, address=("127.0.0.1", port))
        await server.serve_forever(background=True)
        link = await connect(ascii_line(port, meter("m", 1)), Endpoint(KeyTable(10.0)), lambda seen: None)
        for count in (1, 10, 125):
            found = await link.read([Request(1, 3, 0, count)], PATIENT)
            assert isinstance(found, Answer)
            assert found.raw() == (0x1234,) * count
        assert isinstance(await link.read([Request(1, 3, 500, 2)], PATIENT), Refusal)
        link.close()
        await server.shutdown()  # type: ignore[no-untyped-call]

    asyncio.run(test())


SIMULATED = """
[[bus]]
name = "line"
type = "modbus-ascii"
port = {port}
emulate = false
{more}
  [[bus.meter]]
  name = "m"
  profile = "eastron-sdm630"
  address = 1
  serial = "21043387"
"""


@pytest.mark.parametrize(("port", "more"), [('"tty"', ""), ("0", ""), ("0", "closes_behind_answer = true")])
def test_a_meter_of_the_simulator_is_read(tmp_path: Path, port: str, more: str) -> None:
    path = tmp_path / "plant.toml"
    path.write_text(SIMULATED.format(port=port, more=more))
    profile = load_profile("eastron-sdm630", tmp_path)

    async def test() -> None:
        log = AnswerLog(tmp_path / "answers.jsonl")
        simulator = Simulator(load_scenario(path), folder=tmp_path, log=log)
        await simulator.open()
        where = simulator.ready()["lines"]["line"]
        of_meter = MeterSpec("m", profile, 1, 200, profile.select(("voltage_ln_l1", "frequency")))
        spec = ascii_line(0, of_meter)
        if port == "0":
            spec = replace(spec, tcp_port=where["port"])
        else:
            spec = replace(spec, host=None, tcp_port=None, port=where["port"], databits=7)
        spec = patient(spec)
        async with running(spec) as (_, polls):
            poll = await polls.until(lambda poll: bool(poll.answers), count=3)
            assert poll.flags & Quality.IMPLAUSIBLE == 0
            assert poll.identity is None or "21043387" in poll.identity
        simulator.close()
        log.close()

    asyncio.run(test())


def test_one_damaged_frame_makes_the_values_of_its_unit_uncertain() -> None:
    async def test() -> None:
        struck: list[int] = []

        def damaged_once(request: Request) -> Sent:
            frame = ascii_of(answer(request))
            if len(struck) == 8:
                frame = frame[:9] + bytes([frame[9] ^ 1]) + frame[10:]
            struck.append(request.count)
            return [(0.0, frame)]

        device = bus({1: damaged_once, 2: speaking(lambda request: [(0.0, answer(request))])})
        async with serving(rtu_talk(device, cut)) as server:
            spec = patient(ascii_line(server.port, meter("a", 1, 200), meter("b", 2, 200)))
            async with running(spec) as (_, polls):
                first = await polls.until(lambda poll: poll.meter == "a" and bool(poll.answers))
                assert not first.flags & Quality.IMPLAUSIBLE
                await polls.until(lambda poll: poll.meter == "a" and bool(poll.flags & Quality.IMPLAUSIBLE), count=2)
                other = [poll for poll in polls if poll.meter == "b" and poll.answers]
                assert other
                assert not any(poll.flags & Quality.IMPLAUSIBLE for poll in other)

    asyncio.run(test())


def monitor(frail: bytes) -> LineMonitor:
    return LineMonitor("line", KeyTable(1.0), lambda: 0.0, lambda unit, latency_s: None, frail=frail)


def test_a_thousand_whole_frames_end_the_doubt() -> None:
    line, rtu = monitor(b":"), monitor(b"")
    for one in (line, rtu):
        one.answered(2000, 1)
        one.answered(2000, 2)
        one.see(ObservedFrame("damaged", b":01", (1, 3, 4)))
    assert (line.flags_of(1), line.flags_of(2), rtu.flags_of(1)) == (int(Quality.IMPLAUSIBLE), 0, 0)
    line.answered(999, 1)
    assert line.flags_of(1) == int(Quality.IMPLAUSIBLE)
    line.answered(1, 1)
    assert line.flags_of(1) == 0
    line.see(ObservedFrame("noise", b":0\x7f0304", None))
    assert [line.flags_of(unit) for unit in (1, 2, 3)] == [int(Quality.IMPLAUSIBLE)] * 3, "whose frame is not known"
    line.answered(1000, 2)
    assert [line.flags_of(unit) for unit in (1, 2, 3)] == [int(Quality.IMPLAUSIBLE), 0, int(Quality.IMPLAUSIBLE)]
    line.see(ObservedFrame("noise", b"\x00\x7f", None))
    assert line.flags_of(2) == 0, "no frame of this protocol"


def test_a_read_is_counted_with_two_characters_a_byte() -> None:
    spec = LineSpec("line", "modbus-ascii", (meter("m", 1),), port="tty", parity="E", databits=7)
    plain = LineSpec("line", "modbus-rtu", (meter("m", 1),), port="tty")
    of_meter = spec.meters[0]
    (found,) = OVER_ASCII.plan(spec, of_meter, of_meter.profile, of_meter.points[:1]).blocks
    read = found.block
    assert isinstance(read, RegisterBlock)
    count = 2 * read.count
    silence_ms = 2 * 3.5 * 11 / 9.6
    assert OVER_ASCII.read_ms(spec, read, 0.0) == pytest.approx((28 + 2 * count) * 10 / 9.6 + silence_ms)
    assert OVER_RTU.read_ms(plain, read, 0.0) == pytest.approx((13 + count) * 10 / 9.6 + silence_ms)


def test_a_key_is_not_asked_again_within_the_answer_life() -> None:
    async def test() -> None:
        async with serving(rtu_talk(lambda request: [], cut)) as server:
            link = await connect(ascii_line(server.port, meter("m", 1)), Endpoint(KeyTable(10.0)), lambda seen: None)
            assert isinstance(await link.read([READ], Manners(0.05)), Silence)
            again = await link.read([READ], Manners(0.05))
            assert isinstance(again, Silence)
            assert again.reason == "no-shape"
            link.close()

    asyncio.run(test())
