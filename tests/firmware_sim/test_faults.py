"""Each fault does what it says, on the answers of one device, without a wire."""

from __future__ import annotations

import random
import struct
from collections import Counter

import pytest

from firmware_sim.meters import pdu as frames
from firmware_sim.meters.answer_faults import (
    KINDS,
    Cached,
    Corrupted,
    Dead,
    Doubled,
    Exceptional,
    Fault,
    Frozen,
    Glued,
    Late,
    LoneByte,
    Lost,
    NoiseBefore,
    OtherSerial,
    Reboots,
    Shifted,
    SlowUpdate,
    Split,
    Strike,
    Torn,
    Truncated,
    WrongByteCount,
    WrongCount,
    WrongException,
    WrongFunction,
    WrongUnit,
    ZeroCounters,
)
from firmware_sim.meters.armed import Armed, Choice, When
from firmware_sim.meters.device import Device, Outcome
from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.plant.model import Plant, PlantSpec
from gateway.devices.profile import load_profile

PLANT = Plant(PlantSpec(seed=4))
VOLTAGES = bytes.fromhex("0400000006")
COUNTERS = bytes.fromhex("0400480004")
SERIAL = bytes.fromhex("03fc000002")


def device(*faults: Fault | Armed) -> Device:
    spec = MeterSpec("m", load_profile("eastron-sdm630"), 1, serial="21043387", start_wh=(1e6, 2e6))
    armed = [f if isinstance(f, Armed) else Armed.of("fault", f, When(), "seed") for f in faults]
    return Device(Meter(spec, PLANT), armed)


def ask(asked: Device, pdu: bytes = VOLTAGES, t_ms: int = 10_000) -> Outcome:
    return asked.ask(1, pdu, t_ms, frames.rtu)


def right(pdu: bytes = VOLTAGES, t_ms: int = 10_000) -> bytes:
    (delivery,) = ask(device(), pdu, t_ms).deliveries
    return delivery.data


def only(outcome: Outcome) -> bytes:
    (delivery,) = outcome.deliveries
    return delivery.data


def pdu_of(outcome: Outcome) -> bytes:
    """The PDU of an answer whose frame must be right."""
    data = only(outcome)
    assert frames.rtu(data[0], data[1:-2]) == data
    assert outcome.deliveries[0].values == {}
    return data[1:-2]


def test_a_healthy_device_answers_rightly() -> None:
    outcome = ask(device())
    data = only(outcome)
    assert data[:3] == bytes([1, 4, 12])
    assert outcome.faults == ()
    assert list(outcome.deliveries[0].values) == ["voltage_ln_l1", "voltage_ln_l2", "voltage_ln_l3"]


def test_dead_and_lost_give_nothing() -> None:
    assert ask(device(Dead())).deliveries == ()
    assert ask(device(Lost())).deliveries == ()
    assert ask(device(Lost())).faults == ("fault",)


def test_a_device_that_reboots_when_it_is_asked_too_soon() -> None:
    asked = device(Reboots(pause_ms=500, silent_ms=3000))
    heard = [bool(ask(asked, t_ms=t).deliveries) for t in (0, 600, 1000, 2000, 3900, 4000, 4600)]
    assert heard == [True, True, False, False, False, True, True]


def test_answers_of_another_moment() -> None:
    assert only(ask(device(Cached(age_ms=4000)))) == right(t_ms=6000)
    assert only(ask(device(SlowUpdate(every_ms=500)), t_ms=10_777)) == right(t_ms=10_500)
    frozen = device(Frozen())
    assert only(ask(frozen)) == only(ask(frozen, t_ms=30_000)) == right()
    assert ask(frozen, t_ms=30_000).deliveries[0].values == ask(device()).deliveries[0].values


def test_torn_words_mix_two_moments() -> None:
    data, new, old = only(ask(device(Torn(age_ms=500)))), right(), right(t_ms=9500)
    assert data[3:5] + data[7:9] == new[3:5] + new[7:9]
    assert data[5:7] + data[9:11] == old[5:7] + old[9:11]
    shown = ask(device(Torn(age_ms=500))).deliveries[0].values
    assert list(shown.values()) == list(struct.unpack(f">{len(shown)}f", data[3 : 3 + 4 * len(shown)]))
    assert list(shown) == ["voltage_ln_l1", "voltage_ln_l2", "voltage_ln_l3"]


def test_values_that_lie() -> None:
    zeros = ask(device(ZeroCounters()), COUNTERS).deliveries[0]
    assert zeros.values == {"energy_import": 0.0, "energy_export": 0.0}
    assert zeros.data[3:11] == bytes(8)
    assert only(ask(device(ZeroCounters()))) == right()
    assert ask(device(OtherSerial(serial="77")), SERIAL).deliveries[0].values == {"serial_number": 77}
    assert only(ask(device(OtherSerial(serial="77")))) == right()


