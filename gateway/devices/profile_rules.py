"""Rules between the keys of a profile: what no single value shows. Each refusal names file, point, key and way out."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal

from gateway.devices.points import Point, Profile, ProfileError, nearest

Refuse = Callable[[str, str, str], ProfileError]

PRIMARY = frozenset(
    ["m", "kg", "g", "s", "A", "K", "cd", "mol", "Hz", "rad", "sr", "N", "Pa", "J", "W", "C", "V", "F", "Ohm", "S", "Wb", "T", "H", "Cel", "lm", "lx", "Bq", "Gy", "Sv", "kat", "m2", "m3", "l", "m/s", "m/s2", "m3/s", "l/s", "W/m2", "cd/m2", "bit", "bit/s", "lat", "lon", "pH", "dB", "dBW", "Bspl", "count", "/", "%", "%RH", "%EL", "EL", "1/s", "1/min", "beat/min", "beats", "S/m", "B", "VA", "VAs", "var", "vars", "J/m", "kg/m3", "deg", "NTU"]
)
SECONDARY = frozenset(
    ["ms", "min", "h", "MHz", "kW", "kVA", "kvar", "Ah", "Wh", "kWh", "varh", "kvarh", "kVAh", "Wh/km", "KiB", "GB", "Mbit/s", "B/s", "MB/s", "mV", "mA", "dBm", "ug/m3", "mm/h", "m/h", "ppm", "/100", "/1000", "hPa", "mm", "cm", "km", "km/h", "ppb", "ppt", "VAh", "mg/l", "ug/l", "g/l"]
)
WAYS_OUT = {
    "%": '"%" is a ratio from 0 to 1 there (RFC 8428); percent is "/100", a ratio "/"',
    "1": 'a ratio is "/", a number of things "count"',
    "degC": 'degrees Celsius are "Cel"',
    "°C": 'degrees Celsius are "Cel"',
    "°": 'degrees are "deg"',
    "mbar": 'use "hPa" (1 mbar = 1 hPa)',
    "bar": 'use "hPa" with scale = 3',
    "kPa": 'use "Pa" with scale = 3',
    "MWh": 'use "kWh" with scale = 3',
    "MW": 'use "kW" with scale = 3',
    "mg/m3": 'use "ug/m3" with scale = 3',
    "kg/h": "mass flow has no registered unit yet",
    "m3/h": 'use "m3/s" with factor',
    "l/min": 'use "m3/s" with factor',
}
INTEGERS = ("uint", "int", "acc", "enum", "bits")


def check(profile: Profile, refuse: Refuse) -> None:
    """Raise what ``refuse`` makes of the first rule that the profile breaks."""
    for point in profile.points:
        _shape(profile, point, refuse)
        _meaning(point, refuse)
        _references(profile, point, refuse)
    _overlaps(profile, refuse)
    _witnesses(profile, refuse)


def _shape(profile: Profile, point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    if point.end > 65536:
        raise refuse(f"{where}.address", f"it reaches to {point.end - 1}", "registers end at 65535")
    if (point.type == "bit") != (point.fc in (1, 2)):
        raise refuse(
            f"{where}.type", f"{point.type} by fc {point.fc}", 'fc 1 and 2 read type = "bit", fc 3 and 4 all others'
        )
    if point.registers > profile.max_registers:
        raise refuse(
            f"{where}.registers",
            f"the value fills {point.registers}, a read holds {profile.max_registers}",
            "a value is never split over two reads: raise max_registers or leave the point out",
        )
    if profile.protocol == "modbus" and point.model is not None:
        raise refuse(f"{where}.model", "only SunSpec profiles have models", 'set protocol = "sunspec" or leave it out')


def _meaning(point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    if point.kind in ("gauge", "counter"):
        if point.unit is None:
            raise refuse(f"{where}.unit", "missing", 'give a SenML unit; a ratio is "/", a number of things "count"')
        if point.unit not in PRIMARY | SECONDARY or point.unit in WAYS_OUT:
            known = tuple(PRIMARY | SECONDARY)
            way_out = WAYS_OUT.get(point.unit, f"choose a registered one ({nearest(point.unit, known)})")
            raise refuse(f"{where}.unit", f"{point.unit!r} is not a SenML unit to record in", way_out)
        if point.type in ("string", "sunssf", "bit"):
            raise refuse(f"{where}.kind", f"a {point.type} is no {point.kind}", "leave kind out")
    elif point.unit is not None or point.wire_unit is not None:
        raise refuse(f"{where}.unit", f"a {point.kind} has no unit", "leave it out, or set kind")
    if point.kind not in ("gauge", "counter") and (
        point.scale or point.factor or point.scale_from or point.factor_from
    ):
        raise refuse(f"{where}.scale", f"a {point.kind} is not scaled", "leave scale and factor out, or set kind")
    if point.low is not None and point.high is not None and point.low > point.high:
        raise refuse(f"{where}.low", f"{point.low} is above high = {point.high}", "swap them")
    if point.wraps_at is not None and (point.kind != "counter" or point.wraps_at <= Decimal(0)):
        raise refuse(f"{where}.wraps_at", "only a counter wraps, at a number above 0", 'set kind = "counter"')


def _references(profile: Profile, point: Point, refuse: Refuse) -> None:
    where = f"points.{point.name}"
    if point.scale_from is not None:
        scales = [p.name for p in profile.points if p.model == point.model and p.type in ("sunssf", "int16")]
        if point.scale_from not in scales:
            raise refuse(
                f"{where}.scale_from",
                f"{point.scale_from!r} is no scale register of the same model",
                nearest(point.scale_from, scales) if scales else 'add a point of type = "sunssf"',
            )


def _overlaps(profile: Profile, refuse: Refuse) -> None:
    ordered = sorted(profile.points, key=lambda p: (p.model or 0, p.fc, p.address, -p.end))
    for before, after in zip(ordered, ordered[1:], strict=False):
        together = (before.model, before.fc) == (after.model, after.fc)
        if together and after.address < before.end < after.end:
            raise refuse(
                f"points.{after.name}.address",
                f"it starts at {after.address}, inside {before.name} ({before.address} to {before.end - 1}), and ends behind it",
                "check both addresses and types; they count from 0",
            )


def _witnesses(profile: Profile, refuse: Refuse) -> None:
    names = [p.name for p in profile.points]
    for key, wanted in (
        ("identity", profile.identity),
        ("freshness", (profile.freshness,) if profile.freshness else ()),
    ):
        for name in wanted:
            if name not in names:
                raise refuse(key, f"{name!r} is no point of this profile", nearest(name, names))
