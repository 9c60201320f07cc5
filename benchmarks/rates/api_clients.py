"""Programs that ask the API while it is measured, in a process of their own: ``python -m benchmarks.rates.api_clients
PORT SECONDS METER TOKEN …`` prints what they have met.

Twenty of them share the tokens: eight page through readings without a pause, of one meter as JSON and of all as JSON
lines, two ask for a day of CSV and never read it, and ten ask once a second how things stand. Whoever is refused with
503 or 429 waits as long as ``Retry-After`` says.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

EVERY_S = 1.0
NICE = 10
"""They stand for other machines: the processors here are first the gateway's."""
STATES = ("/latest", "/meters", "/gateways", "/alarms", "/batches", "/events", "/series?meter={meter}&by=minute")


@dataclass(slots=True)
class Met:
    """What they have met."""

    statuses: Counter[int] = field(default_factory=Counter)
    readings: int = 0
    bytes: int = 0
    cut: int = 0


class Program:
    """One client: a request at a time, on one connection."""

    def __init__(self, port: int, token: str, met: Met) -> None:
        self.port, self.token, self.met = port, token, met
        self.reader: asyncio.StreamReader | None = None
        self.writer: asyncio.StreamWriter | None = None

    async def send(self, path: str) -> asyncio.StreamReader:
        """Ask for a path."""
        if self.reader is None or self.writer is None or self.writer.is_closing() or self.reader.at_eof():
            self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port, limit=2**20)
        head = (
            f"GET /api/v1{path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\nAuthorization: Bearer {self.token}\r\n\r\n"
        )
        self.writer.write(head.encode())
        return self.reader

    async def ask(self, path: str) -> tuple[str, bytes]:
        """Head and body of the answer; after a refusal for want of time the pause is made."""
        reader = await self.send(path)
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"(?im)^content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else await _chunks(reader)
        status = int(head.split()[1])
        self.met.statuses[status] += 1
        self.met.bytes += len(body)
        if status in (429, 503):
            again = re.search(r"(?im)^retry-after: (\d+)", head)
            await asyncio.sleep(float(again[1]) if again else EVERY_S)
        return head, body


async def _chunks(reader: asyncio.StreamReader) -> bytes:
    parts = []
    while size := int(await reader.readuntil(b"\r\n"), 16):
        parts.append(await reader.readexactly(size))
        await reader.readexactly(2)
    await reader.readexactly(2)
    return b"".join(parts)


async def page(program: Program, query: str, form: str, until: float) -> None:
    """Page through readings, again and again."""
    first = target = f"/readings?{query}&format={form}"
    while time.monotonic() < until:
        head, body = await program.ask(target)
        if int(head.split()[1]) != 200:
            continue
        program.met.readings += (
            body.count(b'"values":[') if form == "json" else len(set(re.findall(rb'"record":"[^"]*"', body)))
        )
        link = re.search(r'(?im)^link: </api/v1(\S+)>; rel="next"', head)
        target = link[1] if link else first


async def look(program: Program, path: str, until: float) -> None:
    """One path, once a second."""
    due = time.monotonic()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        await program.ask(path)
        due += EVERY_S


async def never_read(program: Program, until: float) -> None:
    """Ask for a long list without reading it; when the connection is cut, again."""
    while time.monotonic() < until:
        await program.send("/readings?from=-1d&format=csv&limit=10000")
        assert program.writer is not None
        program.writer.transport.pause_reading()  # type: ignore[attr-defined]
        try:
            async with asyncio.timeout(until - time.monotonic()):
                await asyncio.sleep(12.0)
        except TimeoutError:
            pass
        program.writer.transport.abort()
        program.reader = program.writer = None


async def measure(port: int, seconds: float, meter: str, tokens: list[str]) -> Met:
    """All of them at once."""
    met, until = Met(), time.monotonic() + seconds
    programs = [Program(port, tokens[n % len(tokens)], met) for n in range(20)]
    pages = [(f"meter={meter}&limit=1000", "json"), ("from=-5m&limit=10000", "jsonl")]
    async with asyncio.TaskGroup() as group:
        for n, program in enumerate(programs):
            if n < 8:
                group.create_task(page(program, *pages[n % 2], until))
            elif n < 10:
                group.create_task(never_read(program, until))
            else:
                group.create_task(look(program, STATES[n % len(STATES)].format(meter=meter), until))
    return met


if __name__ == "__main__":
    os.nice(NICE)
    port, seconds, meter, *tokens = sys.argv[1:]
    found = asyncio.run(measure(int(port), float(seconds), meter, tokens))
    print(json.dumps({"statuses": found.statuses, "readings": found.readings, "bytes": found.bytes}))
