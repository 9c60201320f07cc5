"""DTUs that dial in to a line, each with a device behind it."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator
from dataclasses import replace

from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.wire.line_spec import LineSpec
from tests.gateway.fieldbus.devices import SAFETY_S, Device, Sent, addresses, answer, meter, rtu_talk, tcp_line


def filled(value: int) -> Device:
    """A device all of whose registers hold the same."""

    def device(request: Request) -> Sent:
        return [(0.0, answer(request, struct.pack(f">{request.count}H", *[value] * request.count)))]

    return device


def dialed(port: int, name: str = "dialed", *, hello: bytes = b"", heartbeat: bytes = b"") -> LineSpec:
    spec = tcp_line(port, meter("one", 1), kind="modbus-rtu-over-tcp")
    spec = replace(spec, name=name, host=None, tcp_port=None, listen=("127.0.0.1", port), timeout_ms=2000)
    return replace(spec, hello=(hello,) if hello else (), heartbeat=(heartbeat,) if heartbeat else ())


@contextlib.asynccontextmanager
async def dtu(
    port: int, device: Device = addresses, *, says: bytes = b"", host: str = "127.0.0.1"
) -> AsyncIterator[asyncio.Future[None]]:
    """A DTU with one device behind it, connected from this address for the time of a ``with``; gives what is done when
    it is closed."""
    async with asyncio.timeout(SAFETY_S):
        while True:
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
                break
            except OSError:
                await asyncio.sleep(0.01)
    writer.write(says)
    talking = asyncio.ensure_future(rtu_talk(device)(reader, writer))
    try:
        yield talking
    finally:
        writer.close()
        talking.cancel()
        await asyncio.wait([talking])


@contextlib.asynccontextmanager
async def redialling(
    port: int, device: Device = addresses, *, says: bytes = b"", host: str = "127.0.0.1", pause_s: float = 0.02
) -> AsyncIterator[list[int]]:
    """A DTU that dials again whenever its connection is closed; gives a list that grows by one with each connection."""
    made: list[int] = []

    async def stay() -> None:
        while True:
            async with dtu(port, device, says=says, host=host) as talking:
                made.append(len(made))
                await asyncio.wait([talking])
            await asyncio.sleep(pause_s)

    task = asyncio.create_task(stay())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait([task])
