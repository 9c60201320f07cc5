"""A database that does not have what the broker counts as acknowledged."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from control_room.intake.consumer import Ensured
from control_room.intake.own_alarms import DATABASE_OLDER, OwnAlarms
from control_room.intake.storage import SLACK, Storage
from control_room.store.connection import Database, connect
from control_room.store.incoming import receivers
from control_room.trust_file import TrustFile
from tests.support.brokers import postgres
from tests.support.evidence import trust_text

MADE, OTHER = datetime(2026, 12, 1, tzinfo=UTC), datetime(2026, 12, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("created", "acknowledged", "older"),
    [(MADE, 7000, False), (MADE, 7000 + SLACK, False), (MADE, 7001 + SLACK, True), (OTHER, 1 + SLACK, True)],
)
def test_more_is_acknowledged_than_was_ever_stored(
    db: Database, database: postgres.Database, tmp_path: Path, created: datetime, acknowledged: int, older: bool
) -> None:
    trust, now_ms = tmp_path / "trust.toml", time.time_ns() // 1_000_000
    trust.write_text(trust_text())
    for name, delivered in (("one", 5000), ("other", 7000), ("one", 6000)):
        receivers.stored(db, name, MADE, delivered)
    storage = Storage(
        lambda: connect(database.url, database.password_file),
        TrustFile(trust),
        now_ms=lambda: now_ms,
        mark=lambda: None,
    )
    alarms = OwnAlarms()
    ensured = Ensured("c", created, False, False, 0, 0, acknowledged)
    storage.compare(ensured, alarms)
    alarms.write(db, "one", now_ms)
    rows = alarmed(db)
    assert rows == ([(DATABASE_OLDER, "", True)] if older else [])
    receivers.clear_old(db, (DATABASE_OLDER,), now_ms)
    assert alarmed(db) == rows  # until a person has acknowledged it
    db.run("UPDATE alarms SET acked = now()")
    receivers.clear_old(db, (DATABASE_OLDER,), now_ms)
    assert alarmed(db) == [(code, line, False) for code, line, _ in rows]


def alarmed(db: Database) -> list[tuple[object, ...]]:
    """Each alarm: its kind, its line, and whether it is open."""
    return db.all("SELECT code, line, cleared IS NULL FROM alarms")
