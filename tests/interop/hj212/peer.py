"""An HJ 212 peer that is not ours in code: the C program beside this file, built here, and the packets of packets.tsv.

The packets are the standard's own examples and such as loggers in the field have sent, some of them damaged.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import json
import subprocess
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SAFETY_S = 30.0


@dataclass(frozen=True, slots=True)
class Row:
    """One packet of packets.tsv, without CR LF; length and CRC as printed, and as they are."""

    name: str
    packet: bytes
    length_given: int
    length: int
    crc_given: str
    crc: str
    verdict: str
    meaning: str

    @property
    def is_good(self) -> bool:
        """Length and CRC are right."""
        return not self.verdict.startswith("BAD")


def rows() -> list[Row]:
    """Every packet of packets.tsv."""
    with (HERE / "packets.tsv").open(newline="") as file:
        return [
            Row(
                row["id"],
                row["packet_without_CRLF"].encode(),
                int(row["len_field"]),
                int(row["len_real"]),
                row["packet_without_CRLF"][-4:],
                row["crc_recomputed"],
                row["verdict"],
                row["meaning"],
            )
            for row in csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE)
        ]


def build(folder: Path) -> Path:
    """Compile the peer."""
    program = folder / "pusher"
    command = ["gcc", "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-O1", "-o", program, HERE / "pusher.c"]
    built = subprocess.run(list(map(str, command)), capture_output=True, text=True)
    assert built.returncode == 0, f"{built.stderr}\n(Debian: apt-get install gcc libc6-dev)"
    return program


def checked(program: Path, packets: Sequence[bytes]) -> list[dict[str, Any]]:
    """What the peer makes of packets without CR LF."""
    done = subprocess.run([program, "check"], input=b"\n".join(packets), capture_output=True, timeout=SAFETY_S)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def pushed(program: Path, port: int, **options: object) -> tuple[int, list[dict[str, Any]]]:
    """Upload to a port of 127.0.0.1, with the options of the C program; its exit code and what it printed."""
    words = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    command = [str(program), "push", "--port", str(port), *words]
    done = subprocess.run(command, capture_output=True, timeout=SAFETY_S)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


class Host:
    """The peer as the host that loggers upload to; ``seen`` is all that it printed."""

    def __init__(self, process: asyncio.subprocess.Process, port: int) -> None:
        self._process, self.port = process, port
        self.seen: list[dict[str, Any]] = []

    async def until(self, count: int) -> list[dict[str, Any]]:
        """Wait until so many packets have come; gives those."""
        assert self._process.stdout is not None
        async with asyncio.timeout(SAFETY_S):
            while len(self.packets) < count:
                line = await self._process.stdout.readline()
                assert line, "the peer has ended"
                self.seen.append(json.loads(line))
        return self.packets

    @property
    def packets(self) -> list[dict[str, Any]]:
        """What came, packets or not; without the ends of connections."""
        return [entry for entry in self.seen if "is_packet" in entry]


@contextlib.asynccontextmanager
async def host(program: Path, answers: int = -1) -> AsyncIterator[Host]:
    """The peer as a host, on a free port; it goes silent after so many ``answers``."""
    command = [str(program), "serve", "--answers", str(answers)]
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
    assert process.stdout is not None
    try:
        async with asyncio.timeout(SAFETY_S):
            port = await process.stdout.readline()
        yield Host(process, int(port))
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()
