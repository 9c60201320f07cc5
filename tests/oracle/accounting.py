"""A second implementation of docs/accounting.md: from records and a plan to the bytes of a statement and of its rows.

Written from docs/accounting.md and docs/accounting.cddl, without any code of ``ledger_client.accounting``. It is slow
and plain: every node goes through all records by itself. Numbers are ``Fraction``; registers are whole thousandths.
"""

from __future__ import annotations

import hashlib
import hmac
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import cbor2

from ledger_client.formats.record import Coverage
from tests.oracle import stacks
from tests.oracle.basics import (
    STATUSES,
    Period,
    Piece,
    Row,
    Signed,
    counted_u,
    node_rows,
    pieces,
    tag4,
    unbalanced,
)
from tests.oracle.entered import entries


@dataclass
class Stated:
    payload: bytes
    fields: dict[str, Any]
    rows: list[bytes]
    root: bytes
    plain: list[Row]


def state(plan: Mapping[str, Any], records: Sequence[Signed], period: Period, secret: bytes) -> Stated:
    all_, given, entry_findings = entries(plan, records, period.kept)
    findings: Counter[str] = Counter({"entry": entry_findings})
    capture, cadence = captured(plan, records, period)
    findings["cadence"] = cadence
    rows: list[Row] = []
    us: dict[str, int] = {}
    squares: dict[str, Fraction] = {}
    burnt: dict[str, list[Piece]] = {}
    for name, node in plan["nodes"].items():
        if node.get("method") == "cems":
            measured, finding, u = stacks.measured_rows(plan, name, records, given, period)
            rows += measured
            findings["inform-authority"] += finding
        elif node.get("terms"):
            made, open_ = pieces(plan, name, records, given, period)
            findings["open"] += open_
            if node.get("method"):
                rows += stacks.product(plan, name, made, given, period)
                u = None
                burnt |= {name: made} if "compare" in node else {}
            else:
                own_rows = node_rows(name, node.get("below"), made)
                rows += own_rows
                u = counted_u(plan, made, sum(r.amount or 0 for r in own_rows if r.node == name))
        else:
            u = None
        if u is not None:
            squares[name] = u[1]
            if u[0] is not None:
                us[name] = u[0]
    findings["stopped-but-emitting"] = stacks.while_stopped(plan, rows, burnt)
    rows = [r._replace(facts=r.facts | {"retrospective": True}) if r.from_ms < period.signed_ms else r for r in rows]
    rows.sort(key=lambda r: (r.node, r.from_ms, STATUSES.index(r.status)))
    sums: dict[tuple[str, str], int] = {}
    for r in rows:
        if r.amount is not None:
            sums[r.node, r.status] = sums.get((r.node, r.status), 0) + r.amount
    totals = {n: sum(v for (m, _), v in sums.items() if m == n) for n in plan["nodes"]}
    findings["unbalanced"] += unbalanced(plan, totals, squares)
    filled = {(r.node, r.from_ms) for r in rows if r.status in ("substituted", "manual")}
    lacks = any((r.status == "missing" and (r.node, r.from_ms) not in filled) or r.status == "unknown" for r in rows)
    written = [encoded(row) for row in rows]
    root = tree([leaf(secret, index, data) for index, data in enumerate(written)])
    lines = [(n, s, tag4(-3, v)) for (n, s), v in sums.items()] + [(n, "u", tag4(-6, v)) for n, v in us.items()]
    fields: dict[str, Any] = {
        "event": "period", "v": 1, "rules": "accounting-1", "plan": period.plan,
        "from": period.from_ms, "to": period.to_ms, "version": period.version,
        "complete": not lacks and not findings["open"],
        "entries": [measured for _, measured in all_],
        "batches": [list(period.batches[0]), list(period.batches[1])],
        "capture": capture, "uses": list(period.uses),
        "rows": [len(rows), root], "findings": {name: n for name, n in findings.items() if n},
    }  # fmt: skip
    if plan["disclosure"] == "full":
        fields["totals"] = [list(x) for x in sorted(lines, key=lambda x: (x[0], STATUSES.index(x[1])))]
    optional = {"before": period.before, "supersedes": period.supersedes, "reason": period.reason}
    fields |= {key: value for key, value in optional.items() if value is not None}
    return Stated(cbor2.dumps(fields, canonical=True), fields, written, root, rows)


def encoded(row: Row) -> bytes:
    """A row as docs/accounting.cddl has it."""
    amount = None if row.amount is None else tag4(-3, row.amount)
    return cbor2.dumps([*row[:4], amount, row.facts], canonical=True)


def captured(plan: Mapping[str, Any], records: Sequence[Signed], period: Period) -> tuple[dict[str, Any], int]:
    """T2, H1: what was due and what became of it, by meter; and the findings ``cadence``."""
    last: dict[str, int] = {}
    meters = {point.partition("/")[0] for point in plan["points"]}
    found: dict[str, tuple[int, int, Counter[str]]] = {}
    cadence = 0
    for t in records:
        if not isinstance(t.body, Coverage) or t.meter not in meters:
            continue
        c = t.body
        again = c.to_ms <= last.get(t.meter, -1)
        last[t.meter] = max(c.to_ms, last.get(t.meter, -1))
        if again or not period.from_ms < c.to_ms <= period.to_ms:
            continue
        due, recorded, missed = found.get(t.meter, (0, 0, Counter()))
        found[t.meter] = due + c.due, recorded + c.recorded, missed + Counter(c.missed)
        gauges = [
            p["sample"]
            for name, p in plan["points"].items()
            if p["kind"] == "gauge" and name.partition("/")[0] == t.meter
        ]
        cadence += bool(gauges) and c.due > -(-(c.to_ms - c.from_ms) // min(gauges))
    return {m: [due, recorded, dict(missed)] for m, (due, recorded, missed) in found.items()}, cadence


def leaf(secret: bytes, index: int, row: bytes) -> bytes:
    salt = hmac.new(secret, index.to_bytes(8, "big"), hashlib.sha256).digest()[:16]
    return hashlib.sha256(b"\0" + salt + row).digest()


def tree(leaves: Sequence[bytes]) -> bytes:
    """RFC 9162 §2.1.1."""
    if len(leaves) < 2:
        return leaves[0] if leaves else hashlib.sha256().digest()
    k = 1 << ((len(leaves) - 1).bit_length() - 1)
    return hashlib.sha256(b"\1" + tree(leaves[:k]) + tree(leaves[k:])).digest()
