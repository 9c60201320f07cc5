"""Sealing: when a batch is due, and the signed statement over the Merkle root of its records. In the writer thread."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from gateway.process.failpoints import failpoint
from gateway.records import CONFIGURATION, GATEWAY, StoredRecord
from gateway.storage.database import Database
from gateway.storage.repair_tables import Hole
from gateway.storage.rows import Batch, Known, Repair
from ledger_client.errors import LedgerClientError
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.statement import Range, Statement, parse_statement, sign_statement, statement_id

if TYPE_CHECKING:  # `status` reads statements, and needs no key
    from ledger_client.formats.cose_key import Signer

LEFT_OUT = "left out: records that are lost here, or that another batch may hold"


def due(*, now_ms: int, last_ms: int, records: int, every_ms: int, count: int) -> bool:
    """Is it time: ``count`` records (coverage not counted) wait, or ``every_ms`` went by since ``last_ms``."""
    return records >= count or now_ms - last_ms >= every_ms


def ranges(rows: Iterable[StoredRecord], lost: Collection[Hole] = ()) -> dict[str, tuple[Range, ...]]:
    """Each meter's unbroken stretches of sequence numbers, by epoch (EVIDENCE §4, ``meters``).

    Raises ValueError where a number is left out that is not noted as ``lost``, doubled or out of order: such a batch
    must never be sealed.
    """
    ends: dict[tuple[str, bytes], list[tuple[int, int]]] = {}
    for row in rows:
        stretches = ends.setdefault((row.meter, row.epoch), [(row.seq, row.seq - 1)])
        first, last = stretches[-1]
        if row.seq == last + 1:
            stretches[-1] = first, row.seq
        elif (row.meter, row.epoch, last + 1, row.seq - 1) in lost:
            stretches.append((row.seq, row.seq))
        else:
            raise ValueError(f"record {row.id} follows number {last} of its epoch: the sequence is broken")
    found: dict[str, list[Range]] = {}
    for (meter, epoch), stretches in sorted(ends.items()):
        found.setdefault(meter, []).extend(Range(epoch, first, last) for first, last in stretches)
    return {meter: tuple(stretches) for meter, stretches in found.items()}


def leaves_out(found: Mapping[str, Sequence[Range]], apart: Callable[[str, bytes, int], bool]) -> bool:
    """Whether a batch of these ranges leaves out numbers of an epoch: between two of them, or in front of one where
    ``apart`` says so of (meter, epoch, number). A ledger takes it under ``resume`` only."""
    for meter, stretches in found.items():
        if any(a.epoch == b.epoch and a.last + 1 < b.first for a, b in pairwise(stretches)):
            return True
        if any(stretch.first and apart(meter, stretch.epoch, stretch.first - 1) for stretch in stretches):
            return True
    return False


def tree_of(rows: Sequence[StoredRecord]) -> Tree:
    """The RFC 9162 tree over records in commit order."""
    return Tree([leaf_hash(row.data) for row in rows])


class Before(NamedTuple):
    """The statement that the next one follows: its number and id, and why they are not this database's own."""

    batch: int
    statement_id: bytes | None
    resume: str | None = None

    @classmethod
    def of(cls, last: Batch | None, known: Known | None) -> Before:
        """The later of the last batch that was sealed here and the last statement that a ledger has."""
        if known is not None and (last is None or known.batch > last.batch):
            return cls(known.batch, known.statement_id, known.reason)
        return cls(last.batch, last.statement_id) if last is not None else cls(-1, None)

    def after(self, repairs: Sequence[Repair]) -> Before:
        """No number is used again whose batch was lost with a damaged database: whoever holds it would refuse."""
        used = max((repair.last_batch for repair in repairs), default=-1)
        if used <= self.batch or self.statement_id is None:
            return self
        lost = f"batches {self.batch + 1} to {used} were lost with a damaged database"
        return Before(used, self.statement_id, f"{self.resume}; {lost}" if self.resume else lost)


