"""What a control room believes of a message, and at which step it refuses the rest; it never raises."""

from __future__ import annotations

from dataclasses import replace

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from control_room.judged import Judged, Refusal
from control_room.judging.judge import judge
from control_room.judging.storable import MOST
from ledger_client.formats import feed_messages
from ledger_client.formats.cose_key import ES256, PrivateKey
from ledger_client.formats.feed_messages import Asked, RecordRange, encode_batches, encode_gone, encode_records
from ledger_client.formats.record import Coverage, Event, Value, record_hash, sign_record
from ledger_client.formats.statement import Range, sign_statement
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_text import key_entry
from tests.support.evidence import (
    EPOCH,
    GATEWAY,
    METER,
    NOW,
    T0,
    VALID_FROM,
    bodies,
    claims,
    key,
    limited,
    moment,
    reading,
    receipt_for,
    records,
    statement_of,
    trust,
)

TRUST = trust()
RECORDS, BATCHES, STATUS, GONE = (
    feed_messages.topic(GATEWAY, kind) for kind in ("records", "batches", "status", "gone")
)
STATEMENT_KEY = key("statement", ES256)


def judged(topic: str, data: bytes, trusted: Trust = TRUST, now_s: int = NOW) -> Judged:
    return judge(topic, data, trusted, now_s)


def refused(found: Judged) -> Refusal:
    """The one thing that was refused, and nothing was believed."""
    (only,) = found.refusals
    assert found == Judged(refusals=(only,))
    assert only.why.problem
    return only


def record(signer: PrivateKey | None = None, body: object = None, **changes: object) -> bytes:
    return sign_record(claims(**changes), body or reading(), signer or key("meter"))  # type: ignore[arg-type]


def sent(*found: bytes, first: int = 7) -> bytes:
    return encode_records(range(first, first + len(found)), found)


def test_records_are_believed_with_their_facts() -> None:
    batch = records()
    found = judged(RECORDS, sent(*batch))
    assert found == Judged(records=found.records)
    assert [(r.seq, r.place, r.kind, r.data, r.hash) for r in found.records] == [
        (n, 7 + n, kind, data, record_hash(data))
        for n, (kind, data) in enumerate(zip(("reading", "coverage", "event"), batch, strict=True))
    ]
    assert {(r.gateway, r.meter, r.epoch) for r in found.records} == {(GATEWAY, METER, EPOCH)}
    assert [r.time_ms for r in found.records] == [T0 * 1000 + 123, T0 * 1000, (T0 + 1) * 1000]
    assert tuple(r.body for r in found.records) == bodies()


def test_statement_gone_and_status_are_believed() -> None:
    entry = sign_statement(statement_of(records()), STATEMENT_KEY)
    receipt = receipt_for(entry)
    (statement,) = judged(BATCHES, encode_batches(entry, [receipt])).statements
    assert (statement.gateway, statement.signed.entry, statement.receipts) == (GATEWAY, entry, (receipt,))
    asked = Asked((RecordRange(METER, EPOCH, 3, 4),), ((1, 2),))
    (gone,) = judged(GONE, encode_gone("pruned", asked)).gone
    assert gone == (GATEWAY, "pruned", ((METER, EPOCH, 3, 4),), ((1, 2),))
    (status,) = judged(STATUS, feed_messages.encode_status({"online": True})).statuses
    assert (status.gateway, status.fields["online"]) == (GATEWAY, True)
    assert judged(feed_messages.topic(GATEWAY, "again"), feed_messages.encode_again(asked)) == Judged()


def meter_entry(signer: PrivateKey, meter: str = METER) -> str:
    return key_entry("meter", signer.public, VALID_FROM, gateway=GATEWAY, meter=meter)


BESIDE = trust(extra=meter_entry(key("beside"), "beside"))
EVENT = Event("noted", {"a": [{"b": "x\0y"}]})
FORGED = bytearray(record())
FORGED[-40] ^= 1


