"""Statement of a period: totals, capture, findings and the root of its rows, as the event ``period`` bears them. Pure.

Rules N6, T1–T3, T7, P9, I8. What the owner chooses (period, version, batches) is a ``Choice``; all else follows from
the books, so that whoever keeps the same books gets the same bytes.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from ledger_client.accounting import words
from ledger_client.accounting.books import Books, Capture
from ledger_client.accounting.counters import Line, Stated, jumps_of, node_rows
from ledger_client.accounting.entries import Entry, in_force, registers_of
from ledger_client.accounting.fields import Fields
from ledger_client.accounting.numbers import MILLI, scaled
from ledger_client.accounting.plan import Node, Plan
from ledger_client.accounting.products import electricity
from ledger_client.accounting.refusal import refuse
from ledger_client.accounting.rows import Row, order, row_bytes, tree
from ledger_client.formats.checks import MAX_TIME_MS

VERSION: Final = 1
MOST_PAYLOAD: Final = 60 * 1024
"""Bytes of a plan, an entry or a period as an event."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What a statement is of: the plan's record and when it was signed (ms); the period; its place in the chain of
    statements; the first and last batch with their statement ids; other statements that it uses."""

    plan: bytes
    plan_ms: int
    from_ms: int
    to_ms: int
    batches: tuple[tuple[int, bytes], tuple[int, bytes]]
    before: bytes | None = None
    version: int = 1
    supersedes: bytes | None = None
    reason: str | None = None
    uses: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement as it is to be signed: the fields of its event, the bytes of its rows; ``stated``: of each node of
    counters how far it got; ``notes``: what the owner should know besides."""

    fields: Mapping[str, Any]
    rows: tuple[bytes, ...]
    stated: Mapping[str, Stated]
    notes: tuple[str, ...] = field(default=())


_PERIOD: Final = (
    "v", "rules", "plan", "before", "from", "to", "version", "supersedes", "reason", "complete", "entries", "batches",
    "capture", "uses", "totals", "rows", "findings",
)  # fmt: skip


def parse_choice(fields: Mapping[str, Any], plan_ms: int) -> Choice:
    """What the owner of a signed statement chose; ``plan_ms``: when its plan was signed. Refuses under T1."""
    of = Fields(fields, "period", "T1", _PERIOD)
    if of.text("rules") != words.RULES or of.uint("v") != VERSION:
        of.refuse("rules", f"it is by {fields['rules']!r}; this program knows {words.RULES}", rule="P1")
    batches = []
    for batch in of.items("batches", 2):
        if not isinstance(batch, list) or len(batch) != 2 or type(batch[0]) is not int or type(batch[1]) is not bytes:
            of.refuse("batches", "they are not [number, statement id] twice")
        batches.append((batch[0], batch[1]))
    size, root = of.items("rows", 2)
    if type(size) is not int or type(root) is not bytes:
        of.refuse("rows", "they are not [size, root]")
    return Choice(
        of.blob("plan"), plan_ms, of.uint("from"), of.uint("to"), (batches[0], batches[1]),
        of.blob("before") if "before" in of else None,
        of.uint("version", 1),
        of.blob("supersedes") if "supersedes" in of else None,
        of.text("reason") if "reason" in of else None,
        tuple(of.items("uses")),
    )  # fmt: skip


def check_period(plan: Plan, from_ms: int, to_ms: int) -> None:
    """A period lies on the grid of the interval, within one civil month of the plan. Refuses under N6."""
    for what, time_ms in (("from", from_ms), ("to", to_ms)):
        if time_ms % plan.interval_ms:
            refuse("N6", f"period.{what}", f"it is not on the grid of {plan.interval_ms // 1000} s", "give a full one")
    if to_ms <= from_ms:
        refuse("N6", "period.to", "it is not after `from`")
    if month_of(plan, from_ms) != month_of(plan, to_ms - 1):
        refuse("N6", "period", "it is of two civil months", "state each month by itself")
    if from_ms < plan.from_ms:
        refuse("P2", "period.from", "it is before the plan begins", "publish a plan that begins earlier")


def month_of(plan: Plan, time_ms: int) -> tuple[int, int]:
    """The civil year and month of a moment."""
    civil = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=time_ms, minutes=plan.civil_min)
    return civil.year, civil.month


