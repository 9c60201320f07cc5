"""Batches: what statements say must be there, and how far each has come. SQL alone; what follows from it is decided in
``control_room.completeness``.

A batch is looked at when something of it has changed: ``look`` says when (null: nothing is expected). Who looks takes a
lease by moving ``look`` ahead, in a transaction of its own, and holds no lock while it reads or writes files. News that
come in meanwhile move ``look`` back, so that the end of a look never hides them; a receiver that dies leaves a lease
that ends.
"""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from typing import Any, Final, LiteralString, NamedTuple

from psycopg.types.json import Jsonb

from control_room.judged import JudgedStatement
from control_room.store.connection import Database
from control_room.store.spans import AT, STATED, Span, columns
from ledger_client.formats.bundle import Locator, decode_locator, encode_locator
from ledger_client.formats.checks import MAX_RECEIPTS
from ledger_client.messages import Message

_PORTION: Final = 500  # records that a cursor fetches at a time

_MERGED: Final[LiteralString] = (
    "coalesce((SELECT array_agg(one ORDER BY one) FROM (SELECT one FROM unnest(excluded.{0} || b.{0}) "
    "WITH ORDINALITY AS every (one, n) GROUP BY one ORDER BY min(n) LIMIT {1}) AS kept), '{{}}')"
)
_TAKE: Final[LiteralString] = (
    "INSERT INTO batches AS b (gateway, batch, statement_id, entry, receipts, anchors, from_at, to_at, size, iat, "
    f"arrived, look) VALUES (%s, %s, %s, %s, %s, %s, {AT}, {AT}, %s, {AT}, {AT}, {AT}) "
    "ON CONFLICT (gateway, batch, statement_id) DO UPDATE SET look = least(b.look, excluded.look), "
    "receipts = " + _MERGED.format("receipts", str(MAX_RECEIPTS)) + ", "
    "anchors = " + _MERGED.format("anchors", str(MAX_RECEIPTS)) + " "
    "WHERE NOT (b.receipts @> excluded.receipts AND b.anchors @> excluded.anchors)"
)  # fmt: skip


class Key(NamedTuple):
    """A statement of a gateway: the number of the gateway, that of the batch, the id of the statement."""

    gateway: int
    batch: int
    statement_id: bytes


class BatchRow(NamedTuple):
    """A batch as it stands. ``why`` and ``alarm``: of the look before; ``counted``: its numbers stand in
    ``ranges.sealed``. Times are Unix ms."""

    key: Key
    gateway: str
    entry: bytes
    receipts: tuple[bytes, ...]
    anchors: tuple[Locator, ...]
    state: str
    why: Message | None
    alarm: str | None
    counted: bool
    arrived_ms: int
    file: str | None


class Outcome(NamedTuple):
    """What a look came to. ``why``: what is missing, or is to be seen; ``alarm``: the kind of alarm that it belongs to;
    ``look_ms``: when it is looked at next without news (None: not)."""

    state: str
    why: Message | None
    alarm: str | None
    look_ms: int | None
    file: str | None = None
    unsure: bool = False
    """Whether it is to be looked at again once a batch that is missing before it comes in."""


# — coming in —


def take(db: Database, gateways: Mapping[str, int], statements: Sequence[JudgedStatement], now_ms: int) -> None:
    """Have these statements, with their receipts and locators beside those that are there; in the transaction of a
    portion. A statement that adds nothing changes nothing."""
    rows: dict[Key, tuple[JudgedStatement, dict[bytes, None], dict[bytes, None]]] = {}
    for judged in statements:
        signed = judged.signed
        key = Key(gateways[judged.gateway], signed.statement.batch, signed.id)
        _, receipts, anchors = rows.setdefault(key, (judged, {}, {}))
        receipts.update(dict.fromkeys(judged.receipts))
        anchors.update(dict.fromkeys(map(encode_locator, judged.anchors)))
    values = []
    for key, (judged, receipts, anchors) in sorted(rows.items(), key=lambda row: row[0]):
        signed, statement = judged.signed, judged.signed.statement
        most = [*receipts][-MAX_RECEIPTS:], [*anchors][-MAX_RECEIPTS:]
        spans = statement.from_ms, statement.to_ms, statement.size, statement.iat * 1000
        values.append((*key, signed.entry, *map(sorted, most), *spans, now_ms, now_ms))
    if values:
        db.run_each(_TAKE, values)


