"""Recording grids: the number of polls due between two moments. Pure.

A grid is (begins, period), both in ms of record times: polls fall due at ``begins + k · period``; one of period 0 has
none. The gateway counts its coverage by them and an audit counts again: one arithmetic on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence

Grid = tuple[int, int]
"""Of the polls of a meter that are recorded: from which record time on they are due, and how far apart, in ms (0: none,
until the next grid begins)."""


def due_between(begins_ms: int, period_ms: int, from_ms: int, to_ms: int) -> int:
    """How many polls of one grid fall due in [from, to), none before it begins; a grid of period 0 has none."""
    low = max(from_ms, begins_ms)
    if to_ms <= low or period_ms == 0:
        return 0
    return -((begins_ms - to_ms) // period_ms) - -((begins_ms - low) // period_ms)


def last_due(grids: Sequence[Grid], before_ms: int) -> tuple[int, int] | None:
    """By which of the grids, as in ``due_by``, the last poll before a moment fell due, and when; None: none did."""
    end_ms = before_ms
    for place in reversed(range(len(grids))):
        begins_ms, period_ms = grids[place]
        if begins_ms < end_ms and period_ms:
            return place, begins_ms + (end_ms - 1 - begins_ms) // period_ms * period_ms
        end_ms = min(end_ms, begins_ms)
    return None


def due_by(grids: Sequence[Grid], from_ms: int, to_ms: int) -> int:
    """How many polls fall due in [from, to) by grids in the order in which they were noted, each of which counts until
    any later one begins: an epoch may be killed before a grid that it had noted has begun."""
    due, end_ms = 0, to_ms
    for begins_ms, period_ms in reversed(grids):
        due += due_between(begins_ms, period_ms, from_ms, end_ms)
        end_ms = min(end_ms, begins_ms)
    return due
