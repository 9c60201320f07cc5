"""Comparison of a simulator's log with what a gateway has recorded: the files' checks, and one run over both."""

from __future__ import annotations

import heapq
import pickle
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import IO, Final

from firmware_sim.compare.answers import Survey, in_order, survey
from firmware_sim.compare.equality import is_none
from firmware_sim.compare.judge import ALL_POINTS, Judge
from firmware_sim.compare.mapping import Names, nearest, read_names
from firmware_sim.compare.missed import read_missed
from firmware_sim.compare.readings import Row, read_rows
from firmware_sim.compare.tallies import Result
from firmware_sim.errors import CompareError

CHUNK: Final = 200_000
"""Rows that are sorted in memory; more go through temporary files."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to compare: the files, periods in ms by METER or METER/POINT, and how far times may be apart in ms."""

    log: Path
    readings: Path
    every_ms: Mapping[str, float]
    within_ms: float = 2000.0
    names: Path | None = None
    missed: Path | None = None


def compare(wanted: Wanted) -> Result:
    """Compare. Raises ``CompareError``."""
    names = read_names(wanted.names) if wanted.names else Names()
    surveyed = survey(wanted.log)
    every_ms = {_of_log(names, key): period for key, period in wanted.every_ms.items()}
    known = {*surveyed.meters, *(key.partition("/")[0] for key in every_ms)}
    for key in every_ms:
        _demand_meter(f"--every {key}", key.partition("/")[0], surveyed.meters, allowed=known)
    counted = read_missed(wanted.missed, names) if wanted.missed else {}
    for meter in counted:
        _demand_meter(str(wanted.missed), meter, known, allowed=known)
    from_ms, to_ms = surveyed.all_ms or (0.0, 0.0)
    result = Result(wanted.within_ms / 1000, from_ms, to_ms)
    judge = Judge(surveyed, names, every_ms, wanted.within_ms, result)
    rows = _Checked(wanted.readings, names, surveyed, known)
    judge.run(by_time(rows), in_order(wanted.log, surveyed))
    if not rows.seen - judge.ignored:
        raise CompareError(f"{wanted.readings}: no reading to compare", "give the readings of the run")
    if rows.seen - judge.ignored == judge.outside:
        problem = f"the log is of {_span(from_ms, to_ms)}, the readings of {_span(rows.first_ms, rows.last_ms)}"
        raise CompareError(f"{wanted.readings}: {problem}", "give the log and the readings of one run")
    unread = {m: set(p) for m, p in surveyed.meters.items() if p and m not in rows.meters | names.ignored_meters}
    unread |= {m: {ALL_POINTS} for m in known - rows.meters - names.ignored_meters if not surveyed.meters.get(m)}
    judge.end(unread, counted)
    _finish(result, judge, surveyed, every_ms, counted, unread, rows)
    return result


class _Checked:
    """The rows of a file, each with a meter and a point that the log has."""

    def __init__(self, path: Path, names: Names, surveyed: Survey, known: set[str]) -> None:
        self._path, self._names, self._survey, self._known = path, names, surveyed, known
        self.seen, self.first_ms, self.last_ms = 0, float("inf"), float("-inf")
        self.meters: set[str] = set()
        self._fine: set[tuple[str, str]] = set()

    def __iter__(self) -> Iterator[Row]:
        for row in read_rows(self._path, self._names):
            self.seen += 1
            self.first_ms, self.last_ms = min(self.first_ms, row.time_ms), max(self.last_ms, row.time_ms)
            if (row.meter, row.point) not in self._fine and not self._names.ignores(row.meter, row.point):
                self._check(row)
            yield row

    def _check(self, row: Row) -> None:
        meter, point = self._names.meter(row.meter), self._names.point(row.meter, row.point)
        where = f"{self._path}: line {row.line}"
        _demand_meter(where, meter, self._known, allowed=self._known)
        self.meters.add(meter)
        points = self._survey.meters.get(meter, {})
        if point not in points:
            if is_none(row.value):
                return  # nothing was sent of it, and the reader says so
            fix = nearest(point, points, fix='Say it in --map: [points] "…" = "…", or [ignore] points = ["…"]')
            raise CompareError(f"{where}: meter {meter} has sent no point {point!r}", fix)
        self._fine.add((row.meter, row.point))


