"""Known keys of a profile file by table, each with the check of its value; profile.py refuses all others."""

from __future__ import annotations

from gateway.devices.key_values import (
    Check,
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
from gateway.devices.points import FACTORS, KINDS, MAX_BITS, MAX_REGISTERS, TYPES
from gateway.devices.units import CONVERSIONS
from gateway.messages.message import Message

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
    "model": integer(1, 65534), "record": _flag, "sunspec": _text, "symbols": codes(_text), "raises": codes(_text),
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
SERIAL: dict[str, Check] = {
    "baudrate": integer(50, 4_000_000), "parity": one_of("N", "E", "O"), "stopbits": integer(1, 2),
}  # fmt: skip
SPAN: dict[str, Check] = {"fc": integer(1, 4), "first": _register, "last": _register}
PROFILE: dict[str, Check] = {
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
SECOND_FORMAT = ("sleeps_below", "latency_ms")
"""Keys of a profile that ``format = 2`` brings."""
TABLES = ("serial", "defaults", "not_available", "readable", "points")
"""Tables and lists of a profile, beside its keys."""
MEASURED = ("unit", "scale", "lively")
"""Keys of [defaults] that only numbers take."""
OF_SUM = ("sum", "unit", "wire_unit", "kind", "low", "high", "wraps_at", "max_per_hour", "lively", "record", "note")
"""Keys of a sum; those of its registers stand at its parts."""
