"""Sun: where it stands, what a clear sky lets through, and what falls on a tilted panel. Pure.

The position is the geometric one, without refraction, by ``astral`` (the equations of the NOAA, after Meeus), which is
imported when the first panel is made. Irradiance is in W/m².
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache

MOST_LATITUDE = 89.8
"""In degrees: ``astral`` counts a place nearer to a pole as this one."""
ALBEDO = 0.25
"""Share that the ground reflects."""
SOLAR_CONSTANT = 1366.1
_EPOCH = datetime(1970, 1, 1)
_LEAST_COS_ZENITH, _MOST_ZENITH_DEG = 0.065, 87.0
"""Near the horizon the clearness is that of the first, and below the second all light is diffuse, as pvlib has it."""


@dataclass(frozen=True, slots=True)
class PanelSpec:
    """Panels at one place, in degrees: ``longitude`` east of Greenwich, ``tilt`` from the horizontal, ``azimuth`` of
    the side that they face, from north by east. ``clouds``: the most of the clear sky's light that clouds take."""

    latitude: float
    longitude: float
    tilt: float
    azimuth: float
    clouds: float = 0.0


@dataclass(frozen=True, slots=True)
class Irradiance:
    """On the horizontal, of the beam across its direction, diffuse on the horizontal, and on the panel."""

    horizontal: float
    beam: float
    diffuse: float
    tilted: float


class Panel:
    """Panels under the sun of their place."""

    def __init__(self, spec: PanelSpec) -> None:
        self.spec, self.sun = spec, sun_of(spec.latitude, spec.longitude)

    def irradiance(self, unix_s: int, cover: float) -> Irradiance:
        """At a moment, while clouds take a share ``cover`` (0 to 1) of the most that they may."""
        zenith, azimuth = self.sun(unix_s)
        cos_zenith = math.cos(math.radians(zenith))
        horizontal = clear_sky(cos_zenith) * (1 - self.spec.clouds * cover)
        beam, diffuse = split(horizontal, zenith, extraterrestrial(_EPOCH + timedelta(seconds=unix_s)))
        return Irradiance(horizontal, beam, diffuse, tilted(self.spec, zenith, azimuth, horizontal, beam, diffuse))


@cache
def panel_of(spec: PanelSpec) -> Panel:
    """The same panels are made once."""
    return Panel(spec)


def sun_of(latitude: float, longitude: float) -> Callable[[int], tuple[float, float]]:
    """Zenith angle and azimuth (from north by east) of the sun over a place, in degrees, by Unix seconds."""
    from astral import Observer
    from astral.sun import zenith_and_azimuth

    place = Observer(latitude, longitude)
    return lambda unix_s: zenith_and_azimuth(place, _EPOCH + timedelta(seconds=unix_s), with_refraction=False)


def clear_sky(cos_zenith: float) -> float:
    """On the horizontal (Haurwitz, Journal of Meteorology 2 (1945) 154)."""
    return 1098.0 * cos_zenith * math.exp(-0.059 / cos_zenith) if cos_zenith > 0 else 0.0


def extraterrestrial(utc: datetime) -> float:
    """Above the air, across the beam, on a day (Spencer, Search 2 (1971) 172)."""
    day = 2 * math.pi * (utc.timetuple().tm_yday - 1) / 365
    return SOLAR_CONSTANT * (
        1.00011
        + 0.034221 * math.cos(day)
        + 0.00128 * math.sin(day)
        + 0.000719 * math.cos(2 * day)
        + 7.7e-5 * math.sin(2 * day)
    )


def split(horizontal: float, zenith: float, outside: float) -> tuple[float, float]:
    """What falls on the horizontal as beam (across its direction) and diffuse (Erbs, Klein and Duffie, Solar Energy 28
    (1982) 293, equation 1).

    Args:
        horizontal: of both.
        zenith: angle of the sun in degrees.
        outside: irradiance above the air.
    """
    if zenith > _MOST_ZENITH_DEG:
        return 0.0, horizontal
    cos_zenith = math.cos(math.radians(zenith))
    k = min(1.0, horizontal / (outside * max(cos_zenith, _LEAST_COS_ZENITH)))
    if k <= 0.22:
        share = 1 - 0.09 * k
    elif k <= 0.8:
        share = 0.9511 + k * (-0.1604 + k * (4.388 + k * (-16.638 + k * 12.336)))
    else:
        share = 0.165
    return horizontal * (1 - share) / cos_zenith, horizontal * share


def tilted(panel: PanelSpec, zenith: float, azimuth: float, horizontal: float, beam: float, diffuse: float) -> float:
    """On the panel, of a sky that is equally bright everywhere (Liu and Jordan, Solar Energy 7 (1963) 53)."""
    tilt, from_above = math.radians(panel.tilt), math.radians(zenith)
    facing = math.cos(from_above) * math.cos(tilt)
    facing += math.sin(from_above) * math.sin(tilt) * math.cos(math.radians(azimuth - panel.azimuth))
    sky, ground = (1 + math.cos(tilt)) / 2, (1 - math.cos(tilt)) / 2
    return beam * max(0.0, facing) + diffuse * sky + horizontal * ALBEDO * ground
