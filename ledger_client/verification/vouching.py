"""Vouching ledgers of a statement, and since when: steps 6 and 7 of each receipt and place. No I/O.

verify.py demands as many as the policy asks for (step 8).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from ledger_client.errors import (
    BadReceipt,
    Forked,
    KeyNotValid,
    Malformed,
    NotAsked,
    OutOfRange,
    PolicyNotMet,
    UnknownKey,
    UnknownLedger,
    VerificationError,
)
from ledger_client.formats.bundle import Locator
from ledger_client.formats.cose_key import base64url
from ledger_client.formats.receipt import Receipt, check, parse_receipt
from ledger_client.formats.statement import SignedStatement, Statement, id_text
from ledger_client.messages import Message, Sentence
from ledger_client.times import rfc3339
from ledger_client.verification.key_storage import SigningKey
from ledger_client.verification.online_facts import NOTHING_ASKED, ChainFact, Held, LogFact, OnlineFacts
from ledger_client.verification.trust import Trust, TrustKey
from ledger_client.verification.witnesses import Cosigned

TOLERANCE_S: Final = 300  # how far the clocks of gateway, ledger and verifier may be apart


def check_receipt(entry: bytes, receipt: bytes, trust: Trust, now: int) -> tuple[str, int]:
    """Steps 6 and 7 for one receipt of ``entry``: (ledger, its time in Unix seconds), or the error that stopped it."""
    return check_parsed(entry, parse_receipt(receipt), trust, now)


def check_parsed(entry: bytes, receipt: Receipt, trust: Trust, now: int) -> tuple[str, int]:
    """``check_receipt`` of one that was read."""
    ledger = receipt.ledger
    if not trust.has_ledger_key(ledger):
        raise UnknownLedger(_at(ledger, Message("verify-no-ledger-key")), step=6)
    key = trust.find("ledger", ledger=ledger, kid=receipt.kid)
    if key is None:
        what = Message("verify-unknown-ledger-key", kid=base64url(receipt.kid))
        raise UnknownKey(_at(ledger, what), step=6)
    check(receipt, entry, key.key)
    if receipt.iat is None:
        raise BadReceipt(_at(ledger, Message("verify-receipt-no-time")), step=7)
    if receipt.iat > now + TOLERANCE_S:
        raise BadReceipt(_at(ledger, Message("verify-receipt-future", signed_s=receipt.iat)), step=7)
    if key.revoked is not None:
        what = Message("verify-ledger-key-revoked", reason=_reason(key))
        raise KeyNotValid(_at(ledger, what), step=7)
    if not key.counts_at(receipt.iat):
        demand_valid(key, receipt.iat, Message("verify-key-of-ledger", ledger=ledger))
    return ledger, receipt.iat


def read_receipts(receipts: Sequence[bytes]) -> tuple[list[Receipt], list[tuple[str, VerificationError]]]:
    """Those that are receipts; and of bytes that are none which of them they are and why (step 6): anybody may put
    them beside a statement, so they spoil nothing and count for nothing."""
    found: list[Receipt] = []
    junk: list[tuple[str, VerificationError]] = []
    for number, data in enumerate(receipts, 1):
        try:
            found.append(parse_receipt(data))
        except Malformed as error:
            which = f"receipt {number} of {len(receipts)}"
            what = Message("verify-no-receipt", number=number, n=len(receipts), why=error.sentence)
            junk.append((which, Malformed(what, step=6)))
    return found, junk


def vouching_ledgers(
    entry: bytes, receipts: list[Receipt], trust: Trust, now: int, facts: OnlineFacts = NOTHING_ASKED
) -> tuple[dict[str, int], list[tuple[str, VerificationError]]]:
    """({ledger: its earliest time}, [(ledger, why a receipt does not count)]). A ledger counts once."""
    vouching: dict[str, int] = {}
    failures: list[tuple[str, VerificationError]] = []
    for receipt in receipts:
        try:
            ledger, time = check_parsed(entry, receipt, trust, now)
            if ledger not in trust.ledgers:
                raise UnknownLedger(_at(ledger, Message("verify-not-listed")), step=6)
            if isinstance(fact := facts.logs.get(receipt.data), VerificationError):
                raise fact
            vouching[ledger] = min(time, vouching.get(ledger, time))
        except VerificationError as error:
            failures.append((receipt.ledger, error))
    return vouching, failures


def keys_of_ledgers(
    vouching: Mapping[str, int], entry: bytes, receipts: Sequence[Receipt], trust: Trust, now: int,
    facts: OnlineFacts = NOTHING_ASKED,
) -> Iterator[SigningKey]:  # fmt: skip
    """The keys by which ``vouching_ledgers`` counts its ledgers: that of each one's earliest receipt."""
    for ledger, time in vouching.items():
        alike = [receipt for receipt in receipts if (receipt.ledger, receipt.iat) == (ledger, time)]
        if len(alike) > 1:  # of which anybody may have put all but one there
            alike = [one for one in alike if vouching_ledgers(entry, [one], trust, now, facts)[0]]
        if (key := trust.find("ledger", ledger=ledger, kid=alike[0].kid)) is not None:
            yield SigningKey(key, time, time)


