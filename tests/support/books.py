"""The whole state of a gateway, verified again from its database and, where given, from its ledger's own log."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Sequence
from typing import Any

from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.evidence.sealing import LEFT_OUT, ranges, tree_of
from gateway.recording.announcements import series_of
from gateway.records import ALARM, GATEWAY, StoredRecord
from gateway.storage.database import Database
from gateway.storage.elsewhere_tables import UNKNOWN
from gateway.storage.repair_tables import Hole
from gateway.storage.rows import Batch
from ledger_client.formats.bundle import decode_locator, is_locator
from ledger_client.formats.cose_key import load_private_key
from ledger_client.formats.record import Coverage, Event, parse_record, record_hash
from ledger_client.formats.senml import Reading
from ledger_client.formats.statement import Statement, parse_statement, statement_id
from ledger_client.recording_grid import due_by
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.vouching import check_receipt
from tests.support.announced import check_announced, check_shapes, series_due
from tests.support.taken import check_taken

FAR_FUTURE_S = 1 << 40


def check_books(config: Config) -> None:
    """Every signature, chain, interval, batch and receipt of the database holds. AssertionError says what does not."""
    store = Database(config.database, read_only=True)
    try:
        _check_signatures(config, store.records.rows(1, 1 << 60))
        pruned_to, _ = store.records.pruned()
        rows = store.records.rows(pruned_to + 1, 1 << 60)
        lost = store.repairs.lost()
        if pruned_to == 0:
            check_shapes(rows)
        if pruned_to == 0 and not store.repairs.all():
            check_announced(rows)
        torn = _check_chains(rows, lost, whole=pruned_to == 0)
        grids: dict[str, list[tuple[int, int]]] = defaultdict(list)
        planned = set[tuple[str, bytes]]()
        for meter, epoch, anchor_ms, period_ms in store.epochs.schedules():
            grids[meter].append((anchor_ms, period_ms))
            planned.add((meter, epoch))
        series = series_of(store.records, grids)
        for meter, grid in grids.items():
            mine = [row for row in rows if row.meter == meter]
            if store.repairs.all() and not {(meter, row.epoch) for row in mine} <= planned:
                grid = []  # a schedule is lost
            _check_coverage(mine, grid, torn, whole=pruned_to == 0, series=meter in series)
        _check_batches(store, store.batches.all())
        check_taken([parse_statement(batch.entry) for batch in store.batches.all()])
        _check_receipts(config, store)
    finally:
        store.close()


def check_all_is_sealed(config: Config) -> None:
    """Every record is in exactly one batch, and every batch has a receipt of every ledger."""
    store = Database(config.database, read_only=True)
    assert store.batches.unsealed() is None
    assert {a.state for a in store.anchors.of()} == {"settled"}
    assert len(store.anchors.of()) == len(store.batches.all()) * len(config.document.ledger)
    store.close()


def check_ledger_log(config: Config, entries: Sequence[bytes]) -> None:
    """The ledger's own log holds every batch exactly once, in order, and nothing that the gateway does not know."""
    store = Database(config.database, read_only=True)
    assert [statement_id(entry) for entry in entries] == [batch.statement_id for batch in store.batches.all()]
    store.close()


def check_each_record_is_sealed_once(config: Config, entries: Sequence[bytes]) -> None:
    """Over all statements that a ledger holds no record is in two batches, and every record of the database that is
    not left unsealed for ever is in the one that the database says, or, sealed elsewhere, in that of the ledger."""
    holders: dict[tuple[str, bytes, int], bytes] = {}
    for entry in entries:
        signed = parse_statement(entry)
        for meter, stretches in signed.statement.meters.items():
            for name in ((meter, r.epoch, seq) for r in stretches for seq in range(r.first, r.last + 1)):
                assert name not in holders, f"{name} is sealed twice"
                holders[name] = signed.id
    store = Database(config.database, read_only=True)
    try:
        pruned_to, _ = store.records.pruned()  # the events that it left have lost their batch here
        for row in store.records.rows(pruned_to + 1, 1 << 60):
            found = store.records.find(row.meter, row.epoch, row.seq)
            assert found is not None
            batch, elsewhere = store.batches.holding(found[0]), store.elsewhere.statement_of(found[0])
            if elsewhere == UNKNOWN:
                continue
            mine = elsewhere or (batch.statement_id if batch else None)
            assert holders.get((row.meter, row.epoch, row.seq)) == mine, f"{row.id} is not sealed once"
    finally:
        store.close()


