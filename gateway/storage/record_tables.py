"""Record tables: records in commit order, the schedules of each epoch, and what pruning has left of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from gateway.records import StoredRecord
from gateway.storage.rows import RECORD_COLUMNS, Connection, Tail
from ledger_client.formats.record import Coverage, parse_record
from ledger_client.formats.senml import Reading
from ledger_client.recording_grid import Grid

_WHO_HAS_EVENTS = (  # from one name to the next: as many steps as there are meters
    "WITH RECURSIVE who (meter) AS (SELECT min(meter) FROM records WHERE kind = 'event' "
    "UNION ALL SELECT (SELECT min(meter) FROM records WHERE kind = 'event' AND meter > who.meter) FROM who "
    "WHERE who.meter IS NOT NULL) SELECT meter FROM who WHERE meter IS NOT NULL"
)

_WITHIN = "id BETWEEN ? AND ? AND time_ms >= ? AND time_ms < ?"
_EVER = 1 << 62


class Within(NamedTuple):
    """Places of the commit order from ``first_id`` to ``last_id``, and times in [from_ms, to_ms)."""

    first_id: int = 0
    last_id: int = _EVER
    from_ms: int = -_EVER
    to_ms: int = _EVER


EVERYTHING = Within()


MOST_MERGED = 100
"""Meters whose readings SQLite merges by their places; those of more are found among all."""


def _readings_of(
    columns: str, meters: Sequence[str] | None, place: int, last_id: int, within: tuple[int, int] | None = None
) -> tuple[str, list[object]]:
    """A query of the readings of some meters (None: all) behind a place and up to another, in [from, to) of ``within``,
    and its values; ordered by ``id`` it looks at no more rows than are taken."""
    sql = f"SELECT {columns} FROM records WHERE kind = 'reading' AND id > ? AND id <= ?"
    bounds: list[object] = [place, last_id]
    if within is not None:
        sql, bounds = f"{sql} AND time_ms >= ? AND time_ms < ?", [*bounds, *within]
    if meters is None:
        return sql, bounds
    if len(meters) > MOST_MERGED:  # + : the index would give them meter by meter, to be sorted whole
        return f"{sql} AND +meter IN ({', '.join('?' * len(meters))})", [*bounds, *meters]
    each = [f"{sql} AND meter = ?"] * len(meters)
    return " UNION ALL ".join(each), [value for meter in meters for value in (*bounds, meter)]


class Readings:
    """Readings of some meters, in the order of commits."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def after(
        self, meters: Sequence[str] | None, place: int, last_id: int, most: int
    ) -> list[tuple[int, StoredRecord]]:
        """Up to ``most`` readings of some meters (None: all) behind a place, up to ``last_id``, with their places."""
        each, values = _readings_of(f"id, {RECORD_COLUMNS}", meters, place, last_id)
        found = self._sql.all(f"{each} ORDER BY id LIMIT ?", *values, most)
        return [(row[0], StoredRecord(*row[1:])) for row in found]

    def places(
        self, meters: Sequence[str] | None, place: int, last_id: int, within: tuple[int, int], nth: int, most: int
    ) -> list[int]:
        """The places of readings behind a place, up to ``last_id`` and in [from, to) of ``within``, from the ``nth`` of
        them on (1: the first), up to ``most``."""
        each, values = _readings_of("id", meters, place, last_id, within)
        found = self._sql.all(f"{each} ORDER BY id LIMIT ? OFFSET ?", *values, most, nth - 1)
        return [int(row_id) for (row_id,) in found]


