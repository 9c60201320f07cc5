"""What a statement lacks: by node, why it is not complete, and references without a mass (rule T7). Pure."""

from __future__ import annotations

from collections import defaultdict
from typing import Final, NamedTuple

from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.rows import parse_row
from ledger_client.accounting.statement import Statement

_NAMED: Final = tuple(status.encode() for status in (words.MISSING, words.UNKNOWN, words.SUBSTITUTED, words.MANUAL))


class Lacking(NamedTuple):
    """Of a node: its missing references, and how many of them have no substitute; its rows that are unknown; whether it
    is open at the end."""

    node: str
    missing: int = 0
    bare: int = 0
    unknown: int = 0
    open: bool = False

    @property
    def why(self) -> str | None:
        """Why the statement is not complete; None: the node is."""
        reasons = []
        if self.bare:
            reasons.append(f"{self.bare} missing reference{'s' * (self.bare != 1)} without a substitute")
        if self.unknown:
            reasons.append(f"{self.unknown} row{'s' * (self.unknown != 1)} of unknown amount")
        if self.open:
            reasons.append("the register at its end is not known")
        return f"{self.node}: {', '.join(reasons)}" if reasons else None


def lacking_of(statement: Statement) -> tuple[Lacking, ...]:
    """Of each node that lacks something."""
    missing, beside, unknown = (
        defaultdict[str, set[int]](set),
        defaultdict[str, set[int]](set),
        defaultdict[str, int](int),
    )
    for data in statement.rows:
        if not any(name in data for name in _NAMED):
            continue  # most rows lack nothing, and reading one takes time
        row = parse_row(data)
        if row.status == words.MISSING:
            missing[row.node].add(row.from_ms)
        unknown[row.node] += row.status == words.UNKNOWN
        if row.status in (words.SUBSTITUTED, words.MANUAL):
            beside[row.node].add(row.from_ms)
    ends = {node for node, stated in statement.stated.items() if stated.open}
    found = []
    for node in sorted({*missing, *unknown, *ends}):
        bare = len(missing[node] - beside[node])
        found.append(Lacking(node, len(missing[node]), bare, unknown[node], node in ends))
    return tuple(one for one in found if one.missing or one.unknown or one.open)
