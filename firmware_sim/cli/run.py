"""Simulator run: plant, devices and buses of a scenario, until a signal or the given time."""

from __future__ import annotations

import asyncio
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from firmware_sim.cli.pace import Pace
from firmware_sim.cli.state_keeper import StateKeeper
from firmware_sim.cli.whole_file import whole_file
from firmware_sim.clock import SimClock
from firmware_sim.control.requests import Requests
from firmware_sim.control.server import ControlServer
from firmware_sim.errors import ScenarioError, StateError, WireError
from firmware_sim.meters.answer_faults import Fault
from firmware_sim.meters.armed import Faults
from firmware_sim.meters.device import Device
from firmware_sim.meters.dlt645_meter import Dlt645Meter
from firmware_sim.meters.dlt645_pdu import means
from firmware_sim.meters.emission_station import Station
from firmware_sim.meters.p1_meter import P1Meter
from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec, Mismatch
from firmware_sim.meters.wire_faults import PortGone, PowerCut
from firmware_sim.plant.model import Plant
from firmware_sim.recorded.replay import ReplayedMeter
from firmware_sim.scenario.dlt645_schema import Dlt645Table
from firmware_sim.scenario.every_point import EveryPoint, modbus_meter
from firmware_sim.scenario.hj212_schema import Hj212Table, zone
from firmware_sim.scenario.load import Scenario
from firmware_sim.scenario.p1_schema import P1Table
from firmware_sim.scenario.schema import AsciiTable, BusTable, MeterTable, RtuTable, RtuTcpTable
from firmware_sim.wire.answer_log import AnswerLog
from firmware_sim.wire.bus_devices import Units
from firmware_sim.wire.dialing_bus import DialingBus
from firmware_sim.wire.hj212.logger import Logger, LoggerBus
from firmware_sim.wire.line import dlt645
from firmware_sim.wire.modbus_ascii import ASCII
from firmware_sim.wire.p1_pusher import P1Bus
from firmware_sim.wire.ports import Port, PortWatch
from firmware_sim.wire.pty_server import RtuBus
from firmware_sim.wire.rfc2217_server import Rfc2217Bus
from firmware_sim.wire.rtu_tcp_server import RtuTcpBus
from firmware_sim.wire.tap import Tap
from firmware_sim.wire.tcp_server import TcpBus

AT_ONCE = 500
"""Steps of the plant between two looks at signals, while no bus is open."""

Bus = RtuBus | RtuTcpBus | Rfc2217Bus | TcpBus | DialingBus | LoggerBus | P1Bus


