"""Inputs as CSV for a spreadsheet, which must not execute what people wrote (RFC 4180, UTF-8). Pure.

No cell is a formula (csv_cells.py). Every cell is in quotes, so that one that is cut at semicolons begins no other
cell.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Final

from ledger_client.accounting.formats.numbers import MILLI, scaled
from ledger_client.csv_cells import cell
from ledger_client.inputs.listing import Effect, Input
from ledger_client.times import rfc3339, rfc3339_ms

COLUMNS: Final = (
    "gateway", "plan", "kind", "of", "from", "to", "values", "changes", "signed", "at_ledgers", "user", "reason",
    "document", "document_file", "standing", "node", "total", "without", "unusual", "record",
)  # fmt: skip
NOT_HERE: Final = "not here"


def sheet(inputs: Sequence[Input], unusual: Mapping[bytes, Sequence[str]]) -> str:
    """A line for each input, and one more for each further node that it changes. ``unusual``: codes by record."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n", quoting=csv.QUOTE_ALL)
    writer.writerow(COLUMNS)
    for one in inputs:
        codes = ", ".join(unusual.get(one.signed.record, ()))
        for effect in one.effects or (None,):
            writer.writerow([cell(value) for value in [*_of(one), *_effect(effect), codes, one.signed.record.hex()]])
    return text.getvalue()


def _of(one: Input) -> list[str]:
    ledgers_s = one.signed.ledgers_s
    return [
        one.gateway, one.plan, one.kind, one.of, rfc3339_ms(one.from_ms),
        "" if one.to_ms is None else rfc3339_ms(one.to_ms),
        values_text(one), "; ".join(one.changes), rfc3339(one.signed.signed_s),
        "" if ledgers_s is None else rfc3339(ledgers_s),
        one.user or "", one.reason or "", "" if one.document is None else one.document.hex(),
        document_text(one), one.standing,
    ]  # fmt: skip


def values_text(one: Input) -> str:
    """What an input says, in a line."""
    return ", ".join(f"{name} {value}" for name, value in one.values.items())


def document_text(one: Input) -> str:
    """Where the document of an input is; nothing where it names none."""
    return "" if one.document is None else one.file or NOT_HERE


def amount_text(amount: int | None) -> str:
    """Thousandths of the base unit as a number; — where there is none."""
    return "—" if amount is None else format(scaled(amount, MILLI), "f")


def _effect(effect: Effect | None) -> list[str]:
    return ["", "", ""] if effect is None else [effect.node, amount_text(effect.total), amount_text(effect.without)]
