"""Poll tables: of each meter and hour how many polls were due, recorded and asleep. For display. Not evidence.

A row is added up from coverage records as they are found, and the note up to which record in the same transaction, so
that none is counted twice. Everything may be counted anew from the records at any time.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.records import StoredRecord
from gateway.storage.rows import RECORD_COLUMNS, Connection
from ledger_client.recording_grid import Grid

_GAP = ("gap_from_ms", "gap_to_ms")


@dataclass(slots=True)
class Polls:
    """Polls of an hour: ``asleep`` are due and not recorded. ``gap``: the longest time without a record that ended in
    it, or had not ended by its end: (from, to) in ms."""

    due: int = 0
    recorded: int = 0
    asleep: int = 0
    gap: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class Counted:
    """How far the polls of a meter are counted: up to the record at the place ``last_id``, from and to which moment;
    ``answered_ms``: behind it no poll is recorded, or the meter was not asleep. All in ms of record times."""

    last_id: int
    from_ms: int
    to_ms: int
    answered_ms: int


class Sums(NamedTuple):
    """Polls of a time, and its longest gap (None, None: there is none)."""

    due: int
    recorded: int
    asleep: int
    gap_from_ms: int | None
    gap_to_ms: int | None


class PollHours:
    """Polls by the hour, and the records that they are counted from."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def counted(self) -> dict[str, Counted]:
        """How far each meter is counted."""
        found = self._sql.all("SELECT meter, last_id, from_ms, to_ms, answered_ms FROM polls_counted")
        return {str(meter): Counted(*rest) for meter, *rest in found}

    def counted_of(self, meter: str) -> Counted | None:
        """How far one meter, or the gateway's events, are counted; None: not at all."""
        sql = "SELECT last_id, from_ms, to_ms, answered_ms FROM polls_counted WHERE meter = ?"
        row = self._sql.one(sql, meter)
        return Counted(*row) if row else None

    def add(self, meter: str, hours: Mapping[int, Polls], counted: Counted | None) -> None:
        """Add polls to the hours that begin then, and note how far they are counted. Call within ``transaction()``."""
        longer = "coalesce(excluded.gap_to_ms - excluded.gap_from_ms, -1) > coalesce(gap_to_ms - gap_from_ms, -1)"
        sql = (
            "INSERT INTO poll_hours VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET due = due + excluded.due, "
            "recorded = recorded + excluded.recorded, asleep = asleep + excluded.asleep, "
            + ", ".join(f"{end} = CASE WHEN {longer} THEN excluded.{end} ELSE {end} END" for end in _GAP)
        )
        rows = ((meter, at, p.due, p.recorded, p.asleep, *(p.gap or (None, None))) for at, p in hours.items())
        self._sql.run_each(sql, rows)
        if counted is not None:
            sql = "INSERT OR REPLACE INTO polls_counted VALUES (?, ?, ?, ?, ?)"
            self._sql.run(sql, meter, counted.last_id, counted.from_ms, counted.to_ms, counted.answered_ms)

    def drop(self, meter: str, before_ms: int) -> None:
        """Delete the hours that begin earlier. Call within ``transaction()``."""
        self._sql.run("DELETE FROM poll_hours WHERE meter = ? AND start_ms < ?", meter, before_ms)

    def sums(self, meter: str, from_ms: int, to_ms: int) -> Sums:
        """The polls of the hours that begin in [from_ms, to_ms)."""
        sql = (  # columns beside max() are those of its row
            "SELECT total(due), total(recorded), total(asleep), gap_from_ms, gap_to_ms, max(gap_to_ms - gap_from_ms) "
            "FROM poll_hours WHERE meter = ? AND start_ms >= ? AND start_ms < ?"
        )
        row = self._sql.one(sql, meter, from_ms, to_ms)
        assert row is not None, "a sum has a row"
        return Sums(int(row[0]), int(row[1]), int(row[2]), row[3], row[4])

    # — what they are counted from —

    def coverage_behind(self, meter: str, place: int, most: int) -> list[tuple[int, int, bytes]]:
        """(place, time_ms, data) of a meter's next coverage records behind a place, in the order of commits."""
        sql = (
            "SELECT id, time_ms, data FROM records WHERE meter = ? AND kind = 'coverage' AND id > ? ORDER BY id LIMIT ?"
        )
        return self._sql.all(sql, meter, place, most)

    def coverage_before(self, meter: str, place: int) -> int:
        """The place of the last coverage record of a meter in front of a place; 0: there is none."""
        sql = "SELECT max(id) FROM records WHERE meter = ? AND kind = 'coverage' AND id < ?"
        return self._sql.count(sql, meter, place)

    def readings_between(self, meter: str, behind: int, before: int) -> list[tuple[int, bytes]]:
        """(time_ms, data) of a meter's readings between two places."""
        sql = "SELECT time_ms, data FROM records WHERE meter = ? AND kind = 'reading' AND id > ? AND id < ? ORDER BY id"
        return self._sql.all(sql, meter, behind, before)

    def times_between(self, meter: str, behind: int, before: int) -> list[int]:
        """Their times alone."""
        sql = "SELECT time_ms FROM records WHERE meter = ? AND kind = 'reading' AND id > ? AND id < ? ORDER BY id"
        return [int(time_ms) for (time_ms,) in self._sql.all(sql, meter, behind, before)]

    def events_behind(self, owner: str, place: int, most: int) -> list[tuple[int, StoredRecord]]:
        """The next events of one owner behind a place, with their places."""
        where = "meter = ? AND kind = 'event' AND id > ?"
        found = self._sql.all(
            f"SELECT id, {RECORD_COLUMNS} FROM records WHERE {where} ORDER BY id LIMIT ?", owner, place, most
        )
        return [(row[0], StoredRecord(*row[1:])) for row in found]

    def first_coverage(self, meter: str, epoch: bytes) -> tuple[int, bytes] | None:
        """(time_ms, data) of the first coverage record of a meter in an epoch."""
        sql = (
            "SELECT time_ms, data FROM records WHERE meter = ? AND epoch = ? AND kind = 'coverage' ORDER BY id LIMIT 1"
        )
        row = self._sql.one(sql, meter, epoch)
        return (int(row[0]), bytes(row[1])) if row else None

    def grids(self, meter: str, before_epoch: bytes | None = None) -> Sequence[Grid]:
        """The grids by which polls of a meter were due, in the order in which they were noted; those of before an
        epoch."""
        until = "(SELECT min(id) FROM schedules WHERE epoch = ?)" if before_epoch is not None else "?"
        sql = f"SELECT anchor_ms, period_ms FROM schedules WHERE meter = ? AND id < {until} ORDER BY id"
        return self._sql.all(sql, meter, before_epoch if before_epoch is not None else 1 << 62)
