"""A stack with its gauges: plans, values every ten seconds, and rows that are written by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

from ledger_client.accounting import profiles
from ledger_client.accounting.counters import Line, Stated
from ledger_client.accounting.formats.civil_time import month_ms
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.numbers import MICRO, micro
from ledger_client.accounting.formats.plan import Node, Plan, parse_plan
from ledger_client.accounting.formats.rows import Row, decimal
from ledger_client.accounting.formats.standings import judged
from ledger_client.accounting.gauges import Calibration, Gauge
from ledger_client.accounting.products import electricity, fuel
from ledger_client.accounting.registers import Edge, Register
from tests.ledger_client.accounting.plans import HOUR, T0, plan_fields

STEP = 10_000
"""ms between two values of a gauge."""
UNITS = {"c": "mg/l", "Q": "m3/s", "t": "Cel", "p": "Pa", "w": "/"}
NORMAL: Mapping[str, float | Decimal] = {"c": 200, "Q": 100, "t": 0, "p": 101_325, "w": 0}
"""A dry gas at 0 °C and 101.325 kPa: 100 Nm³/s with 200 g CO₂/Nm³, 72 t an hour."""
T_HOUR = 72_000_000
"""Its mass of an hour, in grams."""


def gauge(unit: str, **also: Any) -> dict[str, Any]:
    """A point of kind gauge, 10 s apart."""
    return {"kind": "gauge", "unit": unit, "sample": STEP, **also}


def stack_fields(
    *regimes: str, content: str = "mg/l", basis: tuple[str, str] = ("dry", "dry"), **also: Any
) -> dict[str, Any]:
    """Fields of a plan with a stack that is a node under each regime, called by it in small letters."""
    points = {f"stack/{letter}": gauge(unit) for letter, unit in (UNITS | {"c": content}).items()}
    points |= {"stack/run": gauge("/")}
    for letter, of in zip(("c", "Q"), basis, strict=True):
        points[f"stack/{letter}"]["basis"] = of
    regimes = regimes or ("EU-MRR",)
    return plan_fields(
        points=points,
        nodes={name.lower(): stack_node(name) for name in regimes},
        profiles={name: dict(profiles.load(name)) for name in regimes},
        **also,
    )


def stack_node(regime: str, **also: Any) -> dict[str, Any]:
    """The node of a stack, as a plan bears it."""
    inputs = {letter: f"stack/{letter}" for letter in UNITS}
    return {"role": "emission", "method": "cems", "profile": regime, "inputs": inputs, **also}


def stack(regime: str = "EU-MRR", **also: Any) -> tuple[Plan, Node]:
    """A plan with one stack."""
    plan = parse_plan(stack_fields(regime, **also))
    return plan, plan.nodes[regime.lower()]


def filled(
    plan: Plan, node: Node, values: Mapping[str, float | Decimal], times: Iterable[int] | None = None
) -> dict[str, Gauge]:
    """The gauges of a node by letter, with these values at these times (ms since T0; else for one hour)."""
    times = range(0, HOUR, STEP) if times is None else list(times)
    gauges = {letter: Gauge.of(plan, plan.points[point], node.regime) for letter, point in node.gauges.items()}
    for letter, gauge in gauges.items():
        for ms in times:
            gauge.observe(T0 + ms, values[letter], 0, gauge.point.unit_name, True, b"")
    return gauges


def single(regime: str = "EU-MRR", calibrations: Iterable[Calibration] = (), **point: Any) -> Gauge:
    """One gauge that is not filled."""
    fields = stack_fields(regime)
    fields["points"]["stack/c"] |= point
    plan = parse_plan(fields)
    return Gauge.of(plan, plan.points["stack/c"], plan.regimes[regime], sorted(calibrations))


def hour(
    node: Node, number: int, status: str = "valid", amount: int | None = None, *, length: int = HOUR, **means: Any
) -> Row:
    """A written row of the number-th reference since T0; ``means``: of its inputs that have one (NORMAL's, and none of
    a concentration that is missing)."""
    known = {**NORMAL, **({"c": None} if status == "missing" else {}), **means}
    inputs = [[point, 360, 360, _written(known[letter])] for letter, point in sorted(node.inputs.items(), key=_point)]
    begins = T0 + number * length
    facts = {"inputs": inputs, "method": "cems"}
    return Row(node.name, begins, begins + length, status, amount, facts)


def _point(item: tuple[str, str]) -> str:
    return item[1]


def _written(mean: float | Decimal | None) -> object:
    return None if mean is None else decimal(micro(Fraction(mean)), MICRO)


def counted(node: str, amount: int, *statuses: str, hourly: bool = False) -> Stated:
    """What a node's registers counted, in thousandths of their base unit: an hour for each status, all in the first, or
    ``hourly`` that much in each."""
    plan = parse_plan(plan_fields())
    register = Register.of(plan, plan.points["export/energy"], plan.regimes["strict"])
    statuses = statuses or ("measured",)
    amounts = [amount if hourly or not n else 0 for n in range(len(statuses))]
    for n in range(len(statuses) + 1):
        value = sum(amounts[:n])
        register.edges[T0 // HOUR + n] = Edge(value, 0, (bytes([97 + n % 100]) * 32,), value, value)
    stated = Stated([], False, None, {}, [Line(1, register, ())])
    for n, status in enumerate(statuses):
        begin, end = T0 + n * HOUR, T0 + (n + 1) * HOUR
        stated.rows.append(Row(node, begin, end, status, amounts[n], {"edges": stated.edges(begin, end, HOUR)}))
    return stated


def burnt(node: Node, stated: Stated, entries: Sequence[Entry] = ()) -> list[Row]:
    """The rows of a node by fuel, of a period that begins at T0."""
    return fuel(node, stated, judged(entries), T0, HOUR)


def loaded(plan: Plan, node: Node, amount: int, year: int) -> Row:
    """The row of a node by electricity, of an hour in a civil year."""
    (row,) = electricity(plan, node, counted(node.name, amount), month_ms(year, 1, plan.civil_min))
    return row


def entry(
    kind: str, of: str, values: Mapping[str, Any], *, hours: tuple[float, float] = (0, 1), unit: str = "kg",
    record: bytes = b"e" * 32, replaces: tuple[bytes, ...] = (),
) -> Entry:  # fmt: skip
    """An entry, by hours since T0."""
    begin, end = (T0 + int(number * HOUR) for number in hours)
    return Entry(record, kind, of, begin, end, values, unit, "reason", "user", None, replaces)
