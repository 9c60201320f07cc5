"""Tables as CSV (RFC 4180, UTF-8) and as JSON. Pure."""

from __future__ import annotations

import csv
import io
import json
from codecs import BOM_UTF8
from collections.abc import Sequence

from ledger_client.accounting.tables.stated import Cell, StatedRows, Table
from ledger_client.csv_cells import cell as csv_cell


def as_csv(table: Table, *, bom: bool = False) -> bytes:
    """A header line, then the lines, each ended by CR LF; text is no formula. ``bom``: spreadsheets then take it for
    UTF-8."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(table.header)
    writer.writerows([_text(cell) for cell in line] for line in table.lines)
    return (BOM_UTF8 if bom else b"") + text.getvalue().encode()


def as_json(table: Table, statements: Sequence[StatedRows]) -> bytes:
    """The statements by record, and the lines as objects; decimals are text."""
    stated = [{"record": one.record.hex(), "plan": one.fields["plan"].hex()} for one in statements]
    lines = [dict(zip(table.header, line, strict=True)) for line in table.lines]
    return (json.dumps({"statements": stated, "rows": lines}, indent=2, ensure_ascii=False) + "\n").encode()


def beginning(table: Table, *, as_json: bool) -> bytes:
    """What every file of this kind of table begins with: the header line, or in JSON the first key."""
    return b'{\n  "statements": [' if as_json else as_csv(Table(table.header, [])).rstrip(b"\r\n")


def begins_with(data: bytes, first: bytes) -> bool:
    """Whether a file begins so, with a byte order mark or without one."""
    return data.removeprefix(BOM_UTF8).startswith(first)


def _text(cell: Cell) -> str:
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    return csv_cell(cell) if isinstance(cell, str) else str(cell)
