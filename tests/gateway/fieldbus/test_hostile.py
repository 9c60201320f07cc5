"""Meters, adapters and converters that misbehave: nothing of it is ever booked, and what is right still is."""

from __future__ import annotations

import pytest

from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.link import TWO_ANSWERS
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.hostile import POINTS, Case, Outcome, Outcomes
from tests.support.register_points import registers_of

Q = Quality

ONE_OF = """kind = "one-of"
[[fault.choice]]
kind = "late"
share = 0.2
delay_ms = 100
[[fault.choice]]
kind = "lost"
share = 0.1
[[fault.choice]]
kind = "doubled"
share = 0.1
delay_ms = 80
[[fault.choice]]
kind = "corrupted"
share = 0.1
"""
STRANGER = """emulate = false
[[bus.disturb]]
kind = "second-master"
unit = 2
fc = 4
address = 30
count = 6
every_ms = 70
"""
OUR_SHAPES = "emulate = false" + "".join(
    f"""
[[bus.disturb]]
kind = "second-master"
unit = 1
fc = 4
address = {address}
count = {count}
every_ms = {every_ms}
"""
    for address, count, every_ms in [(4, 74, 70), (4, 76, 90), (2, 78, 110), (0, 80, 130)]
)
"""Every length in which the block of this meter can be read as a whole, from other addresses where there are any."""
NOISE = """emulate = false
[[bus.disturb]]
kind = "noise"
size = 3
every_ms = 90
"""


def flagged(outcome: Outcome) -> bool:
    return any(poll.flags & Q.SHARED_LINE and poll.answers for poll in outcome.polls)


def read(outcome: Outcome) -> list[Poll]:
    """Polls that had every point while the other master was known."""
    return [
        poll
        for poll in outcome.answered
        if poll.flags & Q.SHARED_LINE and {p.name for a in poll.answers for p in a.block.points} == set(POINTS)
    ]


def whole(outcome: Outcome) -> bool:
    return len(read(outcome)) >= 5


def twice(outcome: Outcome) -> list[Poll]:
    """Polls in which the counter's block was read two times."""
    return [
        poll
        for poll in outcome.answered
        if sum(p.name == "energy_import" for a in poll.answers for p in a.block.points) == 2
    ]


def half(kind: str, more: str = "") -> str:
    return f'kind = "{kind}"\nevery = 2\n{more}'


CASES = [
    Case("late", half("late", "delay_ms = 100")),
    Case("lost", half("lost")),
    Case("doubled-late", half("doubled", "delay_ms = 80")),
    Case("doubled-soon", half("doubled", "delay_ms = 0")),
    Case("truncated", half("truncated")),
    Case("corrupted", half("corrupted")),
    Case("glued", 'kind = "glued"'),
    *(Case(k, half(k)) for k in ("wrong-unit", "wrong-function", "wrong-count", "wrong-byte-count", "wrong-exception")),
    Case("exception", half("exception")),
    Case("noise-before", half("noise-before")),
    Case("noise", bus=NOISE),
    Case("echo", bus="emulate = false\necho = true"),
    Case("split", 'kind = "split"\ngap_ms = 0.2'),
    Case("lone-byte", 'kind = "lone-byte"'),
    Case("usb-batches", bus="batch_ms = 16", baudrate=38400, timeout_ms=500, life_ms=1000, period_ms=400),
    Case("line-speed", bus="", baudrate=9600, timeout_ms=500, life_ms=1000, period_ms=400),
    Case("second-master", bus=STRANGER, until=flagged),
    Case("our-shapes", bus=OUR_SHAPES, period_ms=500, until=whole),
    Case("shifted", 'kind = "shifted"', type="modbus-tcp", until=lambda outcome: len(outcome.polls) >= 10),
    Case("shifted-rtu", 'kind = "shifted"', until=lambda outcome: len(outcome.polls) >= 10),
    Case("tcp-late", half("late", "delay_ms = 100"), type="modbus-tcp"),
    Case("tcp-wrong-unit", half("wrong-unit"), type="modbus-tcp"),
    # every second one would fall on who it is, which each new connection is asked behind its first block
    Case("tcp-wrong-count", 'kind = "wrong-count"\nevery = 3', type="modbus-tcp"),
    Case("device-server", ONE_OF, type="modbus-rtu-over-tcp"),
    Case("memory", 'kind = "cached"\nage_ms = 1000', type="modbus-tcp", profile={"concentrator": True}),
    Case("torn", half("torn") + '[[fault]]\nmeter = "torn"\nkind = "slow-update"'),
    Case("reboots", 'kind = "reboots"\npause_ms = 50', timeout_ms=2000, profile={"pause_ms": 250}, period_ms=1200),
    Case("night", 'kind = "zero-counters"\nevery = 3', until=lambda outcome: len(twice(outcome)) >= 2),
]


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> Outcomes:
    return Outcomes(CASES, tmp_path_factory.mktemp("hostile"))