def test_answers_that_do_not_belong_to_the_request() -> None:
    pdu = right()[1:-2]
    assert pdu_of(ask(device(Exceptional(code=6)))) == bytes([0x84, 6])
    assert ask(device(Exceptional(code=6))).exception == 6
    assert pdu_of(ask(device(WrongException()))) == bytes([0x81, 2])
    assert pdu_of(ask(device(WrongUnit()))) == pdu
    assert only(ask(device(WrongUnit())))[0] == 2
    assert pdu_of(ask(device(WrongFunction()))) == b"\x03" + pdu[1:]
    assert pdu_of(ask(device(WrongCount(registers=-1)))) == bytes([4, 10]) + pdu[2:12]
    assert pdu_of(ask(device(WrongCount(registers=2)))) == bytes([4, 16]) + pdu[2:] + bytes(4)
    assert pdu_of(ask(device(WrongByteCount()))) == bytes([4, 14]) + pdu[2:]


def test_shifted_answers_every_question_with_the_answer_before() -> None:
    asked = device(Shifted())
    assert only(ask(asked)) == right()
    assert only(ask(asked, COUNTERS)) == right()
    assert only(ask(asked)) == right(COUNTERS)


def test_what_is_repeated_is_the_answer_before_whether_the_fault_struck_it_or_not() -> None:
    questions = (VOLTAGES, COUNTERS, SERIAL, VOLTAGES)
    shifted = device(Armed.of("shifted", Shifted(), When(every=2), "s"))
    assert [only(ask(shifted, pdu)) for pdu in questions] == [right(), right(), right(SERIAL), right(SERIAL)]
    glued = device(Armed.of("glued", Glued(), When(every=2), "s"))
    assert [only(ask(glued, pdu)) for pdu in questions] == [
        right(),
        right(COUNTERS) + right(),
        right(SERIAL),
        right() + right(SERIAL),
    ]
    lost = device(Armed.of("lost", Lost(), When(to_ms=1), "s"), Armed.of("glued", Glued(), When(from_ms=1), "s"))
    assert ask(lost, COUNTERS, 0).deliveries == ()
    assert only(ask(lost)) == right() + right(COUNTERS, 0)  # what a converter holds back comes with the next answer


def test_late_and_doubled_answers_stay_right() -> None:
    (late,) = ask(device(Late(delay_ms=700))).deliveries
    assert (late.after_ms, late.data, bool(late.values)) == (700, right(), True)
    (spread,) = ask(device(Late(delay_ms=20, most_ms=60))).deliveries
    assert 20 < spread.after_ms < 60
    first, second = ask(device(Doubled(delay_ms=30))).deliveries
    assert (first.after_ms, second.after_ms) == (0, 30)
    assert first.data == second.data == right()


def test_damaged_frames_promise_no_values() -> None:
    frame = right()
    (corrupted,) = ask(device(Corrupted())).deliveries
    flipped = int.from_bytes(corrupted.data, "big") ^ int.from_bytes(frame, "big")
    assert flipped.bit_count() == 1
    (truncated,) = ask(device(Truncated(missing=3))).deliveries
    assert truncated.data == frame[:-3]
    (noisy,) = ask(device(NoiseBefore(size=3))).deliveries
    assert noisy.data[3:] == frame
    glued = device(Glued())
    assert only(ask(glued)) == frame
    (second,) = ask(glued, COUNTERS).deliveries
    assert second.data == right(COUNTERS) + frame
    assert corrupted.values == truncated.values == noisy.values == second.values == {}


def test_frames_that_arrive_oddly_stay_right() -> None:
    (lone,) = ask(device(LoneByte(byte=0xFF))).deliveries
    assert lone.data == b"\xff" + right()
    (split,) = ask(device(Split(size=2, gap_ms=3))).deliveries
    assert (split.data, split.piece, split.gap_ms) == (right(), 2, 3)
    assert lone.values == split.values != {}


def test_faults_add_up_in_the_order_of_the_scenario() -> None:
    outcome = ask(device(Doubled(delay_ms=5), Late(delay_ms=100), Truncated(missing=1)))
    assert [d.after_ms for d in outcome.deliveries] == [100, 105]
    assert {d.data for d in outcome.deliveries} == {right()[:-1]}


def test_a_fault_keeps_to_its_time_and_its_turn() -> None:
    window = device(Armed.of("dead", Dead(), When(from_ms=5000, to_ms=8000), "s"))
    assert [bool(ask(window, t_ms=t).deliveries) for t in (0, 4999, 5000, 7999, 8000)] == [
        True,
        True,
        False,
        False,
        True,
    ]
    third = device(Armed.of("dead", Dead(), When(every=3), "s"))
    assert [bool(ask(third).deliveries) for _ in range(6)] == [True, True, False, True, True, False]


