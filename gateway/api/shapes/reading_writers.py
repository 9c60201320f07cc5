"""Writers of recorded readings: CSV, JSON lines, and the items of a JSON page. They stream in constant memory."""

from __future__ import annotations

import csv
import io
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import IO, Any, Final

from gateway.api.shapes.reading_lines import COLUMNS, Line, ReadingLines, text, time_text
from gateway.errors import GatewayError
from gateway.verdicts import worst
from ledger_client.csv_cells import text_cell

MEDIA: Final[Mapping[str, str]] = {
    "json": "application/json", "jsonl": "application/jsonl", "csv": "text/csv; charset=utf-8; header=present"
}  # fmt: skip


class Writer(ABC):
    """Writes readings in one format into a binary file."""

    @abstractmethod
    def write(self, reading: ReadingLines) -> None:
        """One reading."""

    @abstractmethod
    def end(self) -> None:
        """No more will come."""


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


class ItemsWriter(Writer):
    """Readings as the items of a JSON page, the shape of ``gateway.api.shapes.models.Reading``. Written here, since a
    model of pydantic for each value takes thirty times as long."""

    def __init__(
        self,
        file: IO[bytes],
        of: Callable[[ReadingLines], tuple[str, bool | None]],
        next_: Callable[[], str | None],
    ) -> None:
        """``of``: the gateway of a reading, and whether its meter hangs the wrong way round, None: not known;
        ``next_``: gives the cursor of the next page."""
        self._file, self._of, self._next = file, of, next_
        self._before = '{"items":['
        self.error: GatewayError | None = None

    def write(self, reading: ReadingLines) -> None:
        time = time_text(reading.time_ms)
        gateway, reversed_ = self._of(reading)
        turned = "" if reversed_ is None else f'"reversed":{"true" if reversed_ else "false"},'
        record = f'"record":{quoted(reading.record)},' if reading.record else ""
        clock = f'"clock":"{reading.clock}",' if reading.clock else ""
        state = f'"state":"{reading.state}",' if reading.state else ""
        values = ",".join([_value(line, reading.time_ms) for line in reading.values])
        self._file.write(
            (
                f'{self._before}{{"gateway":{quoted(gateway)},"meter":{quoted(reading.meter)},"time":"{time}",'
                f'{turned}"quality":"{worst(line.bits for line in reading.values)}",'
                f'{record}{clock}{state}"values":[{values}]}}'
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
