"""What a meter is: its registers, its units and its manners, read from one TOML file a device.

Everything here is data about a device and holds no codec: the simulator packs registers from the same profiles with
code of its own, so that a swapped word order cannot cancel itself out. docs/profiles.md describes the file format.

Errors: ``ProfileError``, always with the file, the key and the way out.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.devices.points import (
    FACTORS,
    KINDS,
    MAX_BITS,
    MAX_REGISTERS,
    REGISTERS,
    TYPES,
    Point,
    Profile,
    ProfileError,
    Serial,
    Span,
    nearest,
)
from gateway.devices.profile_rules import check
from ledger_client.shape import is_name
from ledger_client.text_file import UTF8, NotText, text_of

__all__ = [
    "Point",
    "Profile",
    "ProfileError",
    "Serial",
    "Span",
    "catalog",
    "format_profile",
    "load_profile",
    "parse_profile",
]

CATALOG = Path(__file__).parent / "catalog"


def catalog() -> list[str]:
    """Names of the profiles that come with Meterseal."""
    return sorted(path.stem for path in CATALOG.glob("*.toml"))


def load_profile(ref: str, base: Path | None = None) -> Profile:
    """A profile by its catalog name, or by a path (it ends in .toml or holds a /), relative to ``base``."""
    if ref.endswith(".toml") or "/" in ref:
        path = Path(base or ".") / ref
    elif ref in (names := catalog()):
        path = CATALOG / f"{ref}.toml"
    else:
        raise ProfileError(ref, "", "the catalog has no such profile", nearest(ref, names))
    try:
        text = text_of(path.read_bytes())
    except OSError as error:
        raise ProfileError(str(path), "", error.strerror or str(error), "give the path of a readable file") from None
    except NotText as error:
        raise ProfileError(str(path), "", error.problem, UTF8) from None
    return parse_profile(text, path.stem, str(path))


def parse_profile(text: str, name: str, file: str) -> Profile:
    """A profile from its TOML text; numbers with a point stay exact decimals."""
    if not is_name(name):
        raise ProfileError(file, "", f"{name!r} cannot be a profile's name", "use letters, digits, . _ - only")
    try:
        table = tomllib.loads(text, parse_float=Decimal)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(file, "", f"not TOML, or a key written twice: {error}", "mend that line") from None
    return _Reader(file).profile(table, name)


def format_profile(profile: Profile) -> str:
    """The TOML text of a profile, every key that is not at its default: ``parse_profile`` reads it back to the same."""
    keys = {f.name: f for f in fields(Profile)}
    lines = [_line(key, getattr(profile, key)) for key in _PROFILE if getattr(profile, key) != keys[key].default]
    if profile.readable:
        lines.append(f"readable = [{', '.join(_inline(_facts(span, Span)) for span in profile.readable)}]")
    if profile.serial is not None:
        lines += ["", "[serial]", *(_line(key, getattr(profile.serial, key)) for key in _SERIAL)]
    lines += ["", "[points]"]
    lines += [f"{_key(point.name)} = {_inline(_facts(point, Point))}" for point in profile.points]
    return "\n".join(lines) + "\n"


def _facts(thing: Point | Span, kind: type[Point] | type[Span]) -> dict[str, Any]:
    facts = {f.name: getattr(thing, f.name) for f in fields(kind) if getattr(thing, f.name) != f.default}
    if isinstance(thing, Point):
        facts["kind"] = thing.kind
        facts["not_available"] = thing.not_available
        if thing.type != "string":
            del facts["registers"]
        del facts["name"]
    return facts


def _inline(facts: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(_line(key, value) for key, value in facts.items()) + " }"


def _key(name: str) -> str:
    return _toml(name) if "." in name else name


def _line(key: str, value: Any) -> str:
    if key in ("symbols", "raises"):
        return f"{key} = " + _inline({str(code): meaning for code, meaning in value})
    return f"{key} = {_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's one escape beyond JSON's
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Wrong(Exception):
    """What a key's value should have been; turned into a ProfileError where file and key are known."""


_Check = Callable[[Any], Any]


