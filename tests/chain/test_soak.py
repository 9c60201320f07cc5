"""Everything goes wrong at once, in short; and that the soak's books see what they are there for."""

from __future__ import annotations

import json

from benchmarks import soak
from benchmarks.parts.soak_books import Poll, count_uncounted, match
from ledger_client.record import Coverage, Reading, Value

SECONDS, SEED = 20.0, 20261125


def test_faults_of_everything_at_once_lose_double_fork_and_skip_nothing() -> None:
    figures = soak.run(seconds=SECONDS, seed=SEED)
    wrong = ("lost", "duplicated", "forked", "untiled", "unverified")
    assert {name: figures[name] for name in wrong} == dict.fromkeys(wrong, 0), json.dumps(figures)
    assert figures["anchored"] == dict.fromkeys(("http-ledger", "mqtt-ledger"), figures["batches"])
    assert (figures["fds_end"], figures["tasks_end"]) == (figures["fds_20pct"], figures["tasks_20pct"])
    assert int(str(figures["kills"])) >= 1
    assert int(str(figures["batches"])) >= 4
    assert int(str(figures["answers_checked"])) >= 10


def reading(second: int, power: float | None) -> Reading:
    return Reading(second * 1000, (Value("power", power, "W"), Value("energy", second, "Wh")))


def poll(second: int, power: float) -> Poll:
    return Poll(float(second), {"power": [power], "energy": [second], "serial_number": [7]})


ALL = Coverage(0, 10_000, 3, 3, {})
"""Says that nothing was missed."""


def test_an_answered_poll_that_no_reading_holds_is_lost_unless_something_admits_it() -> None:
    polls = [poll(second, 10.5 + second) for second in range(3)]
    first, second, third = polls
    whole = [reading(second, 10.5 + second) for second in range(3)]
    assert match([*whole, ALL], polls) == ([], 0)
    assert match([whole[0], whole[2], ALL], polls) == ([second], 0)
    assert match([whole[0], whole[1], ALL], polls) == ([third], 0)
    assert match([whole[0], whole[2], Coverage(0, 10_000, 3, 2, {"timeout": 1})], polls) == ([], 1)
    assert match([whole[0], reading(1, None), whole[2], ALL], polls) == ([], 1)
    assert match([whole[0], reading(1, 99.0), whole[2], ALL], polls) == ([second], 0)
    assert match([ALL], polls) == ([first, second, third], 0)


def test_of_polls_with_the_same_values_any_may_be_the_one_that_was_missed() -> None:
    polls = [Poll(float(second), {"power": [5.0]}) for second in range(3)] + [Poll(3.0, {"power": [6.0]})]
    same, other = Reading(1000, (Value("power", 5.0, "W"),)), Reading(9000, (Value("power", 6.0, "W"),))
    missed = Coverage(0, 1000, 1, 0, {"timeout": 1})
    assert match([missed, same, same, ALL, other, ALL], polls) == ([], 1)
    assert match([ALL, same, same, ALL, other, ALL], polls) == ([polls[2]], 0)


def test_a_late_poll_whose_answers_were_taken_for_two_is_heard_and_not_when_its_reading_is_gone() -> None:
    early = Poll(0.0, {"power": [5.0, 6.5], "energy": [1, 2]})  # its own, and the first block of the next
    late = Poll(1.8, {"power": [6.6], "volts": [231.5]})
    own = Reading(0, (Value("power", 5.0, "W"), Value("energy", 1, "Wh")))
    next_ = Reading(1700, (Value("power", 6.5, "W"), Value("energy", 2, "Wh"), Value("volts", 231.5, "V")))
    other = Reading(1700, (Value("power", 7.0, "W"), Value("energy", 3, "Wh"), Value("volts", 232.0, "V")))
    assert match([own, next_, ALL], [early, late]) == ([], 0)
    assert match([own, ALL], [early, late]) == ([late], 0)
    assert match([own, other, ALL], [early, late]) == ([late], 0)


def test_a_due_poll_that_is_neither_recorded_nor_missed_is_lost() -> None:
    assert count_uncounted([reading(1, 1.0), reading(2, 1.0), Coverage(0, 3000, 3, 2, {"timeout": 1})]) == 0
    assert count_uncounted([reading(1, 1.0), Coverage(0, 3000, 3, 2, {"timeout": 1})]) == 1
