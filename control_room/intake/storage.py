"""What the judging thread does with messages: judge, store a portion, judge again what was refused for its key."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Final

from control_room.errors import DatabaseError
from control_room.intake import own_alarms
from control_room.intake.consumer import Ensured
from control_room.intake.own_alarms import OwnAlarms
from control_room.intake.worker import Taken
from control_room.judged import Judged, Stored
from control_room.judging.judge import judge
from control_room.store import schema
from control_room.store.connection import Database
from control_room.store.incoming import portions, receivers, refused_again
from control_room.trust_file import TrustFile
from gateway.messages.message import Message

log = logging.getLogger("meterseal.control")

Mark = Callable[[], "tuple[str, datetime] | None"]
CHUNK: Final = 50
"""Messages that are judged again between two portions."""
AGAIN_MS: Final = 10_000
SLACK: Final = 4096
"""Deliveries that may be acknowledged under a higher number than they were stored: delivered again meanwhile."""


class Storage:
    """Used on the judging thread alone, but for ``compare`` and ``records``."""

    def __init__(
        self, connect: Callable[[], Database], trust: TrustFile, *, now_ms: Callable[[], int], mark: Mark
    ) -> None:
        """``mark``: the receiver's name and when its consumer was made, once both are known."""
        self._connect, self._trust, self._now_ms, self._mark = connect, trust, now_ms, mark
        self._db: Database | None = None
        self._version = -1
        self._passes: list[int] = []
        self._cursor: int | None = None
        self.records = 0
        """New records since the start."""

    def judge(self, topic: str, data: bytes) -> Judged:
        """What a message brings by the trust in force. Never raises."""
        return judge(topic, data, self._trust.trust, self._now_ms() // 1000)

    def store(self, portion: Sequence[Taken]) -> Stored:
        """Store a portion in one transaction. Raises DatabaseError."""
        with self._using() as db:
            mark, latest = self._mark(), max(taken.delivered.delivery for taken in portion)

            def note() -> None:
                if mark is not None:
                    receivers.stored(db, *mark, latest)

            stored = portions.store(db, [taken.judged for taken in portion], self._now_ms(), note)
        self.records += stored.new
        return stored

    def judge_again(self) -> bool:
        """After another trust file: judge some of what was refused for its key; whether there is more of it.

        The first pass follows the change. The second one comes when every receiver that reads the same file goes by it.
        Raises DatabaseError.
        """
        now_ms = self._now_ms()
        if self._trust.version != self._version:
            self._version, self._passes = self._trust.version, [now_ms, now_ms + AGAIN_MS]
        if self._cursor is None and self._passes and now_ms >= self._passes[0]:
            self._cursor = 0
            del self._passes[0]
        if self._cursor is None:
            return False
        with self._using() as db:
            self._cursor = self._judge_some(db, self._cursor, now_ms)
        return self._cursor is not None

    def _judge_some(self, db: Database, after: int, now_ms: int) -> int | None:
        rows = refused_again.for_key(db, after, CHUNK)
        accepted: dict[int, Judged] = {}
        for row in rows:
            judged = self.judge(row.topic, row.data)
            if not judged.refusals:
                accepted[row.id] = judged
            elif judged.refusals[0].kid is None:
                refused_again.otherwise(db, row.id, judged.refusals[0])
        if accepted:
            self.records += portions.store(db, list(accepted.values()), now_ms).new
            refused_again.forget(db, list(accepted))  # after the commit: stored once more it would be repeated
            log.info("%d messages that were refused for their key hold by another trust file", len(accepted))
        return rows[-1].id if len(rows) == CHUNK else None

    def identity(self) -> str:
        """Which database this is; on a connection of its own. Raises DatabaseError."""
        db = self._connect()
        try:
            schema.demand(db)
            return schema.identity(db)
        finally:
            db.close()

    def compare(self, ensured: Ensured, alarms: OwnAlarms) -> None:
        """Whether the database has what the consumer counts as acknowledged; on a connection of its own."""
        try:
            db = self._connect()
            try:
                stored = receivers.latest(db, ensured.created)
            finally:
                db.close()
        except DatabaseError as error:
            log.warning("the database is not compared with the consumer: %s", error)
            return
        if ensured.acknowledged > (stored or 0) + SLACK:
            what = Message("control-database-older", acknowledged_n=ensured.acknowledged, stored_n=stored or 0)
            log.error("%s", what)
            alarms.happened(own_alarms.DATABASE_OLDER, what)

    @contextmanager
    def _using(self) -> Iterator[Database]:
        """The connection; after an error another one, unless it still works."""
        if self._db is None:
            db = self._connect()
            try:
                schema.demand(db)
            except DatabaseError:
                db.close()
                raise
            self._db = db
        try:
            yield self._db
        except BaseException as error:
            if self._db.broken or not isinstance(error, DatabaseError):
                self._db.close()
                self._db = None
            raise