def _is(kind: type, what: str) -> _Check:
    def check(value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise _Wrong(what)
        return value

    return check


def _integer(low: int, high: int) -> _Check:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise _Wrong(f"give a whole number from {low} to {high}")
        return value

    return check


def _number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise _Wrong("give a number")
    return Decimal(value)


def _factor(value: Any) -> Decimal:
    if (number := _number(value)) == 0:
        raise _Wrong("give a number other than 0")
    return number


def _one_of(*options: str) -> _Check:
    def check(value: Any) -> str:
        if value not in options or not isinstance(value, str):
            raise _Wrong(f"give one of {', '.join(options)}")
        return value

    return check


def _list(item: _Check) -> _Check:
    def check(value: Any) -> tuple[Any, ...]:
        values = value if isinstance(value, list) else [value]
        return tuple(item(v) for v in values)

    return check


def _codes(item: _Check) -> _Check:
    def check(value: Any) -> tuple[tuple[int, Any], ...]:
        if not isinstance(value, dict):
            raise _Wrong('give a table of codes, such as { 1 = "OFF" }')
        try:
            codes = {int(code, 0): item(meaning) for code, meaning in value.items()}
        except ValueError:
            raise _Wrong("write each code as a whole number, decimal or 0x…") from None
        if len(codes) < len(value):
            raise _Wrong("write each code once")
        return tuple(sorted(codes.items()))

    return check


_text = _is(str, "give a text")
_flag = _is(bool, "give true or false")
_register = _integer(0, 65535)
_pattern = _integer(-(2**63), 2**64 - 1)

_POINT: dict[str, _Check] = {
    "fc": _integer(1, 4), "address": _register, "type": _one_of(*TYPES), "registers": _integer(1, MAX_REGISTERS),
    "word_order": _one_of("big", "little"), "scale": _integer(-18, 18), "factor": _factor, "scale_from": _text,
    "factor_from": _list(_one_of(*FACTORS)), "unit": _text, "wire_unit": _text, "kind": _one_of(*KINDS),
    "not_available": _list(_pattern), "low": _number, "high": _number, "wraps_at": _factor,
    "max_per_hour": _factor, "lively": _flag,
    "model": _integer(1, 65534), "record": _flag, "sunspec": _text, "symbols": _codes(_text), "raises": _codes(_text),
    "about": _list(_text), "note": _text,
}  # fmt: skip
_DEFAULTS = ("fc", "type", "word_order", "scale", "unit", "kind", "model", "record", "lively")
_SERIAL: dict[str, _Check] = {
    "baudrate": _integer(50, 4_000_000), "parity": _one_of("N", "E", "O"), "stopbits": _integer(1, 2),
}  # fmt: skip
_SPAN: dict[str, _Check] = {"fc": _integer(1, 4), "first": _register, "last": _register}
_PROFILE: dict[str, _Check] = {
    "format": _integer(1, 2), "vendor": _text, "device": _text, "source": _text,
    "protocol": _one_of("modbus", "sunspec"),
    "default_address": _integer(0, 255), "max_registers": _integer(1, MAX_REGISTERS), "max_bits": _integer(1, MAX_BITS),
    "max_gap": _integer(0, MAX_REGISTERS), "step": _integer(1, 16), "same_functions": _flag,
    "pause_ms": _integer(0, 60_000), "timeout_ms": _integer(1, 60_000), "connect_delay_ms": _integer(0, 60_000),
    "answer_life_ms": _integer(1, 3_600_000), "direct": _flag, "leading_bytes": _flag, "may_sleep": _flag,
    "sleeps_below": _text,
    "identity": _list(_text), "identity_object": _integer(0, 255), "freshness": _text, "concentrator": _flag,
    "stale_after_ms": _integer(1, 86_400_000), "frozen_after_ms": _integer(1, 86_400_000),
}  # fmt: skip
_SECOND_FORMAT = ("sleeps_below",)
"""Keys of a profile that ``format = 2`` brings."""
_TABLES = ("serial", "defaults", "not_available", "readable", "points")
_MEASURED = ("unit", "scale", "lively")


@dataclass(frozen=True, slots=True)
class _Common:
    """What a profile says for all of its points."""

    defaults: Mapping[str, Any]
    not_available: Mapping[str, tuple[int, ...]]
    sunspec: bool


class _Reader:
    """One file's tables → Profile. Every refusal leaves through ``refuse``."""

    def __init__(self, file: str) -> None:
        self.file = file

    def refuse(self, key: str, problem: str, way_out: str) -> ProfileError:
        return ProfileError(self.file, key, problem, way_out)

    def take(self, table: Any, checks: Mapping[str, _Check], where: str) -> dict[str, Any]:
        """The values of a table, each checked; an unknown key is refused with the nearest known one."""
        if not isinstance(table, dict):
            raise self.refuse(where.rstrip("."), "this is not a table", "write it as a TOML table")
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in checks:
                if not where and isinstance(value, dict) and "address" in value:
                    raise self.refuse(key, "this is a point, and it stands above [points]", "move it below [points]")
                known = tuple(checks) if where else (*checks, *_TABLES)
                raise self.refuse(where + key, "unknown key", nearest(key, known))
            try:
                values[key] = checks[key](value)
            except _Wrong as wrong:
                raise self.refuse(where + key, f"{_shown(value)} will not do", str(wrong)) from None
        return values

    def profile(self, table: dict[str, Any], name: str) -> Profile:
        body = {key: value for key, value in table.items() if key not in _TABLES}
        values = self.take(body, _PROFILE, "")
        for key in ("vendor", "device", "source"):
            if not values.get(key):
                raise self.refuse(key, "missing", "every profile names its vendor, its device and its source")
        for key in _SECOND_FORMAT:
            if key in values and values.get("format", 1) < 2:
                raise self.refuse(key, "a key of format 2", "write format = 2 at the top of the file")
        serial = Serial(**self.take(table["serial"], _SERIAL, "serial.")) if "serial" in table else None
        defaults = self.take(table.get("defaults", {}), {k: _POINT[k] for k in _DEFAULTS}, "defaults.")
        absent = self.take(table.get("not_available", {}), dict.fromkeys(REGISTERS, _list(_pattern)), "not_available.")
        rows = table.get("points")
        if not isinstance(rows, dict) or not rows:
            raise self.refuse("points", "there are none", "add a [points] table with one entry a point")
        common = _Common(defaults, absent, sunspec=values.get("protocol") == "sunspec")
        points = tuple(self.point(key, row, common) for key, row in rows.items())
        readable = self.spans(table.get("readable", []))
        profile = Profile(name=name, serial=serial, points=points, readable=readable, **values)
        check(profile, self.refuse)
        return profile

    def spans(self, rows: Any) -> tuple[Span, ...]:
        if not isinstance(rows, list):
            raise self.refuse("readable", "this is not a list", "write readable = [{ fc = 4, first = 0, last = 79 }]")
        spans = []
        for index, row in enumerate(rows):
            values = self.take(row, _SPAN, f"readable[{index}].")
            if set(values) != set(_SPAN) or values["first"] > values["last"]:
                raise self.refuse(f"readable[{index}]", "not a range", "give fc, first and last, first ≤ last")
            spans.append(Span(**values))
        return tuple(spans)

    def point(self, name: str, row: Any, common: _Common) -> Point:
        where = f"points.{name}"
        if not is_name(name):
            raise self.refuse(where, "this cannot be a point's name", "use letters, digits, . _ - only")
        if name in _PROFILE and not isinstance(row, dict):
            problem = "this is a key of the whole profile, and it stands below [points]"
            raise self.refuse(where, problem, f"move {name} above the first table, to the top of the file")
        own = self.take(row, _POINT, f"{where}.")
        values = {**common.defaults, **own}
        type_ = values.get("type", "")
        for key in ("fc", "address", "type", *(("model",) if common.sunspec else ())):
            if key not in values:
                raise self.refuse(f"{where}.{key}", "missing", "give it at the point, or in [defaults] for all points")
        if type_ == "string" and "registers" not in values:
            raise self.refuse(f"{where}.registers", "missing", "say how many registers the text fills")
        values.setdefault("registers", REGISTERS.get(type_))
        values["kind"] = own.get("kind") or _kind(type_, common.defaults.get("kind"))
        codes = values.get("not_available", common.not_available.get(type_, ()))
        values["not_available"] = tuple(self.code(code, values, where) for code in codes)
        for key in _MEASURED if values["kind"] not in ("gauge", "counter") else ():
            if key not in own:  # a default for the numbers is none for a text or a status
                values.pop(key, None)
        if values["kind"] == "scale":
            values["record"] = False
        return Point(name=name, **values)

    def code(self, code: int, values: Mapping[str, Any], where: str) -> int:
        """A not-available code as the unsigned pattern of the point's registers."""
        bits = 1 if values["type"] == "bit" else 16 * values["registers"]
        if not -(2 ** (bits - 1)) <= code < 2**bits:
            raise self.refuse(
                f"{where}.not_available", f"{code:#x} does not fit into {bits} bits", "give the raw register pattern"
            )
        return int(code % 2**bits)


def _kind(type_: str, default: str | None) -> str:
    """The kind of a point that states none."""
    if type_ == "sunssf":
        return "scale"
    if type_ == "string":
        return "text"
    if type_.startswith(("bit", "enum")):
        return "status"
    return default or ("counter" if type_.startswith("acc") else "gauge")


def _shown(value: Any) -> str:
    return str(value) if isinstance(value, Decimal) else repr(value)
