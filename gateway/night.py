"""Night of a site: the hours in which a device may sleep, and those in which the sun is down. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from math import inf
from zoneinfo import ZoneInfo

from gateway.daylight import DAY_MS, MINUTE_MS, daylight

MARGIN_MS = 60 * MINUTE_MS
"""The night begins so long before sunset and ends so long after sunrise: a panel needs more than the first light."""


@dataclass(frozen=True, slots=True)
class Night:
    """``hours``: the minutes of the local day (``zone``) at which a device's own hours begin and end, the end on the
    next day where it is the smaller one. ``place``: latitude and longitude in degrees, north and east positive. What
    is not given says nothing; either may say that it is night."""

    zone: ZoneInfo
    hours: tuple[int, int] | None = None
    place: tuple[float, float] | None = None

    def at(self, time_ms: int) -> bool:
        """Whether it is night at this moment (Unix ms)."""
        return self._within_hours(time_ms) or self._dark(time_ms)

    def long_ms(self, time_ms: int) -> float:
        """How long the night nearest to this moment is; infinite where the sun does not rise."""
        by_hours = (self.hours[1] - self.hours[0]) % 1440 * MINUTE_MS if self.hours else 0
        if self.place is None:
            return by_hours
        day_ms = daylight(*self.place, time_ms).long_ms
        return max(by_hours, DAY_MS - day_ms + 2 * MARGIN_MS if day_ms else inf)

    def _within_hours(self, time_ms: int) -> bool:
        if self.hours is None:
            return False
        local = datetime.fromtimestamp(time_ms / 1000, self.zone)
        begin, end = self.hours
        return (local.hour * 60 + local.minute - begin) % 1440 < (end - begin) % 1440

    def _dark(self, time_ms: int) -> bool:
        """Never where the sun does not set, always where it does not rise."""
        if self.place is None:
            return False
        day = daylight(*self.place, time_ms)
        up = day.sunrise_ms + MARGIN_MS <= time_ms < day.sunset_ms - MARGIN_MS
        return day.long_ms < DAY_MS and not up
