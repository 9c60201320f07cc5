"""Flags and verdicts: every single flag, every pair, and the flags that values earn."""

from __future__ import annotations

from decimal import Decimal
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway import quality
from gateway.devices.decode import Decoded
from gateway.devices.points import Point
from gateway.devices.profile import load_profile
from gateway.devices.profile_rules import FLAGS
from gateway.quality import VERDICTS, carry, judge, judge_all, verdict
from ledger_client.report import QUALITY_PHRASES, quality_phrases
from ledger_client.senml import Quality

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
    "missing": {Q.COMM_FAIL, Q.NOT_FOUND, Q.STOPPED},
}  # fmt: skip
VERDICT_OF = {flag: name for name, flags in EXPECTED.items() for flag in flags}


def test_every_flag_has_a_verdict_and_words_of_its_own() -> None:
    assert set(VERDICT_OF) == set(Quality) == set(quality.VERDICT_OF) == set(QUALITY_PHRASES)
    assert len(set(QUALITY_PHRASES.values())) == len(QUALITY_PHRASES)
    assert verdict(0) == "good"
    assert quality_phrases(0) == ()


@pytest.mark.parametrize("flag", list(Quality), ids=lambda f: f.name)
def test_every_single_flag(flag: Quality) -> None:
    assert verdict(flag) == VERDICT_OF[flag]
    assert quality_phrases(flag) == (QUALITY_PHRASES[flag],)


def test_every_pair_gives_the_worse_of_its_two() -> None:
    for one, other in product(Quality, repeat=2):
        expected = max(VERDICT_OF[one], VERDICT_OF[other], key=list(EXPECTED).index)
        assert verdict(one | other) == expected, (one, other)


@settings(deadline=None)
@given(st.sets(st.sampled_from(list(Quality))), st.integers(0, 2**40 - 1))
def test_a_flag_more_never_makes_it_better(flags: set[Quality], more: int) -> None:
    before = sum(flags)
    assert VERDICTS.index(verdict(before | more)) >= VERDICTS.index(verdict(before))


@pytest.mark.parametrize("bit", [29, 31, 32, 63])
def test_a_bit_that_nobody_knows_is_bad(bit: int) -> None:
    assert verdict(1 << bit) == "bad"
    assert verdict(1 << bit | Q.COMM_FAIL) == "missing"
    assert quality_phrases(1 << bit | Q.LATE) == ("delivered late", f"unknown flag, bit {bit}")


def gauge(**keys: object) -> Point:
    base: dict[str, object] = {"name": "p", "fc": 3, "address": 0, "type": "int32", "registers": 2, "unit": "W"}
    return Point(**{**base, **keys})  # type: ignore[arg-type]


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
        (None, 0),
    ],
)
def test_the_plausible_range_includes_its_ends(value: int | float | Decimal | str | None, flags: int) -> None:
    assert judge(gauge(low=Decimal(0), high=Decimal(100)), Decoded(value)) == flags


def test_a_gauge_may_fall_and_a_counter_may_not() -> None:
    assert judge(gauge(), Decoded(5), Decoded(9)) == 0
    counter = gauge(kind="counter")
    assert judge(counter, Decoded(9), Decoded(9)) == 0
    assert judge(counter, Decoded(Decimal("9.1")), Decoded(9)) == 0
    assert judge(counter, Decoded(5), Decoded(9)) == Q.COUNTER_RESET
    assert judge(counter, Decoded(5), None) == 0
    assert judge(counter, Decoded(5), Decoded(None, Q.COMM_FAIL)) == 0


@pytest.mark.parametrize(
    ("keys", "before", "value", "flags"),
    [
        ({"wraps_at": Decimal(1000000)}, 999999, 3, Q.ROLLOVER),
        ({"wraps_at": Decimal(1000000)}, Decimal("999999.9"), Decimal("0.1"), Q.ROLLOVER),
        ({"wraps_at": Decimal(1000000)}, 500000, 3, Q.COUNTER_RESET),
        ({"wraps_at": Decimal(1000000)}, 999999, 500000, Q.COUNTER_RESET),
        ({"type": "uint32"}, 2**32 - 5, 7, Q.ROLLOVER),
        ({"type": "acc32"}, Decimal(2**32 - 5).scaleb(-2), Decimal("0.07"), Q.ROLLOVER),
        ({"type": "int32"}, 2**31 - 5, 7, Q.COUNTER_RESET),
        ({"type": "uint32", "factor": Decimal("0.5")}, 2**31 - 5, 7, Q.COUNTER_RESET),
        ({"type": "float32"}, 16777216.0, 7.0, Q.COUNTER_RESET),
    ],
)
def test_a_counter_that_goes_round_is_told_from_one_that_was_reset(
    keys: dict[str, object], before: int | float | Decimal, value: int | float | Decimal, flags: int
) -> None:
    assert judge(gauge(kind="counter", **keys), Decoded(value), Decoded(before)) == flags


