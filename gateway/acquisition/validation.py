"""Validation: the quality flags that a value earns, and what is remembered of it between polls.

All pure. A flag may be added on the way from the wire to the record and never cleared: ``judge`` adds to what the poll
and the device's own status say. What it needs to know of the past comes in as ``Past`` and goes out as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from gateway.acquisition.counters import Look, Stand, book
from gateway.devices.blocks import Content
from gateway.devices.points import Point, Profile
from gateway.devices.scaling import recorded
from ledger_client.formats.senml import Number, Quality

FROZEN_AFTER_MS = 300_000
STILL_LOOKS = 5
"""Least number of equal values in a row after which a lively point counts as frozen."""


@dataclass(frozen=True, slots=True)
class Still:
    """Since when a point has shown the same, in how many looks; ``moved``: it was seen to change before that."""

    value: Content
    since_ms: int
    looks: int = 1
    moved: bool = False

    def next(self, value: Content, now_ms: int) -> Still:
        """After one more look; one that gave no value tells nothing."""
        if value is None:
            return self
        if value == self.value:
            return Still(self.value, self.since_ms, self.looks + 1, self.moved)
        return Still(value, now_ms, moved=True)


@dataclass(frozen=True, slots=True)
class Past:
    """What is remembered of one point from poll to poll: a counter's stand, a lively point's stillness."""

    stand: Stand | None = None
    still: Still | None = None


NOTHING = Past()


@dataclass(frozen=True, slots=True)
class Judged:
    """The value to record, when it was read, its flags; a second look at a counter with its own; what to remember."""

    value: Content
    time_ms: int
    flags: int
    past: Past
    other: Look | None = None
    other_flags: int = 0
    second_booked: bool = False


def earns(point: Point) -> bool:
    """Whether ``judge`` can have anything to say of this point's values but that there is none."""
    limited = point.low is not None or point.high is not None or (point.span is not None and bool(point.span.range))
    return point.kind == "counter" or point.lively or limited


def judge(
    point: Point,
    content: Content,
    now_ms: int,
    past: Past = NOTHING,
    *,
    second: Look | None = None,
    flags: int = 0,
    frozen_after_ms: int = FROZEN_AFTER_MS,
) -> Judged:
    """One value of one poll with all its flags.

    Args:
        now_ms: when it was read.
        past: what is remembered of the point.
        second: what another read of a counter right after this one gave (``counters.doubtful``).
        flags: those that the value has already.
        frozen_after_ms: how long a lively point may show the same value.
    """
    if not isinstance(content, Number) or isinstance(content, bool):
        return Judged(content, now_ms, flags | (none_flag(point, flags) if content is None else 0), past)
    still = past.still
    if point.lively:
        still = still.next(content, now_ms) if still else Still(content, now_ms)
        if still.looks >= STILL_LOOKS and now_ms - still.since_ms >= frozen_after_ms:
            flags |= int(Quality.FROZEN)
    if point.kind != "counter":
        return Judged(content, now_ms, flags | _range(point, content), Past(None, still))
    booked = book(point, past.stand, Look(content, now_ms), second)
    look, other = booked.look, booked.other
    other_flags = flags | booked.other_flags | _range(point, other.value) if other else 0
    flags |= booked.flags | _range(point, look.value)
    return Judged(look.value, look.time_ms, flags, Past(booked.stand, still), other, other_flags, booked.second_booked)


def _range(point: Point, value: Number | None) -> int:
    flags = 0
    if value is not None and point.high is not None and value > point.high:
        flags |= int(Quality.RANGE_HIGH)
    if value is not None and point.low is not None and value < point.low:
        flags |= int(Quality.RANGE_LOW)
    if value is not None and point.span is not None and (limits := point.span.limits):
        low, high = (recorded(limit) for limit in limits)
        flags |= int(Quality.RANGE_HIGH) if value > high else int(Quality.RANGE_LOW) if value < low else 0
    return flags


def none_flag(point: Point, flags: int) -> int:
    """The flag of a point whose registers hold no value; none where a broken signal has flagged it already."""
    return 0 if point.span is not None and flags & Quality.DEVICE_FAULT else int(Quality.DECODE_ERR)


def raised(points: Iterable[Point], values: Mapping[str, Content]) -> dict[str, int]:
    """The flags that status points raise, by the name of the value that they are about."""
    flags: dict[str, int] = {}
    for point in points:
        status = values.get(point.name)
        if not point.raises or not isinstance(status, int):
            continue
        mine = sum(Quality[flag] for flag in {flag for code, flag in point.raises if _raises(point, status, code)})
        if mine:
            for name in point.about or [name for name in values if name != point.name]:
                flags[name] = flags.get(name, 0) | mine
    return flags


def _raises(point: Point, value: int, code: int) -> bool:
    return bool(value >> code & 1) if point.at.form == "flags" else value == code


def freshness(profile: Profile, witness: Still | None, now_ms: int, *, dated: bool = False) -> int:
    """The flag of all values of a concentrator, a device that answers from memory what it read from others.

    Without a witness their age is unknown: CACHED. With one they are good as long as it moves, CACHED until
    it was first seen to, and STALE when it has not moved for longer than the profile allows. What is ``dated`` says its
    age itself (LATE, if it is old): the first message of a logger is as good as the next.
    """
    if profile.freshness is None:
        return int(Quality.CACHED) if profile.concentrator else 0
    if witness is not None and now_ms - witness.since_ms > profile.stale_after_ms:
        return int(Quality.STALE)
    return 0 if dated or (witness is not None and witness.moved) else int(Quality.CACHED)


def clock_flags(letter: str, error_ms: int | None, period_ms: int, *, stepped: bool) -> int:
    """The flags of values by the clock that dates them: not synchronised (or worse than one period), set since the last
    poll."""
    unsure = letter != "S" or (error_ms is not None and error_ms > period_ms)
    return (int(Quality.CLOCK_UNSYNC) if unsure else 0) | (int(Quality.CLOCK_STEP) if stepped else 0)
