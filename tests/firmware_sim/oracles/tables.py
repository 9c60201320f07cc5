"""Tables that were made once with other programs, which are too large to be installed for tests."""

from __future__ import annotations

import csv
from pathlib import Path


def rows(name: str) -> list[dict[str, str]]:
    """The rows of a table, as texts by column; lines from "#" on say how it was made."""
    text = (Path(__file__).parent / name).read_text(encoding="utf-8")
    return list(csv.DictReader(line for line in text.splitlines() if not line.startswith("#")))
