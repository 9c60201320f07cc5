"""Profiles that come with Meterseal: one TOML file a regime, as a plan bears it (rule H7)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from ledger_client.accounting.formats.refusal import refuse
from ledger_client.text_file import text_of, toml_of

_FOLDER: Final = Path(__file__).parent / "profiles"


def names() -> list[str]:
    """The ids of all of them."""
    return sorted(path.stem for path in _FOLDER.glob("*.toml"))


def load(name: str) -> Mapping[str, Any]:
    """One of them as a plan's ``profiles`` bear it: numbers as decimals, exactly as they are written.

    Raises AccountingError (H7): there is no such profile.
    """
    if name not in names():
        refuse("H7", f"profiles.{name}", "no such profile comes with Meterseal", f"they are {', '.join(names())}")
    return toml_of(text_of((_FOLDER / f"{name}.toml").read_bytes()), Decimal)