def _check_signatures(config: Config, rows: Sequence[StoredRecord]) -> None:
    keys = load_keys(config)
    for row in rows:
        record = parse_record(row.data)
        claims = record.claims
        assert (claims.meter, claims.epoch, claims.seq, record.kind) == (row.meter, row.epoch, row.seq, row.kind)
        key = keys.statement if row.meter == "gateway" else keys.meters.get(row.meter)
        if key is None:  # a meter that the configuration has no more
            key = keys.meters[row.meter] = load_private_key(config.keys / f"{row.meter}.pem")
        assert record.kid == key.public.kid
        record.sign1.verify(key.public)


def _check_chains(rows: Sequence[StoredRecord], lost: Sequence[Hole], *, whole: bool) -> set[StoredRecord]:
    """``whole``: nothing was pruned, so that every chain has its beginning here. Gives the records that follow a hole,
    which a repair must have noted as lost."""
    chains: dict[str, tuple[bytes, int, bytes]] = {}
    left: dict[str, set[bytes]] = defaultdict(set)
    begins, torn = {hole[:3] for hole in lost}, set[StoredRecord]()
    epochs = {(row.meter, row.epoch) for row in rows}
    gone = {meter for meter, epoch, _, _ in lost if (meter, epoch) not in epochs}
    for row in rows:
        prev, before = parse_record(row.data).claims.prev, chains.get(row.meter)
        same = before is not None and before[0] == row.epoch
        follows = before[1] + 1 if before is not None and same else 0
        if row.seq != follows and (before is not None or whole):
            assert (row.meter, row.epoch, follows, row.seq - 1) in lost, f"{row.id}: follows number {follows - 1}"
            torn.add(row)
        elif before is not None and not same and prev != before[2]:
            assert (row.meter, *before[:1], before[1] + 1) in begins or row.meter in gone, f"{row.id}: chain broken"
            torn.add(row)
        elif before is not None or whole:
            assert prev == (before[2] if before else None) or row.meter in gone, f"{row.id}: chain broken"
        if not same:
            assert row.epoch not in left[row.meter], f"{row.id}: an epoch that was left returned"
            left[row.meter].add(row.epoch)
        chains[row.meter] = (row.epoch, row.seq, record_hash(row.data))
    return torn


def _check_coverage(
    rows: Sequence[StoredRecord],
    grids: Sequence[tuple[int, int]],
    torn: Collection[StoredRecord],
    *,
    whole: bool,
    series: bool,
) -> None:
    to_ms, readings, hole = None, 0, False
    moments = list[int]()
    for row in rows:
        hole = hole or row in torn
        if row.kind == "reading":
            readings += 1
            reading = parse_record(row.data).body if series else None
            if isinstance(reading, Reading) and not reading.late:
                moments.append(reading.time_ms)
        elif row.kind == "coverage":
            record = parse_record(row.data)
            body = record.body
            assert isinstance(body, Coverage)
            assert to_ms is None or hole or body.from_ms == to_ms, f"{row.id}: coverage has a hole at {to_ms}"
            assert body.due == body.recorded + sum(body.missed.values()), f"{row.id}: does not add up"
            if (to_ms is not None or whole) and not hole:
                assert body.recorded == readings, f"{row.id}: says {body.recorded} recorded, the chain holds {readings}"
            if grids and record.claims.clock != "U":  # without a clock nobody knows what was due before
                due = series_due(grids, body, moments) if series else due_by(grids, body.from_ms, body.to_ms)
                assert body.due == due, f"{row.id}: due {body.due}, by schedule {due}"
            to_ms, readings, hole, moments = body.to_ms, 0, False, []