class Records:
    """Records in commit order. What changes something is to be called within ``transaction()``."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def append(self, rows: Sequence[StoredRecord]) -> None:
        """Add signed records in the order given, which becomes the order of leaves. Call within ``transaction()``.

        They stand behind every place that was ever used: one whose record was lost is not given again.
        """
        if rows:
            sql = f"INSERT INTO records (id, {RECORD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)"
            self._sql.run(sql, self.last_place() + 1, *rows[0])
            self._sql.run_each(f"INSERT INTO records ({RECORD_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?)", rows[1:])
            self._count(Counter(row.kind for row in rows))

    def kinds(self) -> dict[str, int]:
        """How many records of each kind there are; counted along with their commits."""
        return dict(self._sql.all("SELECT kind, count FROM totals"))

    def tail(self, meter: str, *, series: bool = False) -> Tail | None:
        """How ``meter`` (or ``gateway``) was left, or None if this database never held a record of it. ``series``: its
        messages are due by arriving."""
        last = self._sql.one("SELECT data FROM records WHERE meter = ? ORDER BY id DESC LIMIT 1", meter)
        if last is None:
            return None
        covered = self._sql.one(
            "SELECT id, data FROM records WHERE meter = ? AND kind = 'coverage' ORDER BY id DESC LIMIT 1", meter
        )
        to_ms, since, moments = None, 0, list[int]() if series else None
        if covered is not None:
            body = parse_record(bytes(covered[1])).body
            assert isinstance(body, Coverage)
            to_ms = body.to_ms
            since = self._sql.count(
                "SELECT count(*) FROM records WHERE meter = ? AND id > ? AND kind = 'reading'", meter, covered[0]
            )
            moments = self._moments_ms(meter, covered[0]) if series else None
        return Tail(bytes(last[0]), to_ms, since, [] if to_ms is None else self._grids_from(meter, to_ms), moments)

    def _moments_ms(self, meter: str, after_id: int) -> list[int]:
        """The times of a meter's readings behind a place that are not LATE."""
        sql = "SELECT data FROM records WHERE meter = ? AND id > ? AND kind = 'reading' ORDER BY id"
        found = (parse_record(bytes(data)).body for (data,) in self._sql.walk(sql, meter, after_id))
        return [body.time_ms for body in found if isinstance(body, Reading) and not body.late]

    def latest_ms(self) -> int:
        """The latest time among the newest 1,000 records, in ms, and that at which the last was signed: behind a
        silence that is later. 0 if there are none."""
        last = self._sql.one("SELECT data FROM records ORDER BY id DESC LIMIT 1")
        signed_ms = parse_record(bytes(last[0])).claims.iat * 1000 if last else 0
        latest = "SELECT max(time_ms) FROM (SELECT time_ms FROM records ORDER BY id DESC LIMIT 1000)"
        return max(self._sql.count(latest), signed_ms)

    def events_of(self, meter: str) -> Iterator[StoredRecord]:
        """The events of one meter, newest first."""
        sql = f"SELECT {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = 'event' ORDER BY id DESC"
        return map(StoredRecord._make, self._sql.walk(sql, meter))

    def events_before(self, meter: str, place: int) -> Iterator[StoredRecord]:
        """The events of one meter in front of a place of the commit order, newest first."""
        sql = f"SELECT {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = 'event' AND id < ? ORDER BY id DESC"
        return map(StoredRecord._make, self._sql.walk(sql, meter, place))

    def events_within(
        self, within: Within, count: int, meter: str | None = None, *, oldest: bool = False
    ) -> list[tuple[int, StoredRecord]]:
        """The newest ``count`` events of these places and times, of one meter or of all, with their places, newest
        first; or the oldest, these first. Looks at ``count`` of each meter at most, however many there are."""
        meters = [meter] if meter else [str(name) for (name,) in self._sql.all(_WHO_HAS_EVENTS)]
        order = "ASC" if oldest else "DESC"
        sql = f"SELECT id FROM records WHERE meter = ? AND kind = 'event' AND {_WITHIN} ORDER BY id {order} LIMIT ?"
        places = [int(place) for name in meters for (place,) in self._sql.all(sql, name, *within, count)]
        chosen = sorted(places, reverse=not oldest)[:count]
        found = (self._sql.one(f"SELECT {RECORD_COLUMNS} FROM records WHERE id = ?", place) for place in chosen)
        return [(place, StoredRecord(*row)) for place, row in zip(chosen, found, strict=True) if row]

    def within(
        self, meter: str, within: Within, count: int, *, kind: str | None = None, oldest: bool = False
    ) -> list[tuple[int, StoredRecord]]:
        """The newest ``count`` records of a meter, of one kind or of all, of these places and times, with their places,
        newest first; or the oldest, these first. Times are looked at one by one: bound the places, too."""
        of_kind = "" if kind is None else "AND kind = ? "
        sql = (
            f"SELECT id, {RECORD_COLUMNS} FROM records WHERE meter = ? AND {_WITHIN} {of_kind}"
            f"ORDER BY id {'ASC' if oldest else 'DESC'} LIMIT ?"
        )
        values = (meter, *within, *(() if kind is None else (kind,)), count)
        return [(row[0], StoredRecord(*row[1:])) for row in self._sql.all(sql, *values)]

    def epoch_events(self) -> list[StoredRecord]:
        """Every event of the newest epoch, oldest first."""
        found = self._sql.all(
            f"SELECT {RECORD_COLUMNS} FROM records "
            "INDEXED BY events_by_meter WHERE kind = 'event' "  # few; an epoch has millions
            "AND epoch = (SELECT epoch FROM schedules ORDER BY id DESC LIMIT 1) ORDER BY id"
        )
        return list(map(StoredRecord._make, found))

    def find(self, meter: str, epoch: bytes, seq: int) -> tuple[int, StoredRecord] | None:
        """A record and its place in the commit order."""
        row = self._sql.one(
            f"SELECT id, {RECORD_COLUMNS} FROM records WHERE epoch = ? AND meter = ? AND seq = ?", epoch, meter, seq
        )
        return (row[0], StoredRecord(*row[1:])) if row else None

    def place(self, meter: str, epoch: bytes, seq: int) -> int | None:
        """A record's place in the commit order."""
        row = self._sql.one("SELECT id FROM records WHERE epoch = ? AND meter = ? AND seq = ?", epoch, meter, seq)
        return int(row[0]) if row else None

    def first_ms(self, meter: str | None = None) -> int | None:
        """The time of the oldest record that is there, of one meter or of all."""
        where, values = ("WHERE meter = ?", (meter,)) if meter else ("", ())
        row = self._sql.one(f"SELECT time_ms FROM records {where} ORDER BY id LIMIT 1", *values)
        return int(row[0]) if row else None

    def readings(self, meter: str | None, count: int) -> list[StoredRecord]:
        """The newest ``count`` readings, of one meter or of all, oldest first."""
        where = "kind = 'reading'" + (" AND meter = ?" if meter else "")
        sql = f"SELECT {RECORD_COLUMNS} FROM records WHERE {where} ORDER BY id DESC LIMIT ?"
        return [StoredRecord(*row) for row in reversed(self._sql.all(sql, *([meter] if meter else []), count))]

    def chain(self, meter: str, count: int, before: int | None = None) -> list[tuple[int, StoredRecord]]:
        """The newest ``count`` records of a meter (of those in front of a place) with their places, newest first."""
        sql = f"SELECT id, {RECORD_COLUMNS} FROM records WHERE meter = ? AND id < ? ORDER BY id DESC LIMIT ?"
        return [(row[0], StoredRecord(*row[1:])) for row in self._sql.all(sql, meter, before or 1 << 62, count)]

    def coverage(self, meter: str, count: int) -> list[StoredRecord]:
        """The newest ``count`` coverage records of a meter, newest first."""
        sql = f"SELECT {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = 'coverage' ORDER BY id DESC LIMIT ?"
        return [StoredRecord(*row) for row in self._sql.all(sql, meter, count)]

    def coverage_from(self, meter: str, place: int) -> Iterator[StoredRecord]:
        """The coverage records of a meter from a place of the commit order on."""
        sql = f"SELECT {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = 'coverage' AND id >= ? ORDER BY id"
        return map(StoredRecord._make, self._sql.walk(sql, meter, place))

    def newest(self, meter: str, kind: str) -> StoredRecord | None:
        """The newest record of one kind of one meter."""
        sql = f"SELECT {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = ? ORDER BY id DESC LIMIT 1"
        row = self._sql.one(sql, meter, kind)
        return StoredRecord(*row) if row else None

    def newest_places(self, count: int, owners: Iterable[str]) -> list[tuple[int, StoredRecord]]:
        """Places and records, newest first: the newest ``count`` of all, and each owner's newest of every kind."""
        found = dict[int, StoredRecord]()
        sql = f"SELECT id, {RECORD_COLUMNS} FROM records {{}} ORDER BY id DESC LIMIT ?"
        for place, *row in self._sql.all(sql.format(""), count):
            found[place] = StoredRecord(*row)
        for owner in owners:
            for kind in ("reading", "coverage", "event"):
                for place, *row in self._sql.all(sql.format("WHERE meter = ? AND kind = ?"), owner, kind, 1):
                    found[place] = StoredRecord(*row)
        return sorted(found.items(), reverse=True)

    def newest_anchored(self, meter: str) -> StoredRecord | None:
        """The newest reading of ``meter`` whose batch has a receipt."""
        row = self._sql.one(
            f"SELECT {RECORD_COLUMNS} FROM records WHERE meter = ? AND kind = 'reading' AND id <= "
            "(SELECT max(last_id) FROM batches JOIN anchors USING (batch) WHERE state = 'settled') "
            "AND id NOT IN (SELECT id FROM elsewhere) ORDER BY id DESC LIMIT 1",
            meter,
        )
        return StoredRecord(*row) if row else None

    def rows(self, first_id: int, last_id: int) -> list[StoredRecord]:
        """Records of a stretch of the commit order."""
        return list(self.stretch(first_id, last_id))

    def stretch(self, first_id: int, last_id: int) -> Iterator[StoredRecord]:
        """The same one by one, for a stretch that need not be held whole."""
        sql = f"SELECT {RECORD_COLUMNS} FROM records WHERE id BETWEEN ? AND ? ORDER BY id"
        return map(StoredRecord._make, self._sql.walk(sql, first_id, last_id))

    def prune(self, last_id: int, most: int) -> int:
        """Delete up to ``most`` readings and coverage records up to ``last_id``, the oldest first; gives their number.

        Events stay, and so does each meter's newest record of every kind: the chain and the coverage go on from them.
        The database itself refuses the deletion of what no receipted batch holds. Call within ``transaction()``.
        """
        meters = [str(meter) for (meter,) in self._sql.all("SELECT DISTINCT meter FROM schedules")]
        newest = {self._newest_id(meter, kind) for meter in meters for kind in ("reading", "coverage")}
        kept = ", ".join(map(str, sorted(newest)))
        sql = "SELECT id, kind FROM records WHERE id <= ? AND kind <> 'event'"
        going = self._sql.all(f"{sql} AND id NOT IN ({kept}) ORDER BY id LIMIT ?", last_id, most)
        if going:
            self._sql.run("UPDATE pruned SET to_id = max(to_id, ?)", going[-1][0])
            for table in ("records", "heard"):
                self._sql.run_each(f"DELETE FROM {table} WHERE id = ?", ((row_id,) for row_id, _ in going))
            self._sql.run("DELETE FROM marks WHERE id <= ?", going[-1][0])
            gone = Counter(kind for _, kind in going)
            self._count(Counter({kind: -n for kind, n in gone.items()}))
            self._sql.run("UPDATE pruned SET records = records + ?", len(going))
        return len(going)

    def pruned(self) -> tuple[int, int]:
        """Up to which place of the commit order records have been pruned, and how many."""
        row = self._sql.one("SELECT to_id, records FROM pruned")
        return (int(row[0]), int(row[1])) if row else (0, 0)

    def last_place(self) -> int:
        """The highest place of the commit order that was ever used, as far as it is known."""
        used = "SELECT max(id) AS n FROM records UNION ALL SELECT max(last_id) FROM batches"
        return self._sql.count(f"SELECT max(n) FROM ({used} UNION ALL SELECT max(last_id) FROM repairs)")

    def _count(self, kinds: Counter[str]) -> None:
        sql = "INSERT INTO totals (kind, count) VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"
        self._sql.run_each(sql, kinds.items())

    def _grids_from(self, meter: str, from_ms: int) -> list[Grid]:
        """The grids by which polls of ``meter`` were due from a moment on, oldest first."""
        begun = "SELECT max(id) FROM schedules WHERE meter = ? AND anchor_ms <= ?"
        sql = f"SELECT anchor_ms, period_ms FROM schedules WHERE meter = ? AND id >= coalesce(({begun}), 0) ORDER BY id"
        return self._sql.all(sql, meter, meter, from_ms)

    def _newest_id(self, meter: str, kind: str) -> int:
        return self._sql.count("SELECT max(id) FROM records WHERE meter = ? AND kind = ?", meter, kind)


