"""Rows of a measured emission: validity, standstill and mass of each reference period (H4, M1–M4). Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from ledger_client.accounting.formats.numbers import MICRO, half_even, micro
from ledger_client.accounting.formats.plan import HOUR_MS, Node, Plan
from ledger_client.accounting.formats.rows import Row, decimal, mantissa
from ledger_client.accounting.formats.units import (
    CONCENTRATION,
    CONTENTS,
    FLOW,
    FLOWS,
    PRESSURE,
    PRESSURES,
    SHARES,
    TEMPERATURE,
    WATER,
)
from ledger_client.accounting.formats.words import BELOW_THRESHOLD, CEMS, MISSING, STOPPED, VALID
from ledger_client.accounting.gauges import Gauge, Mean

_ZERO_C, _NORMAL_KPA = Fraction(27315, 100), Fraction(101325, 1000)


def node_rows(plan: Plan, node: Node, gauges: Mapping[str, Gauge], from_ms: int, to_ms: int, plan_ms: int) -> list[Row]:
    """A row for each reference period of [from, to): valid, else stopped, else missing (H4). ``gauges``: by letter, and
    under ``operating`` the plan's operating signal."""
    reference_ms = plan.reference_ms(node.regime)
    rows = []
    for number in range(from_ms // reference_ms, to_ms // reference_ms):
        begins_ms = number * reference_ms
        means = {letter: gauge.mean(number) for letter, gauge in gauges.items()}
        facts: dict[str, Any] = {"inputs": _inputs(gauges, means), "method": CEMS}
        if begins_ms < plan_ms:
            facts["retrospective"] = True
        amount, idle = _mass(plan, node, means, reference_ms), _below_threshold(node, means.get("operating"))
        if amount is None:
            status, amount = (STOPPED, 0) if idle else (MISSING, None)
        else:
            status = VALID
            if idle:
                facts["reason"] = BELOW_THRESHOLD
        rows.append(Row(node.name, begins_ms, begins_ms + reference_ms, status, amount, facts))
    return rows


def _mass(plan: Plan, node: Node, means: Mapping[str, Mean], reference_ms: int) -> int | None:
    """Grams of a reference period whose inputs all are valid; None: one is not, or they are of no gas."""
    written = {letter: micro(mean.mean) for letter, mean in means.items() if mean.mean is not None}
    if any(letter not in written for letter in node.inputs):
        return None
    return mass(plan, node, written, reference_ms)


def _below_threshold(node: Node, signal: Mean | None) -> bool:
    """Whether the operating signal is valid, and below the threshold throughout (H4)."""
    if signal is None or signal.mean is None:
        return False
    assert node.threshold is not None
    assert signal.highest is not None
    return signal.highest < node.threshold


def representative(row: Row) -> bool:
    """Whether a reference is valid, and of a stack in operation: of a population and of the capture (H4, S2, S4)."""
    return row.status == VALID and row.facts.get("reason") != BELOW_THRESHOLD


def mass(plan: Plan, node: Node, means: Mapping[str, int], reference_ms: int) -> int | None:
    """Grams of a reference period, from its means in millionths of their units, at least 0 (M1–M4). None: they are of
    no gas."""
    units = {letter: plan.points[point].unit_name for letter, point in node.inputs.items()}
    values = {letter: Fraction(means[letter], 10**-MICRO) for letter in node.inputs}
    celsius = values[TEMPERATURE] - (_ZERO_C if units[TEMPERATURE] == "K" else 0)
    dry = 1 - values[WATER] * SHARES[units[WATER]] if WATER in values else Fraction(1)
    if _ZERO_C + celsius <= 0 or dry <= 0:
        return None
    flow = values[FLOW] * FLOWS[units[FLOW]]
    flow *= _ZERO_C / (_ZERO_C + celsius) * values[PRESSURE] * PRESSURES[units[PRESSURE]] / _NORMAL_KPA
    wet_flow = plan.points[node.inputs[FLOW]].basis == "wet"
    dry_content = plan.points[node.inputs[CONCENTRATION]].basis == "dry"
    if wet_flow and dry_content:
        flow *= dry
    elif not wet_flow and not dry_content:
        flow /= dry
    grams = values[CONCENTRATION] * _content(node, units[CONCENTRATION]) * flow * reference_ms / HOUR_MS
    return max(half_even(grams.numerator, grams.denominator), 0)


def _content(node: Node, unit: str) -> Fraction:
    """g/Nm³ for one of the unit of a concentration; of a share by the gas's density (M3)."""
    if unit in CONTENTS:
        return CONTENTS[unit]
    assert node.regime.density is not None
    return SHARES[unit] * node.regime.density * 1000


def _inputs(gauges: Mapping[str, Gauge], means: Mapping[str, Mean]) -> list[Any]:
    """[point, possible, valid, mean or nothing], by point."""
    found = {
        gauges[letter].point.name: [possible, valid, None if mean is None else decimal(micro(mean), MICRO)]
        for letter, (possible, valid, mean, _) in means.items()
    }
    return [[point, *facts] for point, facts in sorted(found.items())]


def mean_of(row: Row, point: str) -> int | None:
    """The written mean of an input of a row, in millionths of its unit."""
    for name, _, _, mean in row.facts.get("inputs", ()):
        if name == point:
            return None if mean is None else mantissa(mean)
    return None


def means_of(row: Row, points: Sequence[str]) -> dict[str, int]:
    """Those of several points that have one."""
    found = {point: mean_of(row, point) for point in points}
    return {point: mean for point, mean in found.items() if mean is not None}
