"""Tap: a pseudo-terminal that carries a copy of a line both ways, and counts the bytes that come back out of it.

Somebody who only listens sends none. Damage is done to the copy of questions alone: the line itself is whole.
"""

from __future__ import annotations

import asyncio
import os
import random
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
        self._master = self._slave = -1

    def open(self) -> None:
        """Start to carry. Raises ``WireError`` when the path is taken."""
        refuse_taken(self.path)
        self._master, self._slave = os.openpty()  # the other side stays open here, so that a listener may come and go
        tty.setraw(self._slave)
        os.set_blocking(self._master, False)
        try:
            publish(self.path, os.ttyname(self._slave))
        except WireError:
            os.close(self._slave)
            os.close(self._master)
            raise
        asyncio.get_running_loop().add_reader(self._master, self._came_back)

    def close(self) -> None:
        """Stop, and take the link away if it is still ours."""
        asyncio.get_running_loop().remove_reader(self._master)
        with suppress(OSError):
            if os.readlink(self.path) == os.ttyname(self._slave):
                self.path.unlink()
        os.close(self._slave)
        os.close(self._master)

    def carry_question(self, data: bytes) -> bytes:
        """Copy what a master sends; gives it as it was carried."""
        if self._rng.random() < self._damaged:
            place = self._rng.randrange(len(data))
            data = data[:place] + bytes([data[place] ^ 1 << self._rng.randrange(8)]) + data[place + 1 :]
        self.carry(data)
        return data

    def carry(self, data: bytes) -> None:
        """Copy what stands on the line."""
        with suppress(BlockingIOError):  # nobody reads: bytes are lost, as on a wire
            os.write(self._master, data)

    def _came_back(self) -> None:
        with suppress(BlockingIOError):
            self.returned += len(os.read(self._master, 4096))