def state(books: Books, choice: Choice, entries: Sequence[Entry], secret: bytes) -> Statement:
    """The statement of a period. ``books``: of all records of the batches, past ``to``; ``entries``: all of the batches
    on the plan. Raises AccountingError."""
    plan = books.plan
    check_period(plan, choice.from_ms, choice.to_ms)
    _covered(books, choice.to_ms)
    counting, contradicting = in_force(entries)
    rows, stated = list[Row](), dict[str, Stated]()
    for node in plan.nodes.values():
        if node.of_counters:
            found = stated[node.name] = _of_counters(books, node, choice, counting)
            year = month_of(plan, choice.from_ms)[0]
            rows += electricity(plan, node, found.rows, year) if node.method == words.BY_ELECTRICITY else found.rows
    rows.sort(key=order)
    written = tuple(map(row_bytes, rows))
    findings = Counter({"entry": contradicting, "open": sum(found.open for found in stated.values())})
    fields = _fields(books, choice, entries, rows, findings)
    fields["rows"] = [len(written), tree(secret, written).root]
    notes = tuple(
        f"{point}: went over its largest number {register.wraps_unsaid} times, and the plan has no wraps_at (I4)"
        for (point, _), register in sorted(books.registers.items())
        if register.wraps_unsaid
    )
    return Statement(fields, written, stated, notes)


def _covered(books: Books, to_ms: int) -> None:
    """Every meter's polls are counted past the period's end, by as much as an edge may wait for its next look (T2)."""
    plan = books.plan
    for node in plan.nodes.values():
        for _, name in node.terms:
            point = plan.points[name]
            needed_ms, told_ms = to_ms + int(plan.edge_gap_ms(point, node.regime)), books.covered_to_ms(point.meter)
            if told_ms < needed_ms:
                short = f"the coverage of {point.meter} ends {needed_ms - told_ms} ms too early"
                refuse("T2", "period.to", short, "wait for the next batch, or give the batches behind it")


def _of_counters(books: Books, node: Node, choice: Choice, entries: Sequence[Entry]) -> Stated:
    plan = books.plan
    lines = []
    for sign, name in node.terms:
        register = books.registers[name, node.regime.id]
        own = [registers_of(plan, e) for e in entries if e.kind == "register" and e.of == name]
        lines.append(Line(sign, register, jumps_of(register, sorted(own))))
    closed = [entry.from_ms for entry in entries if entry.kind == "closure" and entry.of == node.name]
    return node_rows(
        plan,
        node,
        lines,
        choice.from_ms,
        choice.to_ms,
        first=choice.before is None,
        plan_ms=choice.plan_ms,
        closed_ms=min(closed, default=MAX_TIME_MS),
    )


def _fields(
    books: Books, choice: Choice, entries: Sequence[Entry], rows: Sequence[Row], findings: Mapping[str, int]
) -> dict[str, Any]:
    plan = books.plan
    totals: dict[tuple[str, str], int] = defaultdict(int)
    for row in rows:
        if row.amount is not None:
            totals[row.node, row.status] += row.amount
    fields: dict[str, Any] = {
        "v": VERSION,
        "rules": words.RULES,
        "plan": choice.plan,
        "from": choice.from_ms,
        "to": choice.to_ms,
        "version": choice.version,
        "complete": not findings.get("open") and not any(row.status == words.UNKNOWN for row in rows),
        "entries": [entry.record for entry in entries],
        "batches": [list(batch) for batch in choice.batches],
        "capture": {m: _captured(c) for m, c in sorted(books.capture(choice.from_ms, choice.to_ms).items())},
        "uses": list(choice.uses),
        "findings": {name: count for name, count in findings.items() if count},
    }
    optional = {"before": choice.before, "supersedes": choice.supersedes, "reason": choice.reason}
    fields |= {key: value for key, value in optional.items() if value is not None}
    if plan.disclosure == "full":
        order_of = words.RANK.__getitem__
        fields["totals"] = [
            [node, status, scaled(amount, MILLI)]
            for (node, status), amount in sorted(totals.items(), key=lambda item: (item[0][0], order_of(item[0][1])))
        ]
    return fields


def _captured(capture: Capture) -> list[Any]:
    return [capture.due, capture.recorded, {reason: count for reason, count in sorted(capture.missed.items()) if count}]
