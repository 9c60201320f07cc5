"""Rows of the database as plain facts, and the query interface that the table classes share.

The modules of tables hold the SQL, ``database`` owns the connection: only there stands sqlite3. What several tables
select is named here.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.messages.languages import Stored
from gateway.messages.message import Message
from gateway.records import STOP
from ledger_client.formats.record import Event, parse_record
from ledger_client.messages import Sentence
from ledger_client.recording_grid import Grid

RECORD_COLUMNS = "meter, epoch, seq, kind, time_ms, data"
"""In the order of ``StoredRecord``."""
BATCH_COLUMNS = "batch, statement_id, entry, first_id, last_id, size, sealed_ms"
"""In the order of ``Batch``."""
SEALED_TO = "(SELECT coalesce(max(last_id), 0) FROM batches)"
"""The last place of the commit order that a batch holds."""


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
    """What one ledger has done with one batch: queued → submitted → settled, or refused; on a chain submitted →
    included → final → settled. ``receipt`` is what settled it: a receipt, or the place on the chain. ``detail``: why
    it is refused, in English; ``message``: the same where it is one."""

    batch: int
    ledger: str
    state: str
    receipt: bytes | None
    detail: str | None
    updated_ms: int
    message: Message | None = None

    @property
    def sentence(self) -> Sentence:
        """The message, or the detail."""
        return self.message or self.detail or ""

    @property
    def stored(self) -> Stored:
        """The detail in every language."""
        return Stored(self.detail or "", self.message)


@dataclass(frozen=True, slots=True)
class Known:
    """The last statement that a ledger has and this database does not hold: the next batch goes on from there.

    ``reason`` is what the next statement says under ``resume``.
    """

    batch: int
    statement_id: bytes
    ledger: str
    reason: str
    found_ms: int


@dataclass(frozen=True, slots=True)
class Conflict:
    """A ledger holds another statement under a number that this database has sealed: two gateways bear one name."""

    batch: int
    ledger: str
    statement_id: bytes
    found_ms: int


@dataclass(frozen=True, slots=True)
class Repair:
    """A damaged database was set aside as ``file``, and what could be read was recovered.

    ``lost`` records and ``lost_batches`` are known to be missing; ``last_id`` and ``last_batch`` are the highest place
    and number that are known to have been used, ``sealed_to`` the last place of a lost batch.
    """

    id: int
    repaired_ms: int
    file: str
    why: str
    records: int
    lost: int
    batches: int
    lost_batches: int
    last_id: int
    last_batch: int
    sealed_to: int


@dataclass(frozen=True, slots=True)
class Tail:
    """How a meter's story stood when the process before this one ended.

    ``last_data`` is its newest record; ``covered_to_ms`` the end of its coverage (None: it never had any);
    ``recorded_since`` the readings after that; ``grids`` those by which polls were due from that end on, oldest first.
    ``moments_ms``: of a series, the times of those readings that are not LATE; None: it is none.
    """

    last_data: bytes
    covered_to_ms: int | None
    recorded_since: int
    grids: Sequence[Grid]
    moments_ms: Sequence[int] | None = None


def asked_until_ms(tail: Tail | None, now_ms: int, *, repaired: bool) -> int | None:
    """Until when a gateway that is gone may have asked meters, by its last record: its stop, or now if it was killed;
    None: there never was one. ``repaired``: its stop need not be the last event that it recorded."""
    if tail is None:
        return None
    stopped = ended_in_order(tail) and not repaired
    return min(parse_record(tail.last_data).time_ms + 999, now_ms) if stopped else now_ms  # in whole seconds


def ended_in_order(tail: Tail | None) -> bool:
    """The last record of a gateway is the event that it stops."""
    body = None if tail is None else parse_record(tail.last_data).body
    return isinstance(body, Event) and body.name == STOP


def message_column(sentence: Sentence | None) -> str | None:
    """The column ``message`` of a sentence; None for a text, or a message that is too large to be kept as one."""
    fields = sentence.to_fields() if isinstance(sentence, Message) else {}
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")) if fields else None


def message_in(column: str | None) -> Message | None:
    """The message of such a column."""
    try:
        return Message.from_fields(json.loads(column)) if column else None
    except ValueError:
        return None


class Connection(Protocol):
    """The calls that every table is asked with; they raise StoreError, never the database's own errors.

    One connection belongs to one thread at a time; ``snapshot`` and ``transaction`` are the database's.
    """

    def one(self, sql: str, *values: object) -> tuple[Any, ...] | None:
        """The first row of an answer."""
        ...

    def all(self, sql: str, *values: object) -> list[Any]:
        """Every row of an answer."""
        ...

    def walk(self, sql: str, *values: object) -> Iterator[Any]:
        """The rows of an answer one by one, for one that need not be held whole."""
        ...

    def run(self, sql: str, *values: object) -> int:
        """Change something; gives the number of rows that changed. Call within ``transaction()``."""
        ...

    def run_each(self, sql: str, values: Iterable[tuple[object, ...]]) -> None:
        """The same for every tuple of ``values``."""
        ...

    def count(self, sql: str, *values: object) -> int:
        """The one number of an answer; 0 where it is NULL."""
        ...
