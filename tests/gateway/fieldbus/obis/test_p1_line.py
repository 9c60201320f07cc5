"""A P1 port on a real terminal and a real connection: polls of its meters, who they are, and that nothing is sent."""

from __future__ import annotations

import asyncio
import json
import os
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.clock import SimClock
from firmware_sim.meters.p1_meter import P1Meter, P1Spec, PassedOn
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.wire.answer_log import AnswerLog
from firmware_sim.wire.p1_pusher import P1Bus
from gateway.clock import Clock
from gateway.devices.blocks import contents
from gateway.devices.profile import load_profile
from gateway.fieldbus.listening.listen_line import ListenLine
from gateway.fieldbus.listening.sources import SOURCES
from gateway.fieldbus.obis.p1_source import P1Facts
from gateway.fieldbus.specs import Alarm, Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import SAFETY_S, Polls

GAS = PassedOn(1, "gas", "G7", 100.0)


def line_spec(every_ms: int = 100, *, electricity: str = "dsmr-5-electricity", **wire: Any) -> LineSpec:
    meters = []
    for name, ref, channel in (("grid", electricity, "0-0"), ("gas", "dsmr-gas", "0-1")):
        profile = load_profile(ref)
        meters.append(MeterSpec(name, profile, channel, every_ms, profile.select()))
    return LineSpec("p1", "p1", tuple(meters), baudrate=115200, **wire)


def pusher(spec: P1Spec, folder: Path, *, path: Path | None = None, every_ms: float = 20, bits: bool = False) -> P1Bus:
    clock = SimClock()
    meter = P1Meter(spec, Plant(PlantSpec()), clock.label_unix_at)
    return P1Bus("p1", meter, every_ms, clock, AnswerLog(folder / "log"), path=path, seven_bits=bits)


@asynccontextmanager
async def listening(spec: LineSpec, alarms: list[Alarm], **more: Any) -> AsyncIterator[tuple[ListenLine, Polls]]:
    polls, clock = Polls(), Clock()
    line = ListenLine(spec, SOURCES["p1"], clock, polls.take, on_alarm=alarms.append, **more)
    task = asyncio.create_task(line.run(clock.schedule_ms()))
    try:
        yield line, polls
    finally:
        line.request_stop()
        async with asyncio.timeout(SAFETY_S):
            await task


def values(poll: Poll) -> dict[str, Any]:
    return contents(((answer.block, answer.raw) for answer in poll.answers), {})


def answered(name: str, poll: Poll) -> bool:
    return poll.meter == name and bool(poll.answers)


@pytest.mark.parametrize("over_tcp", [False, True])
def test_what_the_meter_pushed_is_what_is_polled_and_nothing_is_sent(tmp_path: Path, *, over_tcp: bool) -> None:
    async def work() -> None:
        link = tmp_path / "p1"
        bus = pusher(P1Spec(5, "E1", start_wh=(5e6, 1e6), passed_on=(GAS,)), tmp_path, path=None if over_tcp else link)
        await bus.open()
        wire = {"host": bus.host, "tcp_port": bus.port} if over_tcp else {"port": str(link)}
        async with listening(line_spec(**wire), []) as (line, polls):
            grid = await polls.until(lambda poll: answered("grid", poll))
            gas = await polls.until(lambda poll: answered("gas", poll))
            await polls.until(lambda poll: answered("grid", poll), count=5)
            due = [poll.due_ms for poll in polls if poll.meter == "grid"]
            assert due == [due[0] + 100 * n for n in range(len(due))], "each due poll once"
            assert line.identity("grid") == "equipment_id=4531"
            assert line.counters["damaged"] == 0
        assert (grid.flags, grid.failures, gas.flags, gas.failures) == (0, (), 0, ())
        assert values(gas)["volume"] >= 100
        assert gas.label_ms is not None
        assert gas.label_ms % 300_000 == 0
        found, taken = values(grid), []
        for entry in map(json.loads, (tmp_path / "log").read_text().splitlines()):
            taken.append(bytes.fromhex(entry["sent"]).decode())
        matching = [text for text in taken if f"({found['source_time']})" in text]
        one = f"1-0:1.8.1({found['energy_import_t1']:010.3f}*kWh)"
        assert any(one in text for text in matching), (one, matching[:1])
        assert found["energy_import_t1"] >= Decimal(5000)
        assert bus.tap is None or bus.tap.returned == 0
        bus.close()

    asyncio.run(work())


