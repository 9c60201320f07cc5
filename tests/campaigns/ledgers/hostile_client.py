"""Sends attacks to a ledger over raw sockets, from many loopback addresses, and counts what it answers."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from collections import Counter
from collections.abc import Iterator

from tests.campaigns.ledgers.hostile import Attack
from tests.campaigns.ledgers.ledger_load import address

WORKERS, ADDRESSES = 12, 100
_PAUSE_S = 0.01  # between two pieces of a slow request
_WAIT_S = 2.0  # for an answer to something that may not be a whole request
_HELD = 40  # connections that stay open and silent at once; the oldest goes
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3}) ")
NONE = "none"


class Assault:
    """Everything that was sent and answered so far: ``answers`` by status, ``none`` where a connection just ended."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._held: list[asyncio.StreamWriter] = []
        self.sent = 0
        self.answers: Counter[str] = Counter()

    def send(self, attacks: list[Attack]) -> None:
        """Send all of them, ``WORKERS`` at a time."""
        asyncio.run(self._send(iter(attacks)))

    async def _send(self, attacks: Iterator[Attack]) -> None:
        async with asyncio.TaskGroup() as group:
            for number in range(WORKERS):
                group.create_task(self._work(attacks), name=f"attacker {number}")
        for writer in self._held:
            writer.close()
        self._held.clear()

    async def _work(self, attacks: Iterator[Attack]) -> None:
        for attack in attacks:
            self.sent += 1
            source = address(self.sent % ADDRESSES)
            try:
                reader, writer = await asyncio.open_connection("127.0.0.1", self._port, local_addr=(source, 0))
            except OSError:
                self.answers[NONE] += 1
                continue
            statuses = await self._attack(attack, reader, writer)
            self.answers.update(statuses or [NONE])

    async def _attack(self, attack: Attack, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> list[str]:
        """The statuses of all answers that came."""
        try:
            for number, piece in enumerate(attack.pieces):
                if number:
                    await asyncio.sleep(_PAUSE_S)
                writer.write(piece)
                async with asyncio.timeout(_WAIT_S):
                    await writer.drain()
            if attack.ending == "half-close":
                writer.write_eof()
            if attack.ending in ("read", "half-close"):
                return await _answers(reader, until_end=attack.ending == "half-close")
            if attack.ending == "reset":
                connection: socket.socket = writer.get_extra_info("socket")
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except (OSError, TimeoutError):
            pass  # hung up on is an answer, too
        finally:
            if attack.ending == "hold":
                self._hold(writer)
            else:
                writer.close()
        return []

    def _hold(self, writer: asyncio.StreamWriter) -> None:
        self._held.append(writer)
        if len(self._held) > _HELD:
            self._held.pop(0).close()


async def _answers(reader: asyncio.StreamReader, until_end: bool) -> list[str]:
    """Statuses of the first answer, or of all until the server closes."""
    data = bytearray()
    try:
        async with asyncio.timeout(_WAIT_S):
            while chunk := await reader.read(65536):
                data += chunk
                if not until_end and _STATUS.match(data):
                    break
    except (TimeoutError, OSError):
        pass
    return [status.decode() for status in _STATUS.findall(bytes(data))]
