"""Verification of one bundle: eight numbered steps, no I/O; the proven facts, or the one error that stopped it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Final

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
from ledger_client.formats.record import GATEWAY_ITSELF, Body, Event, Record, parse_record
from ledger_client.formats.senml import Reading, Value, quality_words
from ledger_client.formats.statement import SignedStatement, check_statement, id_text, read_statement
from ledger_client.times import rfc3339, rfc3339_ms, span_in_words
from ledger_client.verification.online_facts import NOTHING_ASKED, LogFact, OnlineFacts
from ledger_client.verification.trust import Trust, TrustKey
from ledger_client.verification.vouching import (
    TOLERANCE_S,
    check_receipt,
    count_places,
    demand_all_asked,
    demand_no_other,
    demand_valid,
    in_log,
    read_receipts,
    too_few,
    vouching_ledgers,
)

__all__ = [
    "TOLERANCE_S", "Verified", "check_receipt", "demand_valid", "failure_json", "record_key_of", "rfc3339",
    "rfc3339_ms", "too_few", "verify", "vouching_ledgers",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Verified:
    """What a bundle proved.

    ``time_ms`` is the time that the record claims (Unix ms, by a clock in the state ``clock``); ``no_later_than`` (Unix
    seconds) is the time at which enough ledgers had its batch. They are two facts: the second bounds the first.
    ``delay_ms`` is what lies between the two; below 0 by as much as the clocks disagree. ``resume``: why the batch goes
    on after a loss, as the gateway states it; None where it states none.
    ``receipts`` are the ledgers that count, each with its earliest time, ``on_chain`` those of them whose chain was
    asked, ``in_log`` those whose log was asked and has only grown; ``asked`` are the ledgers of the policy that hold no
    other statement under this number; ``unconfirmed`` says what does not count, or is not
    proven, and why.
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

    @property
    def delay_ms(self) -> int:
        return self.no_later_than * 1000 - self.time_ms

    def as_json(self) -> dict[str, Any]:
        """The facts for ``--json``. Times are RFC 3339; a decimal that a float cannot show exactly is text."""
        return _ANSWER | {
            "verified": True,
            "kind": self.kind,
            "gateway": self.gateway,
            "meter": self.meter,
            "seq": self.seq,
            "epoch": self.epoch.hex(),
            "time": rfc3339_ms(self.time_ms),
            "no_later_than": rfc3339(self.no_later_than),
            "delay": self.delay_ms / 1000,
            "clock": self.clock,
            "values": _json_values(self.body),
            "batch": self.batch,
            "resume": self.resume,
            "root": self.root.hex(),
            "statement_id": id_text(self.statement_id),
            "receipts": [self._json_receipt(ledger, time) for ledger, time in self.receipts],
            "unconfirmed": list(self.unconfirmed),
            "asked": list(self.asked),
        }

    def _json_receipt(self, ledger: str, time: int) -> dict[str, Any]:
        """With ``log`` only where the ledger's log was asked and has only grown."""
        log = self.in_log.get(ledger)
        now = {"log": {"entries": log.entries, "time": rfc3339(log.time)}} if log else {}
        return {"ledger": ledger, "time": rfc3339(time), **now}


_KEYS: Final = (
    "verified", "step", "error", "detail", "kind", "gateway", "meter", "seq", "epoch", "time", "no_later_than", "delay",
    "clock", "values", "batch", "resume", "root", "statement_id", "receipts", "unconfirmed", "asked",
)  # fmt: skip
_ANSWER: Final[dict[str, Any]] = dict.fromkeys(_KEYS)


def failure_json(error: VerificationError) -> dict[str, Any]:
    """The answer for ``--json`` when verification stopped: the same keys, with what stopped it and no facts."""
    stopped = {"verified": False, "step": error.step, "error": type(error).__name__, "detail": error.detail}
    return _ANSWER | stopped | {"values": [], "receipts": [], "unconfirmed": [], "asked": []}


