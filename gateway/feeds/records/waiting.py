"""Queue of what a control room asks for again. Event loop only.

It is bounded: what finds no room is dropped, and asked for again by whoever still wants it. What is asked for twice
waits once. A long range is answered part by part, in turn with the others, so that none keeps the others waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import NamedTuple

from ledger_client.formats.feed_messages import Asked, RecordRange

MOST = 1000
"""Ranges that may wait."""


class BatchRange(NamedTuple):
    """Batches first … last, both included."""

    first: int
    last: int


Wanted = RecordRange | BatchRange


class Waiting:
    """For one feed."""

    def __init__(self) -> None:
        self._ranges: dict[Wanted, None] = {}
        self.filled = asyncio.Event()
        self.dropped = 0
        """Ranges that found no room."""

    def __len__(self) -> int:
        return len(self._ranges)

    def ask(self, asked: Asked) -> None:
        """Take in a message."""
        self.put([*asked.ranges, *(BatchRange(*each) for each in asked.batches)])

    def put(self, ranges: Iterable[Wanted]) -> None:
        """Take in ranges, behind those that wait."""
        for one in ranges:
            if one in self._ranges:
                continue
            if len(self._ranges) < MOST:
                self._ranges[one] = None
            else:
                self.dropped += 1
        if self._ranges:
            self.filled.set()

    def take(self, most: int) -> list[Wanted]:
        """Those that wait longest."""
        taken = [one for one, _ in zip(self._ranges, range(most), strict=False)]
        for one in taken:
            del self._ranges[one]
        if not self._ranges:
            self.filled.clear()
        return taken
