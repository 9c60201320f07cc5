"""The verdict on a value by its quality flags: good, uncertain, substituted, bad or missing. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache, reduce
from operator import and_
from typing import Literal

from ledger_client.formats.senml import Quality, Value

Verdict = Literal["good", "uncertain", "substituted", "bad", "missing"]


VERDICTS: tuple[Verdict, ...] = ("good", "uncertain", "substituted", "bad", "missing")
"""From the best to the worst; several flags give the worst of their verdicts."""


VERDICT_OF: Mapping[Quality, Verdict] = {
    Quality.COMM_FAIL: "missing",
    Quality.DECODE_ERR: "bad",
    Quality.NOT_FOUND: "missing",
    Quality.DEVICE_FAULT: "bad",
    Quality.STALE: "uncertain",
    Quality.FROZEN: "uncertain",
    Quality.RANGE_HIGH: "bad",
    Quality.RANGE_LOW: "bad",
    Quality.CAL_RANGE: "uncertain",
    Quality.MAINTENANCE: "bad",
    Quality.CALIBRATING: "bad",
    Quality.STOPPED: "missing",
    Quality.MANUAL: "uncertain",
    Quality.SUBSTITUTED: "substituted",
    Quality.OUT_OF_CONTROL: "bad",
    Quality.CAL_OVERDUE: "uncertain",
    Quality.ROLLOVER: "good",
    Quality.COUNTER_RESET: "bad",
    Quality.METER_EXCHANGED: "bad",
    Quality.TAMPER: "bad",
    Quality.IMPLAUSIBLE: "uncertain",
    Quality.CLOCK_UNSYNC: "uncertain",
    Quality.CLOCK_STEP: "uncertain",
    Quality.LATE: "good",
    Quality.CACHED: "uncertain",
    Quality.SHARED_LINE: "uncertain",
    Quality.IDENTITY_UNPROVEN: "uncertain",
    Quality.CONFIG_CHANGED: "uncertain",
    Quality.BLOCKED: "bad",
    Quality.NOT_ASKED: "missing",
}


_KNOWN = sum(VERDICT_OF)


@lru_cache(4096)  # of thousands of values a second, and few of them different
def verdict(flags: int) -> Verdict:
    """The verdict on a value with these flags: the worst of its flags' verdicts; a bit that is not known is bad."""
    found: set[Verdict] = {found for flag, found in VERDICT_OF.items() if flags & flag}
    if flags & ~_KNOWN:
        found.add("bad")
    return max(found, key=VERDICTS.index, default="good")


def worst(flags: Iterable[int]) -> Verdict:
    """The worst verdict on some values with these flags; "missing" where there are none."""
    return max(map(verdict, set(flags)), key=VERDICTS.index, default="missing")


def shared_flags(found: Sequence[Value]) -> int:
    """The quality bits that all of some values have: said once."""
    return reduce(and_, (value.quality for value in found)) if len(found) > 1 else 0
