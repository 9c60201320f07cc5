"""The quick parser of readings: the results and the errors of the strict one, whatever the bytes are."""

from __future__ import annotations

# not quick: records by chance, 3 s of CPU
import tracemalloc
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from decimal import Decimal
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_client.errors import VerificationError
from ledger_client.formats import cbor, cose, quick_parser, senml_writer
from ledger_client.formats.quick_parser import usual_reading
from ledger_client.formats.record import (
    CONTENT_READING,
    GATEWAY_ITSELF,
    Claims,
    claims_map,
    parse_record,
    parse_strictly,
    sign_record,
)
from ledger_client.formats.senml import Reading, Value, pack
from tests.support.evidence import EPOCH, GATEWAY, METER, claims, key, reading, records
from tests.support.evidence_values import CLAIMS, READINGS, THOROUGH

SIGNER = key("meter")
PACK = pack(reading(), GATEWAY, METER)
HEADER = {cose.ALG: -8, cose.CONTENT_TYPE: CONTENT_READING, cose.KID: SIGNER.public.kid}


def of(header: bytes, payload: bytes) -> bytes:
    """The record of this header and this payload; nobody checks its signature here."""
    return cose.frame(header, payload, bytes(64))


def header_of(facts: Claims, **changes: Any) -> bytes:
    return cbor.encode(HEADER | {cose.CWT_CLAIMS: claims_map(facts) | changes})


def outcome(parse: Any, data: bytes) -> object:
    try:
        return exact(parse(data))
    except VerificationError as error:
        return type(error), error.step, error.detail


def exact(value: Any) -> object:
    """What is equal only to what has the same types as well: True is not 1, 1.50 not 1.5, −0.0 not 0.0."""
    if is_dataclass(value) and not isinstance(value, type):
        return type(value), [exact(getattr(value, part.name)) for part in fields(value)]
    if isinstance(value, Mapping):
        return [(exact(name), exact(part)) for name, part in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [exact(part) for part in value]
    return type(value), repr(value)


def agree(data: bytes) -> None:
    """Both parsers, and what the quick one alone says, if it says anything."""
    assert outcome(parse_record, data) == outcome(parse_strictly, data)


@THOROUGH
@given(CLAIMS, READINGS)
def test_what_was_signed_is_read_quickly(facts: Claims, body: Reading) -> None:
    data = sign_record(facts, body, SIGNER)
    agree(data)
    assert (usual_reading(data) is None) == (facts.salt is not None)


@THOROUGH
@given(st.data())
def test_damaged_records(data: st.DataObject) -> None:
    changed = bytearray(data.draw(st.sampled_from([*records(), of(header_of(claims()), PACK)])))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(changed)))
        end = data.draw(st.integers(start, min(len(changed), start + 4)))
        changed[start:end] = data.draw(st.binary(max_size=4))
    agree(bytes(changed))


def head(draw: st.DrawFn, major: int, argument: int) -> bytes:
    """A head in a form that was drawn: the shortest, or a longer one."""
    shortest = cbor.head_bytes(major, argument)
    wider = [bytes((major << 5 | 24 + n,)) + argument.to_bytes(1 << n) for n in range(4) if argument < 1 << (8 << n)]
    return draw(st.sampled_from([shortest] * 20 + wider))


ODD_ITEMS = """
    f5 f6 f7 e0 f97e00 f97c00 faff800000 9fff bfff c24105 c249010000000000000000 c34105 c4820005 c48221f5 c482216135
    c48221f94500 c482384005 c4823a7fffffff05 c48105 c5820005 82211904d2 c060 c105 d81c81d81d00 d9010081d81900
    d8236161 d280 62c328 61ff 63eda080 60 40 80 a0 f93c00 fb3ff0000000000000 ff 1c 8181818181818181818181818181818100
"""
ODD = st.sampled_from([bytes.fromhex(item) for item in ODD_ITEMS.split()])
"""What may stand in an item's place: other types, numbers that are none, tags, what nobody can decode."""


