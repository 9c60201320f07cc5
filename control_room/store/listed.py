"""Lists of what came in as statements, of what is missing, and of what was not believed; newest first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from control_room.store.connection import Database

_BATCHES: Final[LiteralString] = """
SELECT g.id, g.name, b.batch, b.statement_id, b.entry, b.receipts, b.anchors,
    (extract(epoch FROM b.arrived) * 1000)::bigint, b.state, b.why, (extract(epoch FROM b.proven_at) * 1000)::bigint,
    b.file
FROM batches b JOIN gateways g ON g.id = b.gateway
WHERE (%(gateway)s::text IS NULL OR g.name = %(gateway)s)
    AND (b.gateway, b.batch, b.statement_id) < (%(number)s, %(batch)s, %(identifier)s)
ORDER BY b.gateway DESC, b.batch DESC, b.statement_id DESC LIMIT %(limit)s
"""
_HOLES: Final[LiteralString] = """
SELECT h.id, g.name, m.name, e.epoch, lower(h.seqs), upper(h.seqs) - 1, h.batch, lower(h.batches),
    upper(h.batches) - 1, (extract(epoch FROM h.since) * 1000)::bigint, h.asked,
    (extract(epoch FROM h.next_ask) * 1000)::bigint, h.gone, (extract(epoch FROM h.closed) * 1000)::bigint
FROM holes h JOIN gateways g ON g.id = h.gateway LEFT JOIN meters m ON m.id = h.meter
LEFT JOIN epochs e ON e.id = h.epoch
WHERE (%(gateway)s::text IS NULL OR g.name = %(gateway)s) AND (%(before)s::bigint IS NULL OR h.id < %(before)s)
    AND (%(all)s OR h.closed IS NULL)
ORDER BY h.id DESC LIMIT %(limit)s
"""
_REFUSED: Final[LiteralString] = """
SELECT id, (extract(epoch FROM at) * 1000)::bigint, topic, gateway, step, why, kid, size
FROM refused WHERE (%(gateway)s::text IS NULL OR gateway = %(gateway)s)
    AND (%(before)s::bigint IS NULL OR id < %(before)s)
ORDER BY id DESC LIMIT %(limit)s
"""
_FORKS: Final[LiteralString] = """
SELECT f.id, (extract(epoch FROM f.at) * 1000)::bigint, g.name, m.name, e.epoch, f.seq,
    (extract(epoch FROM f.time) * 1000)::bigint, f.hash
FROM forks f JOIN gateways g ON g.id = f.gateway JOIN meters m ON m.id = f.meter JOIN epochs e ON e.id = f.epoch
WHERE (%(gateway)s::text IS NULL OR g.name = %(gateway)s) AND (%(before)s::bigint IS NULL OR f.id < %(before)s)
ORDER BY f.id DESC LIMIT %(limit)s
"""
FIRST: Final = (2**31 - 1, 2**63 - 1, b"\xff" * 33)
"""Before every batch."""


@dataclass(frozen=True, slots=True)
class BatchRow:
    """A batch by its statement; ``why``: what it lacks, as a message; ``file``: below the archive. Times: Unix ms."""

    gateway_id: int
    gateway: str
    batch: int
    statement_id: bytes
    entry: bytes
    receipts: Sequence[bytes]
    anchors: Sequence[bytes]
    arrived_ms: int
    state: str
    why: Mapping[str, Any] | None
    proven_ms: int | None
    file: str | None

    @property
    def place(self) -> tuple[int, int, bytes]:
        """Where it stands in the list of all of them."""
        return self.gateway_id, self.batch, self.statement_id


@dataclass(frozen=True, slots=True)
class HoleRow:
    """What a statement says must be there, and is not: records ``first`` … ``last`` of ``meter`` and ``epoch``, which
    ``batch`` has, or the batches ``first_batch`` … ``last_batch``. ``gone``: why the gateway cannot send it, as it
    says; ``closed_ms``: since when it is there."""

    id: int
    gateway: str
    meter: str | None
    epoch: bytes | None
    first: int | None
    last: int | None
    batch: int | None
    first_batch: int | None
    last_batch: int | None
    since_ms: int
    asked: int
    next_ask_ms: int
    gone: str | None
    closed_ms: int | None


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """What was not believed: in which step of the verification, and why, as a message. ``kid``: of what was refused for
    its key alone. ``size``: bytes of the message."""

    id: int
    at_ms: int
    topic: str
    gateway: str
    step: int
    why: Mapping[str, Any]
    kid: bytes | None
    size: int


@dataclass(frozen=True, slots=True)
class ForkRow:
    """Other bytes under the number of a record that was there."""

    id: int
    at_ms: int
    gateway: str
    meter: str
    epoch: bytes
    seq: int
    time_ms: int
    hash: bytes


def batches(
    db: Database, limit: int, *, gateway: str | None = None, before: tuple[int, int, bytes] = FIRST
) -> list[BatchRow]:
    """Batches, of each gateway the newest first."""
    place = dict(zip(("number", "batch", "identifier"), before, strict=True))
    rows = db.named(_BATCHES, {"gateway": gateway, "limit": limit} | place)
    return [BatchRow(*row) for row in rows]


def holes(
    db: Database, limit: int, *, gateway: str | None = None, before: int | None = None, closed: bool = False
) -> list[HoleRow]:
    """Open holes, the newest first; with ``closed`` those that are filled, too."""
    rows = db.named(_HOLES, {"gateway": gateway, "before": before, "all": closed, "limit": limit})
    return [HoleRow(*row) for row in rows]


def refused(db: Database, limit: int, *, gateway: str | None = None, before: int | None = None) -> list[RefusedRow]:
    """What was refused, of those that are kept, the newest first."""
    rows = db.named(_REFUSED, {"gateway": gateway, "before": before, "limit": limit})
    return [RefusedRow(*row) for row in rows]


def forks(db: Database, limit: int, *, gateway: str | None = None, before: int | None = None) -> list[ForkRow]:
    """Forked records, the newest first."""
    return [ForkRow(*row) for row in db.named(_FORKS, {"gateway": gateway, "before": before, "limit": limit})]
