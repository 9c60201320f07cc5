"""Heard messages: which of those that senders sent unasked are recorded, and which wait for the disk.

A message is acknowledged to its sender once the news of its commit bears its token, never before; a message that is
recorded already is not recorded again. The database itself holds no token twice.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.records import DATA_CHANGED, MeterEvent, SignedRecord, Token
from gateway.storage.database import Database
from ledger_client.formats.record import Event

log = logging.getLogger("meterseal.recorder")

CHANGED_EVERY_MS = 3_600_000
"""Least time between two events of one meter about a message that was changed."""


Standing = Literal["new", "waiting", "recorded", "unknown"]
"""What has become of a message that is heard: it is new, and to be taken; it waits for its commit, whose news will bear
its token; it is recorded, and may be acknowledged again; or the database cannot be read now, and it must neither be
taken nor acknowledged."""


class Heard:
    """The tokens on their way to the disk and those that it holds. ``standing`` and ``expect`` are the event loop's,
    the rest is the writer thread's."""

    def __init__(self, store: Database, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._reader = _Reader(store.path)
        self._waiting: set[tuple[str, Token]] = set()
        self._changed_ms: dict[str, int] = {}

    # — event loop —

    def standing(self, meter: str, token: Token) -> Standing:
        """What is known of a message of this meter."""
        if (meter, token) in self._waiting:  # it is taken out only once the database holds it
            return "waiting"
        try:
            return "recorded" if self._reader.holds(meter, token) else "new"
        except StoreError as error:
            log.warning("cannot look up whether a message of %s is recorded: %s", meter, error)
            return "unknown"

    def expect(self, meter: str, token: Token) -> None:
        """A message is handed to the writer."""
        self._waiting.add((meter, token))

    def close(self) -> None:
        """Close the connection of the event loop."""
        self._reader.close()

    # — writer thread —

    def change(self, meter: str, token: Token, pending: Iterable[SignedRecord]) -> MeterEvent | None:
        """The event that a message with this label and part is recorded, or pending, with other content. None: there is
        none, or this meter had such an event within the last hour. Raises StoreError."""
        now_ms = self._clock.schedule_ms()
        if meter in self._changed_ms and now_ms - self._changed_ms[meter] < CHANGED_EVERY_MS:
            return None
        label = meter, *token[:2]
        there = any(one.token is not None and (one.row.meter, *one.token[:2]) == label for one in pending)
        if not there and not self._store.heard.has_label(*label):
            return None
        self._changed_ms[meter] = now_ms
        return MeterEvent(meter, Event(DATA_CHANGED, {"label": token.label, "part": token.part}))

    def write(self, signed: Sequence[SignedRecord]) -> None:
        """Keep the tokens of records that are about to be appended. Call within the ``transaction()`` that appends
        them, before they are."""
        if any(one.token is not None for one in signed):
            places = enumerate(signed, self._store.records.last_place() + 1)
            self._store.heard.keep((place, one.row.meter, one.token) for place, one in places if one.token is not None)

    def ended(self, meter: str, token: Token | None) -> None:
        """A message is durable, or will never be."""
        if token is not None:
            self._waiting.discard((meter, token))


class _Reader:
    """The event loop's own connection, opened when it is first needed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._store: Database | None = None

    def holds(self, meter: str, token: Token) -> bool:
        try:
            if self._store is None:
                self._store = Database(self._path, read_only=True)
            return self._store.heard.place(meter, token) is not None
        except StoreError:
            self.close()  # a connection that failed may stay broken when the disk is back
            raise

    def close(self) -> None:
        if self._store is not None:
            self._store.close()
            self._store = None
