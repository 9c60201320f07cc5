"""One record by its name, and the batch whose statement counts it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, LiteralString

from control_room.store.connection import Database
from control_room.store.listed import BatchRow
from ledger_client.formats.statement import parse_statement

_RECORD: Final[LiteralString] = """
SELECT m.id, e.id, r.seqs @> %s::bigint
FROM gateways g JOIN meters m ON m.gateway = g.id AND m.name = %s
JOIN epochs e ON e.gateway = g.id AND e.epoch = %s
LEFT JOIN ranges r ON r.meter = m.id AND r.epoch = e.id
WHERE g.name = %s
"""
_BYTES: Final[LiteralString] = """
SELECT (extract(epoch FROM time) * 1000)::bigint, kind, bytes FROM records
WHERE meter = %s AND epoch = %s AND seq = %s
"""
_BEFORE: Final[LiteralString] = """
SELECT (extract(epoch FROM to_at) * 1000)::bigint FROM coverage
WHERE meter = %s AND epoch = %s AND seq < %s ORDER BY seq DESC LIMIT 1
"""
_BEHIND: Final[LiteralString] = """
SELECT (extract(epoch FROM to_at) * 1000)::bigint FROM coverage
WHERE meter = %s AND epoch = %s AND seq >= %s ORDER BY seq LIMIT 1
"""
_HOLDING: Final[LiteralString] = """
SELECT g.id, g.name, b.batch, b.statement_id, b.entry, b.receipts, b.anchors,
    (extract(epoch FROM b.arrived) * 1000)::bigint, b.state, b.why, (extract(epoch FROM b.proven_at) * 1000)::bigint,
    b.file
FROM gateways g JOIN batches b ON b.gateway = g.id
WHERE g.name = %s AND b.to_at >= to_timestamp(%s / 1000.0) AND b.from_at <= to_timestamp(%s / 1000.0)
ORDER BY b.to_at LIMIT 1000
"""
SLACK_MS: Final = 3_600_000
"""So much may readings that came late to their gateway be older than the coverage before them in the sequence."""
FOR_EVER_MS: Final = 1 << 45


@dataclass(frozen=True, slots=True)
class Found:
    """A record that came in. ``data``: its signed bytes, None where they are in the archive alone; ``batch``: the batch
    whose statement counts it, None: no statement that came in does."""

    time_ms: int | None
    data: bytes | None
    batch: BatchRow | None


def record(db: Database, gateway: str, meter: str, epoch: bytes, seq: int) -> Found | None:
    """A record by its name; None: it never came in."""
    row = db.one(_RECORD, seq, meter, epoch, gateway)
    if row is None or not row[2]:
        return None
    found = db.one(_BYTES, row[0], row[1], seq)
    if found is not None:
        time_ms = int(found[0])
        return Found(time_ms, bytes(found[2]), _holding(db, gateway, (time_ms, time_ms), meter, epoch, seq))
    before, behind = db.one(_BEFORE, row[0], row[1], seq), db.one(_BEHIND, row[0], row[1], seq)
    within = before[0] - SLACK_MS if before else 0, behind[0] + SLACK_MS if behind else FOR_EVER_MS
    return Found(None, None, _holding(db, gateway, within, meter, epoch, seq))


def _holding(
    db: Database, gateway: str, within: tuple[int, int], meter: str, epoch: bytes, seq: int
) -> BatchRow | None:
    """Of several the one that is proven, else the newest."""
    candidates = (BatchRow(*row) for row in db.all(_HOLDING, gateway, *within))
    holding = [one for one in candidates if _counts(one.entry, meter, epoch, seq)]
    return min(reversed(holding), key=lambda one: one.state != "proven", default=None)


def _counts(entry: bytes, meter: str, epoch: bytes, seq: int) -> bool:
    ranges = parse_statement(entry).statement.meters.get(meter, ())
    return any(one.epoch == epoch and one.first <= seq <= one.last for one in ranges)
