"""Holes: records and batches that must be there and are not, and when each is asked for.

A hole of records belongs to the batch whose statement says so, one a meter and epoch; with ``places`` they are there,
and asked for because their order does not give the batch's root. A hole of batches lies between numbers that are there.
The table is a list of work, at most ``MOST`` a gateway: what is missing follows from ``ranges`` and ``batches``, so a
batch with more holes gets the others when these are closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Literal, LiteralString

from control_room.judged import Gone
from control_room.store.connection import Database
from control_room.store.spans import AT, STATED, Span, columns
from control_room.store.statements import Key

MOST: Final = 1000
"""Open holes of one gateway."""
FIRST_ASK_S: Final = 30
LONGEST_S: Final = 3600
_GAPS: Final = 0x6D_65_74_65
"""First key of PostgreSQL's advisory locks of gateways."""
_MOST_GAPS: Final = 100
_OPEN_OF: Final[LiteralString] = "gateway = %s AND batch = %s AND closed IS NULL"
_MISSING: Final[LiteralString] = (
    STATED + ", missing AS (SELECT meter, epoch, stated.seqs - coalesce(r.seqs, '{}') AS seqs "
    "FROM stated LEFT JOIN ranges r USING (meter, epoch)) "
)
_ROOM: Final[LiteralString] = "greatest(0, %s - (SELECT count(*) FROM holes WHERE gateway = %s AND closed IS NULL))"


# — what a statement counts, and is not there —


def pause_s(asked: int) -> int:
    """How long after being asked for the ``asked``-th time a hole is asked for again."""
    return min(LONGEST_S, FIRST_ASK_S << min(asked, 10))


def missing(db: Database, spans: Sequence[Span]) -> tuple[int, tuple[str, bytes, int] | None]:
    """How many of these records are not there, and the first of them: (meter, epoch, number)."""
    rows = db.all(
        _MISSING + "SELECT m.name, e.epoch, lower(missing.seqs), "
        "sum((SELECT sum(upper(x) - lower(x)) FROM unnest(missing.seqs) AS x)) OVER () "
        "FROM missing JOIN meters m ON m.id = missing.meter JOIN epochs e ON e.id = missing.epoch "
        "WHERE NOT isempty(missing.seqs) ORDER BY m.name, e.epoch LIMIT 1",
        *columns(spans),
    )
    if not rows:
        return 0, None
    meter, epoch, first, n = rows[0]
    return int(n), (meter, bytes(epoch), first)


def follow(db: Database, key: Key, spans: Sequence[Span], now_ms: int) -> None:
    """Make the holes of a batch those that its statement has now; a part that stays keeps its age, and how often it was
    asked for."""
    db.run(
        _MISSING + "UPDATE holes h SET seqs = CASE WHEN isempty(h.seqs * m.seqs) THEN h.seqs ELSE h.seqs * m.seqs END, "
        f"closed = CASE WHEN isempty(h.seqs * m.seqs) THEN {AT} END FROM missing m "
        f"WHERE {_OPEN_OF} AND NOT places AND h.meter = m.meter AND h.epoch = m.epoch AND NOT h.seqs <@ m.seqs",
        *columns(spans), now_ms, key.gateway, key.batch,
    )  # fmt: skip
    db.run(
        _MISSING + "INSERT INTO holes (gateway, meter, epoch, seqs, batch, since, next_ask) "
        f"SELECT %s, new.meter, new.epoch, new.seqs, %s, {AT}, {AT} FROM (SELECT m.meter, m.epoch, "
        "m.seqs - coalesce(h.seqs, '{}') AS seqs FROM missing m LEFT JOIN (SELECT meter, epoch, range_agg(seqs) "
        f"AS seqs FROM holes WHERE {_OPEN_OF} GROUP BY 1, 2) AS h USING (meter, epoch)) AS new "
        f"WHERE NOT isempty(new.seqs) ORDER BY 2, 3 LIMIT {_ROOM}",
        *columns(spans), key.gateway, key.batch, now_ms, now_ms + FIRST_ASK_S * 1000, key.gateway, key.batch, MOST,
        key.gateway,
    )  # fmt: skip


