"""Moments and periods as people write them: RFC 3339 times, and months of a plan's civil time."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone, tzinfo

from gateway.errors import GatewayError
from gateway.messages.message import Message

_MONTH = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_OFFSET = re.compile(r"([+-])(\d\d):([0-5]\d)")


def moment_ms(text: str, zone: tzinfo) -> int:
    """A time such as ``2026-10-03T14:05:00+08:00`` in ms; without an offset it is one of ``zone``. Raises
    GatewayError."""
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        raise GatewayError(Message("time-unreadable", text=text)) from None
    if time.tzinfo is None:
        time = time.replace(tzinfo=zone)
    return (time - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def offset_min(text: object) -> int | None:
    """Minutes from UTC of ``+08:00``; None for anything else."""
    found = _OFFSET.fullmatch(text) if isinstance(text, str) else None
    if found is None:
        return None
    minutes = int(found[2]) * 60 + int(found[3])
    return -minutes if found[1] == "-" else minutes


def offset_text(minutes: int) -> str:
    """``+08:00`` for 480."""
    return f"{'-' if minutes < 0 else '+'}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def month_ms(year: int, month: int, civil_min: int) -> int:
    """When a civil month begins; month 13 is January of the next year."""
    begin = datetime(year + (month > 12), month - 12 * (month > 12), 1, tzinfo=UTC)
    return (int(begin.timestamp()) - civil_min * 60) * 1000


def period_ms(text: str, civil_min: int) -> tuple[int, int]:
    """``2026-10``, or two times with a slash between, as from and to in ms. Raises GatewayError."""
    if found := _MONTH.fullmatch(text):
        year, month = int(found[1]), int(found[2])
        return month_ms(year, month, civil_min), month_ms(year, month + 1, civil_min)
    begin, slash, end = text.partition("/")
    if not slash:
        raise GatewayError(Message("period-unreadable", text=text))
    zone = civil_zone(civil_min)
    return moment_ms(begin, zone), moment_ms(end, zone)


def civil_zone(civil_min: int) -> tzinfo:
    """A plan's civil time."""
    return timezone(timedelta(minutes=civil_min))


def civil_text(time_ms: int, civil_min: int) -> str:
    """A moment by a plan's civil time, with its offset."""
    return datetime.fromtimestamp(time_ms / 1000, civil_zone(civil_min)).isoformat()
