"""Emission factors that come with Meterseal: TOML files of published tables, as a plan bears them (rule F1)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from typing import Any, Final

from ledger_client.text_file import text_of, toml_of

_FOLDER: Final = Path(__file__).parent / "factors"
_COMMON: Final = ("kind", "unit", "vintage", "published", "document")
_NAMED: Final = ("series", "id", "region")
"""With ``{}`` where the name of a value stands."""


@cache
def load() -> tuple[Mapping[str, Any], ...]:
    """Every factor as a plan's ``factors`` bear it, by file and table."""
    tables = (toml_of(text_of(path.read_bytes()), Decimal) for path in sorted(_FOLDER.glob("*.toml")))
    return tuple(factor for file in tables for table in file["table"] for factor in _factors(file | table))


def series(name: str) -> list[Mapping[str, Any]]:
    """Those of one series; none: there is no such series."""
    return [factor for factor in load() if factor["series"] == name]


def _factors(table: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    """What stands in a table, or above all tables of its file, holds for each value."""
    unconfirmed = table.get("unconfirmed", ())
    for name, value in table["values"].items():
        named = {key: table[key].format(name) for key in _NAMED}
        common = {key: table[key] for key in _COMMON}
        yield {**named, **common, "value": value, "confirmed": name not in unconfirmed}