@pytest.mark.parametrize("name", [case.name for case in CASES])
def test_nothing_but_the_answer_to_its_own_question_is_booked(outcomes: Outcomes, name: str) -> None:
    outcome = outcomes[name]
    if name != "torn":  # words of two moments look like any others; of counters the poller takes a second look
        assert outcome.unbelievable() == []
    dues = [poll.due_ms for poll in outcome.polls]
    assert dues == [dues[0] + k * outcome.period_ms for k in range(len(dues))], "every due poll once"


@pytest.mark.parametrize("name", ["late", "doubled-late", "device-server", "glued"])
def test_late_answers_are_known_for_what_they_are(outcomes: Outcomes, name: str) -> None:
    assert outcomes[name].counters["late"] + outcomes[name].counters["doubled"] > 0


def test_two_answers_to_one_question_void_both(outcomes: Outcomes) -> None:
    assert outcomes["doubled-soon"].counters["doubled"] > 0
    failures = [f.detail for poll in outcomes["doubled-soon"].polls for f in poll.failures]
    assert TWO_ANSWERS in failures + [p.detail for p in outcomes["doubled-soon"].polls]


def test_a_converter_that_is_one_answer_behind_is_never_believed(outcomes: Outcomes) -> None:
    for name in ("shifted", "shifted-rtu"):
        assert outcomes[name].answered == []
        assert outcomes[name].counters["late"] > 0


def test_noise_and_damage_are_counted_and_alarmed(outcomes: Outcomes) -> None:
    assert outcomes["corrupted"].counters["damaged"] > 0
    assert any(alarm.code == "crc-rate" for alarm in outcomes["corrupted"].alarms)
    assert outcomes["noise"].counters["noise"] + outcomes["noise-before"].counters["noise"] > 0
    echo = outcomes["echo"]  # of a request that a busy machine gives up the echo may come late, and is nobody's then
    assert echo.counters["noise"] == 0
    assert 4 * echo.counters["foreign"] < len(echo.polls)


def test_a_second_master_is_an_alarm(outcomes: Outcomes) -> None:
    (alarm,) = [alarm for alarm in outcomes["second-master"].alarms if alarm.code == "stranger"]
    assert alarm.raised


def test_a_second_master_that_takes_all_lengths_of_a_block_is_answered_by_another_cut(
    outcomes: Outcomes,
) -> None:
    assert len(read(outcomes["our-shapes"])[-1].answers) == 2


def test_an_exception_is_an_answer_and_one_of_another_function_is_not(outcomes: Outcomes) -> None:
    codes = {(f.refused and f.refused.code) for poll in outcomes["exception"].polls for f in poll.failures}
    assert 6 in codes
    other = outcomes["wrong-exception"]
    assert {(f.refused and f.refused.code) for poll in other.polls for f in poll.failures} <= {None}


def test_a_concentrator_that_answers_from_memory_is_flagged(outcomes: Outcomes) -> None:
    values = outcomes["memory"].values("voltage_ln_l1")
    assert values
    assert all(value.quality & Q.CACHED for value in values)


def test_the_pause_of_its_profile_keeps_a_device_from_rebooting(outcomes: Outcomes) -> None:
    assert outcomes["reboots"].missed["timeout"] == 0
    assert not any(poll.failures for poll in outcomes["reboots"].polls)


def test_a_counter_that_shows_0_is_read_again_at_once_and_never_recorded_as_0(outcomes: Outcomes) -> None:
    night = outcomes["night"]
    values = [value.value for value in night.values("energy_import")]
    assert values[0] in (0.0, 4711.0), "nothing is known of it before"
    # Where a loaded machine left no time for the second look there is no value and a flag: never a 0.
    assert set(values[values.index(4711.0) :]) <= {4711.0, None}
    assert [value.value for value in night.values("energy_import.first")] != []
    for poll in twice(night):
        first, second = (a for a in poll.answers if any(p.name == "energy_import" for p in a.block.points))
        assert registers_of(first.block).shape != registers_of(second.block).shape
        assert first.completed_ms <= second.completed_ms