def ask_for_places(db: Database, key: Key, spans: Sequence[Span], now_ms: int) -> None:
    """All records of a batch are there, and their order does not give its root: they are to be sent again, unless they
    are asked for already. Who was asked before is asked later and later: each answer is verified again."""
    row = db.one(f"SELECT count(*) FROM holes WHERE {_OPEN_OF}", key.gateway, key.batch)
    if row and row[0]:
        return
    before = db.one(
        "SELECT max(asked) FROM holes WHERE gateway = %s AND batch = %s AND places", key.gateway, key.batch
    )  # fmt: skip
    asked = (before[0] if before else 0) or 0
    db.run(
        STATED + "INSERT INTO holes (gateway, meter, epoch, seqs, batch, places, since, asked, next_ask) "
        f"SELECT %s, meter, epoch, seqs, %s, true, {AT}, %s, {AT} FROM stated ORDER BY 2, 3 LIMIT {_ROOM}",
        *columns(spans), key.gateway, key.batch, now_ms, asked, now_ms + pause_s(asked) * 1000, MOST, key.gateway,
    )  # fmt: skip


def close(db: Database, key: Key, now_ms: int, *, places: bool) -> None:
    """Nothing of this batch is missing; with ``places`` its order is right, too."""
    db.run(
        f"UPDATE holes SET closed = {AT} WHERE {_OPEN_OF} AND (NOT places OR %s)",
        now_ms, key.gateway, key.batch, places,
    )  # fmt: skip


def between(db: Database, key: Key, now_ms: int) -> bool:
    """A batch is there: its number is missing no more, and those between it and its neighbours are. Whether it was
    missing. Whatever is known under the lowest number, nothing is missing below it."""
    gateway, batch, _ = key
    db.run("SELECT pg_advisory_xact_lock(%s, %s)", _GAPS, gateway)  # gaps of one gateway are found one after the other
    closed = db.run(
        "UPDATE holes SET batches = CASE WHEN batches = one THEN batches ELSE batches - one END, "
        f"closed = CASE WHEN batches = one THEN {AT} END "
        "FROM (SELECT int8multirange(int8range(%s, %s, '[]')) AS one) AS is_there "
        "WHERE gateway = %s AND closed IS NULL AND batches && one",
        now_ms, batch, batch, gateway,
    )  # fmt: skip
    row = db.one(
        "SELECT (SELECT max(batch) FROM batches WHERE gateway = %s AND batch < %s), "
        "(SELECT min(batch) FROM batches WHERE gateway = %s AND batch > %s)",
        gateway, batch, gateway, batch,
    )  # fmt: skip
    below, above = row or (None, None)
    gaps = [] if below is None else [(below + 1, batch - 1)]
    gaps += [] if above is None else [(batch + 1, above - 1)]
    for first, last in gaps:
        if first <= last:
            _gap(db, gateway, first, last, now_ms)
    return bool(closed)


def _gap(db: Database, gateway: int, first: int, last: int, now_ms: int) -> None:
    """These batches are missing; those of them that are no hole yet become one, beside others of the same age."""
    new = (
        "WITH gap AS (SELECT int8multirange(int8range(%s, %s, '[]')) - coalesce((SELECT range_agg(batches) FROM holes "
        "WHERE gateway = %s AND closed IS NULL AND batches IS NOT NULL), '{}') AS batches) "
    )
    values = first, last, gateway
    beside = db.one(
        "SELECT id FROM holes WHERE gateway = %s AND closed IS NULL AND batches IS NOT NULL AND gone IS NULL "
        "AND (asked = 0 OR (SELECT count(*) FROM holes WHERE gateway = %s AND closed IS NULL "
        "AND batches IS NOT NULL) >= %s) ORDER BY asked, id DESC LIMIT 1",
        gateway, gateway, _MOST_GAPS,
    )  # fmt: skip
    if beside is not None:
        db.run(
            new + "UPDATE holes h SET batches = h.batches + gap.batches FROM gap WHERE h.id = %s", *values, beside[0]
        )
    else:
        db.run(
            new + f"INSERT INTO holes (gateway, batches, since, next_ask) SELECT %s, batches, {AT}, {AT} FROM gap "
            "WHERE NOT isempty(batches)",
            *values, gateway, now_ms, now_ms + FIRST_ASK_S * 1000,
        )  # fmt: skip


# — what comes in with a portion —