def run(point: Point, values: list[int | None]) -> list[int]:
    """The flags of a sequence of values, each judged by what was carried from the ones before."""
    previous: Decoded | None = None
    flags = []
    for value in values:
        raw = Decoded(value, 0 if value is not None else int(Q.COMM_FAIL))
        judged = Decoded(raw.value, judge(point, raw, previous))
        previous = carry(point, previous, judged)
        flags.append(judged.quality)
    return flags


def test_a_counter_at_0_was_not_available_if_it_comes_back_where_it_was() -> None:
    bad = int(Q.DECODE_ERR)
    assert run(gauge(kind="counter"), [700, 0, 0, 700, 701]) == [0, bad, bad, 0, 0]
    assert run(gauge(kind="counter"), [700, None, 0, 705]) == [0, Q.COMM_FAIL, bad, 0]


def test_a_counter_at_0_that_goes_on_from_there_was_reset() -> None:
    assert run(gauge(kind="counter"), [700, 0, 2, 3]) == [0, Q.DECODE_ERR, Q.COUNTER_RESET, 0]
    assert run(gauge(kind="counter"), [0, 0, 1]) == [0, 0, 0]


status = st.builds(Decoded, st.none() | st.integers(0, 65535), st.integers(0, 2**29 - 1))


@settings(deadline=None)
@given(status, status, status)
def test_no_flag_is_ever_cleared(co2: Decoded, device: Decoded, previous: Decoded) -> None:
    points = load_profile("vaisala-gmp252").select()
    judged = judge_all(points, {"co2": co2, "device_status": device}, {"co2": previous})
    assert set(judged) == {"co2", "device_status"}
    assert judged["co2"].quality & co2.quality == co2.quality
    assert judged["device_status"].quality & device.quality == device.quality
    assert (judged["co2"].value, judged["device_status"].value) == (co2.value, device.value)


def test_status_points_raise_flags_on_the_values_that_they_are_about() -> None:
    points = load_profile("vaisala-gmp252").select()
    poll = {"co2": Decoded(465.0), "temperature": Decoded(21.5), "device_status": Decoded(4), "co2_status": Decoded(0)}
    assert {name: value.quality for name, value in judge_all(points, poll, {}).items()} == dict.fromkeys(poll, 0)
    not_ready = judge_all(points, {**poll, "co2_status": Decoded(256)}, {})
    assert {name for name, value in not_ready.items() if value.quality} == {"co2"}
    broken = judge_all(points, {**poll, "device_status": Decoded(3)}, {})
    assert broken["co2"].quality == broken["temperature"].quality == Q.DEVICE_FAULT
    assert broken["device_status"].quality == 0


def test_a_bit_and_a_code_raise_by_their_value() -> None:
    zero = gauge(name="zero", type="bit", registers=1, fc=2, kind="status", raises=((1, "CALIBRATING"),))
    data_live = gauge(name="live", type="bit", registers=1, fc=2, kind="status", raises=((0, "MAINTENANCE"),))
    state = gauge(name="state", type="enum16", registers=1, kind="status", raises=((7, "DEVICE_FAULT"),))
    points = (gauge(), zero, data_live, state)

    def flags(zero: bool, live: bool, state: int) -> int:
        poll = {"p": Decoded(5), "zero": Decoded(zero), "live": Decoded(live), "state": Decoded(state)}
        return judge_all(points, poll, {})["p"].quality

    assert flags(False, True, 4) == 0
    assert flags(True, True, 4) == Q.CALIBRATING
    assert flags(True, False, 7) == Q.CALIBRATING | Q.MAINTENANCE | Q.DEVICE_FAULT


def test_the_flags_of_profiles_are_flags() -> None:
    assert set(FLAGS) <= {flag.name for flag in Quality}
