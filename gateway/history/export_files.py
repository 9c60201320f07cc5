"""Export of readings to CSV, wide CSV, JSON lines or Parquet. Streams in constant memory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

from gateway.history.export_writer import Writer
from gateway.history.value_lines import COLUMNS, Line, ReadingLines, text, time_text
from ledger_client.csv_cells import text_cell

FORMATS = ("csv", "jsonl", "parquet")
LONGEST_LINE = 65_536


class CsvFile:
    """RFC 4180, UTF-8."""

    def __init__(self, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", newline="")
        self.rows = csv.writer(self._text)

    def end(self) -> None:
        """Write what waits; the file stays open."""
        self._text.flush()
        self._text.detach()


class CsvWriter(Writer):
    """A line a value, with a header. Text is no formula (ledger_client/csv_cells.py)."""

    def __init__(self, file: IO[bytes]) -> None:
        self._csv = CsvFile(file)
        self._csv.rows.writerow(COLUMNS)

    def write(self, reading: ReadingLines) -> None:
        self._csv.rows.writerows(
            (time_text(x.time_ms), _cell(x.meter), _cell(x.point), value_cell(x.value), _cell(x.unit or ""), *x[5:])
            for x in reading.values
        )

    def end(self) -> None:
        self._csv.end()


_cell = lru_cache(4096)(text_cell)


def value_cell(value: Any) -> str:
    """A value in CSV: a number with its decimals, text as text."""
    return text_cell(value) if isinstance(value, str) else text(value)


class JsonLinesWriter(Writer):
    """One object a line, its keys the columns; a number is written with the decimals that it has."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, reading: ReadingLines) -> None:
        self._file.write("".join(map(_json, reading.values)).encode())

    def end(self) -> None:
        self._file.flush()


quoted = lru_cache(4096)(json.dumps)
"""Text as JSON."""


def json_value(value: Any) -> str:
    """A value as JSON."""
    return "null" if value is None else json.dumps(value) if isinstance(value, str) else text(value)


def _json(line: Line) -> str:
    return (
        f'{{"time":"{time_text(line.time_ms)}","meter":{quoted(line.meter)},"point":{quoted(line.point)},'
        f'"value":{json_value(line.value)},"unit":{quoted(line.unit)},"quality":"{line.quality}","bits":{line.bits},'
        f'"words":{quoted(line.words)},"record":{quoted(line.record)},"clock":"{line.clock}"}}\n'
    )


def _parquet(file: IO[bytes]) -> Writer:
    from gateway.history.export_parquet import ParquetWriter

    return ParquetWriter(file)


WRITERS: dict[str, Callable[[IO[bytes]], Writer]] = {"csv": CsvWriter, "jsonl": JsonLinesWriter, "parquet": _parquet}


def are_readings(form: str, path: Path) -> bool:
    """Whether a file is what a writer of this format writes, by its beginning. Raises OSError."""
    with path.open("rb") as file:
        begin = file.readline(LONGEST_LINE)
    if form == "csv":
        return _is_header(begin.strip().decode(errors="replace").split(","))
    if form == "parquet":
        return begin.startswith(b"PAR1") and _columns_of_parquet(path)[: len(COLUMNS)] == list(COLUMNS)
    with suppress(ValueError):
        first: object = json.loads(begin)
        return isinstance(first, dict) and list(first) == list(COLUMNS)
    return False


WIDE_FIRST, WIDE_LAST = ("time", "meter"), ("quality", "record", "clock")
"""The columns of wide CSV before and behind those of the points."""


def _is_header(columns: list[str]) -> bool:
    wide = columns[: len(WIDE_FIRST)] == list(WIDE_FIRST) and columns[-len(WIDE_LAST) :] == list(WIDE_LAST)
    return wide or columns == list(COLUMNS)


def _columns_of_parquet(path: Path) -> list[str]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError:
        return []
    try:
        return list(pyarrow.parquet.read_schema(path).names)
    except pyarrow.ArrowException:
        return []
