"""Who looks at the pages while they are measured, in a process of their own: ``python -m benchmarks.rates.pages_clients
PORT USER PASSWORD SECONDS WATCHERS PATH …`` logs in and prints what its clients have met.

``WATCHERS`` follow the stream of events, each PATH is fetched once a second on a connection of its own, and one client
asks for the stream and never reads.
"""

from __future__ import annotations

import asyncio
import json
import re
import select
import socket
import statistics
import sys
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from urllib.parse import urlencode

WINDOW = 4096
"""Receive buffer of the client that never reads."""
EVERY_S = 1.0


@dataclass(slots=True)
class Found:
    """What they have met."""

    server_ms: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    bytes_of: dict[str, int] = field(default_factory=dict)
    statuses: Counter[int] = field(default_factory=Counter)
    events: list[int] = field(default_factory=list)
    gaps_s: list[float] = field(default_factory=list)
    stream_bytes: int = 0
    cut_after_s: float | None = None


class Client:
    """A browser's half of HTTP, as cheap as can be."""

    def __init__(self, port: int) -> None:
        self.port, self.cookies = port, dict[str, str]()

    def head(self, method: str, path: str, *more: str) -> bytes:
        """The head of a request."""
        host = f"127.0.0.1:{self.port}"
        cookie = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        lines = f"{method} {path} HTTP/1.1", f"Host: {host}", f"Origin: http://{host}", f"Cookie: {cookie}", *more
        return "\r\n".join((*lines, "", "")).encode()

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection to the pages."""
        return await asyncio.open_connection("127.0.0.1", self.port, limit=2**22)

    async def login(self, user: str, password: str) -> None:
        """Take the session's cookie."""
        reader, writer = await self.connect()
        writer.write(self.head("GET", "/login"))
        _, _, page = await self.answer(reader)
        found = re.search(rb'name="form" value="([^"]+)"', page)
        assert found is not None
        body = urlencode({"form": found[1].decode(), "user": user, "password": password})
        kind = "Content-Type: application/x-www-form-urlencoded"
        writer.write(self.head("POST", "/login", kind, f"Content-Length: {len(body)}") + body.encode())
        status, _, _ = await self.answer(reader)
        assert status == 303, f"the login was answered with {status}"
        writer.close()

    async def answer(self, reader: asyncio.StreamReader) -> tuple[int, str, bytes]:
        """Status, head and body of an answer with a length."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        for cookie in re.findall(r"(?im)^set-cookie: ([^=]+=[^;\r]*)", head):
            name, _, value = cookie.partition("=")
            self.cookies[name] = value
        length = re.search(r"(?im)^content-length: (\d+)", head)
        body = await reader.readexactly(int(length[1])) if length else b""
        return int(head.split()[1]), head, body


async def fetch(client: Client, path: str, until: float, found: Found) -> None:
    """One page, once a second."""
    reader, writer = await client.connect()
    due = time.monotonic()
    while due < until:
        await asyncio.sleep(max(0.0, due - time.monotonic()))
        writer.write(client.head("GET", path, "Accept-Encoding: gzip"))  # as browsers do
        status, head, body = await client.answer(reader)
        found.statuses[status] += 1
        took = re.search(r"(?im)^server-timing: page;dur=([0-9.]+)", head)
        assert took is not None
        found.server_ms[path].append(float(took[1]))
        found.bytes_of[path] = len(body)
        due += EVERY_S
    writer.close()


async def watch(client: Client, until: float, found: Found) -> None:
    """The stream of events, as it comes."""
    reader, writer = await client.connect()
    writer.write(client.head("GET", "/stream"))
    count, last = 0, time.monotonic()
    try:
        async with asyncio.timeout(until - last):
            while data := await reader.read(2**20):
                now = time.monotonic()
                if events := data.count(b"event: "):
                    if count:
                        found.gaps_s.append(now - last)
                    count, last = count + events, now
                found.stream_bytes += len(data)
    except TimeoutError:
        pass
    writer.close()
    found.events.append(count)


async def never_read(client: Client, until: float, found: Found) -> None:
    """Ask for the stream and wait for the end of the connection without reading."""
    link = socket.socket()
    link.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, WINDOW)
    link.connect(("127.0.0.1", client.port))
    link.sendall(client.head("GET", "/stream"))
    begun, poll = time.monotonic(), select.poll()
    poll.register(link, select.POLLRDHUP)
    while time.monotonic() < until:
        if poll.poll(0):
            found.cut_after_s = time.monotonic() - begun
            break
        await asyncio.sleep(0.1)
    link.close()


async def measure(port: int, user: str, password: str, seconds: float, watchers: int, paths: list[str]) -> Found:
    """All of them at once."""
    client, found = Client(port), Found()
    await client.login(user, password)
    until = time.monotonic() + seconds
    async with asyncio.TaskGroup() as group:
        group.create_task(never_read(client, until, found))
        for _ in range(watchers):
            group.create_task(watch(client, until, found))
        for number, path in enumerate(paths):
            await asyncio.sleep(EVERY_S / len(paths) if number else 0)
            group.create_task(fetch(client, path, until, found))
    return found


def summary(found: Found) -> dict[str, object]:
    """The figures of a run."""
    every = sorted(ms for times in found.server_ms.values() for ms in times)
    p95 = {path: quantile(sorted(times), 0.95) for path, times in found.server_ms.items()}
    gaps = sorted(found.gaps_s)
    return {
        "pages_fetched": len(every),
        "pages_not_200": sum(count for status, count in found.statuses.items() if status != 200),
        "page_ms_p50": statistics.median(every),
        "page_ms_p95": quantile(every, 0.95),
        "page_ms_max": every[-1],
        "page_ms_p95_of_each": p95,
        "page_bytes": found.bytes_of,
        "events_of_each_min": min(found.events),
        "events_of_each_max": max(found.events),
        "event_gap_s_p99": quantile(gaps, 0.99) if gaps else None,  # a short run on a busy machine may see none
        "event_gap_s_max": max(gaps, default=None),
        "stream_bytes_per_s_of_each": found.stream_bytes,
        "slow_client_cut": found.cut_after_s is not None,
        "slow_client_cut_after_s": found.cut_after_s,
    }


def quantile(ordered: list[float], share: float) -> float:
    """The value below which this share of an ordered list lies."""
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


if __name__ == "__main__":
    port, user, password, seconds, watchers, *paths = sys.argv[1:]
    met = asyncio.run(measure(int(port), user, password, float(seconds), int(watchers), paths))
    print(json.dumps(summary(met)))