@st.composite
def written(draw: st.DrawFn, item: Any) -> bytes:
    """An item as anybody may write it: long heads, keys in another order or twice, another item in its place."""
    if not draw(st.integers(0, 40)):
        return draw(ODD)
    if isinstance(item, Mapping):
        parts = [(draw(written(name)), draw(written(part))) for name, part in item.items()]
        parts.sort() if draw(st.integers(0, 9)) else parts.reverse()
        if not draw(st.integers(0, 20)):
            parts.append(parts[-1])
        return head(draw, 5, len(parts)) + b"".join(name + part for name, part in parts)
    if isinstance(item, list):
        return head(draw, 4, len(item)) + b"".join(draw(written(part)) for part in item)
    if isinstance(item, Decimal):
        return head(draw, 6, 4) + draw(written(list(cbor.decimal_parts(item))))
    if isinstance(item, str):
        return head(draw, 3, len(item.encode())) + item.encode()
    if isinstance(item, bytes):
        return head(draw, 2, len(item)) + item
    if isinstance(item, int) and not isinstance(item, bool):
        return head(draw, 0, item) if item >= 0 else head(draw, 1, -1 - item)
    return cbor.encode(item)


@THOROUGH
@given(st.data(), CLAIMS, READINGS)
def test_items_as_anybody_may_write_them(data: st.DataObject, facts: Claims, body: Reading) -> None:
    header, payload = header_of(facts), pack(body, GATEWAY, METER)
    if data.draw(st.booleans()):
        header = data.draw(written(cbor.decode(header)))
    else:
        payload = data.draw(written(cbor.decode(payload)))
    agree(of(header, payload))


def entry(content: str) -> bytes:
    """The one entry of a pack: what follows n and stands before the base fields, in hexadecimal digits."""
    name = cbor.encode(f"{GATEWAY}/{METER}/").hex()
    return bytes.fromhex(f"81a4006178{content}21{name}22c482221b0000019c00000000")


FORGED: Mapping[str, bytes] = {
    "true as a number": entry("02f5"),
    "an array without its tag": entry("0282211904d2"),
    "a decimal that is an integer": entry("02c4820005"),
    "a decimal of a decimal": entry("02c482c4820105184d"),
    "a text as a mantissa": entry("02c482216135"),
    "an exponent beyond all": entry("02c4823a7fffffff05"),
    "an integer of 65 bits": entry("02c249010000000000000000"),
    "a mantissa of 480,000 bits": entry("02c48221c259ea60" + "ff" * 60000),
    "not a number": entry("02f97e00"),
    "infinity": entry("02f97c00"),
    "a zero as text": entry("0300"),
    "no text": entry("0360"),
    "text that is no UTF-8": entry("0362c328"),
    "false as a number": entry("02f4"),
    "a date as a number": entry("02c105"),
    "itself as a number": entry("02d81c81d81d00"),
    "trailing": entry("0205") + b"\x00",
    "a key twice": entry("02050205").replace(b"\x81\xa4", b"\x81\xa5", 1),
    "nested": b"\x81" * 60_000 + b"\x00",
    "nested tags": b"\xc4" * 60_000 + b"\x00",
    "65,000 empty maps": b"\x99\xfd\xe8" + b"\xa0" * 65_000,
    "2⁶⁴ entries": b"\x9b" + b"\xff" * 8,
    "2⁶⁴ bytes": b"\x5b" + b"\xff" * 8,
    "nothing": b"",
}


def test_a_pack_of_one_entry_is_read_quickly() -> None:
    """What those below are made of is itself as it has to be."""
    data = of(header_of(claims()), entry("0205"))
    agree(data)
    assert usual_reading(data) is not None


@pytest.mark.parametrize("what", FORGED)
def test_forged_packs(what: str) -> None:
    data = of(header_of(claims()), FORGED[what])
    tracemalloc.start()
    try:
        assert usual_reading(data) is None
        assert tracemalloc.get_traced_memory()[1] < 16_000_000
    finally:
        tracemalloc.stop()
    agree(data)


