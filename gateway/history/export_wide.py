"""Export of readings to wide CSV: a row a reading, a column a point.

A column is a point in one unit. A value in another unit, as of before the meter's profile changed, does not stand in
it: it is left out, as are the values of points that have no column, and what was left out is known at the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import IO

from gateway.api.shapes.reading_lines import ReadingLines, time_text
from gateway.api.shapes.reading_writers import CsvFile, Writer, value_cell
from gateway.history.export_files import WIDE_FIRST, WIDE_LAST
from gateway.history.point_columns import Column
from gateway.verdicts import worst
from ledger_client.csv_cells import text_cell

_WITHOUT = ("bad", "missing")
"""Verdicts on values that are not written."""


class WideCsvWriter(Writer):
    """With a header. A bad value is an empty cell; ``quality`` is the worst verdict on the values of the row, those
    that are not written among them; a reading without a value in any column is "missing"."""

    def __init__(self, file: IO[bytes], columns: Sequence[Column]) -> None:
        self._csv = CsvFile(file)
        self._place = {column: place for place, column in enumerate(columns)}
        self.left_out: dict[tuple[str, Column], int] = {}
        """Values that have no column: how many, by meter and what they are of."""
        self._csv.rows.writerow((*WIDE_FIRST, *(text_cell(column.header) for column in columns), *WIDE_LAST))

    def write(self, reading: ReadingLines) -> None:
        cells, bits = [""] * len(self._place), list[int]()
        for line in reading.values:
            place = self._place.get(column := Column(line.point, line.unit))
            if place is None:
                self.left_out[reading.meter, column] = self.left_out.get((reading.meter, column), 0) + 1
                continue
            bits.append(line.bits)
            if line.quality not in _WITHOUT:
                cells[place] = value_cell(line.value)
        times = time_text(reading.time_ms), text_cell(reading.meter)
        self._csv.rows.writerow((*times, *cells, worst(bits), reading.record, reading.clock))

    def end(self) -> None:
        self._csv.end()
