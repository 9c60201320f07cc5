"""One portion of what gateways sent, in one transaction: all of it, or nothing.

What makes a record new is its number, not its row: ``ranges`` holds every number that ever came in, after its row has
gone with its day, too. A number that is there adds no row: the same bytes are *repeated* (and where they came with
another place, that one counts: a gateway that was asked for them again corrects it so), other bytes are a *fork*, kept
apart with an alarm: their gateway signed two histories. Once the row has gone nothing can be compared, and what comes
again is *repeated*.

Two receivers that store at once cannot hold each other up in a circle. Each locks in one order: the day's partitions
(shared), ``ranges`` by meter and epoch, batches, holes, alarms, days, gateways, counters; names were made before, in
transactions of their own. Two portions of one meter wait for each other at its row of ``ranges``, and so the second one
sees the numbers of the first.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

from psycopg.types.json import Jsonb

from control_room.judged import Judged, JudgedRecord, Status, Stored
from control_room.store import asking, configured, holes, statements
from control_room.store.connection import Database
from control_room.store.incoming import gateway_alarms, partitions, rows
from control_room.store.incoming.refused import keep_forks, keep_refused
from control_room.store.names import Chain, Names
from control_room.store.shapes import Shapes
from control_room.store.spans import Span
from ledger_client.formats.record import Coverage

HOUR_MS: Final = 3_600_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class _Row(NamedTuple):
    chain: Chain
    record: JudgedRecord


class _Sorted(NamedTuple):
    """The records of a portion: each number once, those that came twice in it, and those with other bytes then."""

    rows: list[_Row]
    repeated: list[_Row]
    forked: list[_Row]


def store(db: Database, judged: Sequence[Judged], now_ms: int, note: Callable[[], None] | None = None) -> Stored:
    """Store what these messages brought, at ``now_ms`` (Unix ms). Raises DatabaseError, and then nothing is kept:
    Unstorable where it fails for its content. ``note`` is called in the same transaction, as its last step."""
    if not any(map(any, judged)):
        return Stored()
    names, now = db.kept(Names), moment(now_ms)
    gateways = names.gateways({gateway for part in judged for gateway in _gateways(part)})
    found = _sorted(names, [record for part in judged for record in part.records])
    shapes = db.kept(Shapes)
    encoded = [rows.row(n, row.chain, row.record, shapes) for n, row in enumerate(found.rows)]
    owners = names.meters(set(configured.configured([row.record for row in found.rows])))
    partitions.demand(db, {row.record.time_ms // partitions.DAY_MS for row in found.rows}, now_ms)
    db.kept(_Incoming)
    with db.transaction():
        partitions.share(db)
        taken = _take(db, found, encoded, now) if encoded else found
        refused = [refusal for part in judged for refusal in part.refusals]
        statements.take(db, gateways, [each for part in judged for each in part.statements], now_ms)
        holes.arrived(db, _spans([*taken.rows, *taken.repeated]), now_ms)
        holes.gone(db, gateways, [each for part in judged for each in part.gone])
        statuses = [status for part in judged for status in part.statuses]
        asking.online(db, _come_online(db, gateways, statuses), now_ms)
        gateway_alarms.take(db, [(row.chain.gateway, row.record) for row in taken.rows])
        keep_forks(db, [(row.chain, row.record) for row in taken.forked], now)
        _add_days(db, taken.rows)
        configured.keep(db, configured.configured([row.record for row in taken.rows]), owners)
        _update_gateways(db, gateways, taken, statuses, now)
        keep_refused(db, refused, now)
        if note is not None:
            note()
    return Stored(len(taken.rows), len(taken.repeated), len(taken.forked), len(refused))


class _Incoming:
    """The temporary table of a session."""

    def __init__(self, db: Database) -> None:
        db.run(rows.TABLE)


def moment(ms: int) -> datetime:
    """A moment of Unix ms, exactly."""
    return _EPOCH + timedelta(milliseconds=ms)


def _gateways(part: Judged) -> Iterator[str]:
    for facts in (part.records, part.statements, part.gone, part.statuses):
        yield from (fact.gateway for fact in facts)


def _sorted(names: Names, records: Sequence[JudgedRecord]) -> _Sorted:
    chains = names.chains({record[:3] for record in records})
    found = _Sorted([], [], [])
    first: dict[tuple[Chain, int], JudgedRecord] = {}
    for record in records:
        row = _Row(chains[record[:3]], record)
        before = first.get((row.chain, record.seq))
        if before is None:
            first[row.chain, record.seq] = record
            found.rows.append(row)
        else:
            (found.repeated if before.hash == record.hash else found.forked).append(row)
    return found


def _take(db: Database, found: _Sorted, encoded: Sequence[bytes], now: datetime) -> _Sorted:
    """Insert the records whose numbers are new; which they were."""
    db.copy_in(rows.COPY, rows.portion(encoded))
    pairs = sorted({(row.chain.meter, row.chain.epoch) for row in found.rows})
    db.run(
        "SELECT FROM ranges r JOIN unnest(%s::int[], %s::int[]) AS wanted (meter, epoch) USING (meter, epoch) "
        "ORDER BY r.meter, r.epoch FOR UPDATE OF r",
        [meter for meter, _ in pairs],
        [epoch for _, epoch in pairs],
    )
    there = db.all("SELECT i.n FROM incoming i JOIN ranges r USING (meter, epoch) WHERE r.seqs @> i.seq")
    taken = found if not there else _without(db, found, [n for (n,) in there])
    db.run(
        "INSERT INTO records (time, arrived, seq, place, meter, epoch, kind, hash, bytes) "
        "SELECT time, %s, seq, place, meter, epoch, kind, hash, bytes FROM incoming ON CONFLICT DO NOTHING",
        now,
    )
    db.run(
        "INSERT INTO readings (time, seq, meter, epoch, shape, quality, num, rest) "
        "SELECT time, seq, meter, epoch, shape, quality, num, rest FROM incoming WHERE kind = 'r'"
    )
    db.run(
        "UPDATE ranges r SET seqs = r.seqs + new.seqs, newest = greatest(r.newest, new.newest), "
        "newest_reading = greatest(r.newest_reading, new.newest_reading) FROM (SELECT meter, epoch, "
        "range_agg(int8range(seq, seq, '[]')) AS seqs, max(time) AS newest, "
        "max(time) FILTER (WHERE kind = 'r') AS newest_reading FROM incoming GROUP BY meter, epoch) AS new "
        "WHERE r.meter = new.meter AND r.epoch = new.epoch"
    )
    _add_coverage(db, taken.rows)
    _mark_hours(db)
    return taken


def _without(db: Database, found: _Sorted, there: Sequence[int]) -> _Sorted:
    """Take those whose numbers are there out of what is to be inserted, and compare their bytes."""
    db.run(
        "UPDATE records r SET place = i.place FROM incoming i WHERE i.n = ANY(%s) AND r.meter = i.meter "
        "AND r.epoch = i.epoch AND r.seq = i.seq AND r.time = i.time AND r.hash = i.hash "
        "AND i.place IS NOT NULL AND r.place IS DISTINCT FROM i.place",
        list(there),
    )
    other = db.all(
        "SELECT i.n FROM incoming i JOIN records r USING (meter, epoch, seq) WHERE i.n = ANY(%s) AND i.hash <> r.hash",
        list(there),
    )
    db.run("DELETE FROM incoming WHERE n = ANY(%s)", list(there))
    known, forked = set(there), {n for (n,) in other}
    return _Sorted(
        [row for n, row in enumerate(found.rows) if n not in known],
        [*found.repeated, *(found.rows[n] for n in there if n not in forked)],
        [*found.forked, *(found.rows[n] for n in sorted(forked))],
    )


def _spans(found: Sequence[_Row]) -> list[Span]:
    """What is there now, and was perhaps asked for: numbers that follow each other are one span."""
    spans: list[Span] = []
    for chain, seq, meter in sorted((row.chain, row.record.seq, row.record.meter) for row in found):
        if spans and spans[-1].chain == chain and spans[-1].last + 1 >= seq:
            spans[-1] = spans[-1]._replace(last=seq)
        else:
            spans.append(Span(chain, meter, seq, seq))
    return spans


def _add_coverage(db: Database, taken: Sequence[_Row]) -> None:
    covered = [(row, row.record.body) for row in taken if isinstance(row.record.body, Coverage)]
    if covered:
        db.run_each(
            "INSERT INTO coverage (meter, epoch, seq, from_at, to_at, due, recorded, missed) "
            "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            [
                (row.chain.meter, row.chain.epoch, row.record.seq, moment(body.from_ms), moment(body.to_ms), body.due,
                 body.recorded, Jsonb(dict(body.missed)))
                for row, body in covered
            ],
        )  # fmt: skip


def _mark_hours(db: Database) -> None:
    """Hours that were made already, and to which something came late, are made again (hours.py)."""
    db.run(
        "INSERT INTO hours_due (meter, hour) SELECT DISTINCT meter, date_trunc('hour', time) AS hour FROM incoming "
        "WHERE kind = 'r' AND time < (SELECT at FROM hours_to) ORDER BY meter, hour ON CONFLICT DO NOTHING"
    )


def _add_days(db: Database, taken: Sequence[_Row]) -> None:
    """Polls by gateway and UTC day, of what is new: a coverage counts on the day on which it ends."""
    due: Counter[tuple[int, int]] = Counter()
    recorded: Counter[tuple[int, int]] = Counter()
    for row in taken:
        if isinstance(body := row.record.body, Coverage):
            day = row.chain.gateway, (body.to_ms - 1) // partitions.DAY_MS
            due[day] += body.due
            recorded[day] += body.recorded
    if due:
        keys = sorted(due)
        db.run(
            "INSERT INTO days AS d (gateway, day, due, recorded) "
            "SELECT gateway, date '1970-01-01' + day, due, recorded "
            "FROM unnest(%s::int[], %s::int[], %s::int8[], %s::int8[]) AS new (gateway, day, due, recorded) "
            "ORDER BY gateway, day "
            "ON CONFLICT (gateway, day) DO UPDATE SET due = d.due + excluded.due, "
            "recorded = d.recorded + excluded.recorded",
            [gateway for gateway, _ in keys],
            [day for _, day in keys],
            [due[key] for key in keys],
            [recorded[key] for key in keys],
        )


def _come_online(db: Database, gateways: Mapping[str, int], statuses: Sequence[Status]) -> list[int]:
    """Gateways whose newest status says that they are online, and whose stored one does not."""
    online = {gateways[status.gateway]: status.fields.get("online") is True for status in statuses}
    numbers = [number for number, is_online in online.items() if is_online]
    if not numbers:
        return []
    rows = db.all("SELECT id FROM gateways WHERE id = ANY(%s) AND status->>'online' IS DISTINCT FROM 'true'", numbers)
    return [number for (number,) in rows]


def _update_gateways(
    db: Database, gateways: dict[str, int], taken: _Sorted, statuses: Sequence[Status], now: datetime
) -> None:
    """What is known of each gateway as a whole: heard now, its newest record, how many records came to what."""
    if not gateways:
        return
    newest: dict[int, tuple[int, str]] = {}
    for row in taken.rows:
        gateway, record = row.chain.gateway, row.record
        newest[gateway] = max(newest.get(gateway, (0, "")), (record.time_ms, record.clock or ""))
    counts = [Counter(row.chain.gateway for row in part) for part in taken]
    stated = {gateways[status.gateway]: Jsonb(dict(status.fields)) for status in statuses}
    numbers = sorted(gateways.values())
    db.run(
        "WITH locked AS (SELECT id FROM gateways WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE) "
        "UPDATE gateways g SET heard = greatest(g.heard, %s), newest = greatest(g.newest, new.newest), "
        "clock = CASE WHEN new.newest >= coalesce(g.newest, new.newest) THEN new.clock ELSE g.clock END, "
        "records = g.records + new.records, repeated = g.repeated + new.repeated, forked = g.forked + new.forked, "
        "status = coalesce(new.status, g.status), "
        "status_at = CASE WHEN new.status IS NULL THEN g.status_at ELSE %s END "
        'FROM locked JOIN unnest(%s::int[], %s::timestamptz[], %s::"char"[], %s::int8[], %s::int8[], %s::int8[], '
        "%s::jsonb[]) AS new (id, newest, clock, records, repeated, forked, status) USING (id) WHERE g.id = new.id",
        numbers,
        now,
        now,
        numbers,
        [moment(newest[n][0]) if n in newest else None for n in numbers],
        [newest[n][1] or None if n in newest else None for n in numbers],
        *([count[n] for n in numbers] for count in counts),
        [stated.get(n) for n in numbers],
    )
