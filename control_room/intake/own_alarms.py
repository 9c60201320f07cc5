"""Alarms of the control room itself, each of one receiver: set on any thread, written by one.

A condition is raised and cleared. What only happened, such as a consumer that was made again, stays raised until a
person has acknowledged it.
"""

from __future__ import annotations

import threading
from typing import Final

from control_room.store.connection import Database
from control_room.store.incoming import receivers
from control_room.store.raised import set_raised
from ledger_client.messages import Message

INTAKE_AWAY: Final = "intake-away"
TRUST_BROKEN: Final = "trust-broken"
TRUST_END: Final = "trust-end"
NOT_STORED: Final = "portion-not-stored"
TASK_FAILED: Final = "task-failed"
CONDITIONS: Final = (INTAKE_AWAY, NOT_STORED, TASK_FAILED, TRUST_BROKEN, TRUST_END)

CONSUMER_MADE: Final = "consumer-made-again"
CONSUMER_MENDED: Final = "consumer-mended"
DATABASE_OLDER: Final = "database-older"
EVENTS: Final = (CONSUMER_MADE, CONSUMER_MENDED, DATABASE_OLDER)


class OwnAlarms:
    """What is wrong with this receiver now, and what happened; ``write`` on one thread, all else on any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._active: dict[str, Message] = {}
        self._happened: dict[str, Message] = {}
        self._written: dict[str, Message] | None = None

    def set(self, kind: str, message: Message | None) -> None:
        """The condition is true, with these facts, or no longer (None)."""
        with self._lock:
            if message is None:
                self._active.pop(kind, None)
            else:
                self._active[kind] = message

    def happened(self, kind: str, message: Message) -> None:
        """One of ``EVENTS``."""
        with self._lock:
            self._happened[kind] = message

    @property
    def active(self) -> dict[str, Message]:
        """The conditions that are true, by kind."""
        with self._lock:
            return dict(self._active)

    def write(self, db: Database, receiver: str, now_ms: int) -> None:
        """Have the table say what is true; nothing is written where nothing changed. Raises DatabaseError."""
        with self._lock:
            active, happened = dict(self._active), dict(self._happened)
        for kind, message in happened.items():
            receivers.raise_event(db, kind, message, now_ms)
        with self._lock:
            self._happened = {k: m for k, m in self._happened.items() if happened.get(k) is not m}
        if active != self._written:
            set_raised(db, None, CONDITIONS, active, now_ms, line=receiver)
            self._written = active

    def forget_written(self) -> None:
        """The connection is another one: the table is written anew."""
        self._written = None
