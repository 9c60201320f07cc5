"""Messages of the evidence feed: each has one form, fits its rule of docs/evidence.cddl, and nothing else is taken."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pycddl import Schema, ValidationError

from ledger_client.errors import EncodeError, Malformed
from ledger_client.formats import cbor
from ledger_client.formats.bundle import Locator
from ledger_client.formats.checks import MAX_RECORD
from ledger_client.formats.feed_messages import (
    FRAME,
    MAX_ASKED,
    MAX_NUMBER,
    MAX_RECORDS_MESSAGE,
    TOGETHER,
    WHYS,
    Asked,
    BatchesMessage,
    GoneMessage,
    RecordRange,
    RecordsMessage,
    encode_again,
    encode_batches,
    encode_gone,
    encode_records,
    encode_status,
    parse_again,
    parse_batches,
    parse_gone,
    parse_records,
    parse_status,
    record_size,
)
from tests.support.evidence import EPOCH, METER, Site, receipt_for, records

CDDL = (Path(__file__).parents[3] / "docs" / "evidence.cddl").read_text()
ENTRY = Site().entry()
LOCATOR = Locator("consortium", 31337, bytes(20), bytes(32), 7, bytes(32), (3, 1, (bytes(32),)))
ASKED = Asked((RecordRange(METER, EPOCH, 0, 9), RecordRange("gateway", bytes(8), 3, MAX_NUMBER)), ((0, 0), (4, 9)))
MESSAGES: dict[str, tuple[Callable[[bytes], object], bytes]] = {
    "records-message": (parse_records, encode_records(range(3, 3 + len(records())), records())),
    "batches-message": (parse_batches, encode_batches(ENTRY, [receipt_for(ENTRY)], [LOCATOR])),
    "again-message": (parse_again, encode_again(ASKED)),
    "gone-message": (parse_gone, encode_gone("lost", ASKED)),
}
NUMBERS = st.integers(0, MAX_NUMBER)
RANGES = st.tuples(st.sampled_from([METER, "gateway"]), st.binary(min_size=8, max_size=8), NUMBERS, NUMBERS).map(
    lambda four: RecordRange(four[0], four[1], *sorted(four[2:]))
)
BATCHES = st.tuples(NUMBERS, NUMBERS).map(lambda two: (min(two), max(two)))
ASKEDS = st.builds(Asked, st.lists(RANGES, min_size=1, max_size=9).map(tuple), st.lists(BATCHES, max_size=9).map(tuple))


@cache
def schema(rule: str) -> Schema:
    return Schema(f"start = {rule}\n{CDDL}")


def test_what_is_written_fits_its_rule_and_is_read_back() -> None:
    for rule, (_, data) in MESSAGES.items():
        schema(rule).validate_cbor(data)
        assert cbor.encode(cbor.decode(data)) == data
    assert MESSAGES["records-message"][0](MESSAGES["records-message"][1]) == RecordsMessage(
        tuple(range(3, 3 + len(records()))), tuple(records())
    )
    assert parse_batches(MESSAGES["batches-message"][1]) == BatchesMessage(ENTRY, (receipt_for(ENTRY),), (LOCATOR,))
    assert parse_batches(encode_batches(ENTRY)) == BatchesMessage(ENTRY, (), ())


@given(ASKEDS, st.sampled_from(WHYS))
def test_whatever_is_asked_for_is_read_back(asked: Asked, why: str) -> None:
    assert parse_again(encode_again(asked)) == asked
    assert parse_gone(encode_gone(why, asked)) == GoneMessage(why, asked)


@given(st.dictionaries(NUMBERS, st.binary(min_size=1, max_size=300), min_size=1, max_size=30))
def test_any_records_are_read_back_and_their_size_is_foreseen(found: dict[int, bytes]) -> None:
    rows = sorted(found.items())
    data = encode_records([place for place, _ in rows], [record for _, record in rows])
    assert parse_records(data) == RecordsMessage(tuple(p for p, _ in rows), tuple(r for _, r in rows))
    assert cbor.encode(cbor.decode(data)) == data
    assert len(data) <= FRAME + sum(record_size(place, record) for place, record in rows)


def test_a_record_may_be_as_long_as_a_record_is_and_several_are_64_kib_at_most() -> None:
    alone = encode_records([MAX_NUMBER], [bytes(MAX_RECORD)])
    assert len(parse_records(alone).records[0]) == MAX_RECORD < len(alone) <= MAX_RECORDS_MESSAGE
    half = bytes(TOGETHER // 2 - 20)
    assert len(encode_records([1, 2], [half, half])) <= TOGETHER
    for places, found in (([1, 2], [half, half + bytes(20)]), ([1], [bytes(MAX_RECORD + 1)]), ([1], [b""]), ([], [])):
        with pytest.raises(EncodeError):
            encode_records(places, found)
    together = {"v": 1, "places": [1, 2], "records": [half, half + bytes(20)]}
    with pytest.raises(Malformed):
        parse_records(cbor2.dumps(together, canonical=True))


ROW, TWO = [METER, EPOCH, 0, 1], [0, 1]
WRONG: dict[str, list[dict[str, Any]]] = {
    "records-message": [
        {"v": 2},
        {"v": True},
        {"places": [1]},
        {"places": [5, 4, 6, 7]},
        {"places": [3, 3, 4, 5]},
        {"places": [3, 4, 5, MAX_NUMBER + 1]},
        {"places": [-1, 4, 5, 6]},
        {"places": [], "records": []},
        {"records": ["text", b"1", b"1", b"1"]},
        {"more": 1},
    ],
    "batches-message": [
        {"v": 0},
        {"statement": ENTRY.hex()},
        {"statement": b""},
        {"anchors": [1]},
        {"anchors": None},
        {"anchors": [{}]},
        {"more": 1},
    ],
    "again-message": [
        {"v": 1.5},
        {"ranges": [], "batches": []},
        {"ranges": [ROW] * (MAX_ASKED + 1), "batches": []},
        {"ranges": [ROW] * MAX_ASKED, "batches": [TWO]},
        {"ranges": [[METER, EPOCH, 1, 0]]},
        {"ranges": [["no name/", EPOCH, 0, 1]]},
        {"ranges": [[METER, bytes(7), 0, 1]]},
        {"ranges": [[METER, EPOCH, 0, MAX_NUMBER + 1]]},
        {"ranges": [[METER, EPOCH, 0]]},
        {"batches": [[0, 2**64 - 1]]},
        {"batches": [[1, 0]]},
        {"batches": [[True, 2]]},
        {"batches": {}},
        {"why": "lost"},
    ],
    "gone-message": [{"why": "no"}, {"why": None}, {"why": 1}, {"ranges": [], "batches": []}, {"v": None}],
}


@pytest.mark.parametrize("rule", list(WRONG))
def test_nothing_else_is_taken(rule: str) -> None:
    parse, data = MESSAGES[rule]
    fields = cbor.decode(data)
    cases = [cbor2.dumps({**fields, **changed}, canonical=True) for changed in WRONG[rule]]
    cases += [cbor2.dumps({k: v for k, v in fields.items() if k != key}, canonical=True) for key in fields]
    cases += [b"", data + b"\0", data[:-1], b"\xbf" + data[1:] + b"\xff", b"\x81" * 100_000, b"\x9b" + b"\xff" * 8]
    cases += [cbor2.dumps(dict(reversed(fields.items())))]
    for case in cases:
        with pytest.raises(Malformed):
            parse(case)


UNSAID = {"places", "records", "ranges", "batches"}
"""What CDDL cannot say, or a validator overlooks inside of an array: counts that agree, order, sums."""


@pytest.mark.parametrize(
    ("rule", "changed"), [(rule, each) for rule in WRONG for each in WRONG[rule] if not UNSAID & each.keys()]
)
def test_the_rules_refuse_it_too(rule: str, changed: dict[str, Any]) -> None:
    data = cbor2.dumps({**cbor.decode(MESSAGES[rule][1]), **changed}, canonical=True)
    with pytest.raises(ValidationError):
        schema(rule).validate_cbor(data)


@given(st.binary(max_size=64))
def test_no_bytes_raise_anything_else(data: bytes) -> None:
    for parse in (parse_records, parse_batches, parse_again, parse_gone, parse_status):
        with pytest.raises(Malformed):
            parse(data)


def test_a_status_is_an_object_of_plain_facts() -> None:
    fields = {"online": True, "time": 5, "disk": {"used_bytes": 1}, "name": "燃料", "list": [None, False, -5]}
    assert parse_status(encode_status(fields)) == {"v": 1, **fields}
    wrong = [b'{"v":1}', b'{"v":1,"online":1}', b'{"v":2,"online":true}', b'{"online":true}', b"[1]", b"nonsense"]
    wrong += [b'{"v":1,"online":true,"x":%s}' % x for x in (b"1.5", b"NaN", b"1e999", b"9" * 30, b'"\\u0000"')]
    wrong += [
        b'{"v":1,"online":true,"x":%s}' % x for x in (b'"\\ud800"', b'"a\\nb"', b"[" * 9000, b"9223372036854775808")
    ]
    wrong += [b'{"v":1,"online":true,"online":true}', b'{"v":1,"online":true,"x":"' + b"a" * 20_000 + b'"}', b"\xff"]
    for data in wrong:
        with pytest.raises(Malformed):
            parse_status(data)
    for bad in ({"online": True, "x": 1.5}, {"online": True, "x": "\ud800"}, {"x": 1}):
        with pytest.raises(EncodeError):
            encode_status(bad)
