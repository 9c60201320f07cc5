"""Row of a certificate again, from the readings around its edges: registers, energy, status (I1–I6, V1.8). Pure.

The readings between the edges are not here: that a counter fell and began anew within the interval is what the
statement says (its ``jumps``); with the plan's greatest energy an hour no other number of wraps is possible.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

import cbor2

from ledger_client.accounting.books import SYNCHRONISED
from ledger_client.accounting.counters import Jump, Line, node_rows
from ledger_client.accounting.formats.numbers import MILLI, scaled
from ledger_client.accounting.formats.plan import Node, Plan
from ledger_client.accounting.formats.rows import Row, mantissa, row_bytes
from ledger_client.accounting.formats.words import WRAP
from ledger_client.accounting.registers import Edge, Register
from ledger_client.certificates.mcert.steps import EDGES, CertificateError
from ledger_client.errors import Malformed
from ledger_client.formats.checks import array, blob, text
from ledger_client.formats.senml import Number
from ledger_client.times import rfc3339
from ledger_client.verification.verify import Verified

_NEVER_MS: Final = 2**62
_DECIMAL: Final = 4


class StatedEdge(NamedTuple):
    """What a row says of one point: its register at both edges in thousandths of Wh, and the readings around them."""

    point: str
    start: int
    end: int
    looks: tuple[bytes, ...]


class StatedJump(NamedTuple):
    """A break as a row states it: the point, the kind, the thousandths of Wh, and the record that shows it."""

    point: str
    kind: str
    amount: int
    record: bytes


def stated_edges(row: Row) -> list[StatedEdge]:
    """The fact ``edges`` of a row. Raises Malformed."""
    found = []
    for edge in array(row.facts.get("edges", []), "the row's edges"):
        point, start, end, looks = array(edge, "an edge of the row", 4, 4)
        named = [blob(look, "a look of the row", 32) for look in array(looks, "the looks of an edge", 1)]
        found.append(StatedEdge(text(point, "an edge's point"), _milli(start), _milli(end), tuple(named)))
    return found


def stated_jumps(row: Row) -> list[StatedJump]:
    """The fact ``jumps`` of a row. Raises Malformed."""
    found = []
    for jump in array(row.facts.get("jumps", []), "the row's jumps"):
        point, kind, amount, record = array(jump, "a jump of the row", 4, 4)
        facts = text(point, "a jump's point"), text(kind, "a jump's kind"), _milli(amount)
        found.append(StatedJump(*facts, blob(record, "a jump's record", 32)))
    return found


def _milli(value: Any) -> int:
    if not isinstance(value, cbor2.CBORTag) or value.tag != _DECIMAL or value.value[0] != MILLI:
        raise Malformed("a register or a jump of the row is not a decimal fraction of thousandths")
    return mantissa(value)


def demand_row(data: bytes, row: Row, plan: Plan, node: Node, plan_ms: int, looks: Mapping[bytes, Verified]) -> None:
    """Make a row again of verified readings and compare its bytes. Raises CertificateError, AccountingError.

    Args:
        data: the row's bytes, ``row``: what they say.
        node: of the plan, with terms.
        plan_ms: when the plan was signed.
        looks: readings by their record hash: those that the row names, and no others.
    """
    stated = {edge.point: edge for edge in stated_edges(row)}
    jumps = stated_jumps(row)
    if stated.keys() != {point for _, point in node.terms}:
        _fail("the row's edges are not of the points of its node", "I3")
    lines = []
    for sign, point in node.terms:
        register, values = Register.of(plan, plan.points[point], node.regime), _values(point, stated[point], looks)
        begin, end = (_edge(plan, node, point, values, at_ms) for at_ms in (row.from_ms, row.to_ms))
        _compare(stated[point], begin, end)
        register.edges = {row.from_ms // plan.interval_ms: begin, row.to_ms // plan.interval_ms: end}
        wraps = [Jump(row.to_ms, WRAP, j.amount, j.record) for j in jumps if j.point == point]
        if any(jump.amount != register.point.wraps_milli for jump in wraps):
            _fail(f"a wrap of {point} is not by the first value that it does not show", "I4")
        lines.append(Line(sign, register, wraps))
    made = node_rows(
        plan, node, lines, row.from_ms, row.to_ms, first=False, plan_ms=plan_ms, closed_ms=_NEVER_MS
    )  # fmt: skip
    recomputed = next((one for one in made.rows if one.node == node.name), None)
    if recomputed is None:
        _fail("its edges are not those of one interval of the plan", "I3")
    if (row.amount, row.status) != (recomputed.amount, recomputed.status):
        ours, theirs = (f"{scaled(one.amount or 0, MILLI)} Wh, {one.status}" for one in (recomputed, row))
        _fail(f"by the readings the interval has {ours}, and by the row {theirs}", "I3")
    if row_bytes(recomputed) != data:
        _fail("the row names other looks or facts than these readings give", "I2")


@dataclass(frozen=True, slots=True)
class _Value:
    """A point in one reading: when it was read, the recorded number, unit and quality, by which clock, which record."""

    time_ms: int
    content: Number | str | bool | None
    unit: str | None
    quality: int
    sync: bool
    record: bytes


def _values(point: str, edge: StatedEdge, looks: Mapping[bytes, Verified]) -> list[_Value]:
    """The looks of a point, in order of time."""
    meter, _, name = point.partition("/")
    found = []
    for record in edge.looks:
        reading = looks[record]
        values = [value for value in reading.values if value.name == name and reading.meter == meter]
        if not values:
            _fail(f"reading {record.hex()}, of meter {reading.meter}, holds no {point}", "I1")
        sync = reading.clock == SYNCHRONISED
        for _, content, unit, quality, offset_ms in values:
            found.append(_Value(reading.time_ms + offset_ms, content, unit, quality, sync, record))
    return sorted(found, key=lambda value: value.time_ms)


def _edge(plan: Plan, node: Node, point: str, values: Sequence[_Value], at_ms: int) -> Edge:
    """The register at an edge, of the look at it or those around it (I2)."""
    register = Register.of(plan, plan.points[point], node.regime)
    for value in _around(values, at_ms):
        register.observe(value.time_ms, value.content, value.quality, value.unit, value.sync, value.record)
    known = register.edges.get(at_ms // plan.interval_ms)
    if known is None:
        _fail(f"the readings tell no register of {point} at {rfc3339(at_ms // 1000)}", "I2")
    return known


def _around(values: Sequence[_Value], at_ms: int) -> Iterable[_Value]:
    exact = [value for value in values if value.time_ms == at_ms]
    before = [value for value in values if value.time_ms < at_ms]
    after = [value for value in values if value.time_ms > at_ms]
    return exact[:1] or [*before[-1:], *after[:1]]


def _compare(stated: StatedEdge, begin: Edge, end: Edge) -> None:
    for what, theirs, ours in (("from", stated.start, begin.value), ("to", stated.end, end.value)):
        if theirs != ours:
            difference = f"{scaled(ours, MILLI)} Wh by the readings, and {scaled(theirs, MILLI)} in the row"
            _fail(f"R({what}) of {stated.point} is {difference}", "I2")


def _fail(problem: str, rule: str) -> NoReturn:
    raise CertificateError(problem, step=EDGES, rule=rule)