def test_without_a_check_value_all_is_uncertain_and_seven_bits_are_read(tmp_path: Path) -> None:
    async def work() -> None:
        bus = pusher(P1Spec(2, "E1", passed_on=(GAS,)), tmp_path, path=tmp_path / "p1", bits=True)
        await bus.open()
        spec = line_spec(electricity="dsmr-2-electricity", port=str(tmp_path / "p1"))
        async with listening(spec, []) as (line, polls):
            for name in ("grid", "gas"):
                poll = await polls.until(lambda poll, name=name: answered(name, poll))  # type: ignore[misc]
                (answer,) = poll.answers
                decoder = answer.block.decoder({})
                flags = decoder.flags(decoder.split(answer.raw))
                assert set(flags) == {int(Quality.IMPLAUSIBLE)}
                assert len(flags) == len(decoder.points)
            assert isinstance(line.facts, P1Facts)
            assert set(line.facts.counts) == {"unchecked"}
        bus.close()

    asyncio.run(work())


def test_another_equipment_identifier_is_another_meter_until_it_is_accepted(tmp_path: Path) -> None:
    async def work() -> None:
        bus, alarms = pusher(P1Spec(5, "E2", passed_on=(GAS,)), tmp_path, path=tmp_path / "p1"), list[Alarm]()
        await bus.open()
        known = {"grid": "equipment_id=4531"}
        async with listening(line_spec(port=str(tmp_path / "p1")), alarms, identities=known) as (line, polls):
            poll = await polls.until(lambda poll: poll.meter == "grid" and poll.missed == "exchanged")
            assert (poll.flags, poll.answers) == (int(Quality.METER_EXCHANGED), ())
            assert line.stranger("grid") == "equipment_id=4532"
            await polls.until(lambda poll: answered("gas", poll))
            assert ("meter-exchanged", "grid", True) in [(a.code, a.meter, a.raised) for a in alarms]
            line.accept("grid", "equipment_id=4532")
            poll = await polls.until(lambda poll: answered("grid", poll))
            assert (poll.identity, poll.flags) == ("equipment_id=4532", 0)
            assert ("meter-exchanged", "grid", False) in [(a.code, a.meter, a.raised) for a in alarms]
        bus.close()

    asyncio.run(work())


def test_points_that_a_telegram_lacks_are_not_found_and_a_channel_that_is_gone_is_missed(tmp_path: Path) -> None:
    async def work() -> None:
        bus = pusher(P1Spec(4, "E1"), tmp_path, path=tmp_path / "p1")
        await bus.open()
        async with listening(line_spec(port=str(tmp_path / "p1")), []) as (_, polls):
            poll = await polls.until(lambda poll: answered("grid", poll))
            (failure,) = poll.failures
            assert {p.name for p in failure.block.points} == {f"voltage_ln_l{n}" for n in (1, 2, 3)}
            assert failure.flag == Quality.NOT_FOUND
            await polls.until(lambda poll: (poll.meter, poll.missed) == ("gas", "timeout"))
        bus.close()

    asyncio.run(work())


def test_damage_is_counted_and_the_next_telegram_is_taken(tmp_path: Path) -> None:
    async def work() -> None:
        bus = pusher(P1Spec(5, "E1", passed_on=(GAS,)), tmp_path, path=tmp_path / "p1", every_ms=3_600_000)
        await bus.open()
        assert bus.tap is not None
        text = bus._meter.telegram(1000)
        async with listening(line_spec(port=str(tmp_path / "p1")), []) as (line, polls):
            await polls.until(lambda poll: poll.missed == "timeout")
            for damaged in (b"\xff\x00/AB" + text[40:], text.replace(b"1-0:1.8.1(", b"1-0:1.8.1(9"), text[:200]):
                bus.tap.carry(damaged)
                await polls.until(lambda poll: poll.missed == "timeout")
            bus.tap.carry(text)
            await polls.until(lambda poll: answered("grid", poll))
            assert line.counters["damaged"] >= 2
            assert line.facts.as_json()["skipped_bytes"] > 0
        bus.close()

    asyncio.run(work())


