"""Choice of what the pages Energy and Emissions show: hours, days or months, and of which time. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from ledger_client.accounting.formats.civil_time import civil, month_ms

HOUR, DAY, MONTH = "hour", "day", "month"
VIEWS: Final = (HOUR, DAY, MONTH)
RUNNING_MONTH: Final = "running-month"
"""The month of the day alone: for pages that show only that."""
DAY_MS: Final = 86_400_000
MONTHS: Final = 12
"""Months that are shown at a time."""
_FIRST, _LAST = date(1971, 1, 1), date(2999, 12, 31)
_DAY: Final = timedelta(days=1)
Stretch = tuple[int, int]
"""[from, to) in ms."""


@dataclass(frozen=True, slots=True)
class Choice:
    """``view``: one of VIEWS; ``at``: a day of what is shown (None: today); ``node``: one by its name ("": as many as
    fit); ``plan`` likewise."""

    view: str = HOUR
    at: date | None = None
    plan: str = ""
    node: str = ""

    @classmethod
    def of(cls, query: Mapping[str, str]) -> Choice:
        """The choice in an address; what makes no sense there is the usual one."""
        view, at = query.get("view", HOUR), None
        try:
            at = date.fromisoformat(query.get("at", ""))
        except ValueError:
            at = None
        if at is not None and not _FIRST <= at <= _LAST:
            at = None
        return cls(view if view in VIEWS else HOUR, at, query.get("plan", ""), query.get("node", ""))

    def day(self, now_ms: int, civil_min: int) -> date:
        """The day that is shown, or that lies in what is shown, by a plan's civil time."""
        return self.at or civil(now_ms, civil_min).date()

    def steps(self, now_ms: int, civil_min: int) -> list[Stretch]:
        """What a line each is for: of a view by hours the day itself, by days those of its month, by months twelve,
        the last one that of the day."""
        day = self.day(now_ms, civil_min)
        if self.view == HOUR:
            return [(day_ms(day, civil_min), day_ms(day + _DAY, civil_min))]
        if self.view == RUNNING_MONTH:
            return [self.month(now_ms, civil_min)]
        if self.view == MONTH:
            number = day.year * 12 + day.month - 1
            return [_month(n, civil_min) for n in range(number - MONTHS + 1, number + 1)]
        begin_ms, end_ms = _month(day.year * 12 + day.month - 1, civil_min)
        return [(ms, ms + DAY_MS) for ms in range(begin_ms, end_ms, DAY_MS)]

    def month(self, now_ms: int, civil_min: int) -> Stretch:
        """The civil month of the day that is shown."""
        day = self.day(now_ms, civil_min)
        return _month(day.year * 12 + day.month - 1, civil_min)

    def neighbours(self, now_ms: int, civil_min: int) -> tuple[date, date]:
        """The days by which the page before and the page behind are called."""
        day = self.day(now_ms, civil_min)
        if self.view == HOUR:
            return max(day - _DAY, _FIRST), min(day + _DAY, _LAST)
        apart, number = 1 if self.view == DAY else MONTHS, day.year * 12 + day.month - 1
        before, behind = (date(*_year_month(n), 1) for n in (number - apart, number + apart))
        return max(before, _FIRST), min(behind, _LAST)


def day_ms(day: date, civil_min: int) -> int:
    """When a civil day begins."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000 - civil_min * 60_000


def _year_month(number: int) -> tuple[int, int]:
    return number // 12, number % 12 + 1


def _month(number: int, civil_min: int) -> Stretch:
    (year, month), (later, behind) = _year_month(number), _year_month(number + 1)
    return month_ms(year, month, civil_min), month_ms(later, behind, civil_min)
