"""Facts of the record page: one record, and its path through the tree of its batch to the root."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.dashboard.pages.batches import Vouched, vouched
from gateway.dashboard.pages.record_state import State, States
from gateway.dashboard.shell.page import NotFound
from gateway.errors import GatewayError
from gateway.evidence import prove
from gateway.evidence.sealing import tree_of
from gateway.records import StoredRecord
from gateway.storage.database import Database
from ledger_client.formats.merkle import leaf_hash, node_hash
from ledger_client.formats.record import Record, parse_record, record_hash
from ledger_client.formats.statement import Statement, parse_statement

AT_ONCE = 2_000
"""Leaves that are hashed at most for a page without being asked for it."""


@dataclass(frozen=True, slots=True)
class Joint:
    """One level of the way up: the node that we come from is put together with ``sibling`` (``left`` of it or right)
    into ``node``; without a sibling it moves up as it is."""

    sibling: bytes | None
    left: bool
    node: bytes


@dataclass(frozen=True, slots=True)
class Way:
    """The path from the leaf to the root."""

    leaf: bytes
    index: int
    size: int
    joints: tuple[Joint, ...]
    statement: Statement
    anchors: tuple[Vouched, ...]

    @property
    def root(self) -> bytes:
        """Where it leads to."""
        return self.joints[-1].node if self.joints else self.leaf

    @property
    def holds(self) -> bool:
        """Whether it leads to the root that the gateway has signed."""
        return self.root == self.statement.root


@dataclass(frozen=True, slots=True)
class RecordFacts:
    """A record and where it stands. ``way`` is None where there is none (yet), ``why``: the reason then. ``large``: the
    batch has so many leaves that the way is drawn only when it is asked for."""

    row: StoredRecord
    record: Record
    hash: bytes
    state: State
    before: StoredRecord | None
    after: StoredRecord | None
    way: Way | None
    why: str
    large: int | None


def record(store: Database, meter: str, epoch: str, seq: str, *, whole: bool) -> RecordFacts:
    """A record by the parts of its name.

    Args:
        store: read-only, in one snapshot.
        meter: the first part of the name, as the address has it; likewise ``epoch`` (hexadecimal) and ``seq``.
        epoch: the second part.
        seq: the third part.
        whole: draw the path also in a batch of more than ``AT_ONCE`` records.

    Raises:
        NotFound: there is no such record.
        StoreError: the database cannot be read.
    """
    try:
        row = prove.find(store, f"{meter}/{epoch}/{seq}")
    except GatewayError as error:
        raise NotFound(error.sentence, error.way_out) from None
    place = store.records.place(row.meter, row.epoch, row.seq)
    assert place is not None, "it was found"
    state = States(store).at(place)
    parsed = parse_record(row.data)
    way, why, large = None, "", None
    if state.word in ("sealed", "anchored"):
        batch = store.batches.holding(place)
        assert batch is not None, "its state says so"
        if batch.size > AT_ONCE and not whole:
            large = batch.size
        elif store.batches.is_whole(batch.batch):
            way = _way(store, row)
        else:
            why = "pruned"
    near = {n: store.records.find(row.meter, row.epoch, n) for n in (row.seq - 1, row.seq + 1)}
    before, after = near[row.seq - 1], near[row.seq + 1]
    return RecordFacts(
        row,
        parsed,
        record_hash(row.data),
        state,
        before[1] if before else None,
        after[1] if after else None,
        way,
        why,
        large,
    )


def _way(store: Database, row: StoredRecord) -> Way | None:
    place = store.records.place(row.meter, row.epoch, row.seq)
    batch = store.batches.holding(place or 0)
    assert batch is not None
    rows = list(store.batches.leaves(batch.first_id, batch.last_id))
    index = next(n for n, one in enumerate(rows) if (one.meter, one.epoch, one.seq) == row[:3])
    joints = _joints(leaf_hash(row.data), index, len(rows), tree_of(rows).path(index))
    anchors = tuple(vouched(anchor) for anchor in store.anchors.of(batch.batch))
    return Way(leaf_hash(row.data), index, len(rows), joints, parse_statement(batch.entry).statement, anchors)


def _joints(node: bytes, index: int, size: int, path: list[bytes]) -> tuple[Joint, ...]:
    """The levels of a tree of ``size`` leaves as RFC 9162 §2.1 builds it: an odd last node moves up as it is."""
    joints, width, rest = [], size, iter(path)
    while width > 1:
        sibling = next(rest) if index ^ 1 < width else None
        if sibling is not None:
            node = node_hash(sibling, node) if index & 1 else node_hash(node, sibling)
        left = bool(index & 1)
        index, width = index >> 1, (width + 1) >> 1
        joints.append(Joint(sibling, left, node))
    return tuple(joints)
