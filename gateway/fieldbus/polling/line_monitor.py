"""Line monitor: other masters, damaged frames and late answers on a line, beside the expected answers."""

from __future__ import annotations

import logging
from collections import Counter, deque
from collections.abc import Callable

from gateway.fieldbus.wire.connections import OtherMaster
from gateway.fieldbus.wire.keys import LONGEST_LIFE_S, STRANGER_S, KeyTable, Unit
from gateway.fieldbus.wire.link import ObservedFrame
from ledger_client.formats.senml import Quality

log = logging.getLogger("meterseal.fieldbus")

WRONG_ANSWERS, WRONG_S = 2, 3600.0
"""Answers of wrong function or length within this time that are attributed to the unit, where no stranger is heard
between them."""
NOISY = Quality.IMPLAUSIBLE
"""The flag of values where many frames arrive damaged: the bit set has no bit for damage, and IMPLAUSIBLE means
uncertain."""


class LineMonitor:
    """Listener on one line. ``counters`` counts stray frames by kind; ``flags_of``: quality bits for a unit's values.

    Args:
        monotonic: the clock of the line, in seconds.
        learn: called with the unit and the latency in seconds of each late answer.
        doubt: called with the unit of a damaged or doubled frame.
        shared: the configuration names another master, so its frames set no flag; their shapes are avoided.
        other_master: what an earlier monitor of this endpoint knows of it.
        frail: as of ``Framing``; one damaged frame then makes a unit's next thousand answers uncertain.
    """

    def __init__(
        self,
        line: str,
        table: KeyTable,
        monotonic: Callable[[], float],
        learn: Callable[[Unit, float], None],
        doubt: Callable[[Unit], None] = lambda unit: None,
        *,
        shared: bool = False,
        other_master: OtherMaster | None = None,
        frail: bytes = b"",
    ) -> None:
        self._frail = frail
        self.counters = Counter[str]()
        self._other = other_master or OtherMaster()
        self._shared = shared
        self._line, self._table, self._monotonic = line, table, monotonic
        self._learn, self._doubt = learn, doubt
        self.damage = DamagedFrames()
        self._strangers_from: float | None = None
        self._wrong: dict[Unit, list[tuple[float, bytes]]] = {}

    def opened(self) -> None:
        """The line is open. Soon after the first time, a frame may answer what an earlier process asked."""
        if self._strangers_from is None:
            self._strangers_from = self._monotonic() + self._table.longest

    def answered(self, frames: int, unit: Unit) -> None:
        """Count ``frames`` whole answers of a unit."""
        for _ in range(frames):
            self.damage.add(unit, damaged=False)

    def see(self, seen: ObservedFrame) -> None:
        """Take bytes that are no expected answer."""
        self.counters[seen.kind] += 1
        log.debug("%s: %s %s", self._line, seen.kind, seen.data.hex(" "))
        if seen.kind in ("damaged", "doubled") and seen.key is not None:
            self._doubt(seen.key[0])
        if seen.kind == "damaged":
            self.damage.add(seen.key[0] if seen.key is not None else None, damaged=True)
        elif seen.kind == "noise" and self._frail and seen.data.startswith(self._frail):
            self.damage.add(None, damaged=True)
        elif seen.kind == "late" and seen.key is not None and seen.latency_s is not None:
            self._table.needed(seen.key[0], seen.latency_s, self._monotonic())
            self._learn(seen.key[0], seen.latency_s)
        elif seen.kind == "foreign" and self._strangers_from is not None and self._monotonic() > self._strangers_from:
            self._stranger(seen, self._monotonic())
        elif seen.kind == "mismatched" and seen.key is not None:
            self._mismatched(seen.key[0], seen)

    def wrong_answer(self, unit: Unit) -> str:
        """The last answer of this unit to what it was not asked, as hex, if it gives such answers; else nothing."""
        last = self._wrong.get(unit, [])
        if len(last) < WRONG_ANSWERS or self._monotonic() - last[0][0] >= WRONG_S:
            return ""
        return last[-1][1][:16].hex(" ").upper()

    @property
    def flags(self) -> int:
        """Quality bits of what is read on this line now, of any unit."""
        return self._shared_flag | int(NOISY) if self.damage.high else self._shared_flag

    def flags_of(self, unit: Unit) -> int:
        """Quality bits of what is read from a unit now: damage counts for the unit, another master for the whole
        line."""
        noisy = self.damage.noisy(unit) or (self._frail and self.damage.lately(unit))
        return self._shared_flag | int(NOISY) if noisy else self._shared_flag

    @property
    def _shared_flag(self) -> int:
        return int(Quality.SHARED_LINE) if not self._shared and self._monotonic() < self._other.until else 0

    @property
    def stranger(self) -> str:
        """The last frame of another master, as hex."""
        return self._other.frame

    def clear_shared(self) -> str:
        """The other master is off the line: flag nothing, avoid no shape and allow for no longer answer lives until it
        is heard again. Gives its last frame, as hex; nothing while none is known."""
        now = self._monotonic()
        if now >= self._other.until and not self._table.avoids(now) and not self._table.lengthened(now):
            return ""
        self._other.until = float("-inf")
        self._table.avoid_none()
        self._table.as_configured(now)
        return self.stranger

    def _stranger(self, seen: ObservedFrame, now: float) -> None:
        """A frame that we never asked for; or so long ago that it should have died out."""
        self._wrong.clear()  # they may have been this one's
        self._other.frame = seen.data[:16].hex(" ").upper()
        if not self._shared:
            self._other.until = now + STRANGER_S
        if seen.key is None:
            return
        if seen.latency_s is None or seen.latency_s > LONGEST_LIFE_S:
            self._table.avoid(seen.key, now)
            return
        text = "%s: unit %s may have taken %.1f s to answer; if it is that slow, set a longer answer_life"
        log.warning(text, self._line, seen.key[0], seen.latency_s, extra={"line": self._line})
        self._table.lengthen(seen.key[0], 1.5 * seen.latency_s, now)
        self._table.use(seen.key, now)

    def _mismatched(self, unit: Unit, seen: ObservedFrame) -> None:
        """Another function or length came in place of our answer. Where another master is known it may be his."""
        now = self._monotonic()
        if now < self._other.until:
            self._stranger(seen, now)
        elif not self._shared:
            self._wrong[unit] = [*self._wrong.get(unit, []), (now, seen.data)][-WRONG_ANSWERS:]


