"""The whole state of a gateway, verified again from its database and, where given, from its ledger's own log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from gateway.config import Config
from gateway.coverage import due_between
from gateway.keys import load_keys
from gateway.sealer import ranges, tree_of
from gateway.store import Batch, Row, Store
from ledger_client.record import Coverage, parse_record, record_hash
from ledger_client.statement import parse_statement, statement_id
from ledger_client.trust import load_trust
from ledger_client.verify import check_receipt

FAR_FUTURE_S = 1 << 40


def check_books(config: Config) -> None:
    """Every signature, chain, interval, batch and receipt of the database holds. AssertionError says what does not."""
    store = Store(config.database, read_only=True)
    try:
        _check_signatures(config, store.rows(1, 1 << 60))
        pruned_to, _ = store.pruned()
        rows = store.rows(pruned_to + 1, 1 << 60)
        _check_chains(rows, whole=pruned_to == 0)
        grids: dict[str, list[tuple[int, int]]] = defaultdict(list)
        for meter, _, anchor_ms, period_ms in store.schedules():
            grids[meter].append((anchor_ms, period_ms))
        for meter, grid in grids.items():
            _check_coverage([row for row in rows if row.meter == meter], grid, whole=pruned_to == 0)
        _check_batches(store, store.batches())
        _check_receipts(config, store)
    finally:
        store.close()


def check_all_is_sealed(config: Config) -> None:
    """Every record is in exactly one batch, and every batch has a receipt of every ledger."""
    store = Store(config.database, read_only=True)
    assert store.unsealed() is None
    assert {a.state for a in store.anchors()} == {"settled"}
    assert len(store.anchors()) == len(store.batches()) * len(config.document.ledger)
    store.close()


def check_ledger_log(config: Config, entries: Sequence[bytes]) -> None:
    """The ledger's own log holds every batch exactly once, in order, and nothing that the gateway does not know."""
    store = Store(config.database, read_only=True)
    assert [statement_id(entry) for entry in entries] == [batch.statement_id for batch in store.batches()]
    store.close()


def _check_signatures(config: Config, rows: Sequence[Row]) -> None:
    keys = load_keys(config)
    for row in rows:
        record = parse_record(row.data)
        claims = record.claims
        assert (claims.meter, claims.epoch, claims.seq, record.kind) == (row.meter, row.epoch, row.seq, row.kind)
        key = keys.statement if row.meter == "gateway" else keys.meters[row.meter]
        assert record.kid == key.public.kid
        record.sign1.verify(key.public)


def _check_chains(rows: Sequence[Row], *, whole: bool) -> None:
    """``whole``: nothing was pruned, so that every chain has its beginning here."""
    chains: dict[str, tuple[bytes, int, bytes]] = {}
    left: dict[str, set[bytes]] = defaultdict(set)
    for row in rows:
        claims = parse_record(row.data).claims
        before = chains.get(row.meter)
        if before is not None or whole:
            assert claims.prev == (before[2] if before else None), f"{row.id}: chain broken"
        if before is not None and before[0] == row.epoch:
            assert row.seq == before[1] + 1, f"{row.id}: sequence broken"
        elif before is not None or whole:
            assert row.seq == 0, f"{row.id}: an epoch begins at 0"
            assert row.epoch not in left[row.meter], f"{row.id}: an epoch that was left returned"
            left[row.meter].add(row.epoch)
        chains[row.meter] = (row.epoch, row.seq, record_hash(row.data))


def _check_coverage(rows: Sequence[Row], grids: Sequence[tuple[int, int]], *, whole: bool) -> None:
    to_ms, readings = None, 0
    for row in rows:
        if row.kind == "reading":
            readings += 1
        elif row.kind == "coverage":
            record = parse_record(row.data)
            body = record.body
            assert isinstance(body, Coverage)
            assert to_ms is None or body.from_ms == to_ms, f"{row.id}: coverage has a hole at {to_ms}"
            assert body.due == body.recorded + sum(body.missed.values()), f"{row.id}: does not add up"
            if to_ms is not None or whole:
                assert body.recorded == readings, f"{row.id}: says {body.recorded} recorded, the chain holds {readings}"
            if record.claims.clock != "U":  # without a clock nobody knows what was due before
                due = _due(grids, body.from_ms, body.to_ms)
                assert body.due == due, f"{row.id}: due {body.due}, by schedule {due}"
            to_ms, readings = body.to_ms, 0


def _due(grids: Sequence[tuple[int, int]], from_ms: int, to_ms: int) -> int:
    ends = [anchor for anchor, _ in grids[1:]] + [to_ms]
    return sum(
        due_between(anchor, period, from_ms, min(end, to_ms)) for (anchor, period), end in zip(grids, ends, strict=True)
    )


def _check_batches(store: Store, batches: Sequence[Batch]) -> None:
    reached = dict[tuple[str, bytes], int]()
    pruned_to, _ = store.pruned()
    before = None
    for batch in batches:
        signed = parse_statement(batch.entry)
        statement, rows = signed.statement, list(store.leaves(batch.first_id, batch.last_id))
        assert (batch.batch, batch.statement_id) == (statement.batch, signed.id)
        if before is None and pruned_to == 0:
            assert batch.first_id == 1
        if before is not None:
            assert batch.first_id == before.last_id + 1
        if statement.resume is None and (before is not None or pruned_to == 0):
            number, prev = (before.batch + 1, before.statement_id) if before else (0, None)
            assert (statement.batch, statement.prev) == (number, prev)
        before = batch
        if batch.first_id <= pruned_to:
            reached |= {(meter, r.epoch): r.last for meter, rs in statement.meters.items() for r in rs}
            continue
        assert (len(rows), statement.root) == (statement.size, tree_of(rows).root)
        assert statement.meters == ranges(rows)
        assert all(statement.from_ms <= row.time_ms <= statement.to_ms for row in rows)
        for meter, stretches in statement.meters.items():
            for stretch in stretches:
                begin = reached.get((meter, stretch.epoch), -1) + 1
                assert stretch.first == begin or pruned_to > 0, f"batch {batch.batch}: {meter} skips"
                reached[meter, stretch.epoch] = stretch.last


def _check_receipts(config: Config, store: Store) -> None:
    trust = load_trust(config.trust)
    for anchor in store.anchors():
        assert (anchor.receipt is not None) == (anchor.state == "settled")
        if anchor.receipt is not None:
            batch = store.batch(anchor.batch)
            assert batch is not None
            assert check_receipt(batch.entry, anchor.receipt, trust, FAR_FUTURE_S)[0] == anchor.ledger
