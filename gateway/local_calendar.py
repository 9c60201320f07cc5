"""Local calendar: days and months of a time zone as ranges of Unix time, round times of its clocks, and times as people
write them. Pure.

Where clocks are put back, they show an hour twice: a time in it is the first of the two, and ``Moment`` has the second,
so that whoever wrote it learns of it. Where they are put forward, they skip an hour: a time in it is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta, tzinfo
from typing import Final

from gateway.errors import GatewayError
from gateway.messages.message import Message
from ledger_client.text_file import duration_ms

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
Stretch = tuple[int, int]
"""[from, to) in Unix ms."""


_FIRST = date(1970, 1, 1)
_WRITTEN: Final = datetime(1900, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC)
"""Times of other centuries are typing errors, and beyond the years that calendars reckon with."""


@dataclass(frozen=True, slots=True)
class Moment:
    """A time that somebody wrote, in Unix ms. ``other_ms``: where clocks show it twice, the second time."""

    text: str
    ms: int
    other_ms: int | None = None

    @property
    def note(self) -> Message | None:
        """What whoever wrote it must know: which of two times it was taken for."""
        if self.other_ms is None:
            return None
        return Message("moment-twice", text=self.text, first_ms=self.ms, second_ms=self.other_ms)


def moment_of(text: str, zone: tzinfo, now_ms: int) -> Moment:
    """A time as people write it.

    Args:
        text: RFC 3339 (``2026-11-26T08:00:00Z``), what the clocks of a zone show (``2026-11-26 08:00``), a date (the
            beginning of that day), an age (``-24h``), or ``now``.
        zone: whose clocks and days those without an offset are.
        now_ms: the time that ages count from.

    Raises:
        GatewayError: it is no time, or one that clocks skip where they are put forward.
    """
    found = written(text, now_ms)
    if found is None:
        raise GatewayError(Message("moment-unreadable", text=text))
    if isinstance(found, int):
        return Moment(text, found)
    if not isinstance(found, datetime):
        return Moment(text, day_ms(found, zone))
    first_ms, second_ms = (moment_ms(found.replace(fold=fold), zone) for fold in (0, 1))
    if first_ms > second_ms:  # by the offset of before it is later than by the one of behind: PEP 495, "gap"
        raise GatewayError(Message("moment-skipped", text=text, zone=str(zone)))
    return Moment(text, first_ms, second_ms if second_ms > first_ms else None)


def instant_of(text: str, now_ms: int) -> int:
    """The same of a time that says of itself when it is: one with an offset (``Z``, ``+08:00``), an age, or ``now``.
    For programs, which know no clock on a wall. Raises GatewayError."""
    found = written(text, now_ms)
    if isinstance(found, int):
        return found
    raise GatewayError(Message("instant-unreadable", text=text))


def written(text: str, now_ms: int) -> int | date | None:
    """A time in Unix ms; what clocks show (a datetime without a zone) or a date, where the text says no offset; None
    where it is no time."""
    try:
        if text == "now":
            found = local(now_ms, UTC)
        elif match := re.fullmatch(r"-(.+)", text):
            found = local(now_ms - duration_ms(match[1]), UTC)
        elif (day := _day(text)) is not None:
            return day if _WRITTEN[0].date() <= day < _WRITTEN[1].date() else None
        else:
            found = datetime.fromisoformat(text)
        if not _WRITTEN[0] <= (found if found.tzinfo else found.replace(tzinfo=UTC)) < _WRITTEN[1]:
            return None
    except (ValueError, OverflowError, OSError):
        return None
    return found if found.tzinfo is None else round(found.timestamp() * 1000)


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def local(ms: int, zone: tzinfo) -> datetime:
    """What clocks and calendar show then."""
    return datetime.fromtimestamp(ms / 1000, UTC).astimezone(zone)


def moment_ms(shown: datetime, zone: tzinfo) -> int:
    """When clocks show this; the first time of two, and of a time that is left out the moment at which it is."""
    return round(shown.replace(tzinfo=zone).timestamp() * 1000)


def ahead_ms(ms: int, zone: tzinfo) -> int:
    """How far clocks are ahead of UTC then."""
    ahead = local(ms, zone).utcoffset()
    return round(ahead.total_seconds() * 1000) if ahead else 0


def day_ms(day: date, zone: tzinfo) -> int:
    """When a day begins."""
    return moment_ms(datetime(day.year, day.month, day.day), zone)


def days(from_ms: int, to_ms: int, zone: tzinfo, together: int = 1) -> Iterator[Stretch]:
    """The days that [from_ms, to_ms) touches, each of 23, 24 or 25 hours, or so many together at a time."""
    passed = local(from_ms, zone).toordinal() - _FIRST.toordinal()
    day = _FIRST + timedelta(days=passed // together * together)
    while (begin_ms := day_ms(day, zone)) < to_ms:
        day += timedelta(days=together)
        yield begin_ms, day_ms(day, zone)


def months(from_ms: int, to_ms: int, zone: tzinfo, together: int = 1) -> Iterator[Stretch]:
    """The months that [from_ms, to_ms) touches; of several together the first one of a year begins in January."""
    shown = local(from_ms, zone)
    month = date(shown.year, (shown.month - 1) // together * together + 1, 1)
    while (begin_ms := day_ms(month, zone)) < to_ms:
        month = later(month, together)
        yield begin_ms, day_ms(month, zone)


def later(month: date, count: int) -> date:
    """The first day of the month that is so many months later, or earlier."""
    year, zero_based = divmod(month.year * 12 + month.month - 1 + count, 12)
    return date(year, zero_based + 1, 1)


def hours(from_ms: int, to_ms: int, zone: tzinfo, together: int) -> Iterator[int]:
    """The moments in [from_ms, to_ms) at which clocks show a multiple of so many hours."""
    for begin_ms, _ in days(from_ms, to_ms, zone):
        day = local(begin_ms, zone).date()
        for hour in range(0, 24, together):
            shown = datetime(day.year, day.month, day.day, hour)
            ms = moment_ms(shown, zone)
            if from_ms <= ms < to_ms and local(ms, zone).replace(tzinfo=None) == shown:
                yield ms
