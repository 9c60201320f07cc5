"""Two-wire line: who speaks when, at which speed, and what each end hears of it. Pure; times are whole ns.

Where two speak at once the line is low if one of them says low. An end hears nothing while it speaks itself, as an
RS-485 transceiver whose receiver is off while it drives the line; one that echoes hears itself too.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from firmware_sim.wire.uart import SECOND_NS, Uart

KEPT_NS = SECOND_NS
"""How long what was said is remembered: longer than the slowest byte takes."""


@dataclass(slots=True)
class Spoken:
    """Bytes that somebody says in one go. ``mark`` names who it is, for the log."""

    who: object
    start_ns: int
    uart: Uart
    data: bytes
    mark: str = ""
    levels: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.levels = self.uart.levels(self.data)

    @property
    def end_ns(self) -> int:
        """When the last stop bit ends."""
        return self._moment(len(self.levels))

    def level(self, at_ns: int) -> int:
        """The level at a moment."""
        place = (at_ns - self.start_ns) * self.uart.baudrate // SECOND_NS
        return self.levels[place] if 0 <= place < len(self.levels) else 1

    def next_at(self, level: int, at_ns: int) -> int | None:
        """The first moment from this one on at which it says this level, within what it says."""
        place = max(0, (at_ns - self.start_ns) * self.uart.baudrate // SECOND_NS)
        found = self.levels.find(level, place)
        return None if found < 0 else max(at_ns, self._moment(found))

    def cut(self, now_ns: int) -> None:
        """Say no more than the byte that has begun."""
        count = max(0, -(-(now_ns - self.start_ns) * self.uart.baudrate // (SECOND_NS * self.uart.bits)))
        self.data = self.data[:count]
        self.levels = self.uart.levels(self.data)

    def _moment(self, place: int) -> int:
        return self.start_ns - (-place * SECOND_NS // self.uart.baudrate)


class Pair:
    """The line."""

    def __init__(self) -> None:
        self.spoken: list[Spoken] = []

    def speak(self, who: object, start_ns: int, uart: Uart, data: bytes, mark: str = "") -> Spoken:
        """Put bytes onto the line, now or later, without a look at who else speaks.

        Args:
            who: the end that speaks; any object.
            start_ns: when its first start bit begins.
            uart: its settings.
            data: the bytes.
            mark: names it in the log.
        """
        spoken = Spoken(who, start_ns, uart, data, mark)
        self.spoken.append(spoken)
        return spoken

    def cut(self, who: object, now_ns: int) -> None:
        """Whoever speaks says no more than the byte that has begun."""
        for one in self.spoken:
            if one.who is who:
                one.cut(now_ns)

    def forget(self, now_ns: int) -> None:
        """Drop what no end can still be hearing."""
        self.spoken = [one for one in self.spoken if one.end_ns > now_ns - KEPT_NS]

    def marks(self, start_ns: int, end_ns: int) -> tuple[str, ...]:
        """Who spoke between two moments, of those that have a mark."""
        heard = (one for one in self.spoken if one.mark and one.start_ns < end_ns and one.end_ns > start_ns)
        return tuple(sorted({one.mark for one in heard}))

    def heard_by(self, who: object, *, echo: bool = False) -> Heard:
        """What an end hears."""
        return Heard(self, who, echo)


class Heard:
    """The line as one end hears it. See ``Levels``."""

    def __init__(self, pair: Pair, who: object, echo: bool) -> None:
        self._pair, self._who, self._echo = pair, who, echo

    def level(self, at_ns: int) -> int:
        """The level at a moment."""
        if self._deaf_until(at_ns) is not None:
            return 1
        return min((one.level(at_ns) for one in self._others()), default=1)

    def low_from(self, at_ns: int) -> int | None:
        """The first moment from this one on at which it is low."""
        while True:
            lows = [low for one in self._others() if (low := one.next_at(0, at_ns)) is not None]
            if not lows:
                return None
            low = min(lows)
            if (hears := self._deaf_until(low)) is None:
                return low
            at_ns = hears

    def high_from(self, at_ns: int) -> int:
        """The first moment from this one on at which it is high."""
        while not self.level(at_ns):
            low = [one for one in self._others() if not one.level(at_ns)]
            at_ns = max(one.next_at(1, at_ns) or one.end_ns for one in low)
        return at_ns

    def _others(self) -> Iterable[Spoken]:
        return self._pair.spoken if self._echo else (s for s in self._pair.spoken if s.who is not self._who)

    def _deaf_until(self, at_ns: int) -> int | None:
        """When this end stops speaking, if it speaks at this moment; None: it does not, or hears itself."""
        if self._echo:
            return None
        speaking = (s for s in self._pair.spoken if s.who is self._who and s.start_ns <= at_ns < s.end_ns)
        return max((one.end_ns for one in speaking), default=None)
