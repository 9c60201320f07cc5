"""Backoff: exponentially growing pauses with jitter after repeated failures."""

from __future__ import annotations

import random

_MOST_DOUBLINGS = 20


def growing_s(first_s: float, longest_s: float, times: int) -> float:
    """Seconds to wait after failing ``times`` times in a row: ``first_s``, doubled with each, at most ``longest_s``.

    Shortened by chance by up to a half, so that those who failed together do not come back together.
    """
    return min(longest_s, first_s * 2.0 ** min(max(0, times - 1), _MOST_DOUBLINGS)) * random.uniform(0.5, 1.0)
