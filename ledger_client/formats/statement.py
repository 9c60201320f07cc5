"""Batch statements: a SCITT Signed Statement (RFC 9943 §6) over the root of one batch of records.

The *entry* of a statement is its COSE_Sign1 with an empty unprotected header, as a ledger logs it; its *id* is the
SHA-256 of that. Outside of a ledger its receipts travel in the unprotected header 394 (RFC 9942 §4.3).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

from ledger_client.errors import EncodeError, Malformed, OutOfRange
from ledger_client.formats import cbor, cose
from ledger_client.formats.base64url import base64url
from ledger_client.formats.checks import (
    MAX_BUNDLE,
    MAX_RECEIPTS,
    array,
    blob,
    name,
    table,
    text,
    time_ms,
    time_s,
    uint,
    within,
    writing,
)
from ledger_client.messages import Message

if TYPE_CHECKING:  # reading needs no key
    from ledger_client.formats.cose_key import Signer

CONTENT_BATCH: Final = "application/vnd.meterseal.batch+cbor"
_SOFTWARE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}/[A-Za-z0-9][A-Za-z0-9._+!-]{0,63}")
_MOST: Final = 2**64 - 1
SIGNED_BEFORE_MS: Final = 2000
"""So far ``to`` may be ahead of ``iat``."""


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Records first … last, both included, of one meter in one epoch (8 bytes)."""

    epoch: bytes
    first: int
    last: int

    def __len__(self) -> int:
        return self.last - self.first + 1


@dataclass(frozen=True, slots=True)
class Statement:
    """What a gateway says of one batch.

    ``batch`` counts 0, 1, 2 …; ``prev`` is the id of the statement before (None in batch 0); ``root`` and ``size`` of
    the tree; ``from_ms`` and ``to_ms`` the earliest and latest time of its records; ``meters`` the ranges of each
    meter, sorted; ``config`` the SHA-256 of the configuration; ``software`` "<name>/<version>"; ``resume`` the reason
    when this one follows what the ledger knows, after a loss; ``iat`` Unix seconds of signing.
    """

    gateway: str
    batch: int
    iat: int
    prev: bytes | None
    root: bytes
    size: int
    from_ms: int
    to_ms: int
    meters: Mapping[str, tuple[Range, ...]]
    config: bytes
    software: str
    resume: str | None = None


@dataclass(frozen=True, slots=True)
class SignedStatement:
    """A statement that was read: well-formed, its signature not yet checked (``sign1.verify(key)``)."""

    statement: Statement
    sub: str
    kid: bytes
    sign1: cose.Sign1
    entry: bytes
    id: bytes


def statement_id(entry: bytes) -> bytes:
    """SHA-256 of the entry."""
    return hashlib.sha256(entry).digest()


def id_text(identifier: bytes) -> str:
    """A statement id as it stands in addresses and topics: base64url without padding."""
    return base64url(identifier)


def sign_statement(statement: Statement, signer: Signer) -> bytes:
    """Write and sign a statement; its entry. ``EncodeError`` (nothing signed) for what a reader would refuse."""
    payload = cbor.encode(_plain(statement))
    claims = {cose.ISS: statement.gateway, cose.SUB: f"batch/{statement.batch}", cose.IAT: statement.iat}
    with writing(f"statement of batch {statement.batch}"):
        _agrees(_statement(claims, cbor.decode(payload)))
        protected = {cose.CONTENT_TYPE: CONTENT_BATCH, cose.CWT_CLAIMS: claims}
        return within(cose.sign1(protected, payload, signer), MAX_BUNDLE, "the statement")


def parse_statement(entry: bytes) -> SignedStatement:
    """Read an entry strictly: ``Malformed``, at step 4 where its parts contradict each other."""
    signed = read_statement(entry)
    check_statement(signed)
    return signed


def read_statement(entry: bytes) -> SignedStatement:
    """Read an entry without asking whether it agrees with itself (step 1 only)."""
    usual = usual_statement(entry)
    return read_strictly(entry) if usual is None else usual


def usual_statement(entry: bytes) -> SignedStatement | None:
    """An entry as nearly all are, known by writing again what was read; None leaves it open what it is."""
    with suppress(Exception):  # the strict reader says what is wrong
        protected, at = cbor.byte_string(entry, 2)
        payload, signed = cbor.byte_string(entry, at + 1)
        signature, end = cbor.byte_string(entry, signed)
        if entry[:2] != b"\xd2\x84" or entry[at] != 0xA0 or end != len(entry):
            return None
        header = _usual_header(protected)
        statement = _statement(header[cose.CWT_CLAIMS], cbor.untagged(payload))
        if _usual_payload(statement) != payload:
            return None
        sub, sign1 = header[cose.CWT_CLAIMS][cose.SUB], cose.Sign1(protected, header, {}, payload, signature)
        return SignedStatement(statement, text(sub, "sub"), header[cose.KID], sign1, entry, statement_id(entry))
    return None


