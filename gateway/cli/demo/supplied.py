"""What people supply in a demonstration's month, each with its document.

The laboratory's values of the coal, and masses for references of a stack that no rule fills.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from gateway.accounting.plans import documents
from gateway.accounting.statements import stating
from gateway.cli.demo.plants import CARBON_AS_ANALYSED, MOISTURE_AS_ANALYSED, MOISTURE_AS_BURNT
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.numbers import MILLI, scaled
from ledger_client.accounting.formats.rows import Row, parse_row

DOCUMENTS: Final = "documents"
"""The folder of them, in that of the evidence."""


def entries(made: stating.Made, evidence: Path, data: Path) -> list[dict[str, Any]]:
    """The entries for a statement that was made without them; their documents are written beside the evidence, and the
    gateway keeps copies in its folder of ``data``."""
    from_ms, to_ms = made.span
    values = {"C_ad": CARBON_AS_ANALYSED, "M_ad": MOISTURE_AS_ANALYSED, "M_ar": MOISTURE_AS_BURNT}
    lab = {
        "kind": "lab", "of": "unit-co2-by-fuel", "from": from_ms, "to": to_ms, "values": values,
        "reason": "report of the laboratory", "user": "demo",
        "document": _document(evidence, data, "coal-analysis.txt", f"Coal of the month: {_listed(values)}\n"),
    }  # fmt: skip
    return [lab, *_substitutes([parse_row(row) for row in made.statement.rows], evidence, data)]


def _substitutes(rows: Sequence[Row], evidence: Path, data: Path) -> Iterator[dict[str, Any]]:
    """For each missing reference without a substitute the mean of the valid ones of its node, rounded up."""
    filled = {(row.node, row.from_ms) for row in rows if row.status in (words.SUBSTITUTED, words.MANUAL)}
    for row in rows:
        if row.status != words.MISSING or (row.node, row.from_ms) in filled:
            continue
        valid = [other.amount or 0 for other in rows if other.node == row.node and other.status == words.VALID]
        mean: Decimal = scaled(-(-sum(valid) // max(len(valid), 1)), MILLI)
        text = f"{row.node}: no reference of the rule; the mean of {len(valid)} valid ones is {mean} kg\n"
        yield {
            "kind": "value", "of": row.node, "from": row.from_ms, "to": row.to_ms, "values": {"value": mean},
            "unit": "kg", "reason": "mean of the valid hours", "user": "demo",
            "document": _document(evidence, data, f"{row.node}-substitutes.txt", text),
        }  # fmt: skip


def _listed(values: Mapping[str, Decimal]) -> str:
    return ", ".join(f"{letter} {number}" for letter, number in values.items())


def _document(evidence: Path, data: Path, name: str, text: str) -> bytes:
    """Write a document; its SHA-256."""
    folder = evidence / DOCUMENTS
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text, encoding="utf-8")
    return documents.keep(data, folder / name)
