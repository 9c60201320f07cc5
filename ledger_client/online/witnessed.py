"""Cosigned head of a ledger's log that contains a statement, for its proof; and the same online, again. Network."""

from __future__ import annotations

from hashlib import sha256

from ledger_client.errors import LedgerUnavailable, NotIncluded
from ledger_client.formats.bundle import Witnessed
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.notes import parse_checkpoint, parse_note
from ledger_client.messages import Message
from ledger_client.online.log_client import LogClient
from ledger_client.online.log_proof import Log, demand_grown, signed_head
from ledger_client.verification.online_facts import LogFact
from ledger_client.verification.trust import Trust
from ledger_client.verification.witnesses import ledger_of


def fetch(entry: bytes, log: LogClient, witnesses: int) -> Witnessed:
    """The newest head with so many cosignatures, and the place of a statement (``entry``) in the log of its size.

    Raises ``LedgerUnavailable`` where there is none, ``VerificationError`` where it does not hold. Signatures are not
    checked here.
    """
    data = log.checkpoint(witnesses)
    head = parse_checkpoint(parse_note(data).text)
    place = log.place(sha256(entry).digest(), head.size)
    if place is None:
        raise LedgerUnavailable(Message("witnessed-not-yet", size=head.size))
    size, index, path = place
    if (size, root_from_path(leaf_hash(entry), size, index, path)) != (head.size, head.root):
        raise NotIncluded(Message("witnessed-other-root", size=head.size))
    return Witnessed(data, place)


def confirm(one: Witnessed, trust: Trust, log: Log) -> LogFact:
    """That a ledger's log as it is now begins with the head of a note.

    Raises ``Inconsistent`` (step 6) where it does not, ``LedgerUnavailable`` where nobody can tell, ``Malformed`` for
    what is no note.
    """
    checkpoint = parse_checkpoint(parse_note(one.note).text)
    ledger = ledger_of(checkpoint, trust.logs)
    if ledger is None:
        raise LedgerUnavailable("the trust file does not name its log")
    head = signed_head(ledger, trust, log)
    demand_grown(head, checkpoint.size, checkpoint.root, head.iat, log, "the cosigned head")
    return LogFact(head.size, head.iat)