@pytest.mark.parametrize(
    ("data", "trusted", "step", "code", "for_key"),
    [
        (record(key("stranger")), TRUST, 2, "verify-unknown-meter-key", True),
        (record(meter="import-main"), TRUST, 2, "verify-unknown-meter-key", True),
        (record(gateway="other"), TRUST, 2, "control-other-gateway", False),
        (record(meter="gateway", body=bodies()[2]), TRUST, 2, "verify-unknown-meter-key", True),
        (bytes(FORGED), TRUST, 2, "signature-wrong", False),
        (record(), limited("meter", valid_to=T0 - 300), 7, "verify-key-late", True),
        (record(), limited("meter", f"revoked = {moment(T0 - 300)}"), 7, "verify-key-revoked", True),
        (record(), limited("meter", valid_from=NOW + 1), 7, "verify-key-early", True),
        (record(body=reading(values=(Value("x", "a\0b"),))), TRUST, 2, "control-null-character", False),
        (record(body=EVENT), TRUST, 2, "control-null-character", False),
        (record(seq=MOST + 1), TRUST, 2, "control-number-large", False),
        (record(body=reading(values=(Value("x", 1, quality=1 << 63),))), TRUST, 2, "control-number-large", False),
        (record(body=Coverage(1, 2, 1 << 63, 1 << 63, {})), TRUST, 2, "control-number-large", False),
        (b"\xd2\x84" + bytes(100), TRUST, 1, "control-form", False),
        (b"\x9f" * 1000, TRUST, 1, "control-form", False),
    ],
)  # fmt: skip
def test_a_record_is_refused_at_its_step_and_costs_no_other(
    data: bytes, trusted: Trust, step: int, code: str, for_key: bool
) -> None:
    one = refused(judged(RECORDS, sent(data), trusted))
    assert (one.gateway, one.step, one.why.code, one.kid is not None) == (GATEWAY, step, code, for_key)
    good = record(key("beside"), meter="beside")
    beside = replace(trusted, keys=(*trusted.keys, BESIDE.keys[-1]))
    among = judged(RECORDS, sent(good, data, good, first=20), beside)
    (alone,) = among.refusals
    assert (alone.why, alone.kid) == (one.why, one.kid)
    assert [r.place for r in among.records] == [20, 22]
    # it may be judged again by itself, with its place
    assert refused(judged(RECORDS, alone.data, trusted)) == alone


def test_what_was_refused_for_its_key_is_believed_once_the_trust_file_has_it() -> None:
    data = record(key("stranger"))
    one = judged(RECORDS, sent(record(), data)).refusals[0]
    enrolled = trust(extra=meter_entry(key("stranger")))
    (found,) = judged(one.topic, one.data, enrolled).records
    assert (found.data, found.place, one.kid) == (data, 8, key("stranger").public.kid)


def test_a_key_may_begin_after_what_it_signed_and_end_within_what_clocks_differ() -> None:
    """The ledgers had it later than the record says; they cannot have had it more than 300 s earlier."""
    for trusted in (limited("meter", valid_from=NOW), limited("meter", valid_to=T0 - 298)):
        assert judged(RECORDS, sent(record()), trusted).refusals == ()


@pytest.mark.parametrize(
    ("changes", "signer", "code"),
    [
        ({"gateway": "other"}, STATEMENT_KEY, "control-other-gateway"),
        ({}, key("stranger"), "verify-unknown-statement-key"),
        ({"batch": MOST + 1, "prev": bytes(32)}, STATEMENT_KEY, "control-number-large"),
        ({"resume": "\0"}, STATEMENT_KEY, "control-null-character"),
        ({"iat": T0 - 3}, STATEMENT_KEY, "statement-signed-before"),
        ({"meters": {METER: (Range(EPOCH, MOST - 1, MOST + 1),)}}, STATEMENT_KEY, "control-number-large"),
    ],
)
def test_a_statement_is_refused_at_step_4(changes: dict[str, object], signer: PrivateKey, code: str) -> None:
    entry = sign_statement(replace(statement_of(records()), **changes), signer)  # type: ignore[arg-type]
    one = refused(judged(BATCHES, encode_batches(entry)))
    assert (one.step, one.why.code, one.kid is not None) == (4, code, signer is not STATEMENT_KEY)


