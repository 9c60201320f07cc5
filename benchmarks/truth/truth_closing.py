"""Devices that end their TCP connection behind each answer, as cheap converters and GPRS modems do: a wire of
fieldbus-truth, every second line in Modbus TCP, the others in RTU over TCP."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from benchmarks.truth.truth_cases import Place
from benchmarks.truth.truth_meters import Meters, line_spec
from gateway.fieldbus.modbus.frames import Request, parse_request
from gateway.fieldbus.wire.line_spec import LineSpec
from tests.gateway.fieldbus.devices import packet, serving

RTU_BYTES, TCP_BYTES = 8, 12
"""Of a question: a read of registers."""
AT_ONCE, LONGEST_S = 0.5, 0.01
"""Half of the ends come with the answer, the others up to so much later."""


@asynccontextmanager
async def closing_device(place: Place) -> AsyncIterator[LineSpec]:
    """One question a connection. ``connections``: how many there were."""
    meters, rtu = Meters(place.rng), place.number % 2 == 1
    place.book.lines.append(meters)

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        place.book.more["connections"] += 1
        data = await reader.readexactly(RTU_BYTES if rtu else TCP_BYTES)
        request = parse_request(data) if rtu else Request(data[6], data[7], *struct.unpack(">HH", data[8:]))
        ((delay, frame),) = meters(request)
        await asyncio.sleep(delay)
        writer.write(frame if rtu else packet(int.from_bytes(data[:2], "big"), frame))
        if place.rng.random() >= AT_ONCE:
            await asyncio.sleep(place.rng.uniform(0.0, LONGEST_S))

    async with serving(talk) as server:
        kind = "modbus-rtu-over-tcp" if rtu else "modbus-tcp"
        spec = replace(line_spec(place.name, place.period_ms), type=kind, port=None)
        yield replace(spec, host="127.0.0.1", tcp_port=server.port)
