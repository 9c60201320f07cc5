"""Polls → readings: every value with its flags, at its time, and what a meter's past has to say of it."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.acquisition.poller import Poller
from gateway.clock import KernelClock
from gateway.config.bus import Meter
from gateway.devices.decode_bcd import DataBlock
from gateway.devices.decode_text import MessageBlock
from gateway.devices.places import Factor, Identifier
from gateway.devices.points import Point, Profile
from gateway.devices.profile import load_profile, parse_profile
from gateway.devices.read_plan import Limits, plan
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.specs import BlockAnswer, BlockFailure, Poll
from gateway.records import PollResult
from gateway.verdicts import verdict
from ledger_client.formats.senml import Quality, Reading, Value, pack
from ledger_client.verification.value_words import quality_phrases
from tests.support.register_points import as_found
from tests.support.samples import START_S, Machine

Q = Quality
METER = "m"
SITE = parse_profile(
    """vendor = "T"
device = "T"
source = "T"
freshness = "updates"
stale_after_ms = 30000
frozen_after_ms = 60000
[defaults]
fc = 3
[points]
voltage = { address = 0, type = "float32", unit = "V", lively = true }
power   = { address = 2, type = "int16", unit = "W", scale = 1, low = -100, high = 100 }
energy  = { address = 3, type = "uint32", unit = "kWh", scale = -2, kind = "counter" }
state   = { address = 5, type = "enum16", raises = { 7 = "DEVICE_FAULT" }, about = ["power"] }
updates = { address = 6, type = "uint16", kind = "status", record = false }
other   = { address = 40, type = "uint32", unit = "kWh", kind = "counter" }
""",
    "site",
    "site.toml",
)
PLAIN = replace(SITE, freshness=None)
FIRST, SECOND = plan(PLAIN.select(), Limits())
WITNESSED, _ = plan(SITE.select(), Limits())


def registers(
    voltage: float = 230.0, power: int = 5, energy: int = 70_000, state: int = 1, updates: int = 0
) -> tuple[int, ...]:
    data = struct.pack(">fhIHH", voltage, power, energy, state, updates)
    return struct.unpack(f">{len(data) // 2}H", data)


class Site:
    """A poller on a machine whose clocks the test moves; polls of one meter every second."""

    def __init__(self, profile: Profile = PLAIN, **meter: Any) -> None:
        self.machine = Machine()
        self.clock, self.finished = self.machine.clock(), list[PollResult]()
        entry = Meter.model_validate({"name": METER, "profile": "site.toml", "address": 1, "every": "1s", **meter})
        self.first = WITNESSED if profile.freshness else FIRST
        self.meter = entry
        self.poller = Poller({METER: entry}, self.clock, self.finished.append, {METER: profile})

    def poll(
        self,
        *words: tuple[int, ...],
        flags: int = 0,
        failures: tuple[BlockFailure, ...] = (),
        label_ms: int | None = None,
    ) -> dict[str, Value]:
        """A second passes, then the first block answers with each of these registers, 50 ms apart."""
        self.machine.passes(1.0)
        answers = []
        for registers in words:
            answers.append(BlockAnswer(self.first, registers, self.clock.now_ms()))
            self.machine.passes(0.05)
        self.poller.poll(Poll(METER, 0, tuple(answers), failures, flags=flags, label_ms=label_ms))
        reading = self.finished[-1].reading
        assert reading is not None
        return {value.name: value for value in reading.values}


def test_a_reading_bears_every_recorded_value_with_unit_and_time() -> None:
    site = Site()
    values = site.poll(registers())
    assert list(values) == ["voltage", "power", "energy", "state"], "the witness is read along, not recorded"
    assert values["voltage"] == Value("voltage", 230.0, "V")
    assert values["power"].value == Decimal("5E+1")
    assert values["energy"] == Value("energy", Decimal("700.00"), "kWh")
    finished = site.finished[-1]
    assert finished.reading is not None
    assert finished.reading.time_ms == (START_S + 1) * 1000
    assert finished.stamp is not None
    assert finished.stamp.clock == "S"


def test_a_far_step_of_the_clock_stays_one_until_it_is_followed_or_undone() -> None:
    site = Site()
    site.machine.kernel = KernelClock(False, None)
    site.machine.passes(2.0)
    site.machine.wall_ms += 3_600_000
    both = int(Q.CLOCK_STEP | Q.CLOCK_UNSYNC)
    for _ in range(3):
        assert {value.quality & both for value in site.poll(registers()).values()} == {both}
    site.machine.wall_ms -= 3_600_000
    assert {value.quality & both for value in site.poll(registers()).values()} == {int(Q.CLOCK_UNSYNC)}


def test_blocks_have_their_own_times_and_those_that_failed_their_own_flags() -> None:
    site = Site()
    at = site.clock.now_ms()
    late = BlockAnswer(SECOND, (0, 5), at + 70)
    poll = Poll(METER, 0, (late, BlockAnswer(FIRST, registers(), at + 20)))
    reading = site.poller.reading(poll)
    assert reading.time_ms == at + 20
    assert {v.name: v.offset_ms for v in reading.values} == {
        "voltage": 0,
        "power": 0,
        "energy": 0,
        "state": 0,
        "other": 50,
    }
    for code, flag in ((None, Q.COMM_FAIL), (2, Q.NOT_FOUND), (4, Q.DEVICE_FAULT)):
        failure = BlockFailure(SECOND, "timeout", "", None if code is None else refused(code, 3))
        value = site.poll(registers(), failures=(failure,), flags=Q.SHARED_LINE)["other"]
        assert value == Value("other", None, "kWh", flag | Q.SHARED_LINE)


@pytest.mark.parametrize("late", [{"flags": int(Q.LATE)}, {"label_ms": 1_000}])
def test_a_message_that_tells_of_before_leaves_counters_and_stillness_alone(late: dict[str, Any]) -> None:
    site = Site()
    site.poll(registers(energy=70_000, voltage=229.0), label_ms=2_000)
    for _ in range(70):
        values = site.poll(registers(energy=60_000, voltage=230.0), **late)
        assert {value.quality & ~late.get("flags", 0) for value in values.values()} == {0}
    values = site.poll(registers(energy=70_001, voltage=230.0), label_ms=3_000)
    assert {value.quality for value in values.values()} == {0}
    assert site.poll(registers(energy=60_000), registers(energy=60_000))["energy"].quality == Q.COUNTER_RESET


def test_a_label_far_ahead_says_nothing_of_the_order() -> None:
    site = Site()
    site.poll(registers(energy=70_000), flags=int(Q.CLOCK_UNSYNC), label_ms=1 << 42)
    values = site.poll(registers(energy=60_000), registers(energy=60_000), label_ms=2_000)
    assert values["energy"].quality == Q.COUNTER_RESET


def test_counters_go_on_from_no_reading_that_came_late() -> None:
    site = Site()
    kept, late = (Reading(at, (Value("energy", Decimal(n), "kWh", flag),)) for at, n, flag in
                  ((1, 700, 0), (2, 500, int(Q.LATE))))  # fmt: skip
    site.poller.recall(METER, [late, kept])
    assert site.poll(registers(energy=60_000), registers(energy=60_000))["energy"].quality == Q.COUNTER_RESET


def test_a_text_that_is_empty_is_no_value() -> None:
    """In a pack an empty text stands for no value (docs/formats.md)."""
    text = 'vendor = "T"\ndevice = "T"\nsource = "T"\n[points]\n'
    text += 'label = { fc = 3, address = 0, type = "string", registers = 2 }\n'
    profile = parse_profile(text, "texts", "texts.toml")
    (block,) = plan(profile.select(), Limits())
    site = Site(profile)
    for words, content in (((0x4142, 0x4300), "ABC"), ((0, 0), None), ((0x2020, 0x2020), None)):
        site.poller.poll(Poll(METER, 0, (BlockAnswer(block, words, site.clock.now_ms()),), ()))
        reading = site.finished[-1].reading
        assert reading is not None
        (value,) = reading.values
        assert (value.value, value.quality) == (content, 0 if content else Q.DECODE_ERR)
        pack(reading, "g", METER)  # which refuses an empty text


def test_a_point_that_failed_twice_is_told_of_once() -> None:
    site, failure = Site(), BlockFailure(SECOND, "timeout", "")
    site.poll(registers(), failures=(failure, failure))
    reading = site.finished[-1].reading
    assert reading is not None
    assert [value.name for value in reading.values].count("other") == 1


@pytest.mark.parametrize("reason", ["no-shape", "shared", "stopped"])
def test_not_asked_has_a_bit_and_words_of_its_own(reason: str) -> None:
    """Never "did not answer" for a question that was not sent."""
    value = Site().poll(registers(), failures=(BlockFailure(SECOND, reason, "said by the line"),))["other"]
    assert value == Value("other", None, "kWh", Q.NOT_ASKED)
    assert verdict(value.quality) == "missing"
    (words,) = quality_phrases(value.quality)
    assert words.startswith("not asked")
    assert "did not answer" not in words


@pytest.mark.parametrize("reason", ["timeout", "line-down"])
def test_a_block_that_was_asked_in_vain_did_not_answer(reason: str) -> None:
    value = Site().poll(registers(), failures=(BlockFailure(SECOND, reason, ""),))["other"]
    assert value.quality == Q.COMM_FAIL


def test_a_poll_without_an_answer_is_its_reason() -> None:
    site = Site()
    site.poller.poll(Poll(METER, 7, missed="no-shape"))
    site.poller.poll(Poll(METER, 8))
    assert [(f.meter, f.due_ms, f.reading, f.reason) for f in site.finished] == [
        (METER, 7, None, "no-shape"),
        (METER, 8, None, "timeout"),
    ]


def test_values_earn_their_flags_and_keep_those_of_the_poll() -> None:
    values = Site().poll(registers(float("nan"), power=11, state=7), flags=Q.IDENTITY_UNPROVEN)
    assert values["voltage"] == Value("voltage", None, "V", Q.DECODE_ERR | Q.IDENTITY_UNPROVEN)
    assert values["power"].quality == Q.RANGE_HIGH | Q.DEVICE_FAULT | Q.IDENTITY_UNPROVEN
    assert values["state"].quality == Q.IDENTITY_UNPROVEN


def test_a_lively_point_that_stands_still_is_frozen() -> None:
    site = Site()
    flags = [site.poll(registers())["voltage"].quality for _ in range(70)]
    assert flags == [0] * 58 + [Q.FROZEN] * 12
    assert site.poll(registers(230.5))["voltage"].quality == 0


def test_the_freshness_of_a_concentrator_is_a_flag_of_all_its_values() -> None:
    site = Site(SITE)
    assert {v.quality for v in site.poll(registers()).values()} == {Q.CACHED}
    assert {v.quality for v in site.poll(registers(updates=1)).values()} == {0}
    stands = [site.poll(registers(230.0 + n, updates=1)) for n in range(30)]
    assert {v.quality for values in stands[:28] for v in values.values()} == {0}
    assert {v.quality for v in stands[-1].values()} == {Q.STALE}
    assert {v.quality for v in site.poll(registers(updates=2)).values()} == {0}


def test_a_message_that_dates_its_values_is_no_memory_of_a_concentrator() -> None:
    site = Site(SITE)
    assert {v.quality for v in site.poll(registers(), label_ms=1_000).values()} == {0}
    stands = [site.poll(registers(230.0 + n), label_ms=2_000 + n) for n in range(30)]
    assert {v.quality for v in stands[-1].values()} == {Q.STALE}


def test_the_witness_is_recorded_where_the_configuration_names_it() -> None:
    assert list(Site(SITE, points=["power", "updates"]).poll(registers()))[-1] == "updates"
    assert "updates" in {p.name for p in SITE.select(("power",))}


def test_a_counter_that_falls_is_read_twice_and_both_looks_are_in_the_record() -> None:
    site = Site()
    site.poll(registers(energy=70_000))
    fallen = registers(energy=65_536)
    torn = BlockAnswer(FIRST, fallen, site.clock.now_ms())
    assert site.poller.doubts(METER, torn)
    assert not site.poller.doubts(METER, BlockAnswer(FIRST, registers(energy=70_001), site.clock.now_ms()))
    values = site.poll(fallen, registers(energy=70_002))
    assert values["energy"] == Value("energy", Decimal("700.02"), "kWh", 0, 50)
    assert values["energy.first"] == Value("energy.first", Decimal("655.36"), "kWh", Q.DECODE_ERR)
    assert list(values) == ["voltage", "power", "energy", "energy.first", "state"]
    values = site.poll(registers(energy=100), registers(energy=101))
    assert values["energy"] == Value("energy", Decimal("1.00"), "kWh", Q.COUNTER_RESET)
    assert values["energy.second"] == Value("energy.second", Decimal("1.01"), "kWh", 0, 50)


def test_a_second_look_at_a_block_of_which_only_one_counter_was_doubtful_leaves_the_others_alone() -> None:
    site = Site()
    site.poll(registers())
    values = site.poll(registers(230.0), registers(231.0, power=6))
    assert (values["voltage"].value, values["power"].value, set(values) - {"voltage", "power", "energy", "state"}) == (
        230.0,
        Decimal("5E+1"),
        set(),
    )


def test_a_block_whose_first_answer_became_doubtful_has_the_values_of_its_second() -> None:
    site = Site()
    values = site.poll(registers(energy=70_000), failures=(BlockFailure(FIRST, "timeout", "two answers came"),))
    assert list(values) == ["voltage", "power", "energy", "state"]
    assert {v.quality for v in values.values()} == {0}
    reading = site.finished[-1].reading
    assert reading is not None
    assert len(reading.values) == 4


def test_a_counter_at_0_has_no_value() -> None:
    site = Site()
    site.poll(registers())
    assert site.poll(registers(energy=0))["energy"] == Value("energy", None, "kWh", Q.DECODE_ERR)
    assert site.poll(registers(energy=70_000))["energy"].quality == 0


def test_counters_are_taken_up_where_an_earlier_process_left_them() -> None:
    site = Site()
    absent = Reading(9000, (Value("energy", None, "kWh", Q.DECODE_ERR), Value("voltage", 1.0, "V")))
    site.poller.recall(METER, [absent, Reading(8000, (Value("energy", Decimal("699.00"), "kWh"),))])
    assert site.poll(registers(energy=0))["energy"].value is None
    assert site.poll(registers(energy=100), registers(energy=100))["energy"].quality == Q.COUNTER_RESET


def test_a_meter_that_is_read_anew_says_so_once_and_its_counters_go_on() -> None:
    site = Site()
    site.poll(registers(energy=70_000))
    site.poller.change({METER: site.meter}, {METER: PLAIN}, [METER])
    values = site.poll(registers(energy=100), registers(energy=100))
    assert values["energy"].quality == Q.COUNTER_RESET | Q.CONFIG_CHANGED
    assert site.poll(registers(energy=101))["energy"].quality == 0


def test_another_meter_has_no_past_and_the_first_value_of_every_point_says_so() -> None:
    site = Site()
    site.poll(registers(energy=70_000))
    lost = (BlockFailure(SECOND, "timeout", ""),)
    values = site.poll(registers(energy=0), flags=Q.METER_EXCHANGED, failures=lost)
    assert values["energy"] == Value("energy", Decimal("0.00"), "kWh", Q.METER_EXCHANGED)
    assert values["other"].quality == Q.METER_EXCHANGED | Q.COMM_FAIL
    at = site.clock.now_ms()
    both = Poll(METER, 0, (BlockAnswer(FIRST, registers(energy=1), at), BlockAnswer(SECOND, (0, 5), at)))
    assert {v.name: v.quality for v in site.poller.reading(both).values if v.quality} == {"other": Q.METER_EXCHANGED}
    assert {v.quality for v in site.poller.reading(both).values} == {0}


def test_a_clock_that_is_not_synchronised_flags_every_value() -> None:
    site = Site()
    site.machine.kernel = KernelClock(False, None)
    assert {v.quality for v in site.poll(registers()).values()} == {Q.CLOCK_UNSYNC}
    site.machine.kernel = KernelClock(True, 1001)
    assert {v.quality for v in site.poll(registers()).values()} == {Q.CLOCK_UNSYNC}, "worse than the period is long"
    site.machine.kernel = KernelClock(True, 999)
    assert {v.quality for v in site.poll(registers()).values()} == {0}


def test_a_step_of_the_clock_flags_the_next_reading_of_each_meter_once() -> None:
    site = Site()
    site.poll(registers())
    site.machine.wall_ms += 200
    site.poller.poll(Poll(METER, 0, missed="timeout"))
    flags = [site.poll(registers())["voltage"].quality for _ in range(2)]
    assert [f & Q.CLOCK_STEP for f in flags] == [Q.CLOCK_STEP, 0]
    assert flags[1] == 0, "it is known to be 200 ms off, which is less than a period"


FACTORS = {"ct": Decimal(40), "pt": Decimal("2.5")}
profiles = st.sampled_from(["eastron-sdm630", "vaisala-gmp252", "sunspec-inverter"])


@settings(max_examples=60)
@given(profiles, st.lists(st.randoms(use_true_random=False), min_size=1, max_size=4), st.data())
def test_whatever_a_device_says_becomes_a_record_and_no_flag_is_cleared(
    name: str, turns: Sequence[Any], data: st.DataObject
) -> None:
    """Any registers, in any blocks, once or twice: each recorded point stands in the reading, which can be written."""
    profile = load_profile(name)
    profile = as_found(profile)
    site = Site(profile)
    blocks = plan(profile.points, Limits.of(profile))
    for turn in turns:
        flags = data.draw(st.sampled_from([0, int(Q.SHARED_LINE), int(Q.METER_EXCHANGED)]))
        poll = _any_poll(site, blocks, turn, flags)
        doubted = [site.poller.doubts(METER, answer) for answer in poll.answers]
        assert all(isinstance(d, bool) for d in doubted)
        site.poller.poll(poll)
        reading = site.finished[-1].reading
        if not poll.answers:
            assert reading is None
            continue
        assert reading is not None
        pack(reading, "gateway", METER)
        wanted = [p.name for p in profile.points if p.kind != "scale"]
        names = [v.name for v in reading.values if not v.name.endswith((".first", ".second"))]
        assert sorted(names) == sorted(wanted)
        assert all(v.quality & flags == flags for v in reading.values)


def _any_poll(site: Site, blocks: Sequence[RegisterBlock], turn: Any, flags: int) -> Poll:
    site.machine.passes(1.0)
    answers, failures = [], []
    for block in blocks:
        if turn.random() < 0.2:
            failures.append(BlockFailure(block, "timeout", "", turn.choice([None, refused(2, 3), refused(4, 3)])))
            continue
        for _ in range(turn.choice([1, 1, 2])):
            pool = turn.choice([(0,), (0xFFFF,), (0x7FC0,), (0x8000,), (0, 1, 2), tuple(range(65536))])
            words = tuple(turn.choice(pool) for _ in range(block.count))
            answers.append(BlockAnswer(block, words, site.clock.now_ms()))
            site.machine.passes(0.05)
    return Poll(METER, 0, tuple(answers), tuple(failures), flags=flags)


@pytest.mark.parametrize("given", [{}, {"ct": 5}, {"ct": 5, "pt": 20}])
def test_ratios_of_the_configuration_scale_values(given: dict[str, int]) -> None:
    profile = replace(PLAIN, points=tuple(_through_transformers(p) for p in PLAIN.points))
    block = replace(FIRST, points=tuple(map(_through_transformers, FIRST.points)))
    site = Site(profile, **given)
    reading = site.poller.reading(Poll(METER, 0, (BlockAnswer(block, registers(), 1_800_000_000_000),)))
    value = next(v for v in reading.values if v.name == "energy")
    assert value.value == (None if len(given) < 2 else 70_000)


def _through_transformers(point: Point) -> Point:
    return replace(point, factor_from=("ct", "pt")) if point.name == "energy" else point


def test_a_plan_that_is_made_again_costs_no_memory() -> None:
    """A SunSpec device is discovered anew with each connection: the same blocks, in other objects."""
    site = Site()
    for second in range(50):
        site.first = plan(PLAIN.select(), Limits())[0]
        site.poll(registers(voltage=230.0 + second / 8))
    assert len(site.poller._meters[METER]._blocks._forms) == 1


def test_what_the_source_says_of_its_values_is_in_the_record() -> None:
    """Two tariffs where the profile has three, and an analyzer that is calibrated."""
    tariffs = [Point(f"t{n}", Identifier("0001FF00", "XXXXXX.XX", n), unit="kWh", kind="counter") for n in (1, 2, 3)]
    gas = [Point(code, Factor(code, "Rtd"), unit="m/s") for code in ("a01011", "a01012")]
    site = Site(replace(PLAIN, points=(*tariffs, *gas)))
    heard = {"a01011-Rtd": "7.0", "a01011-Flag": "C", "a01012-Rtd": "x", "a01012-Flag": "N"}
    answers = (
        BlockAnswer(DataBlock("0001FF00", tuple(tariffs)), bytes.fromhex("10000000 06000000"), 0),
        BlockAnswer(MessageBlock("CN 2011", tuple(gas)), heard, 0),
    )
    site.poller.poll(Poll(METER, 0, answers))
    reading = site.finished[-1].reading
    assert reading is not None
    assert [(v.name, v.value, v.quality) for v in reading.values] == [
        ("t1", Decimal("0.10"), 0),
        ("t2", Decimal("0.06"), 0),
        ("t3", None, Q.NOT_FOUND),
        ("a01011", Decimal("7.0"), Q.CALIBRATING),
        ("a01012", None, Q.DECODE_ERR),
    ]


def test_a_late_message_leaves_what_is_remembered_of_counters_and_stillness_alone() -> None:
    """An upload after an outage tells of lower stands than those that are known, and of values of long ago."""
    site = Site()
    site.poll(registers(energy=70_000))
    for energy in (69_000, 69_500, 75_000_000):
        values = site.poll(registers(energy=energy, power=20), flags=Q.LATE)
        assert values["energy"].quality == Q.LATE, "no reset, and no jump"
        assert values["power"].quality == Q.LATE | Q.RANGE_HIGH, "a limit holds at any time"
    values = site.poll(registers(energy=70_001))
    assert values["energy"].quality == 0


def test_late_messages_neither_freeze_a_lively_value_nor_show_that_it_moves() -> None:
    site = Site()
    for late in (0, 0, 0, 0, 0, Q.LATE, Q.LATE, 0):
        site.machine.passes(15.0)
        values = site.poll(
            registers(voltage=230.0 if not late else 231.0 + site.machine.clock().now_ms() % 7), flags=late
        )
    assert values["voltage"].quality & Q.FROZEN
    fresh = Site(SITE)
    for n in range(3):
        fresh.poll(registers(updates=n))
    fresh.machine.passes(60.0)
    assert not fresh.poll(registers(updates=9), flags=Q.LATE)["voltage"].quality & Q.STALE
    assert fresh.poll(registers(updates=2))["voltage"].quality & Q.STALE, "what a late one said did not count"
