"""Device profile: registers, units and read behaviour of a meter, from one TOML file a device.

Everything here is data about a device and holds no codec: the simulator packs registers from the same profiles with
code of its own, so that a swapped word order cannot cancel itself out. docs/profiles.md describes the file format.

Errors: ``ProfileError``, always with the file, the key and the fix.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

from gateway.devices.key_values import (
    Check,
    Wrong,
    codes,
    factor,
    fraction,
    integer,
    kind_of,
    list_of,
    number,
    one_of,
    pair,
    ratio,
    signal_line,
)
from gateway.devices.points import (
    FACTORS,
    KINDS,
    MAX_BITS,
    MAX_REGISTERS,
    REGISTERS,
    SUM,
    TYPES,
    UNRECORDED,
    Point,
    Profile,
    ProfileError,
    Serial,
    SignalLine,
    Span,
    nearest,
)
from gateway.devices.profile_rules import check
from gateway.devices.units import CONVERSIONS, COUNTED
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.formats.checks import is_name
from ledger_client.messages import said_of
from ledger_client.text_file import UTF8, NotText, text_of
from ledger_client.text_file import NotToml as NotToml  # the simulator reads its scenarios with the two, too
from ledger_client.text_file import toml_of as toml_of

__all__ = [
    "Point",
    "Profile",
    "ProfileError",
    "Serial",
    "Span",
    "catalog",
    "decoding_hash",
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
        raise ProfileError(ref, "", Message("profile-not-in-catalog", hint=nearest(ref, names)))
    try:
        text = text_of(path.read_bytes())
    except OSError as error:
        raise ProfileError(str(path), "", Message("profile-unreadable", error=os_error(error))) from None
    except NotText as error:
        raise ProfileError(str(path), "", error.problem, UTF8) from None
    return parse_profile(text, path.stem, str(path))


def parse_profile(text: str, name: str, file: str) -> Profile:
    """A profile from its TOML text; numbers with a point stay exact decimals."""
    if not is_name(name):
        raise ProfileError(file, "", Message("profile-name-invalid", name=name))
    try:
        table = toml_of(text, Decimal)
    except NotToml as error:
        raise ProfileError(file, "", Message("profile-not-toml", error=said_of(error))) from None
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


def decoding_hash(profile: Profile) -> bytes:
    """SHA-256 of what determines how registers become values: the text of ``format_profile`` without the words for
    people (vendor, device, source, notes)."""
    points = tuple(replace(point, note=None) for point in profile.points)
    bare = replace(profile, vendor="", device="", source="", points=points)
    return hashlib.sha256(format_profile(bare).encode()).digest()


def _facts(thing: Point | Span, kind: type[Point] | type[Span]) -> dict[str, Any]:
    facts = {f.name: getattr(thing, f.name) for f in fields(kind) if getattr(thing, f.name) != f.default}
    if isinstance(thing, Point):
        facts["kind"] = thing.kind
        facts["not_available"] = thing.not_available
        if thing.type != "string":
            facts.pop("registers", None)
        if thing.type == SUM:
            facts = {key: value for key, value in facts.items() if key in _OF_SUM}
        facts.pop("name", None)
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
    if isinstance(value, Fraction):
        return f'"{value.numerator}/{value.denominator}"'
    if isinstance(value, SignalLine):
        line = {"from": (value.start, value.end), "to": value.to, "fault": value.fault or False}
        return _inline(line | ({"range": value.range} if value.range else {}))
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")  # TOML's one escape beyond JSON's
    return str(value).lower() if isinstance(value, bool) else str(value)


_text = kind_of(str, Message("profile-text"))
_flag = kind_of(bool, Message("profile-true-false"))
_register = integer(0, 65535)
_pattern = integer(-(2**63), 2**64 - 1)

_NEW_TYPES = ("uint48", "int48", "bcd16", "bcd32", "bcd48", "bcd64")
_POINT: dict[str, Check] = {
    "fc": integer(1, 4), "address": _register, "type": one_of(*(t for t in TYPES if t not in _NEW_TYPES)),
    "registers": integer(1, MAX_REGISTERS),
    "word_order": one_of("big", "little"), "scale": integer(-18, 18), "factor": factor, "scale_from": _text,
    "factor_from": list_of(one_of(*FACTORS)), "unit": _text, "wire_unit": _text,
    "kind": one_of(*(k for k in KINDS if k != "part")),
    "not_available": list_of(_pattern), "low": number, "high": number, "wraps_at": factor,
    "max_per_hour": factor, "lively": _flag,
    "model": integer(1, 65534), "record": _flag, "sunspec": _text, "symbols": codes(_text), "raises": codes(_text),
    "about": list_of(_text), "note": _text,
}  # fmt: skip
_NEW_KEYS: dict[str, Check] = {
    "byte_order": one_of("big", "little"), "bits": pair(integer(0, 63), Message("profile-bits")),
    "sign_from": _text, "chars": one_of("two", "low", "high"), "offset": fraction, "span": signal_line,
    "sum": list_of(_text), "from_unit": one_of(*CONVERSIONS),
}  # fmt: skip
_POINT_2: dict[str, Check] = {
    **_POINT, **_NEW_KEYS, "type": one_of(*TYPES), "factor": ratio, "factor_from": list_of(_text),
    "kind": one_of(*KINDS),
}  # fmt: skip
_DEFAULTS = ("fc", "type", "word_order", "scale", "unit", "kind", "model", "record", "lively")
_SERIAL: dict[str, Check] = {
    "baudrate": integer(50, 4_000_000), "parity": one_of("N", "E", "O"), "stopbits": integer(1, 2),
}  # fmt: skip
_SPAN: dict[str, Check] = {"fc": integer(1, 4), "first": _register, "last": _register}
_PROFILE: dict[str, Check] = {
    "format": integer(1, 2), "vendor": _text, "device": _text, "source": _text,
    "protocol": one_of("modbus", "sunspec"),
    "default_address": integer(0, 255), "max_registers": integer(1, MAX_REGISTERS), "max_bits": integer(1, MAX_BITS),
    "max_gap": integer(0, MAX_REGISTERS), "step": integer(1, 16), "same_functions": _flag,
    "pause_ms": integer(0, 60_000), "timeout_ms": integer(1, 60_000), "connect_delay_ms": integer(0, 60_000),
    "latency_ms": integer(0, 60_000),
    "answer_life_ms": integer(1, 3_600_000), "direct": _flag, "leading_bytes": _flag, "may_sleep": _flag,
    "sleeps_below": _text,
    "identity": list_of(_text), "identity_object": integer(0, 255), "freshness": _text, "concentrator": _flag,
    "stale_after_ms": integer(1, 86_400_000), "frozen_after_ms": integer(1, 86_400_000),
}  # fmt: skip
_SECOND_FORMAT = ("sleeps_below", "latency_ms")
"""Keys of a profile that ``format = 2`` brings."""
_SECOND = Message("profile-format-2")
_TABLES = ("serial", "defaults", "not_available", "readable", "points")
_MEASURED = ("unit", "scale", "lively")
_OF_SUM = ("sum", "unit", "wire_unit", "kind", "low", "high", "wraps_at", "max_per_hour", "lively", "record", "note")


@dataclass(frozen=True, slots=True)
class _Common:
    """What a profile says for all of its points."""

    defaults: Mapping[str, Any]
    not_available: Mapping[str, tuple[int, ...]]
    checks: Mapping[str, Check]
    sunspec: bool


class _Reader:
    """One file's tables → Profile. Every refusal leaves through ``refuse``."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.unsaid: list[str] = []
        """Points that may be counters, and do not say."""

    def refuse(self, key: str, message: Message) -> ProfileError:
        return ProfileError(self.file, key, message)

    def take(self, table: Any, checks: Mapping[str, Check], where: str) -> dict[str, Any]:
        """The values of a table, each checked; an unknown key is refused with the nearest known one."""
        if not isinstance(table, dict):
            raise self.refuse(where.rstrip("."), Message("profile-no-table"))
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in checks:
                if key in _NEW_KEYS and where.startswith(("points.", "defaults.")):
                    raise self.refuse(where + key, _SECOND)
                if not where and isinstance(value, dict) and "address" in value:
                    raise self.refuse(key, Message("profile-point-above"))
                known = tuple(checks) if where else (*checks, *_TABLES)
                raise self.refuse(where + key, Message("profile-unknown-key", hint=nearest(key, known)))
            try:
                values[key] = checks[key](value)
            except Wrong as wrong:
                said = Message("profile-value", value=_shown(value), rule=wrong.rule)
                raise self.refuse(where + key, said) from None
        return values

    def profile(self, table: dict[str, Any], name: str) -> Profile:
        body = {key: value for key, value in table.items() if key not in _TABLES}
        values = self.take(body, _PROFILE, "")
        for key in ("vendor", "device", "source"):
            if not values.get(key):
                raise self.refuse(key, Message("profile-names-missing"))
        second = values.get("format", 1) == 2
        for key in _SECOND_FORMAT:
            if key in values and not second:
                raise self.refuse(key, _SECOND)
        serial = Serial(**self.take(table["serial"], _SERIAL, "serial.")) if "serial" in table else None
        checks, by_default = (_POINT_2, (*_DEFAULTS, "byte_order")) if second else (_POINT, _DEFAULTS)
        defaults = self.take(table.get("defaults", {}), {k: checks[k] for k in by_default}, "defaults.")
        absent = self.take(
            table.get("not_available", {}), dict.fromkeys(REGISTERS, list_of(_pattern)), "not_available."
        )
        rows = table.get("points")
        if not isinstance(rows, dict) or not rows:
            raise self.refuse("points", Message("profile-no-points"))
        common = _Common(defaults, absent, checks, sunspec=values.get("protocol") == "sunspec")
        points = self.with_sums([self.point(key, row, common) for key, row in rows.items()])
        readable = self.spans(table.get("readable", []))
        unsaid = tuple(self.unsaid)
        if second and unsaid:
            said = Message("profile-kind-missing")
            if len(unsaid) > 1:
                said = Message("profile-kinds-missing", points=unsaid)
            raise self.refuse(f"points.{unsaid[0]}.kind", said)
        profile = Profile(name=name, serial=serial, points=points, readable=readable, kind_unsaid=unsaid, **values)
        check(profile, self.refuse)
        return profile

    def spans(self, rows: Any) -> tuple[Span, ...]:
        if not isinstance(rows, list):
            raise self.refuse("readable", Message("profile-no-list"))
        spans = []
        for index, row in enumerate(rows):
            values = self.take(row, _SPAN, f"readable[{index}].")
            if set(values) != set(_SPAN) or values["first"] > values["last"]:
                raise self.refuse(f"readable[{index}]", Message("profile-no-range"))
            spans.append(Span(**values))
        return tuple(spans)

    def point(self, name: str, row: Any, common: _Common) -> Point:
        where = f"points.{name}"
        if not is_name(name):
            raise self.refuse(where, Message("profile-point-name"))
        if name in _PROFILE and not isinstance(row, dict):
            raise self.refuse(where, Message("profile-key-below", key=name))
        own = self.take(row, common.checks, f"{where}.")
        if "sum" in own:
            return self.sum(name, own, common.defaults)
        values = {**common.defaults, **own}
        type_ = values.get("type", "")
        for key in ("fc", "address", "type", *(("model",) if common.sunspec else ())):
            if key not in values:
                raise self.refuse(f"{where}.{key}", Message("profile-key-missing"))
        if type_ == "string" and "registers" not in values:
            raise self.refuse(f"{where}.registers", Message("profile-registers-missing"))
        values.setdefault("registers", REGISTERS.get(type_))
        values["kind"] = own.get("kind") or _kind(type_, common.defaults.get("kind"))
        self.mark(name, values, own, common.defaults)
        absent = values.get("not_available", common.not_available.get(type_, ()))
        values["not_available"] = tuple(self.code(code, values, where) for code in absent)
        for key in _MEASURED if values["kind"] not in ("gauge", "counter") else ():
            if key not in own and (values["kind"], key) != ("part", "scale"):
                values.pop(key, None)  # a default for the numbers is none for a text or a status
        if values["kind"] in UNRECORDED:
            values["record"] = False
        return Point(name=name, **values)

    def mark(self, name: str, values: Mapping[str, Any], own: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        """Note a point that is a gauge only because nothing is said, and whose unit is mostly that of counters."""
        said = "kind" in own or "kind" in defaults
        if values["kind"] == "gauge" and not said and values.get("unit") in COUNTED:
            self.unsaid.append(name)

    def sum(self, name: str, own: Mapping[str, Any], defaults: Mapping[str, Any]) -> Point:
        """A point that is the sum of others; its place follows from its parts (``with_sums``)."""
        for key in own:
            if key not in _OF_SUM:
                raise self.refuse(f"points.{name}.{key}", Message("profile-sum-own-place"))
        values = {key: value for key, value in defaults.items() if key in _OF_SUM} | dict(own)
        values["kind"] = values.get("kind", "gauge")
        self.mark(name, values, own, defaults)
        return Point(name=name, fc=3, address=0, type=SUM, registers=1, **values)

    def with_sums(self, points: list[Point]) -> tuple[Point, ...]:
        """The points, each sum at the registers of its parts."""
        parts = {p.name: p for p in points if p.kind == "part"}
        found = []
        for point in points:
            for name in point.sum:
                if name not in parts:
                    said = Message("profile-no-part", name=name, hint=nearest(name, [*parts]))
                    raise self.refuse(f"points.{point.name}.sum", said)
            if point.type == SUM:
                some = [parts[name] for name in point.sum]
                first = min((part.address for part in some), default=0)
                reach = max((part.end for part in some), default=1) - first
                offsets = tuple((part, part.address - first) for part in some)
                point = replace(point, address=first, registers=reach, parts=offsets)
                if some:
                    point = replace(point, fc=some[0].fc, model=some[0].model)
            found.append(point)
        return tuple(found)

    def code(self, code: int, values: Mapping[str, Any], where: str) -> int:
        """A not-available code as the unsigned pattern of the point's registers."""
        bits = 1 if values["type"] == "bit" else 16 * values["registers"]
        if not -(2 ** (bits - 1)) <= code < 2**bits:
            raise self.refuse(f"{where}.not_available", Message("profile-code-too-large", code=hex(code), bits=bits))
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
