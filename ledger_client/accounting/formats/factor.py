"""Emission factors of a plan, as they were published (rule F1). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ledger_client.accounting.formats.fields import Fields
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.units import ENERGY_FACTORS
from ledger_client.accounting.formats.words import is_unpublished

_KEYS: Final = (
    "series", "id", "kind", "value", "unit", "region", "vintage", "published", "document", "confirmed",
)  # fmt: skip
DEVICE: Final = "device"
FACTOR_KINDS: Final = ("average", "residual", "fossil", "fuel", DEVICE)


@dataclass(frozen=True, slots=True)
class Factor:
    """An emission factor as it was published (F1); ``value`` is the text, ``amount`` its number. One of somebody's own
    is never ``confirmed``."""

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


def parse_factor(n: int, value: object, where: str = "plan.factors") -> Factor:
    """One of a plan's ``factors``, the n-th. Refuses under F1."""
    of = Fields(value, f"{where}[{n}]", "F1", _KEYS)
    text = of.text("value")
    try:
        amount = Fraction(text)
    except (ValueError, ZeroDivisionError):
        of.refuse("value", f'{text!r} is not a number as text, such as "0.5306"')
    name, kind, confirmed = of.text("id"), of.choice("kind", FACTOR_KINDS), of.get("confirmed")
    if amount < 0 or (amount == 0 and kind != DEVICE):
        of.refuse("value", f"it is {text}, and only one of kind device may be 0", "give what was published")
    return Factor(
        of.text("series"), name, kind, text, amount, of.text("unit"),
        of.text("region"), of.uint("vintage", 1900, 2999), of.text("published"), of.text("document"),
        confirmed is True and not is_unpublished(name),
    )  # fmt: skip


def kg_per_wh(factor: Factor, where: str) -> Fraction:
    """A factor of electricity in kg for a Wh. Refuses one of anything else (F1)."""
    scale = ENERGY_FACTORS.get(factor.unit)
    if scale is None:
        refuse("F1", where, f"{factor.unit} is no unit of an electricity factor")
    return factor.amount * scale


def in_use(
    factors: Sequence[Factor], series: str, *, fixed: bool, named: str | None, year: int, where: str
) -> tuple[Factor, bool]:
    """The factor of a series in a civil year, and whether it is provisional: the year's own is not published yet (F2).

    Args:
        factors: all of the series.
        series: its name.
        fixed: the one that is ``named`` (None: the only one), whatever the year.
        named: the id of it.
        year: when the energy was used.
        where: what names the series, for a refusal.
    """
    if fixed:
        fitting = [factor for factor in factors if named is None or factor.id == named]
        if len(fitting) != 1:
            refuse("F2", where, f"{len(fitting)} factors of {series} fit", "name one with factor_id")
        return fitting[0], False
    vintages = Counter(factor.vintage for factor in factors)
    if twice := [vintage for vintage, count in vintages.items() if count > 1]:
        refuse("F2", where, f"{series} has two factors for {twice[0]}", "name one with factor_id")
    of_year = [factor for factor in factors if factor.vintage == year]
    if of_year:
        return of_year[0], False
    earlier = [factor for factor in factors if factor.vintage < year]
    if not earlier:
        refuse("F2", where, f"{series} has no factor for {year} or before", "copy it into the plan")
    return max(earlier, key=lambda factor: factor.vintage), True
