"""Curves: a unit's power by the clock, from a CSV file. Pure.

The first line is ``time,kw``. Times are of the day ("07:15", up to "24:00") or RFC 3339 with an offset; each is later
than the one before. Power is linear between two rows, and from the last row to the first of a curve that repeats. One
that does not repeat holds its last value.
"""

from __future__ import annotations

import csv
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from firmware_sim.errors import ScenarioError

DAY_S, WEEK_S = 86_400, 7 * 86_400
REPEATS = {"day": DAY_S, "week": WEEK_S}
MONDAY_S = 4 * DAY_S
"""Midnight of a Monday, in Unix seconds."""
MOST_KW = 1e9
Repeats = Literal["day", "week"]

_OF_DAY = re.compile(r"(\d\d):([0-5]\d)(?::([0-5]\d(?:\.\d+)?))?", re.ASCII)
_DATED = re.compile(
    r"\d{4}-\d\d-\d\d[Tt ](?:[01]\d|2[0-3]):[0-5]\d(?::[0-5]\d(?:\.\d+)?)?([Zz]|[+-]\d\d:\d\d)?", re.ASCII
)
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_COMMA = re.compile(r"[+-]?\d+,\d+", re.ASCII)


@dataclass(frozen=True, slots=True)
class Curve:
    """Rows in the order of time. ``times_s`` count from local midnight where ``period_s`` is a day, from that of Monday
    where it is a week; they are Unix seconds where nothing repeats."""

    times_s: tuple[float, ...]
    kw: tuple[float, ...]
    period_s: int | None

    @property
    def most_kw(self) -> float:
        """Its largest power, in either direction."""
        return max(map(abs, self.kw))

    def at(self, t_s: float) -> float:
        """Power in kW at a moment on the same scale."""
        times, kw, period = self.times_s, self.kw, self.period_s
        if period is not None:
            t_s %= period
        after = bisect_right(times, t_s)
        if 0 < after < len(times):
            begin, end = times[after - 1], times[after]
        elif period is None:
            return kw[0] if after == 0 else kw[-1]
        else:
            begin, end = times[-1], times[0]
            begin, end = (begin - period, end) if after == 0 else (begin, end + period)
        here, there = kw[after - 1], kw[after % len(kw)]
        return here + (there - here) * ((t_s - begin) / (end - begin))


@dataclass(frozen=True, slots=True)
class Limits:
    """What a unit's curve may hold in kW, and why."""

    least: float = -MOST_KW
    most: float = MOST_KW
    reason: str = "no unit has more than 1e9 kW"


def curve_of(
    text: str, source: str, *, repeats: Repeats | None, offset_s: int | None, limits: Limits | None = None
) -> Curve:
    """The curve of a file.

    Args:
        text: what is in it.
        source: its path, for messages.
        repeats: how often it begins anew. Times of day repeat every day.
        offset_s: of the plant's clock from UTC, by which dates become times of its day or week; None: as the first row.
        limits: of the unit.

    Raises:
        ScenarioError: no header, no rows, a time that is none, stands twice or goes back, a number that is none, or a
            curve that is longer than the time in which it repeats.
    """
    rows = list(_rows(text, source, limits or Limits()))
    if len(rows) < 2:
        problem = f"{len(rows)} rows" if rows else "no rows"
        raise ScenarioError(source, "", f"{problem} below the header", "write at least two: a time, a comma, and kW")
    first = rows[0].time
    if isinstance(first, float):
        if repeats == "week":
            raise ScenarioError(
                source, "", "times of day have no week", 'write dates, as "2026-06-22T07:15+08:00", or repeats = "day"'
            )
        return Curve(tuple(float(row.seconds) for row in rows), tuple(row.kw for row in rows), DAY_S)
    if repeats is None:
        return Curve(tuple(row.seconds for row in rows), tuple(row.kw for row in rows), None)
    period = REPEATS[repeats]
    if rows[-1].seconds - rows[0].seconds > period:
        raise ScenarioError(
            source,
            f"line {rows[-1].line}",
            f"more than a {repeats} after the first row, and the curve repeats every {repeats}",
            "remove the rows beyond, or the key repeats",
        )
    if offset_s is None:
        away = first.utcoffset()
        offset_s = round(away.total_seconds()) if away else 0
    begin = (rows[0].seconds - MONDAY_S + offset_s) % period
    on_scale = [(begin + row.seconds - rows[0].seconds, row.kw) for row in rows]
    wrapped = [(t - period, kw) for t, kw in on_scale if t > period or (t == period and begin > 0)]
    ordered = wrapped + on_scale[: len(on_scale) - len(wrapped)]
    return Curve(tuple(t for t, _ in ordered), tuple(kw for _, kw in ordered), period)


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    time: float | datetime
    """Seconds of the day, or a date."""
    kw: float

    @property
    def seconds(self) -> float:
        return self.time if isinstance(self.time, float) else self.time.timestamp()


