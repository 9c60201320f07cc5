"""Statement of a period: totals, capture, findings and the root of its rows, as the event ``period`` bears them. Pure.

Rules N6, T1–T3, T7, P9, I8. What the owner chooses (period, version, batches) is a ``Choice``; all else follows from
the books, so that whoever keeps the same books gets the same bytes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from types import MappingProxyType
from typing import Any, Final

from ledger_client.accounting.assembly import Assembled, assemble
from ledger_client.accounting.books import Books, Capture
from ledger_client.accounting.counters import Stated
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.civil_time import civil
from ledger_client.accounting.formats.fields import Fields
from ledger_client.accounting.formats.numbers import MICRO, MILLI, scaled
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.accounting.formats.rows import Row, tree
from ledger_client.accounting.notes import notes
from ledger_client.accounting.uncertainty import relative

UNCERTAINTY: Final = "u"
"""In place of a status: the relative uncertainty of a node's total, k = 2."""
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
    counters how far it got, with its first row alone; ``notes``: what the owner should know besides."""

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
    if len(batches) != 2 or not 0 <= batches[0][0] <= batches[1][0]:
        of.refuse("batches", "they are not a first batch and a last one", rule="T2")
    uses = of.items("uses")
    if any(type(used) is not bytes for used in uses):
        of.refuse("uses", "they are not hashes of statements", rule="T5")
    if list(map(type, of.items("rows"))) != [int, bytes]:
        of.refuse("rows", "they are not [size, root]")
    if any(type(entry) is not bytes for entry in of.items("entries")):
        of.refuse("entries", "they are not hashes of entries", rule="P9")
    if type(of.get("complete")) is not bool:
        of.refuse("complete", "it is neither true nor false", rule="T7")
    if any(type(count) is not int for count in of.table("findings").values()):
        of.refuse("findings", "they are not counts")
    totals = of.items("totals") if "totals" in of else []
    if any(type(total) is not list or list(map(type, total)) != [str, str, Decimal] for total in totals):
        of.refuse("totals", "they are not [node, status, amount]", rule="I8")
    return Choice(
        plan=of.blob("plan"),
        plan_ms=plan_ms,
        from_ms=of.uint("from"),
        to_ms=of.uint("to"),
        batches=(batches[0], batches[1]),
        before=of.blob("before") if "before" in of else None,
        version=of.uint("version", 1),
        supersedes=of.blob("supersedes") if "supersedes" in of else None,
        reason=of.text("reason") if "reason" in of else None,
        uses=tuple(uses),
    )


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
    now = civil(time_ms, plan.civil_min)
    return now.year, now.month


def state(
    books: Books, choice: Choice, secret: bytes | None, history: Mapping[str, Sequence[Row]] = MappingProxyType({})
) -> Statement:
    """The statement of a period.

    Args:
        books: of all records of the batches, past ``to``, with all entries on the plan.
        choice: what the owner chose.
        secret: 32 bytes of which the salts of the rows are made; None: not known, and the fields lack ``rows``.
        history: by node, the rows of the statements that it uses, in order of time (T5).

    Raises:
        AccountingError: no statement can be made of this.
    """
    plan = books.plan
    check_period(plan, choice.from_ms, choice.to_ms)
    _covered(books, choice.to_ms)
    assembled = assemble(
        books, choice.from_ms, choice.to_ms, first=choice.before is None, plan_ms=choice.plan_ms, history=history
    )
    written = tuple(assembled.rows)
    fields = _fields(books, choice, assembled)
    if secret is not None:
        fields["rows"] = [len(written), tree(secret, written).root]
    return Statement(fields, written, assembled.stated, notes(books, assembled, choice.from_ms, choice.to_ms))


def _covered(books: Books, to_ms: int) -> None:
    """Every meter's polls are counted to the period's end, of a counter past it by as much as an edge may wait for its
    next look (T2). A node that is closed by then waits for nothing."""
    plan = books.plan
    ends_ms = {name: books.closed_ms(name) for name in plan.nodes}
    closed = {name for name, closed_ms in ends_ms.items() if closed_ms is not None and closed_ms <= to_ms}
    for meter, wait_ms in plan.coverage_waits(closed):
        needed_ms, covered_ms = to_ms + wait_ms, books.covered_to_ms(meter)
        if covered_ms < needed_ms:
            short = f"the coverage of {meter} ends {needed_ms - covered_ms} ms too early"
            refuse("T2", "period.to", short, "wait for the next batch, or give the batches behind it")


def _fields(books: Books, choice: Choice, assembled: Assembled) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "v": VERSION,
        "rules": words.RULES,
        "plan": choice.plan,
        "from": choice.from_ms,
        "to": choice.to_ms,
        "version": choice.version,
        "complete": _complete(assembled),
        "entries": [entry.record for entry in books.entries],
        "batches": [list(batch) for batch in choice.batches],
        "capture": {m: _captured(c) for m, c in sorted(assembled.captures.items())},
        "uses": list(choice.uses),
        "findings": {name: count for name, count in assembled.findings.items() if count},
    }
    optional = {"before": choice.before, "supersedes": choice.supersedes, "reason": choice.reason}
    fields |= {key: value for key, value in optional.items() if value is not None}
    if books.plan.disclosure == "full":
        fields["totals"] = _totals(assembled)
    return fields


def _complete(assembled: Assembled) -> bool:
    """Nothing is open or unknown, and each missing row has a substitute (T7)."""
    return not (assembled.findings.get("open") or any(written.lacking for written in assembled.nodes.values()))


def _totals(assembled: Assembled) -> list[list[Any]]:
    """[node, status, amount] by node and status; behind those of a node its uncertainty, where it is known (U1)."""
    totals: list[list[Any]] = []
    for node, written in sorted(assembled.nodes.items()):
        for status in sorted(written.sums, key=words.RANK.__getitem__):
            totals.append([node, status, scaled(written.sums[status], MILLI)])
        squares = assembled.squares.get(node) if written.sums else None
        u = relative(squares, assembled.total(node)) if squares is not None else None
        if u is not None:
            totals.append([node, UNCERTAINTY, scaled(u, MICRO)])
    return totals


def _captured(capture: Capture) -> list[Any]:
    return [capture.due, capture.recorded, {reason: count for reason, count in sorted(capture.missed.items()) if count}]
