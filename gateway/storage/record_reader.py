"""Record reader: the gateway's own rows decoded without the verifier's checks, fifteen times as fast.

Only for what was read from the gateway's own database, where the writer put it, and where nothing is proven: charts,
exports, summaries. The bytes are taken for deterministic CBOR and the signature for good; `prove` and `verify` are for
everything else. What cannot be understood at all raises ``Damaged``.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import cbor2

from gateway.errors import Damaged
from gateway.messages.message import Message
from gateway.records import StoredRecord
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Reading, Value
from ledger_client.messages import sentence_of

_CWT, _SUB = 15, 2
_ODD = (cbor2.CBORDecodeError, LookupError, TypeError, ValueError, AttributeError)


def read_reading(row: StoredRecord) -> tuple[Reading, str]:
    """A reading and its clock's letter; what its claims say must be what the row says."""
    try:
        protected, _, payload, _ = cbor2.loads(row.data).value
        claims = cbor2.loads(protected)[_CWT]
        if (claims[_SUB], claims["epoch"], claims["seq"]) != (row.meter, row.epoch, row.seq):
            raise ValueError(f"it is {claims[_SUB]}/{claims['epoch'].hex()}/{claims['seq']}")
        return Reading(row.time_ms, tuple(map(_value, cbor2.loads(payload)))), str(claims["clock"])
    except _ODD as error:
        raise Damaged(Message("record-unreadable", record=row.id, error=sentence_of(error))) from None


def read_body(kind: str, time_ms: int, data: bytes) -> Reading | Coverage:
    """The body of a reading or a coverage record."""
    try:
        payload = cbor2.loads(cbor2.loads(data).value[2])
        if kind == "reading":
            return Reading(time_ms, tuple(map(_value, payload)))
        return Coverage(payload["from"], payload["to"], payload["due"], payload["recorded"], payload["missed"])
    except _ODD as error:
        raise Damaged(Message("record-unreadable-at", time_ms=time_ms, error=sentence_of(error))) from None


def _value(entry: dict[Any, Any]) -> Value:
    quality = entry.get("q_", 0)
    if 2 in entry:
        content = entry[2]
    elif 3 in entry:
        content = entry[3]
        if quality and content == "":
            content = None
    else:
        content = entry[4]
    offset = entry.get(6)
    return Value(entry[0], content, entry.get(1), quality, milliseconds(offset) if offset is not None else 0)


def milliseconds(seconds: Decimal) -> int:
    """Milliseconds of tag 4 [-3, ms]."""
    return int(seconds.scaleb(3))
