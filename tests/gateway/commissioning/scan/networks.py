"""Endpoints to scan, on real sockets: simulated devices, converters, device servers, and odd ports."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import replace

from benchmarks.commissioning.identified import SITUATIONS, device
from firmware_sim.clock import SimClock
from firmware_sim.meters.device import Device
from firmware_sim.wire.answer_log import AnswerLog
from firmware_sim.wire.bus_devices import Units
from firmware_sim.wire.line import Line
from firmware_sim.wire.rtu_tcp_server import RtuTcpBus
from firmware_sim.wire.tcp_server import TcpBus
from gateway.commissioning.scan.found import ScanResult, Step
from gateway.commissioning.scan.tcp_scan import TcpOptions, scan_tcp
from gateway.devices.profile import load_profile

HOST = "127.0.0.1"


def simulated(name: str, seed: int = 1, latency_ms: float = 0) -> Device:
    """A device of the catalog under load."""
    found = device(load_profile(name), SITUATIONS[0], seed)
    found.meter.spec = replace(found.meter.spec, latency_ms=latency_ms)
    return found


def units_of(devices: Mapping[int, Device]) -> Units:
    """The devices of one bus, at a moment that stands still."""
    return Units("bus", devices.items(), SimClock(lambda: 0.0), AnswerLog())


@contextlib.asynccontextmanager
async def modbus_tcp(
    devices: Mapping[int, Device],
    *,
    absent: str = "silent",
    after_ms: float = 0,
    most: int = 0,
    closes: bool = False,
) -> AsyncIterator[int]:
    """A port that speaks Modbus TCP. ``absent``: what others get, after so long; ``most``: so many connections;
    ``closes``: each ends behind its first answer."""
    bus = TcpBus(
        units_of(devices),
        HOST,
        0,
        unknown_unit=absent,
        unknown_after_ms=after_ms,
        most_connections=most,
        closes_behind_answer=closes,
    )
    await bus.open()
    try:
        yield bus.port
    finally:
        bus.close()


@contextlib.asynccontextmanager
async def rtu_over_tcp(devices: Mapping[int, Device]) -> AsyncIterator[int]:
    """A device server with a serial line behind it."""
    bus = RtuTcpBus(units_of(devices), Line(emulate=False), HOST, 0)
    await bus.open()
    try:
        yield bus.port
    finally:
        bus.close()


@contextlib.asynccontextmanager
async def port_that(
    does: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None] | None], host: str = HOST
) -> AsyncIterator[int]:
    """A port that takes connections, and does this with them."""
    server = await asyncio.start_server(does, host, 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()


def scanned(
    port: int,
    units: Sequence[int] | None = None,
    addresses: Sequence[str] = (HOST,),
    progress: Callable[[Step], bool] = lambda step: True,
) -> asyncio.Task[ScanResult]:
    """A scan that runs."""
    options = TcpOptions(units=None if units is None else tuple(units), patience_s=0.25)
    return asyncio.create_task(scan_tcp(addresses, port, options, progress))
