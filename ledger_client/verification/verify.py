"""Verification of one bundle: eight numbered steps, no I/O; the proven facts, or the one error that stopped it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from typing import Final

from ledger_client.errors import (
    Malformed,
    NotIncluded,
    OutOfRange,
    UnknownKey,
    VerificationError,
    at_step,
)
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.checks import MAX_TIME_MS
from ledger_client.formats.cose_key import base64url
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.receipt import Receipt
from ledger_client.formats.record import GATEWAY_ITSELF, Body, Record, parse_record
from ledger_client.formats.senml import Reading, Value
from ledger_client.formats.statement import SignedStatement, check_signed_behind, check_statement
from ledger_client.messages import Message
from ledger_client.times import span_in_words
from ledger_client.verification.key_storage import SigningKey
from ledger_client.verification.online_facts import NOTHING_ASKED, LogFact, OnlineFacts
from ledger_client.verification.trust import Trust, TrustKey
from ledger_client.verification.vouching import (
    TOLERANCE_S,
    count_places,
    demand_all_asked,
    demand_no_other,
    demand_signed_by,
    demand_valid,
    earliest,
    in_log,
    keys_of_ledgers,
    policy_error,
    read_receipts,
    unwitnessed_error,
    vouching_ledgers,
    witnessed_ledgers,
)
from ledger_client.verification.witnesses import Cosigned, cosigned_heads

_OFFSET_MS: Final = attrgetter("offset_ms")


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle proved.

    ``time_ms`` is the time that the record claims (Unix ms, by a clock in the state ``clock``); ``no_later_than`` (Unix
    seconds) is the time at which enough ledgers had its batch. They are two facts: the second bounds the first.
    ``delay_ms`` is what lies between the two; below 0 by as much as the clocks disagree. ``resume``: why the batch goes
    on after a loss, as the gateway states it; None where it states none.
    ``witnessed``: of ledgers that count, the head with the statement that most witnesses have cosigned.
    ``receipts`` are the ledgers that count, each with its earliest time, ``on_chain`` those of them whose chain was
    asked, ``in_log`` those whose log was asked and has only grown; ``asked`` are the ledgers of the policy that hold no
    other statement under this number; ``keys``: of the record, of its statement where that is another one, and of the
    receipts that count, with where each is held; ``unconfirmed`` says what does not count, or is not proven, and why.
    """

    kind: str
    gateway: str
    meter: str
    seq: int
    epoch: bytes
    time_ms: int
    no_later_than: int
    clock: str
    resume: str | None
    body: Body
    values: tuple[Value, ...]
    batch: int
    root: bytes
    statement_id: bytes
    receipts: tuple[tuple[str, int], ...]
    unconfirmed: tuple[str, ...]
    on_chain: frozenset[str] = frozenset()
    in_log: Mapping[str, LogFact] = field(default_factory=dict)
    asked: tuple[str, ...] = ()
    witnessed: tuple[Cosigned, ...] = ()
    keys: tuple[SigningKey, ...] = ()

    @property
    def delay_ms(self) -> int:
        return self.no_later_than * 1000 - self.time_ms


