"""Verification, steps 6 to 8: which ledgers vouch, since when, and whether they are enough."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest

from ledger_client.errors import (
    BadReceipt,
    KeyNotValid,
    Malformed,
    OutOfRange,
    PolicyNotMet,
    UnknownKey,
    UnknownLedger,
    UnsupportedLog,
    VerificationError,
)
from ledger_client.formats import cbor, cose
from ledger_client.formats.bundle import Locator
from ledger_client.formats.cose_key import ES256
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.receipt import parse_receipt
from ledger_client.formats.record import Coverage, sign_record
from ledger_client.formats.senml import Value
from ledger_client.formats.statement import sign_statement
from ledger_client.messages import Message
from ledger_client.verification.as_json import verified_json
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.trust_text import key_entry
from ledger_client.verification.verify import verify
from ledger_client.verification.vouching import check_receipt
from tests.support.evidence import (
    LEDGER,
    NOW,
    T0,
    VALID_FROM,
    VALUES,
    Site,
    claims,
    code,
    key,
    limited,
    moment,
    reading,
    receipt_for,
    refusal,
    refused,
    statement_of,
    trust,
)

METER_KEY, STATEMENT_KEY = key("meter"), key("statement", ES256)


# step 6


def test_an_unknown_ledger() -> None:
    assert "no key for this ledger" in refused(UnknownLedger, 6, Site(ledgers=("elsewhere",)).build())


def test_a_ledger_with_a_key_that_the_policy_does_not_list() -> None:
    known = key_entry("ledger", key("elsewhere").public, VALID_FROM, ledger="elsewhere")
    detail = refused(UnknownLedger, 6, Site(ledgers=("elsewhere",)).build(), trust(extra=known))
    assert "not listed" in detail


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


@pytest.mark.parametrize("where", [0, 1])
@pytest.mark.parametrize("junk", [b"junk", b"", b"\xf6", bytes(70_000), b"\xd2" * 20_000, b"\x81" * 20_000])
def test_junk_beside_a_good_receipt_is_reported_and_does_not_count(where: int, junk: bytes) -> None:
    site = Site()
    receipts = [receipt_for(site.entry())]
    receipts.insert(where, junk)
    proven = verify(site.build(receipts=tuple(receipts)), trust(), NOW)
    assert proven.receipts == ((LEDGER, T0 + 5),)
    (line,) = proven.unconfirmed
    assert line.startswith(f"receipt {where + 1} of 2 is not valid: ")


def test_junk_alone_is_the_receipt_that_is_missing() -> None:
    assert "receipt 1 of 1 is not valid" in refused(Malformed, 6, Site().build(receipts=(b"junk",)))
    two = trust(receipts=2, ledgers=(LEDGER, "second", "third"))
    site = Site()
    bundle = site.build(receipts=(receipt_for(site.entry()), b"junk"))
    assert "receipt 2 of 2 is not valid" in refused(Malformed, 6, bundle, two)
    three = trust(receipts=3, ledgers=(LEDGER, "second", "third"))
    assert "1 do (demo-ledger); receipt 2 of 2 is not valid" in refused(PolicyNotMet, 8, bundle, three)


# step 7


@pytest.mark.parametrize(("most", "holds"), [("5s", True), ("4s", False), ("8d", True)])
def test_a_record_that_was_held_back_longer_than_the_trust_file_takes(most: str, holds: bool) -> None:
    believed = replace(
        trust(), max_delay_s=parse_trust(f'[policy]\nmax_delay = "{most}"\n', "t", anchored=False).max_delay_s
    )
    if holds:
        assert verify(Site().build(), believed, NOW).delay_ms == 4877
    else:
        span = "4.9 s: recorded 2026-11-18T11:06:40.123Z, on the ledgers 2026-11-18T11:06:45Z"
        assert f"held back for {span}" in refused(OutOfRange, 7, Site().build(), believed)


def test_the_delay_is_counted_to_the_last_receipt_that_the_policy_needs() -> None:
    site = Site()
    late = receipt_for(site.entry(), "second", iat=T0 + 86_400)
    bundle = site.build(receipts=(receipt_for(site.entry()), late))
    ledgers = (LEDGER, "second")
    assert verify(bundle, replace(trust(ledgers=ledgers), max_delay_s=10), NOW).delay_ms == 4877
    refused(OutOfRange, 7, bundle, replace(trust(receipts=2, ledgers=ledgers), max_delay_s=10))


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
    assert "was valid until" in refused(KeyNotValid, 7, bundle, limited(role, valid_to=T0 + 5))
    assert verify(bundle, limited(role, valid_from=T0 + 5), NOW)
    assert "is valid from" in refused(KeyNotValid, 7, bundle, limited(role, valid_from=T0 + 6))


@pytest.mark.parametrize("role", ["meter", "statement"])
def test_a_key_revoked_before_the_batch_was_on_a_ledger_and_after(role: str) -> None:
    bundle = Site().build()
    stolen = (f"revoked = {moment(T0 + 5)}", 'revoked_reason = "stolen"')
    assert "(stolen)" in refused(KeyNotValid, 7, bundle, limited(role, *stolen))
    assert verify(bundle, limited(role, f"revoked = {moment(T0 + 6)}"), NOW).seq == 0  # it was whole when it counted


@pytest.mark.parametrize("iat", [T0 + 5 + 301, 253_402_300_799])
@pytest.mark.parametrize("index", [0, 1])
def test_a_record_that_was_signed_later_than_its_receipt(index: int, iat: int) -> None:
    def signed_at(time: int) -> bytes:
        body = (reading(), Coverage((T0 - 60) * 1000, T0 * 1000, 6, 6, {}))[index]
        return Site([sign_record(claims(iat=time), body, METER_KEY)]).build()

    assert verify(signed_at(T0 + 5 + 300), trust(), NOW).seq == 0
    assert code(refusal(OutOfRange, 7, signed_at(iat))) == "verify-after-ledgers"


@pytest.mark.parametrize("iat", [T0 + 5 + 301, 253_402_300_799])
def test_a_statement_that_was_signed_later_than_its_receipts(iat: int) -> None:
    def signed_at(time: int) -> bytes:
        site = Site()
        return replace(site, statement=replace(statement_of(site.batch), iat=time)).build()

    assert verify(signed_at(T0 + 5 + 300), trust(), NOW).seq == 0
    late = refusal(OutOfRange, 7, signed_at(iat)).what
    assert late == Message("verify-signed-after-ledgers", signed_s=iat, tolerance_s=300, ledgers_s=T0 + 5)


@pytest.mark.parametrize("waits_s", [7 * 86_400, 200 * 86_400])
def test_an_honest_statement_may_wait_for_its_seal_and_for_its_ledgers(waits_s: int) -> None:
    """A week from cut to seal, months without a ledger: both are later than the records, never before them."""
    site = Site()
    late = replace(site, statement=replace(statement_of(site.batch), iat=T0 + waits_s))
    receipt = receipt_for(late.entry(), iat=T0 + waits_s + 2)
    assert verify(late.build(receipts=(receipt,)), trust(), T0 + waits_s + 5).seq == 0
    receipt = receipt_for(site.entry(), iat=T0 + waits_s)
    assert verify(site.build(receipts=(receipt,)), trust(), T0 + waits_s + 5).seq == 0


@pytest.mark.parametrize("offset_ms", [(5 + 300) * 1000 - 122, 10**14, 253_402_300_799_999])
def test_a_value_that_was_read_later_than_its_receipt(offset_ms: int) -> None:
    def read_after(ms: int) -> bytes:
        values = (Value("a", 1), Value("b", 2, offset_ms=ms))
        return Site([sign_record(claims(), reading(values=values), METER_KEY)]).build()

    shown = verified_json(verify(read_after((5 + 300) * 1000 - 123), trust(), NOW))["values"]
    assert [value.get("offset_ms") for value in shown] == [None, 304_877]
    assert code(refusal(OutOfRange, 7, read_after(offset_ms))) == "verify-after-ledgers"


def test_a_record_that_claims_to_be_later_than_its_receipt() -> None:
    just, late = (T0 + 305) * 1000, (T0 + 305) * 1000 + 1
    batch = [sign_record(claims(), reading(just, VALUES[:1]), METER_KEY)]
    assert verify(Site(batch).build(), trust(), NOW).time_ms == just
    batch = [sign_record(claims(), reading(late, VALUES[:1]), METER_KEY)]
    assert "more than 300 s after" in refused(OutOfRange, 7, Site(batch).build())


# step 8: k ledgers


AB = ("ledger-a", "ledger-b", "ledger-c")


def receipts_at(*times: tuple[str, int]) -> bytes:
    site = Site()
    entry = site.entry()
    return site.build(receipts=tuple(receipt_for(entry, ledger, iat=iat) for ledger, iat in times))


def test_no_receipt_at_all() -> None:
    none = Message("verify-policy", wanted=1, ledgers=("demo-ledger",), n=0, found=Message("verify-no-ledgers"))
    assert refusal(PolicyNotMet, 8, Site(receipts=()).build()).what == none


def test_two_receipts_of_one_ledger_are_one_ledger() -> None:
    bundle = receipts_at(("ledger-a", T0 + 5), ("ledger-a", T0 + 6))
    found = refusal(PolicyNotMet, 8, bundle, trust(receipts=2, ledgers=AB))
    assert found.what == Message(
        "verify-policy", wanted=2, ledgers=tuple(AB), n=1, found=Message("verify-ledgers", ledgers=("ledger-a",))
    )


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
    assert more.unconfirmed == ("elsewhere: the trust file has no key for this ledger",)
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
    assert "no signing time" in refused(BadReceipt, 7, site.build(receipts=(receipt,)), trusted)


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
