"""Comparison of a statement as it was signed with what its batches give: each difference with its rule. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from ledger_client.accounting.formats.rows import Row, Rows, parse_row, tree
from ledger_client.accounting.statement import Statement
from ledger_client.errors import Malformed
from ledger_client.formats.checks import MAX_TIME_MS
from ledger_client.times import rfc3339_ms

_RULE_OF: Final = {
    "v": "T1", "rules": "P1", "plan": "P2", "before": "T2", "from": "N6", "to": "N6", "version": "T4",
    "supersedes": "T4", "reason": "T4", "complete": "T7", "entries": "P9", "batches": "T2", "capture": "T2",
    "uses": "T5", "totals": "I8", "rows": "T1", "findings": "T1",
}  # fmt: skip
"""The rule that a field of a statement follows."""
_RULE_OF_FACT: Final = {
    "edges": "I2", "jumps": "I4", "inputs": "H1", "reason": "P5", "retrospective": "P2", "factor": "F2",
    "method": "P4", "population": "S2", "analyses": "M6",
}  # fmt: skip


class Difference(NamedTuple):
    """Something that was signed otherwise than it comes out: under which rule, where, both values as text."""

    rule: str
    where: str
    stated: str | None
    recomputed: str


def differences(fields: Mapping[str, Any], statement: Statement, rows: Rows | None) -> list[Difference]:
    """Every field that differs, and the first row that does. ``rows`` None: the root of the rows is not compared."""
    root = fields["rows"][1] if rows is None else tree(rows.secret, statement.rows).root
    found = [] if rows is None else _rows(fields, statement, rows, root)
    ours = {**statement.fields, "rows": [len(statement.rows), root]}
    for key in sorted(set(fields) | set(ours)):
        stated, recomputed = fields.get(key), ours.get(key)
        if not _same(stated, recomputed) and not (key == "rows" and found):
            text = _moment if key in ("from", "to") else _text
            found.append(Difference(_RULE_OF.get(key, "T3"), key, text(stated), text(recomputed) or "nothing"))
    return found


def _rows(fields: Mapping[str, Any], statement: Statement, rows: Rows, root: bytes) -> list[Difference]:
    """The first row that differs; else the root, which both have then, where another was signed."""
    for index, (given, recomputed_row) in enumerate(zip(rows.rows, statement.rows, strict=False)):
        if given != recomputed_row:
            return [_row(index, given, recomputed_row)]
    if len(rows.rows) != len(statement.rows):
        return [Difference("T1", "rows", f"{len(rows.rows)} rows", f"{len(statement.rows)} rows")]
    if root != fields["rows"][1]:
        return [Difference("T1", "rows", fields["rows"][1].hex(), f"{root.hex()}: another secret")]
    return []


def _row(index: int, given: bytes, recomputed_row: bytes) -> Difference:
    """What differs first in a row."""
    mine = parse_row(recomputed_row)
    where = f"row {index}, {mine.node} from {rfc3339_ms(mine.from_ms)} to {rfc3339_ms(mine.to_ms)}"
    try:
        theirs = parse_row(given)
    except Malformed as error:
        return Difference("T1", where, None, f"the file's row is none: {error.detail}")
    for rule, name, stated, recomputed in _parts(theirs, mine):
        if not _same(stated, recomputed):
            text = _moment if name in ("from", "to") else _text
            return Difference(rule, f"{where}: {name}", text(stated), text(recomputed) or "nothing")
    return Difference("N5", where, given.hex(), recomputed_row.hex())


def _parts(theirs: Row, mine: Row) -> list[tuple[str, str, Any, Any]]:
    parts: list[tuple[str, str, Any, Any]] = [
        ("T1", "node", theirs.node, mine.node),
        ("I3", "from", theirs.from_ms, mine.from_ms),
        ("I3", "to", theirs.to_ms, mine.to_ms),
    ]
    parts += [
        (_RULE_OF_FACT[key], key, theirs.facts.get(key), mine.facts.get(key))
        for key in _RULE_OF_FACT
        if key in theirs.facts or key in mine.facts
    ]
    return [*parts, ("I3", "status", theirs.status, mine.status), ("I3", "amount", theirs.amount, mine.amount)]


def _same(a: Any, b: Any) -> bool:
    """Equal, and of one type: 1 is not true, and 1.0 is not 1."""
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_same(a[key], b[key]) for key in a)
    return type(a) is type(b) and a == b and str(a) == str(b)


def _moment(value: Any) -> str | None:
    return rfc3339_ms(value) if type(value) is int and 0 <= value <= MAX_TIME_MS else _text(value)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list | tuple):
        return f"[{', '.join(_text(item) or 'nothing' for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_text(item)}' for key, item in value.items())}}}"
    return str(value)
