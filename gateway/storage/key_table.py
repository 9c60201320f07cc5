"""Tables of keys: those that a ``keys`` event has replaced, for ever, and the events that wait for the statement key.

The gateway signs nothing with a replaced key again. A row is written by the transaction of its event. Where the rows
are lost or older than the table, the events have them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from gateway.records import GATEWAY, KEYS, MeterEvent
from gateway.storage.rows import Connection
from ledger_client.errors import LedgerClientError
from ledger_client.formats import cbor
from ledger_client.formats.record import Event, parse_record

NOTE_REPLACED: Final = "INSERT OR IGNORE INTO replaced_keys (owner, kid, replaced_ms) VALUES (?, ?, ?)"

ReplacedKey = tuple[str, bytes, int]
"""Its owner (a meter, or ``gateway`` for the statement key), its thumbprint, and when it was replaced, in ms."""


class ReplacedKeys:
    """What changes something is to be called within ``transaction()``."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def note(self, replaced: Iterable[ReplacedKey]) -> None:
        """Keep these; of one that is there already the first time stays."""
        self._sql.run_each(NOTE_REPLACED, replaced)

    def all(self) -> list[ReplacedKey]:
        """Every replaced key, the first one first."""
        rows = self._sql.all("SELECT owner, kid, replaced_ms FROM replaced_keys ORDER BY replaced_ms, owner, kid")
        return [(str(owner), bytes(kid), int(replaced_ms)) for owner, kid, replaced_ms in rows]

    def last_used(self, owner: str) -> bytes | None:
        """The thumbprint of the key of the owner's newest record; None: there is no record."""
        row = self._sql.one("SELECT data FROM records WHERE meter = ? ORDER BY id DESC LIMIT 1", owner)
        return parse_record(bytes(row[0])).kid if row else None

    def note_from_events(self) -> None:
        """Keep what the ``keys`` events among the records say, as after a recovery."""
        events = self._sql.walk(
            "SELECT time_ms, data FROM records WHERE meter = ? AND kind = 'event' ORDER BY id", GATEWAY
        )
        self.note(list(replaced_by((int(time_ms), bytes(data)) for time_ms, data in events)))


class UnsignedEvents:
    """Events of the gateway that wait for its key, in the order in which they are to be signed. No evidence: nothing
    proves them, so a recovery leaves them out."""

    def __init__(self, sql: Connection) -> None:
        self._sql = sql

    def all(self) -> list[MeterEvent]:
        """Every event that waits, the first one first."""
        rows = self._sql.all("SELECT event, data FROM unsigned_events ORDER BY id")
        return [MeterEvent(GATEWAY, Event(str(name), cbor.decode(bytes(data)))) for name, data in rows]

    def keep(self, before: Sequence[MeterEvent], waiting: Sequence[MeterEvent]) -> None:
        """These wait now, where ``before`` waited. With a commit."""
        known = len(before)
        if list(waiting[:known]) != list(before):
            self._sql.run("DELETE FROM unsigned_events")
            known = 0
        rows = ((item.event.name, cbor.encode(dict(item.event.fields))) for item in waiting[known:])
        self._sql.run_each("INSERT INTO unsigned_events (event, data) VALUES (?, ?)", rows)


def replaced_by(events: Iterable[tuple[int, bytes]]) -> Iterator[ReplacedKey]:
    """What (time in ms, record) of the gateway's events say of replaced keys."""
    for time_ms, data in events:
        if KEYS.encode() not in data:
            continue
        try:
            body = parse_record(data).body
        except LedgerClientError:  # who verifies its batch will see
            continue
        if isinstance(body, Event) and (key := replaced_in(body, time_ms)) is not None:
            yield key


def replaced_in(event: Event, time_ms: int) -> ReplacedKey | None:
    """The key that an event of this time replaces; None: it replaces none."""
    owner, before = event.fields.get("owner"), event.fields.get("before")
    if event.name != KEYS or not isinstance(owner, str) or not isinstance(before, bytes):
        return None
    return owner, before, time_ms
