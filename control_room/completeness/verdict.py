"""Verdict on one batch, from its statement, what is there of it, its receipts and its neighbours. Pure.

These are the steps of ``verify`` for a whole batch, as ``ledger_client.audit.batch`` finds them in a file; here the
first that does not hold is raised, since what waits for it is asked again. The records' own form, owner and signature
(steps 1 and 2) held when they came in.

``Fault`` is what keeps a batch from being proven, or is to be seen of one that is: ``alarm`` is the kind of alarm that
it belongs to (None: it is only waited for).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from gateway.messages.message import Message
from ledger_client import messages
from ledger_client.errors import UnknownKey, VerificationError, at_step
from ledger_client.formats.cose_key import base64url
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.formats.statement import SignedStatement, Statement, check_signed_behind, check_statement, id_text
from ledger_client.times import span_in_words
from ledger_client.verification.trust import Trust
from ledger_client.verification.vouching import (
    TOLERANCE_S,
    demand_signed_by,
    demand_valid,
    policy_error,
    read_receipts,
    vouching_ledgers,
)

RECORDS_MISSING: Final = "records-missing"
BATCHES_MISSING: Final = "batches-missing"
BATCH_DIFFERS: Final = "batch-differs"
BATCH_FORKED: Final = "batch-forked"
CHAIN_BROKEN: Final = "chain-broken"
NUMBERS_LEFT_OUT: Final = "numbers-left-out"
RECEIPTS_MISSING: Final = "receipts-missing"
RECEIPTS_WRONG: Final = "receipts-wrong"
BATCH_LATE: Final = "batch-late"
ARCHIVE_FAILED: Final = "archive-failed"
OF_GATEWAYS: Final = (
    RECORDS_MISSING, BATCHES_MISSING, BATCH_DIFFERS, BATCH_FORKED, CHAIN_BROKEN, NUMBERS_LEFT_OUT, RECEIPTS_MISSING,
    RECEIPTS_WRONG, BATCH_LATE,
)  # fmt: skip
"""Kinds of alarms that are about the batches of one gateway; ``ARCHIVE_FAILED`` is the control room's."""

_SHORT, _TEXT = 0x58, 0x60  # heads: a byte string of 24 to 255 bytes, a text
PATIENCE_S: Final = 3600
"""How long a batch may wait for its receipts before that is an alarm, where the policy names no ``max_delay``."""


class Fault(Exception):
    """Why a batch is not proven, or what is to be seen of one that is."""

    def __init__(self, message: messages.Sentence, alarm: str | None) -> None:
        super().__init__(message)
        self.message: messages.Message = (
            Message("control-batch-because", why=message) if isinstance(message, str) else message
        )
        self.alarm = alarm


@dataclass(slots=True)
class Whole:
    """What the records that are there amount to, in the order of their places: the hashes of the leaves, the earliest
    time and the latest."""

    leaves: list[bytes] = field(default_factory=list)
    from_ms: int | None = None
    to_ms: int = 0

    def add(self, time_ms: int, data: bytes) -> None:
        """The next record."""
        self.leaves.append(leaf_hash(data))
        self.from_ms = time_ms if self.from_ms is None else min(self.from_ms, time_ms)
        self.to_ms = max(self.to_ms, time_ms)


def kid_of(data: bytes) -> bytes:
    """The thumbprint of the key of a record that was read strictly before. Its header has one form
    (docs/evidence.cddl): a map of four, alg in one byte, content type, kid, claims; 24 bytes or more."""
    at = 4 if data[2] == _SHORT else 5
    size = data[at + 4] - _TEXT
    at += 8 + size if size < 24 else 9 + data[at + 5]
    return data[at : at + 32]


def demand_statement(signed: SignedStatement, trust: Trust) -> None:
    """Step 4: by a statement key of its gateway that the trust file has, and it agrees with itself. Raises Fault."""
    gateway = signed.statement.gateway
    try:
        key = trust.find("statement", gateway=gateway, kid=signed.kid)
        if key is None:
            what = Message("verify-unknown-statement-key", kid=base64url(signed.kid), gateway=gateway)
            raise UnknownKey(what, step=4)
        with at_step(4):
            signed.sign1.verify(key.key)
        check_statement(signed)
        check_signed_behind(signed.statement)
    except VerificationError as error:
        raise Fault(error.sentence, BATCH_DIFFERS) from None


def forked(others: Sequence[tuple[bytes, bool]]) -> Fault | None:
    """What is to be seen of a batch beside which its gateway signed other statements (id, whether it is proven)."""
    if not others:
        return None
    return Fault(Message("control-batch-other", other=id_text(others[0][0]), n=len(others)), BATCH_FORKED)


def alone(others: Sequence[tuple[bytes, bool]]) -> Fault | None:
    """``forked``. Raises Fault where another statement under the number is proven: two never are."""
    fault = forked(others)
    if fault is not None and any(proven for _, proven in others):
        raise fault
    return fault


