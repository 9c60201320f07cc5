"""Range of time that a page is asked for: from, to, a moment to jump to, and the ranges beside it. Pure.

An address says ``from``, ``to`` and ``at`` as people write times (gateway/local_calendar.py), so that a range
may follow the clock: ``from=-24h``. A list takes ``Bounds`` as they are, open where nothing is said; a chart needs an
end on either side, and has a ``Window``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta, tzinfo
from typing import Final

from gateway.errors import GatewayError
from gateway.local_calendar import DAY_MS, Moment, day_ms, later, local, moment_of
from gateway.messages.message import Message
from ledger_client.message_formats import setting
from ledger_client.times import rfc3339, rfc3339_ms

LONGEST_MS: Final = 3660 * DAY_MS
SHORTEST_MS: Final = 10_000
"""No page zooms in further; a range that is asked for may be shorter."""
Choice = Mapping[str, str]
"""What an address says of a range, by its keys."""


class BadQuery(GatewayError):
    """The address asks for what there cannot be."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """What an address says: [from_ms, to_ms), open where it says nothing, and the moment to jump to. ``twice``: those
    of its times that clocks show twice, by their keys."""

    from_ms: int | None = None
    to_ms: int | None = None
    at_ms: int | None = None
    twice: tuple[tuple[str, Moment], ...] = ()

    @classmethod
    def of(cls, query: Mapping[str, str], zone: tzinfo, now_ms: int) -> Bounds:
        """The bounds in an address; a field without a text says nothing.

        Raises:
            BadQuery: one is no time, clocks skip it, or the end is not behind the beginning.
        """
        found: dict[str, Moment] = {}
        for key in ("from", "to", "at"):
            if text := query.get(key, "").strip():
                try:
                    found[key] = moment_of(text, zone, now_ms)
                except GatewayError as error:
                    raise BadQuery(error.sentence, error.way_out) from None
        from_ms, to_ms, at_ms = (found[key].ms if key in found else None for key in ("from", "to", "at"))
        if from_ms is not None and to_ms is not None and from_ms >= to_ms:
            raise BadQuery(Message("range-backwards", from_ms=from_ms, to_ms=to_ms))
        return cls(from_ms, to_ms, at_ms, tuple((key, one) for key, one in found.items() if one.other_ms is not None))

    def window(self, usual_ms: int, now_ms: int, zone: tzinfo) -> Window:
        """The range of a chart: with a moment to jump to in its middle; without an end it ends now, without a beginning
        it is ``usual_ms`` long. Raises BadQuery: it is longer than ten years."""
        begin_ms, end_ms = self.from_ms, self.to_ms
        if end_ms is None:
            end_ms = now_ms if begin_ms is None or begin_ms < now_ms else begin_ms + usual_ms
        if begin_ms is None:
            begin_ms = end_ms - usual_ms
        if self.at_ms is not None:
            length_ms = end_ms - begin_ms
            begin_ms = self.at_ms - length_ms // 2
            end_ms = begin_ms + length_ms
        if end_ms - begin_ms > LONGEST_MS:
            raise BadQuery(Message("range-too-long", from_ms=begin_ms, to_ms=end_ms, most=LONGEST_MS // DAY_MS))
        return Window(begin_ms, end_ms, now_ms, zone)


@dataclass(frozen=True, slots=True)
class Window:
    """[from_ms, to_ms) of a chart, and the ranges that lead on from it, each as an address says it."""

    from_ms: int
    to_ms: int
    now_ms: int
    zone: tzinfo

    @property
    def length_ms(self) -> int:
        """How long it is."""
        return self.to_ms - self.from_ms

    @property
    def earlier(self) -> Choice:
        """As long before it; before whole days or months as many of them."""
        return self._beside(-1)

    @property
    def later(self) -> Choice | None:
        """The same behind it; None where that has not begun."""
        return self._beside(1) if self.to_ms < self.now_ms else None

    @property
    def closer(self) -> Choice | None:
        """Its middle half; None where it is as short as can be."""
        return None if self.length_ms < 2 * SHORTEST_MS else self._around(self.length_ms // 2)

    @property
    def wider(self) -> Choice | None:
        """Twice as much, not beyond now; None where it is as long as can be."""
        return None if self.length_ms * 2 > LONGEST_MS else self._around(self.length_ms * 2)

    @property
    def now(self) -> Choice:
        """As long up to now, whenever the address is opened."""
        return {"from": f"-{setting(self.length_ms)}", "to": "now"}

    def _beside(self, sign: int) -> Choice:
        begin, end = (local(ms, self.zone).date() for ms in (self.from_ms, self.to_ms))
        if (day_ms(begin, self.zone), day_ms(end, self.zone)) != (self.from_ms, self.to_ms):
            return choice(self.from_ms + sign * self.length_ms, self.to_ms + sign * self.length_ms)
        months = (end.year - begin.year) * 12 + end.month - begin.month
        if begin.day == end.day == 1:
            ends = [later(day, sign * months) for day in (begin, end)]
        else:
            ends = [day + timedelta(days=sign * (end - begin).days) for day in (begin, end)]
        return choice(*(day_ms(day, self.zone) for day in ends))

    def _around(self, length_ms: int) -> Choice:
        begin_ms = (self.from_ms + self.to_ms - length_ms) // 2
        if self.to_ms <= self.now_ms < begin_ms + length_ms:
            begin_ms = self.now_ms - length_ms
        return choice(begin_ms, begin_ms + length_ms)


def choice(from_ms: int, to_ms: int) -> Choice:
    """A range as an address says it, in UTC."""
    return {"from": stamp(from_ms), "to": stamp(to_ms)}


def stamp(ms: int) -> str:
    """A moment as an address says it: RFC 3339 in UTC, milliseconds where it has any."""
    return rfc3339_ms(ms) if ms % 1000 else rfc3339(ms // 1000)


def shown(ms: int, zone: tzinfo) -> str:
    """A moment as the field of a form holds it: what clocks of a zone show, to the second."""
    return local(ms, zone).strftime("%Y-%m-%dT%H:%M:%S")
