"""Tap: a pseudo-terminal that carries a copy of a line both ways, and counts the bytes that come back out of it.

Somebody who only listens sends none. Damage is done to the copy of questions alone: the line itself is whole.
"""

from __future__ import annotations

import asyncio
import os
import random
import select
import tty
from contextlib import suppress
from pathlib import Path

from firmware_sim.errors import WireError
from firmware_sim.wire.terminal_link import publish, refuse_taken


class Tap:
    """One tap; ``open`` publishes it as a symbolic link.

    ``returned``: bytes that were sent into it.

    Args:
        path: of the link.
        damaged: share of the copied questions in which one bit is another.
        seed: of what is damaged.
    """

    def __init__(self, path: Path, damaged: float = 0.0, seed: str = "") -> None:
        self.path, self.returned = path, 0
        self._damaged, self._rng = damaged, random.Random(seed)
        self._master, self._terminal = -1, ""

    def open(self) -> None:
        """Start to carry. Raises ``WireError`` when the path is taken."""
        refuse_taken(self.path)
        self._master, slave = os.openpty()
        tty.setraw(slave)
        self._terminal = os.ttyname(slave)
        os.close(slave)  # so that whoever holds it is the listener
        os.set_blocking(self._master, False)
        try:
            publish(self.path, self._terminal)
        except WireError:
            os.close(self._master)
            raise
        self._events = select.epoll()
        self._events.register(self._master, select.EPOLLIN | select.EPOLLHUP | select.EPOLLET)
        asyncio.get_running_loop().add_reader(self._events.fileno(), self._came_back)

    def close(self) -> None:
        """Stop, and take the link away if it is still ours."""
        self._came_back()
        asyncio.get_running_loop().remove_reader(self._events.fileno())
        self._events.close()
        with suppress(OSError):
            if os.readlink(self.path) == self._terminal:
                self.path.unlink()
        os.close(self._master)

    def carry_question(self, data: bytes) -> bytes:
        """Copy what a master sends; gives it as it was carried."""
        if self._rng.random() < self._damaged:
            place = self._rng.randrange(len(data))
            data = data[:place] + bytes([data[place] ^ 1 << self._rng.randrange(8)]) + data[place + 1 :]
        self.carry(data)
        return data

    def carry(self, data: bytes) -> None:
        """Copy what stands on the line; with nobody there to hear it, it is lost, as on a wire."""
        poll = select.poll()
        poll.register(self._master, 0)
        if not any(events & select.POLLHUP for _, events in poll.poll(0)):
            with suppress(BlockingIOError):  # nobody reads
                os.write(self._master, data)

    def _came_back(self) -> None:
        """Read all there is; the edge is reported only once."""
        self._events.poll(0)
        with suppress(BlockingIOError, OSError):  # EIO: nobody has it open any more
            while data := os.read(self._master, 4096):
                self.returned += len(data)