def _rows(text: str, source: str, limits: Limits) -> Iterator[_Row]:
    """The rows below the header, each later than the one before."""
    reader = csv.reader(text.removeprefix("\ufeff").splitlines(), strict=True)
    header, before, shown = False, None, ""
    try:
        for cells in reader:
            line = f"line {reader.line_num}"
            cells = [cell.strip() for cell in cells]
            if cells in ([], [""]):
                continue
            if not header:
                if cells != ["time", "kw"]:
                    problem = f"{','.join(cells)[:40]!r} is not the header"
                    raise ScenarioError(source, line, problem, 'begin with the line "time,kw"')
                header = True
                continue
            if len(cells) == 3 and _NUMBER.fullmatch(cells[1]) and cells[2].isdigit():
                raise _with_comma(source, line, f"{cells[1]},{cells[2]}")
            if len(cells) != 2:
                problem = f"{len(cells)} values, and a row has two"
                raise ScenarioError(source, line, problem, 'write a time, a comma, and kW: "07:15,12.5"')
            row = _Row(reader.line_num, _time(cells[0], source, line), _kw(cells[1], source, line, limits))
            if before is not None:
                _follows(before, shown, row, cells[0], source)
            yield row
            before, shown = row, cells[0]
    except csv.Error as error:
        raise ScenarioError(source, f"line {reader.line_num}", f"not CSV: {error}", "correct that line") from None
    if not header:
        raise ScenarioError(source, "", "empty", 'begin with the line "time,kw", and a row for each time below it')


def _follows(before: _Row, shown: str, row: _Row, time: str, source: str) -> None:
    line = f"line {row.line}"
    if isinstance(before.time, float) != isinstance(row.time, float):
        problem = f"{time} beside {shown} of line {before.line}"
        raise ScenarioError(source, line, problem, "write all times as times of day, or all with their date")
    if row.seconds == before.seconds:
        problem = f"{time} is the time of line {before.line} as well ({shown})"
        raise ScenarioError(source, line, problem, "keep one row for each time")
    if row.seconds < before.seconds:
        problem = f"{time} is before {shown} of line {before.line}"
        raise ScenarioError(source, line, problem, "sort the rows by time")


def _time(cell: str, source: str, line: str) -> float | datetime:
    if of_day := _OF_DAY.fullmatch(cell):
        seconds = int(of_day[1]) * 3600 + int(of_day[2]) * 60 + float(of_day[3] or 0)
        if seconds > DAY_S:
            raise ScenarioError(source, line, f"{cell} is no time of day", 'use "00:00" to "24:00"')
        return float(seconds)
    dated = _DATED.fullmatch(cell)
    if dated and dated[1] is None:
        raise ScenarioError(source, line, f"{cell} has no offset from UTC", f'write it behind the time: "{cell}+08:00"')
    if dated:
        try:
            date = datetime.fromisoformat(cell.upper())
        except ValueError as error:
            raise ScenarioError(source, line, f"{cell}: {error}", "correct the date") from None
        if not 2000 <= date.year < 2100:
            raise ScenarioError(source, line, f"{cell} is a date of no plant", "use the years from 2000 to 2099")
        return date
    fix = 'write "07:15", or a date with its offset, "2026-06-21T07:15+08:00"'
    raise ScenarioError(source, line, f"{cell[:40]!r} is no time", fix)


def _kw(cell: str, source: str, line: str, limits: Limits) -> float:
    if _COMMA.fullmatch(cell):
        raise _with_comma(source, line, cell)
    if not _NUMBER.fullmatch(cell):
        raise ScenarioError(source, line, f"{cell[:40]!r} is no number of kW", 'write it as "12.5"')
    kw = float(cell)
    if not limits.least <= kw <= limits.most:
        raise ScenarioError(source, line, f"{cell} kW: {limits.reason}", "correct the row, or the unit")
    return kw


def _with_comma(source: str, line: str, number: str) -> ScenarioError:
    point = number.replace(",", ".")
    return ScenarioError(source, line, f"{number} has a decimal comma", f'write "{point}", with a decimal point')
