"""The serial line over a real pseudo-terminal: own bytes, and pymodbus as a client that is not ours."""

from __future__ import annotations

# not quick: the simulator opens a pty
import asyncio
import os
import pty
import struct
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusSerialClient

from firmware_sim.clock import SimClock
from firmware_sim.errors import WireError
from firmware_sim.meters import pdu
from firmware_sim.meters.answers import Delivery
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.wire.answer_log import AnswerLog
from firmware_sim.wire.bus_devices import Units
from firmware_sim.wire.line import Line
from firmware_sim.wire.pty_server import RtuBus
from firmware_sim.wire.terminal_link import refuse_taken
from tests.firmware_sim.sim_bench import Serial, running, scenario

VOLTAGES, VOLTAGES_SIZE = "01 04 0000 0006", 17
CO2, CO2_SIZE = "F0 03 0000 0002", 9


class StoppedClock(SimClock):
    """Plant time that stands at one moment."""

    def __init__(self, now_ms: int) -> None:
        super().__init__()
        self.moment_ms = now_ms

    def now_ms(self) -> int:
        return self.moment_ms


def test_two_units_answer_on_one_line_and_no_other(tmp_path: Path) -> None:
    with running(scenario(tmp_path), clock=StoppedClock(5000)) as bench, Serial(bench.serial) as line:
        line.send(VOLTAGES)
        answer = line.receive(VOLTAGES_SIZE)
        volts = Plant(PlantSpec()).at(5000).flows["grid"].volts
        assert answer == pdu.rtu(1, b"\x04\x0c" + struct.pack(">3f", *volts))
        line.send(CO2)
        co2 = line.receive(CO2_SIZE)
        packed = struct.pack(">f", Plant(PlantSpec()).at(5000).co2_ppm)
        assert co2 == pdu.rtu(240, b"\x03\x04" + packed[2:] + packed[:2])
        line.send("02 04 0000 0006")
        line.send("00 04 0000 0006")
        assert line.silent()


def test_the_log_holds_every_answer_as_it_was_sent(tmp_path: Path) -> None:
    with running(scenario(tmp_path)) as bench, Serial(bench.serial) as line:
        line.send(VOLTAGES)
        first = line.receive(VOLTAGES_SIZE)
        line.send("F0 03 0001 0001")
        line.receive(7)
        line.send("01 04 0000 0051")
        refusal = line.receive(5)
        entries = bench.log()
    assert [e["answer"] for e in entries][::2] == [first.hex(), refusal.hex()]
    assert {k: entries[0][k] for k in ("meter", "line", "unit", "fc", "address", "count", "exception", "faults")} == {
        "meter": "export-main", "line": "rs485-1", "unit": 1, "fc": 4, "address": 0, "count": 6, "exception": None,
        "faults": [],
    }  # fmt: skip
    assert list(entries[0]["values"].values()) == list(struct.unpack(">3f", first[3:15]))
    assert entries[0]["t_ms"] - entries[0]["at_ms"] == pytest.approx(entries[2]["t_ms"] - entries[2]["at_ms"], abs=1000)
    assert entries[1]["values"] == {}
    assert (entries[2]["exception"], entries[2]["values"]) == (3, {})


def test_a_frame_with_a_wrong_checksum_is_not_answered(tmp_path: Path) -> None:
    with running(scenario(tmp_path)) as bench, Serial(bench.serial) as line:
        line.send("01 04 0000 0006 0000", check=False)
        assert line.silent()
        line.send("01 04 0000")  # cut short
        assert line.silent()
        line.send("FF FF FF FF FF FF FF FF FF FF", check=False)
        assert line.silent()
        assert len(line.ask(VOLTAGES, VOLTAGES_SIZE)) == VOLTAGES_SIZE
        assert len(bench.log()) == 1


def test_functions_that_a_meter_does_not_know_are_refused(tmp_path: Path) -> None:
    with running(scenario(tmp_path)) as bench, Serial(bench.serial) as line:
        for request in ("01 06 0000 0001", "01 10 0000 0001 02 0001", "01 65 00 01", "01 2B 0E 01 00"):
            line.send(request)
            fc = int(request.split()[1], 16)
            assert line.receive(5)[:3] == bytes([1, fc | 0x80, 1])
        assert len(bench.log()) == 4