def test_a_share_of_the_requests_is_drawn_by_the_seed() -> None:
    def struck(seed: str) -> list[bool]:
        asked = device(Armed.of("lost", Lost(), When(share=0.3), seed))
        return [not ask(asked, SERIAL, 0).deliveries for _ in range(400)]

    assert struck("a") == struck("a") != struck("b")
    assert 80 < sum(struck("a")) < 160


def test_the_same_seed_gives_the_same_bytes() -> None:
    def run() -> list[Outcome]:
        spread = Armed.of("late", Late(delay_ms=1, most_ms=90), When(share=0.5), "7/0")
        asked = device(spread, Armed.of("noise-before", NoiseBefore(), When(every=2), "7/1"))
        return [ask(asked, pdu, t) for t in range(0, 5000, 250) for pdu in (VOLTAGES, COUNTERS)]

    assert run() == run()


@pytest.mark.parametrize("pdu", ["0400000051", "0600000001", "2b0e0100", "04000000"])
def test_faults_bear_any_request(pdu: str) -> None:
    """Exceptions, writes, unknown functions and short requests through every kind of fault."""
    for kind in KINDS.values():
        fault = kind(serial="1") if kind is OtherSerial else kind()
        for _ in range(2):
            assert ask(device(fault), bytes.fromhex(pdu)).asked.pdu == bytes.fromhex(pdu)


def test_a_write_is_refused_whatever_it_writes() -> None:
    outcome = ask(device(), bytes.fromhex("0600000001"))
    assert only(outcome)[1:-2] == bytes([0x86, 1])
    assert outcome.exception == 1
    assert pdu_of(ask(device(), bytes.fromhex("0400000051"))) == bytes([0x84, 3])


def test_a_fault_that_does_nothing_does_nothing() -> None:
    rng = random.Random(1)
    assert only(ask(device(Fault()))) == right()
    assert Fault().send([], Strike(rng)) == []


def test_of_several_faults_a_request_meets_one_at_most() -> None:
    mixed = Armed((Choice("late", Late(delay_ms=5), 0.3), Choice("lost", Lost(), 0.2)), When(), "7/0")
    asked = device(mixed)
    met = [ask(asked) for _ in range(2000)]
    names = Counter(outcome.faults for outcome in met)
    assert set(names) == {(), ("late",), ("lost",)}
    assert names["late",] == pytest.approx(600, abs=80)
    assert names["lost",] == pytest.approx(400, abs=80)
    assert all(len(outcome.deliveries) == (outcome.faults != ("lost",)) for outcome in met)


def test_a_fault_of_long_reads_leaves_short_ones_alone() -> None:
    forty, eighty, identity = (bytes.fromhex(text) for text in ("0400000028", "0400000050", "2b0e0100"))
    silent = device(Armed.of("dead", Dead(), When(above=40), "s"))
    assert only(ask(silent, forty)) == right(forty)
    assert ask(silent, eighty).deliveries == ()
    refuses = device(Armed.of("exception", Exceptional(code=2), When(above=79), "s"))
    assert pdu_of(ask(refuses, eighty)) == bytes([0x84, 2])
    assert only(ask(refuses, forty)) == right(forty)
    assert only(ask(refuses, identity)) == right(identity)


def test_what_is_true_is_known_of_each_answer_that_a_fault_struck() -> None:
    true = {"energy_import": 1000.0, "energy_export": 2000.0}
    assert ask(device(ZeroCounters()), COUNTERS, 0).true == true
    assert ask(device(Armed.of("lost", Lost(), When(from_ms=1), "s")), COUNTERS, 0).true == {}
    frozen = device(Frozen())
    ask(frozen, t_ms=0)
    assert ask(frozen).true == ask(device()).deliveries[0].values != ask(frozen).deliveries[0].values
    assert ask(device(Exceptional()), COUNTERS, 0).true == true
    assert ask(device(Exceptional()), bytes.fromhex("2b0e0100")).true == {}


def test_words_in_another_order_than_the_profile_says() -> None:
    spec = MeterSpec("m", load_profile("eastron-sdm630"), 1, serial="21043387", word_order="little")
    swapped = Device(Meter(spec, PLANT))
    for question in (VOLTAGES, SERIAL):
        words = [right(question)[3 + at : 5 + at] for at in range(0, 2 * question[-1], 2)]
        turned = b"".join(b + a for a, b in zip(words[::2], words[1::2], strict=True))
        assert only(ask(swapped, question))[3:-2] == turned
