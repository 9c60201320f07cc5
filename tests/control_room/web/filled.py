"""A database as receivers leave it, written row by row: gateways that stand in every way, a meter of one of them, and
what is missing, refused and raised.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from decimal import Decimal

from control_room.store.connection import Database
from control_room.store.shapes import Shapes
from gateway.messages.message import Message
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.senml import Quality, Reading, Value
from ledger_client.formats.statement import Range, Statement, parse_statement, sign_statement

NOW_MS = 1_796_126_400_000
"""Noon of 2026-12-01, UTC."""
EPOCH = bytes.fromhex("0011223344556677")
EVERY_MS, READINGS = 10_000, 300
WELL, AWAY, FORKED, HOLED, STRANGE, UNHEARD = "well-1", "away-1", "forked-1", "holed-1", "strange-1", "unheard-1"
LISTED = frozenset({WELL, AWAY, FORKED, HOLED, UNHEARD})
"""The trust file has these, and STRANGE no longer."""
METER, OTHER = "pv-1", "grid-1"
MISSED = 17
"""The reading whose value was bad."""


@dataclass(frozen=True, slots=True)
class Filled:
    """What was written: the readings of METER of WELL, in the order of time."""

    readings: tuple[Reading, ...]


def at(ms: int) -> str:
    """A time as the database takes it."""
    return f"{ms / 1000:.3f}"


def fill(db: Database, now_ms: int = NOW_MS) -> Filled:
    """Write all of it."""
    for name in (WELL, AWAY, FORKED, HOLED, STRANGE):
        heard = now_ms - (600_000 if name == AWAY else 5_000)
        db.run(
            "INSERT INTO gateways (name, heard, newest, clock, status, status_at, records, repeated, forked) "
            "VALUES (%s, to_timestamp(%s), to_timestamp(%s), 'S', %s::jsonb, to_timestamp(%s), 1000, 3, %s)",
            name, at(heard), at(heard - 1000), json.dumps({"v": 1, "online": True, "version": "0.1.0"}), at(heard),
            int(name == FORKED),
        )  # fmt: skip
    number = {row[0]: row[1] for row in db.all("SELECT name, id FROM gateways")}
    db.run("INSERT INTO days VALUES (%s, to_timestamp(%s)::date, 1000, 990)", number[WELL], at(now_ms))
    readings = _readings(db, number[WELL], now_ms)
    _missing(db, number, now_ms)
    return Filled(readings)


def _readings(db: Database, gateway: int, now_ms: int) -> tuple[Reading, ...]:
    configured = json.dumps({"role": "generation", "profile": "demo", "period": EVERY_MS, "reversed": True})
    db.run("INSERT INTO meters (gateway, name, configured) VALUES (%s, %s, %s::jsonb)", gateway, METER, configured)
    for name in (OTHER, "gateway"):
        db.run("INSERT INTO meters (gateway, name) VALUES (%s, %s)", gateway, name)
    db.run("INSERT INTO epochs (gateway, epoch) VALUES (%s, %s)", gateway, EPOCH)
    row = db.one("SELECT m.id, e.id FROM meters m, epochs e WHERE m.name = %s", METER)
    assert row is not None
    meter, epoch = row
    shapes, readings = Shapes(db), []
    begin_ms = now_ms - READINGS * EVERY_MS
    for seq in range(READINGS):
        time_ms = begin_ms + seq * EVERY_MS
        bad = seq == MISSED
        reading = Reading(
            time_ms,
            (
                Value("active_power", None if bad else Decimal(seq * 25).scaleb(-1), "W",
                      int(Quality.RANGE_HIGH) if bad else 0),
                Value("energy_export", 1000 + seq, "Wh", int(Quality.LATE) if seq % 2 else 0, 40),
                Value("state", "running" if seq % 3 else "stopped"),
                Value("exact", Decimal("12345678901234567890.50"), "kWh"),
            ),
        )  # fmt: skip
        found = shapes.row(reading)
        db.run(
            "INSERT INTO readings (time, seq, meter, epoch, shape, quality, num, rest) "
            "VALUES (to_timestamp(%s), %s, %s, %s, %s, %s, %s, %s::jsonb)",
            at(time_ms), seq, meter, epoch, found.shape, found.quality, list(found.num), json.dumps(found.rest),
        )  # fmt: skip
        readings.append(reading)
    db.run(
        "INSERT INTO ranges (meter, epoch, seqs, newest, newest_reading) "
        "VALUES (%s, %s, int8multirange(int8range(0, %s)), to_timestamp(%s), to_timestamp(%s))",
        meter, epoch, READINGS, at(time_ms), at(time_ms),
    )  # fmt: skip
    # as they are when a portion has brought them
    db.run("UPDATE hours_to SET at = date_trunc('hour', to_timestamp(%s))", at(now_ms))
    db.run(
        "INSERT INTO hours_due SELECT DISTINCT meter, date_trunc('hour', time) FROM readings "
        "WHERE time < (SELECT at FROM hours_to)"
    )
    return tuple(readings)


def _missing(db: Database, number: dict[str, int], now_ms: int) -> None:
    why = json.dumps(Message("token-missing").to_fields())
    for batch, state in enumerate(("proven", "proven", "open")):
        entry = statement(batch, now_ms - (3 - batch) * 60_000)
        db.run(
            "INSERT INTO batches (gateway, batch, statement_id, entry, from_at, to_at, size, iat, arrived, state, why) "
            "VALUES (%s, %s, %s, %s, to_timestamp(%s), to_timestamp(%s), 10, now(), to_timestamp(%s), %s, %s::jsonb)",
            number[HOLED], batch, parse_statement(entry).id, entry, at(now_ms - (3 - batch) * 60_000),
            at(now_ms - (2 - batch) * 60_000), at(now_ms), state, None if state == "proven" else why,
        )  # fmt: skip
    db.run(
        "INSERT INTO holes (gateway, batches, since, next_ask) "
        "VALUES (%s, '{[4,7)}', to_timestamp(%s), to_timestamp(%s))",
        number[HOLED], at(now_ms), at(now_ms),
    )  # fmt: skip
    for step in (1, 2, 3):
        db.run(
            "INSERT INTO refused (at, topic, gateway, step, why, size, bytes, hash) "
            "VALUES (to_timestamp(%s), %s, %s, %s, %s::jsonb, 3, '\\x000102', %s)",
            at(now_ms), f"meterseal-records/v1/{FORKED}/records", FORKED, step, why, bytes([step]),
        )  # fmt: skip
    for gateway, source, code in (
        (number[FORKED], "gateway", "equivocation"), (number[WELL], "gateway", "clock"), (None, "control", "odd"),
    ):  # fmt: skip
        db.run(
            "INSERT INTO alarms (gateway, source, code, text, since, raised) "
            "VALUES (%s, %s, %s, 'why', to_timestamp(%s), to_timestamp(%s))",
            gateway, source, code, at(now_ms), at(now_ms),
        )  # fmt: skip


def statement(batch: int, from_ms: int) -> bytes:
    """An entry of a batch of HOLED."""
    meters = {METER: (Range(EPOCH, batch * 10, batch * 10 + 9),)}
    made = Statement(
        HOLED, batch, (from_ms + 60_000) // 1000, None if batch == 0 else bytes(32), bytes(32), 10, from_ms,
        from_ms + 60_000, meters, bytes(32), "meterseal/0.1.0",
    )  # fmt: skip
    return sign_statement(made, PrivateKey.generate())
