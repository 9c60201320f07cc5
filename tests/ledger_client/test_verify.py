"""Verification: what is proven, and each lie refused by its name and step."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from typing import Any

import cbor2
import pytest

from ledger_client import cbor, cose
from ledger_client.bundle import Bundle, Locator
from ledger_client.cose_key import ES256, P256_ORDER
from ledger_client.errors import (
    STEPS,
    BadReceipt,
    BadSignature,
    KeyNotValid,
    Malformed,
    NotIncluded,
    OutOfRange,
    PolicyNotMet,
    UnknownKey,
    UnknownLedger,
    UnsupportedLog,
    VerificationError,
)
from ledger_client.merkle import leaf_hash, root_from_path
from ledger_client.receipt import parse_receipt
from ledger_client.record import GATEWAY_ITSELF, Coverage, Event, Reading, Value, sign_record
from ledger_client.statement import Range, sign_statement, statement_id
from ledger_client.trust import Trust, key_entry
from ledger_client.verify import check_receipt, failure_json, verify
from tests.ledger_client.evidence import (
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
    key,
    reading,
    receipt_for,
    records,
    statement_of,
    trust,
)

METER_KEY, STATEMENT_KEY = key("meter"), key("statement", ES256)


def moment(seconds: int) -> str:
    return key_entry("meter", METER_KEY.public, seconds).splitlines()[-1].split(" = ")[1]


def limited(role: str, *lines: str, valid_from: int = VALID_FROM, valid_to: int | None = None) -> Trust:
    """The trust file with further lines in the entry of one key."""
    owner: dict[str, dict[str, Any]] = {
        "meter": {"key": METER_KEY.public, "gateway": GATEWAY, "meter": METER},
        "statement": {"key": STATEMENT_KEY.public, "gateway": GATEWAY},
        LEDGER: {"key": key(LEDGER).public, "ledger": LEDGER},
    }
    entry = key_entry(
        "ledger" if role == LEDGER else role, valid_from=valid_from, valid_to=valid_to, **owner[role]
    ) + "".join(line + "\n" for line in lines)
    return trust(keys={role: entry})


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
    answer = verify(Site().build(), trust(), NOW).as_json()
    assert list(answer) == [
        "verified", "step", "error", "detail", "kind", "gateway", "meter", "seq", "epoch", "time", "no_later_than",
        "clock", "values", "batch", "root", "statement_id", "receipts", "unconfirmed",
    ]  # fmt: skip
    assert answer["verified"] is True
    assert answer["step"] is answer["error"] is answer["detail"] is None
    assert (answer["time"], answer["no_later_than"]) == ("2026-11-18T11:06:40.123Z", "2026-11-18T11:06:45Z")
    assert answer["epoch"] == "0102030405060708"
    assert answer["values"][1] == {"name": "power_active", "value": 18.25, "unit": "kW", "quality": []}
    assert answer["values"][3] == {"name": "co2", "value": None, "unit": "ppm", "quality": ["COMM_FAIL"]}
    assert answer["receipts"] == [{"ledger": LEDGER, "time": "2026-11-18T11:06:45Z"}]
    assert json.loads(json.dumps(answer)) == answer


def test_a_decimal_that_json_numbers_cannot_hold_is_text() -> None:
    values = (Value("a", Decimal("1234567890123456.78")), Value("b", Decimal("0.1")), Value("c", 2**63))
    batch = [sign_record(claims(), reading(values=values), METER_KEY)]
    shown = verify(Site(batch).build(), trust(), NOW).as_json()["values"]
    assert [value["value"] for value in shown] == ["1234567890123456.78", 0.1, 2**63]


def test_coverage_and_events_in_json() -> None:
    shown = {v["name"]: v["value"] for v in verify(Site().build(1), trust(), NOW).as_json()["values"]}
    assert shown == {
        "from": "2026-11-18T11:05:40.000Z", "to": "2026-11-18T11:06:40.000Z", "due": 6, "recorded": 5,
        "missed.timeout": 1,
    }  # fmt: skip
    shown = {v["name"]: v["value"] for v in verify(Site().build(2), trust(), NOW).as_json()["values"]}
    assert shown == {"event": "meter-exchanged", "serial": "A-77", "old": ["01", {"n": 0.5}]}


def test_the_answer_in_json_when_something_is_wrong() -> None:
    with pytest.raises(VerificationError) as caught:
        verify(b"", trust(), NOW)
    answer = failure_json(caught.value)
    assert list(answer) == list(verify(Site().build(), trust(), NOW).as_json())
    assert (answer["verified"], answer["step"], answer["error"]) == (False, 1, "Malformed")
    assert answer["detail"] == caught.value.detail
    assert (answer["values"], answer["receipts"], answer["kind"]) == ([], [], None)


def refused(error: type[VerificationError], step: int, bundle: bytes, trusted: Trust | None = None, **more: Any) -> str:
    """The detail of the refusal, which must be of this kind and step."""
    with pytest.raises(VerificationError) as caught:
        verify(bundle, trusted or trust(), more.pop("now", NOW), **more)
    assert (type(caught.value), caught.value.step) == (error, step), caught.value
    assert str(caught.value) == f"step {step} ({STEPS[step]}): {caught.value.detail}"
    return caught.value.detail


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
    detail = refused(Malformed, 2, Site().build(1), kind="reading")
    assert detail == "a reading is asked for, the bundle holds a record of kind coverage"


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
    assert "twin" in refused(BadSignature, 2, Site([twin(batch[0]), *batch[1:]]).build(), trusted)


def test_the_es256_twin_of_a_statement() -> None:
    site = Site()
    entry = twin(site.entry())
    assert "twin" in refused(BadSignature, 4, site.build(statement=entry, receipts=(receipt_for(entry),)))


# step 3


def test_a_record_of_another_batch() -> None:
    other = sign_record(claims(7), reading(T0 * 1000 + 200), METER_KEY)
    assert "do not lead to the root" in refused(NotIncluded, 3, replace(Site().bundle(), record=other).encode())


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"size": 4}, "the path is for 4 records, the statement has 3"),
        ({"index": 3}, "leaf 3 of a tree of 3"),
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
    detail = refused(UnknownKey, 4, bundle, trust(extra=known))
    assert detail == f"the record is of gateway other-gateway, its batch of {GATEWAY}"


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


def test_a_statement_whose_ranges_do_not_make_its_size() -> None:
    lie = resigned(lambda h, p: p.update(meters={METER: [[EPOCH, 0, 5]]}))
    assert "its ranges hold 6 records" in refused(Malformed, 4, lie)


@pytest.mark.parametrize("changes", [{"from_ms": T0 * 1000 + 124}, {"to_ms": T0 * 1000 + 122}])
def test_a_record_outside_of_the_times_of_its_batch(changes: dict[str, Any]) -> None:
    site = Site()
    site = replace(site, statement=replace(statement_of(site.batch), **changes))
    assert "its batch is of" in refused(OutOfRange, 4, site.build())


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
    assert "is in no range of batch 0" in refused(OutOfRange, 5, site.build())


# step 6


def test_an_unknown_ledger() -> None:
    assert "no key of this ledger" in refused(UnknownLedger, 6, Site(ledgers=("elsewhere",)).build())


def test_a_ledger_with_a_key_that_the_policy_does_not_list() -> None:
    known = key_entry("ledger", key("elsewhere").public, VALID_FROM, ledger="elsewhere")
    detail = refused(UnknownLedger, 6, Site(ledgers=("elsewhere",)).build(), trust(extra=known))
    assert "does not list" in detail


def test_an_unknown_key_of_a_known_ledger() -> None:
    site = Site()
    forged = receipt_for(site.entry(), LEDGER, signer=key("thief"))
    assert "the trust file has no key" in refused(UnknownKey, 6, site.build(receipts=(forged,)))


def bad_receipt(change: Callable[[dict[Any, Any], dict[Any, Any]], object]) -> bytes:
    site = Site()
    sign1 = cose.Sign1.parse(receipt_for(site.entry()))
    header, unprotected = cbor.decode(sign1.protected_bytes), dict(sign1.unprotected)
    change(header, unprotected)
    protected_bytes = cbor2.dumps(header, canonical=True)
    changed = replace(sign1, protected_bytes=protected_bytes, unprotected=unprotected).encode()
    return site.build(receipts=(changed,))


def test_a_structure_that_is_no_rfc_9162_tree() -> None:
    refused(UnsupportedLog, 6, bad_receipt(lambda p, u: p.update({395: 2})))


def test_a_size_beside_the_claim() -> None:
    assert "the ledger signed 5" in refused(BadReceipt, 6, bad_receipt(lambda p, u: p[15].update(size=5)))


def test_a_receipt_whose_path_does_not_fit() -> None:
    lie = bad_receipt(lambda p, u: u.update({396: {-1: [cbor.encode([4, 2, [bytes(32)]])]}}))
    assert "too short" in refused(BadReceipt, 6, lie)


def test_the_receipt_of_another_statement() -> None:
    site = Site()
    other = receipt_for(sign_statement(replace(statement_of(site.batch), iat=T0 + 3), STATEMENT_KEY))
    refused(BadReceipt, 6, site.build(receipts=(other,)))


# step 7


def test_a_receipt_from_the_future() -> None:
    bundle = Site().build()
    assert verify(bundle, trust(), T0 + 5 - 300).no_later_than == T0 + 5
    assert "in the future" in refused(BadReceipt, 7, bundle, now=T0 + 5 - 301)


def test_a_ledger_key_that_was_not_valid_yet_or_any_more() -> None:
    bundle = Site().build()
    assert verify(bundle, limited(LEDGER, valid_from=T0 + 5), NOW)
    refused(KeyNotValid, 7, bundle, limited(LEDGER, valid_from=T0 + 6))
    assert verify(bundle, limited(LEDGER, valid_to=T0 + 6), NOW)
    refused(KeyNotValid, 7, bundle, limited(LEDGER, valid_to=T0 + 5))


@pytest.mark.parametrize("when", [T0 - 100, T0 + 5, T0 + 1000, NOW + 1000])
def test_a_revoked_ledger_key_never_counts(when: int) -> None:
    detail = refused(KeyNotValid, 7, Site().build(), limited(LEDGER, f"revoked = {moment(when)}"))
    assert "was revoked" in detail


@pytest.mark.parametrize("role", ["meter", "statement"])
def test_an_expired_key_and_one_not_yet_valid(role: str) -> None:
    bundle = Site().build()
    assert verify(bundle, limited(role, valid_to=T0 + 6), NOW)
    assert "counted until" in refused(KeyNotValid, 7, bundle, limited(role, valid_to=T0 + 5))
    assert verify(bundle, limited(role, valid_from=T0 + 5), NOW)
    assert "counts from" in refused(KeyNotValid, 7, bundle, limited(role, valid_from=T0 + 6))


@pytest.mark.parametrize("role", ["meter", "statement"])
def test_a_key_revoked_before_the_batch_was_on_a_ledger_and_after(role: str) -> None:
    bundle = Site().build()
    stolen = (f"revoked = {moment(T0 + 5)}", 'revoked_reason = "stolen"')
    assert "(stolen)" in refused(KeyNotValid, 7, bundle, limited(role, *stolen))
    assert verify(bundle, limited(role, f"revoked = {moment(T0 + 6)}"), NOW).seq == 0  # it was whole when it counted


def test_a_record_that_claims_to_be_later_than_its_receipt() -> None:
    just, late = (T0 + 305) * 1000, (T0 + 305) * 1000 + 1
    batch = [sign_record(claims(), reading(just), METER_KEY)]
    assert verify(Site(batch).build(), trust(), NOW).time_ms == just
    batch = [sign_record(claims(), reading(late), METER_KEY)]
    assert "more than 300 s after" in refused(OutOfRange, 7, Site(batch).build())


# step 8: k ledgers


AB = ("ledger-a", "ledger-b", "ledger-c")


def receipts_at(*times: tuple[str, int]) -> bytes:
    site = Site()
    entry = site.entry()
    return site.build(receipts=tuple(receipt_for(entry, ledger, iat=iat) for ledger, iat in times))


def test_no_receipt_at_all() -> None:
    assert "1 of the ledgers demo-ledger must vouch, 0 do (none)" in refused(PolicyNotMet, 8, Site(receipts=()).build())


def test_two_receipts_of_one_ledger_are_one_ledger() -> None:
    bundle = receipts_at(("ledger-a", T0 + 5), ("ledger-a", T0 + 6))
    detail = refused(PolicyNotMet, 8, bundle, trust(receipts=2, ledgers=AB))
    assert detail == "2 of the ledgers ledger-a, ledger-b, ledger-c must vouch, 1 do (ledger-a)"


def test_t_is_the_moment_at_which_the_k_th_ledger_had_it() -> None:
    bundle = receipts_at(("ledger-c", T0 + 30), ("ledger-a", T0 + 20), ("ledger-b", T0 + 10))
    for k, time in ((1, T0 + 10), (2, T0 + 20), (3, T0 + 30)):
        facts = verify(bundle, trust(receipts=k, ledgers=AB), NOW)
        assert facts.no_later_than == time
        assert facts.receipts == (("ledger-b", T0 + 10), ("ledger-a", T0 + 20), ("ledger-c", T0 + 30))


def test_one_ledger_cannot_set_the_time_for_two() -> None:
    bundle = receipts_at(("ledger-a", T0 + 1), ("ledger-a", T0 + 2), ("ledger-b", T0 + 50))
    facts = verify(bundle, trust(receipts=2, ledgers=AB), NOW)
    assert facts.no_later_than == T0 + 50
    assert facts.receipts == (("ledger-a", T0 + 1), ("ledger-b", T0 + 50))


def test_a_bad_receipt_does_not_count_and_is_reported() -> None:
    site = Site()
    entry = site.entry()
    good, forged = receipt_for(entry, "ledger-a"), receipt_for(entry, "ledger-b", signer=key("thief"))
    facts = verify(site.build(receipts=(forged, good)), trust(ledgers=AB), NOW)
    assert facts.receipts == (("ledger-a", T0 + 5),)
    assert len(facts.unconfirmed) == 1
    assert facts.unconfirmed[0].startswith("ledger-b: ")
    detail = refused(UnknownKey, 6, site.build(receipts=(forged, good)), trust(receipts=2, ledgers=AB))
    assert detail.startswith("ledger-b: ")  # this one made the difference
    detail = refused(PolicyNotMet, 8, site.build(receipts=(forged, good)), trust(receipts=3, ledgers=AB))
    assert "ledger-b: " in detail  # here it alone would not have


# unconfirmed


def test_an_unknown_receipt_changes_only_what_is_unconfirmed() -> None:
    site = Site()
    entry = site.entry()
    plain = verify(site.build(), trust(), NOW)
    more = verify(site.build(receipts=(receipt_for(entry), receipt_for(entry, "elsewhere"))), trust(), NOW)
    assert more.unconfirmed == ("elsewhere: the trust file has no key of this ledger",)
    assert replace(more, unconfirmed=()) == plain


def test_a_locator_is_a_hint_and_never_counts() -> None:
    locator = Locator(LEDGER, 31337, bytes(20), bytes(32), 7, bytes(32))
    facts = verify(Site(anchors=(locator,)).build(), trust(), NOW)
    assert "said to be on chain 31337, block 7" in facts.unconfirmed[0]
    refused(PolicyNotMet, 8, Site(anchors=(locator,), receipts=()).build())


def foreign_receipt(entry: bytes, *, iat: int | None) -> tuple[bytes, Trust]:
    sign1 = cose.Sign1.parse(receipt_for(entry))
    header = cbor.decode(sign1.protected_bytes)
    header[4] = b"key-1"
    header[15] = {1: "https://ledger.example"} | ({6: iat} if iat is not None else {})

    ours = parse_receipt(receipt_for(entry))
    root = root_from_path(leaf_hash(entry), ours.size, ours.index, ours.path)
    protected_bytes = cbor2.dumps(header)
    signature = key("foreign").sign(cose.sig_structure(protected_bytes, root))
    data = cbor2.dumps(cbor2.CBORTag(18, [protected_bytes, dict(sign1.unprotected), None, signature]))
    address = "https://ledger.example"
    entry_text = key_entry("ledger", key("foreign").public, VALID_FROM, ledger=address, kid=b"key-1")
    return data, trust(ledgers=(address,), keys={address: entry_text})


def test_a_foreign_receipt_counts_and_its_size_is_not_proven() -> None:
    site = Site()
    receipt, trusted = foreign_receipt(site.entry(), iat=T0 + 7)
    facts = verify(site.build(receipts=(receipt,)), trusted, NOW)
    assert facts.receipts == (("https://ledger.example", T0 + 7),)
    assert facts.unconfirmed == ("https://ledger.example: the size 4 of its log is not signed",)


def test_a_foreign_receipt_without_a_time_cannot_count() -> None:
    site = Site()
    receipt, trusted = foreign_receipt(site.entry(), iat=None)
    assert "does not say when" in refused(BadReceipt, 7, site.build(receipts=(receipt,)), trusted)


def test_text_of_others_is_shown_without_its_control_characters_and_not_at_length() -> None:
    site = Site()
    sign1 = cose.Sign1.parse(receipt_for(site.entry()))
    header = cbor.decode(sign1.protected_bytes)
    header[15] = {1: "\x1b[31mledger\u202e\n" + "x" * 5000, 6: T0}
    loud = replace(sign1, protected_bytes=cbor2.dumps(header)).encode()
    (line,) = verify(site.build(receipts=(receipt_for(site.entry()), loud)), trust(), NOW).unconfirmed
    assert line.startswith("\\x1b[31mledger\\u202e\\nxxx")
    assert line.isprintable()
    assert len(line) < 1100
    with pytest.raises(UnknownLedger) as caught:
        check_receipt(site.entry(), loud, trust(), NOW)
    assert str(caught.value).isprintable()
    assert len(str(Malformed("y" * 10**6))) < 1100


# one receipt


def test_one_receipt_is_checked_by_the_same_rules() -> None:
    entry = Site().entry()
    assert check_receipt(entry, receipt_for(entry), trust(), NOW) == (LEDGER, T0 + 5)
    cases: list[tuple[type[VerificationError], int, bytes, Trust, int]] = [
        (Malformed, 1, b"", trust(), NOW),
        (UnknownLedger, 6, receipt_for(entry, "elsewhere"), trust(), NOW),
        (UnknownKey, 6, receipt_for(entry, signer=key("thief")), trust(), NOW),
        (BadReceipt, 6, receipt_for(b"another entry"), trust(), NOW),
        (BadReceipt, 7, receipt_for(entry), trust(), T0 - 1000),
        (KeyNotValid, 7, receipt_for(entry), limited(LEDGER, valid_to=T0 + 5), NOW),
        (KeyNotValid, 7, receipt_for(entry), limited(LEDGER, f"revoked = {moment(NOW)}"), NOW),
    ]
    for kind, step, receipt, trusted, now in cases:
        with pytest.raises(VerificationError) as caught:
            check_receipt(entry, receipt, trusted, now)
        assert (type(caught.value), caught.value.step) == (kind, step)
