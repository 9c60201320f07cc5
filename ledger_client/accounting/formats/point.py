"""Point of an accounting plan: a recorded quantity of a meter, as in the event ``plan`` (rule P3). Pure."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Final

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.fields import Fields, is_number
from ledger_client.accounting.formats.numbers import exact, milli_of
from ledger_client.accounting.formats.units import Unit, counter_unit
from ledger_client.formats.checks import is_name

MOST_OVER: Final = Fraction(11, 10)
"""By how much a counter or a node may pass what it can at most (I4, I6, P3)."""
_POINT: Final = ("kind", "unit", "sample", "max", "wraps_at", "range", "basis", "pressure", "u", "u_source")


@dataclass(frozen=True, slots=True)
class Point:
    """One recorded quantity of a meter (P3).

    ``max_milli``: the most that a register counts in an hour; ``wraps_milli``: the first value that it does not show
    (None: it is not said); both in thousandths of the base unit. ``sample_ms``: from one due value to the next.
    ``u``: relative uncertainty, k = 2 (None: not known).
    """

    name: str
    kind: str
    unit_name: str
    unit: Unit | None
    sample_ms: int
    max_milli: int
    wraps_milli: int | None
    lowest: Fraction | None
    highest: Fraction | None
    basis: str | None
    u: Fraction | None
    u_source: str | None

    @property
    def meter(self) -> str:
        """The meter that it is a quantity of."""
        return self.name.partition("/")[0]

    @property
    def own_name(self) -> str:
        """Its name within the meter."""
        return self.name.partition("/")[2]


def parse_point(name: str, value: object, interval_ms: int) -> Point:
    """One of a plan's ``points``. Refuses under P3."""
    of = Fields(value, f"plan.points.{name}", "P3", _POINT)
    meter, _, point = name.partition("/")
    if not (is_name(meter) and is_name(point)):
        of.refuse("", "a point is called METER/POINT")
    kind, unit_name, sample_ms = of.choice("kind", (words.COUNTER, words.GAUGE)), of.text("unit"), of.uint("sample", 1)
    if sample_ms > interval_ms:
        of.refuse("sample", f"{sample_ms} ms are longer than the interval of {interval_ms} ms", "poll more often")
    unit, max_milli, wraps_milli = None, 0, None
    if kind == words.COUNTER:
        unit = counter_unit(unit_name, of.where)
        max_milli = milli_of(of.number("max"), unit.factor)
        if max_milli <= 0:
            of.refuse("max", "it is not above 0", "give the most that the register counts in an hour")
        if "wraps_at" in of:
            wraps_milli = milli_of(of.number("wraps_at"), unit.factor)
            if wraps_milli <= MOST_OVER * max_milli:
                of.refuse("wraps_at", "it is not above 1.1 × max: a wrap cannot be told from a reset")
    elif interval_ms % sample_ms:
        of.refuse("sample", f"{sample_ms} ms do not divide the reference of {interval_ms} ms", "poll on its grid")
    low, high = _range(of)
    pressure = of.choice("pressure", ("absolute", "gauge"), "absolute")
    if pressure == "gauge":
        of.refuse("pressure", "a gauge pressure says nothing without the air's", "record the absolute pressure")
    u = of.fraction("u") if "u" in of else None
    if u is not None and u < 0:
        of.refuse("u", "an uncertainty is not below 0", rule="U1")
    return Point(
        name, kind, unit_name, unit, sample_ms, max_milli, wraps_milli, low, high,
        of.choice("basis", ("wet", "dry")) if "basis" in of else None,
        u, of.text("u_source") if u is not None else None,
    )  # fmt: skip


def _range(of: Fields) -> tuple[Fraction | None, Fraction | None]:
    if "range" not in of:
        return None, None
    bounds = [number for number in of.items("range", 2) if is_number(number)]
    if len(bounds) != 2 or bounds[0] >= bounds[1]:
        of.refuse("range", "it is not [lowest, highest]")
    return exact(bounds[0]), exact(bounds[1])
