"""Receipts: COSE Receipts of inclusion (RFC 9942 §5.2), a ledger's proof that it logged an entry.

The signature is over the root of the ledger's tree, which the reader computes from the entry and the path. The tree's
size is not signed by RFC 9942; the claim ``"size"`` binds it. A receipt with that claim is in Meterseal's own form and
is read strictly; one without it is a foreign ledger's and is taken as it came (definite lengths, no duplicate key, no
trailing byte).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import cbor2

from ledger_client.errors import BadReceipt, BadSignature, Malformed, NotIncluded, UnsupportedLog
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import (
    MAX_BUNDLE,
    MAX_PATH,
    array,
    blob,
    name,
    proof,
    table,
    text,
    time_s,
    uint,
    within,
    writing,
)
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.statement import id_text, statement_id
from ledger_client.messages import Message, Sentence

if TYPE_CHECKING:  # reading needs no key
    from ledger_client.formats.cose_key import PublicKey, Signer

VDS_RFC9162_SHA256: Final = 1
INCLUSION: Final = -1
SIZE_CLAIM: Final = "size"
_CWT_TIME: Final = 1  # tag of an epoch time; RFC 8392 §2 leaves it out, some ledgers do not


@dataclass(frozen=True, slots=True)
class Receipt:
    """A receipt that was read, not yet checked.

    ``ledger`` (iss), ``sub`` and ``iat`` (Unix seconds of signing; None: a foreign ledger does not say), ``kid`` and
    ``alg`` of the ledger's key, ``vds`` the data structure (1: RFC 9162 tree), ``size_claim`` the signed tree size
    (None in a foreign receipt), then the proof: leaf ``index`` in a tree of ``size`` and its ``path`` (0, 0 and () for
    another vds).
    """

    ledger: str
    sub: str | None
    iat: int | None
    kid: bytes
    alg: int
    vds: int
    size_claim: int | None
    size: int
    index: int
    path: tuple[bytes, ...]
    data: bytes
    sign1: cose.Sign1


def sign_receipt(
    ledger: str, sub: str, iat: int, size: int, index: int, path: Sequence[bytes], root: bytes, signer: Signer
) -> bytes:
    """Write a ledger's receipt for the entry at ``index`` of its tree; ``EncodeError`` for what a reader would refuse.

    ``path`` has at least one hash (RFC 9942 has no form for a tree of one leaf), ``root`` is what gets signed.
    """
    claims = {cose.ISS: ledger, cose.SUB: sub, cose.IAT: iat, SIZE_CLAIM: size}
    with writing(f"receipt for entry {index}"):
        blob(root, "root", 32)
        proof([size, index, list(path)], "proof", 1)
        our_claims(claims)
    unprotected = {cose.VDP: {INCLUSION: [cbor.encode([size, index, list(path)])]}}
    protected = {cose.VDS: VDS_RFC9162_SHA256, cose.CWT_CLAIMS: claims}
    return cose.sign1(protected, root, signer, unprotected=unprotected, detached=True)


@dataclass(frozen=True, slots=True)
class Envelope:
    """The header that receipts of every kind share; ``own`` is our own form, read strictly. See ``Receipt``."""

    ledger: str
    sub: str | None
    iat: int | None
    kid: bytes
    alg: int
    vds: int
    size_claim: int | None
    ours: bool
    sign1: cose.Sign1


def parse_receipt(data: bytes) -> Receipt:
    """Read a receipt, strictly if it is in our own form; ``Malformed`` for anything that is no receipt."""
    with suppress(Exception):  # what follows says what is wrong
        if (usual := usual_receipt(data)) is not None:
            return usual
    return parse_strictly(data)


def parse_strictly(data: bytes) -> Receipt:
    """The same of any receipt, byte by byte, and the only judge of what is none."""
    head = parse_envelope(data)
    if head.sign1.payload is not None:
        raise Malformed("the receipt bears a payload; its root is to be computed")
    size, index, path = 0, 0, tuple[bytes, ...]()
    if head.vds == VDS_RFC9162_SHA256:
        encoded = one_proof(head, INCLUSION)
        size, index, path = proof(cbor.decode(encoded, foreign=not head.ours), "inclusion proof", 1)
    return Receipt(
        head.ledger, head.sub, head.iat, head.kid, head.alg, head.vds, head.size_claim, size, index, path,
        bytes(data), head.sign1,
    )  # fmt: skip


def usual_receipt(data: bytes) -> Receipt | None:
    """A receipt in our own form, known by writing again what was read; raises whatever is wrong."""
    protected, at = cbor.byte_string(data, 2)
    encoded, end = cbor.byte_string(data, at + 7)
    signature = data[end + 3 :]
    if b"".join((b"\xd2\x84", cose.bstr_head(protected), protected, _PROOF_IN_HEADER, cose.bstr_head(encoded), encoded,
                 b"\xf6\x58\x40", signature)) != data or len(signature) != 64:  # fmt: skip
        return None
    header = cbor.untagged(protected)
    kid, alg, claims = header[cose.KID], header[cose.ALG], header[cose.CWT_CLAIMS]
    ledger, sub, iat, signed_size = our_claims(claims)
    written = b"".join(
        (
            b"\xa4\x01",
            cose.ALG_BYTES[alg],
            b"\x04\x58\x20",
            kid,
            b"\x0f\xa4\x01",
            cbor.text_bytes(ledger),
            b"\x02",
            cbor.text_bytes(sub),
            b"\x06",
            cbor.head_bytes(0, iat),
            b"\x64size",
            cbor.head_bytes(0, signed_size),
            b"\x19\x01\x8b\x01",
        )
    )
    size, index, path = cbor.untagged(encoded)
    parts = [b"\x83", cbor.head_bytes(0, size), cbor.head_bytes(0, index), cbor.head_bytes(4, len(path))]
    for sibling in path:
        parts += (b"\x58\x20", sibling)
    if written != protected or b"".join(parts) != encoded or not 0 < len(path) <= MAX_PATH:
        return None
    unprotected = {cose.VDP: {INCLUSION: [encoded]}}
    sign1 = cose.Sign1(protected, header, unprotected, None, signature)
    return Receipt(ledger, sub, iat, kid, alg, VDS_RFC9162_SHA256, signed_size, size, index, tuple(path), data, sign1)


_PROOF_IN_HEADER: Final = b"\xa1\x19\x01\x8c\xa1\x20\x81"  # {396: {-1: [


def parse_envelope(data: bytes) -> Envelope:
    """Read the header of a COSE Receipt, strictly if it bears our claim ``"size"``; ``Malformed`` otherwise."""
    sign1 = cose.Sign1.parse(within(data, MAX_BUNDLE, "the receipt"), foreign=True)
    claims = sign1.protected.get(cose.CWT_CLAIMS)
    ours = isinstance(claims, dict) and SIZE_CLAIM in claims
    if ours:
        sign1 = cose.Sign1.parse(data)
        table(sign1.protected, "the receipt's header", {cose.ALG, cose.KID, cose.CWT_CLAIMS, cose.VDS})
        table(sign1.unprotected, "the receipt's unprotected header", {cose.VDP})
        blob(sign1.protected[cose.KID], "kid", 32)
    ledger, sub, iat, size_claim = _claims(claims, ours=ours)
    kid, vds = sign1.protected.get(cose.KID), sign1.protected.get(cose.VDS)
    if type(kid) is not bytes or not 0 < len(kid) <= 256:
        raise Malformed("the receipt has no kid")
    if type(vds) is not int:
        raise Malformed("the receipt does not say what structure it is over (395)")
    alg = sign1.protected.get(cose.ALG)
    if type(alg) is not int:
        raise Malformed("the receipt has no alg")
    return Envelope(ledger, sub, iat, kid, alg, vds, size_claim, ours, sign1)


def our_claims(value: object) -> tuple[str, str, int, int]:
    """(iss, sub, iat, size) of the claims in our own form; ``Malformed``."""
    claims = table(value, "the receipt's claims", {cose.ISS, cose.SUB, cose.IAT, SIZE_CLAIM})
    return (
        name(claims[cose.ISS], "iss"),
        text(claims[cose.SUB], "sub"),
        time_s(claims[cose.IAT], "iat"),
        uint(claims[SIZE_CLAIM], "size claim"),
    )


def _claims(value: object, *, ours: bool) -> tuple[str, str | None, int | None, int | None]:
    if ours:
        return our_claims(value)
    if type(value) is not dict:
        raise Malformed("the receipt has no CWT claims (15)")
    sub = text(value[cose.SUB], "sub", 8192) if cose.SUB in value else None
    iat = _foreign_time(value[cose.IAT]) if cose.IAT in value else None
    return text(value.get(cose.ISS), "iss", 8192), sub, iat, None


def _foreign_time(value: object) -> int:
    """A NumericDate (RFC 8392 §2: integer or float) as whole seconds, never earlier than it says."""
    if isinstance(value, cbor2.CBORTag) and value.tag == _CWT_TIME:
        value = value.value
    if type(value) is float and math.isfinite(value):
        value = math.ceil(value)
    return time_s(value, "iat")


def one_proof(head: Envelope, kind: int) -> bytes:
    """The one encoded proof of a kind in the header 396; ``Malformed``."""
    proofs = head.sign1.unprotected.get(cose.VDP)
    if head.ours:
        proofs = table(proofs, "the receipt's proofs", {kind})
    if type(proofs) is not dict:
        raise Malformed("the receipt has no proofs (396)")
    what = {INCLUSION: "inclusion proof"}.get(kind, "consistency proof")
    (encoded,) = array(proofs.get(kind), f"{what}s", 1, 1)
    if type(encoded) is not bytes:
        raise Malformed(f"the {what} is not a byte string")
    return encoded


def check(receipt: Receipt, entry: bytes, key: PublicKey) -> None:
    """Raise ``UnsupportedLog`` or ``BadReceipt`` unless the key's owner logged this entry."""
    if receipt.vds != VDS_RFC9162_SHA256:
        raise UnsupportedLog(_at(receipt, Message("receipt-structure", structure=receipt.vds)), step=6)
    if receipt.size_claim is not None and receipt.size_claim != receipt.size:
        what = Message("receipt-size", size=receipt.size, signed=receipt.size_claim)
        raise BadReceipt(_at(receipt, what), step=6)
    if receipt.size_claim is not None and receipt.sub != id_text(statement_id(entry)):
        raise BadReceipt(_at(receipt, Message("receipt-other-statement", sub=repr(receipt.sub))), step=6)
    try:
        root = root_from_path(leaf_hash(entry), receipt.size, receipt.index, receipt.path)
        receipt.sign1.verify(key, root, low_s=False)  # nothing hashes a receipt: a twin harms nobody
    except (NotIncluded, BadSignature) as error:
        raise BadReceipt(_at(receipt, error.sentence), step=6) from None


def _at(receipt: Receipt, what: Sentence) -> Message:
    return Message("at", place=receipt.ledger, what=what)
