"""Records: a reading, coverage or event of one meter, signed by the gateway. No I/O.

A record is a COSE_Sign1 with an empty unprotected header; its claims (RFC 8392, RFC 9597) say whose it is and where it
stands in its meter's sequence, its content type says which of the three payloads it bears.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ledger_client.errors import EncodeError, Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import (
    MAX_RECORD,
    blob,
    is_name,
    name,
    table,
    time_ms,
    uint,
    within,
    writing,
)
from ledger_client.formats.quick_parser import CONTENT_READING, usual_reading
from ledger_client.formats.record_claims import CLOCKS, GATEWAY_ITSELF, Claims, HeaderWriter, claims_map, parse_claims
from ledger_client.formats.senml import (
    PRIMARY_UNITS,
    SECONDARY_UNITS,
    Columns,
    Number,
    Quality,
    Reading,
    Value,
    pack,
    parse_pack,
    quality_words,
)
from ledger_client.formats.senml_writer import PackWriter, Unusual

if TYPE_CHECKING:  # reading needs no key
    from ledger_client.formats.cose_key import Signer

__all__ = [
    "CLOCKS",
    "CONTENT_COVERAGE",
    "CONTENT_EVENT",
    "CONTENT_READING",
    "GATEWAY_ITSELF",
    "MISSED_REASONS",
    "PRIMARY_UNITS",
    "SECONDARY_UNITS",
    "Claims",
    "Columns",
    "Coverage",
    "Event",
    "Number",
    "Quality",
    "Reading",
    "ReadingWriter",
    "Record",
    "Value",
    "claims_map",
    "parse_record",
    "parse_strictly",
    "quality_words",
    "record_hash",
    "sign_record",
]

CONTENT_COVERAGE: Final = "application/vnd.meterseal.coverage+cbor"
CONTENT_EVENT: Final = "application/vnd.meterseal.event+cbor"
MISSED_REASONS: Final = frozenset(
    {"timeout", "refused", "line-down", "backoff", "skipped", "no-shape"}
    | {"stopped", "disk-full", "disk-error", "asleep", "exchanged", "shared"}
)


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was due in [from_ms, to_ms) and what became of it: due = recorded + Σ missed (reason: count)."""

    from_ms: int
    to_ms: int
    due: int
    recorded: int
    missed: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened to a meter or the gateway: a name, and facts that CBOR can hold, under text keys."""

    name: str
    fields: Mapping[str, Any]


Body = Reading | Coverage | Event

COMMISSIONED: Final = "commissioned"
"""Event of a meter: which device it is; with ``profile`` the record of how it was put into service."""
EXCHANGE: Final = "meter-exchange"
"""Event of a meter: another device stands in its place from here on."""


def is_commissioning_record(body: Body) -> bool:
    """Whether this is the record of how a meter was put into service, and not only a first identity."""
    return isinstance(body, Event) and body.name == COMMISSIONED and "profile" in body.fields


@dataclass(frozen=True, slots=True)
class Record:
    """A record that was read: well-formed, its signature not yet checked (``sign1.verify(key)``)."""

    data: bytes
    claims: Claims
    kid: bytes
    body: Body
    sign1: cose.Sign1

    @property
    def kind(self) -> str:
        """'reading', 'coverage' or 'event'."""
        return _KINDS[type(self.body)]

    @property
    def time_ms(self) -> int:
        """The record's time: a reading's bt, a coverage's `to`, an event's iat × 1000."""
        if isinstance(self.body, Reading):
            return self.body.time_ms
        return self.body.to_ms if isinstance(self.body, Coverage) else self.claims.iat * 1000

    @property
    def id(self) -> str:
        """<meter>/<epoch in hex>/<seq>: unique within a gateway, for ever."""
        return f"{self.claims.meter}/{self.claims.epoch.hex()}/{self.claims.seq}"


_KINDS: Final = {Reading: "reading", Coverage: "coverage", Event: "event"}
_CONTENTS: Final = {Reading: CONTENT_READING, Coverage: CONTENT_COVERAGE, Event: CONTENT_EVENT}


def record_hash(data: bytes) -> bytes:
    """SHA-256 of a record, the next one's ``prev``."""
    return hashlib.sha256(data).digest()


def sign_record(claims: Claims, body: Body, signer: Signer) -> bytes:
    """Write and sign a record; ``EncodeError`` (nothing signed) for facts that a reader would refuse."""
    payload = pack(body, claims.gateway, claims.meter) if isinstance(body, Reading) else cbor.encode(_plain(body))
    content = _CONTENTS[type(body)]
    with writing(f"record {claims.meter}/{claims.seq}"):
        _check_owner(parse_claims(claims_map(claims)), parse_body(content, payload, claims))
        protected = {cose.CONTENT_TYPE: content, cose.CWT_CLAIMS: claims_map(claims)}
        return within(cose.sign1(protected, payload, signer), MAX_RECORD, "the record")