def header_with(name: bytes, other: bytes) -> bytes:
    """A header in which some bytes stand in the place of others."""
    header = header_of(claims())
    assert header.count(name) == 1
    return header.replace(name, other)


ISS, UP, KID = cbor.encode(GATEWAY), b"\x62up\x19\x30\x39", b"\x04\x58\x20" + SIGNER.public.kid
HEADERS: Mapping[str, bytes] = {
    "true as the label of alg": header_with(b"\xa4\x01\x27", b"\xa4\xf5\x27"),
    "alg as a float": header_with(b"\x01\x27", b"\x01\xf9\xc8\x00"),
    "uptime as a float": header_with(UP, b"\x62up\xfa\x46\x40\xe4\x00"),
    "uptime as a boolean": header_with(UP, b"\x62up\xf5"),
    "uptime in four bytes": header_with(UP, b"\x62up\x1a\x00\x00\x30\x39"),
    "uptime as a big number": header_with(UP, b"\x62up\xc2\x42\x30\x39"),
    "the epoch as text": header_with(b"\x48" + EPOCH, b"\x68" + EPOCH),
    "the kid as text": header_with(KID, b"\x04\x78\x20" + b"k" * 32),
    "a kid of 31 bytes": header_with(KID, b"\x04\x58\x1f" + SIGNER.public.kid[1:]),
    "a gateway that is no name": header_with(ISS, b"\x63a/b"),
    "a gateway that is a list": header_with(ISS, b"\x80"),
    "another gateway than the pack's": header_with(ISS, b"\x63abc"),
    "a clock that is a list": header_with(b"clock\x61S", b"clock\x80"),
    "an alg of RSA": cbor.encode(HEADER | {cose.ALG: -257, cose.CWT_CLAIMS: claims_map(claims())}),
    "crit": cbor.encode(HEADER | {cose.CRIT: [1], cose.CWT_CLAIMS: claims_map(claims())}),
    "a claim too many": header_of(claims(), more=1),
    "the gateway itself": header_of(claims(meter=GATEWAY_ITSELF)),
    "no claims": cbor.encode(HEADER),
    "nothing": b"",
}


@pytest.mark.parametrize("what", HEADERS)
def test_forged_headers(what: str) -> None:
    data = of(HEADERS[what], PACK)
    assert usual_reading(data) is None
    agree(data)


def test_forged_frames() -> None:
    header, data = header_of(claims()), of(header_of(claims()), PACK)
    sign1 = cose.Sign1.parse(data)
    frames = [
        data[1:],
        data + b"\x00",
        data[:-1],
        b"\xd8\x12" + data[1:],
        b"\xd3" + data[1:],
        replace(sign1, signature=bytes(63)).encode(),
        replace(sign1, unprotected={4: b"k"}).encode(),
        replace(sign1, payload=None).encode(),
        cose.frame(header, PACK, bytes(64)).replace(b"\xa0\x58", b"\xa0\x59\x00", 1),
        cbor2.dumps([header, {}, PACK, bytes(64)]),
        b"",
        data + bytes(65_536),
    ]
    for frame in frames:
        assert usual_reading(frame) is None
        agree(frame)
    assert usual_reading(bytearray(data)) is None  # type: ignore[arg-type]


def test_what_is_learnt_of_owners_and_points_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quick_parser, "_MOST_OWNERS", 20)
    monkeypatch.setattr(senml_writer, "_MOST_POINTS", 50)
    monkeypatch.setattr(senml_writer, "_MOST_IN_FORMS", 100)
    monkeypatch.setattr(quick_parser, "_OWNERS", owners := quick_parser._Owners())
    for n in range(200):
        values = tuple(Value(f"p{n}-{m}", 0.1 if n % 2 else n) for m in range(7))
        data = sign_record(claims(meter=f"m{n}"), reading(values=values), SIGNER)
        assert usual_reading(data) is not None
        tables = owners._tables
        assert len(owners) <= 20
        assert len(tables.points) <= 50
        assert sum(len(form.names) for form in tables.forms.values()) <= 100