def _demand_meter(where: str, meter: str, names: Iterable[str], *, allowed: set[str]) -> None:
    if meter not in allowed:
        fix = nearest(meter, names, fix='Say it in --map: [meters] "…" = "…", or [ignore] meters = ["…"]')
        raise CompareError(f"{where}: meter {meter!r} is not in the log", fix)


def _of_log(names: Names, key: str) -> str:
    """METER or METER/POINT of ``--every`` in the log's names."""
    meter, slash, point = key.partition("/")
    return names.meter(meter) + (f"/{names.point(meter, point)}" if slash else "")


def _finish(
    result: Result,
    judge: Judge,
    surveyed: Survey,
    every_ms: Mapping[str, float],
    counted: Mapping[str, int],
    unread: Mapping[str, set[str]],
    rows: _Checked,
) -> None:
    """Periods and notes."""
    for meter, found in result.meters.items():
        points = judge.points_recorded(meter)
        periods = [judge.period_ms(meter, point) for point in points or surveyed.meters.get(meter) or {ALL_POINTS}]
        shown = [period for period in periods if period is not None]
        found.every_s = min(shown) / 1000 if shown else None
        found.by_log = meter not in every_ms
        found.counted = counted.get(meter)
        found.not_recorded = sorted(surveyed.meters.get(meter, {}).keys() - points)
        if found.counted is not None and found.counted > judge.missing_polls(meter) + 1:
            result.notes.append(
                f"{meter}: {found.counted} polls are counted as missed, {judge.missing_polls(meter)} are missing here"
            )
    for meter in sorted(unread):
        result.notes.append(f"{meter}: nothing of it is in the readings")
    if surveyed.cut_line is not None:
        result.notes.append(f"the log is cut off in line {surveyed.cut_line}, which is left out: it was never sent")
    if judge.outside:
        spoken = f"{judge.outside} rows are outside of the log's time, {_span(result.from_ms, result.to_ms)}"
        result.notes.append(f"{spoken}; export that time alone")
    if judge.ignored:
        result.notes.append(f"{judge.ignored} rows are left out by [ignore]")
    total = result.total
    if total.wrong and not total.right + total.faithful + total.doubled:
        result.notes.append("not one value was sent as it was recorded: is it the log of another scenario or seed?")


def by_time(rows: Iterable[Row]) -> Iterator[Row]:
    """Rows by their time, whatever their number and order."""
    source, runs = iter(rows), list[IO[bytes]]()
    with ExitStack() as open_files:
        while chunk := sorted(islice(source, CHUNK), key=_time):
            if len(chunk) < CHUNK and not runs:
                yield from chunk
                return
            run = open_files.enter_context(tempfile.TemporaryFile())
            runs.append(run)
            for row in chunk:
                pickle.dump(tuple(row), run, pickle.HIGHEST_PROTOCOL)
        yield from heapq.merge(*map(_loaded, runs), key=_time)


def _loaded(run: IO[bytes]) -> Iterator[Row]:
    run.seek(0)
    while True:
        try:
            yield Row(*pickle.load(run))
        except EOFError:
            return


def _time(row: Row) -> tuple[int, int]:
    return row.time_ms, row.line


def _span(from_ms: float, to_ms: float) -> str:
    begin, end = (datetime.fromtimestamp(ms / 1000, UTC).isoformat(timespec="seconds") for ms in (from_ms, to_ms))
    return f"{begin.replace('+00:00', 'Z')} to {end.replace('+00:00', 'Z')}"
