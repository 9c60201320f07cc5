"""Envelope of an enrolment request: its bytes, and a detached COSE_Sign1 over them by each key that it names.

So nobody enrols a key that he does not hold, or a file that was put together from others.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Protocol, TypeVar

from ledger_client.errors import BadSignature, EncodeError, Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import MAX_BUNDLE, array, blob, table, uint, within
from ledger_client.formats.cose_key import PublicKey, Signer, base64url, unbase64url

CONTENT_REQUEST: Final = "application/vnd.meterseal.enrol-request+cbor"
TEXT_PREFIX: Final = "meterseal-enrol:"
"""How a request begins that is given as text: base64url without padding follows."""
_HEAD: Final = b"\xa3\x61v\x01\x66proofs"


class Asked(Protocol):
    """What a request asks for."""

    def signing_keys(self) -> Sequence[PublicKey]:
        """The keys that sign, in the order of their proofs."""
        ...


_A = TypeVar("_A", bound=Asked)


def sealed(fields: Mapping[str, Any], keys: Sequence[PublicKey], signers: Mapping[bytes, Signer]) -> bytes:
    """The file of a request with a proof by each of ``keys``; ``signers`` by kid. ``EncodeError``: one is missing."""
    request = cbor.encode(dict(fields))
    if missing := [key.kid for key in keys if key.kid not in signers]:
        raise EncodeError(f"the private half of {base64url(missing[0])} is not here, so that it cannot sign")
    header = {cose.CONTENT_TYPE: CONTENT_REQUEST}
    proofs = [cose.sign1(header, request, signers[key.kid], detached=True) for key in keys]
    return cbor.encode({"v": 1, "proofs": proofs, "request": request})


def opened(data: bytes, read: Callable[[object], _A]) -> _A:
    """What a request asks for, as ``read`` makes it of its contents, with every proof checked.

    ``data`` is bytes or text. Raises ``Malformed`` or ``BadSignature``.
    """
    fields = table(
        cbor.decode(within(_bytes_of(data), MAX_BUNDLE, "the request")), "request", {"v", "proofs", "request"}
    )
    if uint(fields["v"], "v") != 1:
        raise Malformed(f"enrolment request of version {fields['v']}; this program reads 1")
    if type(fields["request"]) is not bytes:
        raise Malformed("request is not a byte string")
    asked = read(cbor.decode(fields["request"]))
    keys = asked.signing_keys()
    for proof, key in zip(array(fields["proofs"], "proofs", len(keys), len(keys)), keys, strict=True):
        _check(proof, fields["request"], key)
    return asked


def to_text(data: bytes) -> str:
    """A request as one line of text."""
    return TEXT_PREFIX + base64url(data)


def is_request(path: Path) -> bool:
    """Whether a file is meant as a request, in order or not; raises OSError."""
    with path.open("rb") as file:
        return file.read(64).lstrip().startswith((_HEAD, TEXT_PREFIX.encode()))


def key_of(value: object, what: str) -> PublicKey:
    """A public key in a request; ``Malformed``."""
    if type(value) is not bytes:
        raise Malformed(f"{what} is not a byte string")
    return PublicKey.from_cose_key(value)


def _bytes_of(data: bytes) -> bytes:
    """The CBOR of a request that may be text, with white space around it."""
    stripped = data.strip()
    if not stripped.startswith(TEXT_PREFIX.encode()):
        return data
    return unbase64url(stripped.removeprefix(TEXT_PREFIX.encode()).decode("ascii", "replace"))


def _check(proof: object, request: bytes, key: PublicKey) -> None:
    if type(proof) is not bytes:
        raise Malformed("a proof is not a byte string")
    sign1 = cose.Sign1.parse(proof)
    table(sign1.unprotected, "a proof's unprotected header", set())
    header = table(sign1.protected, "a proof's header", {cose.ALG, cose.CONTENT_TYPE, cose.KID})
    cose.header_alg(header)
    if header[cose.CONTENT_TYPE] != CONTENT_REQUEST:
        raise Malformed(f"content type {header[cose.CONTENT_TYPE]!r} is not {CONTENT_REQUEST}")
    if sign1.payload is not None:
        raise Malformed("a proof bears a payload of its own")
    if blob(header[cose.KID], "kid", 32) != key.kid:
        raise BadSignature(f"a proof is by another key than {base64url(key.kid)}, whose place it has")
    sign1.verify(key, request)
