"""Summary tables: one row per meter and minute or hour of readings, for display. Not evidence.

A row may be replaced at any time by what a recount of the records says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from gateway.clock import HOUR_MS, MINUTE_MS
from gateway.storage.rows import Connection

_SPANS = {MINUTE_MS: 1, HOUR_MS: 60}  # as the column says them, in minutes

MANY = 1_000  # records
SLACK_MS = 600_000
"""Most by which the order of commits and that of times may differ."""

Points = tuple[tuple[str, "str | None"], ...]


class SummaryRow(NamedTuple):
    """One minute or hour (``span_ms``) of one meter, as history/aggregate_codec.py packs it."""

    meter: str
    span_ms: int
    start_ms: int
    data: bytes


class Summaries:
    """Summaries of minutes and hours, and the records that they are made of."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def put(self, rows: Sequence[SummaryRow]) -> None:
        """Keep these, in place of those that are there. Call within ``transaction()``."""
        sql = "INSERT OR REPLACE INTO summaries (meter, span, start_ms, data) VALUES (?, ?, ?, ?)"
        self._sql.run_each(sql, ((row.meter, _SPANS[row.span_ms], row.start_ms, row.data) for row in rows))

    def between(self, meter: str, span_ms: int, from_ms: int, to_ms: int) -> Iterator[tuple[int, bytes]]:
        """(start_ms, data) of those that begin in [from_ms, to_ms), in order."""
        sql = (
            "SELECT start_ms, data FROM summaries WHERE meter = ? AND span = ? AND start_ms >= ? AND start_ms < ? "
            "ORDER BY start_ms"
        )
        return self._sql.walk(sql, meter, _SPANS[span_ms], from_ms, to_ms)

    def at(self, meter: str, span_ms: int, start_ms: int) -> bytes | None:
        """The row of one span."""
        sql = "SELECT data FROM summaries WHERE meter = ? AND span = ? AND start_ms = ?"
        row = self._sql.one(sql, meter, _SPANS[span_ms], start_ms)
        return bytes(row[0]) if row else None

    def newest(self, meter: str, span_ms: int) -> int | None:
        """Where the newest row begins."""
        return self._end("max", meter, span_ms)

    def oldest(self, meter: str, span_ms: int) -> int | None:
        """Where the oldest row begins."""
        return self._end("min", meter, span_ms)

    def _end(self, which: str, meter: str, span_ms: int) -> int | None:
        sql = f"SELECT {which}(start_ms) FROM summaries WHERE meter = ? AND span = ?"
        row = self._sql.one(sql, meter, _SPANS[span_ms])
        return int(row[0]) if row and row[0] is not None else None

    def meters(self) -> list[str]:
        """Every meter that has a row, also those that are in no configuration any more."""
        found: list[str] = []
        while (
            row := self._sql.one("SELECT min(meter) FROM summaries WHERE meter > ?", found[-1] if found else "")
        ) and row[0]:
            found.append(str(row[0]))
        return found

    def drop(self, meter: str, span_ms: int, before_ms: int, most: int) -> int:
        """Delete up to ``most`` that begin earlier, the oldest first, but for the newest; gives their number. Call
        within ``transaction()``."""
        sql = (
            "DELETE FROM summaries WHERE meter = ? AND span = ? AND start_ms IN (SELECT start_ms FROM summaries "
            "WHERE meter = ? AND span = ? AND start_ms < min(?, (SELECT max(start_ms) FROM summaries "
            "WHERE meter = ? AND span = ?)) ORDER BY start_ms LIMIT ?)"
        )
        span = _SPANS[span_ms]
        return self._sql.run(sql, meter, span, meter, span, before_ms, meter, span, most)

    def forms(self) -> dict[int, Points]:
        """Which points the rows of each form hold, by the form's number."""
        found = self._sql.all("SELECT id, points FROM summary_forms")
        return {int(number): tuple((name, unit) for name, unit in json.loads(points)) for number, points in found}

    def add_form(self, points: Points) -> int:
        """Keep a new form; gives its number. Call within ``transaction()``."""
        self._sql.run("INSERT INTO summary_forms (points) VALUES (?)", json.dumps(points, separators=(",", ":")))
        return self._sql.count("SELECT max(id) FROM summary_forms")

    def place_of(self, time_ms: int) -> int:
        """The first place of the commit order whose record is not earlier than this, give or take the little by which
        times and places are not in one order."""
        low, high = 0, self._sql.count("SELECT max(id) FROM records") + 1
        while low < high:
            middle = (low + high) // 2
            row = self._near(middle)
            if row is None or row[1] >= time_ms:
                high = middle
            else:
                low = row[0] + 1
        return low

    def _near(self, place: int) -> tuple[int, int] | None:
        """The first record from a place on and its time; a coverage record, whose time may be long ago, only where
        there is hardly anything else."""
        sql = "SELECT id, time_ms FROM records WHERE id >= ? {} ORDER BY id LIMIT 1"
        row = self._sql.one(sql.format("AND id < ? AND kind <> 'coverage'"), place, place + MANY) or self._sql.one(
            sql.format(""), place
        )
        return (int(row[0]), int(row[1])) if row else None

    def story(self, meter: str, first_id: int, last_id: int) -> Iterator[tuple[str, int, bytes]]:
        """(kind, time_ms, data) of a meter's readings and coverage records of a stretch, in the order of commits."""
        sql = (
            "SELECT kind, time_ms, data FROM records WHERE meter = ? AND id BETWEEN ? AND ? AND kind <> 'event' "
            "ORDER BY id"
        )
        return self._sql.walk(sql, meter, first_id, last_id)

    def newest_before(self, meter: str, before_ms: int, slack_ms: int) -> int | None:
        """The time of the newest reading or coverage record of a meter before this moment."""
        sql = (
            "SELECT time_ms FROM records WHERE meter = ? AND id < ? AND kind <> 'event' AND time_ms < ? "
            "ORDER BY id DESC LIMIT 1"
        )
        row = self._sql.one(sql, meter, self.place_of(before_ms + slack_ms), before_ms)
        return int(row[0]) if row else None

    def time_back(self, meter: str, time_ms: int, many: int, slack_ms: int) -> int:
        """The time of the record that is so many of a meter's records before this moment, or of its first one."""
        sql = (
            "SELECT min(time_ms) FROM (SELECT time_ms FROM records WHERE meter = ? AND id < ? AND kind <> 'event' "
            "ORDER BY id DESC LIMIT ?)"
        )
        return self._sql.count(sql, meter, self.place_of(time_ms + slack_ms), many)

    def are_more(self, meter: str, first_id: int, last_id: int, most: int) -> bool:
        """Whether a meter has more than so many records in a stretch; looks at no record."""
        sql = "SELECT count(*) FROM (SELECT 1 FROM records WHERE meter = ? AND id BETWEEN ? AND ? LIMIT ?)"
        return self._sql.count(sql, meter, first_id, last_id, most + 1) > most

    def story_back(self, meter: str) -> Iterator[tuple[str, int, bytes]]:
        """The same of all of them, the newest first."""
        sql = "SELECT kind, time_ms, data FROM records WHERE meter = ? AND kind <> 'event' ORDER BY id DESC"
        return self._sql.walk(sql, meter)