def verify(
    bundle: bytes, trust: Trust, now: int, *, kind: str | None = None, facts: OnlineFacts = NOTHING_ASKED
) -> Verified:
    """What ``bundle`` proves to someone who believes ``trust`` at the time ``now`` (Unix seconds).

    ``kind`` ('reading', 'coverage', 'event') demands that kind of record. ``facts``: what asking its ledgers has
    brought out (``online.refresh``); without it no locator counts. Raises the ``VerificationError`` of the first
    step that fails, and nothing else, for any bytes.
    """
    # 1 parse: every layer, strictly, before anything is believed
    parts = Bundle.parse(bundle)
    signed = read_statement(parts.statement)
    record = parse_record(parts.record)  # last: it may already find what belongs to step 2
    statement = signed.statement

    # 2 record: by a key of this meter of this gateway
    if kind is not None and kind != record.kind:
        raise Malformed(f"a {kind} is asked for, the bundle holds a record of kind {record.kind}", step=2)
    record_key = record_key_of(record, trust)
    with at_step(2):
        record.sign1.verify(record_key.key)

    # 3 inclusion: the record is a leaf of the batch
    if parts.size != statement.size:
        raise NotIncluded(f"the path is for {parts.size} records, the statement has {statement.size}", step=3)
    with at_step(3):
        root = root_from_path(leaf_hash(parts.record), parts.size, parts.index, parts.path)
    if root != statement.root:
        raise NotIncluded("record and path do not lead to the root of the statement", step=3)

    # 4 statement: of the same gateway, by its statement key, and it agrees with itself
    statement_key = _statement_key(signed, record, trust)
    with at_step(4):
        signed.sign1.verify(statement_key.key)
    check_statement(signed)
    if not statement.from_ms <= record.time_ms <= statement.to_ms:
        span = f"{rfc3339_ms(statement.from_ms)} to {rfc3339_ms(statement.to_ms)}"
        raise OutOfRange(f"the record is of {rfc3339_ms(record.time_ms)}, its batch is of {span}", step=4)

    # 5 sequence: the statement counts this record
    claims = record.claims
    ranges = statement.meters.get(claims.meter, ())
    if not any(r.epoch == claims.epoch and r.first <= claims.seq <= r.last for r in ranges):
        raise OutOfRange(f"record {record.id} is in no range of batch {statement.batch}", step=5)

    # 6 receipts, and of 7 what concerns one receipt: which ledgers vouch, and since when
    receipts, junk = read_receipts(parts.receipts)
    vouching, failures = vouching_ledgers(parts.statement, receipts, trust, now, facts)
    failures = junk + failures
    by_receipt = frozenset(vouching)
    still_there, notes = in_log([receipt for receipt in receipts if receipt.ledger in vouching], facts, now)
    untold = list(notes)
    asked, more = demand_no_other(signed, facts, trust)
    notes += count_places(parts.anchors, signed.id, facts, trust, now, vouching, failures)

    # 8 policy: k distinct ledgers of the list; before the rest of 7, whose T only they give
    if len(vouching) < trust.receipts:
        raise too_few(vouching, failures, trust)

    # 7 validity, at T: the moment from which k ledgers had the statement
    no_later_than = sorted(vouching.values())[trust.receipts - 1]
    demand_valid(record_key, no_later_than, f"the key of meter {claims.meter}")
    demand_valid(statement_key, no_later_than, f"the statement key of {claims.gateway}")
    _demand_timely(record, no_later_than, trust.max_delay_s)

    # 6 again: online, what nobody could tell is no yes
    demand_all_asked(facts, trust, untold)

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
        unconfirmed=_unconfirmed(receipts, vouching, failures, [*notes, *more]),
        on_chain=frozenset(vouching) - by_receipt,
        in_log=still_there,
        asked=asked,
    )


