"""One history through both implementations of the accounting: what differs between them, and whether I8 holds."""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.entries import read_entry
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.rows import Row as OwnRow
from ledger_client.accounting.formats.rows import parse_row, tree
from ledger_client.accounting.statement import Choice
from ledger_client.accounting.statement import state as own_state
from ledger_client.formats import cbor
from ledger_client.formats.record import Coverage, Event, Reading
from tests.oracle import accounting
from tests.oracle.accounting import Stated, encoded
from tests.oracle.histories import History

SECRET = bytes(range(32))


class Compared(NamedTuple):
    """Both statements of one history: payloads, rows, roots."""

    payload: bytes
    rows: tuple[bytes, ...]
    root: bytes
    oracle: Stated


def product(history: History) -> tuple[bytes, tuple[bytes, ...], bytes]:
    """Payload, rows and their root, as ``ledger_client`` makes them."""
    plan, period = parse_plan(history.plan), history.period
    things = {*history.plan["points"], *history.plan["nodes"]}
    events = [(t.body.fields, t.hash) for t in history.records if isinstance(t.body, Event) and t.body.name == "entry"]
    entries: dict[bytes, Mapping[str, Any]] = {hashed: f for f, hashed in [*period.kept, *events] if f["of"] in things}
    books = Books(plan, [read_entry(fields, hashed) for hashed, fields in entries.items()])
    for meter, clock, body, hashed in history.records:
        if isinstance(body, Reading):
            books.reading(meter, clock, body, hashed)
        elif isinstance(body, Coverage):
            books.coverage(meter, body)
        else:
            books.event(meter, body)
    choice = Choice(
        period.plan, period.signed_ms, period.from_ms, period.to_ms, period.batches, period.before, period.version,
        period.supersedes, period.reason, period.uses,
    )  # fmt: skip
    earlier: dict[str, list[OwnRow]] = {}
    for row in period.earlier:
        earlier.setdefault(row.node, []).append(parse_row(encoded(row)))
    made = own_state(books, choice, SECRET, earlier)
    return cbor.encode({"event": "period"} | dict(made.fields)), made.rows, tree(SECRET, made.rows).root


def compare(history: History) -> Compared:
    """Both. Their figures are as they came out."""
    payload, rows, root = product(history)
    return Compared(payload, rows, root, accounting.state(history.plan, history.records, history.period, SECRET))


def first_difference(found: Compared) -> str | None:
    """In words; None: there is none."""
    for n, (ours, other) in enumerate(zip(found.rows, found.oracle.rows, strict=False)):
        if ours != other:
            return f"row {n}:\n  product {cbor.decode(ours)}\n  oracle  {cbor.decode(other)}"
    if len(found.rows) != len(found.oracle.rows):
        return f"{len(found.rows)} rows of the product, {len(found.oracle.rows)} of the oracle"
    if found.payload != found.oracle.payload:
        ours, other = cbor.decode(found.payload), cbor.decode(found.oracle.payload)
        keys = [key for key in sorted({*ours, *other}) if ours.get(key) != other.get(key)]
        return "; ".join(f"{key}: product {ours.get(key)}, oracle {other.get(key)}" for key in keys) or "encoding"
    return None if found.root == found.oracle.root else "root"


def lost(history: History, found: Compared) -> list[str]:
    """I8 from the product's own rows: nodes of which Σ rows is not R(last) − R(first) + Σ jumps."""
    under = {node["below"] for node in history.plan["nodes"].values() if "below" in node}
    wrong = []
    rows = [parse_row(row) for row in found.rows]
    for name, node in history.plan["nodes"].items():
        node_rows = [row for row in rows if row.node == name]
        if not node_rows or name in under or "method" in node:
            continue
        signs = {point: sign for sign, point in node["terms"]}
        first, last = edges(node_rows[0]), edges(node_rows[-1])
        line = sum(sign * (last[point][1] - first[point][0]) for point, sign in signs.items())
        jumps = sum(signs[jump[0]] * jump[2].value[1] for row in node_rows for jump in row.facts.get("jumps", ()))
        below = sum(row.amount or 0 for row in rows if row.node == node.get("below"))
        whole = node_rows[0].from_ms, node_rows[-1].to_ms
        if line + jumps != sum(row.amount or 0 for row in node_rows) - below:
            wrong.append(f"{name} {whole}: {line} + {jumps}")
        if any(a.to_ms != b.from_ms for a, b in itertools.pairwise(node_rows)):
            wrong.append(f"{name} {whole}: its rows leave time out")
    return wrong


def edges(row: OwnRow) -> dict[str, tuple[int, int]]:
    """Registers at both ends of a row, by point."""
    return {point: (start.value[1], end.value[1]) for point, start, end, _ in row.facts["edges"]}
