"""COSE_Sign1 (RFC 9052 §4.2): one signer, tag 18, over cryptography or any key that signs bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import cbor2

from ledger_client.errors import BadSignature, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.checks import array, table
from ledger_client.messages import Message

if TYPE_CHECKING:  # reading needs no key
    from ledger_client.formats.cose_key import PublicKey, Signer

# Header labels: RFC 9052 §3.1, RFC 9597 (15), RFC 9942 (394 to 396)
ALG: Final = 1
CRIT: Final = 2
CONTENT_TYPE: Final = 3
KID: Final = 4
CWT_CLAIMS: Final = 15
RECEIPTS: Final = 394
VDS: Final = 395
VDP: Final = 396
ISS, SUB, IAT = 1, 2, 6  # CWT claims, RFC 8392 §4


@dataclass(frozen=True, slots=True)
class Sign1:
    """A COSE_Sign1: ``protected_bytes`` was signed, ``protected`` is what it says; ``payload`` None is detached."""

    protected_bytes: bytes
    protected: Mapping[Any, Any]
    unprotected: Mapping[Any, Any]
    payload: bytes | None
    signature: bytes

    @classmethod
    def parse(cls, data: bytes, *, foreign: bool = False) -> Sign1:
        """Read a tagged COSE_Sign1; ``Malformed`` if it is none, or has ``crit`` (no extension is understood)."""
        tagged = cbor.decode(data, foreign=foreign)
        if not isinstance(tagged, cbor2.CBORTag) or tagged.tag != cbor.TAG_SIGN1:
            raise Malformed("not a tagged COSE_Sign1 (tag 18)")
        protected_bytes, unprotected, payload, signature = array(tagged.value, "COSE_Sign1", 4, 4)
        if type(protected_bytes) is not bytes or type(unprotected) is not dict:
            raise Malformed("COSE_Sign1: the headers are not a byte string and a map")
        if not (payload is None or type(payload) is bytes) or type(signature) is not bytes:
            raise Malformed("COSE_Sign1: payload or signature is not a byte string")
        protected = cbor.decode(protected_bytes, foreign=foreign) if protected_bytes else {}
        if type(protected) is not dict:
            raise Malformed("COSE_Sign1: the protected header is not a map")
        if CRIT in protected or CRIT in unprotected:
            raise Malformed("COSE_Sign1: header crit asks for an extension, and none is understood")
        if both := protected.keys() & unprotected.keys():
            raise Malformed(f"COSE_Sign1: header {sorted(map(str, both))} is both protected and unprotected")
        return cls(protected_bytes, protected, unprotected, payload, signature)

    def encode(self) -> bytes:
        """The tagged COSE_Sign1, deterministic but for the protected header, which stays as it was signed."""
        parts = [self.protected_bytes, self.unprotected, self.payload, self.signature]
        return cbor.encode(cbor2.CBORTag(cbor.TAG_SIGN1, parts))

    def verify(self, key: PublicKey, payload: bytes | None = None, *, low_s: bool = True) -> None:
        """Raise ``BadSignature`` unless ``key`` signed this, with the payload given where it is detached."""
        if not key.accepts(self.protected.get(ALG)):
            raise BadSignature(Message("signature-algorithm", alg=repr(self.protected.get(ALG)), own=key.alg))
        content = self.payload if payload is None else payload
        if content is None:
            raise BadSignature(Message("signature-detached"))
        key.verify(self.signature, sig_structure(self.protected_bytes, content), low_s=low_s)


def sig_structure(protected_bytes: bytes, payload: bytes) -> bytes:
    """What is signed (RFC 9052 §4.4); an empty map as protected header counts as the empty string."""
    protected_bytes = b"" if protected_bytes == b"\xa0" else protected_bytes
    return b"\x84\x6aSignature1" + bstr_head(protected_bytes) + protected_bytes + b"\x40" + bstr_head(payload) + payload


ALG_BYTES: Final = {-8: b"\x27", -19: b"\x32", -7: b"\x26", -9: b"\x28"}
"""The four algorithms as they are written."""


def bstr_head(data: bytes) -> bytes:
    """The CBOR head of a byte string of this length, in its shortest form."""
    size = len(data)
    if size < 24:
        return bytes((0x40 | size,))
    if size < 0x100:
        return bytes((0x58, size))
    return b"\x59" + size.to_bytes(2, "big") if size < 0x10000 else b"\x5a" + size.to_bytes(4, "big")


def frame(protected_bytes: bytes, payload: bytes, signature: bytes) -> bytes:
    """The tagged COSE_Sign1 of a signature of 64 bytes, with nothing in the unprotected header."""
    head, body = bstr_head(protected_bytes), bstr_head(payload)
    return b"".join((b"\xd2\x84", head, protected_bytes, b"\xa0", body, payload, b"\x58\x40", signature))


def sign1(
    protected: Mapping[Any, object],
    payload: bytes,
    signer: Signer,
    *,
    unprotected: Mapping[Any, object] | None = None,
    detached: bool = False,
) -> bytes:
    """Sign ``payload``; alg and kid of the signer are added to the protected header. ``detached`` leaves it out."""
    header = {ALG: writer_alg(signer.public), KID: signer.public.kid, **protected}
    protected_bytes = cbor.encode(header)
    signature = signer.sign(sig_structure(protected_bytes, payload))
    return Sign1(protected_bytes, header, unprotected or {}, None if detached else payload, signature).encode()


def writer_alg(key: PublicKey) -> int:
    """The alg that goes into what we sign: −8 or −7, which every COSE library knows (−19 and −9 mean the same)."""
    return -8 if key.accepts(-8) else -7


def entry_header(protected: Mapping[Any, Any], what: str) -> Mapping[Any, Any]:
    """The protected header of an entry: alg, content type, kid and claims, and nothing else; ``Malformed``."""
    header = table(protected, f"{what}'s header", {ALG, CONTENT_TYPE, KID, CWT_CLAIMS})
    header_alg(header)
    return header


def entry_payload(sign1: Sign1, content: str, what: str) -> Any:
    """The value in the payload of an entry, which is to be of this content type; ``Malformed``."""
    if sign1.protected[CONTENT_TYPE] != content:
        raise Malformed(f"content type {sign1.protected[CONTENT_TYPE]!r} is not {content}")
    if sign1.payload is None:
        raise Malformed(f"{what} has no payload")
    return cbor.decode(sign1.payload)


def header_alg(protected: Mapping[Any, Any]) -> int:
    """The alg of a header that was read; ``Malformed`` unless it is one of the four."""
    alg = protected.get(ALG)
    if type(alg) is not int or alg not in (-8, -19, -7, -9):
        raise Malformed(f"alg {alg!r} is none of -8, -19 (Ed25519), -7, -9 (ES256)")
    return alg