FRAMES = 1000
"""Frames of a line over which the share of damaged ones is taken."""
NOISY_SHARE = 0.01


class DamagedFrames:
    """The last thousand frames of a line by unit (None: unknown), and which of them were damaged."""

    def __init__(self) -> None:
        self._last = deque[tuple[Unit | None, bool]]()
        self._frames, self._damaged = Counter[Unit | None](), Counter[Unit | None]()
        self._bad = 0
        self._whole, self._whole_at_least = dict[Unit | None, int](), FRAMES

    def add(self, unit: Unit | None, *, damaged: bool) -> None:
        """One more frame."""
        if len(self._last) == FRAMES:
            self._count(*self._last.popleft(), -1)
        self._last.append((unit, damaged))
        self._count(unit, damaged, 1)
        if damaged and unit is None:
            self._whole, self._whole_at_least = {}, 0
        else:
            self._whole[unit] = 0 if damaged else self._whole.get(unit, self._whole_at_least) + 1

    def _count(self, unit: Unit | None, damaged: bool, by: int) -> None:
        self._frames[unit] += by
        if damaged:
            self._damaged[unit] += by
            self._bad += by

    @property
    def high(self) -> bool:
        """More than 1 % are damaged, and more than one or two by chance."""
        return self._bad > max(2, NOISY_SHARE * len(self._last))

    def noisy(self, unit: Unit) -> bool:
        """The line is noisy, and more than 1 % of this unit's frames are damaged; or some damaged ones have no known
        unit."""
        of_unit = self._damaged[unit] > NOISY_SHARE * self._frames[unit]
        return self.high and (of_unit or self._damaged[None] > 0)

    def lately(self, unit: Unit) -> bool:
        """One of the unit's last thousand frames was damaged, or one of a unit that is not known since then."""
        return self._whole.get(unit, self._whole_at_least) < FRAMES

    @property
    def only(self) -> Unit | None:
        """The one unit on which all damage is while others answer without; None: there is no such unit."""
        guilty = [unit for unit, count in self._damaged.items() if count]
        others = any(count for unit, count in self._frames.items() if unit not in guilty)
        return guilty[0] if len(guilty) == 1 and others else None
