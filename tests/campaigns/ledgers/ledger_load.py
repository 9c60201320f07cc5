"""Many clients at one ledger over HTTP: each gives its own statements or claims, in order, on one connection."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from pathlib import Path

from ledger_client.transparency.ledger.enroll import enroll
from tests.support.enrolled import Gateway
from tests.support.processes import EmbeddedLedger

_PATIENCE_S = 60.0
_HEAD = b"POST /entries HTTP/1.1\r\nHost: ledger\r\nContent-Type: application/cose\r\nContent-Length: "


@dataclass(slots=True)
class Load:
    """What the clients saw: seconds a statement, answers by status, and how long all of it took."""

    latencies_s: list[float] = field(default_factory=list)
    statuses: dict[int, int] = field(default_factory=dict)
    seconds: float = 0.0

    def percentile_ms(self, percent: float) -> float:
        """The latency that so many percent of the statements did not exceed."""
        ordered = sorted(self.latencies_s)
        return 1000 * ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def enrolled(ledger: EmbeddedLedger, scratch: Path, count: int, prefix: str = "load") -> list[Gateway]:
    """``count`` gateways whose keys the ledger knows."""
    gateways = [Gateway(f"{prefix}-{number}") for number in range(count)]
    for gateway in gateways:
        enroll(ledger.folder, gateway.request(scratch))
    return gateways


def submit_all(ledger: EmbeddedLedger, gateways: list[Gateway], statements: int) -> Load:
    """Each gateway's first ``statements`` statements; every client has an address of its own (127.0.0.0/8)."""
    return submit_entries(ledger, [[gateway.statement(batch) for batch in range(statements)] for gateway in gateways])


def submit_entries(ledger: EmbeddedLedger, entries: list[list[bytes]]) -> Load:
    """The entries of each client, one behind the other."""
    return asyncio.run(_submit_all(ledger.port, entries))


async def _submit_all(port: int, entries: list[list[bytes]]) -> Load:
    load = Load()
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number, part in enumerate(entries):
            group.create_task(_client(port, address(number), part, load), name=f"client {number}")
    load.seconds = time.perf_counter() - began
    return load


def address(number: int) -> str:
    """A loopback address for client ``number``, 127.0.1.1 and on."""
    return f"127.0.{1 + number // 250}.{1 + number % 250}"


async def _client(port: int, source: str, entries: list[bytes], load: Load) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(source, 0))
    try:
        for entry in entries:
            began = time.perf_counter()
            writer.write(_HEAD + str(len(entry)).encode() + b"\r\n\r\n" + entry)
            status = await asyncio.wait_for(_answer(reader), _PATIENCE_S)
            load.latencies_s.append(time.perf_counter() - began)
            load.statuses[status] = load.statuses.get(status, 0) + 1
    finally:
        writer.close()


async def _answer(reader: asyncio.StreamReader) -> int:
    """The status of the next answer, its body read and dropped."""
    head = await reader.readuntil(b"\r\n\r\n")
    lines = head.lower().split(b"\r\n")
    (length,) = (int(line.partition(b":")[2]) for line in lines if line.startswith(b"content-length:"))
    await reader.readexactly(length)
    return int(lines[0].split()[1])
