"""The gateway's clock beside a system clock that is set, lost and found again."""

from __future__ import annotations

from gateway.clock import APART_MS, BUILT_S, KernelClock, kernel_clock
from tests.support.samples import START_S, Machine


def test_a_synchronised_clock_says_so_with_its_error() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(10)
    assert (clock.now_ms(), clock.up_ms()) == ((START_S + 10) * 1000, 10_000)
    assert clock.letter() == ("S", 20)
    assert clock.ahead_ms() == 0


def test_a_clock_that_runs_free_informs_only() -> None:
    machine = Machine()
    machine.kernel = KernelClock(False, None)
    assert machine.clock().letter() == ("I", None)


def test_a_kernel_that_tells_no_error_is_still_synchronised() -> None:
    machine = Machine()
    machine.kernel = KernelClock(True, None)
    assert machine.clock().letter() == ("S", None)


def test_the_kernel_is_asked_once_a_second() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.kernel = KernelClock(True, 21)
    machine.passes(0.999)
    assert clock.letter() == ("S", 20)
    machine.passes(0.002)
    assert clock.letter() == ("S", 21)


def test_times_go_on_when_the_system_clock_is_set_and_the_clock_says_how_wrong_it_is() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.passes(10)
    machine.wall_ms -= 3_600_000
    assert clock.now_ms() == (START_S + 10) * 1000
    assert clock.ahead_ms() == -3_600_000
    assert clock.letter() == ("I", 3_600_020)
    machine.passes(10)
    assert clock.ahead_ms() == -3_600_000, "a step is seen once, the distance stays"


def test_a_small_distance_is_part_of_the_error_and_a_large_one_is_not_called_synchronised() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.wall_ms += APART_MS
    assert clock.letter() == ("S", 20 + APART_MS)
    machine.wall_ms += 1
    assert clock.letter() == ("I", 20 + APART_MS + 1)


def test_a_machine_that_wakes_up_in_the_past_goes_on_from_its_last_record_with_an_unknown_clock() -> None:
    machine = Machine()
    clock = machine.clock(not_before_ms=(START_S + 5) * 1000)
    assert (clock.usable, clock.started_ms, clock.letter()) == (False, (START_S + 5) * 1000, ("U", None))
    machine.passes(2)
    assert clock.now_ms() == (START_S + 7) * 1000


def test_a_clock_that_is_just_behind_the_last_record_is_caught_up_with() -> None:
    machine = Machine()
    clock = machine.clock(not_before_ms=START_S * 1000 + 500)
    slowed = clock.correction()
    assert slowed is not None
    clock.turn(slowed)
    machine.passes(5)
    dated = clock.correction()
    assert dated is not None
    assert dated.dates
    clock.turn(dated)
    assert clock.letter() == ("S", 20)


def test_a_clock_that_was_never_set_is_not_usable() -> None:
    machine = Machine()
    machine.wall_ms = 0
    assert machine.clock().started_ms == BUILT_S * 1000


def test_a_process_that_is_held_up_between_the_two_clocks_sees_no_step() -> None:
    machine = Machine()
    clock = machine.clock()
    machine.slow_reads = 3
    assert clock.ahead_ms() == 0


def test_the_kernel_is_asked_and_answers() -> None:
    state = kernel_clock()
    assert state.error_ms is None or state.error_ms >= 0
    assert state.synchronised or state.error_ms is None


UNSYNCHRONISED = KernelClock(False, None)


def test_an_hour_that_was_wrong_for_seconds_is_never_followed() -> None:
    machine = Machine()
    machine.kernel = UNSYNCHRONISED
    clock = machine.clock()
    for _ in range(3):  # it comes back: its minutes do not add up
        machine.wall_ms += 3_600_000
        for _ in range(59):
            assert clock.correction() is None
            assert clock.letter() == ("U", None)
            assert clock.doubted()
            machine.passes(1)
        machine.wall_ms -= 3_600_000
        assert clock.correction() is None
        assert clock.letter() == ("I", None)
        assert not clock.doubted()
    assert clock.now_ms() == machine.wall_ms


def test_a_step_forward_is_followed_when_it_has_stood_for_a_minute() -> None:
    machine = Machine()
    machine.kernel = UNSYNCHRONISED
    clock = machine.clock()
    machine.wall_ms += 3_600_000
    assert clock.correction() is None
    machine.passes(30)
    machine.wall_ms += 5_000  # another step: its minute begins
    assert clock.correction() is None
    machine.passes(59)
    assert clock.correction() is None
    machine.passes(1)
    change = clock.correction()
    assert change is not None
    clock.turn(change)
    assert clock.now_ms() == machine.wall_ms
    assert clock.letter() == ("I", None)


def test_a_step_forward_that_the_kernel_vouches_for_is_followed_at_once() -> None:
    machine = Machine()
    machine.kernel = UNSYNCHRONISED
    clock = machine.clock()
    clock.letter()
    machine.wall_ms += 3_600_000
    machine.kernel = KernelClock(True, 20)
    assert clock.correction() is not None, "it is asked anew, whatever it said less than a second ago"
    machine.kernel = UNSYNCHRONISED
    assert clock.correction() is None


def test_a_step_of_a_minute_or_less_is_followed_at_once() -> None:
    machine = Machine()
    machine.kernel = UNSYNCHRONISED
    clock = machine.clock()
    machine.wall_ms += 60_000
    assert clock.correction() is not None
    assert not clock.doubted()