class Epochs:
    """Epochs and their recording grids, oldest first."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def schedule(self, epoch: bytes, grids: Iterable[tuple[str, int, int]]) -> None:
        """Note (meter, anchor_ms, period_ms) from which on polls of an epoch are recorded. Call within
        ``transaction()``, with the first records that follow them, or earlier."""
        sql = "INSERT INTO schedules (epoch, meter, anchor_ms, period_ms) VALUES (?, ?, ?, ?)"
        self._sql.run_each(sql, ((epoch, *grid) for grid in grids))

    def scheduled(self) -> list[str]:
        """The meters of which polls are due by their newest grid."""
        newest = "SELECT max(id) FROM schedules GROUP BY meter"
        sql = f"SELECT meter FROM schedules WHERE id IN ({newest}) AND period_ms > 0 ORDER BY meter"
        return [str(meter) for (meter,) in self._sql.all(sql)]

    def schedules(self) -> list[tuple[str, bytes, int, int]]:
        """(meter, epoch, anchor_ms, period_ms) of every epoch, oldest first."""
        return self._sql.all("SELECT meter, epoch, anchor_ms, period_ms FROM schedules ORDER BY id")

    def newest(self) -> bytes | None:
        """The epoch that has begun last; None in a new database."""
        row = self._sql.one("SELECT epoch FROM schedules ORDER BY id DESC LIMIT 1")
        return row[0] if row else None

    def has_begun(self, epoch: bytes) -> bool:
        """Whether this epoch began in this database."""
        return self._sql.one("SELECT 1 FROM schedules WHERE epoch = ? LIMIT 1", epoch) is not None

    def is_pruned(self, meter: str, epoch: bytes, seq: int) -> bool:
        """Whether a record that is not there was pruned: a later one of its epoch is there, or of an epoch that is over
        none is any more."""
        if not self._sql.count("SELECT records FROM pruned"):
            return False
        later = "SELECT 1 FROM records WHERE epoch = ? AND meter = ? AND seq > ? LIMIT 1"
        if self._sql.one(later, epoch, meter, seq):
            return True
        newest = "(SELECT epoch FROM schedules ORDER BY id DESC LIMIT 1)"
        begun = f"SELECT 1 FROM schedules WHERE meter = ? AND epoch = ? AND epoch <> {newest} LIMIT 1"
        none = "SELECT 1 FROM records WHERE epoch = ? AND meter = ? LIMIT 1"
        return self._sql.one(begun, meter, epoch) is not None and self._sql.one(none, epoch, meter) is None

    def began_ms(self) -> int:
        """When the newest epoch began; 0 if there was none."""
        return self._sql.count(
            "SELECT min(anchor_ms) FROM schedules WHERE epoch = (SELECT epoch FROM schedules ORDER BY id DESC LIMIT 1)"
        )