@pytest.mark.parametrize(
    ("topic", "data", "gateway", "code"),
    [
        ("meterseal-records/v1/a\0b/records", b"", "", "control-topic"),
        ("meterseal-records/v1/" + "a" * 65 + "/records", b"", "", "control-topic"),
        (f"meterseal-records/v2/{GATEWAY}/records", b"", "", "control-topic"),
        (f"meterseal-records/v1/{GATEWAY}/records/x", b"", GATEWAY, "control-topic"),
        (RECORDS, b"", GATEWAY, "control-form"),
        (RECORDS, bytes(1 << 20), GATEWAY, "control-form"),
        (RECORDS, b"\x81" * 60_000, GATEWAY, "control-form"),
        (RECORDS, b"\x9b" + b"\xff" * 8, GATEWAY, "control-form"),
        (RECORDS, b"\xbb" + b"\xff" * 8, GATEWAY, "control-form"),
        (RECORDS, b"\x5b\x7f" + b"\xff" * 7, GATEWAY, "control-form"),
        (BATCHES, b"\xd2" * 100_000, GATEWAY, "control-form"),
        (STATUS, b"[" * 10_000, GATEWAY, "control-form"),
        (STATUS, b'{"v":1,"online":true,"x":"\\u0000"}', GATEWAY, "control-form"),
        (GONE, cbor2.dumps({"v": 1, "why": "pruned", "ranges": [], "batches": [[1, 2**63 - 1]]}, canonical=True),
         GATEWAY, "control-number-large"),
    ],
)  # fmt: skip
def test_a_message_is_refused_whole(topic: str, data: bytes, gateway: str, code: str) -> None:
    one = refused(judged(topic, data))
    assert (one.topic, one.data, one.gateway, one.step, one.kid) == (topic, data, gateway, 1, None)
    assert one.why.code == code


@pytest.mark.parametrize("kind", ["status", "gone"])
def test_what_is_not_signed_is_believed_of_known_gateways_alone(kind: str) -> None:
    one = refused(judged(feed_messages.topic("nobody", kind), WHOLE[feed_messages.topic(GATEWAY, kind)]))
    assert (one.gateway, one.step, one.why.code) == ("nobody", 2, "control-unknown-gateway")


WHOLE = {
    RECORDS: sent(*records()),
    BATCHES: encode_batches(sign_statement(statement_of(records()), STATEMENT_KEY)),
    STATUS: feed_messages.encode_status({"online": True, "disk": {"free": 1}}),
    GONE: encode_gone("lost", Asked((), ((1, 2),))),
}


@given(st.sampled_from(sorted(WHOLE)), st.integers(0, 2000), st.binary(max_size=4), st.integers(0, 4))
def test_no_change_of_a_message_raises_or_is_believed(topic: str, at: int, put: bytes, gone: int) -> None:
    data = WHOLE[topic]
    changed = data[: at % len(data)] + put + data[at % len(data) + gone :]
    found, original = judged(topic, changed), judged(topic, data)
    assert "control-judging-failed" not in [one.why.code for one in found.refusals]
    # nothing says that a record stands at its place, but the root of its batch
    assert {record.data for record in found.records} <= {record.data for record in original.records}
    assert [each.signed.id for each in found.statements] in ([], [each.signed.id for each in original.statements])


@given(st.sampled_from(sorted(WHOLE)), st.binary(max_size=200))
def test_no_bytes_are_believed(topic: str, data: bytes) -> None:
    assert refused(judged(topic, data)).why.code == "control-form"
