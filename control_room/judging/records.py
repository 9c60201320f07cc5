"""A record of a gateway: whether it is one, its gateway's, by a key that may sign it. Pure."""

from __future__ import annotations

from control_room.judged import JudgedRecord
from control_room.judging.keys import demand_may_count, demand_owner
from control_room.judging.storable import demand_numbers, demand_text
from gateway.messages.message import Message
from ledger_client.errors import VerificationError, at_step
from ledger_client.formats.record import Coverage, Event, Reading, Record, parse_record, record_hash
from ledger_client.verification.trust import Trust
from ledger_client.verification.verify import record_key_of

RECORD = 2
"""Step of a record's owner, key and signature."""


def judged(gateway: str, place: int | None, data: bytes, trust: Trust, now_s: int) -> JudgedRecord:
    """The record in these bytes. Raises the VerificationError of the first step that fails."""
    record = parse_record(data)
    claims = record.claims
    demand_owner(gateway, claims.gateway, step=RECORD)
    key = record_key_of(record, trust)
    demand_may_count(key, claims.iat, now_s, Message("verify-key-of-meter", meter=claims.meter))
    with at_step(RECORD):
        record.sign1.verify(key.key)
    _demand_storable(record, place)
    return JudgedRecord(
        gateway, claims.meter, claims.epoch, claims.seq, record.time_ms, record.kind, place, record_hash(data), data,
        record.body, claims.clock,
    )  # fmt: skip


def kid_of(data: bytes) -> bytes | None:
    """The key that a record names, where it is a record."""
    try:
        return parse_record(data).kid
    except VerificationError:
        return None


def _demand_storable(record: Record, place: int | None) -> None:
    body = record.body
    demand_numbers((("seq", record.claims.seq), ("place", place or 0)), step=RECORD)
    if isinstance(body, Reading):
        for value in body.values:
            if type(value.value) is str:
                demand_text(value.value, value.name, step=RECORD)
            if value.quality:
                demand_numbers(((value.name, value.quality),), step=RECORD)
    elif isinstance(body, Coverage):
        demand_numbers((("due", body.due), ("recorded", body.recorded)), step=RECORD)
    elif isinstance(body, Event) and b"\0" in record.data:
        demand_text(body.fields, body.name, step=RECORD)
