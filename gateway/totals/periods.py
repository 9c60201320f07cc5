"""Periods of totals: today, yesterday, a month, by the clocks of the site or the civil time of a plan. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date, timedelta, timezone, tzinfo
from typing import Final

from gateway.errors import GatewayError
from gateway.local_calendar import Stretch, day_ms, later, local
from gateway.messages.message import Message

TODAY, YESTERDAY, MONTH = "today", "yesterday", "month"
PERIODS: Final = (TODAY, YESTERDAY, MONTH)
"""Those of the page; ``month`` is the running one."""
_DAY: Final = timedelta(days=1)


def stretches(now_ms: int, zone: tzinfo) -> Mapping[str, Stretch]:
    """The periods of the page."""
    return {name: stretch(name, now_ms, zone) for name in PERIODS}


def stretch(text: str, now_ms: int, zone: tzinfo) -> Stretch:
    """A period by its name, or the day ``2026-10-25``, or the month ``2026-10``: Unix time in ms. Raises
    GatewayError."""
    today = local(now_ms, zone).date()
    if text in (TODAY, YESTERDAY):
        day = today if text == TODAY else today - _DAY
        return _checked(text, day, day + _DAY, now_ms, zone)
    if text == MONTH:
        first = today.replace(day=1)
        return _checked(text, first, later(first, 1), now_ms, zone)
    try:
        if re.fullmatch(r"\d{4}-\d{2}", text):
            first = date.fromisoformat(f"{text}-01")
            return _checked(text, first, later(first, 1), now_ms, zone)
        if re.fullmatch(r"\d{4}-\d{2}-\d{2}", text):
            day = date.fromisoformat(text)
            return _checked(text, day, day + _DAY, now_ms, zone)
    except (ValueError, OverflowError):
        pass  # there is no such day
    raise GatewayError(Message("totals-period", period=text))


def _checked(text: str, first: date, end: date, now_ms: int, zone: tzinfo) -> Stretch:
    from_ms, to_ms = day_ms(first, zone), day_ms(end, zone)
    if from_ms > now_ms:
        raise GatewayError(Message("totals-period-ahead", period=text, begins_ms=from_ms))
    if first.year < 1971:
        raise GatewayError(Message("totals-period", period=text))
    return from_ms, to_ms


def day_before(ms: int, zone: tzinfo) -> int:
    """When the day begins that ends at a day's beginning."""
    return day_ms(local(ms, zone).date() - _DAY, zone)


def day_after(ms: int, zone: tzinfo) -> int:
    """When the day ends that begins then."""
    return day_ms(local(ms, zone).date() + _DAY, zone)


def civil_zone(civil_min: int) -> tzinfo:
    """The civil time of a plan, which knows no summer time."""
    return timezone(timedelta(minutes=civil_min))
