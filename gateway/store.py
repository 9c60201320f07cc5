"""The only importer of sqlite3: records in commit order, batches over them, and the anchors each batch still needs.

One writing connection on one thread (recorder.py); readers open their own, read-only. WAL with synchronous=FULL:
after ``transaction()`` has left its block without an error, what was written in it survives a power cut.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from gateway import schema
from gateway.errors import DiskFull, StoreError
from gateway.hold import station
from ledger_client.record import Coverage, parse_record


class Row(NamedTuple):
    """One signed record in the order of the table's columns; ``data`` is the evidence, the rest finds it."""

    meter: str
    epoch: bytes
    seq: int
    kind: str
    time_ms: int
    data: bytes

    @property
    def id(self) -> str:
        """The record's public name, ``<meter>/<epoch hex>/<seq>``."""
        return f"{self.meter}/{self.epoch.hex()}/{self.seq}"


@dataclass(frozen=True, slots=True)
class Batch:
    """A sealed batch: the statement's entry and the stretch of the commit order that it holds."""

    batch: int
    statement_id: bytes
    entry: bytes
    first_id: int
    last_id: int
    size: int
    sealed_ms: int


@dataclass(frozen=True, slots=True)
class Anchor:
    """What one ledger has done with one batch: queued → submitted → settled, or refused."""

    batch: int
    ledger: str
    state: str
    receipt: bytes | None
    detail: str | None
    updated_ms: int


@dataclass(frozen=True, slots=True)
class Tail:
    """How a meter's story stood when the process before this one ended.

    ``last_data`` is its newest record; ``covered_to_ms`` the end of its coverage (None: it never had any);
    ``recorded_since`` the readings after that; ``anchor_ms`` and ``period_ms`` the schedule of the left epoch.
    """

    last_data: bytes
    covered_to_ms: int | None
    recorded_since: int
    anchor_ms: int | None
    period_ms: int | None


_ROW = "meter, epoch, seq, kind, time_ms, data"
_BATCH = "batch, statement_id, entry, first_id, last_id, size, sealed_ms"
_ANCHOR = "batch, ledger, state, receipt, detail, updated_ms"


