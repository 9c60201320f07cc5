"""Facts that pass between the rooms: what judging made of one message of a gateway, and what storing made of that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ledger_client.formats.bundle import Locator
from ledger_client.formats.record import Body
from ledger_client.formats.statement import SignedStatement
from ledger_client.messages import Message


class JudgedRecord(NamedTuple):
    """A record of a gateway that it may sign: form, owner, key, validity and signature hold.

    ``meter`` is "gateway" for the gateway's own events; ``time_ms`` the record's own time (Unix ms); ``kind`` one of
    reading, coverage and event; ``place`` its position among the gateway's records, which is that of the leaves of its
    batch (None: it came without one); ``hash`` the SHA-256 of ``data``; ``clock`` the letter of the gateway's clock
    in it.
    """

    gateway: str
    meter: str
    epoch: bytes
    seq: int
    time_ms: int
    kind: str
    place: int | None
    hash: bytes
    data: bytes
    body: Body
    clock: str | None = None


class JudgedStatement(NamedTuple):
    """A statement by the statement key of its gateway. ``receipts`` and ``anchors`` as they came, not yet judged."""

    gateway: str
    signed: SignedStatement
    receipts: tuple[bytes, ...]
    anchors: tuple[Locator, ...]


class Gone(NamedTuple):
    """What a gateway cannot send again, as it says itself: a claim, which closes no hole.

    ``why``: pruned, lost, unknown; ``ranges``: (meter, epoch, first, last); ``batches``: (first, last), ends included.
    """

    gateway: str
    why: str
    ranges: tuple[tuple[str, bytes, int, int], ...]
    batches: tuple[tuple[int, int], ...]


class Status(NamedTuple):
    """What a gateway says of itself in its retained status: claims, never proof."""

    gateway: str
    fields: Mapping[str, Any]


class Refusal(NamedTuple):
    """What was not believed, and why.

    ``data`` is a message that may be judged again under ``topic``: the whole one, or of a message of several records
    one with this record alone. ``gateway``: that of the topic, ``""`` where it names none. ``step``: one of
    ``ledger_client.errors.STEPS``. ``kid``: of what was refused because the trust file has no such key, or not at that
    time; another trust file may accept it.
    """

    topic: str
    gateway: str
    step: int
    why: Message
    data: bytes
    kid: bytes | None


class Judged(NamedTuple):
    """All that one message brought."""

    records: tuple[JudgedRecord, ...] = ()
    statements: tuple[JudgedStatement, ...] = ()
    gone: tuple[Gone, ...] = ()
    statuses: tuple[Status, ...] = ()
    refusals: tuple[Refusal, ...] = ()


class Stored(NamedTuple):
    """What a portion came to: records that are new, that were there already, that are other bytes under a number that
    was there already, and what was refused."""

    new: int = 0
    repeated: int = 0
    forked: int = 0
    refused: int = 0