def in_log(receipts: Sequence[Receipt], facts: OnlineFacts, now: int) -> tuple[dict[str, LogFact], list[str]]:
    """Of receipts that count: ({ledger: its log as it is now}, what is left to say of those that were not asked)."""
    found: dict[str, LogFact] = {}
    notes: dict[str, None] = {}
    for receipt in receipts:
        fact = facts.logs.get(receipt.data)
        if isinstance(fact, LogFact) and fact.time <= now + TOLERANCE_S:
            found[receipt.ledger] = fact
        elif isinstance(fact, LogFact):
            notes[f"{receipt.ledger}: the head of its log is of {rfc3339(fact.time)}, which is in the future"] = None
        elif isinstance(fact, str):
            notes[f"{receipt.ledger}: {fact}"] = None
    return found, list(notes)


def demand_no_other(signed: SignedStatement, facts: OnlineFacts, trust: Trust) -> tuple[tuple[str, ...], list[str]]:
    """(the ledgers of the policy that were asked and hold no other statement under this number, what is left to say).

    Raises ``Forked`` (step 6), by the names of those that hold another one.
    """
    statement = signed.statement
    asked: list[str] = []
    others: list[Message] = []
    notes: list[str] = []
    for ledger in trust.ledgers:
        held = [fact for fact in facts.held.get(ledger, ()) if isinstance(fact, Held)]
        for fact in held:
            if (fact.gateway, fact.batch) != (statement.gateway, statement.batch):
                raise BadReceipt(_at(ledger, Message("verify-of-other-batch")), step=6)
            if fact.statement_id not in (None, signed.id):
                others.append(_other(ledger, fact, trust))
            if fact.statement_id is None and not fact.shared:
                last = "none at all" if fact.last is None else f"its last is {fact.last}"
                notes.append(f"{ledger}: has no batch {fact.batch} of {fact.gateway}; {last}")
            if fact.shared:
                notes.append(f"{ledger}: what stands under its shared roots cannot be asked for by number")
        if held and len(held) == len(facts.held[ledger]):
            asked.append(ledger)
    if others:
        raise Forked(
            Message(
                "verify-forked",
                batch=statement.batch,
                gateway=statement.gateway,
                statement=id_text(signed.id),
                others=tuple(others),
            ),
            step=6,
        )
    return tuple(asked), notes


def _other(ledger: str, fact: Held, trust: Trust) -> Message:
    statement = id_text(fact.statement_id or b"")
    if fact.by is None or trust.find("statement", gateway=fact.gateway, kid=fact.by) is not None:
        return Message("verify-other-held", ledger=ledger, statement=statement)
    return Message("verify-other-held-by", ledger=ledger, statement=statement, kid=base64url(fact.by))


def demand_all_asked(facts: OnlineFacts, trust: Trust, still_there: Sequence[str]) -> None:
    """Raise ``NotAsked`` (step 6) where each ledger of the policy must have been asked and one was not.

    ``still_there``: why logs whose receipts count could not be asked whether they still hold the entry.
    """
    if not facts.all_asked:
        return
    unanswered = [
        f"{ledger}: {fact}" for ledger in trust.ledgers for fact in facts.held.get(ledger, ()) if isinstance(fact, str)
    ]
    if unanswered or still_there:
        raise NotAsked(Message("verify-not-asked", why=tuple(dict.fromkeys([*unanswered, *still_there]))), step=6)


def policy_error(
    vouching: Mapping[str, int], failures: list[tuple[str, VerificationError]], trust: Trust
) -> VerificationError:
    """The first receipt's failure where it made the difference, else that the policy is not met."""
    lost = {ledger for ledger, _ in failures} - vouching.keys()
    if lost and len(vouching) + len(lost) >= trust.receipts:
        return next(error for ledger, error in failures if ledger in lost)
    found: Sentence = Message("verify-no-ledgers")
    if vouching:
        found = Message("verify-ledgers", ledgers=tuple(vouching))
    what = Message("verify-policy", wanted=trust.receipts, ledgers=trust.ledgers, n=len(vouching), found=found)
    if failures:
        what = Message("verify-policy-because", what=what, why=tuple(error.sentence for _, error in failures))
    return PolicyNotMet(what, step=8)


