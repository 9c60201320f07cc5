"""Counters read once and twice: torn, not available, set back, gone round, jumped, and what the record then says."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from gateway.acquisition.counters import Booked, Look, Stand, book, doubtful
from gateway.devices.decode import decode
from gateway.devices.places import REGISTERS, Registers
from gateway.devices.points import Point
from gateway.devices.profile import load_profile
from gateway.devices.scaling import quantum
from ledger_client.formats.senml import Number, Quality
from tests.support.register_points import of_registers, register_point

Q = Quality
STEP_MS = 10_000


def counter(type_: str = "uint32", **keys: object) -> Point:
    base: dict[str, object] = {"name": "energy", "fc": 3, "address": 0, "type": type_, "registers": REGISTERS[type_]}
    return register_point(**{**base, "unit": "kWh", "kind": "counter", **keys})  # type: ignore[arg-type]


def float_counters(name: str) -> list[Point]:
    """The counters of a profile of the catalog that are floats, with the high word first and no ratio."""
    counters = [p for p in load_profile(name).points if p.kind == "counter" and isinstance(p.at, Registers)]
    return [
        replace(p, at=replace(p.held, word_order="big"), factor_from=())
        for p in counters
        if p.type in ("float32", "float64")
    ]


wide = st.sampled_from(["uint32", "int32", "uint64", "float32", "float64"])
"""Of one meter: energies in Wh, polled every 10 s, at up to 1 MW."""
WITH_FLOAT_COUNTERS = [name for name in of_registers() if float_counters(name)]
Seen = Sequence[Number | tuple[Number | None, Number | None] | None]


def run(point: Point, values: Seen, period_ms: int = STEP_MS) -> list[Booked]:
    """What is booked for one poll after the other; a pair is a poll whose block is read again if that is asked for."""
    stand: Stand | None = None
    booked = []
    for number, value in enumerate(values):
        now_ms = number * period_ms
        first, second = value if isinstance(value, tuple) else (value, None)
        look = Look(first, now_ms)
        again = Look(second, now_ms + 50) if isinstance(value, tuple) and doubtful(point, stand, look) else None
        booked.append(book(point, stand, look, again))
        stand = booked[-1].stand
    return booked


def flags(point: Point, values: Seen, period_ms: int = STEP_MS) -> list[int]:
    return [found.flags for found in run(point, values, period_ms)]


def test_a_counter_that_grows_earns_nothing() -> None:
    assert flags(counter(), [5, 5, 9, 700, None, 701]) == [0, 0, 0, 0, Q.DECODE_ERR, 0]
    assert flags(counter("float32"), [4000.0, 4000.0, 4000.25, None, 4000.5]) == [0, 0, 0, Q.DECODE_ERR, 0]


@pytest.mark.parametrize(
    ("type_", "keys", "before", "value", "expected"),
    [
        ("int32", {"wraps_at": Decimal(1000000)}, 999999, 3, Q.ROLLOVER),
        ("int32", {"wraps_at": Decimal(1000000)}, Decimal("999999.9"), Decimal("0.1"), Q.ROLLOVER),
        ("int32", {"wraps_at": Decimal(1000000)}, 500000, 3, Q.COUNTER_RESET),
        ("int32", {"wraps_at": Decimal(1000000)}, 999999, 500000, Q.COUNTER_RESET),
        ("uint32", {}, 2**32 - 5, 7, Q.ROLLOVER),
        ("acc32", {}, Decimal(2**32 - 5).scaleb(-2), Decimal("0.07"), Q.ROLLOVER),
        ("int32", {}, 2**31 - 5, 7, Q.COUNTER_RESET),
        ("uint32", {"factor": Decimal("0.5")}, 2**31 - 5, 7, Q.COUNTER_RESET),
        ("float32", {}, 16777216.0, 7.0, Q.COUNTER_RESET),
    ],
)
@pytest.mark.parametrize("twice", [True, False])
def test_a_counter_that_goes_round_is_told_from_one_that_was_reset(
    twice: bool, type_: str, keys: dict[str, object], before: Number, value: Number, expected: int
) -> None:
    look: Number | tuple[Number, Number] = (value, value) if twice else value
    assert flags(counter(type_, **keys), [before, look, value]) == [0, expected, 0]


@pytest.mark.parametrize("twice", [True, False])
def test_a_counter_at_0_was_not_available_if_it_comes_back_where_it_was(twice: bool) -> None:
    night: int | tuple[int, int] = (0, 0) if twice else 0
    booked = run(counter(), [700, night, night, 700, 701])
    assert [b.look.value for b in booked] == [700, None, None, 700, 701]
    assert [b.flags for b in booked] == [0, Q.DECODE_ERR, Q.DECODE_ERR, 0, 0]
    assert {b.other.value for b in booked if b.other} == ({None} if twice else set())


def test_a_counter_at_0_that_goes_on_from_there_was_reset() -> None:
    assert flags(counter(), [700, 0, 2, 3]) == [0, Q.DECODE_ERR, Q.COUNTER_RESET, 0]
    assert flags(counter(), [700, (0, 0), (2, 2), 3]) == [0, Q.DECODE_ERR, Q.COUNTER_RESET, 0]
    assert flags(counter(), [0, 0, 1]) == [0, 0, 0], "a new meter may well begin at 0"
    assert [b.look.value for b in run(counter(), [0, 0, 1])] == [0, 0, 1]


def test_a_0_for_a_moment_is_no_value_and_the_second_look_is_booked() -> None:
    (_, found) = run(counter(), [700, (0, 701)])
    assert (found.look.value, found.flags, found.second_booked) == (701, 0, True)
    assert found.look.time_ms == STEP_MS + 50
    assert (found.other, found.other_flags) == (Look(None, STEP_MS), Q.DECODE_ERR)


def test_a_jump_that_the_second_look_confirms_is_a_value_like_any_other() -> None:
    (_, found, later) = run(counter(), [700, (500_000, 500_001), 500_002])
    assert (found.look.value, found.flags) == (500_000, 0)
    assert (found.other, found.other_flags) == (Look(500_001, STEP_MS + 50), 0)
    assert later.flags == 0


def test_without_a_second_look_a_jump_is_doubted_until_the_next_poll() -> None:
    point = counter()
    assert flags(point, [700, 500_000, 500_001]) == [0, Q.IMPLAUSIBLE, 0], "it had really jumped"
    assert flags(point, [700, 66_236, 701, 702]) == [0, Q.IMPLAUSIBLE, 0, 0], "it was torn, and 701 is no reset"
    assert flags(point, [700, 5, 701]) == [0, Q.COUNTER_RESET, 0], "it was torn downwards"
    assert flags(point, [700, (66_236, None), (701, None)]) == [0, Q.IMPLAUSIBLE, 0]


@pytest.mark.parametrize("period_ms", [1_000, 10_000, 120_000])
@pytest.mark.parametrize("name", WITH_FLOAT_COUNTERS)
def test_a_new_meter_is_good_from_its_fourth_look_without_any_second_one(name: str, period_ms: int) -> None:
    """Each float counter of the catalog, from 0 on, at 23 kW: near 0 every step is larger than a torn word would be."""
    for point in float_counters(name):
        raws = [Fraction(23 * n * period_ms, 3_600_000) / quantum(point) for n in range(100)]
        values = [value_of(point, registers(point, float(raw))) for raw in raws]
        assert not any(flags(point, values, period_ms)[3:]), point.name


def test_a_new_meter_that_counts_finely_in_64_bits_is_good_from_its_fourth_look() -> None:
    fine = [Decimal(n * 638_889).scaleb(-4) for n in range(200)]  # 0.1 mWh, 23 kW
    assert not any(flags(counter("uint64"), fine)[3:])


def test_steps_between_which_a_counter_stands_are_known_after_the_first() -> None:
    coarse = [float(n // 30) / 10 for n in range(300)]
    assert [n for n, flag in enumerate(flags(counter("float32"), coarse)) if flag] == [30]
    slow = [0.0, 0.0, 0.0, 0.05, 0.1, 0.15, 0.2, 0.2, 0.2, 0.25]
    assert flags(counter("float64"), slow) == [0, 0, 0, Q.IMPLAUSIBLE, Q.IMPLAUSIBLE, 0, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("type_", "values", "expected"),
    [
        ("uint32", [700, 66_236, 131_772, 701, 702], [0, Q.IMPLAUSIBLE, Q.IMPLAUSIBLE, 0, 0]),  # words, twice alike
        ("float32", [0.5, 2e20, 4e20, 0.501], [0, Q.IMPLAUSIBLE, Q.IMPLAUSIBLE, 0]),
        ("float32", [0.0, 8.0, 16.0, 0.0, 0.0], [0, Q.IMPLAUSIBLE, Q.IMPLAUSIBLE, 0, 0]),  # export that stays at 0
        ("uint32", [700, 900_000, 400_000, 702], [0, Q.IMPLAUSIBLE, Q.IMPLAUSIBLE, 0]),  # no fall below 700: no reset
        ("float32", [0.0, 0.05, 0.1, 9e9, 0.2], [0, Q.IMPLAUSIBLE, Q.IMPLAUSIBLE, Q.IMPLAUSIBLE, Q.IMPLAUSIBLE]),
        ("float32", [700.0, 0.05, 0.1, 0.15, 0.2], [0, Q.COUNTER_RESET, Q.IMPLAUSIBLE, 0, 0]),  # set back to 0
        ("float32", [700.0, 0.0, 0.0, 700.0, 700.01], [0, Q.DECODE_ERR, Q.DECODE_ERR, 0, 0]),
        ("float32", [0.5, 20.0, 20.1, 20.2], [0, Q.IMPLAUSIBLE, Q.IMPLAUSIBLE, 0]),  # it stood, jumped and went on
    ],
)
def test_what_no_two_steps_in_a_row_confirm_stays_in_doubt(
    type_: str, values: list[Number], expected: list[int]
) -> None:
    found = run(counter(type_), values)
    assert [booked.flags for booked in found] == expected
    assert [booked.look.value for booked in found if booked.flags != Q.DECODE_ERR] == [
        value for value, flag in zip(values, expected, strict=True) if flag != Q.DECODE_ERR
    ]


@settings(max_examples=60)
@given(wide, st.integers(0, 1000), st.integers(2**20, 2**31), st.integers(2**20, 2**31))
def test_two_wrong_looks_never_confirm_each_other(type_: str, start: int, first: int, second: int) -> None:
    assume(abs(second - first) > max(first / 128, 2**16))
    values = [value_of(counter(type_), registers(counter(type_), n)) for n in (start, first, second, start)]
    assert [bool(flag) for flag in flags(counter(type_), values)] == [False, True, True, False]


def test_steps_alike_beyond_what_is_possible_stay_implausible() -> None:
    point = counter("float32", max_per_hour=Decimal(100))
    assert flags(point, [float(n) for n in range(6)]) == [0] + [Q.IMPLAUSIBLE] * 5


def test_looks_that_contradict_each_other_are_both_kept_and_neither_is_believed() -> None:
    (_, found, later) = run(counter(), [700, (900_000, 400_000), 702])
    assert (found.look.value, found.flags) == (900_000, Q.IMPLAUSIBLE)
    assert (found.other, found.other_flags) == (Look(400_000, STEP_MS + 50), Q.IMPLAUSIBLE)
    assert (later.look.value, later.flags) == (702, 0)


def test_what_the_profile_takes_for_impossible_is_flagged_and_recorded() -> None:
    point = counter("int32", scale=-2, max_per_hour=Decimal(100))  # 100 kW
    steady = [Decimal(n * 28).scaleb(-2) for n in range(5)]  # 0.28 kWh in 10 s are 100.8 kW
    assert flags(point, steady) == [0] * 5
    fast = [Decimal(n * 100).scaleb(-2) for n in range(5)]
    assert flags(point, [(v, v) for v in fast]) == [0] + [Q.IMPLAUSIBLE] * 4
    assert doubtful(point, Stand(fast[0], 0), Look(fast[1], STEP_MS))


def test_one_register_cannot_be_torn() -> None:
    assert not doubtful(counter("uint16"), Stand(0, 0), Look(65_535, 1000))
    assert doubtful(counter("uint16"), Stand(100, 0), Look(99, 1000))


def test_an_everyday_step_is_not_looked_at_again_however_finely_the_counter_counts() -> None:
    """0.1 mWh in 64 bits at 50 kW: 1.4 million counts a poll; and a double, whose last place is nearly nothing."""
    wh = [Decimal(5_000_000_0000 + n * 1_388_889).scaleb(-4) for n in range(20)]
    assert asked(counter("uint64"), wh) <= 1
    kwh = [4821.7 + n * 0.138 for n in range(20)]
    assert asked(counter("float64"), kwh) <= 1
    pauses = [4821.7 + n // 3 * 0.138 for n in range(60)]
    assert asked(counter("float64"), pauses) <= 2


def asked(point: Point, values: Sequence[Number]) -> int:
    """How often a second look is asked for."""
    stand, count = None, 0
    for number, value in enumerate(values):
        look = Look(value, number * STEP_MS)
        count += doubtful(point, stand, look)
        stand = book(point, stand, look, Look(value, number * STEP_MS + 50)).stand
    return count


def registers(point: Point, number: float) -> tuple[int, ...]:
    """Registers of a value, packed by struct alone."""
    form = {"uint32": ">I", "int32": ">i", "uint64": ">Q", "float32": ">f", "float64": ">d"}[point.type]
    data = struct.pack(form, number if point.type.startswith("float") else int(number))
    return struct.unpack(f">{len(data) // 2}H", data)


def value_of(point: Point, words: Sequence[int]) -> Number:
    value = decode(point, words).value
    assert isinstance(value, Number)
    return value


@settings(max_examples=300)
@given(
    wide,
    st.integers(1, 2**30),
    st.lists(st.integers(0, 2800), min_size=3, max_size=12),
    st.data(),
)
def test_a_torn_word_is_never_booked_as_good_unless_it_is_within_an_everyday_step(
    type_: str, start: int, steps: list[int], data: st.DataObject
) -> None:
    """The device mixes words of two moments in one look; the second look is whole. What is booked without a flag is
    what the counter showed, or off by less than it moves from poll to poll and less than half a word."""
    point, total = counter(type_), float(start)
    stand: Stand | None = None
    largest = 0.0
    for number, step in enumerate(steps):
        old, new = registers(point, total), registers(point, total + step)
        total = float(value_of(point, new))
        words = new
        if number > 1 and data.draw(st.booleans()):
            mask = data.draw(st.tuples(*[st.booleans()] * len(new)))
            words = tuple(a if keep else b for keep, a, b in zip(mask, new, old, strict=True))
        assume(decode(point, words).value is not None)
        look, again = Look(value_of(point, words), number * STEP_MS), Look(value_of(point, new), number * STEP_MS + 50)
        seen = book(point, stand, look, again if doubtful(point, stand, look) else None)
        largest = max(largest, step)
        error = abs(float(seen.look.value or 0) - total)
        if not seen.flags:
            assert error <= max(4.2 * largest, half_a_word(point, total)), (look, again, seen)
        stand = seen.stand


def half_a_word(point: Point, value: float) -> float:
    if point.type == "float32":
        return 2.0**-7 * value
    return value / 256 if point.type in ("float64", "uint64") else 2.0**15


@given(st.lists(st.integers(0, 3000), min_size=1, max_size=20), st.sampled_from(["uint32", "float32"]))
def test_a_counter_that_is_what_it_shows_is_booked_as_it_is_and_never_flagged(steps: list[int], type_: str) -> None:
    point, total, stand = counter(type_), 4_000_000, None
    for number, step in enumerate(steps):
        total += step
        value = value_of(point, registers(point, total))
        look = Look(value, number * STEP_MS)
        again = Look(value, number * STEP_MS + 50) if doubtful(point, stand, look) else None
        found = book(point, stand, look, again)
        assert (found.look, found.flags) == (look, 0)
        stand = found.stand


numbers = st.none() | st.integers(0, 100_000) | st.decimals(0, 100_000, places=2) | st.floats(0, 1e6)
looks = st.builds(Look, numbers, st.integers(0, 10**6))


@settings(max_examples=300)
@given(st.sampled_from([counter, lambda: counter("float32"), lambda: counter("uint16")]), st.lists(looks, max_size=6))
def test_any_looks_in_any_order_give_a_record_that_says_what_it_knows(
    make: Callable[[], Point], seen: list[Look]
) -> None:
    point, stand = make(), None
    for first, second in pairwise(seen):
        found = book(point, stand, first, second)
        assert found.look.value is not None or found.flags & Q.DECODE_ERR
        assert found.look.value in (first.value, second.value, None)
        assert found.other is None or found.other.value is not None or found.other_flags & Q.DECODE_ERR
        if stand is not None and found.look.value is not None and found.look.value < stand.value:
            fallen = Q.COUNTER_RESET | Q.ROLLOVER | Q.IMPLAUSIBLE
            assert found.flags & fallen or (stand.before and found.look.value >= stand.before.value)
        stand = found.stand