def _usual_header(protected: bytes) -> dict[Any, Any]:
    """The protected header of a statement in its one form; raises whatever is wrong."""
    header: dict[Any, Any] = cbor.untagged(protected)
    claims = header[cose.CWT_CLAIMS]
    written = b"".join(
        (
            b"\xa4\x01",
            cose.ALG_BYTES[header[cose.ALG]],
            _CONTENT_IN_HEADER,
            header[cose.KID],
            b"\x0f\xa3\x01",
            cbor.text_bytes(claims[cose.ISS]),
            b"\x02",
            cbor.text_bytes(claims[cose.SUB]),
            b"\x06",
            cbor.head_bytes(0, claims[cose.IAT]),
        )
    )
    if written != protected:
        raise Malformed("not the header of a usual statement")
    return header


_CONTENT_IN_HEADER: Final = b"\x03" + cbor.text_bytes(CONTENT_BATCH) + b"\x04\x58\x20"  # and before the kid


def _usual_payload(statement: Statement) -> bytes:
    """The payload of a statement as it is written, without ``resume``."""
    uint_bytes, meters = cbor.head_bytes, statement.meters
    if statement.resume is not None or list(meters) != sorted(meters, key=lambda name: (len(name), name)):
        return b""
    prev = b"" if statement.prev is None else b"\x64prev\x58\x20" + statement.prev
    parts = [
        b"\xa9\x62to" if prev else b"\xa8\x62to", uint_bytes(0, statement.to_ms),
        b"\x64from", uint_bytes(0, statement.from_ms), prev,
        b"\x64root\x58\x20", statement.root, b"\x64size", uint_bytes(0, statement.size),
        b"\x65batch", uint_bytes(0, statement.batch), b"\x66config\x58\x20", statement.config,
        b"\x66meters", uint_bytes(5, len(meters)),
    ]  # fmt: skip
    for meter, ranges in meters.items():
        parts += (cbor.text_bytes(meter), uint_bytes(4, len(ranges)))
        for r in ranges:
            parts += (b"\x83\x48", r.epoch, uint_bytes(0, r.first), uint_bytes(0, r.last))
    parts += (b"\x68software", cbor.text_bytes(statement.software))
    return b"".join(parts)


def read_strictly(entry: bytes) -> SignedStatement:
    """The same of any entry, byte by byte, and the only judge of what is none."""
    sign1 = cose.Sign1.parse(within(entry, MAX_BUNDLE, "the statement"))
    table(sign1.unprotected, "the entry's unprotected header", set())
    header = cose.entry_header(sign1.protected, "the statement")
    claims = header[cose.CWT_CLAIMS]
    statement = _statement(claims, cose.entry_payload(sign1, CONTENT_BATCH, "the statement"))
    kid, sub = blob(header[cose.KID], "kid", 32), text(claims[cose.SUB], "sub")
    return SignedStatement(statement, sub, kid, sign1, bytes(entry), statement_id(entry))


def check_statement(signed: SignedStatement) -> None:
    """Raise ``Malformed`` (step 4) unless the statement agrees with itself."""
    if signed.sub != f"batch/{signed.statement.batch}":
        raise Malformed(f"sub is {signed.sub!r}, the batch is {signed.statement.batch}", step=4)
    _agrees(signed.statement)


def check_signed_behind(statement: Statement) -> None:
    """Raise ``OutOfRange`` (step 4) for a statement that was signed before its last record: by more than what whole
    seconds and a grid that is a little off the clock make up."""
    if statement.to_ms - SIGNED_BEFORE_MS > statement.iat * 1000:
        raise OutOfRange(Message("statement-signed-before", signed_s=statement.iat, to_ms=statement.to_ms), step=4)


def _plain(statement: Statement) -> dict[str, object]:
    meters = {meter: [[r.epoch, r.first, r.last] for r in sorted(ranges)] for meter, ranges in statement.meters.items()}
    optional = {"prev": statement.prev, "resume": statement.resume}
    return {
        "batch": statement.batch,
        "root": statement.root,
        "size": statement.size,
        "from": statement.from_ms,
        "to": statement.to_ms,
        "meters": meters,
        "config": statement.config,
        "software": statement.software,
    } | {key: value for key, value in optional.items() if value is not None}


