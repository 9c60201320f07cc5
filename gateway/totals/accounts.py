"""Energy of a site by its published plan: the nodes' rows of each flow, of statements where there are some, else of
what is recorded so far. Reads only.

An amount is of whole intervals: the running one is in no account. What has no amount, or belongs in part to another
day, is named.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Final

from gateway.accounting.hours.hour import NO_ROW, Hour, hours_of
from gateway.accounting.plans.history import SignedPlan
from gateway.accounting.statements.keeper import Known
from gateway.accounting.statements.stated import StatedRows, sums
from gateway.errors import GatewayError
from gateway.local_calendar import Stretch
from gateway.totals.flows import Flow, Lack, Part, flow, with_consumption
from gateway.totals.periods import civil_zone, stretch, stretches
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import Node
from ledger_client.accounting.tables.stated import base_unit

_FLOW_OF: Final = {
    words.PRODUCTION: "generation", words.CONSUMPTION: "consumption", words.IMPORT: "import", words.EXPORT: "export",
    words.CHARGE: "charge", words.DISCHARGE: "discharge",
}  # fmt: skip
_SETTLING_MS: Final = 180_000
"""Time after its end in which an interval may have no row yet."""


@dataclass(frozen=True, slots=True)
class Account:
    """The energies of one plan in Wh, by period and flow; days and months are cut by its civil time."""

    plan: str
    version: int
    civil_min: int
    periods: Mapping[str, Stretch]
    flows: Mapping[str, Mapping[str, Flow]]


def accounts(known: Known, rows: StatedRows, now_ms: int, period: str | None = None) -> Iterator[Account]:
    """The account of each plan that has nodes of electricity. ``period``: that one alone, as of ``periods.stretch``."""
    for name in known.history.names:
        signed = known.history.of_plan(name)[-1]
        nodes = [n for n in signed.plan.nodes.values() if n.role in _FLOW_OF and base_unit(signed.plan, n.name) == "Wh"]
        if not nodes:
            continue
        zone = civil_zone(signed.plan.civil_min)
        found = stretches(now_ms, zone) if period is None else {period: stretch(period, now_ms, zone)}
        made = {key: _flows(known, rows, signed, nodes, step, now_ms) for key, step in found.items()}
        yield Account(name, signed.plan.version, signed.plan.civil_min, found, made)


def _flows(
    known: Known, rows: StatedRows, signed: SignedPlan, nodes: list[Node], step: Stretch, now_ms: int
) -> dict[str, Flow]:
    found: dict[str, list[tuple[Part, list[Hour]]]] = {}
    for node in nodes:
        found.setdefault(_FLOW_OF[node.role], []).append(_part(known, rows, signed, node, step, now_ms))
    made = {name: replace(flow(part for part, _ in of), statuses=_statuses(of)) for name, of in found.items()}
    return with_consumption(made)


def _statuses(of: list[tuple[Part, list[Hour]]]) -> tuple[tuple[str, Fraction | None], ...]:
    every = sums([hour for _, hours in of for hour in hours])
    return tuple((one.status, None if one.amount is None else _wh(one.amount)) for one in every)


def _part(
    known: Known, rows: StatedRows, signed: SignedPlan, node: Node, step: Stretch, now_ms: int
) -> tuple[Part, list[Hour]]:
    """What a node says of a time."""
    try:
        hours = [
            hour for hour in hours_of_node(known, rows, signed, node.name, step) if step[0] < hour.to_ms <= step[1]
        ]
    except GatewayError:
        return Part(node.name, None, Lack(node.name, "gone")), []
    counted = [hour for hour in hours if hour.status not in NO_ROW]
    amounts = [a for hour in counted for a in _amounts(hour)]
    lack = _lack(signed, node, step, hours, now_ms)
    return Part(node.name, _wh(sum(amounts)) if amounts else None, lack), counted


def _amounts(hour: Hour) -> list[int]:
    found = [hour.amount, hour.beside.amount if hour.beside is not None else None]
    return [amount for amount in found if amount is not None]


def _lack(signed: SignedPlan, node: Node, step: Stretch, hours: list[Hour], now_ms: int) -> Lack | None:
    """The first interval of a time that has no amount; None: each one has."""
    interval_ms = signed.plan.interval_ms
    at_ms, end_ms = step[0], min(step[1], (now_ms - _SETTLING_MS) // interval_ms * interval_ms)
    for hour in hours:
        if hour.from_ms > at_ms or hour.status in NO_ROW:
            return Lack(node.name, "no-row", at_ms)
        if hour.from_ms < step[0]:
            return Lack(node.name, "spans", step[0])
        if not _amounts(hour):
            return Lack(node.name, hour.status, hour.from_ms)
        at_ms = hour.to_ms
    return Lack(node.name, "no-row", at_ms) if at_ms < end_ms else None


def hours_of_node(known: Known, rows: StatedRows, signed: SignedPlan, node: str, step: Stretch) -> list[Hour]:
    """The hours of a node that touch a time, in order: stated ones, and behind them those of what is recorded."""
    history, name = known.history, signed.plan.name
    by_record = {one.record: one for one in history.of_plan(name)}
    found: list[Hour] = []
    for period in history.stated(name):
        stated_by = by_record[bytes(period.fields["plan"])].plan
        if period.from_ms < step[1] and period.to_ms > step[0] and node in stated_by.nodes:
            found += hours_of(stated_by, rows.rows(stated_by, period, node, *step), None)
    for ahead in known.of_plan(name):
        found += [hour for hour in ahead.hours.get(node, ()) if hour.from_ms < step[1] and hour.to_ms > step[0]]
    return sorted(found, key=lambda hour: hour.from_ms)


def _wh(milli: int) -> Fraction:
    """Thousandths of a Wh."""
    return Fraction(milli, 1000)
