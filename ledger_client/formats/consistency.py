"""Consistency receipts (RFC 9942 §5.3): a ledger's signed proof that its log of N entries extends that of M.

Whoever holds a receipt knows a root of its ledger: the one that entry and path lead to, at the receipt's size. From
that root the proof leads to the newer one, which the ledger signed; a log that was rewritten has no such path.
There is none from a tree to itself (its path would be empty, for which RFC 9942 has no form), and none from nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from ledger_client.errors import BadReceipt, BadSignature, Inconsistent, Malformed, UnsupportedLog
from ledger_client.formats import cbor, cose
from ledger_client.formats.checks import MAX_PATH, array, blob, uint, writing
from ledger_client.formats.merkle import root_from_consistency
from ledger_client.formats.receipt import (
    SIZE_CLAIM,
    VDS_RFC9162_SHA256,
    Envelope,
    one_proof,
    our_claims,
    parse_envelope,
)

if TYPE_CHECKING:  # reading needs no key
    from ledger_client.formats.cose_key import PublicKey, Signer

CONSISTENCY: Final = -2
SUB: Final = "log"


@dataclass(frozen=True, slots=True)
class Consistency:
    """A consistency receipt that was read, not yet checked: from the tree of ``first`` leaves to that of ``second``.

    ``envelope`` has ledger, kid and the other parts of a receipt's header. Another structure than RFC 9162's (vds)
    leaves 0, 0 and ().
    """

    envelope: Envelope
    first: int
    second: int
    path: tuple[bytes, ...]


def sign_consistency(
    ledger: str, iat: int, first: int, second: int, path: Sequence[bytes], root: bytes, signer: Signer
) -> bytes:
    """Write the receipt that a log of ``second`` entries, whose ``root`` is signed, begins with that of ``first``.

    ``EncodeError`` for what a reader would refuse, 0 < first < second among it.
    """
    claims = {cose.ISS: ledger, cose.SUB: SUB, cose.IAT: iat, SIZE_CLAIM: second}
    proof = [first, second, list(path)]
    with writing(f"consistency of {first} and {second}"):
        blob(root, "root", 32)
        _proof(proof)
        our_claims(claims)
    protected = {cose.VDS: VDS_RFC9162_SHA256, cose.CWT_CLAIMS: claims}
    unprotected = {cose.VDP: {CONSISTENCY: [cbor.encode(proof)]}}
    return cose.sign1(protected, root, signer, unprotected=unprotected, detached=True)


def parse_consistency(data: bytes) -> Consistency:
    """Read a consistency receipt, strictly if it is in our own form; ``Malformed`` for anything else."""
    head = parse_envelope(data)
    payload = head.sign1.payload
    if payload is not None and (head.ours or len(payload) != 32):  # RFC 9942 §5.3.1: others may attach the newer root
        raise Malformed("the consistency receipt bears a payload that is not a root")
    if head.vds != VDS_RFC9162_SHA256:
        return Consistency(head, 0, 0, ())
    return Consistency(head, *_proof(cbor.decode(one_proof(head, CONSISTENCY), foreign=not head.ours)))


def check_consistency(receipt: Consistency, first_root: bytes, key: PublicKey) -> bytes:
    """The newer root, which the key's owner signed and which begins with the tree that ``first_root`` is of.

    Raises ``UnsupportedLog``; ``BadReceipt`` where the signature or the size is not what was signed; ``Inconsistent``.
    """
    head = receipt.envelope
    if head.vds != VDS_RFC9162_SHA256:
        raise UnsupportedLog(f"{head.ledger}: structure {head.vds} is not an RFC 9162 tree (1)", step=6)
    if head.size_claim is not None and head.size_claim != receipt.second:
        problem = f"the proof is for a tree of {receipt.second}, the ledger signed {head.size_claim}"
        raise BadReceipt(f"{head.ledger}: {problem}", step=6)
    try:
        root = root_from_consistency(receipt.first, receipt.second, first_root, receipt.path)
        if head.sign1.payload not in (None, root):
            raise Inconsistent("the path leads to another root than the attached one")
        head.sign1.verify(key, root, low_s=False)  # nothing hashes a receipt: a twin harms nobody
    except Inconsistent as error:
        raise Inconsistent(f"{head.ledger}: {error.detail}", step=6) from None
    except BadSignature as error:
        raise BadReceipt(f"{head.ledger}: {error.detail}", step=6) from None
    return root


def _proof(value: object) -> tuple[int, int, tuple[bytes, ...]]:
    """[older size, newer size, [hash …]] (RFC 9942 §5.3)."""
    first, second, path = array(value, "consistency proof", 3, 3)
    sizes = uint(first, "older size"), uint(second, "newer size")
    if not 0 < sizes[0] < sizes[1]:
        raise Malformed(f"no consistency proof leads from a tree of {first} to one of {second}")
    hashes = array(path, "consistency path", 1, MAX_PATH)
    return *sizes, tuple(blob(h, "consistency path hash", 32) for h in hashes)
