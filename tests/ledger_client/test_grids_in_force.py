"""Many grids: those in force, found by bisection, count as ``due_by`` does."""

from __future__ import annotations

import random

import pytest

from ledger_client.recording_grid import Grid, GridsInForce, due_by
from ledger_client.recording_series import series_count


def in_force(grids: list[Grid], time_ms: int) -> int | None:
    return next((n for n in reversed(range(len(grids))) if grids[n][0] <= time_ms), None)


@pytest.mark.parametrize("seed", range(8))
def test_grids_in_force_count_as_each_of_them(seed: int) -> None:
    chance, grids, made = random.Random(seed), list[Grid](), GridsInForce()
    for _ in range(40):
        grids.append((chance.randint(0, 300), chance.choice((0, 0, 1, 7, 30, 90))))
        made.add(grids[-1])
        assert made.first == grids[0]
        for _ in range(6):
            from_ms, to_ms = chance.randint(0, 330), chance.randint(0, 330)
            assert made.due(from_ms, to_ms) == due_by(grids, from_ms, to_ms)
            assert made.place_at(from_ms) == in_force(grids, from_ms)
            last = made.last_due(to_ms)
            dues = [(t, in_force(grids, t)) for t in range(to_ms) if due_by(grids, t, t + 1)]
            assert last == ((dues[-1][1], dues[-1][0]) if dues else None)
            coming = (t for t in range(from_ms, 500) if due_by(grids, t, t + 1))
            assert made.next_due(from_ms) == next(coming, None)
            if from_ms <= to_ms:
                few, all_ = (series_count(some, from_ms, ()) for some in (made.over(from_ms, to_ms), grids))
                assert few.ends(to_ms) == all_.ends(to_ms)
                assert (few.missed, few.last_ms) == (all_.missed, all_.last_ms)


def test_without_grids_nothing_is_due() -> None:
    made = GridsInForce()
    assert made.next_due(0) is None
    assert (made.due(0, 10), made.last_due(10), made.place_at(10), made.over(0, 10), made.first) == (
        0,
        None,
        None,
        [],
        None,
    )
