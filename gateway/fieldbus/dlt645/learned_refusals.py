"""Learned refusals of a DL/T 645 meter: identifiers that it does not have, and blocks whose answer does not end.

A block identifier that is refused with error bit 02 in ``TIMES`` polls is asked value by value from then on; an
identifier of a single value leaves a hole, which is tried again once a day. A meter that answers nothing at all may
only be starting: then nothing is left out. A block that goes on in further frames (B1) is divided at once, as those
frames are never asked for. Pure: times are arguments.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from gateway.devices.decode_bcd import DataBlock
from gateway.devices.points import Point
from gateway.fieldbus.dlt645.framing import MORE
from gateway.fieldbus.dlt645.reads import divisible
from gateway.fieldbus.wire.dialect import Reads

TIMES = 3
RETRY_S = 86_400.0


class Refusals:
    """What one meter has refused.

    ``divided``: block identifiers that are asked value by value; ``holes``: points that the meter does not have, by
    name, with the monotonic moment at which they are tried again.
    """

    def __init__(self, points: Sequence[Point]) -> None:
        self.divided: set[str] = set()
        self.holes: dict[str, float] = {}
        self._points = {point.name: point for point in points}
        self._refused = Counter[str]()
        self._answers = 0
        self._counted_at: dict[str, int] = {}

    def missing(self) -> tuple[Point, ...]:
        """The points of all holes."""
        return tuple(self._points[name] for name in self.holes)

    def retry(self, now: float) -> bool:
        """Give holes that are a day old another try; True when there were any."""
        due = [name for name, until in self.holes.items() if until <= now]
        for name in due:
            del self.holes[name]
        return bool(due)

    def note(self, reads: Reads, now: float) -> bool:
        """Take one poll's reads, of refusals those of a place. True when the reads of the meter have changed."""
        self._answers += sum(refused is None for _, _, refused in reads)
        changed = False
        for _, asked, refused in reads:
            assert isinstance(asked, DataBlock)
            if refused is None:
                del self._refused[asked.di]
                continue
            whole = divisible(asked)
            if refused.code == MORE and not whole:
                continue  # nothing smaller can be asked
            alive = self._answers > self._counted_at.get(asked.di, 0)
            if whole or alive:
                self._refused[asked.di] += 1
                self._counted_at[asked.di] = self._answers
                if refused.code == MORE or self._refused[asked.di] >= TIMES:
                    self._learn(asked, now, whole=whole)
                    changed = True
        return changed

    def _learn(self, asked: DataBlock, now: float, *, whole: bool) -> None:
        del self._refused[asked.di]
        if whole:
            self.divided.add(asked.di)
        else:
            self.holes |= {point.name: now + RETRY_S for point in asked.points}
