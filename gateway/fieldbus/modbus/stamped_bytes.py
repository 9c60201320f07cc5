"""Bytes of a line with the moments at which they came. Pure."""

from __future__ import annotations

from collections import deque
from typing import NamedTuple


class Moment(NamedTuple):
    """When a byte came, in monotonic seconds: between ``since`` and ``read``, at which it was read."""

    read: float
    since: float


class Frame(NamedTuple):
    """Bytes that were taken out: when the first and the last of them came."""

    data: bytes
    first: Moment
    last: Moment


class StampedBytes:
    """What was received and not yet taken out."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._pieces = deque[tuple[int, Moment]]()  # up to which byte of all that ever came, and when that piece came
        self._taken = self._received = 0

    def __len__(self) -> int:
        return len(self.data)

    def append(self, data: bytes, moment: Moment) -> None:
        """Take what came."""
        if data:
            self.data += data
            self._received += len(data)
            self._pieces.append((self._received, moment))

    @property
    def first(self) -> Moment:
        """When the first of them came."""
        return self._pieces[0][1]

    @property
    def last(self) -> Moment:
        """When the last of them came."""
        return self._pieces[-1][1]

    def cut(self, count: int) -> Frame:
        """Take out so many, at least one."""
        first, data = self.first, bytes(self.data[:count])
        del self.data[:count]
        self._taken += len(data)
        while self._pieces[0][0] < self._taken:
            self._pieces.popleft()
        last = self.first
        if self._pieces[0][0] == self._taken:
            self._pieces.popleft()
        return Frame(data, first, last)

    def older(self, moment: float) -> int:
        """How many of them were read by then."""
        ends = [end for end, came in self._pieces if came.read <= moment]
        return max(ends, default=self._taken) - self._taken
