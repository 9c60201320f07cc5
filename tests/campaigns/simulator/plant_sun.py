"""Sun of the simulator beside pvlib: a table made once (tests/firmware_sim/oracles/sun.csv), 12 places and 4 days."""

from __future__ import annotations

import math
from dataclasses import astuple, dataclass
from datetime import datetime

from firmware_sim.plant.sun import Irradiance, Panel, PanelSpec
from tests.firmware_sim.oracles.tables import rows

CLOUDS = 0.8
"""Of the panels that are compared: the most that clouds take."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One moment at one place: the angle between the two suns in degrees, and irradiance in W/m², ours and pvlib's."""

    place: str
    day: str
    between: float
    ours: Irradiance
    pvlib: Irradiance

    @property
    def apart(self) -> float:
        """The most by which an irradiance differs."""
        pairs: list[tuple[float, float]] = list(zip(astuple(self.ours), astuple(self.pvlib), strict=True))
        return max(abs(a - b) for a, b in pairs)


def compared() -> list[Compared]:
    """Every row of the table."""
    found = []
    for row in rows("sun.csv"):
        clear, latitude, longitude = float(row["clear"]), float(row["latitude"]), float(row["longitude"])
        panel = Panel(PanelSpec(latitude, longitude, float(row["tilt"]), float(row["faces"]), CLOUDS))
        unix_s = round(datetime.fromisoformat(row["time"]).timestamp())
        between = math.dist(
            _direction(*panel.sun(unix_s)), _direction(float(row["zenith"]), float(row["azimuth"]))
        )  # of two unit vectors so close to each other this is the angle
        ours = panel.irradiance(unix_s, (1 - clear) / CLOUDS)
        pvlib = Irradiance(*(float(row[name]) for name in Irradiance.__dataclass_fields__))
        found.append(Compared(row["place"], row["time"][:10], math.degrees(between), ours, pvlib))
    return found


def sun_figures() -> dict[str, object]:
    """What ``scripts/campaign plant`` prints of it."""
    all_rows = compared()
    return {
        "sun_places": len({row.place for row in all_rows}),
        "sun_moments": len(all_rows),
        "sun_degrees_apart": round(max(row.between for row in all_rows), 4),
        "sun_w_m2_apart": round(max(row.apart for row in all_rows), 2),
    }


def _direction(zenith: float, azimuth: float) -> tuple[float, float, float]:
    z, a = math.radians(zenith), math.radians(azimuth)
    return math.sin(z) * math.sin(a), math.sin(z) * math.cos(a), math.cos(z)