def test_the_probe_tells_its_serial_number_over_the_line(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    path.write_text(path.read_text().replace("address = 240", 'address = 240\nserial = "K0710040"'))
    with running(path) as bench, Serial(bench.serial) as line:
        line.send("F0 2B 0E 04 80")
        answer = line.receive(20)
        assert answer == pdu.rtu(240, bytes.fromhex("2B0E0483000001 8008") + b"K0710040")


def test_the_line_outlives_its_clients(tmp_path: Path) -> None:
    with running(scenario(tmp_path)) as bench:
        terminal = os.readlink(bench.serial)
        for _ in range(5):
            with Serial(bench.serial) as line:
                line.send("01 04")  # begun, and left as it is: silence ends it
                assert line.receive(1, 0.05) == b""
            with Serial(bench.serial) as line:
                assert len(line.ask(VOLTAGES, VOLTAGES_SIZE)) == VOLTAGES_SIZE
        assert os.readlink(bench.serial) == terminal
        with Serial(bench.serial) as one, Serial(bench.serial):
            one.send(CO2)
            assert len(one.receive(CO2_SIZE)) == CO2_SIZE
    assert not bench.serial.is_symlink()


def test_the_simulator_does_not_hold_the_line_itself(tmp_path: Path) -> None:
    with running(scenario(tmp_path)) as bench, Serial(bench.serial) as line:
        line.send(VOLTAGES)
        line.receive(VOLTAGES_SIZE)
        terminal = os.path.realpath(bench.serial)
        held = {os.readlink(f"/proc/self/fd/{fd}") for fd in os.listdir("/proc/self/fd") if fd != str(line.fd)
               and os.path.exists(f"/proc/self/fd/{fd}")}  # fmt: skip
        assert terminal not in held


def test_bytes_that_nobody_listens_to_are_lost_as_on_a_wire(tmp_path: Path) -> None:
    async def speak() -> bytes:
        bus = RtuBus(Units("b", (), SimClock(), AnswerLog()), Line(emulate=False), tmp_path / "port")
        await bus.open()
        try:
            bus.put(b"unheard")
            with Serial(bus.path) as line:
                bus.put(b"heard")
                return line.receive(20, 0)
        finally:
            bus.close()

    assert asyncio.run(speak()) == b"heard"


def test_pymodbus_reads_both_units(tmp_path: Path) -> None:
    async def read(port: Path) -> list[Any]:
        client = AsyncModbusSerialClient(str(port), baudrate=9600, timeout=5, retries=0)
        assert await client.connect()
        try:
            return [
                await client.read_input_registers(0, count=80, device_id=1),
                await client.read_holding_registers(0xFC00, count=2, device_id=1),
                await client.read_holding_registers(0, count=6, device_id=240),
                await client.read_holding_registers(6, count=2, device_id=240),
            ]
        finally:
            client.close()

    path = scenario(tmp_path, bus="check_settings = true")
    with running(path, clock=StoppedClock(7000)) as bench:
        meter, serial, probe, refused = asyncio.run(read(bench.serial))
        entries = bench.log()
    convert = AsyncModbusSerialClient.convert_from_registers
    kind = AsyncModbusSerialClient.DATATYPE
    values = entries[0]["values"]
    assert convert(meter.registers[52:54], kind.FLOAT32) == values["active_power_total"]
    assert convert(meter.registers[72:74], kind.FLOAT32) == values["energy_import"]
    assert convert(serial.registers, kind.UINT32) == 21043387
    assert convert(probe.registers[:2], kind.FLOAT32, word_order="little") == entries[2]["values"]["co2"]
    assert refused.exception_code == 2


@pytest.mark.parametrize(("baudrate", "stopbits", "understood"), [(9600, 1, True), (19200, 1, False), (9600, 2, False)])
def test_a_client_with_other_line_settings_is_not_understood(
    tmp_path: Path, baudrate: int, stopbits: int, understood: bool
) -> None:
    path = scenario(tmp_path, bus="check_settings = true")
    with running(path) as bench, Serial(bench.serial, baudrate=baudrate, stopbits=stopbits) as line:
        line.send(VOLTAGES)
        assert (len(line.receive(VOLTAGES_SIZE, 0.3)) == VOLTAGES_SIZE) is understood


def test_faults_reach_the_wire(tmp_path: Path) -> None:
    faults = """
    [[fault]]
    meter = "export-main"
    kind = "split"
    size = 1
    gap_ms = 0.1
    [[fault]]
    meter = "export-main"
    kind = "corrupted"
    every = 2
    [[fault]]
    meter = "stack-co2"
    kind = "doubled"
    delay_ms = 1
    """
    with running(scenario(tmp_path, faults=faults)) as bench, Serial(bench.serial) as line:
        line.send(VOLTAGES)
        whole = line.receive(VOLTAGES_SIZE)
        assert pdu.crc(whole[:-2]) == whole[-2:]
        line.send(VOLTAGES)
        damaged = line.receive(VOLTAGES_SIZE)
        assert pdu.crc(damaged[:-2]) != damaged[-2:]
        line.send(CO2)
        twice = line.receive(2 * CO2_SIZE)
        assert twice[:CO2_SIZE] == twice[CO2_SIZE:]
        entries = bench.log()
    assert [e["faults"] for e in entries] == [["split"], ["split", "corrupted"], ["doubled"], ["doubled"]]
    assert [bool(e["values"]) for e in entries] == [True, False, True, True]
    assert entries[1]["answer"] == damaged.hex()


def test_a_two_wire_adapter_echoes_what_it_is_sent(tmp_path: Path) -> None:
    with running(scenario(tmp_path, bus="echo = true")) as bench, Serial(bench.serial) as line:
        line.send(CO2)
        seen = line.receive(8 + CO2_SIZE)
        echo = bytes.fromhex(CO2)
        assert seen[:8] == echo + pdu.crc(echo)
        assert seen[8:10] == b"\xf0\x03"


def test_a_second_master_and_noise_share_the_line(tmp_path: Path) -> None:
    strangers = """
      [[bus.disturb]]
      kind = "second-master"
      unit = 240
      every_ms = 20
      [[bus.disturb]]
      kind = "noise"
      size = 3
      every_ms = 35
    """
    with running(scenario(tmp_path, bus=strangers)) as bench, Serial(bench.serial) as line:
        question = bytes.fromhex(CO2)
        seen = line.receive(100)
        assert question + pdu.crc(question) in seen
        assert {tuple(e["faults"]) for e in bench.log()} == {("second-master",)}
        assert any(bytes.fromhex(e["answer"]) in seen for e in bench.log())


def test_the_line_takes_the_time_of_its_bytes() -> None:
    """The formula of the Modbus serial line guide: 9600 8N1 is 10 bits a byte, t3.5 is 3.5 characters of 11 bits."""
    assert Line(9600).byte_s * (8 + 9) == pytest.approx(0.01771, abs=1e-5)
    assert Line(9600, "E").byte_s * (8 + 165) == pytest.approx(0.19823, abs=1e-5)
    assert Line(9600).silence_s == pytest.approx(0.00401, abs=1e-5)
    assert Line(115200).silence_s == 0.00175


def test_answers_arrive_at_their_end_or_in_the_batches_of_an_adapter(tmp_path: Path) -> None:
    frame = bytes(range(40))
    delivery = Delivery(0, frame, {})
    whole = RtuBus(Units("b", (), SimClock(), AnswerLog()), Line(9600), tmp_path / "a")
    ((at, piece),) = whole._pieces(delivery, 5.0)
    assert at == pytest.approx(5 + 40 * 10 / 9600)
    assert piece == frame
    batched = RtuBus(Units("b", (), SimClock(), AnswerLog()), Line(9600, batch_ms=16), tmp_path / "b")
    pieces = batched._pieces(delivery, 0.0)
    assert [(round(at * 1000), len(piece)) for at, piece in pieces] == [(16, 15), (32, 15), (48, 10)]
    assert b"".join(piece for _, piece in pieces) == frame


def test_a_path_that_is_taken_is_refused(tmp_path: Path) -> None:
    stale = tmp_path / "stale"
    stale.symlink_to("/dev/pts/does-not-exist")
    refuse_taken(stale)
    master, slave = pty.openpty()  # its number was that of a dead simulator's terminal
    stale.symlink_to(os.ttyname(slave))
    os.utime(stale, (0, 0), follow_symlinks=False)
    refuse_taken(stale)
    assert not stale.is_symlink()
    os.close(master)
    os.close(slave)
    assert not stale.is_symlink()
    (tmp_path / "file").write_text("mine")
    stale.symlink_to(tmp_path / "file")
    os.utime(stale, (0, 0), follow_symlinks=False)
    with pytest.raises(WireError, match="leads to"):
        refuse_taken(stale)
    with pytest.raises(WireError, match="not a link to a terminal") as refused:
        refuse_taken(tmp_path / "file")
    assert "fix: " in str(refused.value)
    with running(scenario(tmp_path)) as bench:
        with pytest.raises(WireError, match=f"served by process {os.getpid()}"):
            refuse_taken(bench.serial)
        assert bench.serial.is_symlink()
    with pytest.raises(WireError, match="folder that you can write"):
        asyncio.run(_opened(RtuBus(Units("b", (), SimClock(), AnswerLog()), Line(), tmp_path / "missing" / "port")))


async def _opened(bus: RtuBus) -> None:
    await bus.open()
