"""Records as judging hands them over: really signed, by one key for all."""

from __future__ import annotations

from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from control_room.judged import Judged, JudgedRecord
from ledger_client.formats.record import (
    Body,
    Claims,
    Coverage,
    Event,
    Reading,
    Value,
    parse_record,
    record_hash,
    sign_record,
)
from tests.support.evidence import T0, key

EPOCH = bytes(8)
T0_MS = T0 * 1000
VALUES = (Value("power", Decimal("1.50"), "kW"), Value("energy", 7, "Wh"))


def record(
    seq: int, body: Body | None = None, *, gateway: str = "g", meter: str = "m", epoch: bytes = EPOCH,
    place: int | None = None, time_ms: int = T0_MS,
) -> JudgedRecord:  # fmt: skip
    """A reading of ``time_ms``, unless another body is given."""
    body = body or Reading(time_ms, VALUES)
    claims = Claims(gateway, meter, time_ms // 1000, 1, seq, epoch, None, "S")
    data = sign_record(claims, body, key("meter"))
    parsed = parse_record(data)
    return JudgedRecord(
        gateway, meter, epoch, seq, parsed.time_ms, parsed.kind, seq if place is None else place,
        record_hash(data), data, parsed.body, claims.clock,
    )  # fmt: skip


def readings(seqs: Sequence[int], **facts: Any) -> Judged:
    """A message of readings, a second apart."""
    return Judged(records=tuple(record(seq, **({"time_ms": T0_MS + 1000 * seq} | facts)) for seq in seqs))


def coverage(seq: int, from_ms: int, to_ms: int, due: int, missed: int = 0, **facts: Any) -> JudgedRecord:
    """A coverage record."""
    body = Coverage(from_ms, to_ms, due, due - missed, {"timeout": missed} if missed else {})
    return record(seq, body, **facts)


def alarm(seq: int, raised: bool, at_s: int, *, text: str = "quiet", **facts: Any) -> JudgedRecord:
    """An event in which an alarm is raised, or cleared."""
    fields = {"code": "comms-lost", "line": "line-1", "text": text, "raised": raised}
    return record(seq, Event("alarm", fields), time_ms=at_s * 1000, **facts)
