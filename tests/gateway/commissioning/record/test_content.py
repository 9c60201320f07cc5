"""The commissioning record: written and read back the same, and nothing else is read."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.commissioning.record.content import (
    MOST_BYTES,
    CommissioningRecord,
    Comparison,
    Photo,
    of,
)
from gateway.errors import GatewayError
from gateway.messages.message import Message
from ledger_client.formats.record import Event, is_commissioning_record, parse_record, sign_record
from tests.support.evidence import claims, key
from tests.support.evidence_values import FLOATS, INTEGERS, NAMES, TIMES_MS, decimals
from tests.support.gateways.commissioned import COMPARISON, RECORD

LINE = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), min_size=1, max_size=20)
ANY_LINE = st.one_of(st.just(""), LINE)
FRAMES = st.binary(max_size=40)
COMPARISONS = st.builds(
    Comparison,
    point=NAMES,
    unit=ANY_LINE,
    value=st.one_of(INTEGERS, FLOATS, decimals(), st.booleans(), LINE),
    display=LINE,
    request=FRAMES,
    answer=FRAMES,
    at_ms=TIMES_MS,
    verdict=st.sampled_from(["agrees", "differs"]),
)
PHOTOS = st.builds(Photo, LINE, st.integers(0, 2**40), st.binary(min_size=32, max_size=32))
RECORDS = st.builds(
    CommissioningRecord,
    meter=NAMES,
    identity=st.one_of(st.none(), LINE),
    profile=LINE,
    profile_hash=st.binary(min_size=32, max_size=32),
    settings=st.dictionaries(NAMES, st.one_of(LINE, st.integers(-(2**63), 2**63), st.booleans()), max_size=4),
    role=LINE,
    by=LINE,
    at_ms=TIMES_MS,
    ratios=st.dictionaries(NAMES, LINE, max_size=2),
    reversed=st.booleans(),
    comparisons=st.lists(COMPARISONS, max_size=3).map(tuple),
    plate_serial=ANY_LINE,
    seals=st.lists(LINE, max_size=3).map(tuple),
    position=ANY_LINE,
    photos=st.lists(PHOTOS, max_size=3).map(tuple),
    remarks=st.lists(LINE, max_size=3).map("\n".join),
    reversed_phase=ANY_LINE,
)


@given(RECORDS)
def test_a_record_is_read_back_from_its_signed_event(record: CommissioningRecord) -> None:
    signed = parse_record(sign_record(claims(), record.event(), key("meter"))).body
    assert isinstance(signed, Event)
    assert is_commissioning_record(signed)
    assert of(record.meter, signed) == record
    assert of(record.meter, signed).event() == signed


def test_the_decimals_of_a_value_are_kept() -> None:
    record = replace(RECORD, comparisons=(replace(COMPARISON, value=Decimal("1.50")),))
    signed = parse_record(sign_record(claims(), record.event(), key("meter"))).body
    assert isinstance(signed, Event)
    assert str(of("meter-a", signed).comparisons[0].value) == "1.50"


def test_a_first_identity_is_no_record() -> None:
    event = Event("commissioned", {"identity": "serial_number=4711"})
    assert not is_commissioning_record(event)
    with pytest.raises(GatewayError, match="lacks"):
        of("meter-a", event)


def test_another_event_is_no_record() -> None:
    event = Event("meter-exchange", dict(RECORD.event().fields))
    assert not is_commissioning_record(event)
    with pytest.raises(GatewayError) as refused:
        of("meter-a", event)
    assert refused.value.message == Message("commissioned-other-event", meter="meter-a", event="meter-exchange")


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"meter": "no name"}, "meter is 'no name'"),
        ({"identity": ""}, None),
        ({"identity": "two\nlines"}, "identity is .* not a text of one line"),
        ({"profile_hash": bytes(31)}, "profile-hash"),
        ({"settings": {"no name": 1}}, "settings is"),
        ({"settings": {"baudrate": 1.5}}, "setting baudrate is 1.5"),
        ({"by": ""}, "by is ''"),
        ({"reversed_phase": "two\nlines"}, "reversed-phase is .* not a text of one line"),
        ({"at_ms": -1}, "at is -1"),
        ({"ratios": {"ct": 40}}, "ct is 40"),
        ({"reversed": 1}, "reversed is 1"),
        ({"seals": ("",)}, "seals is ''"),
        ({"remarks": "a\x1b[0m"}, "control characters"),
        ({"remarks": "x" * 4097}, "remarks"),
        ({"photos": (Photo("", 1, bytes(32)),)}, "photo name"),
        ({"photos": (Photo("a", -1, bytes(32)),)}, "photo size"),
        ({"comparisons": (replace(COMPARISON, value=float("nan")),)}, "nan"),
        ({"comparisons": (replace(COMPARISON, value=None),)}, "comparison value is None"),  # type: ignore[arg-type]
        ({"comparisons": (replace(COMPARISON, request=bytes(1025)),)}, "comparison request"),
        ({"comparisons": (replace(COMPARISON, answer=bytes(1025)),)}, "comparison answer"),
        ({"comparisons": (replace(COMPARISON, verdict="maybe"),)}, "verdict"),  # type: ignore[arg-type]
        ({"comparisons": (replace(COMPARISON, point="a/b"),)}, "comparison point"),
    ],
)
def test_what_a_record_cannot_hold_is_told(change: dict[str, Any], problem: str | None) -> None:
    record: CommissioningRecord = replace(RECORD, **change)
    if problem is None:
        assert "identity" not in record.event().fields
        return
    with pytest.raises(GatewayError, match=problem) as refused:
        record.event()
    assert refused.value.message is not None
    assert refused.value.message.code == "commissioned-field"


@pytest.mark.parametrize(
    "change",
    [
        {"note": 1},
        {"identity": ""},
        {"ratios": {}},
        {"seals": []},
        {"photos": [{"name": "a", "size": 1, "sha256": bytes(32), "note": 1}]},
        {"comparisons": ["text"]},
        {"settings": "text"},
    ],
)
def test_what_would_not_be_written_so_is_not_read(change: dict[str, Any]) -> None:
    event = RECORD.event()
    with pytest.raises(GatewayError):
        of("meter-a", Event(event.name, {**event.fields, **change}))


@pytest.mark.parametrize(
    "change",
    [
        {"comparisons": (replace(COMPARISON, answer=bytes(1024)),) * 60},
        {"photos": (Photo("p" * 200, 1, bytes(32)),) * 300},
    ],
)
def test_more_than_a_record_holds_is_refused_with_the_fix(change: dict[str, Any]) -> None:
    record: CommissioningRecord = replace(RECORD, **change)
    with pytest.raises(GatewayError, match=r"a record holds") as refused:
        record.event()
    assert "name fewer photos" in refused.value.way_out


def test_the_largest_record_can_be_signed() -> None:
    """Claims and signature find room beside an event of this size."""
    photos = tuple(Photo("p" * 200, 1, bytes([n % 256]) * 32) for n in range(300))
    while True:
        try:
            event = replace(RECORD, photos=photos).event()
            break
        except GatewayError:
            photos = photos[:-1]
    data = sign_record(claims(), event, key("meter"))
    assert MOST_BYTES - 300 < len(data) < 64 * 1024
