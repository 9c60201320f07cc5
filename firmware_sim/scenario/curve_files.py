"""Curves of a plant's units: reading their files, and what they and the sun need of the plant's calendar."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from firmware_sim.plant.curves import DAY_S, Curve, Limits, curve_of
from firmware_sim.scenario.complaints import Unfit
from firmware_sim.scenario.plant_schema import PlantTable
from firmware_sim.scenario.unit_schema import SolarTable, ThermalTable, UnitTable

SET_START = 'set start in [plant]: start = "2026-06-21T04:00+08:00"'


def curves_of(plant: PlantTable, folder: Path) -> dict[str, Curve]:
    """The curves by name of their unit.

    Args:
        plant: with its units.
        folder: to which their files are relative.

    Raises:
        Unfit: a file that cannot be read, or something that needs a date where the plant has none.
        ScenarioError: a file that is no curve.
    """
    found = {}
    for number, unit in enumerate(plant.unit):
        where = f"plant.unit[{number}]"
        if isinstance(unit, SolarTable) and unit.latitude is not None and plant.moment is None:
            raise Unfit(
                f"{where}.latitude", "where the sun stands depends on the day, and the plant has none", SET_START
            )
        if unit.curve is not None:
            found[unit.name] = _curve(f"{where}.curve", unit, unit.curve, plant.moment, folder)
    return found


def _curve(where: str, unit: UnitTable, name: str, start: datetime | None, folder: Path) -> Curve:
    path = folder / name
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        problem = f"{path}: {error.strerror or error}"
        raise Unfit(where, problem, "check the path, which is relative to the scenario's folder") from None
    except UnicodeDecodeError as error:
        raise Unfit(where, f"{path}: byte {error.start} is not UTF-8", "save the file as UTF-8") from None
    away = None if start is None else start.utcoffset()
    offset_s = None if away is None else round(away.total_seconds())
    curve = curve_of(text, str(path), repeats=unit.repeats, offset_s=offset_s, limits=_limits(unit))
    if curve.period_s == DAY_S:
        return curve
    if start is None:
        fix = SET_START if unit.repeats else f'{SET_START}, or repeats = "day"'
        raise Unfit(where, f"{path} has dates, and the plant has none", fix)
    if curve.period_s is None and not curve.times_s[0] <= start.timestamp() < curve.times_s[-1]:
        begin, end = (
            datetime.fromtimestamp(t, start.tzinfo).isoformat() for t in (curve.times_s[0], curve.times_s[-1])
        )
        problem = f"{path} goes from {begin} to {end}, and the plant starts at {start.isoformat()}"
        raise Unfit(where, problem, "start the plant within the curve, or set repeats")
    return curve


def _limits(unit: UnitTable) -> Limits:
    most = unit.most_kw
    if isinstance(unit, ThermalTable):
        return Limits(0.0, most, f"{unit.name} delivers 0 to {most:.12g} kW, at full load")
    return Limits(-most, most, f"{unit.name} has no more than kw = {most:.12g}")
