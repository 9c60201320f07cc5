"""Sparkplug metrics of a meter's values: lossless data types, quality and other properties.

Integers as read are Int64 or UInt64, IEEE registers and scaled numbers Double. A decimal number of up to 15 digits
comes back from a Double as it was; one that does not has the property ``Exact`` with all of its digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import Any, Final

from gateway.devices.points import Point
from gateway.feeds.sparkplug.payload import PropertySet
from gateway.verdicts import verdict
from ledger_client.formats.senml import Number, Quality, quality_words

INT32, INT64, UINT64, DOUBLE, BOOLEAN, STRING = 3, 4, 8, 10, 11, 12  # Sparkplug 3.0 §6.4.16
GOOD, BAD, STALE = 192, 0, 500  # §6.4.14: the codes that the property Quality may have
_WORD: Final = 1 << 64
Content = Number | str | bool | None


@dataclass(frozen=True, slots=True)
class Definition:
    """A metric as its birth defines it."""

    alias: int
    datatype: int
    unit: str | None = None


def datatype_of(point: Point) -> int:
    """The data type of what a point's registers say, before any of them was read."""
    form = point.at.form
    if form == "text" or point.kind == "text":
        return STRING
    if form == "switch":
        return BOOLEAN
    scaled = bool(point.scale or point.at.exponent or point.factor is not None or point.scale_from or point.factor_from)
    scaled = scaled or bool(point.from_unit or point.offset or point.span or point.sum)
    if point.sign_from and not scaled:
        return INT64
    if scaled or form == "real":
        return DOUBLE
    return INT64 if point.at.signed else UINT64


def datatype_for(value: Content) -> int:
    """The data type of a value of which nothing else is known."""
    if isinstance(value, bool):
        return BOOLEAN
    if isinstance(value, int):
        return INT64 if -_WORD // 2 <= value < _WORD // 2 else UINT64
    return STRING if isinstance(value, str) else DOUBLE


def fits(datatype: int, value: Content) -> bool:
    """Whether a metric of this type can have this value."""
    if value is None:
        return True
    if isinstance(value, str | bool) or datatype in (STRING, BOOLEAN):
        return datatype == datatype_for(value)
    if datatype == DOUBLE:
        return True
    low, high = (0, _WORD) if datatype == UINT64 else (-_WORD // 2, _WORD // 2)
    return isinstance(value, int) and low <= value < high


def fill(metric: Any, datatype: int, value: Content) -> None:
    """Set a metric's value."""
    if value is None:
        metric.is_null = True
    elif datatype == STRING:
        metric.string_value = value
    elif datatype == BOOLEAN:
        metric.boolean_value = value
    elif datatype == DOUBLE:
        metric.double_value = float(value)
    else:
        metric.long_value = int(value) % _WORD  # Int64 travels as two's complement


def exact(datatype: int, value: Content) -> str | None:
    """All digits of a number that a Double does not give back."""
    if datatype != DOUBLE or not isinstance(value, int | Decimal):
        return None
    return None if Decimal(repr(float(value))) == value else format(value, "f" if isinstance(value, Decimal) else "d")


def quality_code(flags: int) -> int:
    """The code of a value with these flags: stale where it is too old, else bad where the verdict is bad or missing."""
    if verdict(flags) in ("bad", "missing"):
        return BAD
    return STALE if flags & Quality.STALE else GOOD


@lru_cache(maxsize=1024)
def properties(flags: int, *, recorded: bool, exactly: str | None = None, unit: str | None = None) -> Any:
    """``Quality``, ``Recorded`` and, where there are any, ``Flags`` (the names of the record's bits), ``Exact`` and
    ``engUnit``, as hosts call the unit."""
    found = PropertySet()
    _add(found, "Quality", INT32).int_value = quality_code(flags)
    _add(found, "Recorded", BOOLEAN).boolean_value = recorded
    texts = {"Flags": " ".join(quality_words(flags)), "Exact": exactly or "", "engUnit": unit or ""}
    for key, text in texts.items():
        if text:
            _add(found, key, STRING).string_value = text
    return found


@lru_cache(maxsize=1024)
def unknown(unit: str | None) -> Any:
    """The properties of a metric of which nothing has been read yet."""
    found = PropertySet()
    _add(found, "Quality", INT32).int_value = STALE
    if unit:
        _add(found, "engUnit", STRING).string_value = unit
    return found


def _add(properties: Any, key: str, datatype: int) -> Any:
    properties.keys.append(key)
    value = properties.values.add()
    value.type = datatype
    return value
