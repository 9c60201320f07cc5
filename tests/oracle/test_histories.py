"""Random histories give the same bytes by both implementations, and no Wh of a total is lost (I8)."""

from __future__ import annotations

# not quick: stacks of the oracle, 1 s of CPU
from collections.abc import Iterator
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.oracle.basics import Row
from tests.oracle.comparison import compare, first_difference, lost
from tests.oracle.histories import history, stack

SEEDS = st.integers(0, 2**32)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(SEEDS)
def test_counters_come_out_alike(seed: int) -> None:
    made = history(Random(seed))
    found = compare(made)
    assert first_difference(found) is None
    assert lost(made, found) == []


@settings(max_examples=12, deadline=None, derandomize=True)
@given(SEEDS)
def test_stacks_come_out_alike(seed: int) -> None:
    assert first_difference(compare(stack(Random(seed)))) is None


@pytest.mark.parametrize("word", ["wrap", "bridged", "unknown"])
def test_every_jump_is_met(word: str) -> None:
    """The histories are of what they are to be of."""
    assert any(f'"{word}"' in _text_of(seed) for seed in range(120))


def test_analyses_are_met() -> None:
    """Several rows of one fuel, some without an analysis."""
    assert any(len(rows) > 1 for rows in _boilers())
    assert any(row.status == "missing" for rows in _boilers() for row in rows)


def _boilers() -> Iterator[list[Row]]:
    """Rows of a fuel, of one history after the other; whoever has found what they look for stops."""
    for seed in range(300):
        yield [row for row in compare(history(Random(seed))).oracle.plain if row.node == "boiler"]


def _text_of(seed: int) -> str:
    rows = compare(history(Random(seed))).oracle.plain
    return " ".join(f'"{jump[1]}"' for row in rows for jump in row.facts.get("jumps", ()))


def test_a_fuel_burnt_at_a_standstill_is_met() -> None:
    """Likewise; one that a stack with values below its threshold has, too."""
    stacks = [compare(stack(Random(seed))).oracle for seed in (35, 56)]
    assert any("stopped-but-emitting" in made.fields["findings"] for made in stacks)
    assert any(row.facts.get("reason") == "below-threshold" for made in stacks for row in made.plain)
