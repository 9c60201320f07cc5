"""Proof that a ledger's log has only grown since a receipt, or since a root on a chain.

The present head is signed by the ledger. From what was known before, a path must lead to that head's root; an answer
from which it does not counts as a rewritten log, and whatever is no answer proves nothing in either direction.
"""

from __future__ import annotations

from typing import Protocol

from ledger_client.errors import Inconsistent, LedgerUnavailable, NotIncluded, VerificationError
from ledger_client.formats.consistency import parse_consistency
from ledger_client.formats.cose_key import base64url
from ledger_client.formats.log_head import LogHead, parse_head
from ledger_client.formats.merkle import leaf_hash, root_from_consistency, root_from_path
from ledger_client.formats.receipt import Receipt
from ledger_client.messages import Message
from ledger_client.times import rfc3339
from ledger_client.verification.online_facts import LogFact
from ledger_client.verification.trust import Trust
from ledger_client.verification.vouching import demand_valid


class Log(Protocol):
    """A log to be asked, over HTTP (``LogClient``) or in its folder (``LogView``)."""

    def head(self) -> bytes:
        """The signed head."""
        ...

    def consistency(self, first: int, second: int) -> bytes | None:
        """The consistency receipt between two sizes; ``None`` beyond the log."""
        ...

    def entries(self, first: int, limit: int) -> list[tuple[int, bytes]]:
        """At most ``limit`` entries with their numbers, from ``first`` on."""
        ...


def confirm(entry: bytes, receipt: Receipt, trust: Trust, log: Log) -> LogFact:
    """That the log which gave this receipt for ``entry`` has only grown since, and shows the same entry in its place.

    Raises ``Inconsistent`` or ``NotIncluded`` (step 6) where it does not, ``LedgerUnavailable`` where nobody can tell.
    The receipt itself is not checked here.
    """
    if receipt.size_claim != receipt.size or receipt.iat is None:
        raise LedgerUnavailable("the receipt does not say of how many entries it is, or when it was signed")
    root = root_from_path(leaf_hash(entry), receipt.size, receipt.index, receipt.path)
    head = signed_head(receipt.ledger, trust, log)
    demand_grown(head, receipt.size, root, receipt.iat, log, "the receipt")
    shown = log.entries(receipt.index, 1)
    if not shown:
        raise LedgerUnavailable(f"it does not show entry {receipt.index} of its log")
    if shown != [(receipt.index, entry)]:
        problem = f"entry {receipt.index} of its log is not this statement, for which it gave a receipt"
        raise NotIncluded(f"{receipt.ledger}: {problem}", step=6)
    return LogFact(head.size, head.iat)


def signed_head(ledger: str, trust: Trust, log: Log) -> LogHead:
    """The log's present head, by a key that the trust file has for this ledger; raises ``LedgerUnavailable``."""
    try:
        signed = parse_head(log.head())
        if signed.head.ledger != ledger:
            raise LedgerUnavailable(f"what answers is the ledger {signed.head.ledger}, not {ledger}")
        key = trust.find("ledger", ledger=ledger, kid=signed.kid)
        if key is None:
            raise LedgerUnavailable(f"its head is by key {base64url(signed.kid)}, which the trust file does not have")
        if key.revoked is not None:
            raise LedgerUnavailable(
                f"its head is by a key that was revoked ({key.revoked_reason or 'no reason given'})"
            )
        signed.sign1.verify(key.key)
        demand_valid(key, signed.head.iat, Message("verify-key-of-head"))
    except VerificationError as error:
        raise LedgerUnavailable(f"its head is none: {error.detail}") from None
    return signed.head


def demand_grown(head: LogHead, size: int, root: bytes, since: int, log: Log, of: str) -> None:
    """Raise ``Inconsistent`` (step 6) unless the log of ``head`` begins with the tree of ``size`` leaves and ``root``.

    It had those at the time ``since`` (Unix seconds); ``of``: whose tree that is, in words. ``LedgerUnavailable`` where
    the log gives no proof.
    """
    if head.size < size and head.iat <= since:
        raise LedgerUnavailable(f"the head that it shows is of {rfc3339(head.iat)}, not later than {of}")
    now = f"its log of {head.size} entries at {rfc3339(head.iat)}"
    if head.size < size:
        raise _rewritten(head, f"{now} is smaller than that of {of}, {size}")
    if head.size == size:
        later = root
    else:
        later = _led_to(head, size, root, log, f"{now} does not begin with that of {of}, {size}")
    if later != head.root:
        raise _rewritten(head, f"{now} is another one than that of {of}, {size}")


def _led_to(head: LogHead, size: int, root: bytes, log: Log, problem: str) -> bytes:
    """The root of the head's size that the log's own path leads to."""
    data = log.consistency(size, head.size)
    if data is None:
        raise LedgerUnavailable(f"it gives no proof from {size} entries to {head.size}")
    try:
        proof = parse_consistency(data)
        if (proof.first, proof.second) != (size, head.size):
            raise LedgerUnavailable(f"its proof is from {proof.first} entries to {proof.second}")
        # the proof's own signature would add nothing: the head signs the root that the path must lead to
        return root_from_consistency(size, head.size, root, proof.path)
    except Inconsistent:
        raise _rewritten(head, problem) from None
    except VerificationError as error:
        raise LedgerUnavailable(f"its proof of consistency is none: {error.detail}") from None


def _rewritten(head: LogHead, problem: str) -> Inconsistent:
    return Inconsistent(f"{head.ledger}: {problem}: the log was rewritten", step=6)
