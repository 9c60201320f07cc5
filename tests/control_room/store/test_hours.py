"""Hours are made behind, from every reading that came in by then, and again after one that came late."""

from __future__ import annotations

from typing import Any

from control_room.judged import Judged
from control_room.store.connection import Database
from control_room.store.incoming.hours import SETTLE_MS, make
from control_room.store.incoming.portions import HOUR_MS, moment, store
from ledger_client.formats.record import Reading, Value
from tests.control_room.made import T0_MS, record

HOUR = T0_MS // HOUR_MS * HOUR_MS
UNKNOWN = 1 << 40


def put(db: Database, seq: int, minute: int, number: float | None, now_ms: int, quality: int = 0, **facts: Any) -> None:
    values = (Value("p", number, "kW", quality if number is not None else 1), Value("s", "on"))
    time_ms = HOUR + minute * 60_000
    store(db, [Judged(records=(record(seq, Reading(time_ms, values), time_ms=time_ms, **facts),))], now_ms)


def made(db: Database, now_ms: int) -> list[tuple[Any, ...]]:
    while make(db, now_ms, most=1):
        pass
    return db.all("SELECT meter, hour, n, first, last, low, high, sum FROM hours ORDER BY meter, hour")


def row(meter: int, hour: int, n: int, *numbers: float | None) -> tuple[Any, ...]:
    return (meter, moment(HOUR + hour * HOUR_MS), [n, 0], *([number, None] for number in numbers))


def test_an_hour_is_made_when_it_is_over_and_again_after_what_came_late(db: Database) -> None:
    db.run("UPDATE hours_to SET at = %s", moment(HOUR))
    numbers = [5.0, None, 1.0, 9.0, None]
    for seq, number in enumerate(numbers):
        put(db, seq, 10 * seq, number, T0_MS)
    put(db, 0, 70, 3.0, T0_MS, meter="n")
    put(db, 5, 5, 99.0, T0_MS, UNKNOWN)
    assert made(db, HOUR + HOUR_MS + SETTLE_MS - 1) == []
    first = row(1, 0, 3, 5.0, 9.0, 1.0, 9.0, 15.0)
    assert made(db, HOUR + HOUR_MS + SETTLE_MS) == [first]
    rows = db.all("SELECT readings, bits FROM hours")
    assert rows == [(6, [UNKNOWN | 1, 0])]
    later = HOUR + 5 * HOUR_MS
    assert made(db, later) == [first, row(2, 1, 1, 3.0, 3.0, 3.0, 3.0, 3.0)]
    put(db, 9, 59, -2.0, later)
    put(db, 10, -60, 4.0, later)
    assert made(db, later) == [
        row(1, -1, 1, 4.0, 4.0, 4.0, 4.0, 4.0),
        row(1, 0, 4, 5.0, -2.0, -2.0, 9.0, 13.0),
        row(2, 1, 1, 3.0, 3.0, 3.0, 3.0, 3.0),
    ]
    assert db.all("SELECT * FROM hours_due") == []
