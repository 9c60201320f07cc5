"""Verification: what is proven, and each lie refused by its name and step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from ledger_client.errors import (
    BadSignature,
    Malformed,
    NotIncluded,
    OutOfRange,
    UnknownKey,
    VerificationError,
)
from ledger_client.formats import cbor, cose
from ledger_client.formats.bundle import Bundle
from ledger_client.formats.cose_key import ES256, P256_ORDER
from ledger_client.formats.record import GATEWAY_ITSELF, Coverage, Event, sign_record
from ledger_client.formats.senml import Reading, Value
from ledger_client.formats.statement import Range, id_text, statement_id
from ledger_client.messages import Message
from ledger_client.times import span_in_words
from ledger_client.verification.as_json import failure_json, verified_json
from ledger_client.verification.explain import facts_in_words
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_text import key_entry
from ledger_client.verification.verify import verify
from tests.support.evidence import (
    EPOCH,
    GATEWAY,
    LEDGER,
    METER,
    NOW,
    T0,
    VALID_FROM,
    VALUES,
    Site,
    claims,
    code,
    key,
    limited,
    reading,
    receipt_for,
    records,
    refusal,
    refused,
    statement_of,
    trust,
)

METER_KEY, STATEMENT_KEY = key("meter"), key("statement", ES256)


def test_what_a_bundle_proves() -> None:
    site = Site()
    facts = verify(site.build(), trust(), NOW)
    assert (facts.kind, facts.gateway, facts.meter, facts.seq, facts.epoch) == ("reading", GATEWAY, METER, 0, EPOCH)
    assert (facts.time_ms, facts.no_later_than, facts.clock) == (T0 * 1000 + 123, T0 + 5, "S")
    assert facts.values == VALUES
    assert facts.body == reading()
    assert (facts.batch, facts.root, facts.statement_id) == (
        0,
        statement_of(site.batch).root,
        statement_id(site.entry()),
    )
    assert (facts.receipts, facts.unconfirmed) == (((LEDGER, T0 + 5),), ())


@pytest.mark.parametrize(("index", "kind"), [(0, "reading"), (1, "coverage"), (2, "event")])
def test_every_kind_of_record_is_proven(index: int, kind: str) -> None:
    facts = verify(Site().build(index), trust(), NOW, kind=kind)
    assert facts.kind == kind
    assert facts.seq == index
    assert isinstance(facts.body, (Reading, Coverage, Event)[index])


def test_the_answer_in_json() -> None:
    answer = verified_json(verify(Site().build(), trust(), NOW))
    assert list(answer) == [
        "verified", "step", "error", "detail", "kind", "gateway", "meter", "seq", "epoch", "time", "no_later_than",
        "delay", "clock", "values", "batch", "resume", "root", "statement_id", "receipts", "unconfirmed",
        "asked", "witnessed", "keys",
    ]  # fmt: skip
    assert answer["verified"] is True
    assert answer["step"] is answer["error"] is answer["detail"] is None
    assert (answer["time"], answer["no_later_than"]) == ("2026-11-18T11:06:40.123Z", "2026-11-18T11:06:45Z")
    assert answer["epoch"] == "0102030405060708"
    assert answer["values"][1] == {"name": "power_active", "value": 18.25, "unit": "kW", "quality": []}
    unread = {"name": "co2", "value": None, "unit": "ppm", "quality": ["COMM_FAIL"], "offset_ms": 40}
    assert answer["values"][3] == unread
    assert answer["receipts"] == [{"ledger": LEDGER, "time": "2026-11-18T11:06:45Z"}]
    assert json.loads(json.dumps(answer)) == answer


def test_a_decimal_that_json_numbers_cannot_hold_is_text() -> None:
    values = (Value("a", Decimal("1234567890123456.78")), Value("b", Decimal("0.1")), Value("c", 2**63))
    batch = [sign_record(claims(), reading(values=values), METER_KEY)]
    shown = verified_json(verify(Site(batch).build(), trust(), NOW))["values"]
    assert [value["value"] for value in shown] == ["1234567890123456.78", 0.1, 2**63]


def test_coverage_and_events_in_json() -> None:
    shown = {v["name"]: v["value"] for v in verified_json(verify(Site().build(1), trust(), NOW))["values"]}
    assert shown == {
        "from": "2026-11-18T11:05:40.000Z", "to": "2026-11-18T11:06:40.000Z", "due": 6, "recorded": 5,
        "missed.timeout": 1,
    }  # fmt: skip
    shown = {v["name"]: v["value"] for v in verified_json(verify(Site().build(2), trust(), NOW))["values"]}
    assert shown == {"event": "meter-exchanged", "serial": "A-77", "old": ["01", {"n": 0.5}]}


def test_keys_1_and_1_as_text_stay_apart_in_json() -> None:
    numbers = {1: "a", "1": "b", "#1": "c", "##1": "d", -1: "e", "n": {2: {"2": 2}}}
    batch = [sign_record(claims(), Event("odd", {"numbers": numbers}), METER_KEY)]
    shown = verified_json(verify(Site(batch).build(), trust(), NOW))["values"][1]["value"]
    assert shown == {"#1": "a", "1": "b", "##1": "c", "###1": "d", "#-1": "e", "n": {"#2": {"2": 2}}}


def test_no_text_of_an_event_passes_for_another_fact_of_it() -> None:
    facts = {"serial": "A-77, old = B-12\n    old = C", "parts": {1: Decimal("0.50"), "1": [b"\1", "\u202e"]}}
    batch = [sign_record(claims(), Event("meter-exchanged", facts), METER_KEY)]
    lines = facts_in_words(verify(Site(batch).build(), trust(), NOW))
    start = lines.index("  event          meter-exchanged")
    assert lines[start + 1 : start + 4] == [
        '    parts = {"#1": 0.5, "1": ["01", "\\u202e"]}',
        "    serial = A-77, old = B-12\\n    old = C",
        f"  batch          0, statement {id_text(statement_id(Site(batch).entry()))}",
    ]


@pytest.mark.parametrize(
    ("facts", "ends"), [({"by-hand": True}, ", by hand: the new device tells no number"), ({}, "")]
)
def test_an_exchange_by_hand_is_called_so(facts: dict[str, Any], ends: str) -> None:
    batch = [sign_record(claims(), Event("meter-exchange", {"old": "", "identity": "", **facts}), METER_KEY)]
    lines = facts_in_words(verify(Site(batch).build(), trust(), NOW))
    (line,) = (line for line in lines if line.startswith("  event          meter-exchange"))
    assert line.partition("meter-exchange")[2].startswith(ends)
    assert bool(ends) == ("by hand" in line)


def test_a_statement_that_goes_on_after_a_loss_is_told_with_its_reason() -> None:
    site = Site()
    assert verify(site.build(), trust(), NOW).resume is None
    site = replace(
        site, statement=replace(statement_of(site.batch), batch=7, prev=bytes(32), resume="disk \x1b[2J lost")
    )
    proven = verify(site.build(), trust(), NOW)
    assert (proven.resume, verified_json(proven)["resume"]) == ("disk \x1b[2J lost", "disk \x1b[2J lost")
    assert "  after a loss   disk \\x1b[2J lost" in facts_in_words(proven)


def test_the_delay_between_a_record_and_its_ledgers() -> None:
    proven = verify(Site().build(), trust(), NOW)
    assert (proven.delay_ms, verified_json(proven)["delay"]) == (4877, 4.877)
    assert "  delay          4.9 s" in facts_in_words(proven)
    early = verify(Site().build(), limited(LEDGER, valid_from=0), NOW)
    assert early.delay_ms == 4877


@pytest.mark.parametrize(
    ("ms", "words"),
    [
        (0, "0.0 s"), (-1500, "-1.5 s"), (59_999, "60.0 s"), (60_000, "1 min 0 s"), (3_599_999, "59 min 59 s"),
        (3_600_000, "1 h 0 min"), (86_399_999, "23 h 59 min"), (300 * 86_400_000 + 7_200_001, "300 d 2 h"),
    ],
)  # fmt: skip
def test_a_span_in_words(ms: int, words: str) -> None:
    assert span_in_words(ms) == words


def test_the_answer_in_json_when_something_is_wrong() -> None:
    with pytest.raises(VerificationError) as caught:
        verify(b"", trust(), NOW)
    answer = failure_json(caught.value)
    assert list(answer) == list(verified_json(verify(Site().build(), trust(), NOW)))
    assert (answer["verified"], answer["step"], answer["error"]) == (False, 1, "Malformed")
    assert answer["detail"] == caught.value.detail
    assert (answer["values"], answer["receipts"], answer["kind"]) == ([], [], None)


# step 2


def test_a_wrong_key_of_the_meter() -> None:
    assert "no key" in refused(UnknownKey, 2, Site(records(key("thief"))).build())


def test_a_wrong_signature_under_the_right_kid() -> None:
    site = Site()
    sign1 = cose.Sign1.parse(site.batch[0])
    forged = replace(sign1, signature=key("thief").sign(b"whatever")).encode()
    refused(BadSignature, 2, Site([forged, *site.batch[1:]]).build())


def test_the_record_of_another_meter_under_this_one() -> None:
    other = sign_record(claims(meter="import-main"), reading(), key("import"))
    batch = [other, *records()[1:]]
    assert "import-main" in refused(UnknownKey, 2, Site(batch).build())
    known = key_entry("meter", key("import").public, VALID_FROM, gateway=GATEWAY, meter="import-main")
    batch = [sign_record(claims(meter="import-main", seq=0), reading(), key("import")), *records()]
    assert verify(Site(batch).build(), trust(extra=known), NOW).meter == "import-main"  # and never export-main


def test_a_meter_that_signs_for_another() -> None:
    batch = [sign_record(claims(meter="import-main"), reading(), METER_KEY)]
    known = key_entry("meter", key("import").public, VALID_FROM, gateway=GATEWAY, meter="import-main")
    refused(UnknownKey, 2, Site(batch).build(), trust(extra=known))


def test_coverage_where_a_reading_is_claimed() -> None:
    found = refusal(Malformed, 2, Site().build(1), kind="reading")
    assert found.what == Message("verify-other-kind", kind="coverage", wanted="reading")


def test_a_pack_of_another_meter_inside_this_ones_claims() -> None:
    sign1 = cose.Sign1.parse(records()[0])
    assert sign1.payload is not None
    pack = cbor.decode(sign1.payload)
    pack[0][-2] = f"{GATEWAY}/import-main/"
    forged = cose.sign1(sign1.protected, cbor.encode(pack), METER_KEY)
    site = Site()
    bundle = replace(site.bundle(), record=forged).encode()
    assert "the pack is of" in refused(Malformed, 2, bundle)


def test_another_content_type() -> None:
    sign1 = cose.Sign1.parse(records()[0])
    assert sign1.payload is not None
    forged = cose.sign1({**sign1.protected, 3: "application/cbor"}, sign1.payload, METER_KEY)
    refused(Malformed, 2, replace(Site().bundle(), record=forged).encode())


def gateway_event(signer: Any) -> bytes:
    return sign_record(claims(meter=GATEWAY_ITSELF), Event("software", {"version": "0.1.0"}), signer)


def test_the_gateways_own_event_is_signed_by_its_statement_key() -> None:
    facts = verify(Site([gateway_event(STATEMENT_KEY)]).build(), trust(), NOW)
    assert (facts.meter, facts.kind) == (GATEWAY_ITSELF, "event")
    refused(UnknownKey, 2, Site([gateway_event(METER_KEY)]).build())


def test_the_statement_key_signs_for_no_meter() -> None:
    refused(UnknownKey, 2, Site(records(STATEMENT_KEY)).build())


def es256_site() -> tuple[list[bytes], Trust]:
    signer = key("meter", ES256)
    entry = key_entry("meter", signer.public, VALID_FROM, gateway=GATEWAY, meter=METER)
    return records(signer), trust(keys={"meter": entry})


def twin(data: bytes) -> bytes:
    sign1 = cose.Sign1.parse(data)
    s = P256_ORDER - int.from_bytes(sign1.signature[32:], "big")
    return replace(sign1, signature=sign1.signature[:32] + s.to_bytes(32, "big")).encode()


def test_the_es256_twin_of_a_record() -> None:
    batch, trusted = es256_site()
    assert verify(Site(batch).build(), trusted, NOW).seq == 0
    assert "s > n/2" in refused(BadSignature, 2, Site([twin(batch[0]), *batch[1:]]).build(), trusted)


def test_the_es256_twin_of_a_statement() -> None:
    site = Site()
    entry = twin(site.entry())
    assert "s > n/2" in refused(BadSignature, 4, site.build(statement=entry, receipts=(receipt_for(entry),)))


# step 3


def test_a_record_of_another_batch() -> None:
    other = sign_record(claims(7), reading(T0 * 1000 + 200), METER_KEY)
    found = refusal(NotIncluded, 3, replace(Site().bundle(), record=other).encode())
    assert found.what == Message("verify-other-root")


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"size": 4}, "the path is for 4 records, the statement has 3"),
        ({"index": 3}, "a tree of 3 leaves has no leaf 3"),
        ({"index": 1}, "do not lead to the root"),
        ({"path": ()}, "too short"),
        ({"path": (bytes(32),) * 3}, "too long"),
        ({"path": (bytes(32), bytes(32))}, "do not lead to the root"),
    ],
)
def test_a_place_that_does_not_fit(changes: dict[str, Any], problem: str) -> None:
    assert problem in refused(NotIncluded, 3, replace(Site().bundle(), **changes).encode())


# step 4


def test_a_record_of_another_gateway_in_this_ones_batch() -> None:
    foreign = sign_record(claims(gateway="other-gateway"), reading(), key("other-meter"))
    known = key_entry("meter", key("other-meter").public, VALID_FROM, gateway="other-gateway", meter=METER)
    bundle = Site([foreign, *records()[1:]]).build()
    found = refusal(UnknownKey, 4, bundle, trust(extra=known))
    assert found.what == Message("verify-other-gateway", gateway="other-gateway", batch_gateway=GATEWAY)


def test_a_wrong_key_of_the_statement() -> None:
    assert "no statement key" in refused(UnknownKey, 4, Site(statement_signer=key("thief")).build())


def test_a_meter_key_signs_no_statement() -> None:
    refused(UnknownKey, 4, Site(statement_signer=METER_KEY).build())


def test_a_wrong_signature_of_the_statement_under_the_right_kid() -> None:
    site = Site()
    forged = replace(cose.Sign1.parse(site.entry()), signature=STATEMENT_KEY.sign(b"whatever")).encode()
    refused(BadSignature, 4, site.build(statement=forged, receipts=(receipt_for(forged),)))


def resigned(change: Callable[[dict[Any, Any], dict[str, Any]], object]) -> bytes:
    """A bundle whose statement contradicts itself, signed so by a gateway that lies."""
    site = Site()
    sign1 = cose.Sign1.parse(site.entry())
    assert sign1.payload is not None
    header, payload = cbor.decode(sign1.protected_bytes), cbor.decode(sign1.payload)
    change(header, payload)
    entry = cose.sign1(header, cbor.encode(payload), STATEMENT_KEY)
    return site.build(statement=entry, receipts=(receipt_for(entry),))


def test_a_statement_of_another_batch_than_its_sub() -> None:
    assert "sub is 'batch/1'" in refused(Malformed, 4, resigned(lambda h, p: h[15].update({2: "batch/1"})))


def test_a_statement_whose_time_cannot_be_written() -> None:
    for iat in (253_402_300_800, 2**53, 2**64 - 1):
        refused(Malformed, 1, resigned(lambda h, p, iat=iat: h[15].update({6: iat})))  # type: ignore[misc]


def test_a_statement_whose_ranges_do_not_make_its_size() -> None:
    lie = resigned(lambda h, p: p.update(meters={METER: [[EPOCH, 0, 5]]}))
    assert "its ranges hold 6 records" in refused(Malformed, 4, lie)


@pytest.mark.parametrize("last", [2**63 - 1, 2**63, 2**64 - 1])
def test_ranges_that_no_log_could_ever_hold(last: int) -> None:
    meters = {METER: [[EPOCH, 0, last], [b"\xff" * 8, 0, last]]}
    assert f"its ranges hold {2 * (last + 1)} records" in refused(
        Malformed, 4, resigned(lambda h, p: p.update(meters=meters))
    )


@pytest.mark.parametrize("changes", [{"from_ms": T0 * 1000 + 124}, {"to_ms": T0 * 1000 + 122}])
def test_a_record_outside_of_the_times_of_its_batch(changes: dict[str, Any]) -> None:
    site = Site()
    site = replace(site, statement=replace(statement_of(site.batch), **changes))
    assert "is outside its batch" in refused(OutOfRange, 4, site.build())


def test_a_statement_that_was_signed_before_its_last_record() -> None:
    site, to_ms = Site(), (T0 + 2) * 1000
    batch = [sign_record(claims(), reading(to_ms, VALUES[:1]), METER_KEY)]
    for iat in (0, T0 - 1):
        early = replace(site, batch=batch, statement=replace(statement_of(batch), iat=iat))
        assert "before its last record" in refused(OutOfRange, 4, early.build())
    assert verify(replace(site, batch=batch, statement=replace(statement_of(batch), iat=T0)).build(), trust(), NOW)


def test_an_earlier_step_is_named_before_a_later_one() -> None:
    bundle = Bundle.parse(resigned(lambda h, p: h[15].update({2: "batch/1"})))
    refused(UnknownKey, 2, replace(bundle, record=records(key("thief"))[0]).encode())


# step 5


@pytest.mark.parametrize(
    "meters",
    [
        {METER: (Range(EPOCH, 1, 3),)},
        {METER: (Range(bytes(8), 0, 2),)},
        {"import-main": (Range(EPOCH, 0, 2),)},
    ],
)
def test_a_record_that_its_batch_does_not_count(meters: dict[str, tuple[Range, ...]]) -> None:
    site = Site()
    site = replace(site, statement=replace(statement_of(site.batch), meters=meters))
    found = refusal(OutOfRange, 5, site.build())
    assert code(found) == "verify-not-counted"
    assert isinstance(found.what, Message)
    assert found.what.facts["batch"] == 0
