"""Outbox: live readings waiting for a broker; all while it keeps up, else each meter's newest. Event loop only."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection

from gateway.feeds.reading_message import FeedReading


class Outbox:
    """For one feed, in the event loop. What is recorded and drops out here is published as history."""

    def __init__(self) -> None:
        self.room = 0
        """Readings that may wait before all but each meter's newest drop out."""
        self._waiting: dict[str, deque[FeedReading]] = {}
        self._count = 0
        self._newest_only = True
        self.overflowed = False
        """Some have dropped out since ``take_newest``."""
        self.filled, self.empty = asyncio.Event(), asyncio.Event()
        self.empty.set()

    def __len__(self) -> int:
        return self._count

    def put(self, reading: FeedReading) -> None:
        """Take in a reading."""
        waiting = self._waiting.setdefault(reading.meter, deque())
        if self._newest_only:
            self._count -= len(waiting)
            waiting.clear()
        waiting.append(reading)
        self._count += 1
        self.filled.set()
        self.empty.clear()
        if self._count > max(self.room, len(self._waiting)):
            self.thin()
            self.overflowed = True

    def put_back(self, reading: FeedReading) -> None:
        """What was taken and did not arrive, unless something newer of that meter waits."""
        if reading.meter not in self._waiting:
            self.put(reading)

    def thin(self) -> None:
        """Keep each meter's newest only, from now on, until ``take_newest``."""
        self._newest_only = True
        for waiting in self._waiting.values():
            while len(waiting) > 1:
                waiting.popleft()
        self._count = len(self._waiting)

    def take_newest(self) -> Collection[FeedReading]:
        """Each meter's newest; all that comes from now on is kept again."""
        newest = [waiting[-1] for waiting in self._waiting.values()]
        self._waiting, self._count = {}, 0
        self._newest_only = self.overflowed = False
        self._emptied()
        return newest

    def take(self, most: int) -> list[FeedReading]:
        """The readings of the meter that waits longest, oldest first, at most so many."""
        meter, waiting = next(iter(self._waiting.items()))
        taken = [waiting.popleft() for _ in range(min(most, len(waiting)))]
        self._count -= len(taken)
        del self._waiting[meter]
        if waiting:
            self._waiting[meter] = waiting
        if not self._count:
            self._emptied()
        return taken

    def _emptied(self) -> None:
        self.filled.clear()
        self.empty.set()
