"""READINGS: one recorded value a row, in CSV with a header or as JSON lines, as `meterseal readings -o` writes them.

``time`` is RFC 3339 with its offset from UTC, or Unix time in s or ms; ``quality`` may be left out. A file that cannot
be what it says is refused with its line: a table that ends in the reason why it was cut short, a decimal comma, a time
without an offset.
"""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator, Mapping
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, NamedTuple

from firmware_sim.compare.mapping import COLUMNS, Names, nearest
from firmware_sim.errors import CompareError

GOOD: Final = frozenset({"", "good", "ok", "valid", "0", "192"})
"""Qualities that are none: 192 is OPC's."""
_COMMA: Final = re.compile(r"[+-]?\d{1,3}(\.\d{3})*,\d+|[+-]?\d+,\d+")
_UNIX: Final = re.compile(r"\d+(\.\d+)?")
_MS_FROM: Final = 1e11
"""Unix times from here on are in ms: as seconds they were after the year 5100."""
_NEEDED: Final = COLUMNS[:4]
_ENDED: Final = re.compile(r"[a-z][a-z-]*: .+")


class Row(NamedTuple):
    """One recorded value, in the words of its file. ``flagged``: its quality is not good."""

    line: int
    time_ms: int
    meter: str
    point: str
    value: str | None
    flagged: bool


def read_rows(path: Path, names: Names) -> Iterator[Row]:
    """The rows of a file. Raises ``CompareError``."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            first = file.read(1)
            file.seek(0)
            yield from (_json_rows if first == "{" else _csv_rows)(_File(path, names), file)
    except OSError as error:
        raise CompareError(f"{path}: {error.strerror or error}", "check the path and its permissions") from None
    except UnicodeDecodeError as error:
        raise CompareError(f"{path}: byte {error.start} is not UTF-8", "save the file as UTF-8") from None
    except csv.Error as error:
        raise CompareError(f"{path}: not CSV: {error}", "write comma-separated values with a header") from None


class _File:
    """What is read, and how its columns are called."""

    def __init__(self, path: Path, names: Names) -> None:
        self.path = path
        self.called = {column: names.columns.get(column, column) for column in COLUMNS}

    def refuse(self, line: int, problem: str, fix: str) -> CompareError:
        return CompareError(f"{self.path}: line {line}: {problem}", fix)

    def row(self, line: int, cells: Mapping[str, Any]) -> Row:
        """A row of cells by the columns' names here."""
        called = self.called
        value = _text(cells.get(called["value"]))
        if value is not None and _COMMA.fullmatch(value):
            fix = "write numbers with a decimal point, and without separators of thousands"
            raise self.refuse(line, f"{value!r} has a decimal comma", fix)
        quality = _text(cells.get(called["quality"])) or ""
        meter, point = (_text(cells.get(called[column])) or "" for column in ("meter", "point"))
        if not meter or not point:
            raise self.refuse(line, f"no {'point' if meter else 'meter'}", "each row has a time, a meter and a point")
        return Row(line, self._time(line, cells.get(called["time"])), meter, point, value, quality.lower() not in GOOD)

    def _time(self, line: int, cell: Any) -> int:
        text = (_text(cell) or "").strip()
        if not text:
            fix = "each row has the time at which its value was read; what was missed goes into --missed"
            raise self.refuse(line, "no time", fix)
        try:
            return _time_ms(text)
        except ValueError:
            fix = "write RFC 3339, as 2026-11-26T08:00:00.250Z, or Unix time in s or ms"
            raise self.refuse(line, f"{text!r} is no time with an offset from UTC", fix) from None


@lru_cache(1024)
def _time_ms(text: str) -> int:
    """Unix ms. Raises ValueError for what is no time, or has no offset."""
    if _UNIX.fullmatch(text):
        number = float(text)
        if number >= 1e14:
            raise ValueError(text)
        return round(number if number >= _MS_FROM else number * 1000)
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError(text)
    return round(moment.timestamp() * 1000)


def _text(cell: Any) -> str | None:
    """A cell as text; yes and no as ``true`` and ``false``, a number in its digits."""
    if cell is None or isinstance(cell, str):
        return cell
    return "true" if cell is True else "false" if cell is False else str(cell)


def _csv_rows(file: _File, text: IO[str]) -> Iterator[Row]:
    rows = csv.reader(text, strict=True)
    header = [name.strip() for name in next(rows, [])]
    if not header:
        raise file.refuse(1, "the file is empty", "give the readings of the run, with a header")
    if len(header) == 1 and any(sep in header[0] for sep in ";\t"):
        raise file.refuse(1, "its cells are not separated by commas", "export it with commas, and with decimal points")
    if len(set(header)) != len(header):
        raise file.refuse(1, "two columns have one name", "each column needs a name of its own")
    for column in _NEEDED:
        if (name := file.called[column]) not in header:
            fix = nearest(name, header, fix=f'Name it in --map: [columns] {column} = "…"')
            raise file.refuse(1, f"no column {name!r}", fix)
    for cells in rows:
        line = rows.line_num
        if len(cells) == 1 and _ENDED.fullmatch(cells[0]) and len(header) > 1:
            raise file.refuse(line, f"the export ended early: {cells[0]}", "export the readings again")
        if not cells:
            continue
        if len(cells) != len(header):
            fix = "write numbers with a decimal point, and texts with commas in quotation marks"
            raise file.refuse(line, f"{len(cells)} cells where the header has {len(header)}: a decimal comma?", fix)
        yield file.row(line, dict(zip(header, cells, strict=True)))


def _json_rows(file: _File, text: IO[str]) -> Iterator[Row]:
    for line, words in enumerate(text, start=1):
        if not words.strip():
            continue
        try:
            entry = json.loads(words, parse_float=str, parse_int=str, parse_constant=str)
        except ValueError as error:
            fix = "write one JSON object a line; a file that is cut off has to be written again"
            raise file.refuse(line, f"not JSON: {error}", fix) from None
        if not isinstance(entry, dict) or not all(not isinstance(cell, dict | list) for cell in entry.values()):
            raise file.refuse(line, "no object of single values", "write one JSON object a line, one value each")
        if entry.keys() == {"code", "detail"}:
            raise file.refuse(line, f"the export ended early: {entry['detail']}", "export the readings again")
        for column in ("value", "meter", "point"):
            if (name := file.called[column]) not in entry:
                fix = nearest(name, entry, fix=f'Name it in --map: [columns] {column} = "…"')
                raise file.refuse(line, f"no key {name!r}", fix)
        yield file.row(line, entry)
