"""Everything goes wrong at once, in short; and that the soak's books see what they are there for."""

from __future__ import annotations

import json
from dataclasses import replace

from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Reading, Value
from tests.campaigns.endurance import soak
from tests.campaigns.endurance.soak_books import Answered, count_uncounted, match

SEED = 20261125


def test_faults_of_everything_lose_double_fork_and_skip_nothing() -> None:
    figures = soak.run(**soak.SMALLEST[0], seed=SEED)
    wrong = ("lost", "duplicated", "forked", "untiled", "unverified", "audit_findings")
    assert {name: figures[name] for name in wrong} == dict.fromkeys(wrong, 0), json.dumps(figures)
    assert figures["anchored"] == dict.fromkeys(("http-ledger", "mqtt-ledger"), figures["batches"])
    assert (figures["fds_end"], figures["tasks_end"]) == (figures["fds_20pct"], figures["tasks_20pct"])
    assert int(str(figures["kills"])) >= 1
    assert int(str(figures["batches"])) >= 4
    assert int(str(figures["answers_checked"])) >= 10


def reading(second: int, power: float | None) -> Reading:
    return Reading(second * 1000, (Value("power", power, "W"), Value("energy", second, "Wh")))


def answered(second: float, power: float, **more: object) -> Answered:
    return Answered(second, {"power": power, **more})


ALL = Coverage(0, 10_000, 3, 3, {})
"""Says that nothing was missed."""
AGAIN_S = 0.5


def test_an_answer_that_no_reading_holds_is_lost_unless_something_admits_it() -> None:
    first, second, third = answers = [answered(n, 10.5 + n, energy=n, serial_number=7) for n in range(3)]
    whole = [reading(n, 10.5 + n) for n in range(3)]
    missed = Coverage(0, 10_000, 3, 2, {"timeout": 1})
    assert match([*whole, ALL], answers, AGAIN_S) == ([], 0)
    assert match([whole[0], whole[2], ALL], answers, AGAIN_S) == ([second], 0)
    assert match([whole[0], whole[1], ALL], answers, AGAIN_S) == ([third], 0)
    assert match([whole[0], whole[2], missed], answers, AGAIN_S) == ([], 1)
    assert match([whole[0], reading(1, None), whole[2], ALL], answers, AGAIN_S) == ([], 1)
    assert match([whole[0], reading(1, 99.0), whole[2], ALL], answers, AGAIN_S) == ([second], 0)
    assert match([ALL], answers, AGAIN_S) == ([first, second, third], 0)


def test_of_answers_with_the_same_values_any_may_be_the_one_that_was_missed() -> None:
    a, b = (Reading(0, (Value("power", power, "W"),)) for power in (5.0, 6.0))
    missed = Coverage(0, 1000, 1, 0, {"timeout": 1})
    answers = [answered(0, 6.0), answered(1, 5.0), answered(2, 5.0), answered(3, 7.0)]
    c = Reading(0, (Value("power", 7.0, "W"),))
    assert match([b, missed, a, ALL, c, ALL], answers, AGAIN_S) == ([], 0)
    assert match([b, ALL, c, missed], answers, AGAIN_S) == ([], 2)
    assert match([b, ALL, c, ALL], answers, AGAIN_S) == (answers[1:3], 0)


def test_a_disturbed_answer_whose_values_come_again_later_hides_nothing() -> None:
    answers = [
        answered(0, 10.0),
        replace(answered(2, 14.0), undisturbed=False),
        answered(4, 12.0),
        answered(6, 13.0),
        answered(8, 14.0),
    ]
    rows = [reading(0, power) for power in (10.0, 12.0, 13.0, 14.0)]
    assert match([*rows, ALL], answers, AGAIN_S) == ([], 0)
    assert match([rows[0], *rows[2:], ALL], answers, AGAIN_S) == (answers[2:3], 0)


def test_an_answer_that_a_second_look_replaced_is_not_missed() -> None:
    """The first of two looks at a counter is in the reading, with the block that came last."""
    answers = [
        answered(0, 5.0),
        answered(2, 6.5, energy=2),
        answered(2.3, 6.6, energy=2),
        Answered(2.6, {"volts": 231.5}),
        answered(4, 7.0),
    ]
    reading = Reading(0, (Value("power", 5.0, "W"),))
    next_ = Reading(2000, (Value("power", 6.5, "W"), Value("energy", 2, "Wh"), Value("volts", 231.5, "V")))
    last = Reading(4000, (Value("power", 7.0, "W"),))
    assert match([reading, next_, last, ALL], answers, AGAIN_S) == ([], 0)
    answers[1] = replace(answers[1], undisturbed=False)
    assert match([reading, next_, last, ALL], answers, AGAIN_S) == ([], 0)
    assert match([reading, last, ALL], answers, AGAIN_S) == (answers[2:3], 0)  # no reading has volts any more


def test_a_due_poll_that_is_neither_recorded_nor_missed_is_lost() -> None:
    assert count_uncounted([reading(1, 1.0), reading(2, 1.0), Coverage(0, 3000, 3, 2, {"timeout": 1})]) == 0
    assert count_uncounted([reading(1, 1.0), Coverage(0, 3000, 3, 2, {"timeout": 1})]) == 1
