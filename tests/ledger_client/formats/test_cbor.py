"""The strict decoder and the encoder are two implementations of one format: they must agree, and refuse alike."""

from __future__ import annotations

import math
import struct
from decimal import Decimal
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import EncodeError, Malformed
from ledger_client.formats import cbor
from tests.support.evidence_values import ITEMS, THOROUGH, decimals


def same(a: Any, b: Any) -> bool:
    """Equal in value and type, with −0.0 apart from 0.0 and decimals apart by their exponent."""
    if isinstance(a, list):
        return isinstance(b, list) and len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, float):
        return isinstance(b, float) and a == b and math.copysign(1, a) == math.copysign(1, b)
    if isinstance(a, Decimal):
        return isinstance(b, Decimal) and cbor.decimal_parts(a) == cbor.decimal_parts(b)
    return type(a) is type(b) and a == b


@THOROUGH
@given(ITEMS)
def test_decode_gives_back_what_encode_was_given(item: Any) -> None:
    encoded = cbor.encode(item)
    assert same(cbor.decode(encoded), item)
    assert cbor.encode(cbor.decode(encoded)) == encoded


@THOROUGH
@given(ITEMS)
def test_the_foreign_reader_reads_ours_too(item: Any) -> None:
    assert cbor.decode(cbor.encode(item), foreign=True) is not cbor  # and never fails


@THOROUGH
@given(st.binary(max_size=80))
def test_whatever_is_accepted_is_what_we_would_write(data: bytes) -> None:
    try:
        item = cbor.decode(data)
    except Malformed:
        return
    assert cbor.encode(item) == data


@THOROUGH
@given(ITEMS, st.data())
def test_a_changed_byte_is_refused_or_another_item(item: Any, data: st.DataObject) -> None:
    encoded = bytearray(cbor.encode(item))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    try:
        changed = cbor.decode(bytes(encoded))
    except Malformed:
        return
    assert not same(changed, item)
    assert cbor.encode(changed) == encoded


@THOROUGH
@given(st.floats(allow_nan=False, allow_infinity=False))
def test_floats_take_the_shortest_form_that_keeps_them(value: float) -> None:
    assert cbor.shortest_float(value) == cbor2.dumps(value, canonical=True)


@THOROUGH
@given(decimals())
def test_decimals_keep_their_exponent(value: Decimal) -> None:
    assert cbor.decode(cbor.encode(value)).as_tuple()[1:] == value.as_tuple()[1:]


REFUSED = {
    "nothing at all": "",
    "an integer not shortest, 8 bits": "1817",
    "an integer not shortest, 16 bits": "1900ff",
    "an integer not shortest, 32 bits": "1a0000ffff",
    "an integer not shortest, 64 bits": "1b00000000ffffffff",
    "a length not shortest": "5801aa",
    "a float not shortest": "fa3fc00000",
    "a double not shortest": "fb3ff8000000000000",
    "a byte after the end": "0000",
    "bytes cut short": "42aa",
    "an array cut short": "8201",
    "a map cut short": "a101",
    "a head cut short": "19ff",
    "a reserved head": "1c",
    "text that is not UTF-8": "61ff",
    "a duplicate key": "a201000100",
    "keys out of order": "a202000100",
    "negative before positive": "a220000100",
    "text before integers": "a26161000100",
    "a byte string as key": "a1410100",
    "a float as key": "a1f93c0000",
    "true as key": "a1f500",
    "an array as key": "a18000",
    "keys that sort both ways": "a219018b002000",
    "a large key beside text": "a2181800616100",
    "a key below -24": "a1381800",
    "tag 18 inside": "81d280",
    "tag 2": "c24101",
    "tag 4 around text": "c46161",
    "tag 4 around one number": "c48101",
    "tag 4 around a float": "c48220f93c00",
    "tag 4 around booleans": "c482f4f5",
    "tag 4 with an exponent of 65": "c482184101",
    "tag 4 with an exponent of -65": "c482384001",
    "tag 4 with a big mantissa": "c48220c249010000000000000000",
    "a tag not shortest": "d804822101",
    "simple value 20 in two bytes": "f814",
    "break alone": "ff",
    "nested too deep": "81" * 17 + "00",
    "a huge array": "9bffffffffffffffff",
    "huge bytes": "5bffffffffffffffff00",
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    with pytest.raises(Malformed):
        cbor.decode(bytes.fromhex(REFUSED[what]))


FOREIGN = {
    "an integer not shortest": ("1817", 23),
    "a double not shortest": ("fb3ff8000000000000", 1.5),
    "keys out of order": ("a202000100", {2: 0, 1: 0}),
    "keys that sort both ways": ("a2200019018b00", {-1: 0, 395: 0}),
    "a tag inside": ("a106c11a514b67b0", {6: cbor2.CBORTag(1, 1363896240)}),
    "a byte string as key": ("a1410100", {b"\x01": 0}),
    "infinity": ("f97c00", math.inf),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_taken_from_others(what: str) -> None:
    encoded, value = FOREIGN[what]
    assert cbor.decode(bytes.fromhex(encoded), foreign=True) == value


@pytest.mark.parametrize(
    "what", ["nothing at all", "a duplicate key", "a byte after the end", "bytes cut short", "nested too deep"]
)
def test_refused_from_others_too(what: str) -> None:
    with pytest.raises(Malformed):
        cbor.decode(bytes.fromhex(REFUSED[what]), foreign=True)


@pytest.mark.parametrize("encoded", ["5f4101ff", "9f00ff", "bf0000ff", "a20100180100", "f810"])
def test_indefinite_lengths_and_hidden_duplicates_of_others_are_refused(encoded: str) -> None:
    with pytest.raises(Malformed):
        cbor.decode(bytes.fromhex(encoded), foreign=True)


def test_other_simple_values_of_others_are_kept_apart_from_null() -> None:
    assert cbor.decode(b"\xf7", foreign=True) is cbor2.undefined
    assert cbor.decode(b"\xf8\xff", foreign=True) == cbor2.CBORSimpleValue(255)


class Opaque:
    def __repr__(self) -> str:
        return "Opaque()"


UNWRITABLE = [
    Opaque(),
    {1.5: 0},
    {True: 0},
    {b"a": 0},
    {395: 0, -1: 0},
    {24: 0, "a": 0},
    {-25: 0},
    "\ud800",
    {"\ud800": 0},
    [cbor2.CBORTag(18, [])],
    cbor2.CBORTag(1, 0),
    Decimal("1e65"),
    Decimal("1e-65"),
    Decimal(2**64).scaleb(-2),
    Decimal("Infinity"),
    {2**64: 0},
    {1, 2},
    struct,
]


@pytest.mark.parametrize("item", UNWRITABLE, ids=repr)
def test_unwritable(item: Any) -> None:
    with pytest.raises(EncodeError):
        cbor.encode(item)


def test_unwritable_depth() -> None:
    item: Any = 0
    for _ in range(17):
        item = [item]
    with pytest.raises(EncodeError):
        cbor.encode(item)
    assert cbor.decode(cbor.encode(item[0])) == item[0]


def test_the_depth_that_is_written_is_read() -> None:
    for depth in range(1, 17):
        assert cbor.decode(bytes.fromhex("81" * depth + "00")) is not None
