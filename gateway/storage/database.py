"""Database: one SQLite connection, its transactions, size and copies. The only importer of sqlite3.

One writing connection on one thread (recording/writer.py); readers open their own, read-only. WAL with
synchronous=FULL: after ``transaction()`` has left its block without an error, what was written in it survives a power
cut.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from gateway.errors import Damaged, DiskFull, StoreError, Superseded, Unfinished
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error, sqlite_error
from gateway.process.failpoints import failpoint
from gateway.storage import schema
from gateway.storage.alarm_tables import Alarms
from gateway.storage.anchor_tables import Anchors
from gateway.storage.batch_tables import Batches
from gateway.storage.elsewhere_tables import SealedElsewhere
from gateway.storage.feed_tables import Feeds
from gateway.storage.files import log_path, missing
from gateway.storage.heard_table import HeardTokens
from gateway.storage.key_table import ReplacedKeys, UnsignedEvents
from gateway.storage.notice_table import Notices
from gateway.storage.poll_tables import PollHours
from gateway.storage.record_tables import Epochs, Readings, Records
from gateway.storage.repair_tables import Repairs
from gateway.storage.summary_tables import Summaries
from ledger_client.messages import Sentence

SQLITE_VERSION = sqlite3.sqlite_version
PROGRESS = 10_000  # steps of SQLite's machine between two looks at the time
STEP = 1024  # pages of a copy between two looks at the world
LITTLE = 64 * 1024  # bytes free that are as good as none
WAL_LIMIT = 4 * 1024 * 1024  # bytes that the write-ahead log keeps after a checkpoint
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_DAMAGED_TEXTS = ("Could not decode to UTF-8", "no such table")


def is_database(path: Path) -> bool:
    """Whether a file is a gateway's database, of whatever version."""
    try:
        with closing(sqlite3.connect(_uri(path, "ro", alone=True), uri=True)) as db:
            tables = {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    except sqlite3.Error:
        return False
    return {"records", "batches", "schedules"} <= tables


class Database:
    """The gateway's database. Every method may raise StoreError (DiskFull, Damaged where that is why), never sqlite3's
    own errors."""

    def __init__(self, path: Path, *, read_only: bool = False, at_rest: bool = False) -> None:
        """Open ``path``, make its tables unless ``read_only``. Refuses a database of another version.

        ``at_rest``, when read only: no process has it open, and SQLite is to leave no log and no index beside it.
        """
        self.path = path
        self.epoch: bytes | None = None
        """The epoch that writes through this connection, once it has begun."""
        self._make_tables()
        try:
            if gone := missing(path):
                raise Damaged(Message("database-damaged-at", path=str(path), error=gone))
            there = path.exists()
            if not read_only:
                path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(Message("user-not-owner", path=str(path), error=os_error(error))) from None
        with self._errors():
            if read_only:
                if not there:
                    raise StoreError(Message("database-not-there", path=str(path)))
                alone = (at_rest and not self._log_bytes()) or self._is_fixed()
                self._db = sqlite3.connect(_uri(path, "ro", alone=alone), uri=True, isolation_level=None)
            else:
                self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
            try:
                self._prepare(read_only=read_only)
            except BaseException:
                self._db.close()
                raise

    def _make_tables(self) -> None:
        self.records, self.readings, self.epochs = Records(self), Readings(self), Epochs(self)
        self.repairs, self.alarms, self.summaries = Repairs(self), Alarms(self), Summaries(self)
        self.batches, self.elsewhere = Batches(self, self.repairs), SealedElsewhere(self, self.repairs)
        self.polls = PollHours(self)
        self.heard, self.replaced_keys = HeardTokens(self), ReplacedKeys(self)
        self.unsigned_events = UnsignedEvents(self)
        self.anchors, self.feeds = Anchors(self, self.batches), Feeds(self, self.records)
        self.notices = Notices(self, self.alarms)

    def _prepare(self, *, read_only: bool) -> None:
        self._db.execute("PRAGMA busy_timeout = 5000")
        path, version = str(self.path), self.count("PRAGMA user_version")
        if version > schema.VERSION:
            raise StoreError(Message("database-newer", path=path, theirs=version, ours=schema.VERSION))
        if 0 < version < schema.FIRST:
            raise StoreError(Message("database-before-release", path=path, theirs=version, ours=schema.VERSION))
        if read_only:
            if version == 0:
                raise StoreError(Message("database-not-there", path=path))
            return
        self._begin_log()
        if version < schema.VERSION:
            from sqlite_utils import Database  # 125 ms that a start with a current database need not pay

            schema.migrate(Database(self._db))

    def _is_fixed(self) -> bool:
        """On a card that became read-only SQLite could begin no index; without a log no process has it open."""
        return not log_path(self.path).exists() and not os.access(self.path.parent, os.W_OK)

    def _begin_log(self) -> None:
        # EXTRA: the rollback journal of a new database is gone for good before records are, for it would undo them.
        self._db.execute("PRAGMA synchronous = EXTRA")
        (mode,) = self._db.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":  # SQLite stays in the mode before and raises nothing when the disk fails here
            raise StoreError(Message("database-no-log", path=str(self.path)))
        self._db.execute("PRAGMA synchronous = FULL")
        self._db.execute(f"PRAGMA journal_size_limit = {WAL_LIMIT}")

    def reopen(self) -> None:
        """Replace a connection that may be broken; never makes a new database where the old one is gone."""
        with self._errors():
            self._db.close()
            self._db = sqlite3.connect(_uri(self.path, "rw"), uri=True, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA busy_timeout = 5000")
            self._begin_log()

    def close(self) -> None:
        """Close the connection; what was committed stays."""
        self._db.close()

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            full = code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and self._no_room())
            damaged = code in _DAMAGED or any(sign in str(error) for sign in _DAMAGED_TEXTS)
            path, why = str(self.path), sqlite_error(error)
            if damaged and not full:
                raise Damaged(Message("database-damaged-at", path=path, error=why)) from error
            raise (DiskFull if full else StoreError)(Message("database-error", path=path, error=why)) from error

    def _no_room(self) -> bool:
        """Whether an I/O error (of the log's index, say, which is mapped) is a full disk under another name."""
        try:
            disk = os.statvfs(self.path.parent)
        except OSError:
            return False
        return disk.f_bavail * disk.f_frsize < LITTLE

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing; durable when the block is left. Raises Superseded as ``demand_newest_epoch`` does."""
        with self._errors():
            self._db.execute("BEGIN IMMEDIATE")
            try:
                self.demand_newest_epoch()
                yield
                failpoint("commit")
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise
            failpoint("committed")

    def demand_newest_epoch(self) -> None:
        """Raises Superseded where ``epoch`` is not the newest any more: another gateway writes this database, and only
        one of them may go on."""
        if self.epoch is not None and self.epochs.newest() not in (None, self.epoch):
            raise Superseded(Message("database-superseded", path=str(self.path)))

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything that is read in the block is of one moment, whatever others write or prune meanwhile. They are not
        held up; but the write-ahead log grows until the block is left."""
        with self._errors():
            if self._db.in_transaction:  # the block around this one has its moment already
                yield
                return
            self._db.execute("BEGIN")
            try:
                yield
            finally:
                self._db.execute("ROLLBACK")

    def one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        with self._errors():
            row: tuple[Any, ...] | None = self._db.execute(sql, values).fetchone()
            return row

    def all(self, sql: str, *values: object) -> list[Any]:
        with self._errors():
            return self._db.execute(sql, values).fetchall()

    def walk(self, sql: str, *values: object) -> Iterator[Any]:
        with self._errors():
            yield from self._db.execute(sql, values)

    def run(self, sql: str, *values: object) -> int:
        with self._errors():
            return self._db.execute(sql, values).rowcount

    def run_each(self, sql: str, values: Iterable[tuple[object, ...]]) -> None:
        with self._errors():
            self._db.executemany(sql, values)

    def count(self, sql: str, *values: object) -> int:
        row = self.one(sql, *values)
        return int(row[0]) if row and row[0] is not None else 0

    def totals(self) -> dict[str, int]:
        """Counts for the status: records and readings that are there, records pruned, batches and receipts ever."""
        kinds = self.records.kinds()
        return {
            "records": sum(kinds.values()),
            "readings": kinds.get("reading", 0),
            "pruned": self.records.pruned()[1],
            "batches": self.batches.count(),
            "receipts": self.anchors.count_receipts(),
        }

    # — size, copies, soundness —

    def used_bytes(self) -> int:
        """Bytes of the pages in use and of the write-ahead log; the file itself never shrinks."""
        pages = self.count("PRAGMA page_count") - self.count("PRAGMA freelist_count")
        return pages * self.count("PRAGMA page_size") + self._log_bytes()

    def _log_bytes(self) -> int:
        try:
            return log_path(self.path).stat().st_size
        except OSError:
            return 0

    def backup(self, target: Path, *, progress: Callable[[int, int], None] | None = None, step: int = STEP) -> None:
        """Copy the whole database, as of one moment, into ``target``, ``step`` pages at a time.

        Others may go on writing meanwhile.

        Args:
            target: the file to write.
            progress: called after each step with the pages left and the pages in all.
            step: pages of one step.

        Raises:
            DiskFull: no space left at ``target``.
            StoreError: either file cannot be read or written.
        """
        try:
            copy = sqlite3.connect(target, isolation_level=None)
            try:
                # without a snapshot every commit of the gateway would begin the copy anew, and it would never end
                self._db.execute("BEGIN")
                self._db.execute("SELECT count(*) FROM sqlite_schema").fetchone()
                self._db.backup(copy, pages=step, progress=progress and (lambda _, left, all_: progress(left, all_)))
                copy.execute("PRAGMA journal_mode = DELETE")  # one file, without a log beside it
            finally:
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                copy.close()
        except sqlite3.Error as error:
            full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
            raise (DiskFull if full else StoreError)(
                Message("database-copy-failed", path=str(self.path), target=str(target), error=sqlite_error(error))
            ) from error

    @classmethod
    def look(cls, path: Path, *, check: str | None = None) -> list[Sentence]:
        """What is wrong with a database of any version: that it is none, what its schema lacks, and what ``check``
        (``quick`` or ``integrity``) finds. Reads only. Raises StoreError where it cannot be opened at all."""
        store = cls.__new__(cls)
        store.path = path
        try:
            with store._errors():
                store._db = sqlite3.connect(_uri(path, "ro"), uri=True, isolation_level=None)
            try:
                store.run("PRAGMA busy_timeout = 5000")
                there = {str(name) for (name,) in store.all("SELECT name FROM sqlite_master")}
                if store.count("PRAGMA user_version") == schema.VERSION and (lacking := schema.NAMES - there):
                    return [Message("database-object-missing", name=name) for name in sorted(lacking)]
                return [*store.flaws(whole=check == "integrity")] if check else []
            finally:
                store.close()
        except Damaged as error:
            return [error.sentence]

    def flaws(self, *, most: int = 20, whole: bool = False, within_s: float | None = None) -> list[str]:
        """What SQLite itself finds wrong with the file (PRAGMA quick_check, or integrity_check for the ``whole``);
        nothing when it is sound. Raises Unfinished where ``within_s`` seconds were too few for it."""
        if within_s is not None:
            end = time.monotonic() + within_s
            self._db.set_progress_handler(lambda: time.monotonic() > end, PROGRESS)
        try:
            found = [str(line) for (line,) in self.all(f"PRAGMA {'integrity' if whole else 'quick'}_check({most})")]
        except StoreError as error:
            if getattr(error.__cause__, "sqlite_errorcode", 0) == sqlite3.SQLITE_INTERRUPT:
                limit_s = round(within_s or 0)
                raise Unfinished(Message("database-check-unfinished", path=str(self.path), limit_s=limit_s)) from None
            raise
        finally:
            self._db.set_progress_handler(None, 0)
        return [] if found == ["ok"] else found


def _uri(path: Path, mode: str, *, alone: bool = False) -> str:
    """URI of an existing database, whatever its name holds; ``alone``: no other process has it open or can write it."""
    return f"file:{quote(str(path.resolve()))}?mode={mode}{'&immutable=1' if alone else ''}"
