"""Local calendar: days and months of a time zone as ranges of Unix time, and round times of its clocks. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta, tzinfo

MINUTE_MS, HOUR_MS, DAY_MS = 60_000, 3_600_000, 86_400_000
Stretch = tuple[int, int]
"""[from, to) in Unix ms."""


_FIRST = date(1970, 1, 1)


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
