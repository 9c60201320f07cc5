"""Bundles: both ways, in one form."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import EncodeError, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.bundle import Bundle, Locator, Witnessed, decode_locator, encode_locator, is_locator
from tests.support.evidence import Site, receipt_for
from tests.support.evidence_values import NAMES, THOROUGH

HASHES = st.binary(min_size=32, max_size=32)
UINTS = st.integers(0, 2**64 - 1)
PROOFS = st.tuples(UINTS, UINTS, st.lists(HASHES, max_size=64).map(tuple))
LOCATORS = st.builds(
    Locator, NAMES, UINTS, st.binary(min_size=20, max_size=20), HASHES, UINTS, HASHES, st.one_of(st.none(), PROOFS)
)
ENTRY = Site().entry()


@THOROUGH
@given(
    st.binary(max_size=200),
    st.lists(LOCATORS, max_size=4).map(tuple),
    PROOFS,
    st.lists(st.binary(max_size=100), max_size=16).map(tuple),
    st.lists(st.builds(Witnessed, st.binary(min_size=1, max_size=100), PROOFS), max_size=3).map(tuple),
)
def test_what_is_written_is_read_back(
    record: bytes, anchors: tuple[Locator, ...], place: tuple[int, int, tuple[bytes, ...]],
    receipts: tuple[bytes, ...], witnessed: tuple[Witnessed, ...],
) -> None:  # fmt: skip
    bundle = Bundle(record, anchors, *place, ENTRY, receipts, witnessed)
    assert Bundle.parse(bundle.encode()) == bundle


LOCATOR = Locator("consortium", 31337, bytes(20), bytes(32), 7, bytes(32))


@THOROUGH
@given(LOCATORS)
def test_a_lone_locator_is_read_back_and_told_from_a_receipt(locator: Locator) -> None:
    data = encode_locator(locator)
    assert decode_locator(data) == locator
    assert is_locator(data)


def test_what_is_no_lone_locator_is_told() -> None:
    assert not is_locator(b"")
    assert not is_locator(receipt_for(ENTRY))
    for data in (b"", b"\xa0", receipt_for(ENTRY), encode_locator(LOCATOR) + b"\0", cbor.encode([1])):
        with pytest.raises(Malformed):
            decode_locator(data)
    with pytest.raises(EncodeError):
        encode_locator(replace(LOCATOR, contract=bytes(19)))


def changed(change: Callable[[dict[str, Any]], object]) -> bytes:
    fields = cbor.decode(Site(anchors=(replace(LOCATOR, inclusion=(1, 0, ())),)).build())
    change(fields)
    return cbor.encode(fields)


REFUSED: dict[str, Callable[[dict[str, Any]], object]] = {
    "an unknown key": lambda b: b.update(key=b"trust me"),
    "no record": lambda b: b.pop("record"),
    "version 2": lambda b: b.update(v=2),
    "version true": lambda b: b.update(v=True),
    "version 1.0": lambda b: b.update(v=1.0),
    "a record that is text": lambda b: b.update(record=""),
    "a record of more than 64 KiB": lambda b: b.update(record=bytes(65537)),
    "a statement that is a map": lambda b: b.update(statement={}),
    "a statement that is none": lambda b: b.update(statement=b"\x00"),
    "a place of two": lambda b: b.update(inclusion=[1, 0]),
    "a place with 65 hashes": lambda b: b.update(inclusion=[1, 0, [bytes(32)] * 65]),
    "a place with a short hash": lambda b: b.update(inclusion=[1, 0, [bytes(31)]]),
    "a place with a negative index": lambda b: b.update(inclusion=[1, -1, []]),
    "anchors that are a map": lambda b: b.update(anchors={}),
    "17 anchors": lambda b: b.update(anchors=b["anchors"] * 17),
    "a locator that is bytes": lambda b: b.update(anchors=[b""]),
    "a locator of another type": lambda b: b["anchors"][0].update(type="btc"),
    "a locator with an unknown key": lambda b: b["anchors"][0].update(note=1),
    "a locator without a block": lambda b: b["anchors"][0].pop("block"),
    "a locator with a short contract": lambda b: b["anchors"][0].update(contract=bytes(19)),
    "a locator with a short transaction": lambda b: b["anchors"][0].update(tx=bytes(31)),
    "a locator with a negative chain": lambda b: b["anchors"][0].update(chain=-1),
    "a locator of no ledger": lambda b: b["anchors"][0].update(ledger="a b"),
    "a locator with a place of two": lambda b: b["anchors"][0].update(inclusion=[1, 0]),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    with pytest.raises(Malformed) as caught:
        Bundle.parse(changed(REFUSED[what]))
    assert caught.value.step == 1


@pytest.mark.parametrize("data", [b"", b"\x00", b"\xa0", b"\x80", bytes(1024 * 1024 + 1)], ids=len)
def test_no_bundle(data: bytes) -> None:
    with pytest.raises(Malformed):
        Bundle.parse(data)


UNWRITABLE: dict[str, Callable[[Bundle], Bundle]] = {
    "a statement that is none": lambda b: replace(b, statement=b"x"),
    "17 receipts": lambda b: replace(b, receipts=(b"",) * 17),
    "a path of 65": lambda b: replace(b, path=(bytes(32),) * 65),
    "a record of more than 64 KiB": lambda b: replace(b, record=bytes(65537)),
    "a locator of no ledger": lambda b: replace(b, anchors=(replace(LOCATOR, ledger=""),)),
    "more than 1 MiB": lambda b: replace(b, receipts=(bytes(70_000),) * 16),
}


@pytest.mark.parametrize("what", UNWRITABLE)
def test_unwritable(what: str) -> None:
    with pytest.raises(EncodeError):
        UNWRITABLE[what](Site().bundle()).encode()


@pytest.mark.parametrize("change", [
    {"witnessed": []}, {"witnessed": [{"note": b"x", "place": [1, 0, []]}] * 17}, {"witnessed": [{"note": b"x"}]},
    {"witnessed": [{"note": b"", "place": [1, 0, []]}]}, {"witnessed": [{"note": b"x" * 65537, "place": [1, 0, []]}]},
    {"witnessed": [{"note": "x", "place": [1, 0, []]}]}, {"witnessed": [{"note": b"x", "place": [1, 0]}]},
    {"witnessed": [{"note": b"x", "place": [1, 0, []], "more": 1}]}, {"witnessed": {}},
])  # fmt: skip
def test_cosigned_heads_have_one_form(change: dict[str, Any]) -> None:
    good = cbor.decode(Site().build(witnessed=(Witnessed(b"x", (1, 0, ())),)))
    assert Bundle.parse(cbor.encode(good)).witnessed == (Witnessed(b"x", (1, 0, ())),)
    with pytest.raises(Malformed):
        Bundle.parse(cbor.encode({**good, **change}))
