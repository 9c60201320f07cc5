"""Receipts of our ledger, read strictly, and of others, taken as they came."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import BadReceipt, EncodeError, Malformed, UnsupportedLog
from ledger_client.formats import cbor, cose
from ledger_client.formats.cose_key import ES256, P256_ORDER
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import check, parse_receipt, sign_receipt
from ledger_client.formats.statement import id_text, statement_id
from tests.support.evidence import LEDGER, T0, Site, key, receipt_for
from tests.support.evidence_values import THOROUGH

SIGNER = key(LEDGER)
ENTRY = Site().entry()
OURS = receipt_for(ENTRY)


@THOROUGH
@given(st.integers(2, 40), st.data())
def test_every_entry_of_every_log_gets_a_receipt_that_checks(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    entries = [b"entry %d" % number for number in range(size)]
    tree = Tree([leaf_hash(entry) for entry in entries])
    sub = id_text(statement_id(entries[index]))
    signed = sign_receipt(LEDGER, sub, T0, size, index, tree.path(index), tree.root, SIGNER)
    receipt = parse_receipt(signed)
    check(receipt, entries[index], SIGNER.public)
    assert (receipt.ledger, receipt.sub, receipt.iat, receipt.kid) == (LEDGER, sub, T0, SIGNER.public.kid)
    assert (receipt.size, receipt.size_claim, receipt.index) == (size, size, index)
    assert list(receipt.path) == tree.path(index)
    with pytest.raises(BadReceipt):
        check(receipt, entries[index - 1], SIGNER.public)


@pytest.mark.parametrize("sub", ["sub", id_text(bytes(32)), f"{id_text(statement_id(ENTRY))}="])
def test_a_receipt_in_our_form_that_bears_another_statements_id_does_not_count(sub: str) -> None:
    lie = parse_receipt(resign(lambda header, _: header[15].update({2: sub})))
    with pytest.raises(BadReceipt, match="the ledger signed it for"):
        check(lie, ENTRY, SIGNER.public)


def test_a_foreign_ledger_names_its_entries_as_it_likes() -> None:
    check(replace(parse_receipt(resign(foreign)), sub="entry/1"), ENTRY, SIGNER.public)


def test_the_form_of_a_receipt() -> None:
    sign1 = cose.Sign1.parse(OURS)
    claims = {1: LEDGER, 2: id_text(statement_id(ENTRY)), 6: T0 + 5, "size": 4}
    assert sign1.protected == {1: -8, 4: SIGNER.public.kid, 395: 1, 15: claims}
    assert list(sign1.unprotected) == [396]
    assert list(sign1.unprotected[396]) == [-1]
    (proof,) = sign1.unprotected[396][-1]
    assert cbor.decode(proof)[:2] == [4, 2]
    assert sign1.payload is None
    assert OURS[0] == 0xD2


def resign(change: Callable[[dict[Any, Any], dict[Any, Any]], object], data: bytes = OURS) -> bytes:
    """A receipt whose protected and unprotected header were changed before the ledger signed the true root."""
    sign1 = cose.Sign1.parse(data, foreign=True)
    header, unprotected = cbor.decode(sign1.protected_bytes, foreign=True), dict(sign1.unprotected)
    change(header, unprotected)
    protected_bytes = cbor2.dumps(header)
    root = Tree([leaf_hash(entry) for entry in (b"policy", b"another", ENTRY, b"later")]).root
    signature = SIGNER.sign(cose.sig_structure(protected_bytes, root))
    return cbor2.dumps(cbor2.CBORTag(18, [protected_bytes, unprotected, None, signature]))


def proofs(*values: object) -> dict[Any, Any]:
    return {396: {-1: [cbor2.dumps(value) for value in values]}}


PATH = list(parse_receipt(OURS).path)
OWN_REFUSED: dict[str, Callable[[dict[Any, Any], dict[Any, Any]], object]] = {
    "an unknown header label": lambda p, u: p.update({5: b""}),
    "an unknown unprotected label": lambda p, u: u.update({4: b""}),
    "an unknown claim": lambda p, u: p[15].update({"x": 1}),
    "crit": lambda p, u: p.update({2: [395]}),
    "no sub": lambda p, u: p[15].pop(2),
    "no iat": lambda p, u: p[15].pop(6),
    "iat as a float": lambda p, u: p[15].update({6: 1.5}),
    "a size that is text": lambda p, u: p[15].update({"size": "4"}),
    "an iss that is no name": lambda p, u: p[15].update({1: "https://ledger.example"}),
    "no kid": lambda p, u: p.pop(4),
    "a kid that is no thumbprint": lambda p, u: p.update({4: b"key-1"}),
    "no alg": lambda p, u: p.pop(1),
    "no structure": lambda p, u: p.pop(395),
    "a consistency proof beside": lambda p, u: u[396].update({-2: [b""]}),
    "no proof": lambda p, u: u.update({396: {-1: []}}),
    "two proofs": lambda p, u: u.update(proofs([4, 2, PATH], [4, 2, PATH])),
    "a proof that is no byte string": lambda p, u: u.update({396: {-1: [[4, 2, PATH]]}}),
    "a proof with an empty path": lambda p, u: u.update(proofs([1, 0, []])),
    "a proof with a short hash": lambda p, u: u.update(proofs([4, 2, [bytes(31)]])),
    "a proof with 65 hashes": lambda p, u: u.update(proofs([4, 2, [bytes(32)] * 65])),
    "a proof with four parts": lambda p, u: u.update(proofs([4, 2, PATH, 1])),
    "a proof with a negative index": lambda p, u: u.update(proofs([4, -1, PATH])),
    "proofs that are no map": lambda p, u: u.update({396: []}),
}


@pytest.mark.parametrize("what", OWN_REFUSED)
def test_refused(what: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_receipt(resign(OWN_REFUSED[what]))
    assert caught.value.step == 1


def test_our_form_is_read_strictly() -> None:
    sign1 = cose.Sign1.parse(OURS)
    loose = OURS.replace(b"\x58\x40" + sign1.signature, b"\x59\x00\x40" + sign1.signature)
    assert loose != OURS
    with pytest.raises(Malformed, match="shortest form"):
        parse_receipt(loose)


def test_a_payload_is_refused() -> None:
    with pytest.raises(Malformed, match="bears a payload"):
        parse_receipt(replace(cose.Sign1.parse(OURS), payload=bytes(32)).encode())


UNWRITABLE: dict[str, tuple[str, str, int, int, int, list[bytes], bytes]] = {
    "a ledger that is no name": ("a b", "s", T0, 2, 0, [bytes(32)], bytes(32)),
    "a ledger that is an address": ("https://a.example", "s", T0, 2, 0, [bytes(32)], bytes(32)),
    "no sub": (LEDGER, "", T0, 2, 0, [bytes(32)], bytes(32)),
    "a tree of one": (LEDGER, "s", T0, 1, 0, [], bytes(32)),
    "a short root": (LEDGER, "s", T0, 2, 0, [bytes(32)], bytes(31)),
    "a short hash": (LEDGER, "s", T0, 2, 0, [bytes(31)], bytes(32)),
    "a negative index": (LEDGER, "s", T0, 2, -1, [bytes(32)], bytes(32)),
    "a time before 1970": (LEDGER, "s", -1, 2, 0, [bytes(32)], bytes(32)),
}


@pytest.mark.parametrize("what", UNWRITABLE)
def test_unwritable(what: str) -> None:
    with pytest.raises(EncodeError):
        sign_receipt(*UNWRITABLE[what], SIGNER)


def test_another_structure_is_read_but_not_supported() -> None:
    receipt = parse_receipt(resign(lambda p, u: p.update({395: 2})))
    assert (receipt.vds, receipt.size, receipt.path) == (2, 0, ())
    with pytest.raises(UnsupportedLog, match="structure 2") as caught:
        check(receipt, ENTRY, SIGNER.public)
    assert caught.value.step == 6


BAD: dict[str, tuple[Callable[[dict[Any, Any], dict[Any, Any]], object], str]] = {
    "a size beside the claim": (lambda p, u: u.update(proofs([5, 2, PATH])), "the ledger signed 4"),
    "a claim beside the size": (lambda p, u: p[15].update({"size": 5}), "the ledger signed 5"),
    "another index": (lambda p, u: u.update(proofs([4, 1, PATH])), "does not match key"),
    "an index outside": (lambda p, u: u.update(proofs([4, 4, PATH])), "a tree of 4 leaves has no leaf 4"),
    "a path too long": (lambda p, u: u.update(proofs([4, 2, [*PATH, bytes(32)]])), "too long"),
    "a path too short": (lambda p, u: u.update(proofs([4, 2, PATH[:1]])), "too short"),
    "another path": (lambda p, u: u.update(proofs([4, 2, PATH[::-1]])), "does not match key"),
    "an alg of another curve": (lambda p, u: p.update({1: -7}), "does not match the type of the key"),
}


@pytest.mark.parametrize("what", BAD)
def test_bad(what: str) -> None:
    change, problem = BAD[what]
    with pytest.raises(BadReceipt, match=problem) as caught:
        check(parse_receipt(resign(change)), ENTRY, SIGNER.public)
    assert caught.value.step == 6


def test_another_key_did_not_sign_it() -> None:
    with pytest.raises(BadReceipt, match="does not match key"):
        check(parse_receipt(OURS), ENTRY, key("other-ledger").public)


def foreign(protected: dict[Any, Any], unprotected: dict[Any, Any]) -> None:
    """A receipt as other services write them: more labels, no size, nothing in order."""
    protected[15].pop("size")
    protected[15].update({1: "https://ledger.example/scitt", "ver": [1, {"x": 1.5}]})
    protected.update({"text": True, 33: b""})
    unprotected[396].update({-2: [b"a consistency proof"]})


def foreign_but(change: Callable[[dict[Any, Any], dict[Any, Any]], object]) -> bytes:
    def both(protected: dict[Any, Any], unprotected: dict[Any, Any]) -> None:
        foreign(protected, unprotected)
        change(protected, unprotected)

    return resign(both)


def test_a_foreign_receipt_is_taken_as_it_came() -> None:
    data = resign(foreign)
    receipt = parse_receipt(data)
    check(receipt, ENTRY, SIGNER.public)
    assert (receipt.ledger, receipt.size_claim, receipt.size) == ("https://ledger.example/scitt", None, 4)
    assert receipt.data == data


@pytest.mark.parametrize(
    ("iat", "time"), [(T0, T0), (T0 + 0.25, T0 + 1), (cbor2.CBORTag(1, T0), T0), (cbor2.CBORTag(1, T0 + 0.5), T0 + 1)]
)
def test_a_foreign_time_is_never_read_as_earlier_than_it_is(iat: object, time: int) -> None:
    assert parse_receipt(foreign_but(lambda p, u: p[15].update({6: iat}))).iat == time


@pytest.mark.parametrize(
    "iat", [-1, float("nan"), float("inf"), 1e300, "now", None, True, 2**63, cbor2.CBORTag(0, "x")]
)
def test_no_foreign_time(iat: object) -> None:
    with pytest.raises(Malformed):
        parse_receipt(foreign_but(lambda p, u: p[15].update({6: iat})))


FOREIGN_REFUSED: dict[str, Callable[[dict[Any, Any], dict[Any, Any]], object]] = {
    "no claims": lambda p, u: p.pop(15),
    "no iss": lambda p, u: p[15].pop(1),
    "an iss that is no text": lambda p, u: p[15].update({1: 1}),
    "a sub that is no text": lambda p, u: p[15].update({2: 1}),
    "no proofs": lambda p, u: u.pop(396),
    "no inclusion proof": lambda p, u: u[396].pop(-1),
}


@pytest.mark.parametrize("what", FOREIGN_REFUSED)
def test_a_foreign_receipt_that_is_none(what: str) -> None:
    with pytest.raises(Malformed):
        parse_receipt(foreign_but(FOREIGN_REFUSED[what]))


@pytest.mark.parametrize("tail", [b"\x00", OURS])
def test_bytes_after_a_foreign_receipt_are_refused(tail: bytes) -> None:
    with pytest.raises(Malformed, match="after the end"):
        parse_receipt(resign(foreign) + tail)


def test_a_foreign_es256_receipt_may_have_either_s() -> None:
    signer = key("es256-ledger", ES256)
    tree = Tree([leaf_hash(b"0"), leaf_hash(ENTRY)])
    sign1 = cose.Sign1.parse(sign_receipt("l", id_text(statement_id(ENTRY)), T0, 2, 1, tree.path(1), tree.root, signer))
    high = P256_ORDER - int.from_bytes(sign1.signature[32:], "big")
    twin = replace(sign1, signature=sign1.signature[:32] + high.to_bytes(32, "big")).encode()
    check(parse_receipt(twin), ENTRY, signer.public)
