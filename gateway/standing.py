"""Standing of a meter: whether it gives what it should. One rule for the pages' headline, `status` and the service
manager, so that none of them says "normal" where another one counts meters that give nothing. Pure.
"""

from __future__ import annotations

from enum import StrEnum

LATE_PERIODS, LATE_MS = 3, 5_000
"""A newest reading is late if it is older than this many periods and this many ms."""
SILENT_PERIODS = 2
"""A meter is silent after this many periods of polls without a reading."""
FIRST_MS = 10_000
"""How long the first reading after a start may take, unless the silence of a meter is longer."""


class Standing(StrEnum):
    """``well``: it was read in time. ``asleep``: it may be silent at night, and is. ``starting``: the first poll since
    the start is not over yet, or not by long. ``silent``: it gives no reading, for whatever reason."""

    WELL = "well"
    ASLEEP = "asleep"
    STARTING = "starting"
    SILENT = "silent"


def is_late(age_ms: int, every_ms: int) -> bool:
    """Whether a meter that is read every ``every_ms`` owes a reading for longer than chance explains."""
    return age_ms > LATE_PERIODS * every_ms + LATE_MS


def standing(
    last_ms: int | None, silent_since_ms: int | None, reason: str | None, every_ms: int, now_ms: int
) -> Standing:
    """How a meter stands.

    Args:
        last_ms: time of its newest reading; None: none was read since the start.
        silent_since_ms: due time of the first of the polls in a row that gave none; None: the last one did.
        reason: why the last one did not.
        every_ms: its period.
        now_ms: the time now, among record times.
    """
    silent_ms = 0 if silent_since_ms is None else now_ms - silent_since_ms
    if silent_since_ms is not None and reason == "asleep":
        return Standing.ASLEEP
    if last_ms is None:
        return Standing.SILENT if silent_ms > max(SILENT_PERIODS * every_ms, FIRST_MS) else Standing.STARTING
    if is_late(now_ms - last_ms, every_ms) or silent_ms > SILENT_PERIODS * every_ms:
        return Standing.SILENT
    return Standing.WELL