class Store:
    """The gateway's database. Every method may raise StoreError (DiskFull when that is why), never sqlite3's own."""

    def __init__(self, path: Path, *, read_only: bool = False) -> None:
        """Open ``path``, make or migrate its tables unless ``read_only``. Refuses a database of a newer version."""
        self.path = path
        with self._errors():
            if read_only:
                if not path.exists():
                    raise StoreError(f"{path}: there is no database yet", "start the gateway once with `meterseal run`")
                self._db = sqlite3.connect(f"file:{path.resolve()}?mode=ro", uri=True, isolation_level=None)
            else:
                path.parent.mkdir(parents=True, exist_ok=True)
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA busy_timeout = 5000")
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version > schema.VERSION:
                raise StoreError(
                    f"{path}: written by a newer Meterseal (database version {version}, known here: {schema.VERSION})",
                    "start the newer version, or move the database aside",
                )
            if not read_only:
                self._begin_log()
                if version < schema.VERSION:
                    from sqlite_utils import Database  # 125 ms that a start with a current database need not pay

                    schema.migrate(Database(self._db))

    def _begin_log(self) -> None:
        # EXTRA: the rollback journal of a new database is gone for good before records are, for it would undo them.
        self._db.execute("PRAGMA synchronous = EXTRA")
        (mode,) = self._db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":  # SQLite stays in the mode before and raises nothing when the disk fails here
            raise StoreError(f"{self.path}: no write-ahead log can be begun beside it", "check the disk, start again")
        self._db.execute("PRAGMA synchronous = FULL")

    def close(self) -> None:
        """Close the connection; what was committed stays."""
        self._db.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            raise (DiskFull if full else StoreError)(
                f"{self.path}: {error}", "free space, and check the disk and the folder's permissions"
            ) from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable when the block is left."""
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield
                station("commit")
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            station("committed")

    def _one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        with self._errors():
            row: tuple[Any, ...] | None = self._db.execute(sql, values).fetchone()
            return row

    # — records —

    def append(self, rows: Iterable[Row]) -> None:
        """Add signed records in the order given, which becomes the order of leaves. Call within ``transaction()``."""
        with self._errors():
            self._db.executemany(f"INSERT INTO records ({_ROW}) VALUES (?, ?, ?, ?, ?, ?)", rows)

    def tail(self, meter: str) -> Tail | None:
        """How ``meter`` (or ``gateway``) was left, or None if this database never held a record of it."""
        last = self._one("SELECT data FROM records WHERE meter = ? ORDER BY id DESC LIMIT 1", meter)
        if last is None:
            return None
        covered = self._one(
            "SELECT id, data FROM records WHERE meter = ? AND kind = 'coverage' ORDER BY id DESC LIMIT 1", meter
        )
        to_ms, since = None, 0
        if covered is not None:
            body = parse_record(bytes(covered[1])).body
            assert isinstance(body, Coverage)
            to_ms = body.to_ms
            counted = self._one(
                "SELECT count(*) FROM records WHERE meter = ? AND id > ? AND kind = 'reading'", meter, covered[0]
            )
            since = int(counted[0]) if counted else 0
        plan = self._one("SELECT anchor_ms, period_ms FROM schedules WHERE meter = ? ORDER BY id DESC LIMIT 1", meter)
        anchor_ms, period_ms = plan if plan else (None, None)
        return Tail(bytes(last[0]), to_ms, since, anchor_ms, period_ms)

    def latest_ms(self) -> int:
        """The latest time among the newest 1,000 records, in ms; 0 if there are none."""
        row = self._one("SELECT max(time_ms) FROM (SELECT time_ms FROM records ORDER BY id DESC LIMIT 1000)")
        return int(row[0]) if row and row[0] is not None else 0

    def open_epoch(self, epoch: bytes, anchor_ms: int, periods_ms: Iterable[tuple[str, int]]) -> None:
        """Note each meter's schedule of a new epoch. Call within ``transaction()``, with the epoch's first records."""
        with self._errors():
            self._db.executemany(
                "INSERT INTO schedules (meter, epoch, anchor_ms, period_ms) VALUES (?, ?, ?, ?)",
                ((meter, epoch, anchor_ms, period_ms) for meter, period_ms in periods_ms),
            )

    def schedules(self) -> list[tuple[str, bytes, int, int]]:
        """(meter, epoch, anchor_ms, period_ms) of every epoch, oldest first."""
        with self._errors():
            return self._db.execute("SELECT meter, epoch, anchor_ms, period_ms FROM schedules ORDER BY id").fetchall()

    def events_of(self, meter: str) -> Iterator[Row]:
        """The events of one meter, newest first."""
        with self._errors():
            sql = f"SELECT {_ROW} FROM records WHERE meter = ? AND kind = 'event' ORDER BY id DESC"
            yield from map(Row._make, self._db.execute(sql, (meter,)))

    def epoch_events(self) -> list[Row]:
        """Every event of the newest epoch, oldest first."""
        with self._errors():
            found = self._db.execute(
                f"SELECT {_ROW} FROM records WHERE kind = 'event' "
                "AND epoch = (SELECT epoch FROM schedules ORDER BY id DESC LIMIT 1) ORDER BY id"
            )
            return list(map(Row._make, found))

    def find(self, meter: str, epoch: bytes, seq: int) -> tuple[int, Row] | None:
        """A record and its place in the commit order."""
        row = self._one(f"SELECT id, {_ROW} FROM records WHERE epoch = ? AND meter = ? AND seq = ?", epoch, meter, seq)
        return (row[0], Row(*row[1:])) if row else None

    def readings(self, meter: str | None, count: int) -> list[Row]:
        """The newest ``count`` readings, of one meter or of all, oldest first."""
        where = "kind = 'reading'" + (" AND meter = ?" if meter else "")
        with self._errors():
            rows = self._db.execute(
                f"SELECT {_ROW} FROM records WHERE {where} ORDER BY id DESC LIMIT ?",
                (*([meter] if meter else []), count),
            ).fetchall()
        return [Row(*row) for row in reversed(rows)]

    def newest(self, meter: str, kind: str) -> Row | None:
        """The newest record of one kind of one meter."""
        row = self._one(
            f"SELECT {_ROW} FROM records WHERE meter = ? AND kind = ? ORDER BY id DESC LIMIT 1", meter, kind
        )
        return Row(*row) if row else None

    def newest_anchored(self, meter: str) -> Row | None:
        """The newest reading of ``meter`` whose batch has a receipt."""
        row = self._one(
            f"SELECT {_ROW} FROM records WHERE meter = ? AND kind = 'reading' AND id <= "
            "(SELECT max(last_id) FROM batches JOIN anchors USING (batch) WHERE state = 'settled') "
            "ORDER BY id DESC LIMIT 1",
            meter,
        )
        return Row(*row) if row else None

    def rows(self, first_id: int, last_id: int) -> list[Row]:
        """Records of a stretch of the commit order."""
        return list(self.walk(first_id, last_id))

    def walk(self, first_id: int, last_id: int) -> Iterator[Row]:
        """The same one by one, for a stretch that need not be held whole."""
        with self._errors():
            sql = f"SELECT {_ROW} FROM records WHERE id BETWEEN ? AND ? ORDER BY id"
            yield from map(Row._make, self._db.execute(sql, (first_id, last_id)))

    # — batches and anchors —

    def unsealed(self) -> tuple[int, int] | None:
        """First and last place in the commit order that no batch holds yet; None when all is sealed."""
        row = self._one(
            "SELECT min(id), max(id) FROM records WHERE id > (SELECT coalesce(max(last_id), 0) FROM batches)"
        )
        return (int(row[0]), int(row[1])) if row and row[0] is not None else None

    def count_unsealed(self) -> int:
        """How many records, coverage not counted, no batch holds yet."""
        row = self._one(
            "SELECT count(*) FROM records WHERE kind <> 'coverage' "
            "AND id > (SELECT coalesce(max(last_id), 0) FROM batches)"
        )
        return int(row[0]) if row else 0

    def last_batch(self) -> Batch | None:
        """The newest sealed batch."""
        row = self._one(f"SELECT {_BATCH} FROM batches ORDER BY batch DESC LIMIT 1")
        return Batch(*row) if row else None

    def batch(self, number: int) -> Batch | None:
        """One sealed batch."""
        row = self._one(f"SELECT {_BATCH} FROM batches WHERE batch = ?", number)
        return Batch(*row) if row else None

    def batch_of(self, record_id: int) -> Batch | None:
        """The batch that holds a place of the commit order, or None while it is unsealed."""
        row = self._one(f"SELECT {_BATCH} FROM batches WHERE last_id >= ? ORDER BY last_id LIMIT 1", record_id)
        return Batch(*row) if row else None

    def batches(self) -> list[Batch]:
        """Every sealed batch in order."""
        with self._errors():
            return [Batch(*row) for row in self._db.execute(f"SELECT {_BATCH} FROM batches ORDER BY batch")]

    def seal(self, batch: Batch, ledgers: Sequence[str]) -> None:
        """Keep a sealed batch and queue its anchors. Call within the transaction that holds its last records."""
        with self._errors():
            self._db.execute(
                f"INSERT INTO batches ({_BATCH}) VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    batch.batch,
                    batch.statement_id,
                    batch.entry,
                    batch.first_id,
                    batch.last_id,
                    batch.size,
                    batch.sealed_ms,
                ),
            )
            self._db.executemany(
                "INSERT INTO anchors (batch, ledger, state, updated_ms) VALUES (?, ?, 'queued', ?)",
                ((batch.batch, ledger, batch.sealed_ms) for ledger in ledgers),
            )

    def next_anchor(self, ledger: str) -> Anchor | None:
        """The oldest batch that ``ledger`` has not settled: batches go to a ledger in order."""
        row = self._one(
            f"SELECT {_ANCHOR} FROM anchors WHERE ledger = ? AND state <> 'settled' ORDER BY batch LIMIT 1", ledger
        )
        return Anchor(*row) if row else None

    def anchors(self, batch: int | None = None) -> list[Anchor]:
        """The anchors of one batch, or all of them."""
        where, values = ("", ()) if batch is None else ("WHERE batch = ?", (batch,))
        with self._errors():
            found = self._db.execute(f"SELECT {_ANCHOR} FROM anchors {where} ORDER BY batch, ledger", values)
            return [Anchor(*row) for row in found]

    def anchor_states(self, ledger: str) -> dict[str, int]:
        """How many batches stand in each state at one ledger."""
        with self._errors():
            sql = "SELECT state, count(*) FROM anchors WHERE ledger = ? GROUP BY state"
            return dict(self._db.execute(sql, (ledger,)).fetchall())

    def first_refused(self, ledger: str) -> Anchor | None:
        """The oldest batch that ``ledger`` refused and has not settled since."""
        sql = f"SELECT {_ANCHOR} FROM anchors WHERE ledger = ? AND state = 'refused' ORDER BY batch LIMIT 1"
        row = self._one(sql, ledger)
        return Anchor(*row) if row else None

    def mark(
        self,
        batch: int,
        ledger: str,
        state: str,
        now_ms: int,
        *,
        receipt: bytes | None = None,
        detail: str | None = None,
    ) -> None:
        """Move an anchor to ``state``; a settled one never moves again. Call within ``transaction()``."""
        with self._errors():
            self._db.execute(
                "UPDATE anchors SET state = ?, receipt = ?, detail = ?, updated_ms = ? "
                "WHERE batch = ? AND ledger = ? AND state <> 'settled'",
                (state, receipt, detail, now_ms, batch, ledger),
            )

    def totals(self) -> dict[str, int]:
        """Counts for the status: records, readings, batches, receipts."""
        with self._errors():
            kinds = dict(self._db.execute("SELECT kind, count(*) FROM records GROUP BY kind").fetchall())
            (batches,) = self._db.execute("SELECT count(*) FROM batches").fetchone()
            (receipts,) = self._db.execute("SELECT count(*) FROM anchors WHERE state = 'settled'").fetchone()
        return {
            "records": sum(kinds.values()),
            "readings": kinds.get("reading", 0),
            "batches": batches,
            "receipts": receipts,
        }
