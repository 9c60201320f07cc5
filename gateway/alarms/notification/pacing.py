"""Pacing of one receiver: how many messages may leave, and how long until a message is tried again. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MOST_AN_HOUR: Final = 20
HOUR_MS: Final = 3_600_000
DIGEST_EVERY_MS: Final = 600_000
"""Once so many have left within an hour, what is due leaves together, every ten minutes."""
CLEARED_WAITS_MS: Final = 30_000
"""How long a clearing waits for others, or for an alarm with which it goes."""
GIVE_UP_MS: Final = 24 * HOUR_MS
_PAUSES_S: Final = (5, 15, 30, 60, 120, 300)
_LAST_PAUSE_S: Final = 600


def is_digest(made_ms: Sequence[int], now_ms: int) -> bool:
    """Whether a message made now collects: 20 were made within the last hour. ``made_ms``: when each was made."""
    return sum(now_ms - HOUR_MS < made <= now_ms for made in made_ms) >= MOST_AN_HOUR


def may_leave_ms(made_ms: Sequence[int], now_ms: int) -> int:
    """When the next message may be made: now, or ten minutes behind the last one while it would be a digest."""
    if not is_digest(made_ms, now_ms):
        return now_ms
    hour_over_ms = sorted(made_ms)[-MOST_AN_HOUR] + HOUR_MS
    return max(now_ms, min(max(made_ms) + DIGEST_EVERY_MS, hour_over_ms))


def pause_ms(failures: int, retry_after_s: float | None = None) -> int:
    """How long a message waits behind so many failed attempts, at least as long as the other side asks for."""
    pause_s = _PAUSES_S[failures - 1] if failures <= len(_PAUSES_S) else _LAST_PAUSE_S
    return int(1000 * max(pause_s, retry_after_s or 0))