def test_a_port_that_is_gone_is_line_down_and_comes_back(tmp_path: Path) -> None:
    async def work() -> None:
        bus = pusher(P1Spec(5, "E1", passed_on=(GAS,)), tmp_path)
        await bus.open()
        spec = replace(line_spec(host=bus.host, tcp_port=bus.port))
        async with listening(spec, []) as (_, polls):
            await polls.until(lambda poll: answered("grid", poll))
            bus.close()
            await polls.until(lambda poll: poll.missed == "line-down")
            again = pusher(P1Spec(5, "E1", passed_on=(GAS,)), tmp_path)
            again.port = bus.port
            await again.open()
            await polls.until(lambda poll: answered("grid", poll))
            again.close()

    asyncio.run(work())


def test_the_kernel_lets_nobody_write(tmp_path: Path) -> None:
    async def work() -> None:
        bus = pusher(P1Spec(5, "E1"), tmp_path, path=tmp_path / "p1")
        await bus.open()
        kind = SOURCES["p1"]
        spec = line_spec(port=str(tmp_path / "p1"))
        source = await kind.open(spec, Clock(), kind.facts(spec))
        target = os.readlink(tmp_path / "p1")
        fds = [int(fd) for fd in os.listdir("/proc/self/fd") if _leads(fd) == target]
        (fd,) = fds
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.write(fd, b"x")
        source.close()
        bus.close()

    asyncio.run(work())


def _leads(fd: str) -> str:
    try:
        return os.readlink(f"/proc/self/fd/{fd}")
    except OSError:
        return ""


SILENT = {
    b"": "nothing comes from",
    b"\x80\xf8\x00" * 40: "bytes came from",
    b"/SIM5\\X\r\n\r\n1-0:1.8.1(000001.000*kWh)\r\n!0000\r\n" * 3: "3 telegrams came from",
    b"/SIM5\\X\r\n\r\n0-3:24.2.1(000001.000*m3)\r\n!\r\n": "hold no value of grid, gas, channel 0-0, 0-1",
}
"""What a converter that was dialled sends: what is said of the line."""


@pytest.mark.parametrize("sent", SILENT)
def test_a_line_without_a_message_of_its_meters_says_what_came_instead(sent: bytes) -> None:
    async def work() -> None:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(sent)

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        alarms, port = list[Alarm](), server.sockets[0].getsockname()[1]
        async with listening(line_spec(host="127.0.0.1", tcp_port=port), alarms) as (line, polls):
            await polls.until(lambda poll: poll.missed == "timeout" and poll.meter == "gas", count=3)
            assert {poll.cause for poll in polls if poll.missed == "timeout"} == {"timeout-pushed"}
            (down,) = [alarm for alarm in alarms if alarm.code == "line-down"]
            assert SILENT[sent] in down.text
            assert "no meter sends" not in down.text
            assert line.counters["damaged"] == sent.count(b"!0000")
            if b"!0000" in sent:
                assert isinstance(down.sentence, Message)
                assert down.sentence.code == "p1-only-damaged"
                assert down.sentence.facts["reasons"] == (Message("p1-damaged-crc", count=3),)
        server.close()

    asyncio.run(work())


def test_a_channel_that_telegrams_lack_is_named() -> None:
    spec = line_spec(host="h", tcp_port=1)
    silence = SOURCES["p1"].silence(spec, spec.meters[1], Counter())
    assert silence == Message("p1-channel-missing", line="p1", meters=("gas",), channels=("0-1",), where=spec.where)
    silence = SOURCES["p1"].silence(spec, None, Counter(["crc", "parity", "end", "unended", "length"]))
    damage = tuple(Message(f"p1-damaged-{why}", count=1) for why in ("crc", "end", "length", "parity", "unended"))
    assert silence == Message("p1-only-damaged", line="p1", where="h:1", n=5, reasons=damage)
