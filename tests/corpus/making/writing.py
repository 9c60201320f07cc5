"""All cases, and the files that they are kept in: what several share stands once, under the first one's name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from tests.corpus.making import (
    contents,
    dates,
    encoding,
    good,
    links,
    receipts,
    trust_files,
    validity,
    witnessed,
)
from tests.corpus.making.table import Made

FAMILIES: Final[tuple[Callable[[], Iterator[Made]], ...]] = (
    good.cases, encoding.cases, contents.cases, links.cases, receipts.cases, validity.cases, trust_files.cases,
    dates.cases,
    witnessed.cases,
)  # fmt: skip


def made() -> list[Made]:
    """Every case, in the order of the families."""
    return [case for family in FAMILIES for case in family()]


def files() -> dict[str, bytes]:
    """Each file of the corpus by its path in it."""
    bundles: dict[bytes, str] = {}
    trusts: dict[bytes, str] = {}
    found: dict[str, bytes] = {}
    for case in made():
        file = bundles.setdefault(case.bundle, f"bundles/{case.name}.mseal")
        trust = trusts.setdefault(case.trust, f"trust/{case.name}.toml")
        facts = {
            "file": file,
            "trust": trust,
            "now": datetime.fromtimestamp(case.now, UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "verdict": case.verdict,
            "step": case.step,
            "why": case.why,
        }
        path = f"cases/{case.name}.json"
        assert path not in found, path
        found |= {file: case.bundle, trust: case.trust}
        found[path] = json.dumps(facts, ensure_ascii=False, indent=2).encode() + b"\n"
    return found


def write(folder: Path) -> int:
    """Write the corpus, in place of the one that is there; how many cases it has."""
    wanted = files()
    for name in ("bundles", "trust", "cases"):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for path in (folder / name).iterdir():
            if f"{name}/{path.name}" not in wanted:
                path.unlink()
    for name, data in wanted.items():
        (folder / name).write_bytes(data)
    return sum(name.startswith("cases/") for name in wanted)
