"""Flags and verdicts: every single flag, every pair, and the flags that values earn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from itertools import combinations, product
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import verdicts
from gateway.acquisition.counters import Look, Stand
from gateway.acquisition.validation import (
    NOTHING,
    Past,
    Still,
    clock_flags,
    earns,
    freshness,
    judge,
    raised,
)
from gateway.devices.points import Point, Profile
from gateway.devices.profile import load_profile
from gateway.devices.profile_rules import FLAGS
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.specs import BlockFailure
from gateway.verdicts import VERDICTS, verdict
from ledger_client.formats.senml import Quality
from ledger_client.verification.value_words import QUALITY_PHRASES, quality_phrases
from tests.support.register_points import register_point

Q = Quality
EXPECTED = {
    "good": {Q.ROLLOVER, Q.LATE},
    "uncertain": {
        Q.STALE, Q.FROZEN, Q.CAL_RANGE, Q.MANUAL, Q.CAL_OVERDUE, Q.IMPLAUSIBLE, Q.CLOCK_UNSYNC, Q.CLOCK_STEP, Q.CACHED,
        Q.SHARED_LINE, Q.IDENTITY_UNPROVEN, Q.CONFIG_CHANGED,
    },
    "substituted": {Q.SUBSTITUTED},
    "bad": {
        Q.DECODE_ERR, Q.DEVICE_FAULT, Q.RANGE_HIGH, Q.RANGE_LOW, Q.MAINTENANCE, Q.CALIBRATING, Q.OUT_OF_CONTROL,
        Q.COUNTER_RESET, Q.METER_EXCHANGED, Q.TAMPER, Q.BLOCKED,
    },
    "missing": {Q.COMM_FAIL, Q.NOT_FOUND, Q.STOPPED, Q.NOT_ASKED},
}  # fmt: skip
VERDICT_OF = {flag: name for name, flags in EXPECTED.items() for flag in flags}


def test_every_flag_has_a_verdict_and_words_of_its_own() -> None:
    assert set(VERDICT_OF) == set(Quality) == set(verdicts.VERDICT_OF) == set(QUALITY_PHRASES)
    assert len(set(QUALITY_PHRASES.values())) == len(QUALITY_PHRASES)
    assert verdict(0) == "good"
    assert quality_phrases(0) == ()


def test_docs_readings_lists_every_bit_with_its_verdict_and_words() -> None:
    docs = Path(__file__).parents[3].joinpath("docs/readings.md").read_text()
    for flag, name in verdicts.VERDICT_OF.items():
        assert f"| {flag.bit_length() - 1} | {flag.name} | {name} | {QUALITY_PHRASES[flag]} |\n" in docs


@pytest.mark.parametrize("flag", list(Quality), ids=lambda f: f.name)
def test_every_single_flag(flag: Quality) -> None:
    assert verdict(flag) == VERDICT_OF[flag]
    assert quality_phrases(flag) == (QUALITY_PHRASES[flag],)


def test_every_pair_gives_the_worse_of_its_two() -> None:
    for one, other in product(Quality, repeat=2):
        expected = max(VERDICT_OF[one], VERDICT_OF[other], key=list(EXPECTED).index)
        assert verdict(one | other) == expected, (one, other)


@given(st.sets(st.sampled_from(list(Quality))), st.integers(0, 2**40 - 1))
def test_a_flag_more_never_makes_it_better(flags: set[Quality], more: int) -> None:
    before = sum(flags)
    assert VERDICTS.index(verdict(before | more)) >= VERDICTS.index(verdict(before))


@pytest.mark.parametrize("bit", [30, 31, 32, 63])
def test_a_bit_that_nobody_knows_is_bad(bit: int) -> None:
    assert verdict(1 << bit) == "bad"
    assert verdict(1 << bit | Q.COMM_FAIL) == "missing"
    assert quality_phrases(1 << bit | Q.LATE) == ("delivered late", f"unknown flag, bit {bit}")


def gauge(**keys: object) -> Point:
    base: dict[str, object] = {"name": "p", "fc": 3, "address": 0, "type": "int32", "registers": 2, "unit": "W"}
    return register_point(**{**base, **keys})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("value", "flags"),
    [
        (Decimal("-0.1"), Q.RANGE_LOW),
        (0, 0),
        (99.9, 0),
        (100, 0),
        (100.00001, Q.RANGE_HIGH),
        ("x", 0),
        (True, 0),
        (None, Q.DECODE_ERR),
    ],
)
def test_the_plausible_range_includes_its_ends(value: int | float | Decimal | str | None, flags: int) -> None:
    judged = judge(gauge(low=Decimal(0), high=Decimal(100)), value, 0)
    assert (judged.value, judged.flags) == (value, flags)


def test_triples_too_give_the_worst_of_their_three() -> None:
    for three in combinations(Quality, 3):
        assert verdict(sum(three)) == max((VERDICT_OF[flag] for flag in three), key=list(EXPECTED).index), three


@pytest.mark.parametrize(
    ("code", "flag"),
    [
        (None, Q.COMM_FAIL), (1, Q.NOT_FOUND), (2, Q.NOT_FOUND), (3, Q.NOT_FOUND), (4, Q.DEVICE_FAULT),
        (5, Q.COMM_FAIL), (6, Q.COMM_FAIL), (8, Q.DEVICE_FAULT), (10, Q.COMM_FAIL), (11, Q.COMM_FAIL),
        (99, Q.COMM_FAIL),
    ],
)  # fmt: skip
def test_what_became_of_a_block_is_a_flag_of_its_values(code: int | None, flag: Quality) -> None:
    block, refusal = RegisterBlock.over(3, 0, 1, ()), None if code is None else refused(code, 3)
    assert BlockFailure(block, "timeout", "", refusal).flag == flag


@pytest.mark.parametrize(
    ("letter", "error_ms", "stepped", "flags"),
    [
        ("S", None, False, 0),
        ("S", 1000, False, 0),
        ("S", 1001, False, Q.CLOCK_UNSYNC),
        ("I", None, False, Q.CLOCK_UNSYNC),
        ("I", 5, False, Q.CLOCK_UNSYNC),
        ("U", None, False, Q.CLOCK_UNSYNC),
        ("R", None, False, Q.CLOCK_UNSYNC),
        ("S", 5, True, Q.CLOCK_STEP),
        ("U", None, True, Q.CLOCK_UNSYNC | Q.CLOCK_STEP),
    ],
)
def test_the_clock_that_dates_a_value_flags_it(letter: str, error_ms: int | None, stepped: bool, flags: int) -> None:
    assert clock_flags(letter, error_ms, 1000, stepped=stepped) == flags


def frozen(values: Sequence[int | None], step_ms: int, **keys: object) -> list[bool]:
    """Of each value of a point read every ``step_ms``: is it FROZEN, at a limit of 60 s?"""
    past, found = NOTHING, []
    for number, value in enumerate(values):
        judged = judge(gauge(**keys), value, number * step_ms, past, frozen_after_ms=60_000)
        past = judged.past
        found.append(bool(judged.flags & Q.FROZEN))
    return found


def test_a_lively_point_is_frozen_when_it_has_not_moved_for_long_and_in_several_looks() -> None:
    assert frozen([7] * 8 + [8, 8], 10_000, lively=True) == [False] * 6 + [True] * 2 + [False] * 2
    assert frozen([7] * 6, 60_000, lively=True) == [False] * 4 + [True] * 2
    assert frozen([7, 7, 7, 7, None, 7, 7], 20_000, lively=True) == [False] * 5 + [True] * 2
    assert frozen([7] * 20, 60_000) == [False] * 20


def concentrator(**keys: object) -> Profile:
    return replace(load_profile("vaisala-gmp252"), **keys)  # type: ignore[arg-type]


def test_a_concentrator_without_a_witness_may_answer_from_memory() -> None:
    assert freshness(load_profile("vaisala-gmp252"), None, 0) == 0
    assert freshness(concentrator(concentrator=True), None, 0) == Q.CACHED


def test_with_a_witness_values_are_cached_until_it_moves_good_while_it_does_and_stale_when_it_has_stopped() -> None:
    profile = concentrator(freshness="co2", stale_after_ms=30_000)
    first = Still(400.0, 0)
    assert freshness(profile, None, 0) == freshness(profile, first, 0) == freshness(profile, first, 30_000) == Q.CACHED
    assert freshness(profile, first, 30_001) == Q.STALE
    moved = first.next(401.0, 40_000)
    assert freshness(profile, moved, 40_000) == freshness(profile, moved.next(401.0, 60_000), 70_000) == 0
    assert freshness(profile, moved, 70_001) == Q.STALE
    assert freshness(profile, moved.next(None, 80_000), 80_000) == Q.STALE


contents = st.none() | st.integers(-100, 70_000) | st.floats(-1e6, 1e9) | st.text(max_size=3) | st.booleans()
numbers = st.integers(0, 70_000) | st.decimals(0, 70_000, places=2)
looks = st.builds(Look, st.none() | numbers, st.integers(0, 10**6))
pasts = st.builds(
    Past,
    st.none() | st.builds(Stand, numbers, st.integers(0, 10**6), st.none() | st.floats(0, 100)),
    st.none() | st.builds(Still, contents, st.integers(0, 10**6), st.integers(1, 9), st.booleans()),
)
points_of_all_kinds = st.builds(
    gauge,
    kind=st.sampled_from(["gauge", "counter"]),
    lively=st.booleans(),
    low=st.none() | st.just(Decimal(0)),
    high=st.none() | st.just(Decimal(50_000)),
    max_per_hour=st.none() | st.just(Decimal(3600)),
)


@settings(max_examples=300)
@given(points_of_all_kinds, contents, st.integers(0, 10**7), pasts, st.none() | looks, st.integers(0, 2**40))
def test_no_flag_is_ever_cleared_and_no_value_missing_without_one(
    point: Point, content: object, now: int, past: Past, second: Look | None, flags: int
) -> None:
    judged = judge(point, content, now, past, second=second, flags=flags)  # type: ignore[arg-type]
    assert judged.flags & flags == flags
    assert judged.value is not None or verdict(judged.flags) in ("bad", "missing")
    if judged.other is not None:
        assert judged.other_flags & flags == flags
        assert judged.other_flags != 0 or flags == 0
        assert judged.other.value is not None or judged.other_flags & Q.DECODE_ERR
    earned = judge(point, content, now, past, second=second, flags=flags & Q.LATE)  # type: ignore[arg-type]
    assert judged.flags == earned.flags | flags
    assert (judged.value, judged.past) == (earned.value, earned.past), "no flag but LATE decides about values"


def test_status_points_raise_flags_on_the_values_that_they_are_about() -> None:
    points = load_profile("vaisala-gmp252").select()
    poll = {"co2": 465.0, "temperature": 21.5, "device_status": 4, "co2_status": 0}
    assert raised(points, poll) == {}
    assert raised(points, {**poll, "co2_status": 256}) == {"co2": Q.DEVICE_FAULT}
    broken = raised(points, {**poll, "device_status": 3})
    assert broken["co2"] == broken["temperature"] == Q.DEVICE_FAULT
    assert "device_status" not in broken
    assert raised(points, {**poll, "device_status": None}) == {}


def test_a_bit_and_a_code_raise_by_their_value() -> None:
    zero = gauge(name="zero", type="bit", registers=1, fc=2, kind="status", raises=((1, "CALIBRATING"),))
    data_live = gauge(name="live", type="bit", registers=1, fc=2, kind="status", raises=((0, "MAINTENANCE"),))
    state = gauge(name="state", type="enum16", registers=1, kind="status", raises=((7, "DEVICE_FAULT"),))
    points = (gauge(), zero, data_live, state)

    def flags(zero: bool, live: bool, state: int) -> int:
        return raised(points, {"p": 5, "zero": zero, "live": live, "state": state}).get("p", 0)

    assert flags(False, True, 4) == 0
    assert flags(True, True, 4) == Q.CALIBRATING
    assert flags(True, False, 7) == Q.CALIBRATING | Q.MAINTENANCE | Q.DEVICE_FAULT


def test_the_flags_of_profiles_are_flags() -> None:
    assert set(FLAGS) <= {flag.name for flag in Quality}


def test_a_point_that_earns_nothing_needs_no_judge() -> None:
    assert not earns(gauge())
    assert not earns(gauge(kind="status", unit=None))
    for keys in ({"kind": "counter"}, {"lively": True}, {"low": Decimal(0)}, {"high": Decimal(0)}):
        assert earns(gauge(**keys)), keys
