"""Signed head of a ledger's log: its number of entries and its root at one time. Pure.

A COSE_Sign1 in the form of an entry (tag 18, unprotected header empty): its id, SHA-256 of its bytes, can be anchored
elsewhere as a statement's id is. Two heads of one size with two roots, or two that no consistency proof connects, are
proof of a ledger that shows different logs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ledger_client.errors import Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import blob, name, table, time_s, uint, within, writing
from ledger_client.formats.statement import statement_id

if TYPE_CHECKING:  # reading needs no key
    from ledger_client.formats.cose_key import PublicKey, Signer

CONTENT_HEAD: Final = "application/vnd.meterseal.log-head+cbor"
SUB: Final = "log"
MAX_HEAD: Final = 1024  # bytes


@dataclass(frozen=True, slots=True)
class LogHead:
    """A head: the ledger's name, the number of entries, the root over them, Unix seconds of signing."""

    ledger: str
    size: int
    root: bytes
    iat: int


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head that was read, its signature not yet checked (``sign1.verify(key)``); ``kid`` says by which key.

    ``id`` is SHA-256 of its bytes: what is anchored where a statement's id would be.
    """

    head: LogHead
    kid: bytes
    sign1: cose.Sign1
    data: bytes
    id: bytes


def sign_head(head: LogHead, signer: Signer) -> bytes:
    """Write and sign a head; ``EncodeError`` for what a reader would refuse."""
    claims = {cose.ISS: head.ledger, cose.SUB: SUB, cose.IAT: head.iat}
    payload = {"root": head.root, "size": head.size}
    with writing(f"head of {head.size} entries"):
        _head(claims, payload)
    return cose.sign1({cose.CONTENT_TYPE: CONTENT_HEAD, cose.CWT_CLAIMS: claims}, cbor.encode(payload), signer)


def parse_head(data: bytes) -> SignedHead:
    """Read a head strictly; ``Malformed`` for anything else."""
    sign1 = cose.Sign1.parse(within(data, MAX_HEAD, "the head"))
    table(sign1.unprotected, "the head's unprotected header", set())
    header = cose.entry_header(sign1.protected, "the head")
    head = _head(header[cose.CWT_CLAIMS], cose.entry_payload(sign1, CONTENT_HEAD, "the head"))
    return SignedHead(head, blob(header[cose.KID], "kid", 32), sign1, bytes(data), statement_id(data))


def check_head(data: bytes, ledger: str, key: PublicKey) -> LogHead:
    """The head that this ledger signed with this key; ``Malformed`` or ``BadSignature``."""
    signed = parse_head(data)
    if signed.head.ledger != ledger:
        raise Malformed(f"the head is of ledger {signed.head.ledger}, not of {ledger}")
    signed.sign1.verify(key)
    return signed.head


def _head(claims: object, payload: object) -> LogHead:
    claim = table(claims, "the head's claims", {cose.ISS, cose.SUB, cose.IAT})
    if claim[cose.SUB] != SUB:
        raise Malformed(f"sub is {claim[cose.SUB]!r}, not {SUB!r}")
    fields = table(payload, "head", {"root", "size"})
    size = uint(fields["size"], "size")
    if size == 0:
        raise Malformed("the head of a log without an entry")
    return LogHead(name(claim[cose.ISS], "iss"), size, blob(fields["root"], "root", 32), time_s(claim[cose.IAT], "iat"))
