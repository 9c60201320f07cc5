"""Which of many alarms at once are one: meters of a line, lines of a site. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

LEAST = 3
WINDOW_MS = 60_000
"""What falls silent within it has one cause."""


class Member(NamedTuple):
    """One that is silent: since when (ms), and whether it is now to be told, and was not yet."""

    name: str
    since_ms: int
    ripe: bool


def enough(count: int, all_: int | None) -> bool:
    """Whether so many silent ones are one: ``LEAST``, or all that there are (None: all count no more than others)."""
    return count >= LEAST or (all_ is not None and count == all_ >= 2)


def together(silent: Sequence[Member], all_: int | None, window_ms: int = WINDOW_MS) -> list[Member]:
    """Those of the silent that are to be told as one, oldest first; none while none of them is ripe.

    All that there are, whenever each fell silent; else ``LEAST`` or more that did within ``window_ms``.
    """
    found = sorted(silent, key=lambda one: one.since_ms)
    if len(found) == all_ and enough(len(found), all_):
        return found if any(one.ripe for one in found) else []
    best: list[Member] = []
    start = 0
    for end, one in enumerate(found):
        while one.since_ms - found[start].since_ms > window_ms:
            start += 1
        crowd = found[start : end + 1]
        if len(crowd) >= LEAST and len(crowd) > len(best) and any(member.ripe for member in crowd):
            best = crowd
    return best


def names(of: Sequence[str], most: int = 5) -> str:
    """Names in words: ``"a, b and 98 more"``."""
    if len(of) <= most:
        return ", ".join(of)
    return f"{', '.join(of[: most - 1])} and {len(of) - most + 1} more"
