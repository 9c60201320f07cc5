"""Asking gateways for what is missing: 30 s after it was missed, then later and later, an hour apart at last, and when
the gateway comes online. Of several receivers each asks for other holes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from control_room.store.connection import Database
from control_room.store.holes import FIRST_ASK_S, MOST, pause_s
from control_room.store.spans import AT
from control_room.store.statements import look_again

TOGETHER: Final = 100
"""Ranges of one message to a gateway."""
PACE_S: Final = 5
"""Between two messages to a gateway that has more holes than one message can ask for."""
KEPT_S: Final = 7 * 86_400
"""How long a hole is kept that was asked for and is closed, and how many of a gateway."""
MOST_CLOSED: Final = 1000


class Again(NamedTuple):
    """What is asked of a gateway in one message: (meter, epoch, first, last) and (first, last), ends included."""

    gateway: str
    ranges: tuple[tuple[str, bytes, int, int], ...]
    batches: tuple[tuple[int, int], ...]


def online(db: Database, gateways: Sequence[int], now_ms: int) -> None:
    """These gateways are online again: what is missing is asked for now, 30 s after it was asked for last at the
    earliest. Records that are asked for because of their order wait for their time."""
    if gateways:
        db.run(
            f"UPDATE holes SET asked = 0, next_ask = least(next_ask, greatest({AT}, asked_at + %s * interval '1 s')) "
            "WHERE gateway = ANY(%s) AND closed IS NULL AND NOT places",
            now_ms, FIRST_ASK_S, sorted(gateways),
        )  # fmt: skip


def due(db: Database, now_ms: int, most: int = MOST) -> list[Again]:
    """What is to be asked for now: one message a gateway at most, the next one a few seconds later. Of two receivers
    that ask at once each gets other holes."""
    with db.transaction():
        rows = db.all(
            "SELECT h.id, g.name, m.name, e.epoch, h.asked, s.firsts, s.lasts, s.n FROM ("
            f"SELECT * FROM holes WHERE closed IS NULL AND next_ask <= {AT} ORDER BY next_ask, id LIMIT %s "
            "FOR UPDATE SKIP LOCKED) AS h JOIN gateways g ON g.id = h.gateway LEFT JOIN meters m ON m.id = h.meter "
            "LEFT JOIN epochs e ON e.id = h.epoch LEFT JOIN ranges r ON r.meter = h.meter AND r.epoch = h.epoch "
            "CROSS JOIN LATERAL (SELECT array_agg(lower(x) ORDER BY x) AS firsts, array_agg(upper(x) - 1 ORDER BY x) "
            "AS lasts, coalesce(max(n), 0) AS n FROM (SELECT x, count(*) OVER () AS n FROM unnest(CASE "
            "WHEN h.batches IS NOT NULL THEN h.batches WHEN h.places THEN h.seqs "
            "ELSE h.seqs - coalesce(r.seqs, '{}') END) AS x ORDER BY x LIMIT %s) AS few) AS s "
            "ORDER BY h.next_ask, h.id",
            now_ms, most, TOGETHER,
        )  # fmt: skip
        messages: dict[str, _Message] = {}
        filled: list[int] = []
        later: list[int] = []
        asked: list[tuple[int, int, int]] = []
        for number, gateway, meter, epoch, times, firsts, lasts, n in rows:
            message = messages.setdefault(gateway, _Message())
            if not n:
                filled.append(number)
            elif message.size + len(firsts) > TOGETHER and message.size:
                later.append(number)
            else:
                message.add(meter, epoch, firsts, lasts)
                pause = pause_s(times + 1) if n <= TOGETHER else PACE_S
                asked.append((times + (n <= TOGETHER), now_ms + pause * 1000, number))
        if filled:
            db.run(f"UPDATE holes SET closed = {AT}, noticed = false WHERE id = ANY(%s)", now_ms, filled)
        if later:
            db.run(f"UPDATE holes SET next_ask = {AT} WHERE id = ANY(%s)", now_ms + PACE_S * 1000, later)
        if asked:
            db.run(
                f"UPDATE holes h SET asked = a.asked, asked_at = {AT}, next_ask = to_timestamp(a.next / 1000.0) "
                "FROM unnest(%s::int[], %s::int8[], %s::int8[]) AS a (asked, next, id) WHERE h.id = a.id",
                now_ms, *map(list, zip(*asked, strict=True)),
            )  # fmt: skip
    return [
        Again(gateway, tuple(message.ranges), tuple(message.batches))
        for gateway, message in messages.items()
        if message.size
    ]


class _Message:
    """What one message asks for."""

    def __init__(self) -> None:
        self.ranges: list[tuple[str, bytes, int, int]] = []
        self.batches: list[tuple[int, int]] = []

    @property
    def size(self) -> int:
        return len(self.ranges) + len(self.batches)

    def add(self, meter: str | None, epoch: bytes | None, firsts: Sequence[int], lasts: Sequence[int]) -> None:
        if meter is None or epoch is None:
            self.batches += zip(firsts, lasts, strict=True)
        else:
            self.ranges += ((meter, bytes(epoch), first, last) for first, last in zip(firsts, lasts, strict=True))


def notice(db: Database, now_ms: int, most: int) -> int:
    """Have the batches looked at whose holes were filled; how many holes that were."""
    with db.transaction():
        rows = db.all(
            "UPDATE holes SET noticed = true WHERE id IN (SELECT id FROM holes WHERE NOT noticed ORDER BY id LIMIT %s "
            "FOR UPDATE SKIP LOCKED) RETURNING gateway, batch",
            most,
        )
        found: dict[int, set[int]] = {}
        for gateway, batch in rows:
            if batch is not None:
                found.setdefault(gateway, set()).add(batch)
    for gateway, batches in sorted(found.items()):
        look_again(db, gateway, sorted(batches), now_ms)
    return len(rows)


def forget(db: Database, now_ms: int, most: int) -> int:
    """Delete holes that closed before anybody was asked, and those that closed long ago; how many."""
    return db.run(
        "DELETE FROM holes WHERE id IN (SELECT id FROM holes WHERE closed IS NOT NULL AND noticed "
        f"AND (asked = 0 OR closed < {AT}) LIMIT %s FOR UPDATE SKIP LOCKED)",
        now_ms - KEPT_S * 1000, most,
    )  # fmt: skip