def _check_batches(store: Database, batches: Sequence[Batch]) -> None:
    reached = dict[tuple[str, bytes], int]()
    pruned_to, _ = store.records.pruned()
    lost, repaired = store.repairs.lost(), bool(store.repairs.all())
    before = None
    for batch in batches:
        signed = parse_statement(batch.entry)
        statement = signed.statement
        rows, leaves = (
            store.records.rows(batch.first_id, batch.last_id),
            list(store.batches.leaves(batch.first_id, batch.last_id)),
        )
        assert (batch.batch, batch.statement_id) == (statement.batch, signed.id)
        if before is None and pruned_to == 0 and not repaired:
            assert batch.first_id == 1
        if before is not None:
            assert batch.first_id == before.last_id + 1 or (repaired and batch.first_id > before.last_id)
        _check_continuation(store, statement, before, whole=pruned_to == 0)
        before = batch
        if batch.first_id <= pruned_to:
            reached |= {(meter, r.epoch): r.last for meter, rs in statement.meters.items() for r in rs}
            continue
        if store.repairs.lost_places(batch.first_id) > store.repairs.lost_places(batch.last_id + 1):
            _check_remains(batch, statement, leaves)
            reached |= {(meter, r.epoch): r.last for meter, rs in statement.meters.items() for r in rs}
            continue
        assert (len(leaves), statement.root) == (statement.size, tree_of(leaves).root)
        assert statement.meters == ranges(leaves, lost)
        assert statement.from_ms == min(row.time_ms for row in leaves)
        assert statement.to_ms == max(row.time_ms for row in leaves)
        listed = {(row.meter, row.epoch, row.seq) for row in leaves}
        for row in rows:  # what is sealed elsewhere comes first in its epoch, and nothing is left out
            begin = reached.get((row.meter, row.epoch), -1) + 1
            noted = (row.meter, row.epoch, begin, row.seq - 1) in lost or repaired
            assert row.seq == begin or pruned_to > 0 or noted, f"batch {batch.batch}: {row.id} follows {begin - 1}"
            reached[row.meter, row.epoch] = row.seq
            if (row.meter, row.epoch, row.seq) not in listed:
                stretches = [r for r in statement.meters.get(row.meter, ()) if r.epoch == row.epoch]
                assert all(r.first > row.seq for r in stretches), f"batch {batch.batch}: {row.id} is left out"


def _check_remains(batch: Batch, statement: Statement, leaves: Sequence[StoredRecord]) -> None:
    """Of a batch that has lost records what is left stands in its statement."""
    assert len(leaves) <= statement.size
    for row in leaves:
        held = [r for r in statement.meters[row.meter] if r.epoch == row.epoch and r.first <= row.seq <= r.last]
        assert held, f"batch {batch.batch}: {row.id} does not belong to it"


def _check_continuation(store: Database, statement: Statement, before: Batch | None, *, whole: bool) -> None:
    """A statement follows the one before it here; with ``resume``, one that a ledger named, and says why."""
    if statement.resume is not None and "were lost with a damaged database" in statement.resume:
        assert max(repair.last_batch for repair in store.repairs.all()) >= statement.batch - 1
    elif statement.resume is not None and statement.resume != LEFT_OUT:
        known = store.all("SELECT batch, statement_id, reason FROM known")
        assert (statement.batch - 1, statement.prev, statement.resume) in [(n, bytes(i), why) for n, i, why in known]
        assert before is None or statement.batch > before.batch + 1
    elif store.repairs.all() and (before is None or statement.batch > before.batch + 1):
        pass  # the batch before it is lost
    elif before is not None or whole:
        number, prev = (before.batch + 1, before.statement_id) if before else (0, None)
        assert (statement.batch, statement.prev) == (number, prev)


def _check_receipts(config: Config, store: Database) -> None:
    trust = load_trust(config.trust, anchored=bool(config.document.ledger))
    for anchor in store.anchors.of():
        assert (anchor.receipt is not None) == (anchor.state == "settled")
        if anchor.receipt is not None:
            batch = store.batches.numbered(anchor.batch)
            assert batch is not None
            if not is_locator(anchor.receipt):
                assert check_receipt(batch.entry, anchor.receipt, trust, FAR_FUTURE_S)[0] == anchor.ledger
            else:
                assert decode_locator(anchor.receipt).ledger == anchor.ledger


def open_alarms(store: Database) -> list[dict[str, Any]]:
    """The alarms that the events of the running epoch tell of and do not end: code, line, meter (None: the whole
    line), text, since (ms)."""
    standing: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in store.records.epoch_events():
        body = parse_record(row.data).body
        if isinstance(body, Event) and body.name == ALARM:
            meter, fields = None if row.meter == GATEWAY else row.meter, body.fields
            key = (fields["code"], fields["line"], meter)
            if fields["raised"]:
                text = {"code": fields["code"], "line": fields["line"], "meter": meter, "text": fields["text"]}
                standing[key] = text | {"since": row.time_ms}
            else:
                standing.pop(key, None)
    return list(standing.values())
