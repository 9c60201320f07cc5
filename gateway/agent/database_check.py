"""Database of an epoch: recovered where damaged when it is opened, and checked beside recording where it is large."""

from __future__ import annotations

import logging
from pathlib import Path

from gateway.anchoring.ledger_alarms import Events
from gateway.errors import StoreError
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.process.sd_notify import Manager
from gateway.process.threads import in_thread
from gateway.records import GATEWAY, alarm_event
from gateway.startup.preflight import Ready
from gateway.storage.database import Database
from gateway.storage.recovery.repair import check_large, note_flaws, open_store

log = logging.getLogger("meterseal.agent")

RECOVERY_S, RECOVERY_BYTES_A_S = 600.0, 200_000
"""Seconds that opening a damaged database may take, and bytes for each further second: five times what a small board
needs."""


def open_database(ready: Ready) -> Database:
    """Open the database, and recover it first where it is damaged; the service manager waits. Raises StoreError."""
    path = ready.config.database
    size = path.stat().st_size if path.exists() else 0
    patience_s = RECOVERY_S + size / RECOVERY_BYTES_A_S
    with Manager().patient("opening the database; recovering it first if it is damaged", within_s=patience_s):
        return open_store(ready.config, ready.keys, ready.trust)


async def check_database(path: Path, events: Events) -> None:
    """SQLite's own check of a database that was too large to be kept waiting for before the start."""
    try:
        checked = await in_thread(lambda: check_large(path), "check of the database")
    except StoreError as error:
        log.warning("cannot check the database: %s", error)
        return
    if checked.flaws:
        note_flaws(path, checked.flaws)
        sentence = Message("database-damaged-alarm", path=str(path), flaws=(checked.flaws[0],))
        events.happened(GATEWAY, alarm_event(AlarmCode.DATABASE_DAMAGED, "store", sentence, raised=True))
