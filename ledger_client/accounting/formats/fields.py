"""Strict reading of the maps of plans, entries and statements: a value, or a refusal that names its place. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Any, Final, NoReturn, TypeGuard

from ledger_client.accounting.formats.refusal import refuse
from ledger_client.formats.checks import MAX_TIME_MS, is_name

MOST_TEXT: Final = 4096


def is_number(value: object) -> TypeGuard[int | float | Decimal]:
    """Whether it is a finite number."""
    return type(value) is int or (isinstance(value, float | Decimal) and Decimal(value).is_finite())


class Fields:
    """One map of a plan, entry or statement: ``where`` it stands, and under which rule it is refused."""

    def __init__(self, value: object, where: str, rule: str, known: Collection[str]) -> None:
        """Refuses what is no map with text keys, and a key that is not ``known``."""
        self.where, self.rule = where, rule
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            self.refuse("", "it is not a map with text keys")
        unknown = sorted(set(value) - set(known))
        if unknown:
            self.refuse(unknown[0], "there is no such key", f"the keys are {', '.join(sorted(known))}")
        self.of: Mapping[str, Any] = value

    def refuse(self, key: str, problem: str, way_out: str = "", *, rule: str = "") -> NoReturn:
        """Refuse what stands under a key; ``""`` for the whole map."""
        refuse(rule or self.rule, f"{self.where}.{key}" if key else self.where, problem, way_out)

    def __contains__(self, key: str) -> bool:
        return key in self.of

    def get(self, key: str) -> Any:
        """What stands under a key that must be there."""
        if key not in self.of:
            self.refuse(key, "it is missing")
        return self.of[key]

    def text(self, key: str, default: str | None = None) -> str:
        """Text of 1 to 4,096 characters."""
        if default is not None and key not in self.of:
            return default
        value = self.get(key)
        if type(value) is not str or not 0 < len(value) <= MOST_TEXT:
            self.refuse(key, f"it is {value!r}, not text of 1 to {MOST_TEXT} characters")
        return value

    def choice(self, key: str, among: Collection[str], default: str | None = None) -> str:
        """One of a few words."""
        value = self.text(key, default)
        if value not in among:
            self.refuse(key, f"it is {value!r}", f"it is one of {', '.join(among)}")
        return value

    def name(self, key: str) -> str:
        """A name of a gateway, meter, point, node or plan."""
        value = self.get(key)
        if not is_name(value):
            self.refuse(key, f"{value!r} is not a name (letters, digits, '.', '_', '-'; 1 to 64)")
        return str(value)

    def uint(self, key: str, least: int = 0, most: int = MAX_TIME_MS) -> int:
        """An integer within bounds."""
        value = self.get(key)
        if type(value) is not int or not least <= value <= most:
            self.refuse(key, f"it is {value!r}, not an integer from {least} to {most}")
        return value

    def number(self, key: str) -> int | float | Decimal:
        """A number as it was written."""
        value = self.get(key)
        if not is_number(value):
            self.refuse(key, f"it is {value!r}, not a number")
        return value

    def fraction(self, key: str) -> Fraction:
        """A number, exactly."""
        return Fraction(self.number(key))

    def blob(self, key: str, size: int = 32) -> bytes:
        """A byte string of a size; a hash has 32."""
        value = self.get(key)
        if type(value) is not bytes or len(value) != size:
            self.refuse(key, f"it is not a byte string of {size} bytes")
        return value

    def items(self, key: str, least: int = 0) -> list[Any]:
        """A list of at least so many things."""
        value = self.get(key)
        if type(value) not in (list, tuple) or len(value) < least:
            self.refuse(key, f"it is not a list of {least} or more")
        return list(value)

    def table(self, key: str, default: Mapping[str, Any] | None = None) -> Mapping[str, Any]:
        """A map with text keys."""
        if default is not None and key not in self.of:
            return default
        value = self.get(key)
        if not isinstance(value, Mapping) or not all(isinstance(k, str) for k in value):
            self.refuse(key, "it is not a map with text keys")
        return value