def arrived(db: Database, spans: Sequence[Span], now_ms: int) -> None:
    """These records are there, new or sent again; in the transaction that stores them."""
    if not spans:
        return
    rows = db.all(
        STATED + "SELECT h.id FROM holes h JOIN stated USING (meter, epoch) WHERE h.closed IS NULL "
        "AND h.seqs && stated.seqs ORDER BY h.id FOR UPDATE OF h",
        *columns(spans),
    )
    if rows:
        db.run(
            STATED + "UPDATE holes h SET seqs = CASE WHEN h.seqs <@ stated.seqs THEN h.seqs "
            f"ELSE h.seqs - stated.seqs END, closed = CASE WHEN h.seqs <@ stated.seqs THEN {AT} END, "
            "noticed = NOT h.seqs <@ stated.seqs FROM stated WHERE h.id = ANY(%s) AND h.meter = stated.meter "
            "AND h.epoch = stated.epoch",
            *columns(spans), now_ms, [number for (number,) in rows],
        )  # fmt: skip


def gone(db: Database, gateways: Mapping[str, int], claims: Sequence[Gone]) -> None:
    """Gateways say that they cannot send these again, and why: the holes stay, with that."""
    for claim in claims:
        gateway = gateways[claim.gateway]
        for meter, epoch, first, last in claim.ranges:
            _gone(
                db, "seqs", "AND meter = (SELECT id FROM meters WHERE gateway = %s AND name = %s) "
                "AND epoch = (SELECT id FROM epochs WHERE gateway = %s AND epoch = %s) ",
                (gateway, meter, gateway, epoch), gateway, first, last, claim.why,
            )  # fmt: skip
        for first, last in claim.batches:
            _gone(db, "batches", "", (), gateway, first, last, claim.why)


def _gone(
    db: Database, numbers: Literal["seqs", "batches"], of: LiteralString, values: tuple[object, ...], gateway: int,
    first: int, last: int, why: str,
) -> None:  # fmt: skip
    """A part of a hole joins the hole of the same reason, or becomes one: there are as many as reasons, at most."""
    part: LiteralString = f"{numbers} * int8multirange(int8range(%s, %s, '[]'))"
    rows = db.all(
        f"SELECT id, NOT {numbers} <@ int8multirange(int8range(%s, %s, '[]')) FROM holes WHERE gateway = %s "
        f"AND closed IS NULL AND {numbers} && int8multirange(int8range(%s, %s, '[]')) AND gone IS DISTINCT FROM %s {of}"
        "ORDER BY id FOR UPDATE",
        first, last, gateway, first, last, why, *values,
    )  # fmt: skip
    for number, in_part in rows:
        if not in_part:
            db.run("UPDATE holes SET gone = %s WHERE id = %s", why, number)
            continue
        same = (
            "same.gateway = h.gateway AND same.batch IS NOT DISTINCT FROM h.batch AND same.places = h.places "
            "AND same.meter IS NOT DISTINCT FROM h.meter AND same.epoch IS NOT DISTINCT FROM h.epoch "
            "AND same.closed IS NULL AND same.gone = %s"
        )
        joined = db.run(
            f"UPDATE holes same SET {numbers} = same.{numbers} + (h.{part}) FROM holes h WHERE h.id = %s AND {same}",
            first, last, number, why,
        )  # fmt: skip
        if not joined:
            db.run(
                "INSERT INTO holes (gateway, meter, epoch, batch, places, since, asked, asked_at, next_ask, gone, "
                f"{numbers}) SELECT gateway, meter, epoch, batch, places, since, asked, asked_at, next_ask, %s, {part} "
                "FROM holes WHERE id = %s",
                why, first, last, number,
            )  # fmt: skip
        db.run(
            f"UPDATE holes SET {numbers} = {numbers} - int8multirange(int8range(%s, %s, '[]')) WHERE id = %s",
            first, last, number,
        )  # fmt: skip


# — in words —


def batches_missing(db: Database, gateway: int) -> tuple[int, int, str | None] | None:
    """How many batches of a gateway are missing, the first, and why it cannot send that."""
    row = db.one(
        "SELECT sum(upper(x) - lower(x)), min(lower(x)), (array_agg(gone ORDER BY lower(x)))[1] FROM holes, "
        "LATERAL unnest(batches) AS x WHERE gateway = %s AND closed IS NULL AND batches IS NOT NULL",
        gateway,
    )
    return None if row is None or row[0] is None else (int(row[0]), row[1], row[2])
