"""What a line hears beside the answers to its questions: other masters, damaged frames, late answers to learn from."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable

from gateway.fieldbus.link import Seen
from gateway.fieldbus.shapes import LONGEST_LIFE_S, STRANGER_S, ShapeTable
from ledger_client.record import Quality

log = logging.getLogger("meterseal.fieldbus")

NOISY_SHARE = 0.01
NOISY = Quality.IMPLAUSIBLE
"""The flag of values from a line with many damaged frames: the bit set has none of its own, and it says uncertain."""


class Rate:
    """The share of damaged frames among the last thousand."""

    def __init__(self) -> None:
        self._last = deque[bool](maxlen=1000)
        self._bad = 0

    def add(self, bad: bool) -> None:
        """One more frame."""
        if len(self._last) == self._last.maxlen:
            self._bad -= self._last[0]
        self._last.append(bad)
        self._bad += bad

    @property
    def high(self) -> bool:
        """More than 1 % are damaged, and more than one or two by chance."""
        return self._bad > max(2, NOISY_SHARE * len(self._last))


class Ear:
    """Listens on one line. ``counters`` counts stray frames by kind; ``flags`` are quality bits for all of its values.

    ``learn(unit, latency in seconds)`` is told of answers that came late. ``shared``: the site knows of another master,
    so that its frames flag nothing; their shapes are avoided all the same. ``stranger`` is its last frame, as hex.
    """

    def __init__(
        self,
        line: str,
        table: ShapeTable,
        monotonic: Callable[[], float],
        learn: Callable[[int, float], None],
        *,
        shared: bool = False,
    ) -> None:
        self.counters = Counter[str]()
        self.stranger = ""
        self._shared = shared
        self._line, self._table, self._monotonic, self._learn = line, table, monotonic, learn
        self._noise = Rate()
        self._strangers_from: float | None = None
        self._shared_until = float("-inf")

    def opened(self) -> None:
        """The line is open. Soon after the first time, a frame may answer what an earlier process asked."""
        if self._strangers_from is None:
            self._strangers_from = self._monotonic() + self._table.longest

    def answered(self, frames: int) -> None:
        """So many answers came whole."""
        for _ in range(frames):
            self._noise.add(False)

    def see(self, seen: Seen) -> None:
        """Bytes that nobody waited for."""
        self.counters[seen.kind] += 1
        log.debug("%s: %s %s", self._line, seen.kind, seen.data.hex(" "))
        if seen.kind == "damaged":
            self._noise.add(True)
        elif seen.kind == "late" and seen.shape is not None and seen.latency_s is not None:
            self._table.needed(seen.shape.unit, seen.latency_s, self._monotonic())
            self._learn(seen.shape.unit, seen.latency_s)
        elif seen.kind == "foreign" and self._strangers_from is not None and self._monotonic() > self._strangers_from:
            self._stranger(seen, self._monotonic())

    @property
    def flags(self) -> int:
        """Quality bits of everything that is read on this line now."""
        shared = int(Quality.SHARED_LINE) if self._monotonic() < self._shared_until else 0
        return shared | int(NOISY) if self._noise.high else shared

    def clear_shared(self) -> str:
        """The other master is off the line: flag nothing, avoid no shape and allow for no longer answer lives until it
        is heard again. Gives its last frame, as hex; nothing while none is known."""
        now = self._monotonic()
        if now >= self._shared_until and not self._table.avoids(now) and not self._table.lengthened(now):
            return ""
        self._shared_until = float("-inf")
        self._table.avoid_none()
        self._table.as_configured(now)
        return self.stranger

    def _stranger(self, seen: Seen, now: float) -> None:
        """A frame that we never asked for; or so long ago that it should have died out."""
        self.stranger = seen.data[:16].hex(" ").upper()
        if not self._shared:
            self._shared_until = now + STRANGER_S
        if seen.shape is None:
            return
        if seen.latency_s is None or seen.latency_s > LONGEST_LIFE_S:
            self._table.avoid(seen.shape, now)
            return
        text = "%s: or unit %d took %.1f s to answer; if it is that slow, set a longer answer_life"
        log.warning(text, self._line, seen.shape.unit, seen.latency_s, extra={"line": self._line})
        self._table.lengthen(seen.shape.unit, 1.5 * seen.latency_s, now)
        self._table.use(seen.shape, now)
