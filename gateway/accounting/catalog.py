"""Profiles and factors that come with Meterseal, as a plan copies them: one TOML file a profile, or a list of factors.

Factor files hold ``[[factor]]`` tables with the keys of a plan's factors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import ledger_client.accounting as core
from ledger_client.accounting.formats.regimes import regime_fields
from ledger_client.text_file import text_of, toml_of

_FOLDER = Path(core.__file__).parent


def _tables(kind: str) -> Iterator[Mapping[str, Any]]:
    for path in sorted((_FOLDER / kind).glob("*.toml")):
        yield toml_of(text_of(path.read_bytes()), Decimal)


@cache
def profiles() -> Mapping[str, Mapping[str, Any]]:
    """Every profile by its id, as a plan bears it."""
    return MappingProxyType({str(table["id"]): regime_fields(table) for table in _tables("profiles")})


@cache
def factors() -> tuple[Mapping[str, Any], ...]:
    """Every factor, as a plan bears it."""
    return tuple(factor for table in _tables("factors") for factor in table.get("factor", ()))
