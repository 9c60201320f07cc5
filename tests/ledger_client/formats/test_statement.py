"""Statements and receipts: both ways, in one form, and what is refused of each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_client.errors import EncodeError, Malformed
from ledger_client.formats import cbor, cose
from ledger_client.formats.cose_key import ES256
from ledger_client.formats.statement import (
    Range,
    Statement,
    attach_receipts,
    check_statement,
    detach_receipts,
    id_text,
    parse_statement,
    read_statement,
    sign_statement,
    statement_id,
)
from tests.support.evidence import EPOCH, METER, Site, key, records, statement_of
from tests.support.evidence_values import NAMES, TIMES_MS

SIGNER = key("statement", ES256)
OTHER_EPOCH = bytes.fromhex("ff02030405060708")
BATCH = records()
TRUE = statement_of(BATCH)


@st.composite
def statements(draw: st.DrawFn) -> Statement:
    meters: dict[str, tuple[Range, ...]] = {}
    for meter in draw(st.lists(NAMES, min_size=1, max_size=4, unique=True)):
        epochs = draw(st.lists(st.binary(min_size=8, max_size=8), min_size=1, max_size=3, unique=True))
        spans = [(draw(st.integers(0, 2**40)), draw(st.integers(0, 9))) for _ in epochs]
        meters[meter] = tuple(
            sorted(Range(epoch, first, first + more) for epoch, (first, more) in zip(epochs, spans, strict=True))
        )
    start, end = sorted([draw(TIMES_MS), draw(TIMES_MS)])
    batch = draw(st.integers(0, 2**64 - 1))
    return Statement(
        draw(NAMES),
        batch,
        draw(st.integers(0, 253_402_300_799)),
        draw(st.binary(min_size=32, max_size=32)) if batch else None,
        draw(st.binary(min_size=32, max_size=32)),
        sum(r.last - r.first + 1 for ranges in meters.values() for r in ranges),
        start,
        end,
        meters,
        draw(st.binary(min_size=32, max_size=32)),
        draw(st.sampled_from(["meterseal/0.1.0", "x/1.2.3rc1+local.7", "a-b_c.d/1!2.0"])),
        draw(st.one_of(st.none(), st.text(st.characters(codec="utf-8"), min_size=1, max_size=20))),
    )


@settings(max_examples=120)
@given(statements())
def test_what_is_signed_is_read_back(statement: Statement) -> None:
    entry = sign_statement(statement, SIGNER)
    signed = parse_statement(entry)
    signed.sign1.verify(SIGNER.public)
    assert signed.statement == statement
    assert (signed.entry, signed.id, signed.kid) == (entry, statement_id(entry), SIGNER.public.kid)
    assert signed.sub == f"batch/{statement.batch}"


def test_ranges_are_written_in_order() -> None:
    ranges = (Range(OTHER_EPOCH, 0, 0), Range(EPOCH, 5, 5), Range(EPOCH, 0, 0))
    entry = sign_statement(replace(TRUE, meters={METER: ranges}), SIGNER)
    assert parse_statement(entry).statement.meters[METER] == tuple(sorted(ranges))


UNWRITABLE: dict[str, dict[str, Any]] = {
    "a gateway that is no name": {"gateway": "a b"},
    "a negative batch": {"batch": -1},
    "no prev after batch 0": {"batch": 1},
    "a prev in batch 0": {"prev": bytes(32)},
    "a short root": {"root": bytes(31)},
    "a size beside the ranges": {"size": 4},
    "nothing": {"size": 0, "meters": {}},
    "no range of a meter": {"meters": {METER: TRUE.meters[METER], "other": ()}},
    "a meter that is no name": {"meters": {"a/b": (Range(EPOCH, 0, 2),)}},
    "a range the wrong way round": {"meters": {METER: (Range(EPOCH, 0, 4), Range(OTHER_EPOCH, 2, 0))}},
    "a short epoch": {"meters": {METER: (Range(bytes(7), 0, 2),)}},
    "the same record twice": {"meters": {METER: (Range(EPOCH, 0, 1), Range(EPOCH, 1, 1))}},
    "times the wrong way round": {"from_ms": TRUE.to_ms + 1},
    "a time after 9999": {"to_ms": 2**60},
    "a short configuration hash": {"config": bytes(20)},
    "software without a version": {"software": "meterseal"},
    "an empty reason to resume": {"resume": ""},
}


@pytest.mark.parametrize("what", UNWRITABLE)
def test_unwritable(what: str) -> None:
    with pytest.raises(EncodeError, match="statement of batch"):
        sign_statement(replace(TRUE, **UNWRITABLE[what]), SIGNER)


def resign(change: Callable[[dict[Any, Any], dict[str, Any]], object]) -> bytes:
    sign1 = cose.Sign1.parse(sign_statement(TRUE, SIGNER))
    assert sign1.payload is not None
    header, payload = cbor.decode(sign1.protected_bytes), cbor.decode(sign1.payload)
    change(header, payload)
    return cose.sign1(header, cbor.encode(payload), SIGNER)


REFUSED: dict[str, Callable[[dict[Any, Any], Any], object]] = {
    "an unknown header label": lambda h, p: h.update({33: b""}),
    "another content type": lambda h, p: h.update({3: "application/cbor"}),
    "crit": lambda h, p: h.update({2: [4]}),
    "another alg": lambda h, p: h.update({1: -39}),
    "a short kid": lambda h, p: h.update({4: b"1"}),
    "an unknown claim": lambda h, p: h[15].update({"x": 1}),
    "no sub": lambda h, p: h[15].pop(2),
    "a sub that is a number": lambda h, p: h[15].update({2: 0}),
    "a payload that is no map": lambda h, p: p.clear(),
    "an unknown key": lambda h, p: p.update(note=1),
    "no root": lambda h, p: p.pop("root"),
    "prev null": lambda h, p: p.update(prev=None),
    "meters that are no map": lambda h, p: p.update(meters=[]),
    "a meter as a number": lambda h, p: p.update(meters={1: p["meters"][METER]}),
    "ranges that are no array": lambda h, p: p.update(meters={METER: {}}),
    "a range of two": lambda h, p: p.update(meters={METER: [[EPOCH, 0]]}),
    "ranges out of order": lambda h, p: p.update(meters={METER: [[OTHER_EPOCH, 0, 0], [EPOCH, 0, 1]]}),
    "ranges that overlap": lambda h, p: p.update(meters={METER: [[EPOCH, 0, 1], [EPOCH, 1, 1]]}),
    "software as a number": lambda h, p: p.update(software=1),
    "a size as a float": lambda h, p: p.update(size=3.0),
}


@pytest.mark.parametrize("what", REFUSED)
def test_refused(what: str) -> None:
    with pytest.raises(Malformed) as caught:
        parse_statement(resign(REFUSED[what]))
    assert caught.value.step == 1


CONTRADICTIONS: dict[str, Callable[[dict[Any, Any], Any], object]] = {
    "sub of another batch": lambda h, p: h[15].update({2: "batch/1"}),
    "sub with a leading zero": lambda h, p: h[15].update({2: "batch/00"}),
    "a size beside the ranges": lambda h, p: p.update(size=4),
    "no record": lambda h, p: p.update(size=0, meters={}),
    "no prev": lambda h, p: (p.update(batch=1), h[15].update({2: "batch/1"})),
    "times the wrong way round": lambda h, p: p.update({"to": p["from"] - 1}),
}


@pytest.mark.parametrize("what", CONTRADICTIONS)
def test_contradictions_belong_to_step_4(what: str) -> None:
    entry = resign(CONTRADICTIONS[what])
    signed = read_statement(entry)
    for check in (lambda: check_statement(signed), lambda: parse_statement(entry)):
        with pytest.raises(Malformed) as caught:
            check()
        assert caught.value.step == 4


def test_receipts_travel_in_the_unprotected_header_and_leave_the_entry_alone() -> None:
    entry = Site().entry()
    receipts = [b"one", b"two"]
    attached = attach_receipts(entry, receipts)
    assert cose.Sign1.parse(attached).unprotected == {394: receipts}
    assert detach_receipts(attached) == (entry, (b"one", b"two"))
    assert attach_receipts(entry, []) == entry
    assert detach_receipts(entry) == (entry, ())
    assert attach_receipts(attached, [b"three"]) == attach_receipts(entry, [b"three"])
    with pytest.raises(Malformed):
        parse_statement(attached)
    with pytest.raises(EncodeError, match="the cap is 16"):
        attach_receipts(entry, [b""] * 17)


@pytest.mark.parametrize(
    "unprotected", [{394: []}, {394: [b""] * 17}, {394: [1]}, {394: b""}, {33: b""}, {395: 1}], ids=repr
)
def test_other_unprotected_headers_are_refused(unprotected: dict[Any, object]) -> None:
    with pytest.raises(Malformed):
        detach_receipts(replace(cose.Sign1.parse(Site().entry()), unprotected=unprotected).encode())


def test_a_statement_without_its_payload_is_refused() -> None:
    with pytest.raises(Malformed, match="no payload"):
        parse_statement(replace(cose.Sign1.parse(Site().entry()), payload=None).encode())


def test_ids_stand_in_addresses_without_padding() -> None:
    text = id_text(statement_id(Site().entry()))
    assert len(text) == 43
    assert set(text) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")
