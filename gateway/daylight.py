"""Sunrise and sunset at a place. Pure.

NOAA Global Monitoring Laboratory, "Solar Calculation Details" (its spreadsheet), after J. Meeus, Astronomical
Algorithms: good to a minute between the polar circles for 1901 to 2099, to a few minutes beyond.
"""

from __future__ import annotations

from math import acos, asin, cos, radians, sin, tan
from typing import NamedTuple

DAY_MS, MINUTE_MS = 86_400_000, 60_000
_J2000_MS, _CENTURY_MS = 946_728_000_000, 36_525 * DAY_MS
_ZENITH = radians(90.833)
"""Of the sun's centre when its upper edge is at the horizon: half its breadth, and refraction."""


class Daylight(NamedTuple):
    """The day around one solar noon, in Unix ms. Where the sun never sets both are half a day from noon; where it never
    rises, both are noon."""

    sunrise_ms: int
    sunset_ms: int

    @property
    def long_ms(self) -> int:
        """How long the sun is up: 0 to a whole day."""
        return self.sunset_ms - self.sunrise_ms


def daylight(latitude: float, longitude: float, near_ms: int) -> Daylight:
    """The day whose solar noon is nearest to a moment.

    Args:
        latitude: in degrees, north positive.
        longitude: in degrees, east positive.
        near_ms: the moment, Unix time in ms.
    """
    days = round((near_ms + longitude * 4 * MINUTE_MS - DAY_MS / 2) / DAY_MS)
    mean_noon_ms = days * DAY_MS + DAY_MS // 2 - longitude * 4 * MINUTE_MS
    noon_ms = mean_noon_ms - _sun(mean_noon_ms)[1] * MINUTE_MS
    rise_ms = set_ms = noon_ms
    for _ in range(2):  # the sun moves on between noon and sunset
        rise_ms = noon_ms - _half_day_ms(latitude, _sun(rise_ms)[0])
        set_ms = noon_ms + _half_day_ms(latitude, _sun(set_ms)[0])
    return Daylight(round(rise_ms), round(set_ms))


def _half_day_ms(latitude: float, declination: float) -> float:
    """From noon to sunset: the hour angle of the sun at the horizon."""
    here = radians(latitude)
    cosine = (cos(_ZENITH) - sin(here) * sin(declination)) / (cos(here) * cos(declination))
    return acos(min(1.0, max(-1.0, cosine))) / radians(360) * DAY_MS


def _sun(at_ms: float) -> tuple[float, float]:
    """The sun's declination in radians, and the equation of time in minutes."""
    t = (at_ms - _J2000_MS) / _CENTURY_MS
    longitude = radians((280.46646 + t * (36000.76983 + t * 0.0003032)) % 360)
    anomaly = radians(357.52911 + t * (35999.05029 - t * 0.0001537))
    eccentricity = 0.016708634 - t * (0.000042037 + t * 0.0000001267)
    centre = (
        sin(anomaly) * (1.914602 - t * (0.004817 + t * 0.000014))
        + sin(2 * anomaly) * (0.019993 - t * 0.000101)
        + sin(3 * anomaly) * 0.000289
    )
    node = radians(125.04 - 1934.136 * t)
    apparent = longitude + radians(centre - 0.00569 - 0.00478 * sin(node))
    mean_obliquity = 23 + (26 + (21.448 - t * (46.815 + t * (0.00059 - t * 0.001813))) / 60) / 60
    obliquity = radians(mean_obliquity + 0.00256 * cos(node))
    y = tan(obliquity / 2) ** 2
    equation = (
        y * sin(2 * longitude)
        - 2 * eccentricity * sin(anomaly)
        + 4 * eccentricity * y * sin(anomaly) * cos(2 * longitude)
        - y * y / 2 * sin(4 * longitude)
        - 1.25 * eccentricity**2 * sin(2 * anomaly)
    )
    return asin(sin(obliquity) * sin(apparent)), equation / radians(1) * 4
