"""Lists of recorded readings: as the command `readings` writes them, and as items of the API; portion by portion."""

from __future__ import annotations

import csv
import io
import json
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Final

from gateway.errors import GatewayError
from gateway.history.export_files import CsvWriter, JsonLinesWriter, json_value, quoted
from gateway.history.export_writer import Writer
from gateway.history.value_lines import Line, ReadingLines, Walk, of_row, time_text
from gateway.records import StoredRecord
from gateway.storage.database import Database
from gateway.verdicts import worst

PORTION: Final = 250
"""Readings of a portion."""
MOST_BYTES: Final = 128 * 1024
"""… and how long it may be: readings of hundreds of values make more portions."""
MEDIA: Final[Mapping[str, str]] = {
    "json": "application/json", "jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8; header=present"
}  # fmt: skip


MakeWriter = Callable[[IO[bytes]], Writer]


def csv_end(error: GatewayError) -> bytes:
    """A row of one cell."""
    text = io.StringIO(newline="")
    csv.writer(text).writerow([f"{_code(error)}: {error.problem}"])
    return text.getvalue().encode()


def json_lines_end(error: GatewayError) -> bytes:
    """An object that has ``code`` and ``detail`` alone."""
    return (json.dumps(_ended(error)) + "\n").encode()


def items_end(error: GatewayError) -> bytes:
    """Nothing: ``ItemsWriter`` has said it."""
    return b""


CUT_SHORT: Final[Mapping[str, Callable[[GatewayError], bytes]]] = {
    "csv": csv_end, "jsonl": json_lines_end, "json": items_end,
}  # fmt: skip
"""The last line of a list that ends early, by the format."""
PLAIN: Final[Mapping[str, MakeWriter]] = {"csv": CsvWriter, "jsonl": JsonLinesWriter}


class ReadingList:
    """A list of readings (``gateway.api.portions``)."""

    def __init__(
        self, walk: Walk, form: str, prepare: Callable[[Database], MakeWriter], headers: Mapping[str, str]
    ) -> None:
        """
        Args:
            walk: the readings.
            form: a key of ``MEDIA``.
            prepare: looks whether there is such a list, in the thread before the walk begins, and gives its writer.
            headers: of the answer; ``prepare`` may add to them.
        """
        self._walk, self._prepare, self._cut_short = walk, prepare, CUT_SHORT[form]
        self.media_type, self.headers = MEDIA[form], headers
        self._rows = deque[StoredRecord]()
        self._file = io.BytesIO()
        self._writer: Writer | None = None
        self.over = False

    def begin(self, store: Database) -> None:
        """Find where the readings lie."""
        make = self._prepare(store)
        if not self._walk.begun:
            self._walk.begin(store)
        self._writer = make(self._file)

    def portion(self, store: Database) -> bytes:
        """Up to ``PORTION`` readings, each written before the next one is looked at."""
        assert self._writer is not None
        if not self._rows and not self._walk.over:
            self._rows.extend(row for _, row in self._walk.take(store, PORTION))
        points = self._walk.wanted.points
        while self._rows and self._file.tell() < MOST_BYTES:
            reading = of_row(self._rows.popleft(), points)
            if reading.values or points is None:
                self._writer.write(reading)
        if self._walk.over and not self._rows:
            self.over = True
            self._writer.end()
        return self._taken()

    def cut_short(self, error: GatewayError) -> bytes:
        """What was written, and why there is no more."""
        assert self._writer is not None
        self.over = True
        if isinstance(self._writer, ItemsWriter):
            self._writer.error = error
        self._writer.end()
        return self._taken() + self._cut_short(error)

    def _taken(self) -> bytes:
        data = self._file.getvalue()
        self._file.seek(0)
        self._file.truncate()
        return data


class ItemsWriter(Writer):
    """Readings as the items of a JSON page, the shape of ``gateway.api.shapes.models.Reading``. Written here, since a
    model of pydantic for each value takes thirty times as long."""

    def __init__(
        self, file: IO[bytes], gateway: str, reversed_: Iterable[str], next_: Callable[[], str | None]
    ) -> None:
        """``reversed_``: meters that hang the wrong way round; ``next_``: gives the cursor of the next page."""
        self._file, self._gateway, self._reversed, self._next = file, json.dumps(gateway), frozenset(reversed_), next_
        self._before = '{"items":['
        self.error: GatewayError | None = None

    def write(self, reading: ReadingLines) -> None:
        time = time_text(reading.time_ms)
        turned = "true" if reading.meter in self._reversed else "false"
        values = ",".join([_value(line, reading.time_ms) for line in reading.values])
        self._file.write(
            (
                f'{self._before}{{"gateway":{self._gateway},"meter":{quoted(reading.meter)},"time":"{time}",'
                f'"reversed":{turned},"quality":"{worst(line.bits for line in reading.values)}",'
                f'"record":{quoted(reading.record)},"clock":"{reading.clock}","values":[{values}]}}'
            ).encode()
        )
        self._before = ","

    def end(self) -> None:
        more = "" if self._before == "," else self._before
        next_ = self._next() if self.error is None else None
        ended = f',"ended":{json.dumps(_ended(self.error))}' if self.error is not None else ""
        following = f',"next":{json.dumps(next_)}' if next_ is not None else ""
        self._file.write(f"{more}]{following}{ended}}}".encode())


def _value(line: Line, time_ms: int) -> str:
    value = "" if line.value is None else f',"value":{json_value(line.value)}'
    unit = "" if line.unit is None else f',"unit":{quoted(line.unit)}'
    words = f',"words":{quoted(line.words)}' if line.words else ""
    time = f',"time":"{time_text(line.time_ms)}"' if line.time_ms != time_ms else ""
    return f'{{"point":{quoted(line.point)}{value}{unit},"quality":"{line.quality}","bits":{line.bits}{words}{time}}}'


def _code(error: GatewayError) -> str:
    return error.message.code if error.message is not None else "ended"


def _ended(error: GatewayError) -> dict[str, str]:
    return {"code": _code(error), "detail": error.problem}
