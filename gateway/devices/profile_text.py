"""Text of a profile: what ``gateway.devices.profile`` reads back, and the hash of what decoding depends on. Pure."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import fields, replace
from fractions import Fraction
from typing import Any

from gateway.devices.knowledge.fingerprint import Constant, Fingerprint, Refusal, Sum
from gateway.devices.knowledge.provenance import Provenance
from gateway.devices.places import Place, Registers
from gateway.devices.points import Point, Profile, SignalLine, Span
from gateway.devices.profile_keys import OF_SUM, PROFILE, SERIAL

ORDER = (
    "di", "part", "code", "suffix", "group", "format", "signed",
    "fc", "address", "type", "registers", "word_order", "scale", "factor", "scale_from", "factor_from", "byte_order",
    "bits", "sign_from", "from_unit", "offset", "span", "chars", "sum", "unit", "wire_unit", "kind", "not_available",
    "low", "high", "wraps_at", "max_per_hour", "lively", "model", "record", "sunspec", "symbols", "raises", "about",
    "note",
)  # fmt: skip
"""Keys of a point in the order of the text. It never changes: the hash of what was recorded depends on it."""


def format_profile(profile: Profile) -> str:
    """The TOML text of a profile, every key that is not at its default: ``parse_profile`` reads it back to the same."""
    return _text(profile, point_lines(profile))


def point_lines(profile: Profile) -> list[str]:
    """The lines of ``[points]``. A point without a code for *no value* says nothing of it: an empty list would hide
    those that the file has for its type."""
    return [f"{_key(point.name)} = {_inline(point_facts(profile, point))}" for point in profile.points]


def _text(profile: Profile, points: list[str]) -> str:
    keys = {f.name: f for f in fields(Profile)}
    lines = [_line(key, getattr(profile, key)) for key in PROFILE if getattr(profile, key) != keys[key].default]
    if profile.readable:
        lines.append(f"readable = [{', '.join(_inline(_facts(span)) for span in profile.readable)}]")
    if profile.serial is not None:
        lines += ["", "[serial]", *(_line(key, getattr(profile.serial, key)) for key in SERIAL)]
    lines += ["", "[points]", *points]
    if profile.provenance is not None:
        sources = {"sources": profile.provenance.sources}
        lines += ["", "[provenance]", *(_line(k, v) for k, v in (_facts(profile.provenance) | sources).items())]
    if profile.fingerprint is not None:
        lines += ["", "[fingerprint]", *(_line(k, v) for k, v in _facts(profile.fingerprint).items() if v)]
    return "\n".join(lines) + "\n"


def decoding_hash(profile: Profile) -> bytes:
    """SHA-256 of what determines how registers become values: the text of ``format_profile`` without the words for
    people (vendor, device, source, notes), and without what it says beyond decoding (provenance, fingerprint, ask,
    positive, models of one layout). A point of registers has ``not_available`` in it even where it is empty."""
    points = tuple(replace(point, note=None) for point in profile.points)
    bare = replace(profile, vendor="", device="", source="", points=points, ask=(), provenance=None, fingerprint=None)
    bare = replace(bare, same_layout=(), positive=None)
    lines = [f"{_key(point.name)} = {_inline(_every_fact(bare, point))}" for point in bare.points]
    return hashlib.sha256(_text(bare, lines).encode()).digest()


def point_facts(profile: Profile, point: Point) -> dict[str, Any]:
    """The keys of a point; in a profile that asks for the word order, a point that has one of its own says it."""
    return {key: value for key, value in _every_fact(profile, point).items() if (key, value) != ("not_available", ())}


def _every_fact(profile: Profile, point: Point) -> dict[str, Any]:
    facts = _point(point)
    if (
        profile.ask
        and isinstance(point.at, Registers)
        and not point.sum
        and point.name not in profile.word_order_unsaid
    ):
        return facts | {"word_order": point.word_order}
    return facts


def inline(key: str, value: Any) -> str:
    """The TOML text of the value of a key of a point."""
    return _line(key, value).partition(" = ")[2]


def _point(point: Point) -> dict[str, Any]:
    facts = _facts(point) | _facts(point.at)
    facts = {key: facts[key] for key in ORDER if key in facts} | {"kind": point.kind}
    if not isinstance(point.at, Registers):
        return facts
    facts["not_available"] = point.not_available
    if point.type != "string":
        facts.pop("registers", None)
    return {key: value for key, value in facts.items() if key in OF_SUM} if point.sum else facts


def _facts(thing: Point | Place | Span | Provenance | Fingerprint | Constant | Refusal | Sum) -> dict[str, Any]:
    """What is not at its default, by the name of its key."""
    return {f.name: getattr(thing, f.name) for f in fields(thing) if getattr(thing, f.name) != f.default}


def _inline(facts: Mapping[str, Any]) -> str:
    return "{ " + ", ".join(_line(key, value) for key, value in facts.items()) + " }"


def _key(name: str) -> str:
    return name if re.fullmatch(r"[A-Za-z0-9_-]+", name) else _toml(name)


def _line(key: str, value: Any) -> str:
    if key in ("symbols", "raises", "ratios"):
        return f"{key} = " + _inline({str(code): meaning for code, meaning in value})
    return f"{key} = {_toml(value)}"


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return _inline({_key(key): row for key, row in value.items()})
    if isinstance(value, Constant | Refusal | Sum):
        return _inline(_facts(value))
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
