"""Learned limits of a device: reads that are too long for it, and registers that it does not have.

Exceptions 02 and 03 change a meter's reads only after ``TIMES`` polls. While the device answers nothing at all, it may
only be starting: then reads are cut into a few parts at most, for a trial, and nothing is left out. Pure: times are
arguments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.devices.blocks import Block
from gateway.devices.points import Point
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.wire.dialect import Reads

TIMES = 3
RETRY_S = 86_400.0
BLIND_GROUPS = 4
Read = tuple[int, int, int]


def read_of(block: Block) -> Read:
    """Function, address and count."""
    assert isinstance(block, RegisterBlock)
    return block.fc, block.address, block.count


class Cuts:
    """The reads that one meter refuses.

    ``groups``: points that may share a read; ``banned``: variants that are not to be asked; ``holes``: points that the
    device does not have, by name, with the moment at which they are tried again.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        self.groups: list[tuple[Point, ...]] = [tuple(points)]
        self.banned: set[Read] = set()
        self.holes: dict[str, float] = {}
        self._points = {point.name: point for point in points}
        self._refused = Counter[Read]()
        self._answers = 0
        self._blind = self._mended = False
        self._counted_at: dict[Read, int] = {}

    def missing(self) -> tuple[Point, ...]:
        """The points of all holes."""
        return tuple(self._points[name] for name in self.holes)

    def retry(self, now: float) -> bool:
        """Give holes that are a day old another try; True when there were any."""
        if not self.holes:
            return False
        due = [name for name, until in self.holes.items() if until <= now]
        for name in due:
            del self.holes[name]
            self.groups.append((self._points[name],))
        return bool(due)

    def note(self, reads: Reads, now: float) -> bool:
        """Take one poll's reads, of refusals those of a place. True when the reads of the meter have changed."""
        answered = sum(refused is None for _, _, refused in reads)
        self._answers += answered
        if self._blind and answered == len(reads) == len(self.groups):
            self._blind, self._mended = False, True  # it may only have been starting: ask as before, once
            self.groups = [tuple(p for p in self._points.values() if p.name not in self.holes)]
            return True
        changed = False
        for planned, asked, refused in reads:
            key = read_of(asked)
            if refused is None:
                del self._refused[key]
                continue
            known_alive = self._answers > self._counted_at.get(key, 0)
            if known_alive or (key == read_of(planned) and len(self.groups) < BLIND_GROUPS):
                self._refused[key] += 1
                self._counted_at[key] = self._answers
                if self._refused[key] >= TIMES:
                    changed = self._learn(planned, key, known_alive, now) or changed
        return changed

    def _learn(self, planned: Block, key: Read, known_alive: bool, now: float) -> bool:
        del self._refused[key]
        points = sorted(planned.points, key=lambda p: (p.address, p.end))
        if key != read_of(planned):
            self.banned.add(key)
            return True
        if len(points) == 1 and not known_alive:
            return False
        names = {point.name for point in points}
        rest = (tuple(p for p in group if p.name not in names) for group in self.groups)
        self.groups = [group for group in rest if group]
        if len(points) == 1:
            self.holes[points[0].name] = now + RETRY_S
        else:
            half = len(points) // 2
            self.groups += [tuple(points[:half]), tuple(points[half:])]
            self._blind = self._blind or not (known_alive or self._mended)
        return True