def witnessed_ledgers(
    vouching: Mapping[str, int], heads: Mapping[str, Cosigned], trust: Trust
) -> tuple[dict[str, int], list[Message]]:
    """Of the ledgers with receipts those of which ``policy.witnesses`` witnesses have cosigned a head with the entry,
    all where the policy asks for none; and what lacks of each other one."""
    counted: dict[str, int] = {}
    lacking: list[Message] = []
    for ledger, time in vouching.items():
        n = len(heads[ledger].witnesses) if ledger in heads else 0
        if n >= trust.witnessed:
            counted[ledger] = time
        elif any(log.ledger == ledger for log in trust.logs):
            lacking.append(_at(ledger, Message("verify-witnesses", n=n, wanted=trust.witnessed)))
        else:
            lacking.append(_at(ledger, Message("verify-no-log")))
    return counted, lacking


def unwitnessed_error(vouching: Mapping[str, int], why: Sequence[Message], trust: Trust) -> PolicyNotMet:
    """Enough ledgers have given receipts, and too few of their logs are witnessed."""
    found = Message("verify-ledgers", ledgers=tuple(vouching)) if vouching else Message("verify-no-ledgers")
    what = Message("verify-policy", wanted=trust.receipts, ledgers=trust.ledgers, n=len(vouching), found=found)
    return PolicyNotMet(Message("verify-policy-because", what=what, why=tuple(why)), step=8)


def demand_valid(key: TrustKey, time: int, whose: Message) -> None:
    """Raise ``KeyNotValid`` (step 7) unless a key counts at a time (Unix seconds)."""
    if time < key.valid_from:
        raise KeyNotValid(Message("verify-key-early", whose=whose, from_s=key.valid_from, at_s=time), step=7)
    if key.valid_to is not None and time >= key.valid_to:
        raise KeyNotValid(Message("verify-key-late", whose=whose, until_s=key.valid_to, at_s=time), step=7)
    if key.revoked is not None and time >= key.revoked:
        what = Message("verify-key-revoked", whose=whose, revoked_s=key.revoked, reason=_reason(key), at_s=time)
        raise KeyNotValid(what, step=7)


def demand_signed_by(statement: Statement, no_later_than: int) -> None:
    """Raise ``OutOfRange`` (step 7) for a statement that says it was signed after the ledgers had it (Unix seconds)."""
    if statement.iat > no_later_than + TOLERANCE_S:
        what = Message(
            "verify-signed-after-ledgers",
            signed_s=statement.iat, tolerance_s=TOLERANCE_S, ledgers_s=no_later_than,
        )  # fmt: skip
        raise OutOfRange(what, step=7)


def _reason(key: TrustKey) -> Sentence:
    return key.revoked_reason or Message("verify-no-reason")


def _at(ledger: str, what: Message) -> Message:
    return Message("at", place=ledger, what=what)


def count_places(
    anchors: Sequence[Locator], statement_id: bytes, facts: OnlineFacts, trust: Trust, now: int
) -> tuple[dict[str, int], list[tuple[str, VerificationError]], list[str]]:
    """Which chains hold a statement, by what was asked of them.

    Returns:
        {chain: the earliest time of a block that holds it}; [(chain, why a place does not count)]; what is left to say
        of the places that were not asked about, or are shared.
    """
    vouching: dict[str, int] = {}
    failures: list[tuple[str, VerificationError]] = []
    notes: list[str] = []
    for place in anchors:
        fact = facts.places.get(place)
        if isinstance(fact, ChainFact):
            try:
                time = _placed(place, fact, statement_id, trust, now)
                vouching[place.ledger] = min(time, vouching.get(place.ledger, time))
                if fact.shared:
                    notes.append(f"{place.ledger}: under a root shared by many gateways, whose order it did not check")
            except VerificationError as error:
                failures.append((place.ledger, error))
        elif isinstance(fact, VerificationError):
            failures.append((place.ledger, fact))
        else:
            sentence = f"said to be on chain {place.chain}, block {place.block}, transaction 0x{place.tx.hex()}"
            notes.append(f"{place.ledger}: {sentence}" + (f"; {fact}" if fact else ""))
    return vouching, failures, notes


def earliest(one: Mapping[str, int], other: Mapping[str, int]) -> dict[str, int]:
    """The ledgers of both, each with its earliest time, those of ``one`` first."""
    return {ledger: min(x[ledger] for x in (one, other) if ledger in x) for ledger in (*one, *other)}


def _placed(place: Locator, fact: ChainFact, statement_id: bytes, trust: Trust, now: int) -> int:
    """The time at which a chain had the statement, or the claim: for claims a registry's entry is enough."""
    if place.ledger not in (*trust.ledgers, *(chain.ledger for chain in trust.registries)):
        raise UnknownLedger(_at(place.ledger, Message("verify-not-listed")), step=6)
    if fact.statement_id != statement_id:
        raise BadReceipt(_at(place.ledger, Message("verify-of-other-statement")), step=6)
    if fact.time > now + TOLERANCE_S:
        raise BadReceipt(_at(place.ledger, Message("verify-block-future", block_s=fact.time)), step=7)
    return fact.time