def parse_record(data: bytes) -> Record:
    """Read a record strictly: ``Malformed``, at step 2 where content type and owner do not go together."""
    usual = usual_reading(data)
    return parse_strictly(data) if usual is None else Record(data, *usual)


def parse_strictly(data: bytes) -> Record:
    """The same of any record, byte by byte, and the only judge of what is none."""
    sign1 = cose.Sign1.parse(within(data, MAX_RECORD, "the record"))
    table(sign1.unprotected, "the record's unprotected header", set())
    header = cose.entry_header(sign1.protected, "the record")
    kid = blob(header[cose.KID], "kid", 32)
    if sign1.payload is None:
        raise Malformed("the record has no payload")
    claims = parse_claims(header[cose.CWT_CLAIMS])
    body = parse_body(header[cose.CONTENT_TYPE], sign1.payload, claims)
    _check_owner(claims, body)
    return Record(bytes(data), claims, kid, body, sign1)


def parse_body(content: object, payload: bytes, claims: Claims) -> Body:
    """Read the payload that a content type announces."""
    if content == CONTENT_READING:
        return parse_pack(payload, claims.gateway, claims.meter)
    if content == CONTENT_COVERAGE:
        return _coverage(cbor.decode(payload))
    if content == CONTENT_EVENT:
        return _event(cbor.decode(payload))
    raise Malformed(f"content type {content!r} is not that of a reading, a coverage or an event", step=2)


def _check_owner(claims: Claims, body: Body) -> None:
    if claims.meter == GATEWAY_ITSELF and not isinstance(body, Event):
        raise Malformed(f"sub {GATEWAY_ITSELF!r} is the gateway itself, which signs events only", step=2)


def _plain(body: Coverage | Event) -> dict[str, object]:
    if isinstance(body, Coverage):
        times = {"from": body.from_ms, "to": body.to_ms}
        return times | {"due": body.due, "recorded": body.recorded, "missed": body.missed}
    if "event" in body.fields:
        raise EncodeError(f"event {body.name}: a field cannot be called 'event'")
    return {"event": body.name, **body.fields}


def _coverage(value: object) -> Coverage:
    fields = table(value, "coverage", {"to", "due", "from", "missed", "recorded"})
    missed = table(fields["missed"], "coverage missed", set(), set(MISSED_REASONS))
    counts = {reason: uint(count, f"missed {reason}") for reason, count in missed.items()}
    start, end = time_ms(fields["from"], "coverage from"), time_ms(fields["to"], "coverage to")
    due, recorded = uint(fields["due"], "coverage due"), uint(fields["recorded"], "coverage recorded")
    if start > end:
        raise Malformed(f"coverage from {start} is after its end {end}")
    if due != recorded + sum(counts.values()):
        raise Malformed(f"coverage: {due} due are not {recorded} recorded and {sum(counts.values())} missed")
    return Coverage(start, end, due, recorded, counts)


def _event(value: object) -> Event:
    if type(value) is not dict or not all(type(key) is str for key in value):
        raise Malformed("an event is not a map with text keys")
    if not is_name(value.get("event")):
        raise Malformed(f"event {value.get('event')!r} is not a name")
    return Event(value["event"], {key: field for key, field in value.items() if key != "event"})


class ReadingWriter:
    """Signs the readings of one meter, for one thread: the bytes of ``sign_record``, the signature costing the most."""

    def __init__(self, gateway: str, meter: str, signer: Signer) -> None:
        with writing("reading writer"):
            name(gateway, "gateway")
            if name(meter, "meter") == GATEWAY_ITSELF:
                raise Malformed(f"no meter is called {GATEWAY_ITSELF!r}")
        self._signer = signer
        self._owner = gateway, meter
        self._packs = PackWriter(gateway, meter)
        public = signer.public
        self._headers = HeaderWriter(gateway, meter, cose.writer_alg(public), CONTENT_READING, public.kid)

    def sign(self, claims: Claims, reading: Reading) -> bytes:
        """Write and sign one record; ``EncodeError`` as ``sign_record``."""
        if (claims.gateway, claims.meter) != self._owner:
            raise EncodeError(f"a record of {claims.gateway}/{claims.meter} for the writer of {'/'.join(self._owner)}")
        try:
            payload, protected = self._packs.encode(reading), self._headers.encode(claims)
        except Unusual:
            return sign_record(claims, reading, self._signer)
        if len(payload) + len(protected) > MAX_RECORD // 2:
            return sign_record(claims, reading, self._signer)
        message = cose.sig_structure(protected, payload)
        signature = self._signer.sign(message)
        return cose.frame(protected, payload, signature)
