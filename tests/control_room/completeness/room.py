"""A control room's database and archive, into which a test lets a gateway's records and statements come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

from control_room.archive.files import Archive
from control_room.completeness.rounds import Rounds
from control_room.judged import Gone, Judged, Status, Stored
from control_room.judging.judge import judge
from control_room.store import asking, schema
from control_room.store.connection import Database, connect
from control_room.store.incoming import portions
from ledger_client.formats import feed_messages
from ledger_client.formats.batch_file import BatchFile
from ledger_client.verification.trust import Trust
from tests.support.audit_batches import trusted
from tests.support.brokers import postgres
from tests.support.evidence import GATEWAY, T0

NOW_MS = (T0 + 3600) * 1000


class Room:
    """``now_ms``: the time here, moved by hand."""

    def __init__(self, db: Database, folder: Path, trust: Trust | None = None) -> None:
        self.db, self.folder = db, folder
        self.rounds = Rounds(db, Archive(folder))
        self.trust = trust or trusted()
        self.now_ms = NOW_MS

    def records(self, rows: Iterable[tuple[int, bytes]], gateway: str = GATEWAY) -> Stored:
        """Records (place, bytes) come in."""
        topic = feed_messages.topic(gateway, feed_messages.RECORDS)
        messages = [feed_messages.encode_records([place], [data]) for place, data in rows]
        return self.store(*(judge(topic, data, self.trust, self.now_ms // 1000) for data in messages))

    def statement(self, entry: bytes, receipts: Sequence[bytes] = (), gateway: str = GATEWAY) -> Stored:
        """A statement comes in."""
        topic = feed_messages.topic(gateway, feed_messages.BATCHES)
        data = feed_messages.encode_batches(entry, receipts)
        return self.store(judge(topic, data, self.trust, self.now_ms // 1000))

    def store(self, *judged: Judged) -> Stored:
        """A portion is stored."""
        return portions.store(self.db, judged, self.now_ms)

    def file(self, path: Path, *, first_place: int = 1, without: Sequence[int] = ()) -> BatchFile:
        """All of a batch file comes in, but for records by their index."""
        batch = BatchFile.open(path)
        self.records((first_place + i, data) for i, data in enumerate(batch.records()) if i not in without)
        self.statement(batch.entry, batch.receipts)
        return batch

    def gone(self, why: Any, ranges: Sequence[tuple[str, bytes, int, int]] = (), batches: Sequence[Any] = ()) -> None:
        """The gateway says that it cannot send these."""
        self.store(Judged(gone=(Gone(GATEWAY, why, tuple(ranges), tuple(batches)),)))

    def status(self, **fields: Any) -> None:
        """The gateway says how it is."""
        self.store(Judged(statuses=(Status(GATEWAY, fields),)))

    def round(self, passed_ms: int = 0) -> int:
        """Rounds until nothing is left to do, so much later; how many batches were newly proven."""
        self.now_ms += passed_ms
        proven = 0
        while True:
            done = self.rounds.round(self.trust, self.now_ms)
            proven += done.proven
            if not done.looked:
                return proven

    def asked(self) -> list[asking.Again]:
        return asking.due(self.db, self.now_ms)

    def batches(self) -> dict[int, tuple[str, str | None, str | None]]:
        """By number: state, code of why, kind of alarm. Of two statements under a number the later one counts."""
        rows = self.db.all("SELECT batch, state, why ->> 'message', alarm FROM batches ORDER BY arrived")
        return {batch: (state, why, alarm) for batch, state, why, alarm in rows}

    def alarms(self) -> set[str]:
        """Kinds of what is raised."""
        return {code for (code,) in self.db.all("SELECT code FROM alarms WHERE cleared IS NULL")}

    def holes(self) -> list[tuple[str | None, str, str | None]]:
        """(meter, numbers, why it cannot be sent) of what is open."""
        return self.db.all(
            "SELECT m.name, coalesce(h.seqs, h.batches)::text, h.gone FROM holes h "
            "LEFT JOIN meters m ON m.id = h.meter WHERE h.closed IS NULL ORDER BY 1, 2"
        )

    def missing(self) -> list[tuple[int, int]]:
        """(first, last) of the records that are missing."""
        return self.db.all(
            "SELECT lower(x), upper(x) - 1 FROM holes, unnest(seqs) AS x WHERE closed IS NULL ORDER BY 1, 2"
        )

    def files(self) -> list[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())


@contextmanager
def room(database: postgres.Database, folder: Path, trust: Trust | None = None) -> Iterator[Room]:
    """A control room with an empty database."""
    with closing(connect(database.url, database.password_file)) as db:
        schema.make(db)
        yield Room(db, folder, trust)
