"""A source that keeps another period than the configured one: found after five gaps, with the value to set."""

from __future__ import annotations

import random
from itertools import accumulate

from gateway.fieldbus.listening.interval import GAPS, Interval

EVERY = 60_000


def after(gaps: list[int], *, labelled: bool = False) -> int | None:
    found = Interval(EVERY)
    for at in accumulate(gaps, initial=1_000):
        found.heard(at, at if labelled else None)
    return found.instead_ms


def test_five_gaps_of_another_length_give_the_value_to_set() -> None:
    assert after([30_000] * (GAPS - 1)) is None
    assert after([30_000] * GAPS) == 30_000
    assert after([299_800, 300_100, 300_050, 299_900, 300_200]) == 300_000
    assert after([1_040] * GAPS) == 1_000
    assert after([1_980, 2_540, 2_470, 2_530, 2_500]) == 2_500


def test_gaps_within_a_quarter_of_the_period_are_the_period() -> None:
    rng = random.Random(3)
    assert after([EVERY + rng.randrange(-EVERY // 4, EVERY // 4) for _ in range(100)]) is None
    assert after([EVERY + EVERY // 4 + 1] * GAPS) == 75_000


def test_one_lost_message_among_many_is_no_other_period() -> None:
    assert after([30_000, 30_000, 30_000, 30_000, 60_000, 30_000]) is None


def test_it_ends_with_five_gaps_that_are_the_period() -> None:
    found = Interval(EVERY)
    for at in accumulate([30_000] * GAPS + [EVERY] * (GAPS - 1), initial=0):
        found.heard(at, None)
    assert found.instead_ms == 30_000
    found.heard(30_000 * GAPS + EVERY * GAPS, None)
    assert found.instead_ms is None


def test_messages_that_come_all_at_once_after_an_outage_are_judged_by_their_own_times() -> None:
    found = Interval(EVERY)
    for n in range(20):
        found.heard(5_000_000 + 10 * n, n * EVERY)
    assert found.instead_ms is None


def test_parts_of_one_message_and_old_ones_that_come_again_make_no_gap() -> None:
    found = Interval(EVERY)
    for n in range(20):
        for at in (n * EVERY, n * EVERY + 50):
            found.heard(at, n * EVERY)
        found.heard(n * EVERY + 60, max(0, n - 3) * EVERY)
    assert found.instead_ms is None