def demand_follows(signed: SignedStatement, before: Sequence[bytes]) -> None:
    """The statement names the one under the number before it, where any is there. Raises Fault."""
    if before and signed.statement.prev not in before:
        raise Fault(Message("control-batch-prev", before=signed.statement.batch - 1), CHAIN_BROKEN)


def left_out(statement: Statement, numbers: str) -> Fault:
    """What is to be seen of a batch before which numbers are left out; of one that says why, that."""
    if statement.resume is not None:
        return Fault(Message("control-batch-resumed", reason=statement.resume, numbers=numbers), NUMBERS_LEFT_OUT)
    return Fault(Message("control-batch-left-out", numbers=numbers), NUMBERS_LEFT_OUT)


def demand_whole(statement: Statement, whole: Whole) -> None:
    """Steps 3 and 4 for all records: they give the root, and fill the time of the statement. Raises Fault."""
    if len(whole.leaves) != statement.size:
        raise Fault(Message("control-batch-size", n=len(whole.leaves), size=statement.size), BATCH_DIFFERS)
    if Tree(whole.leaves).root != statement.root:
        raise wrong_root(statement)
    if (whole.from_ms, whole.to_ms) != (statement.from_ms, statement.to_ms):
        raise Fault(
            Message(
                "control-batch-times",
                from_ms=whole.from_ms or 0, to_ms=whole.to_ms,
                stated_from_ms=statement.from_ms, stated_to_ms=statement.to_ms,
            ),
            BATCH_DIFFERS,
        )  # fmt: skip


def wrong_root(statement: Statement) -> Fault:
    """All records are there, and they do not give the root."""
    return Fault(Message("control-batch-root", size=statement.size), BATCH_DIFFERS)


def vouched(signed: SignedStatement, receipts: Sequence[bytes], trust: Trust, now_s: int, arrived_s: int) -> int:
    """Steps 6 to 8: since when enough ledgers of the policy have the statement (Unix s).

    Raises Fault: without an alarm while the receipts are only waited for, since ``arrived_s``. A locator of a chain
    counts for nothing here: nobody was asked.
    """
    found, junk = read_receipts(receipts)
    vouching, failures = vouching_ledgers(signed.entry, found, trust, now_s)
    failures = junk + failures
    if len(vouching) < trust.receipts:
        error = policy_error(vouching, failures, trust)
        if failures:
            raise Fault(error.sentence, RECEIPTS_WRONG)
        raise Fault(error.sentence, RECEIPTS_MISSING if now_s >= arrived_s + patience_s(trust) else None)
    until = sorted(vouching.values())[trust.receipts - 1]
    key = trust.find("statement", gateway=signed.statement.gateway, kid=signed.kid)
    try:
        if key is not None:
            demand_valid(key, until, Message("verify-key-of-gateway", gateway=signed.statement.gateway))
        demand_signed_by(signed.statement, until)
    except VerificationError as error:
        raise Fault(error.sentence, BATCH_DIFFERS) from None
    if signed.statement.to_ms > (until + TOLERANCE_S) * 1000:
        what = Message(
            "verify-after-ledgers", claimed_ms=signed.statement.to_ms, tolerance_s=TOLERANCE_S, ledgers_s=until
        )
        raise Fault(what, BATCH_DIFFERS)
    return until


def patience_s(trust: Trust) -> int:
    """How long receipts may take."""
    return PATIENCE_S if trust.max_delay_s is None else trust.max_delay_s


def demand_keys(gateway: str, kids: Iterable[tuple[str, bytes]], trust: Trust, until: int) -> None:
    """Step 7: the key of each record, by (meter, kid), counted at that time. Raises Fault."""
    for meter, kid in sorted(kids):
        if meter == GATEWAY_ITSELF:
            key = trust.find("statement", gateway=gateway, kid=kid)
            whose = Message("verify-key-of-events", gateway=gateway)
        else:
            key = trust.find("meter", gateway=gateway, meter=meter, kid=kid)
            whose = Message("verify-key-of-meter", meter=meter)
        try:
            if key is None:
                what = Message("verify-unknown-meter-key", kid=base64url(kid), meter=meter, gateway=gateway)
                raise UnknownKey(what, step=2)
            demand_valid(key, until, whose)
        except VerificationError as error:
            raise Fault(error.sentence, BATCH_DIFFERS) from None


def demand_timely(oldest_ms: int, until: int, trust: Trust) -> None:
    """Step 7: no record of a known clock was held back for longer than the policy allows. Raises Fault."""
    held_ms = until * 1000 - oldest_ms
    if trust.max_delay_s is not None and held_ms > trust.max_delay_s * 1000:
        held, most = span_in_words(held_ms), span_in_words(trust.max_delay_s * 1000)
        what = Message("verify-held-back", held=held, record_ms=oldest_ms, ledgers_s=until, most=most)
        raise Fault(what, BATCH_LATE)
