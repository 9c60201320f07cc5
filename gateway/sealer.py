"""When to seal, and a stretch of records → the signed statement over its Merkle root. Pure: no disk, no clock."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.store import Batch, Row
from ledger_client.cose_key import Signer
from ledger_client.merkle import Tree, leaf_hash
from ledger_client.statement import Range, Statement, sign_statement, statement_id


def due(*, now_ms: int, last_ms: int, records: int, every_ms: int, count: int) -> bool:
    """Is it time: ``count`` records (coverage not counted) wait, or ``every_ms`` went by since ``last_ms``."""
    return records >= count or now_ms - last_ms >= every_ms


def ranges(rows: Iterable[Row]) -> dict[str, tuple[Range, ...]]:
    """Each meter's unbroken stretches of sequence numbers, by epoch (EVIDENCE §4, ``meters``).

    Raises ValueError where a number is left out, doubled or out of order: such a batch must never be sealed.
    """
    ends: dict[tuple[str, bytes], tuple[int, int]] = {}
    for row in rows:
        first, last = ends.get((row.meter, row.epoch), (row.seq, row.seq - 1))
        if row.seq != last + 1:
            raise ValueError(f"record {row.id} follows number {last} of its epoch: the sequence is broken")
        ends[row.meter, row.epoch] = first, row.seq
    found: dict[str, list[Range]] = {}
    for (meter, epoch), (first, last) in sorted(ends.items()):
        found.setdefault(meter, []).append(Range(epoch, first, last))
    return {meter: tuple(stretches) for meter, stretches in found.items()}


def tree_of(rows: Sequence[Row]) -> Tree:
    """The RFC 9162 tree over records in commit order."""
    return Tree([leaf_hash(row.data) for row in rows])


def seal(
    rows: Iterable[Row],
    *,
    first_id: int,
    last_id: int,
    gateway: str,
    before: Batch | None,
    config: bytes,
    software: str,
    now_ms: int,
    signer: Signer,
) -> Batch:
    """The next batch: all ``rows``, which stand at ``first_id`` … ``last_id`` of the commit order.

    Walks them once and keeps of each its hash and its name, so that a large batch need not be held whole.
    """
    leaves: list[bytes] = []
    names: list[Row] = []
    for row in rows:
        leaves.append(leaf_hash(row.data))
        names.append(row._replace(data=b""))
    statement = Statement(
        gateway=gateway,
        batch=before.batch + 1 if before else 0,
        iat=now_ms // 1000,
        prev=before.statement_id if before else None,
        root=Tree(leaves).root,
        size=len(leaves),
        from_ms=min(row.time_ms for row in names),
        to_ms=max(row.time_ms for row in names),
        meters=ranges(names),
        config=config,
        software=software,
    )
    entry = sign_statement(statement, signer)
    return Batch(statement.batch, statement_id(entry), entry, first_id, last_id, len(leaves), now_ms)
