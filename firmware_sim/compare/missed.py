"""``--missed``: polls that the reader says it has missed, outside of its readings.

A CSV with the columns ``meter`` and ``polls``, or the answer of `meterseal-ledger audit --json`, whose coverage counts
them. An audit that found something proves no count, and is refused.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from firmware_sim.compare.mapping import Names
from firmware_sim.errors import CompareError


def read_missed(path: Path, names: Names) -> dict[str, int]:
    """Missed polls by the log's name of each meter. Raises ``CompareError``."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise CompareError(f"{path}: {error.strerror or error}", "check the path and its permissions") from None
    except UnicodeDecodeError as error:
        raise CompareError(f"{path}: byte {error.start} is not UTF-8", "save the file as UTF-8") from None
    found: dict[str, int] = {}
    for name, polls in _of_audit(path, text) if text.lstrip()[:1] == "{" else _of_csv(path, text):
        if name in names.ignored_meters:
            continue
        meter = names.meter(name)
        if meter in found:
            raise CompareError(f"{path}: meter {meter} is there twice", "give one number a meter")
        found[meter] = polls
    return found


def _of_audit(path: Path, text: str) -> Iterable[tuple[str, int]]:
    fix = "write it with `meterseal-ledger audit … --json`, or as CSV: meter,polls"
    try:
        audit = json.loads(text)
    except ValueError as error:
        raise CompareError(f"{path}: not JSON: {error}", fix) from None
    meters = audit.get("meters")
    if not isinstance(meters, list) or "sound" not in audit:
        raise CompareError(f"{path}: no answer of an audit: it has no meters", fix)
    if audit["sound"] is not True:
        raise CompareError(
            f"{path}: this audit found {audit.get('findings_total', 'something')}: it proves no count of polls",
            "audit the batches of the run again, and look at what it finds",
        )
    return [_account(path, meter, fix) for meter in meters]


def _account(path: Path, meter: Any, fix: str) -> tuple[str, int]:
    if isinstance(meter, Mapping) and isinstance(missed := meter.get("missed"), Mapping):
        counts = list(missed.values())
        if all(type(count) is int and count >= 0 for count in counts) and isinstance(meter.get("name"), str):
            return str(meter["name"]), sum(counts)
    raise CompareError(f"{path}: a meter without its name and missed polls", fix)


def _of_csv(path: Path, text: str) -> Iterable[tuple[str, int]]:
    rows = csv.reader(io.StringIO(text, newline=""))
    header = [name.strip() for name in next(rows, [])]
    if header != ["meter", "polls"]:
        raise CompareError(f"{path}: line 1: the header is not meter,polls", "write a line `meter,polls` first")
    for cells in rows:
        if not cells:
            continue
        if len(cells) != 2 or not cells[1].strip().isdecimal() or len(cells[1]) > 15:
            problem = f"{path}: line {rows.line_num}: {','.join(cells)!r} is no meter and number of polls"
            raise CompareError(problem, "write a whole number from 0: `export-main,12`")
        yield cells[0].strip(), int(cells[1])
