"""Checks of the values of profile keys: each returns the value, or raises ``Wrong`` with what was expected."""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from gateway.devices.points import Ratio, SignalLine
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


def list_of(item: Check) -> Check:
    def check(value: Any) -> tuple[Any, ...]:
        values = value if isinstance(value, list) else [value]
        return tuple(item(v) for v in values)

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
