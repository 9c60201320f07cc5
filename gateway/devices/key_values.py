"""Checks of the values of profile keys: each returns the value, or raises ``Wrong`` with what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gateway.devices.points import Ratio, SignalLine


class Wrong(Exception):
    """What a key's value should have been; turned into a ProfileError where file and key are known."""


Check = Callable[[Any], Any]


def kind_of(kind: type, what: str) -> Check:
    def check(value: Any) -> Any:
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise Wrong(what)
        return value

    return check


def integer(low: int, high: int) -> Check:
    def check(value: Any) -> int:
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Wrong(f"give a whole number from {low} to {high}")
        return value

    return check


def number(value: Any) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, int | Decimal) or not Decimal(value).is_finite():
        raise Wrong("give a number")
    return Decimal(value)


def factor(value: Any) -> Decimal:
    if (told := number(value)) == 0:
        raise Wrong("give a number other than 0")
    return told


def one_of(*options: str) -> Check:
    def check(value: Any) -> str:
        if value not in options or not isinstance(value, str):
            raise Wrong(f"give one of {', '.join(options)}")
        return value

    return check


def list_of(item: Check) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        values = value if isinstance(value, list) else [value]
        return tuple(item(v) for v in values)

    return check


def codes(item: Check) -> Check:
    def check(value: Any) -> tuple[tuple[int, Any], ...]:
        if not isinstance(value, dict):
            raise Wrong('give a table of codes, such as { 1 = "OFF" }')
        try:
            told = {int(code, 0): item(meaning) for code, meaning in value.items()}
        except ValueError:
            raise Wrong("write each code as a whole number, decimal or 0x…") from None
        if len(told) < len(value):
            raise Wrong("write each code once")
        return tuple(sorted(told.items()))

    return check


def fraction(value: Any) -> Ratio:
    """A number, or a text such as "1/3600": a fraction of whole numbers of at most 18 digits each."""
    if isinstance(value, str) and (found := re.fullmatch(r"(-?\d{1,18})/(\d{1,18})", value)) and int(found[2]):
        return Fraction(int(found[1]), int(found[2]))
    if isinstance(value, str):
        raise Wrong('give a number, or a fraction of whole numbers of at most 18 digits such as "1/3600"')
    return number(value)


def ratio(value: Any) -> Ratio:
    """The same, but not 0."""
    if (told := fraction(value)) == 0:
        raise Wrong("give a number other than 0")
    return told


def pair(item: Check, what: str) -> Check:
    def check(value: Any) -> tuple[Any, Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise Wrong(what)
        return item(value[0]), item(value[1])

    return check


_LINE = "give { from = [4, 20], to = [0, 250], fault = [3.6, 21] }, and range = [3.8, 20.5] where that is known"


def signal_line(value: Any) -> SignalLine:
    """A line through two points of a signal."""
    if not isinstance(value, dict) or not {"from", "to"} <= set(value) <= {"from", "to", "range", "fault"}:
        raise Wrong(_LINE)
    ends = pair(number, _LINE)
    start, end = ends(value["from"])
    if start >= end:
        raise Wrong("from is equal or falls: give its smaller number first, and let to fall")
    if start > 0 and "fault" not in value:
        raise Wrong("say where the signal is broken: fault = [3.6, 21] for 4 to 20 mA, fault = false where nothing is")
    fault = None if value.get("fault", False) is False else ends(value["fault"])
    sound = ends(value["range"]) if "range" in value else None
    for name, limits in (("fault", fault), ("range", sound)):
        if limits is not None and limits[0] >= limits[1]:
            raise Wrong(f"{name} is equal or falls: give its smaller number first")
    if fault and sound and not fault[0] <= sound[0] < sound[1] <= fault[1]:
        raise Wrong("range reaches beyond fault, where there is no value: range lies within fault")
    return SignalLine(start, end, ends(value["to"]), sound, fault)