def verify(
    bundle: bytes,
    trust: Trust,
    now: int,
    *,
    kind: str | None = None,
    facts: OnlineFacts = NOTHING_ASKED,
    parse: Callable[[bytes], Record] = parse_record,
) -> Verified:
    """What ``bundle`` proves to someone who believes ``trust`` at the time ``now`` (Unix seconds).

    ``kind`` ('reading', 'coverage', 'event') demands that kind of record. ``facts``: what asking its ledgers has
    brought out (``online.refresh``); without it no locator counts. ``parse`` reads its record (``parse_strictly``: to
    the same end, without the shortcut for usual readings). Raises the ``VerificationError`` of the first step that
    fails, and nothing else, for any bytes.
    """
    # 1 parse: every layer, strictly, before anything is believed
    parts = Bundle.parse(bundle)
    signed = parts.signed
    record = parse(parts.record)  # last: it may already find what belongs to step 2
    statement = signed.statement

    # 2 record: by a key of this meter of this gateway
    if kind is not None and kind != record.kind:
        raise Malformed(Message("verify-other-kind", wanted=kind, kind=record.kind), step=2)
    record_key = record_key_of(record, trust)
    with at_step(2):
        record.sign1.verify(record_key.key)

    # 3 inclusion: the record is a leaf of the batch
    if parts.size != statement.size:
        raise NotIncluded(Message("verify-path-size", n=parts.size, size=statement.size), step=3)
    with at_step(3):
        root = root_from_path(leaf_hash(parts.record), parts.size, parts.index, parts.path)
    if root != statement.root:
        raise NotIncluded(Message("verify-other-root"), step=3)

    # 4 statement: of the same gateway, by its statement key, and it agrees with itself
    statement_key = _statement_key(signed, record, trust)
    with at_step(4):
        signed.sign1.verify(statement_key.key)
    check_statement(signed)
    check_signed_behind(statement)
    if not statement.from_ms <= record.time_ms <= statement.to_ms:
        raise OutOfRange(
            Message("verify-outside-batch", record_ms=record.time_ms, from_ms=statement.from_ms, to_ms=statement.to_ms),
            step=4,
        )

    # 5 sequence: the statement counts this record
    claims = record.claims
    ranges = statement.meters.get(claims.meter, ())
    if not any(r.epoch == claims.epoch and r.first <= claims.seq <= r.last for r in ranges):
        raise OutOfRange(Message("verify-not-counted", record=record.id, batch=statement.batch), step=5)

    # 6 receipts, and of 7 what concerns one receipt: which ledgers vouch, and since when
    receipts, junk = read_receipts(parts.receipts)
    by_receipt, failures = vouching_ledgers(parts.statement, receipts, trust, now, facts)
    still_there, unanswered = in_log([receipt for receipt in receipts if receipt.ledger in by_receipt], facts, now)
    asked, unasked = demand_no_other(signed, facts, trust)
    places, misplaced, unplaced = count_places(parts.anchors, signed.id, facts, trust, now)
    vouching = earliest(by_receipt, places)
    failures = [*junk, *failures, *misplaced]

    # 8 policy: k distinct ledgers of the list; before the rest of 7, whose T only they give
    if len(vouching) < trust.receipts:
        raise policy_error(vouching, failures, trust)
    heads, ignored = cosigned_heads(parts.statement, parts.witnessed, trust.logs, trust.witnesses, facts.logs)
    by_receipt, lacking = witnessed_ledgers(by_receipt, heads, trust)
    vouching = earliest(by_receipt, places)
    if len(vouching) < trust.receipts:
        raise unwitnessed_error(vouching, [*lacking, *ignored], trust)
    unwitnessed = [message.problem for message in (*lacking, *ignored)]

    # 7 validity, at T: the moment from which k ledgers had the statement
    no_later_than = sorted(vouching.values())[trust.receipts - 1]
    if not record_key.counts_at(no_later_than):
        demand_valid(record_key, no_later_than, Message("verify-key-of-meter", meter=claims.meter))
    if not statement_key.counts_at(no_later_than):
        demand_valid(statement_key, no_later_than, Message("verify-key-of-gateway", gateway=claims.gateway))
    demand_signed_by(statement, no_later_than)
    _demand_timely(record, no_later_than, trust.max_delay_s)

    # 6 again, online: a ledger that could not be asked does not confirm
    demand_all_asked(facts, trust, unanswered)

    values = record.body.values if isinstance(record.body, Reading) else ()
    counted = tuple(sorted(vouching.items(), key=lambda item: (item[1], item[0])))
    return Verified(
        kind=record.kind,
        gateway=claims.gateway,
        meter=claims.meter,
        seq=claims.seq,
        epoch=claims.epoch,
        time_ms=record.time_ms,
        no_later_than=no_later_than,
        clock=claims.clock,
        resume=statement.resume,
        body=record.body,
        values=tuple(values),
        batch=statement.batch,
        root=statement.root,
        statement_id=signed.id,
        receipts=counted,
        unconfirmed=_unconfirmed(receipts, vouching, failures, [*unanswered, *unplaced, *unasked, *unwitnessed]),
        on_chain=frozenset(vouching) - by_receipt.keys(),
        in_log={ledger: log for ledger, log in still_there.items() if ledger in by_receipt},
        asked=asked,
        witnessed=tuple(heads[ledger] for ledger, _ in counted if ledger in heads),
        keys=(
            *_keys(record_key, claims.iat, statement_key, statement.iat),
            *keys_of_ledgers(by_receipt, parts.statement, receipts, trust, now, facts),
        ),
    )


