"""Steps of a chart: quarters of an hour, hours, days or months of a zone, as fine as asked for and as fits. Pure."""

from __future__ import annotations

from datetime import tzinfo
from typing import Final, Literal, get_args

from gateway.local_calendar import DAY_MS, HOUR_MS, MINUTE_MS, Stretch, days, months

By = Literal["auto", "15m", "hour", "day", "month"]
BYS: Final[tuple[By, ...]] = get_args(By)
QUARTER_MS: Final = 15 * MINUTE_MS
MOST: Final = 480
"""Steps of a chart."""
_LEAST_MS: Final[dict[By, int]] = {"15m": QUARTER_MS, "hour": HOUR_MS, "day": 23 * HOUR_MS, "month": 28 * DAY_MS}


def by_of(text: str | None) -> By:
    """What an address asks for; ``auto`` where it says nothing that there is."""
    return next((by for by in BYS if by == text), "auto")


def fitting(by: By, from_ms: int, to_ms: int) -> By:
    """The same, or the next coarser steps of which ``MOST`` fit."""
    coarser = [found for found in BYS[BYS.index(by) :] if (to_ms - from_ms) / _LEAST_MS[found] <= MOST - 2]
    return coarser[0] if coarser else BYS[-1]


def natural(from_ms: int, to_ms: int) -> By:
    """Steps by which the energy of a time is shown: hours of up to eight days, days of up to two months."""
    length_ms = to_ms - from_ms
    return "hour" if length_ms <= 8 * DAY_MS else "day" if length_ms <= 62 * DAY_MS else "month"


def stretches(by: By, from_ms: int, to_ms: int, zone: tzinfo) -> list[Stretch]:
    """The steps that [from_ms, to_ms) touches, whole ones; hours are those of Unix time, as summaries are."""
    if by == "month":
        return list(months(from_ms, to_ms, zone))
    if by == "day":
        return list(days(from_ms, to_ms, zone))
    step_ms = QUARTER_MS if by == "15m" else HOUR_MS
    return [(ms, ms + step_ms) for ms in range(from_ms // step_ms * step_ms, to_ms, step_ms)]
