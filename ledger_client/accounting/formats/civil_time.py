"""Civil time of a plan: a fixed offset from UTC, by which months, quarters and years are cut (rule N6). Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Final

from ledger_client.times import rfc3339, rfc3339_ms

_OFFSET: Final = re.compile(r"([+-])(\d\d):([0-5]\d)")
_MONTH: Final = re.compile(r"(\d{4})-(0[1-9]|1[0-2])")
_YEAR: Final = re.compile(r"\d{4}")
_MINUTE_MS: Final = 60_000


def civil(time_ms: int, civil_min: int) -> datetime:
    """Date and time of a moment at an offset in minutes; its own zone says UTC."""
    return datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=time_ms, minutes=civil_min)


def month_ms(year: int, month: int, civil_min: int) -> int:
    """When a civil month begins; month 13 is January of the next year."""
    begin = datetime(year + (month > 12), month - 12 * (month > 12), 1, tzinfo=UTC)
    return int(begin.timestamp()) * 1000 - civil_min * _MINUTE_MS


def month_of_ms(time_ms: int, civil_min: int) -> int:
    """When the civil month of a moment begins."""
    now = civil(time_ms, civil_min)
    return month_ms(now.year, now.month, civil_min)


def month_around(time_ms: int, civil_min: int) -> tuple[int, int]:
    """When the civil month of a moment begins, and when the next one does, in ms."""
    now = civil(time_ms, civil_min)
    return month_ms(now.year, now.month, civil_min), month_ms(now.year, now.month + 1, civil_min)


def months(from_ms: int, to_ms: int, civil_min: int) -> Iterator[tuple[int, int]]:
    """The civil months of [from, to), the first and the last cut where it begins and ends."""
    while from_ms < to_ms:
        end_ms = min(month_around(from_ms, civil_min)[1], to_ms)
        yield from_ms, end_ms
        from_ms = end_ms


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


def utc_text(time_ms: int) -> str:
    """RFC 3339 in UTC; milliseconds where there are any."""
    return rfc3339_ms(time_ms) if time_ms % 1000 else rfc3339(time_ms // 1000)


def civil_text(time_ms: int, civil_min: int) -> str:
    """RFC 3339 at an offset in minutes; milliseconds where there are any."""
    return utc_text(time_ms + civil_min * _MINUTE_MS).removesuffix("Z") + offset_text(civil_min)


def named_period(text: str, civil_min: int) -> tuple[int, int] | None:
    """From and to of the year ``2026`` or the month ``2026-10``, in ms; None for anything else."""
    if _YEAR.fullmatch(text) is None:
        return named_month(text, civil_min)
    try:
        return month_ms(int(text), 1, civil_min), month_ms(int(text), 13, civil_min)
    except ValueError:
        return None


def named_month(text: str, civil_min: int) -> tuple[int, int] | None:
    """From and to of the month ``2026-10``, in ms; None for anything else, and for one that no date is of."""
    found = _MONTH.fullmatch(text)
    if found is None:
        return None
    year, month = int(found[1]), int(found[2])
    try:
        return month_ms(year, month, civil_min), month_ms(year, month + 1, civil_min)
    except ValueError:  # dates are of the years 1 to 9999
        return None
