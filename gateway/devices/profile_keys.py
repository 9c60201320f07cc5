"""Known keys of a profile file by table, each with the check of its value; profile.py refuses all others.

A check returns the value, or raises ``Wrong`` with what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gateway.devices.knowledge.provenance import GRADES
from gateway.devices.places import TYPES, is_format
from gateway.devices.points import FACTORS, KINDS, MAX_BITS, MAX_REGISTERS, PROTOCOLS, Ratio, SignalLine
from gateway.devices.scaling import CONVERSIONS
from gateway.messages.message import Message


class Wrong(Exception):
    """A value that breaks ``rule``, which says what to write; a ProfileError where file and key are known."""

    def __init__(self, rule: Message) -> None:
        super().__init__(rule)
        self.rule = rule


Check = Callable[[Any], Any]


def kind_of(kind: type, rule: Message) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise Wrong(rule)
        return value

    return check


def integer(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Wrong(Message("profile-whole-number", low=low, high=high))
        return value

    return check


def number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise Wrong(Message("profile-number"))
    return Decimal(value)


def factor(value: Any) -> Decimal:
    if (found := number(value)) == 0:
        raise Wrong(Message("profile-number-not-0"))
    return found


def one_of(*options: str) -> Check:
    def check(value: Any) -> str:
        if value not in options or not isinstance(value, str):
            raise Wrong(Message("profile-one-of", options=options))
        return value

    return check


def matching(pattern: str, rule: Message) -> Check:
    form = re.compile(pattern)

    def check(value: Any) -> str:
        if not isinstance(value, str) or not form.fullmatch(value):
            raise Wrong(rule)
        return value

    return check


def written(value: Any) -> str:
    """The format of a value of DL/T 645."""
    if not isinstance(value, str) or not is_format(value):
        raise Wrong(Message("profile-format-signs"))
    return value


def list_of(item: Check) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        values = value if isinstance(value, list) else [value]
        return tuple(item(v) for v in values)

    return check


def table_of(item: Check, rule: Message) -> Check:
    def check(value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise Wrong(rule)
        return {key: item(row) for key, row in value.items()}

    return check


def codes(item: Check) -> Check:
    def check(value: Any) -> tuple[tuple[int, Any], ...]:
        if not isinstance(value, dict):
            raise Wrong(Message("profile-codes-table"))
        try:
            found = {int(code, 0): item(meaning) for code, meaning in value.items()}
        except ValueError:
            raise Wrong(Message("profile-codes-number")) from None
        if len(found) < len(value):
            raise Wrong(Message("profile-codes-twice"))
        return tuple(sorted(found.items()))

    return check


def fraction(value: Any) -> Ratio:
    """A number, or a text such as "1/3600": a fraction of whole numbers of at most 18 digits each."""
    if isinstance(value, str) and (found := re.fullmatch(r"(-?\d{1,18})/(\d{1,18})", value)) and int(found[2]):
        return Fraction(int(found[1]), int(found[2]))
    if isinstance(value, str):
        raise Wrong(Message("profile-fraction"))
    return number(value)


def ratio(value: Any) -> Ratio:
    """The same, but not 0."""
    if (found := fraction(value)) == 0:
        raise Wrong(Message("profile-number-not-0"))
    return found


def pair(item: Check, rule: Message) -> Check:
    def check(value: Any) -> tuple[Any, Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise Wrong(rule)
        return item(value[0]), item(value[1])

    return check


_LINE = Message("profile-signal-line")


def signal_line(value: Any) -> SignalLine:
    """A line through two points of a signal."""
    if not isinstance(value, dict) or not {"from", "to"} <= set(value) <= {"from", "to", "range", "fault"}:
        raise Wrong(_LINE)
    ends = pair(number, _LINE)
    start, end = ends(value["from"])
    if start >= end:
        raise Wrong(Message("profile-from-falls"))
    if start > 0 and "fault" not in value:
        raise Wrong(Message("profile-fault-missing"))
    fault = None if value.get("fault", False) is False else ends(value["fault"])
    sound = ends(value["range"]) if "range" in value else None
    for name, limits in (("fault", fault), ("range", sound)):
        if limits is not None and limits[0] >= limits[1]:
            raise Wrong(Message("profile-range-falls", key=name))
    if fault and sound and not fault[0] <= sound[0] < sound[1] <= fault[1]:
        raise Wrong(Message("profile-range-beyond-fault"))
    return SignalLine(start, end, ends(value["to"]), sound, fault)


def models(value: Any) -> tuple[tuple[int, ...], ...]:
    """Lists of SunSpec models, two or more in each and none twice."""
    rows = value if isinstance(value, list) and all(isinstance(row, list) and len(row) > 1 for row in value) else []
    found = [number for row in rows for number in row]
    if not found or len(set(map(str, found))) < len(found):
        raise Wrong(Message("profile-model-lists"))
    return tuple(tuple(_MODEL(number) for number in row) for row in rows)


_MODEL = integer(1, 65534)


def of_factors(value: Any) -> tuple[tuple[str, str], ...]:
    """Names of points by transformer ratio."""
    rule = Message("profile-ratios-table")
    if not isinstance(value, dict) or not set(value) <= set(FACTORS):
        raise Wrong(rule)
    return tuple(sorted(table_of(kind_of(str, rule), rule)(value).items()))


_text = kind_of(str, Message("profile-text"))
_flag = kind_of(bool, Message("profile-true-false"))
_register = integer(0, 65535)
PATTERN = integer(-(2**63), 2**64 - 1)
"""Of registers, for ``not_available``."""

_NEW_TYPES = ("uint48", "int48", "bcd16", "bcd32", "bcd48", "bcd64")
POINT: dict[str, Check] = {
    "fc": integer(1, 4), "address": _register, "type": one_of(*(t for t in TYPES if t not in _NEW_TYPES)),
    "registers": integer(1, MAX_REGISTERS),
    "word_order": one_of("big", "little"), "scale": integer(-18, 18), "factor": factor, "scale_from": _text,
    "factor_from": list_of(one_of(*FACTORS)), "unit": _text, "wire_unit": _text,
    "kind": one_of(*(k for k in KINDS if k != "part")),
    "not_available": list_of(PATTERN), "low": number, "high": number, "wraps_at": factor,
    "max_per_hour": factor, "lively": _flag,
    "model": _MODEL, "record": _flag, "sunspec": _text, "symbols": codes(_text), "raises": codes(_text),
    "about": list_of(_text), "note": _text,
}  # fmt: skip
NEW_KEYS: dict[str, Check] = {
    "byte_order": one_of("big", "little"), "bits": pair(integer(0, 63), Message("profile-bits")),
    "sign_from": _text, "chars": one_of("two", "low", "high"), "offset": fraction, "span": signal_line,
    "sum": list_of(_text), "from_unit": one_of(*CONVERSIONS),
}  # fmt: skip
"""Keys of a point that ``format = 2`` brings."""
POINT_2: dict[str, Check] = {
    **POINT, **NEW_KEYS, "type": one_of(*TYPES), "factor": ratio, "factor_from": list_of(_text),
    "kind": one_of(*KINDS),
}  # fmt: skip
DEFAULTS = ("fc", "type", "word_order", "scale", "unit", "kind", "model", "record", "lively")
"""Keys of [defaults]."""
_di = matching(r"[0-9A-F]{8}", Message("profile-identifier"))
REGISTER_KEYS = (
    "fc", "address", "type", "registers", "word_order", "byte_order", "bits", "chars", "model", "not_available",
    "scale_from", "sign_from", "sum", "span", "sunspec",
)  # fmt: skip
"""Keys of a point that only registers have, beside those of every protocol."""
PLACES: dict[str, dict[str, Check]] = {
    "dlt645": {"di": _di, "format": written, "part": integer(0, 255), "signed": _flag},
    "hj212": {
        "code": matching(r"[0-9A-Za-z]{1,12}", Message("profile-factor-code")),
        "suffix": matching(r"[0-9A-Za-z]{0,12}", Message("profile-factor-code")),
    },
    "obis": {
        "code": matching(r"\d{1,3}-(\d{1,3}|n):\d{1,3}\.\d{1,3}\.\d{1,3}", Message("profile-obis-code")),
        "group": integer(0, 9),
    },
}
"""Keys that say where a point stands, by protocol; those of registers are in ``POINT``."""
DEMANDED = {
    "modbus": ("fc", "address", "type"), "sunspec": ("fc", "address", "type", "model"), "dlt645": ("di", "format"),
    "hj212": ("code",), "obis": ("code",),
}  # fmt: skip
"""Keys that each point must have, itself or by default."""
OF_REGISTERS = (
    "default_address", "max_registers", "max_bits", "max_gap", "step", "same_functions", "direct", "leading_bytes",
    "identity_object", "not_available", "readable", "ratios", "ask",
)  # fmt: skip
"""Keys and tables of a profile that only devices with registers have."""
_NUMBERS_ALONE = ("gauge", "counter", "status", "text")


def point_keys(protocol: str, *, second: bool) -> tuple[dict[str, Check], tuple[str, ...]]:
    """The keys of a point of this protocol with their checks, and those of [defaults]."""
    if protocol not in PLACES:
        return (POINT_2, (*DEFAULTS, "byte_order")) if second else (POINT, DEFAULTS)
    common = {key: check for key, check in POINT_2.items() if key not in REGISTER_KEYS}
    special = {"factor_from": list_of(one_of(*FACTORS)), "kind": one_of(*_NUMBERS_ALONE)}
    defaults = (key for key in DEFAULTS if key in common)
    return common | special | PLACES[protocol], (*defaults, *(set(PLACES[protocol]) & {"format", "signed", "suffix"}))


def protocol_of(key: str) -> str | None:
    """The protocol whose points have a key that those of others do not; None: there is none."""
    if key in REGISTER_KEYS:
        return "modbus"
    return next((protocol for protocol, places in PLACES.items() if key in places), None)


SERIAL: dict[str, Check] = {
    "baudrate": integer(50, 4_000_000), "parity": one_of("N", "E", "O"), "stopbits": integer(1, 2),
}  # fmt: skip
SPAN: dict[str, Check] = {"fc": integer(1, 4), "first": _register, "last": _register}
PROFILE: dict[str, Check] = {
    "format": integer(1, 2), "vendor": _text, "device": _text, "source": _text,
    "protocol": one_of(*PROTOCOLS), "cn": matching(r"[0-9]{4}", Message("profile-command")),
    "default_address": integer(0, 255), "max_registers": integer(1, MAX_REGISTERS), "max_bits": integer(1, MAX_BITS),
    "max_gap": integer(0, MAX_REGISTERS), "step": integer(1, 16), "same_functions": _flag,
    "pause_ms": integer(0, 60_000), "timeout_ms": integer(1, 60_000), "connect_delay_ms": integer(0, 60_000),
    "latency_ms": integer(0, 60_000),
    "answer_life_ms": integer(1, 3_600_000), "direct": _flag, "leading_bytes": _flag, "may_sleep": _flag,
    "sleeps_below": _text,
    "identity": list_of(_text), "identity_object": integer(0, 255), "freshness": _text, "concentrator": _flag,
    "interval_ms": integer(1, 86_400_000), "same_layout": models,
    "stale_after_ms": integer(1, 604_800_000), "frozen_after_ms": integer(1, 86_400_000),
    "ratios": of_factors, "ask": list_of(one_of("word_order")), "positive": one_of("import", "export"),
}  # fmt: skip
_grade = one_of(*GRADES)
_SOURCES = Message("profile-sources-table")
PROVENANCE: dict[str, Check] = {
    "default": _grade, "sources": table_of(matching(r"(?s).*\S.*", _SOURCES), _SOURCES),
    **dict.fromkeys(GRADES, list_of(_text)),
}  # fmt: skip
_RANGES = Message("profile-ranges-table")
FINGERPRINT: dict[str, Check] = {
    "family": matching(r"(?s).*\S.*", Message("profile-text")), "ranges": table_of(pair(number, _RANGES), _RANGES),
}  # fmt: skip
CONSTANT: dict[str, Check] = {
    "fc": integer(3, 4), "address": _register, "words": list_of(_register), "to": _register,
}  # fmt: skip
REFUSAL: dict[str, Check] = {"fc": integer(1, 4), "address": _register, "registers": integer(1, MAX_REGISTERS)}
FINGERPRINT_SUM: dict[str, Check] = {"total": _text, "parts": list_of(_text)}
FINGERPRINT_ROWS = ("constants", "refuses", "sums")
"""Keys of [fingerprint] that are lists of tables."""
OPTIONAL = ("to",)
"""Keys of these tables that may be left out."""
SECOND_FORMAT = ("sleeps_below", "latency_ms", "ratios", "same_layout")
"""Keys of a profile that ``format = 2`` brings."""
TABLES = ("serial", "defaults", "not_available", "readable", "points", "provenance", "fingerprint")
"""Tables and lists of a profile, beside its keys."""
BESIDE: dict[str, tuple[str, ...]] = {"": TABLES, "fingerprint.": FINGERPRINT_ROWS}
"""By table, the keys that are tables or lists of tables themselves."""
MEASURED = ("unit", "scale", "lively")
"""Keys of [defaults] that only numbers take."""
OF_SUM = ("sum", "unit", "wire_unit", "kind", "low", "high", "wraps_at", "max_per_hour", "lively", "record", "note")
"""Keys of a sum; those of its registers stand at its parts."""