def _statement(claims: object, payload: object) -> Statement:
    claim = table(claims, "the statement's claims", {cose.ISS, cose.SUB, cose.IAT})
    required = {"batch", "root", "size", "from", "to", "meters", "config", "software"}
    fields = table(payload, "statement", required, {"prev", "resume"})
    meters = fields["meters"]
    if type(meters) is not dict:
        raise Malformed("the statement's meters are not a map")
    if type(fields["software"]) is not str or not _SOFTWARE.fullmatch(fields["software"]):
        raise Malformed(f"software is {fields['software']!r}, not <name>/<version>")
    return Statement(
        name(claim[cose.ISS], "iss"),
        uint(fields["batch"], "batch"),
        time_s(claim[cose.IAT], "iat"),
        blob(fields["prev"], "prev", 32) if "prev" in fields else None,
        blob(fields["root"], "root", 32),
        uint(fields["size"], "size"),
        time_ms(fields["from"], "from"),
        time_ms(fields["to"], "to"),
        {name(meter, "a meter of the statement"): _ranges(meter, ranges) for meter, ranges in meters.items()},
        blob(fields["config"], "config", 32),
        fields["software"],
        text(fields["resume"], "resume") if "resume" in fields else None,
    )


def _ranges(meter: str, value: object) -> tuple[Range, ...]:
    """Sorted and disjoint: nothing may be counted twice."""
    if type(value) is list and len(value) == 1 and type(value[0]) is list and len(value[0]) == 3:  # nearly always
        epoch, first, last = value[0]
        numbers = type(first) is int and type(last) is int and 0 <= first <= last <= _MOST
        if numbers and type(epoch) is bytes and len(epoch) == 8:
            return (Range(epoch, first, last),)
    ranges = []
    for part in array(value, f"ranges of {meter}", 1):
        epoch, first, last = array(part, f"a range of {meter}", 3, 3)
        ranges.append(Range(blob(epoch, "epoch", 8), uint(first, "first"), uint(last, "last")))
        if first > last:
            raise Malformed(f"{meter}: range from {first} to {last}")
    for before, after in pairwise(ranges):
        if before > after or (before.epoch == after.epoch and before.last >= after.first):
            raise Malformed(f"{meter}: the ranges are not sorted and disjoint")
    return tuple(ranges)


def _agrees(statement: Statement) -> None:
    total = sum(r.last - r.first + 1 for ranges in statement.meters.values() for r in ranges)  # may pass len()
    if not 0 < statement.size == total:
        raise Malformed(f"size is {statement.size}, its ranges hold {total} records", step=4)
    if (statement.prev is None) != (statement.batch == 0):
        raise Malformed("prev is absent in batch 0, and only there", step=4)
    if statement.from_ms > statement.to_ms:
        raise Malformed(f"from {statement.from_ms} is after to {statement.to_ms}", step=4)


def attach_receipts(entry: bytes, receipts: Iterable[bytes]) -> bytes:
    """The statement with its receipts in header 394; without any, the entry itself."""
    attached = list(receipts)
    if len(attached) > MAX_RECEIPTS:
        raise EncodeError(f"{len(attached)} receipts, the cap is {MAX_RECEIPTS}")
    sign1 = cose.Sign1.parse(entry)
    unprotected: dict[Any, object] = {cose.RECEIPTS: attached} if attached else {}
    return cose.Sign1(sign1.protected_bytes, sign1.protected, unprotected, sign1.payload, sign1.signature).encode()


def detach_receipts(data: bytes) -> tuple[bytes, tuple[bytes, ...]]:
    """(entry, receipts) of a statement; ``Malformed`` if its unprotected header holds anything else."""
    sign1 = cose.Sign1.parse(within(data, MAX_BUNDLE, "the statement"))
    if not sign1.unprotected:
        return bytes(data), ()  # what was read strictly is written so
    header = table(sign1.unprotected, "the statement's unprotected header", set(), {cose.RECEIPTS})
    receipts: list[bytes] = []
    if cose.RECEIPTS in header:
        receipts = array(header[cose.RECEIPTS], "receipts", 1, MAX_RECEIPTS)
        if not all(type(receipt) is bytes for receipt in receipts):
            raise Malformed("a receipt is not a byte string")
    entry = cose.Sign1(sign1.protected_bytes, sign1.protected, {}, sign1.payload, sign1.signature).encode()
    return entry, tuple(receipts)


def usual_parts(data: bytes) -> tuple[bytes, tuple[bytes, ...]] | None:
    """(entry, receipts) of a statement with up to 16 receipts, its frame in the one form and its header and payload
    unread; raises whatever is wrong."""
    _, at = cbor.byte_string(data, 2)
    count, end = data[at + 4] - 0x80, at + 5
    if data[:2] != b"\xd2\x84" or data[at : at + 4] != _RECEIPTS_IN_HEADER or not 0 < count <= MAX_RECEIPTS:
        return None
    receipts = []
    for _ in range(count):
        receipt, end = cbor.byte_string(data, end)
        receipts.append(receipt)
    _, signed = cbor.byte_string(data, end)
    if cbor.byte_string(data, signed)[1] != len(data):
        return None
    return b"%b\xa0%b" % (data[:at], data[end:]), tuple(receipts)


_RECEIPTS_IN_HEADER: Final = b"\xa1\x19\x01\x8a"  # {394: [
