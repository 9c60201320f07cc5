"""Export of readings to CSV, wide CSV, JSON lines or Parquet. Streams in constant memory."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO

from gateway.api.shapes.reading_lines import COLUMNS
from gateway.api.shapes.reading_writers import CsvWriter, JsonLinesWriter, Writer

FORMATS = ("csv", "jsonl", "parquet")
LONGEST_LINE = 65_536


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
