"""Records: a reading, coverage or event of one meter, signed by the gateway. No I/O.

A record is a COSE_Sign1 with an empty unprotected header; its claims (RFC 8392, RFC 9597) say whose it is and where it
stands in its meter's sequence, its content type says which of the three payloads it bears.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ledger_client.errors import EncodeError, Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import (
    MAX_RECORD,
    MAX_TIME_S,
    blob,
    is_name,
    name,
    table,
    time_ms,
    time_s,
    uint,
    within,
    writing,
)
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
from ledger_client.formats.senml_writer import PackWriter, Unusual, uint_bytes

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
    "parse_record",
    "quality_words",
    "record_hash",
    "sign_record",
]

CONTENT_READING: Final = "application/senml+cbor"
CONTENT_COVERAGE: Final = "application/vnd.meterseal.coverage+cbor"
CONTENT_EVENT: Final = "application/vnd.meterseal.event+cbor"
GATEWAY_ITSELF: Final = "gateway"  # the sub of the gateway's own events; no meter may bear this name
CLOCKS: Final = frozenset("UISR")  # OCMF: unknown, informative, synchronised, relative
MISSED_REASONS: Final = frozenset(
    {"timeout", "refused", "line-down", "backoff", "skipped", "no-shape"}
    | {"stopped", "disk-full", "disk-error", "asleep", "exchanged", "shared"}
)


class Claims(NamedTuple):
    """Whose record this is and where it stands; a tuple, because one is made for every record.

    ``iat`` Unix seconds of signing; ``up_ms`` the monotonic clock since the epoch began; ``seq`` 0, 1, 2 … of this
    meter in this ``epoch`` (8 random bytes a process start); ``prev`` SHA-256 of the meter's last record (None: there
    is none); ``clock`` one of U I S R; ``err_ms`` the clock's error bound; ``salt`` 16 bytes against guessing.
    """

    gateway: str
    meter: str
    iat: int
    up_ms: int
    seq: int
    epoch: bytes
    prev: bytes | None
    clock: str
    err_ms: int | None = None
    salt: bytes | None = None


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


def claims_map(claims: Claims) -> dict[Any, object]:
    """The CWT claims as they are written."""
    optional = {"err": claims.err_ms, "prev": claims.prev, "salt": claims.salt}
    return {
        cose.ISS: claims.gateway,
        cose.SUB: claims.meter,
        cose.IAT: claims.iat,
        "up": claims.up_ms,
        "seq": claims.seq,
        "clock": claims.clock,
        "epoch": claims.epoch,
    } | {key: value for key, value in optional.items() if value is not None}


def parse_claims(value: object) -> Claims:
    """Read the CWT claims of a record."""
    required = {cose.ISS, cose.SUB, cose.IAT, "up", "seq", "clock", "epoch"}
    claims = table(value, "the record's claims", required, {"err", "prev", "salt"})
    if type(claims["clock"]) is not str or claims["clock"] not in CLOCKS:
        raise Malformed(f"clock is {claims['clock']!r}, not one of U, I, S and R")
    return Claims(
        name(claims[cose.ISS], "iss"),
        name(claims[cose.SUB], "sub"),
        time_s(claims[cose.IAT], "iat"),
        uint(claims["up"], "up"),
        uint(claims["seq"], "seq"),
        blob(claims["epoch"], "epoch", 8),
        blob(claims["prev"], "prev", 32) if "prev" in claims else None,
        claims["clock"],
        uint(claims["err"], "err") if "err" in claims else None,
        blob(claims["salt"], "salt", 16) if "salt" in claims else None,
    )


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
        header = {cose.ALG: cose.writer_alg(signer.public), cose.CONTENT_TYPE: CONTENT_READING}
        fixed = cbor.encode(header | {cose.KID: signer.public.kid, cose.CWT_CLAIMS: None})
        self._fixed = fixed[:-1]  # up to the claims, whose map follows
        self._names = b"\x01" + cbor.encode(gateway) + b"\x02" + cbor.encode(meter) + b"\x06"

    def sign(self, claims: Claims, reading: Reading) -> bytes:
        """Write and sign one record; ``EncodeError`` as ``sign_record``."""
        if (claims.gateway, claims.meter) != self._owner:
            raise EncodeError(f"a record of {claims.gateway}/{claims.meter} for the writer of {'/'.join(self._owner)}")
        try:
            payload, protected = self._packs.encode(reading), self._protected(claims)
        except Unusual:
            return sign_record(claims, reading, self._signer)
        if len(payload) + len(protected) > MAX_RECORD // 2:
            return sign_record(claims, reading, self._signer)
        message = cose.sig_structure(protected, payload)
        signature = self._signer.sign(message)
        head, body = cose.bstr_head(protected), cose.bstr_head(payload)
        return b"".join((b"\xd2\x84", head, protected, b"\xa0", body, payload, b"\x58\x40", signature))

    def _protected(self, claims: Claims) -> bytes:
        """The protected header; ``Unusual`` for claims that ``sign_record`` is to judge."""
        count = 7 + (claims.err_ms is not None) + (claims.prev is not None)
        prev = claims.prev
        if claims.clock not in CLOCKS or claims.salt is not None or claims.iat > MAX_TIME_S:
            raise Unusual
        if len(claims.epoch) != 8 or not (prev is None or len(prev) == 32):
            raise Unusual
        return b"".join(
            (
                self._fixed,
                bytes((0xA0 + count,)),
                self._names,
                uint_bytes(claims.iat),
                b"\x62up",
                uint_bytes(claims.up_ms),
                b"" if claims.err_ms is None else b"\x63err" + uint_bytes(claims.err_ms),
                b"\x63seq",
                uint_bytes(claims.seq),
                b"" if prev is None else b"\x64prev\x58\x20" + prev,
                b"\x65clock\x61",
                claims.clock.encode(),
                b"\x65epoch\x48",
                claims.epoch,
            )
        )
