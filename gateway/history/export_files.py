"""Export of readings to CSV, JSON lines or Parquet, one line a value. Streams in constant memory.

The records are taken as the gateway wrote them: what is exported is its own word. Each line names the record that can
be proven (`meterseal prove`).
"""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, NamedTuple

from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.records import StoredRecord
from gateway.storage.database import Database
from gateway.storage.record_reader import read_reading
from gateway.storage.summary_tables import SLACK_MS
from gateway.verdicts import verdict
from ledger_client.times import rfc3339_ms
from ledger_client.verification.value_words import quality_phrases

PORTION = 2_000  # records of one look at the database
ROWS = 50_000  # lines of a row group of Parquet
FORMATS = ("csv", "jsonl", "parquet")
LONGEST_LINE = 65_536


class Line(NamedTuple):
    """One value of one reading. ``value`` with the decimals that were recorded, None where there is none; ``bits`` are
    the quality bits, ``words`` what they say, ``clock`` is the letter of the gateway's clock (U, I, S or R)."""

    time_ms: int
    meter: str
    point: str
    value: Any
    unit: str | None
    quality: str
    bits: int
    words: str
    record: str
    clock: str


COLUMNS = ("time", *Line._fields[1:])


@dataclass(slots=True)
class ValueLine:
    """What has been exported so far: readings, values, and between which times (ms)."""

    readings: int = 0
    values: int = 0
    first_ms: int | None = None
    last_ms: int | None = None

    def count(self, time_ms: int, some: list[Line]) -> list[Line]:
        """Take in one more reading."""
        self.readings += 1
        self.values += len(some)
        self.first_ms = time_ms if self.first_ms is None else min(self.first_ms, time_ms)
        self.last_ms = time_ms if self.last_ms is None else max(self.last_ms, time_ms)
        return some


def of_row(row: StoredRecord) -> list[Line]:
    """The values of one reading. Raises Damaged where it cannot be read."""
    reading, clock = read_reading(row)
    record = row.id
    return [
        Line(row.time_ms + offset, row.meter, name, value, unit, *_quality(bits), record, clock)
        for name, value, unit, bits, offset in reading.values
    ]


@lru_cache(4096)
def _quality(bits: int) -> tuple[str, int, str]:
    return verdict(bits), bits, "; ".join(quality_phrases(bits))


def lines(
    store: Database,
    meter: str | None,
    from_ms: int,
    to_ms: int,
    tally: ValueLine,
    progress: Callable[[int, int], object] | None = None,
) -> Iterator[list[Line]]:
    """The values of each reading in [from_ms, to_ms), in the order of commits. ``progress`` hears how much is done, of
    how much. Raises StoreError; Damaged for a record that cannot be read."""
    first_id, last_id = store.summaries.place_of(from_ms - SLACK_MS), store.summaries.place_of(to_ms + SLACK_MS)
    at = first_id - 1
    while some := store.records.readings_after(meter, at, last_id, PORTION):
        for place, row in some:
            at = place
            if not from_ms <= row.time_ms < to_ms:
                continue
            yield tally.count(row.time_ms, of_row(row))
        if progress:
            progress(at - first_id + 1, last_id - first_id + 1)
    if progress:
        progress(1, 1)


def text(value: Any) -> str:
    """A value with exactly the decimals that were recorded; of yes and no ``true`` and ``false``."""
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else value if isinstance(value, str) else repr(value)


class Writer(ABC):
    """Writes lines in one format into a binary file."""

    @abstractmethod
    def write(self, some: list[Line]) -> None:
        """The lines of one reading."""

    @abstractmethod
    def end(self) -> None:
        """No more will come."""


class CsvWriter(Writer):
    """RFC 4180 with a header, UTF-8."""

    def __init__(self, file: IO[bytes]) -> None:
        self._text = io.TextIOWrapper(file, "utf-8", newline="")
        self._rows = csv.writer(self._text)
        self._rows.writerow(COLUMNS)

    def write(self, some: list[Line]) -> None:
        self._rows.writerows((_time(x.time_ms), x.meter, x.point, text(x.value), x.unit or "", *x[5:]) for x in some)

    def end(self) -> None:
        self._text.flush()
        self._text.detach()


class JsonLinesWriter(Writer):
    """One object a line, its keys the columns; a number is written with the decimals that it has."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, some: list[Line]) -> None:
        self._file.write("".join(map(_json, some)).encode())

    def end(self) -> None:
        self._file.flush()


_quoted = lru_cache(4096)(json.dumps)


def _json(line: Line) -> str:
    value = line.value
    value_json = "null" if value is None else json.dumps(value) if isinstance(value, str) else text(value)
    return (
        f'{{"time":"{_time(line.time_ms)}","meter":{_quoted(line.meter)},"point":{_quoted(line.point)},'
        f'"value":{value_json},"unit":{_quoted(line.unit)},"quality":"{line.quality}","bits":{line.bits},'
        f'"words":{_quoted(line.words)},"record":{_quoted(line.record)},"clock":"{line.clock}"}}\n'
    )


_time = lru_cache(64)(rfc3339_ms)


class ParquetWriter(Writer):
    """Columns as in the others, but ``time`` as a timestamp; ``value`` is text with all decimals, and beside it stands
    ``number``, the nearest binary64."""

    def __init__(self, file: IO[bytes]) -> None:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError:
            raise GatewayError(Message("parquet-not-installed")) from None
        word = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
        self._schema = pyarrow.schema(
            [
                ("time", pyarrow.timestamp("ms", "UTC")),
                ("meter", word),
                ("point", word),
                ("value", pyarrow.string()),
                ("unit", word),
                ("quality", word),
                ("bits", pyarrow.uint64()),
                ("words", word),
                ("record", pyarrow.string()),
                ("clock", word),
                ("number", pyarrow.float64()),
            ]
        )
        self._arrow = pyarrow
        self._file = pyarrow.parquet.ParquetWriter(file, self._schema)
        self._lines: list[Line] = []

    def write(self, some: list[Line]) -> None:
        self._lines += some
        if len(self._lines) >= ROWS:
            self._write()

    def end(self) -> None:
        if self._lines:
            self._write()
        self._file.close()

    def _write(self) -> None:
        columns = [list(column) for column in zip(*self._lines, strict=True)]
        values, self._lines = columns[3], []
        columns[3] = [None if value is None else text(value) for value in values]
        columns.append([None if value is None or isinstance(value, str) else float(value) for value in values])
        arrays = [self._arrow.array(column, field.type) for column, field in zip(columns, self._schema, strict=True)]
        self._file.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))


WRITERS: dict[str, Callable[[IO[bytes]], Writer]] = {
    "csv": CsvWriter,
    "jsonl": JsonLinesWriter,
    "parquet": ParquetWriter,
}


def are_readings(form: str, path: Path) -> bool:
    """Whether a file is what a writer of this format writes, by its beginning. Raises OSError."""
    with path.open("rb") as file:
        begin = file.readline(LONGEST_LINE)
    if form == "csv":
        return begin.strip().decode(errors="replace").split(",") == list(COLUMNS)
    if form == "parquet":
        return begin.startswith(b"PAR1") and _columns_of_parquet(path)[: len(COLUMNS)] == list(COLUMNS)
    with suppress(ValueError):
        first: object = json.loads(begin)
        return isinstance(first, dict) and list(first) == list(COLUMNS)
    return False


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