def _keys(record: TrustKey, record_s: int, statement: TrustKey, statement_s: int) -> tuple[SigningKey, ...]:
    """The keys of record and statement, with when each signed: one key where it is an event of the gateway itself."""
    if record != statement:
        return SigningKey(record, record_s, record_s), SigningKey(statement, statement_s, statement_s)
    return (SigningKey(record, min(record_s, statement_s), max(record_s, statement_s)),)


def _demand_timely(record: Record, no_later_than: int, max_delay_s: int | None) -> None:
    """Raise ``OutOfRange`` (step 7) for a record that speaks of times after the ledgers had it, or was held back."""
    latest_ms = _latest_ms(record)
    if latest_ms > (no_later_than + TOLERANCE_S) * 1000:
        raise OutOfRange(
            Message("verify-after-ledgers", claimed_ms=latest_ms, tolerance_s=TOLERANCE_S, ledgers_s=no_later_than),
            step=7,
        )
    held_ms = no_later_than * 1000 - record.time_ms
    if max_delay_s is not None and held_ms > max_delay_s * 1000:
        held, most = span_in_words(held_ms), span_in_words(max_delay_s * 1000)
        raise OutOfRange(
            Message("verify-held-back", held=held, record_ms=record.time_ms, ledgers_s=no_later_than, most=most),
            step=7,
        )


def _latest_ms(record: Record) -> int:
    """The latest time that a record speaks of (Unix ms): its own, that of its signing, that of its last value."""
    values = record.body.values if isinstance(record.body, Reading) else ()
    last_ms = record.time_ms + max(map(_OFFSET_MS, values), default=0)
    return min(max(last_ms, record.claims.iat * 1000), MAX_TIME_MS)


def record_key_of(record: Record, trust: Trust) -> TrustKey:
    """The key that the trust file names for a record's owner and kid; ``UnknownKey`` (step 2) where it names none."""
    claims = record.claims
    if claims.meter == GATEWAY_ITSELF:  # parse_record let nothing but an event pass
        key = trust.find("statement", gateway=claims.gateway, kid=record.kid)
    else:
        key = trust.find("meter", gateway=claims.gateway, meter=claims.meter, kid=record.kid)
    if key is None:
        kid = base64url(record.kid)
        raise UnknownKey(
            Message("verify-unknown-meter-key", kid=kid, meter=claims.meter, gateway=claims.gateway), step=2
        )
    return key


def _statement_key(signed: SignedStatement, record: Record, trust: Trust) -> TrustKey:
    gateway = record.claims.gateway
    if signed.statement.gateway != gateway:
        what = Message("verify-other-gateway", gateway=gateway, batch_gateway=signed.statement.gateway)
        raise UnknownKey(what, step=4)
    key = trust.find("statement", gateway=gateway, kid=signed.kid)
    if key is None:
        what = Message("verify-unknown-statement-key", kid=base64url(signed.kid), gateway=gateway)
        raise UnknownKey(what, step=4)
    return key


def _unconfirmed(
    receipts: list[Receipt],
    vouching: Mapping[str, int],
    failures: list[tuple[str, VerificationError]],
    notes: list[str],
) -> tuple[str, ...]:
    lines = [error.detail for _, error in failures]
    lines += [
        f"{receipt.ledger}: the size {receipt.size} of its log is not signed"
        for receipt in receipts
        if receipt.ledger in vouching and receipt.size_claim is None
    ]
    return (*lines, *notes)