class Simulator:
    """A scenario in operation; ``open`` and ``close`` belong to one event loop.

    ``warnings`` names points that nothing in the plant can fill.

    Args:
        scenario: what runs.
        folder: where relative serial paths lead.
        log: where answers are written.
        clock: the plant's; None: one that starts now, at the pace of the wall clock.
        keeper: keeps its state, and has the clock; None: what the plant has been is gone when it ends.
        control: the path of its control socket; None: it has none.

    Raises:
        ScenarioError: a meter's profile or ``show`` asks for what is not simulated.
        StateError: the state is none of this plant.
    """

    def __init__(
        self,
        scenario: Scenario,
        *,
        folder: Path,
        log: AnswerLog,
        clock: SimClock | None = None,
        keeper: StateKeeper | None = None,
        control: Path | None = None,
    ) -> None:
        self.scenario, self._folder, self._log = scenario, folder, log
        self._plant = Plant(scenario.plant)
        self._keeper = keeper
        self._clock = keeper.clock if keeper else clock or SimClock(start_ms=scenario.plant.start_ms)
        self.faults = Faults(scenario.plant.seed)
        for order in scenario.faults:
            self.faults.arm(order, injected=False)
        if keeper is not None:
            keeper.resume(self._plant, self.faults)
        self._pace = Pace(self._plant, self._clock)
        points = EveryPoint(scenario, self._plant, self._clock.label_unix_at)
        requests = Requests(self.faults, scenario.places, self._clock, self.state, log.write_entry, points)
        self.control = None if control is None else ControlServer(control.absolute(), requests.answer)
        self.warnings: list[str] = []
        self._buses = [(table, self._bus(number, table)) for number, table in enumerate(scenario.buses)]
        self._watches = [self._watch(table.name, bus) for table, bus in self._buses if not isinstance(bus, LoggerBus)]
        self._open: list[Bus | ControlServer] = []

    async def open(self) -> None:
        """Start all buses, or none. A plant that goes on first makes up for the time in which it was away.

        Raises ``WireError``, ``StateError``.
        """
        try:
            if self.control is not None:
                self.control.take()
                self._open.append(self.control)
            if self._keeper is not None:
                self._keeper.open()
            is_there = False
            while not is_there:
                is_there = self._plant.step_to(self._clock.now_ms() // 1000, AT_ONCE)
                await asyncio.sleep(0)
            self._pace.open()
            for _, bus in self._buses:
                await bus.open()
                self._open.append(bus)
            for watch in self._watches:
                watch.open()
            if self.control is not None:
                await self.control.open()
        except (WireError, StateError):
            self.close()
            raise

    def close(self) -> None:
        """Stop all buses that are open."""
        if self._keeper is not None:
            self._keeper.close()
        self._pace.close()
        for watch in self._watches:
            watch.close()
        while self._open:
            self._open.pop().close()

    def _watch(self, name: str, bus: Port) -> PortWatch:
        """Whoever takes its port away when a fault wants it; a DTU goes without power."""
        kind: type[Fault] = PowerCut if isinstance(bus, DialingBus) else PortGone
        watch = PortWatch(bus, self.faults.of_bus(name), kind, self._clock)
        self.faults.changed.append(watch.look)
        return watch

    def ready(self) -> dict[str, Any]:
        """Where the buses can be reached, as the ready file tells it."""
        lines: dict[str, dict[str, Any]] = {}
        for table, bus in self._buses:
            if isinstance(bus, P1Bus) and bus.tap is not None:
                lines[table.name] = {"type": table.type, "port": str(bus.tap.path)}
            elif isinstance(bus, RtuBus):
                lines[table.name] = {"type": table.type, "port": str(bus.path)}
            elif isinstance(bus, DialingBus):
                lines[table.name] = {"type": table.type, "dials": f"{bus.host}:{bus.port}"}
            else:
                lines[table.name] = {"type": table.type, "host": bus.host, "port": bus.port}
            if isinstance(bus, Rfc2217Bus):
                lines[table.name]["url"] = f"rfc2217://{bus.host}:{bus.port}"
            if isinstance(bus, RtuBus | RtuTcpBus) and bus.tap is not None:
                lines[table.name]["tap"] = str(bus.tap.path)
        control = {} if self.control is None else {"control": str(self.control.path)}
        return {"pid": os.getpid(), **control, "lines": lines}

    def state(self) -> dict[str, Any]:
        """What ``status`` says of the buses and their meters, with the requests and answers so far."""
        lines = self.ready()["lines"]
        buses = [
            {"name": table.name, **lines[table.name], "meters": _counted(table, bus)} for table, bus in self._buses
        ]
        return {"pid": os.getpid(), "scenario": self.scenario.source, "buses": buses}

    def _bus(self, number: int, table: BusTable) -> Bus:
        if isinstance(table, Hj212Table):
            return self._loggers(table)
        if isinstance(table, P1Table):
            return self._p1(table)
        if isinstance(table, Dlt645Table):
            return self._dlt645(table)
        devices: list[tuple[int | str, Device]] = []
        for index, row in enumerate(table.meter):
            try:
                meter = self._modbus_meter(row, row.spec(self.scenario.profiles[row.name], table.codes(row)))
            except Mismatch as error:
                where = f"bus[{number}].meter[{index}].{error.key}"
                raise ScenarioError(self.scenario.source, where, error.problem, error.fix) from None
            if meter.unfilled:
                self.warnings.append(
                    f"meter {row.name}: not available: {', '.join(meter.unfilled)}; set them with show = {{ … }}"
                )
            devices.append((row.address, Device(meter, self.faults.of(row.name))))
        units = Units(table.name, devices, self._clock, self._log, seed=self.scenario.plant.seed)
        if isinstance(table, RtuTable):
            return self._rtu(units, table)
        if isinstance(table, RtuTcpTable):
            line, others, closes = table.line(), table.disturbances(), table.closes_behind_answer
            tap = self._tap(table)
            return RtuTcpBus(units, line, table.host, table.port, others, closes_behind_answer=closes, tap=tap)
        if isinstance(table, AsciiTable):
            return self._ascii(units, table)
        closes = table.closes_behind_answer
        security = table.security(Path(self.scenario.source).parent)
        return TcpBus(
            units,
            table.host,
            table.port,
            unknown_unit=table.unknown_unit,
            unknown_after_ms=table.unknown_after_ms,
            most_connections=table.connections,
            closes_behind_answer=closes,
            security=security,
        )

    def _modbus_meter(self, row: MeterTable, spec: MeterSpec) -> Meter | ReplayedMeter:
        """Raises ``Mismatch``."""
        recording = self.scenario.recordings.get(row.name)
        if recording is not None and recording.is_cut:
            self.warnings.append(f"meter {row.name}: {recording.source} is cut in its last line, which is left out")
        return modbus_meter(spec, self._plant, recording, repeats=row.repeats)

    def came_back(self) -> dict[str, int]:
        """By the path of each tap, and of each P1 port: the bytes that somebody sent into it."""
        tapped = [bus for _, bus in self._buses if isinstance(bus, RtuBus | RtuTcpBus | P1Bus)]
        taps = [bus.tap for bus in tapped if bus.tap is not None]
        return {str(tap.path): tap.returned for tap in taps}

    def _rtu(self, units: Units, table: RtuTable) -> Bus:
        line, others, settings = table.line(), table.disturbances(), table.uarts()
        if isinstance(table.port, int):
            return Rfc2217Bus(units, line, settings or (), table.host, table.port, others)
        path = self._folder.absolute() / table.port
        return RtuBus(units, line, path, others, tap=self._tap(table), settings=settings)

    def _ascii(self, units: Units, table: AsciiTable) -> Bus:
        line, others, tap = table.line(), table.disturbances(), self._tap(table)
        if isinstance(table.port, str):
            return RtuBus(units, line, self._folder.absolute() / table.port, others, ASCII, tap=tap)
        closes = table.closes_behind_answer
        return RtuTcpBus(
            units, line, table.host, table.port, others, closes_behind_answer=closes, frames=ASCII, tap=tap
        )

    def _tap(self, table: RtuTable | RtuTcpTable | AsciiTable) -> Tap | None:
        """The tap of a line, if it has one."""
        if table.tap is None:
            return None
        return Tap(self._folder.absolute() / table.tap, table.tap_damaged, f"{self.scenario.plant.seed}/{table.name}")

    def _dlt645(self, table: Dlt645Table) -> Bus:
        devices: list[tuple[int | str, Device]] = []
        for row in table.meter:
            spec = row.spec(self.scenario.profiles[row.name])
            meter = Dlt645Meter(
                spec,
                self._plant,
                self._clock.label_unix_at,
                single_phase=row.single_phase,
                refuses=row.refuses,
                goes_on=row.goes_on,
            )
            if meter.unfilled:
                self.warnings.append(f"meter {row.name}: it does not have: {', '.join(meter.unfilled)}")
            devices.append((row.address, Device(meter, self.faults.of(row.name))))
        seed, line, others = self.scenario.plant.seed, table.line(), table.disturbances()
        units = Units(table.name, devices, self._clock, self._log, seed=seed, means=means)
        spoken, settings = dlt645(table.preamble), table.uarts()
        if isinstance(table.port, str):
            return RtuBus(units, line, self._folder.absolute() / table.port, others, spoken, settings=settings)
        if table.port is None:
            return DialingBus(units, line, table.dialled(), others, spoken)
        if settings is not None:
            return Rfc2217Bus(units, line, settings, table.host, table.port, others, spoken)
        closes = table.closes_behind_answer
        return RtuTcpBus(units, line, table.host, table.port, others, closes_behind_answer=closes, frames=spoken)

    def _p1(self, table: P1Table) -> P1Bus:
        path = self._folder.absolute() / table.port if isinstance(table.port, str) else None
        return P1Bus(
            table.name,
            P1Meter(table.spec(), self._plant, self._clock.label_unix_at),
            table.every_ms,
            self._clock,
            self._log,
            path=path,
            host=table.host,
            port=0 if isinstance(table.port, str) else table.port,
            seven_bits=table.seven_bits,
            faults=self.faults.of_bus(table.name),
        )

    def _loggers(self, table: Hj212Table) -> LoggerBus:
        there, tz = (table.host, table.port), zone(table.timezone)
        loggers = [
            Logger(
                Station(row.spec(), self._plant),
                row.manners(tz),
                self.faults.of(row.name),
                self._clock,
                self._log,
                table.name,
                there,
            )
            for row in table.meter
        ]
        return LoggerBus(loggers, *there)


def _counted(table: BusTable, bus: Bus) -> list[dict[str, Any]]:
    """By meter: what it was asked and has answered so far; a port that pushes sends one telegram for all of its."""
    if isinstance(bus, P1Bus):
        sent = {"requests": None, "answers": bus.sent}
        return [{"name": row.name, "unit": row.address, **sent} for row in table.meter]
    return bus.counted()


async def serve(
    simulator: Simulator, *, seconds: float | None, opened: Callable[[Simulator], None], until_eof: bool = False
) -> None:
    """Run until SIGINT, SIGTERM or the end of ``seconds``.

    Args:
        simulator: closed; it is closed again at the end.
        seconds: None: no end.
        opened: called once, when every bus accepts.
        until_eof: stop also when standard input ends, as it does with a program that held the other end of it.

    Raises:
        WireError: a path or port cannot be used, or standard input cannot be waited for.
        StateError: the state file cannot be used.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    if until_eof:
        _watch_input(loop, stop)
    opening = loop.create_task(simulator.open())
    try:
        await asyncio.wait((opening, ending := loop.create_task(stop.wait())), return_when=asyncio.FIRST_COMPLETED)
        ending.cancel()
        if not opening.done():
            return
        await opening
        opened(simulator)
        if seconds is not None:
            loop.call_later(seconds, stop.set)
        await stop.wait()
    finally:
        opening.cancel()
        simulator.close()


def _watch_input(loop: asyncio.AbstractEventLoop, stop: asyncio.Event) -> None:
    def read() -> None:
        if not os.read(0, 65536):
            loop.remove_reader(0)
            stop.set()

    try:
        loop.add_reader(0, read)
    except OSError:
        fix = "start it from a program that keeps a pipe to it open, or leave --until-eof out"
        raise WireError("standard input is neither a pipe nor a terminal", fix) from None


def write_ready(path: Path, ready: dict[str, Any]) -> None:
    """Write the ready file whole or not at all. Raises ``WireError``."""
    with whole_file(path, "--ready") as file:
        file.write(json.dumps(ready) + "\n")
