"""Emission factors of a plan, as they were published (rule F1). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ledger_client.accounting.formats.fields import Fields

_KEYS: Final = (
    "series", "id", "kind", "value", "unit", "region", "vintage", "published", "document", "confirmed",
)  # fmt: skip
FACTOR_KINDS: Final = ("average", "residual", "fossil", "fuel", "device")


@dataclass(frozen=True, slots=True)
class Factor:
    """An emission factor as it was published (F1); ``value`` is the text, ``amount`` its number."""

    series: str
    id: str
    kind: str
    value: str
    amount: Fraction
    unit: str
    region: str
    vintage: int
    published: str
    document: str
    confirmed: bool


def parse_factor(n: int, value: object) -> Factor:
    """One of a plan's ``factors``, the n-th. Refuses under F1."""
    of = Fields(value, f"plan.factors[{n}]", "F1", _KEYS)
    text = of.text("value")
    try:
        amount = Fraction(text)
    except (ValueError, ZeroDivisionError):
        of.refuse("value", f'{text!r} is not a number as text, such as "0.5306"')
    confirmed = of.get("confirmed")
    return Factor(
        of.text("series"), of.text("id"), of.choice("kind", FACTOR_KINDS), text, amount, of.text("unit"),
        of.text("region"), of.uint("vintage", 1900, 2999), of.text("published"), of.text("document"),
        confirmed is True,
    )  # fmt: skip
