"""Passive pairing against lines whose devices answer late: no pair is ever wrong, where naive pairing often is."""

from __future__ import annotations

# not quick: lines by chance, 2 s of CPU
import pytest

from gateway.fieldbus.modbus.frames import Request
from tests.gateway.fieldbus.modbus.overheard import listen, naive, overhear

LIFE, TIMEOUT = 3.0, 1.0
UNITS = [Request(unit, 4, address, count) for unit in (1, 2, 3) for address, count in ((0, 2), (100, 4))]
ONE_KEY = [Request(unit, 4, 0, 2) for unit in (1, 2, 3)]
FLOATS = [Request(1, 4, 2 * n, 2) for n in range(5)]
PATTERNS = {"two blocks of three units": UNITS, "one block of three units": ONE_KEY, "five floats of one unit": FLOATS}


@pytest.mark.parametrize("order", [True, False], ids=["in order", "in any order"])
@pytest.mark.parametrize("pattern", PATTERNS)
def test_no_pair_is_wrong(pattern: str, order: bool) -> None:
    wrong = taken = wrong_naive = 0
    for seed in range(6):
        chunks, _ = overhear(PATTERNS[pattern], 60.0, seed, late=0.1, damaged=0.01, life_s=LIFE, order=order)
        found, without = listen(chunks, LIFE, TIMEOUT), naive(chunks)
        wrong, taken, wrong_naive = wrong + found["wrong"], taken + found["taken"], wrong_naive + without["wrong"]
    assert wrong_naive > 0
    assert wrong == 0


@pytest.mark.parametrize("pattern", PATTERNS)
def test_a_line_without_faults_is_taken_whole(pattern: str) -> None:
    chunks, asked = overhear(PATTERNS[pattern], 20.0, 1, late=0.0, damaged=0.0, life_s=LIFE, order=True)
    found = listen(chunks, LIFE, TIMEOUT)
    assert found["wrong"] == 0
    assert asked > 1_000
    assert found["taken"] >= asked - 1


@pytest.mark.parametrize("order", [True, False], ids=["in order", "in any order"])
@pytest.mark.parametrize("pattern", ["two blocks of three units", "one block of three units"])
def test_where_answers_are_seldom_late_much_is_taken_and_nothing_wrong(pattern: str, order: bool) -> None:
    wrong = taken = asked = wrong_naive = 0
    for seed in range(4):
        chunks, questions = overhear(PATTERNS[pattern], 60.0, seed, late=0.002, damaged=0.002, life_s=LIFE, order=order)
        found = listen(chunks, LIFE, TIMEOUT)
        wrong, taken, asked = wrong + found["wrong"], taken + found["taken"], asked + questions
        wrong_naive += naive(chunks)["wrong"]
    assert wrong_naive > 0
    assert wrong == 0
    assert taken > 0.1 * asked