# — looking —


def claim(db: Database, now_ms: int, lease_ms: int, most: int) -> list[Key]:
    """Take the batches that are to be looked at, the ones that wait longest first, until ``lease_ms`` (Unix ms); a few
    of each gateway, so that a flood of one holds up no other."""
    rows = db.all(
        "WITH due AS (SELECT gateway, batch, statement_id, look, row_number() OVER (PARTITION BY gateway "
        "ORDER BY look) AS n FROM (SELECT gateway, batch, statement_id, look FROM batches "
        f"WHERE look <= {AT} ORDER BY look LIMIT %s) "
        "AS waiting), taken AS (SELECT b.gateway, b.batch, b.statement_id FROM batches b JOIN (SELECT * FROM due "
        "WHERE n <= %s ORDER BY look LIMIT %s) AS few USING (gateway, batch, statement_id) "
        f"WHERE b.look <= {AT} FOR UPDATE OF b SKIP LOCKED) UPDATE batches b SET look = {AT} FROM taken "
        "WHERE (b.gateway, b.batch, b.statement_id) = (taken.gateway, taken.batch, taken.statement_id) "
        "RETURNING b.gateway, b.batch, b.statement_id",
        now_ms, most * 20, max(1, most // 10), most, now_ms, lease_ms,
    )  # fmt: skip
    return sorted(Key(*row) for row in rows)


def put_off(db: Database, key: Key, lease_ms: int, look_ms: int) -> None:
    """A look came to nothing, for want of time or a lock; it is done again at ``look_ms``."""
    db.run(
        f"UPDATE batches SET look = {AT} WHERE look = {AT} AND gateway = %s AND batch = %s AND statement_id = %s",
        look_ms, lease_ms, *key,
    )  # fmt: skip


def claim_those(db: Database, gateway: str, batch: int, lease_ms: int) -> list[Key]:
    """Take the statements under a number of a gateway until ``lease_ms``, also those that somebody looks at."""
    rows = db.all(
        f"UPDATE batches b SET look = {AT} FROM gateways g WHERE g.id = b.gateway AND g.name = %s AND b.batch = %s "
        "RETURNING b.gateway, b.batch, b.statement_id",
        lease_ms, gateway, batch,
    )  # fmt: skip
    return sorted(Key(*row) for row in rows)


def states(db: Database, keys: Sequence[Key]) -> dict[Key, tuple[str, Mapping[str, Any] | None]]:
    """By batch: its state, and what is to be seen of it."""
    found = {}
    for key in keys:
        row = db.one(
            "SELECT state, why FROM batches WHERE gateway = %s AND batch = %s AND statement_id = %s", *key
        )  # fmt: skip
        if row is not None:
            found[key] = row[0], row[1]
    return found


def read(db: Database, key: Key) -> BatchRow:
    """A batch that is there."""
    row = db.one(
        "SELECT g.name, b.entry, b.receipts, b.anchors, b.state, b.why, b.alarm, b.counted, "
        "(extract(epoch FROM b.arrived) * 1000)::int8, b.file FROM batches b JOIN gateways g ON g.id = b.gateway "
        "WHERE b.gateway = %s AND b.batch = %s AND b.statement_id = %s",
        *key,
    )
    assert row is not None  # no row of batches ever goes
    name, entry, receipts, anchors, state, why, alarm, *rest = row
    places = tuple(map(decode_locator, anchors))
    message = Message.from_fields(why or {})
    return BatchRow(key, name, bytes(entry), tuple(map(bytes, receipts)), places, state, message, alarm, *rest)


def beside(db: Database, key: Key) -> tuple[list[tuple[bytes, bool]], list[bytes]]:
    """(The other statements under this number, each with whether it is proven; all under the number before)."""
    gateway, batch, statement_id = key
    rows = db.all(
        "SELECT batch, statement_id, state = 'proven' FROM batches WHERE gateway = %s AND batch IN (%s, %s)",
        gateway, batch, batch - 1,
    )  # fmt: skip
    others = [(bytes(other), proven) for number, other, proven in rows if number == batch and other != statement_id]
    return sorted(others), sorted(bytes(other) for number, other, _ in rows if number == batch - 1)


def finish(db: Database, key: Key, lease_ms: int, outcome: Outcome, now_ms: int) -> bool:
    """Write what a look came to, and give up the lease. What is proven stays so; news of meanwhile are looked at.
    Whether the batch is newly proven."""
    why = None if outcome.why is None else Jsonb(outcome.why.to_fields())
    row = db.one(
        "WITH before AS (SELECT gateway, batch, statement_id, state FROM batches "
        "WHERE gateway = %s AND batch = %s AND statement_id = %s FOR UPDATE), "
        "after AS (UPDATE batches b SET state = %s, why = %s, alarm = %s, file = coalesce(%s, b.file), unsure = %s, "
        f"proven_at = CASE WHEN %s = 'proven' THEN coalesce(proven_at, {AT}) END, "
        f"look = CASE WHEN look = {AT} THEN {AT} ELSE look END FROM before "
        "WHERE (b.gateway, b.batch, b.statement_id) = (before.gateway, before.batch, before.statement_id) "
        "AND (before.state <> 'proven' OR %s = 'proven') "
        "RETURNING b.gateway, b.state, b.to_at, before.state AS before), "
        "seen AS (UPDATE gateways g SET proven = greatest(g.proven, after.to_at) FROM after "
        "WHERE g.id = after.gateway AND after.state = 'proven' AND after.before <> 'proven') "
        "SELECT before FROM after",
        *key, outcome.state, why, outcome.alarm, outcome.file, outcome.unsure, outcome.state, now_ms, lease_ms,
        outcome.look_ms, outcome.state,
    )  # fmt: skip
    return outcome.state == "proven" and row is not None and row[0] != "proven"


def look_again(db: Database, gateway: int, batches: Sequence[int], now_ms: int) -> None:
    """Have these batches of a gateway looked at."""
    db.run(
        f"UPDATE batches SET look = least(look, {AT}) WHERE gateway = %s AND batch = ANY(%s)",
        now_ms, gateway, sorted(batches),
    )  # fmt: skip


def look_beside(db: Database, key: Key, now_ms: int, *, unsure: bool) -> None:
    """Have looked at once more what the first look at a batch may change: other statements under its number, the batch
    behind it, with ``unsure`` those that wait for what is missing before them."""
    db.run(
        f"UPDATE batches SET look = least(look, {AT}) WHERE gateway = %s AND ((batch = %s AND counted) "
        "OR (batch = %s AND statement_id <> %s) OR (unsure AND %s))",
        now_ms, key.gateway, key.batch + 1, key.batch, key.statement_id, unsure,
    )  # fmt: skip


def look_at_unproven(db: Database, now_ms: int) -> int:
    """Have every batch looked at that is not proven: the trust file has changed. How many there are."""
    return db.run(f"UPDATE batches SET look = least(look, {AT}) WHERE state <> 'proven'", now_ms)


# — numbers —


def lock(db: Database, spans: Sequence[Span]) -> None:
    """Let no portion change what is there of these numbers until the end of the transaction."""
    db.run(
        STATED + "SELECT FROM ranges r JOIN stated USING (meter, epoch) ORDER BY r.meter, r.epoch FOR UPDATE OF r",
        *columns(spans),
    )


def counted_before(db: Database, spans: Sequence[Span]) -> tuple[str, bytes, int] | None:
    """The first of these numbers that another statement counts already: (meter, epoch, number)."""
    row = db.one(
        STATED + "SELECT m.name, e.epoch, lower(r.sealed * stated.seqs) FROM stated JOIN ranges r USING (meter, epoch) "
        "JOIN meters m ON m.id = r.meter JOIN epochs e ON e.id = r.epoch WHERE r.sealed && stated.seqs "
        "ORDER BY m.name, e.epoch LIMIT 1",
        *columns(spans),
    )
    return None if row is None else (row[0], bytes(row[1]), row[2])


def count(db: Database, key: Key, spans: Sequence[Span]) -> None:
    """These numbers are counted by this statement."""
    db.run(
        STATED + "UPDATE ranges r SET sealed = r.sealed + stated.seqs FROM stated "
        "WHERE r.meter = stated.meter AND r.epoch = stated.epoch",
        *columns(spans),
    )
    db.run("UPDATE batches SET counted = true WHERE gateway = %s AND batch = %s AND statement_id = %s", *key)


def archived(db: Database, spans: Sequence[Span]) -> None:
    """The records of these numbers are proven, and in the archive."""
    db.run(
        STATED + "UPDATE ranges r SET archived = r.archived + stated.seqs FROM stated "
        "WHERE r.meter = stated.meter AND r.epoch = stated.epoch",
        *columns(spans),
    )


class Stretch(NamedTuple):
    """Numbers that a statement counts, from ``first`` on, whose number before no statement counts; ``below``: the last
    one before that any does."""

    meter: str
    epoch: bytes
    first: int
    below: int | None


def not_following(db: Database, spans: Sequence[Span]) -> list[Stretch]:
    """At most 50 such stretches of these numbers."""
    rows = db.all(
        STATED + "SELECT m.name, e.epoch, lower(x), upper(r.sealed * int8multirange(int8range(0, lower(x)))) - 1 "
        "FROM stated JOIN ranges r USING (meter, epoch) JOIN meters m ON m.id = r.meter "
        "JOIN epochs e ON e.id = r.epoch CROSS JOIN LATERAL unnest(stated.seqs) AS x "
        "WHERE lower(x) > 0 AND NOT r.sealed @> lower(x) - 1 ORDER BY 1, 2, 3 LIMIT 50",
        *columns(spans),
    )
    return [Stretch(meter, bytes(epoch), first, below) for meter, epoch, first, below in rows]


def maybe_resumed(db: Database, gateway: int, batch: int) -> list[bytes]:
    """Of the newest statements until this number those that seem to bear a `resume`, at most 100."""
    rows = db.all(
        "SELECT entry FROM (SELECT batch, entry FROM batches WHERE gateway = %s AND batch <= %s "
        "ORDER BY batch DESC LIMIT 10000) AS newest WHERE position('\\x66726573756d65'::bytea IN entry) > 0 "
        "ORDER BY batch DESC LIMIT 100",
        gateway, batch,
    )  # fmt: skip
    return [bytes(entry) for (entry,) in rows]


class Beginning(NamedTuple):
    """The first record of an epoch, with the hashes of the last records of the meter's other epochs that statements
    count; ``whole``: none of these records has gone."""

    meter: str
    epoch: bytes
    data: bytes
    before: frozenset[bytes]
    whole: bool


def beginnings(db: Database, spans: Sequence[Span]) -> list[Beginning]:
    """Of those of these numbers that begin an epoch of a meter that has other ones."""
    first = [span.chain for span in spans if span.first == 0]
    rows = db.all(
        "SELECT m.name, e.epoch, f.bytes, p.n, p.hashes FROM unnest(%s::int[], %s::int[]) AS s (meter, epoch) "
        "JOIN meters m ON m.id = s.meter JOIN epochs e ON e.id = s.epoch CROSS JOIN LATERAL (SELECT bytes FROM records "
        "WHERE meter = s.meter AND epoch = s.epoch AND seq = 0 LIMIT 1) AS f CROSS JOIN LATERAL ("
        "SELECT count(*) AS n, coalesce(array_agg(l.hash) FILTER (WHERE l.hash IS NOT NULL), '{}') AS hashes "
        "FROM (SELECT r.epoch, upper(r.sealed) - 1 AS seq FROM ranges r WHERE r.meter = s.meter "
        "AND r.epoch <> s.epoch AND NOT isempty(r.sealed) ORDER BY r.newest DESC NULLS LAST LIMIT 1000) AS ended "
        "LEFT JOIN LATERAL (SELECT hash FROM records WHERE meter = s.meter AND epoch = ended.epoch "
        "AND seq = ended.seq LIMIT 1) AS l ON true) AS p WHERE p.n > 0 ORDER BY m.name, e.epoch",
        [chain.meter for chain in first], [chain.epoch for chain in first],
    ) if first else []  # fmt: skip
    return [
        Beginning(meter, bytes(epoch), bytes(data), frozenset(map(bytes, hashes)), n == len(hashes))
        for meter, epoch, data, n, hashes in rows
    ]


def first_known(db: Database, gateway: int) -> list[bytes]:
    """The statements under the lowest number that is known of a gateway."""
    rows = db.all(
        "SELECT entry FROM batches WHERE gateway = %s AND batch = "
        "(SELECT min(batch) FROM batches WHERE gateway = %s)",
        gateway, gateway,
    )  # fmt: skip
    return [bytes(entry) for (entry,) in rows]


def all_counted_below(db: Database, gateway: int, batch: int) -> bool | None:
    """Whether every statement under a lower number is there and counted; None: one that is there is to be looked at."""
    row = db.one(
        "SELECT EXISTS (SELECT FROM holes WHERE gateway = %s AND closed IS NULL AND batches && "
        "int8multirange(int8range(0, %s))), EXISTS (SELECT FROM batches WHERE gateway = %s AND batch < %s "
        "AND NOT counted AND alarm IS NULL)",
        gateway, batch, gateway, batch,
    )  # fmt: skip
    missing, uncounted = row or (True, False)
    return None if uncounted else not missing


# — records —


def records(db: Database, spans: Sequence[Span], from_ms: int, to_ms: int) -> Generator[tuple[int, int, bytes]]:
    """The records of these numbers that are of these times, in the order of their places: (number of the meter, time in
    ms, bytes). They are fetched portion by portion, in one transaction."""
    with db.transaction(), db.connection.cursor("records_of_a_batch", binary=True) as cursor:
        cursor.itersize = _PORTION
        # OFFSET 0: of these ranges each is looked up by the key, whatever the planner believes of the rest
        cursor.execute(
            "SELECT s.meter, (extract(epoch FROM r.time) * 1000)::int8, r.bytes "
            "FROM unnest(%s::int[], %s::int[], %s::int8[], %s::int8[]) AS s (meter, epoch, first, last) "
            "CROSS JOIN LATERAL (SELECT place, seq, time, bytes FROM records WHERE meter = s.meter AND epoch = s.epoch "
            f"AND seq BETWEEN s.first AND s.last AND time BETWEEN {AT} AND {AT} OFFSET 0) AS r "
            "ORDER BY r.place, s.meter, r.seq",
            (*columns(spans), from_ms, to_ms),
        )
        for meter, time_ms, data in cursor:
            yield meter, time_ms, bytes(data)


def faults(db: Database, gateway: int) -> dict[str, tuple[int, int, Mapping[str, Any]]]:
    """By kind of alarm: how many batches of a gateway it is about, the lowest number, and the message of that."""
    rows = db.all(
        "SELECT DISTINCT ON (alarm) alarm, count(*) OVER (PARTITION BY alarm), batch, why FROM batches "
        "WHERE gateway = %s AND alarm IS NOT NULL ORDER BY alarm, batch",
        gateway,
    )
    return {alarm: (n, batch, why) for alarm, n, batch, why in rows}
