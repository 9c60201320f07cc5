"""Reader of device profiles: registers, units and read behaviour of a meter, from one TOML file a device.

Everything here is data about a device and holds no codec: the simulator packs registers from the same profiles with
code of its own, so that a swapped word order cannot cancel itself out. docs/profiles.md describes the file format.

Errors: ``ProfileError``, always with the file, the key and the fix.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from gateway.devices.knowledge.fingerprint import Constant, Fingerprint, Refusal, Sum
from gateway.devices.knowledge.provenance import Provenance
from gateway.devices.places import REGISTERS, SUM, Factor, Identifier, Obis, Registers
from gateway.devices.points import UNRECORDED, Point, Profile, ProfileError, Serial, Span, nearest
from gateway.devices.profile_keys import (
    BESIDE,
    CONSTANT,
    DEMANDED,
    FINGERPRINT,
    FINGERPRINT_ROWS,
    FINGERPRINT_SUM,
    MEASURED,
    NEW_KEYS,
    OF_REGISTERS,
    OF_SUM,
    OPTIONAL,
    PATTERN,
    PLACES,
    PROFILE,
    PROVENANCE,
    REFUSAL,
    SECOND_FORMAT,
    SERIAL,
    SPAN,
    Check,
    Wrong,
    list_of,
    point_keys,
    protocol_of,
)
from gateway.devices.profile_rules import check
from gateway.devices.scaling import COUNTED
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.formats.checks import is_name
from ledger_client.text_file import NotText, text_of
from ledger_client.text_file import NotToml as NotToml  # the simulator reads its scenarios with the two, too
from ledger_client.text_file import toml_of as toml_of

__all__ = [
    "Point",
    "Profile",
    "ProfileError",
    "Serial",
    "Span",
    "catalog",
    "load_profile",
    "parse_profile",
    "profile_of",
]

PLACE = frozenset(f.name for f in fields(Registers))
"""Keys of a point that say where it stands."""
_PLACES: dict[str, type[Identifier] | type[Factor] | type[Obis]] = {
    "dlt645": Identifier, "hj212": Factor, "obis": Obis,
}  # fmt: skip
CATALOG = Path(__file__).parent / "catalog"
SKELETON = Path(__file__).parent / "skeleton.toml"
"""A commented profile to fill in."""


def catalog() -> list[str]:
    """Names of the profiles that come with Meterseal."""
    return sorted(path.stem for path in CATALOG.glob("*.toml"))


def load_profile(ref: str, base: Path | None = None) -> Profile:
    """A profile by its catalog name, or by a path (it ends in .toml or holds a /), relative to ``base``.

    Raises:
        ProfileError: the catalog has none of this name, the file cannot be read, or it has a mistake.
    """
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
        raise ProfileError(str(path), "", error.sentence) from None
    return parse_profile(text, path.stem, str(path))


def parse_profile(text: str, name: str, file: str) -> Profile:
    """A profile from its TOML text; numbers with a point stay exact decimals.

    Args:
        text: the file's text.
        name: the name that the profile gets.
        file: what an error names as the file.

    Raises:
        ProfileError: the first mistake, with its key.
    """
    if not is_name(name):
        raise ProfileError(file, "", Message("profile-name-invalid", name=name))
    try:
        table = toml_of(text, Decimal)
    except NotToml as error:
        raise ProfileError(file, "", Message("profile-not-toml", error=error.sentence)) from None
    return profile_of(table, name, file)


def profile_of(table: dict[str, Any], name: str, file: str) -> Profile:
    """A profile from what its TOML text says, as ``parse_profile`` reads it. Raises ProfileError."""
    return _Reader(file).profile(table, name)


@dataclass(frozen=True, slots=True)
class _Common:
    """What a profile says for all of its points."""

    defaults: Mapping[str, Any]
    not_available: Mapping[str, tuple[int, ...]]
    checks: Mapping[str, Check]


class _Reader:
    """One file's tables → Profile. Every refusal leaves through ``refuse``."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.protocol = "modbus"
        self.unsaid: list[str] = []
        """Points that may be counters, and do not say."""
        self.word_order_unsaid: list[str] = []
        """Numbers of more than one register whose word order the file does not say."""

    def refuse(self, key: str, message: Message) -> ProfileError:
        return ProfileError(self.file, key, message)

    def take(self, table: Any, checks: Mapping[str, Check], where: str) -> dict[str, Any]:
        """The values of a table, each checked; an unknown key is refused with the nearest known one."""
        if not isinstance(table, dict):
            raise self.refuse(where.rstrip("."), Message("profile-no-table"))
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in checks:
                if where.startswith(("points.", "defaults.")):
                    self.misplaced(where + key, key)
                if not where and isinstance(value, dict) and "address" in value:
                    raise self.refuse(key, Message("profile-point-above"))
                known = (*checks, *BESIDE.get(where, ()))
                raise self.refuse(where + key, Message("profile-unknown-key", hint=nearest(key, known)))
            try:
                values[key] = checks[key](value)
            except Wrong as wrong:
                sentence = Message("profile-value", value=_shown(value), rule=wrong.rule)
                raise self.refuse(where + key, sentence) from None
        return values

    def misplaced(self, where: str, key: str) -> None:
        """Refuse a key of a point that the file's protocol or format does not have."""
        other = protocol_of(key)
        if self.protocol in PLACES and other is not None and key not in PLACES[self.protocol]:
            places = tuple(PLACES[self.protocol])
            raise self.refuse(where, Message("profile-key-of-other", protocol=self.protocol, other=other, keys=places))
        if key in NEW_KEYS:
            raise self.refuse(where, Message("profile-format-2"))
        if self.protocol not in PLACES and other in PLACES:
            raise self.refuse(where, Message("profile-key-of-protocol", protocol=other))

    def profile(self, table: dict[str, Any], name: str) -> Profile:
        body = {key: value for key, value in table.items() if key not in BESIDE[""]}
        values = self.take(body, PROFILE, "")
        for key in ("vendor", "device", "source"):
            if not values.get(key):
                raise self.refuse(key, Message("profile-names-missing"))
        second, self.protocol = values.get("format", 1) == 2, values.get("protocol", "modbus")
        if self.protocol in PLACES and not second:
            raise self.refuse("format", Message("profile-format-2"))
        for key in SECOND_FORMAT:
            if key in values and not second:
                raise self.refuse(key, Message("profile-format-2"))
        self.of_protocol(table)
        serial = Serial(**self.take(table["serial"], SERIAL, "serial.")) if "serial" in table else None
        checks, by_default = point_keys(self.protocol, second=second)
        defaults = self.take(table.get("defaults", {}), {k: checks[k] for k in by_default}, "defaults.")
        absent = self.take(table.get("not_available", {}), dict.fromkeys(REGISTERS, list_of(PATTERN)), "not_available.")
        rows = table.get("points")
        if not isinstance(rows, dict) or not rows:
            raise self.refuse("points", Message("profile-no-points"))
        common = _Common(defaults, absent, checks)
        points = self.with_sums([self.point(key, row, common) for key, row in rows.items()])
        readable = self.spans(table.get("readable", []))
        unsaid = tuple(self.unsaid)
        if second and unsaid:
            sentence = Message("profile-kind-missing")
            if len(unsaid) > 1:
                sentence = Message("profile-kinds-missing", points=unsaid)
            raise self.refuse(f"points.{unsaid[0]}.kind", sentence)
        profile = Profile(
            name=name,
            serial=serial,
            points=points,
            readable=readable,
            kind_unsaid=unsaid,
            word_order_unsaid=tuple(self.word_order_unsaid) if values.get("ask") else (),
            provenance=self.provenance(table["provenance"]) if "provenance" in table else None,
            fingerprint=self.fingerprint(table["fingerprint"]) if "fingerprint" in table else None,
            **values,
        )
        check(profile, self.refuse)
        return profile

    def of_protocol(self, table: Mapping[str, Any]) -> None:
        """Refuse what only devices of another protocol have."""
        strays = [key for key in OF_REGISTERS if key in table and self.protocol in PLACES]
        if strays:
            raise self.refuse(strays[0], Message("profile-key-of-registers", protocol=self.protocol))
        if ("cn" in table) != (self.protocol == "hj212"):
            raise self.refuse("cn", Message("profile-command-hj212"))
        if ("interval_ms" in table) != (self.protocol == "obis"):
            raise self.refuse("interval_ms", Message("profile-interval-obis"))

    def spans(self, rows: Any) -> tuple[Span, ...]:
        spans = []
        for where, values in self.rows(rows, SPAN, "readable"):
            if set(values) != set(SPAN) or values["first"] > values["last"]:
                raise self.refuse(where, Message("profile-no-range"))
            spans.append(Span(**values))
        return tuple(spans)

    def rows(self, rows: Any, checks: Mapping[str, Check], where: str) -> Iterator[tuple[str, dict[str, Any]]]:
        """The tables of a list, each with its place in the file."""
        if not isinstance(rows, list):
            no_list = Message("profile-no-list") if where == "readable" else Message("profile-no-tables")
            raise self.refuse(where, no_list)
        for index, row in enumerate(rows):
            yield f"{where}[{index}]", self.take(row, checks, f"{where}[{index}].")

    def provenance(self, table: Any) -> Provenance:
        values = self.take(table, PROVENANCE, "provenance.")
        for key in ("default", "sources"):
            if not values.get(key):
                raise self.refuse(f"provenance.{key}", Message("profile-provenance-missing"))
        return Provenance(**values)

    def fingerprint(self, table: Any) -> Fingerprint:
        if self.protocol in PLACES and isinstance(table, dict):
            for key in ("constants", "refuses"):
                if key in table:
                    sentence = Message("profile-key-of-registers", protocol=self.protocol)
                    raise self.refuse(f"fingerprint.{key}", sentence)
        lists = {key: table[key] for key in FINGERPRINT_ROWS if key in table} if isinstance(table, dict) else {}
        plain = {key: row for key, row in table.items() if key not in lists} if lists else table
        return Fingerprint(
            **self.take(plain, FINGERPRINT, "fingerprint."),
            constants=tuple(Constant(**row) for row in self.whole(lists, CONSTANT, "constants")),
            refuses=tuple(Refusal(**row) for row in self.whole(lists, REFUSAL, "refuses")),
            sums=tuple(Sum(**row) for row in self.whole(lists, FINGERPRINT_SUM, "sums")),
        )

    def whole(self, lists: Mapping[str, Any], checks: Mapping[str, Check], key: str) -> Iterator[dict[str, Any]]:
        """The tables of a list of [fingerprint]; each must have all of its keys but the optional ones."""
        for where, values in self.rows(lists.get(key, []), checks, f"fingerprint.{key}"):
            for missing in (name for name in checks if name not in values and name not in OPTIONAL):
                raise self.refuse(f"{where}.{missing}", Message("profile-row-key-missing", keys=tuple(checks)))
            yield values

    def point(self, name: str, row: Any, common: _Common) -> Point:
        where = f"points.{name}"
        if not is_name(name):
            raise self.refuse(where, Message("profile-point-name"))
        if name in PROFILE and not isinstance(row, dict):
            raise self.refuse(where, Message("profile-key-below", key=name))
        given = self.take(row, common.checks, f"{where}.")
        if "sum" in given:
            return self.sum(name, given, common.defaults)
        values = {**common.defaults, **given}
        for key in DEMANDED[self.protocol]:
            if key not in values:
                raise self.refuse(f"{where}.{key}", Message("profile-key-missing"))
        if self.protocol in PLACES:
            return self.elsewhere(name, values, given, common)
        type_ = values["type"]
        if type_ == "string" and "registers" not in values:
            raise self.refuse(f"{where}.registers", Message("profile-registers-missing"))
        values.setdefault("registers", REGISTERS.get(type_))
        values["kind"] = given.get("kind") or _kind(type_, common.defaults.get("kind"))
        self.mark(name, values, given, common.defaults)
        self.keep_measured(values, given)
        absent = values.get("not_available", common.not_available.get(type_, ()))
        values["not_available"] = tuple(self.code(code, values, where) for code in absent)
        if values["kind"] in UNRECORDED:
            values["record"] = False
        if values["registers"] > 1 and type_ != "string" and "word_order" not in values:
            self.word_order_unsaid.append(name)
        place = {key: values.pop(key) for key in PLACE if key in values}
        return Point(name=name, at=Registers(**place), **values)

    def elsewhere(self, name: str, values: dict[str, Any], given: Mapping[str, Any], common: _Common) -> Point:
        """A point that stands in no registers."""
        place = {key: values.pop(key) for key in PLACES[self.protocol] if key in values}
        at = _PLACES[self.protocol](**place)
        form = "text" if isinstance(at, Factor) and not at.suffix else at.form
        kind = {"text": "text", "flags": "status"}.get(form, common.defaults.get("kind", "gauge"))
        values["kind"] = given.get("kind", kind)
        self.mark(name, values, given, common.defaults)
        self.keep_measured(values, given)
        return Point(name=name, at=at, **values)

    def keep_measured(self, values: dict[str, Any], given: Mapping[str, Any]) -> None:
        """Take out what is a default for the numbers, and none for a text or a status."""
        for key in MEASURED if values["kind"] not in ("gauge", "counter") else ():
            if key not in given and (values["kind"], key) != ("part", "scale"):
                values.pop(key, None)

    def mark(self, name: str, values: Mapping[str, Any], given: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
        """Note a point that is a gauge for want of a ``kind``, and whose unit is mostly that of counters."""
        has_kind = "kind" in given or "kind" in defaults
        if values["kind"] == "gauge" and not has_kind and values.get("unit") in COUNTED:
            self.unsaid.append(name)

    def sum(self, name: str, given: Mapping[str, Any], defaults: Mapping[str, Any]) -> Point:
        """A point that is the sum of others; its place follows from its parts (``with_sums``)."""
        for key in given:
            if key not in OF_SUM:
                raise self.refuse(f"points.{name}.{key}", Message("profile-sum-own-place"))
        values = {key: value for key, value in defaults.items() if key in OF_SUM} | dict(given)
        values["kind"] = values.get("kind", "gauge")
        self.mark(name, values, given, defaults)
        return Point(name=name, at=Registers(3, 0, SUM, 1), **values)

    def with_sums(self, points: list[Point]) -> tuple[Point, ...]:
        """The points, each sum at the registers of its parts."""
        parts = {p.name: p for p in points if p.kind == "part"}
        found = []
        for point in points:
            for name in point.sum:
                if name not in parts:
                    sentence = Message("profile-no-part", name=name, hint=nearest(name, [*parts]))
                    raise self.refuse(f"points.{point.name}.sum", sentence)
            if isinstance(point.at, Registers) and point.at.type == SUM:
                some = [parts[name] for name in point.sum]
                first = min((part.address for part in some), default=0)
                reach = max((part.end for part in some), default=1) - first
                offsets = tuple((part, part.address - first) for part in some)
                at = replace(point.at, address=first, registers=reach)
                if some:
                    at = replace(at, fc=some[0].fc, model=some[0].model)
                point = replace(point, at=at, parts=offsets)
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