def _demand_timely(record: Record, no_later_than: int, max_delay_s: int | None) -> None:
    """Raise ``OutOfRange`` (step 7) for a record that speaks of times after the ledgers had it, or was held back."""
    latest_ms = _latest_ms(record)
    if latest_ms > (no_later_than + TOLERANCE_S) * 1000:
        span = f"{rfc3339_ms(latest_ms)}, more than {TOLERANCE_S} s after {rfc3339(no_later_than)}"
        raise OutOfRange(f"the record claims {span}, when its batch was on a ledger already", step=7)
    held_ms = no_later_than * 1000 - record.time_ms
    if max_delay_s is not None and held_ms > max_delay_s * 1000:
        span = f"{span_in_words(held_ms)}, from {rfc3339_ms(record.time_ms)} to {rfc3339(no_later_than)}"
        most = f"policy.max_delay of the trust file is {span_in_words(max_delay_s * 1000)}"
        raise OutOfRange(f"the record was held back for {span}, when the ledgers had it; {most}", step=7)


def _latest_ms(record: Record) -> int:
    """The latest time that a record speaks of (Unix ms): its own, that of its signing, that of its last value."""
    values = record.body.values if isinstance(record.body, Reading) else ()
    last_ms = record.time_ms + max((value.offset_ms for value in values), default=0)
    return min(max(last_ms, record.claims.iat * 1000), MAX_TIME_MS)


def record_key_of(record: Record, trust: Trust) -> TrustKey:
    """The key that the trust file names for a record's owner and kid; ``UnknownKey`` (step 2) where it names none."""
    claims = record.claims
    if claims.meter == GATEWAY_ITSELF:  # parse_record let nothing but an event pass
        key = trust.find("statement", gateway=claims.gateway, kid=record.kid)
    else:
        key = trust.find("meter", gateway=claims.gateway, meter=claims.meter, kid=record.kid)
    if key is None:
        owner = f"meter {claims.meter} of gateway {claims.gateway}"
        raise UnknownKey(f"the trust file has no key {base64url(record.kid)} for {owner}", step=2)
    return key


def _statement_key(signed: SignedStatement, record: Record, trust: Trust) -> TrustKey:
    gateway = record.claims.gateway
    if signed.statement.gateway != gateway:
        raise UnknownKey(f"the record is of gateway {gateway}, its batch of {signed.statement.gateway}", step=4)
    key = trust.find("statement", gateway=gateway, kid=signed.kid)
    if key is None:
        raise UnknownKey(f"the trust file has no statement key {base64url(signed.kid)} for gateway {gateway}", step=4)
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


def _json_values(body: Body) -> list[dict[str, Any]]:
    """The values of a reading; of another record its facts, in the same form."""
    if isinstance(body, Reading):
        return [
            _json_value(v.name, v.value, v.unit, v.quality) | ({"offset_ms": v.offset_ms} if v.offset_ms else {})
            for v in body.values
        ]
    if isinstance(body, Event):
        return [_json_value(name, fact) for name, fact in {"event": body.name, **body.fields}.items()]
    missed = {f"missed.{reason}": count for reason, count in body.missed.items()}
    facts = {"from": rfc3339_ms(body.from_ms), "to": rfc3339_ms(body.to_ms), "due": body.due}
    return [_json_value(name, fact) for name, fact in {**facts, "recorded": body.recorded, **missed}.items()]


def _json_value(name: str, value: object, unit: str | None = None, quality: int = 0) -> dict[str, Any]:
    return {"name": name, "value": plain_json(value), "unit": unit, "quality": quality_words(quality)}


def plain_json(value: object) -> Any:
    """A value or fact as ``--json`` shows it."""
    if isinstance(value, Decimal):
        return float(value) if Decimal(repr(float(value))) == value else str(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, list):
        return [plain_json(item) for item in value]
    if isinstance(value, Mapping):
        return {_json_key(key): plain_json(item) for key, item in value.items()}
    return value


def _json_key(key: object) -> str:
    """Integer keys as ``#1``; text that begins with # gets another one, so that no two keys become one."""
    return key if isinstance(key, str) and not key.startswith("#") else f"#{key}"
