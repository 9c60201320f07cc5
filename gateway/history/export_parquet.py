"""Export of readings to Parquet, by pyarrow."""

from __future__ import annotations

from typing import IO

from gateway.api.shapes.reading_lines import Line, ReadingLines, text
from gateway.api.shapes.reading_writers import Writer
from gateway.errors import GatewayError
from gateway.messages.message import Message

ROWS = 50_000  # lines of a row group


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

    def write(self, reading: ReadingLines) -> None:
        self._lines += reading.values
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
