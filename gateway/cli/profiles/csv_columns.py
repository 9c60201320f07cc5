"""Columns of the points of a profile as CSV: which there are, and the cell of a value (docs/profiles.md)."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Literal

from gateway.devices.points import Profile, ProfileError
from gateway.devices.profile_text import inline, point_facts
from gateway.messages.message import Message
from ledger_client.csv_cells import text_cell

Form = Literal["text", "word", "whole", "number", "flag", "names", "wholes", "toml", "address"]
COLUMNS: Final[Mapping[str, Form]] = {
    "name": "text", "fc": "whole", "address": "address", "type": "word", "registers": "whole", "unit": "text",
    "scale": "whole", "kind": "word", "record": "flag", "word_order": "word", "byte_order": "word", "chars": "word",
    "bits": "wholes", "factor": "number", "factor_from": "names", "scale_from": "text", "sign_from": "text",
    "from_unit": "text", "offset": "number", "span": "toml", "sum": "names", "wire_unit": "text",
    "not_available": "wholes", "low": "number", "high": "number", "wraps_at": "number", "max_per_hour": "number",
    "lively": "flag", "symbols": "toml", "raises": "toml", "about": "names", "note": "text",
}  # fmt: skip
"""Each key of a point of a Modbus profile, in the order in which it is written, and how its cell is written."""
OTHER_NAMES: Final[Mapping[str, str]] = {
    "function": "fc", "function code": "fc", "register": "address", "data type": "type", "datatype": "type",
    "length": "registers", "description": "note",
}  # fmt: skip
"""What manuals call some of them."""
_FIRST: Final = ("name", "fc", "address", "type", "unit")
_KEPT: Final = ("name", "points", "format")


def as_csv(profile: Profile) -> str:
    """The points of a Modbus profile, addresses from 0: a line each, only the columns that some point needs.

    Raises:
        ProfileError: the profile is of another protocol.
    """
    if profile.protocol != "modbus":
        raise ProfileError(profile.name, "", Message("csv-protocol", protocol=profile.protocol))
    rows = [{"name": point.name, **point_facts(profile, point)} for point in profile.points]
    columns = [column for column in COLUMNS if column in _FIRST or any(row.get(column, ()) != () for row in rows)]
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([_cell(column, row.get(column, "")) for column in columns] for row in rows)
    return text.getvalue()


def left_out(profile: Profile) -> list[str]:
    """The keys and tables of a profile that the lines of its points do not hold."""
    bare = Profile(name="", vendor="", device="", source="", points=())
    held = (name for name in Profile.__dataclass_fields__ if name not in (*_KEPT, "kind_unsaid", "word_order_unsaid"))
    return [name for name in held if getattr(profile, name) != getattr(bare, name)]


def is_csv(path: Path) -> bool:
    """Whether a file begins as ``as_csv`` writes it. Raises OSError."""
    with path.open("rb") as file:
        head = file.readline(4096).decode(errors="replace").strip().split(",")
    return set(_FIRST) <= set(head) <= set(COLUMNS)


def _cell(column: str, value: Any) -> str:
    form = COLUMNS[column]
    if value == "" or value == ():
        return ""
    if form in ("names", "wholes"):
        return " ".join(map(str, value))
    if form == "toml":
        return inline(column, value)
    if form == "text":
        return text_cell(str(value))
    return str(value).lower() if isinstance(value, bool) else str(value)