def seal(
    rows: Iterable[StoredRecord],
    *,
    first_id: int,
    last_id: int,
    gateway: str,
    before: Before,
    config: bytes,
    software: str,
    now_ms: int,
    signer: Signer,
    lost: Sequence[Hole] = (),
    apart: Callable[[str, bytes, int], bool] | None = None,
) -> Batch | None:
    """The next batch; None for no rows.

    Walks the rows once and keeps of each its hash and its name, so that a large batch need not be held whole.

    Args:
        rows: all records of the batch, in commit order.
        first_id: the first place of its stretch of the commit order.
        last_id: the last one.
        gateway: id of the gateway.
        before: the statement that this one follows.
        config: fingerprint by which the first rows were recorded; a ``configuration`` among the rows replaces it.
        software: name and version, as the statement has them.
        now_ms: time of sealing, Unix time in ms.
        signer: the statement key.
        lost: numbers that a repair has noted as lost.
        apart: whether a record is in no batch of this database although later ones are; None: no record is.

    Raises:
        ValueError: a number is left out that is not in ``lost``, doubled or out of order.
    """
    leaves: list[bytes] = []
    names: list[StoredRecord] = []
    for row in rows:
        leaves.append(leaf_hash(row.data))
        config = _configured(row) or config
        names.append(StoredRecord(row.meter, row.epoch, row.seq, row.kind, row.time_ms, b""))
    if not leaves:
        return None
    meters, resume = ranges(names, frozenset(lost)), before.resume
    if resume is None and apart is not None and leaves_out(meters, apart):
        resume = LEFT_OUT
    statement = Statement(
        gateway=gateway,
        batch=before.batch + 1,
        iat=now_ms // 1000,
        prev=before.statement_id,
        root=Tree(leaves).root,
        size=len(leaves),
        from_ms=min(row.time_ms for row in names),
        to_ms=max(row.time_ms for row in names),
        meters=meters,
        config=config,
        software=software,
        resume=resume,
    )
    entry = sign_statement(statement, signer)
    return Batch(statement.batch, statement_id(entry), entry, first_id, last_id, len(leaves), now_ms)


def _configured(row: StoredRecord) -> bytes | None:
    """The fingerprint in a ``configuration`` of the gateway; None: it is another record."""
    if row.meter != GATEWAY or CONFIGURATION.encode() not in row.data:
        return None
    try:
        body = parse_record(row.data).body
    except LedgerClientError:  # it is damaged; who verifies the batch will see
        return None
    return body.fields["config"] if isinstance(body, Event) and body.name == CONFIGURATION else None


@dataclass(frozen=True, slots=True)
class Issuer:
    """The issuer: what statements have of the gateway (its id, its software, the fingerprint of its configuration), the
    ledgers that each batch goes to, and the statement key."""

    gateway: str
    software: str
    config: bytes
    ledgers: Sequence[str]
    key: Signer


def seal_next(store: Database, issuer: Issuer, now_ms: int) -> bool:
    """Seal the oldest cut and queue its anchors, in one transaction; True while there are more."""
    cuts = store.batches.cuts()
    if not cuts:
        return False
    (first_id, last_id), *others = cuts
    last = store.batches.last()
    config = parse_statement(last.entry).statement.config if last is not None else issuer.config
    with store.transaction():
        failpoint("seal")
        batch = seal(
            store.batches.leaves(first_id, last_id),
            first_id=first_id,
            last_id=last_id,
            gateway=issuer.gateway,
            before=Before.of(last, store.anchors.known()).after(store.repairs.all()),
            config=config,
            software=issuer.software,
            now_ms=now_ms,
            signer=issuer.key,
            lost=store.repairs.lost_unsealed(),
            apart=_apart(store),
        )
        if batch is None:
            store.batches.drop_cut(last_id)
        else:
            store.batches.seal(batch, issuer.ledgers)
    return bool(others)


def _apart(store: Database) -> Callable[[str, bytes, int], bool] | None:
    """Whether a record is in no batch of this database although later ones are; None: none is."""
    if not store.elsewhere.any_apart():
        return None
    last = store.batches.last()
    sealed = parse_statement(last.entry).statement.meters if last is not None else {}

    def apart(meter: str, epoch: bytes, seq: int) -> bool:
        if any(r.epoch == epoch and r.first <= seq <= r.last for r in sealed.get(meter, ())):
            return False  # lost though it may be, it was sealed
        return store.elsewhere.is_apart(meter, epoch, seq)

    return apart
