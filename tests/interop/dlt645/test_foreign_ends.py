"""The dlt645 library of PyPI as a meter that we poll, and as a master that polls our simulator; over TCP and a pty."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator
from decimal import Decimal
from pathlib import Path

import pytest

from firmware_sim.clock import SimClock
from firmware_sim.meters.device import Device
from firmware_sim.meters.dlt645_meter import Dlt645Meter
from firmware_sim.meters.dlt645_pdu import means
from firmware_sim.meters.register_map import MeterSpec as SimulatedSpec
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.wire.answer_log import AnswerLog
from firmware_sim.wire.bus_devices import Units
from firmware_sim.wire.line import Line, dlt645
from firmware_sim.wire.pty_server import RtuBus
from firmware_sim.wire.rtu_tcp_server import RtuTcpBus
from gateway.commissioning.scan.found import Step
from gateway.commissioning.scan.serial_scan import scan_serial
from gateway.commissioning.scan.settings import ScanOptions
from gateway.devices.decode_bcd import DataBlock
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from tests.gateway.fieldbus.devices import SAFETY_S, running
from tests.gateway.fieldbus.dlt645 import meters
from tests.gateway.fieldbus.dlt645.test_line import values
from tests.interop.modbus.ends import OTHER, Wire

HERE, ROOT = Path(__file__).parent, Path(__file__).parents[3]
ADDRESS = "123456789012"
POINTS = (
    meters.point("total", "0001FF00", part=1),
    meters.point("sharp", "0001FF00", part=2),
    meters.point("valley", "0001FF00", part=5),
    meters.point("volts_a", "0201FF00", "XXX.X", part=1),
    meters.point("volts_c", "0201FF00", "XXX.X", part=3),
    meters.point("amps_c", "02020300", "XXX.XXX"),
    meters.point("power", "02030000", "XX.XXXX"),
    meters.point("number", "04000402", "NNNNNNNNNNNN", record=False),
)
PROFILE = meters.profile(*POINTS, identity=("number",), timeout_ms=2000)
HELD = {
    "total": "1234.56",
    "sharp": "11.11",
    "valley": "1167.90",
    "volts_a": "229.8",
    "volts_c": "231.4",
    "amps_c": "0.001",
    "power": "12.3456",
}
"""What foreign_meter.py holds."""


def python() -> str:
    """The interpreter that has the library."""
    found = Path(os.environ.get("METERSEAL_DLT645_PYTHON", ROOT / ".venv-dlt645" / "bin" / "python"))
    assert found.exists(), f"{found} is missing: scripts/test installs it"
    return str(found)


@contextlib.asynccontextmanager
async def foreign_meter(where: str) -> AsyncIterator[str]:
    """The library's meter at work; gives its port."""
    command = python(), "-u", str(HERE / "foreign_meter.py"), where, ADDRESS
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SAFETY_S):
            printed = (await process.stdout.readline()).decode().strip()
        assert printed, "the meter did not start"
        yield printed
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def foreign_master(where: str, *identifiers: str) -> dict[str, str | None]:
    """What the library's master reads."""
    command = python(), str(HERE / "foreign_master.py"), where, ADDRESS, *identifiers
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    async with asyncio.timeout(2 * SAFETY_S):
        printed, _ = await process.communicate()
    assert process.returncode == 0
    found: dict[str, str | None] = json.loads(printed)
    return found


async def polled(spec: LineSpec) -> Poll:
    """The first poll that has all values."""
    async with running(spec) as (line, polls):
        poll = await polls.until(lambda poll: len(values(poll)) == len(HELD))
        assert line.counters["foreign"] == line.counters["damaged"] == 0
        refused = {f.block.di for early in polls for f in early.failures if isinstance(f.block, DataBlock)}
        assert refused == {"0001FF00", "0201FF00"}, "it has no blocks, so that their values are read one by one"
    return poll


def spec(**wire: object) -> LineSpec:
    meter = MeterSpec("m", PROFILE, ADDRESS, 400, PROFILE.select())
    return LineSpec("line", "dlt645", (meter,), answer_life_ms=200, **wire)  # type: ignore[arg-type]


def test_we_poll_their_meter_over_tcp() -> None:
    async def test() -> None:
        async with foreign_meter("tcp") as port:
            poll = await polled(spec(host="127.0.0.1", tcp_port=int(port), baudrate=9600))
        assert values(poll) == HELD
        assert poll.identity == "number=000021043387"

    asyncio.run(test())


def test_we_poll_their_meter_on_a_serial_line(tmp_path: Path) -> None:
    async def test() -> None:
        wire = Wire(tmp_path, 2)
        async with foreign_meter(str(wire.ends[1])):
            poll = await polled(spec(port=str(wire.ends[0]), baudrate=9600))
        wire.close()
        assert values(poll) == HELD

    asyncio.run(test())


def test_the_quick_pass_of_a_scan_finds_their_meter(tmp_path: Path) -> None:
    """And the Modbus unit that the line of the tests has."""

    def quickly(step: Step) -> bool:
        return step.doing.code != "scan-every-unit"

    async def test() -> None:
        wire = Wire(tmp_path, 2)
        async with foreign_meter(str(wire.ends[1])):
            result = await scan_serial(str(wire.ends[0]), ScanOptions((9600,)), quickly)
        wire.close()
        found = {line.type: [unit.address for unit in line.units] for line in result.lines}
        assert found == {"modbus-rtu": [OTHER], "dlt645": [ADDRESS]}

    asyncio.run(test())


@pytest.mark.parametrize("on", ["tcp", "pty"])
def test_their_master_reads_our_simulator(tmp_path: Path, on: str) -> None:
    async def test() -> None:
        simulated = SimulatedSpec("m", PROFILE, ADDRESS, start_wh=(1_234_560.0, 0.0))
        clock = SimClock(lambda: 0.0)  # the plant stands still
        device = Device(Dlt645Meter(simulated, Plant(PlantSpec(seed=4)), clock.label_unix_at))
        log = tmp_path / "answers.jsonl"
        units = Units("line", [(ADDRESS, device)], clock, AnswerLog(log), means=means)
        line = Line(baudrate=9600, emulate=False)
        bus: RtuBus | RtuTcpBus
        if on == "tcp":
            bus = RtuTcpBus(units, line, "127.0.0.1", 0, frames=dlt645(4))
        else:
            bus = RtuBus(units, line, tmp_path / "line", frames=dlt645(2))
        await bus.open()
        where = f"127.0.0.1:{bus.port}" if isinstance(bus, RtuTcpBus) else str(bus.path)
        identifiers = "00010000", "00010100", "02010100", "02020300", "02030000", "02800002", "04000402"
        found = await foreign_master(where, *identifiers, "02FFFFFF")
        bus.close()
        assert found["04000402"] == ADDRESS
        assert found["02FFFFFF"] is None
        assert Decimal(str(found["00010000"])) == Decimal("1234.56")
        logged = {entry["di"]: entry["values"] for entry in map(json.loads, log.read_text().splitlines())}
        for di, name in (("00010100", "sharp"), ("02010100", "volts_a"), ("02020300", "amps_c"), ("02030000", "power")):
            assert Decimal(str(found[di])) == Decimal(str(logged[di][name])), di

    asyncio.run(test())
