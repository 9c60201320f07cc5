"""Counters: values that only grow; which of two reads to record, and what a fall or a jump means. Pure.

A counter can be seen wrong in three ways: *torn*, when the device updates its registers while it answers, so that high
and low words are of two moments; *not available*, when it shows 0 for a while and then goes on where it was; and set
back for good. One look cannot tell these apart, a second one right after it can. So a look that is ``doubtful`` is
followed by another, and ``book`` decides with both. Times are ms of the gateway's clock.

Where no second look is possible (a line that is only listened to, a meter with one read shape), the looks of the next
polls decide. A float that is near 0 has such fine digits that each of its steps is larger than a torn word, so a new
meter would be doubted for hours. Steps of like pace confirm each other: the first look in doubt may be anything; where
two steps upward follow it, each within ``SWIFTER`` of the other's pace, the counter really moves so, and that pace is
its usual one from then on. The step *to* the first look in doubt does not count: two wrong looks would confirm each
other. A look that is back where the counter was before all that ends it, however many were wrong.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from decimal import Decimal
from fractions import Fraction

from gateway.devices.points import Point
from gateway.devices.scaling import quantum, recorded
from ledger_client.formats.senml import Number, Quality

TORN = 1 << 15
"""Half of what the smallest torn word is worth, in units of the counter's last place: a word is 2^16 of them."""
SWIFTER = 4.0
"""A step of up to so many times the usual pace is not looked at again; two steps are alike if neither is so many times
as fast as the other."""
FADING = 0.98
"""What remains of the usual pace from one look to the next, when the counter stands still."""
TOLERANCE, SLACK_MS = 1.1, 2000
"""What ``max_per_hour`` allows on top: a tenth, and the time by which a device may be late with its own update."""
_WRAP_EDGE = Decimal("0.1")  # a counter goes round from the last tenth of its range into the first


@dataclass(frozen=True, slots=True)
class Look:
    """What one read said of a counter (None: nothing that is a value), and when."""

    value: Number | None
    time_ms: int


@dataclass(frozen=True, slots=True)
class Stand:
    """Where a counter stood when it was last seen.

    ``pace``: how much it has grown in a ms of late (None: not known yet). ``before``: where it was last seen without a
    doubt, as long as nothing has confirmed that it really went on to here. ``step``: growth in a ms of its last step
    upward, however long ago; behind looks in doubt, of the last step between two of them (None: there was none).
    """

    value: Number
    time_ms: int
    pace: float | None = None
    before: Stand | None = None
    step: float | None = None


@dataclass(frozen=True, slots=True)
class Booked:
    """The look to record and its flags; the other one, if there were two, under its own; and what to remember."""

    look: Look
    flags: int
    stand: Stand | None
    other: Look | None = None
    other_flags: int = 0
    second_booked: bool = False


def doubtful(point: Point, stand: Stand | None, look: Look) -> bool:
    """The counter fell, or jumped as a torn word would or faster than it can: it should be read again at once."""
    if stand is None or not _odd(point, stand, look) or _continues(point, stand, look):
        return False
    return stand.before is None or _odd(point, stand.before, look)


def book(point: Point, stand: Stand | None, first: Look, second: Look | None = None) -> Booked:
    """Which of two looks to record. Without a second one a doubtful first is recorded with a flag, and the next poll
    may still show that it was wrong."""
    if first.value is None:
        return Booked(first, int(Quality.DECODE_ERR), stand)
    if stand is None or not _odd(point, stand, first):
        return Booked(first, 0, _on(stand, first))
    if stand.before is not None and not _odd(point, stand.before, first):  # what was seen since then was wrong
        return Booked(first, 0, _on(stand.before, first))
    if _continues(point, stand, first):
        return Booked(first, 0, _on(stand, first))
    if second is None or second.value is None:
        return _doubted(point, stand, first, second, _meaning(point, stand, first) or int(Quality.IMPLAUSIBLE))
    if not _odd(point, stand, second):  # the first was torn, or not available for a moment
        return Booked(second, 0, _on(stand, second), _shown(stand, first), int(Quality.DECODE_ERR), True)
    if _odd(point, replace(stand, value=first.value, time_ms=first.time_ms), second):
        flags = _meaning(point, stand, first) | int(Quality.IMPLAUSIBLE)  # the two contradict each other
        return _doubted(point, stand, first, second, flags)
    return _confirmed(point, stand, first, second)


def _odd(point: Point, stand: Stand | None, look: Look) -> bool:
    if stand is None or look.value is None:
        return False
    if look.value < stand.value:
        return True
    step = float(look.value) - float(stand.value)
    return step > _torn_room(point, stand, look) or step > _real_room(point, stand, look)


def _continues(point: Point, stand: Stand, look: Look) -> bool:
    """A step upward that is like the last one, and not more than the profile takes for possible."""
    step = _step(stand, look)
    if step is None or stand.step is None:
        return False
    alike = stand.step <= SWIFTER * step and step <= SWIFTER * stand.step
    return alike and float(look.value or 0) - float(stand.value) <= _real_room(point, stand, look)


def _pace(stand: Stand, look: Look | Stand) -> float | None:
    """Growth in a ms; None: no time has passed, or there is no value."""
    passed_ms = look.time_ms - stand.time_ms
    return None if look.value is None or passed_ms <= 0 else (float(look.value) - float(stand.value)) / passed_ms


def _step(stand: Stand, look: Look | Stand) -> float | None:
    """The pace of a step upward; None: it is none."""
    pace = _pace(stand, look)
    return pace if pace is not None and pace > 0 else None


def _doubted(point: Point, stand: Stand, first: Look, second: Look | None, flags: int) -> Booked:
    """Record the first look with what it seems to mean; the next poll may agree with it or with what was before."""
    shown = _shown(stand, first)
    after = stand
    if first.value is not None and shown.value is not None:
        step = _step(stand, first) if stand.before else None
        after = Stand(first.value, first.time_ms, stand.pace, stand.before or stand, step)
    if second is None:
        return Booked(shown, flags, after)
    other = _shown(stand, second)
    return Booked(shown, flags, after, other, _none(other) or int(Quality.IMPLAUSIBLE))


def _confirmed(point: Point, stand: Stand, first: Look, second: Look) -> Booked:
    """Both looks say that the counter is where the first one saw it: it went round, was set back, or really jumped."""
    flags, shown, other = _meaning(point, stand, first), _shown(stand, first), _shown(stand, second)
    if shown.value is None:
        return Booked(shown, flags, stand, other, _none(other))
    fell = shown.value < stand.value
    after = Stand(shown.value, first.time_ms) if fell else _on(stand, first)
    return Booked(shown, flags, after, other, _none(other))


def _shown(stand: Stand, look: Look) -> Look:
    """A counter that falls to 0 exactly is not available: it cannot be known yet whether it was set back, and a 0 that
    was none would be recorded permanently. What stays low afterwards is a reset."""
    return replace(look, value=None) if look.value == 0 and stand.value > 0 else look


def _none(look: Look) -> int:
    return int(Quality.DECODE_ERR) if look.value is None else 0


def _meaning(point: Point, stand: Stand, look: Look) -> int:
    """The flags of a counter that is where ``look`` saw it."""
    value = look.value
    assert value is not None
    if stand.before is not None and stand.before.value <= value < stand.value:
        stand = stand.before  # below a look that nothing has confirmed is no fall
    if value >= stand.value:
        step = float(value) - float(stand.value)
        return int(Quality.IMPLAUSIBLE) if step > _real_room(point, stand, look) else 0
    if _shown(stand, look).value is None:
        return int(Quality.DECODE_ERR)
    end, offset = _wraps_at(point, stand.value), Decimal(0)
    if point.offset is not None:
        offset = Decimal(recorded(Fraction(point.offset)))  # the registers go round, what is added stays
    if end is not None and stand.value >= end * (1 - _WRAP_EDGE) + offset and value <= end * _WRAP_EDGE + offset:
        return int(Quality.ROLLOVER)
    return int(Quality.COUNTER_RESET)


def _on(stand: Stand | None, look: Look) -> Stand:
    """The counter went on to where it was seen."""
    value = look.value
    assert value is not None
    if stand is None:
        return Stand(value, look.time_ms)
    step = _step(stand, look) or stand.step or (_step(stand.before, stand) if stand.before else None)
    pace = _pace(stand, look)
    if pace is None:
        return Stand(value, look.time_ms, stand.pace, step=step)
    usual = pace if stand.pace is None else max(pace, FADING * stand.pace)
    return Stand(value, look.time_ms, usual, step=step)


def _torn_room(point: Point, stand: Stand, look: Look) -> float:
    """The largest step that is surely no torn word, or an everyday one. A single word cannot be torn."""
    words = point.at.words
    if words == 1:
        return math.inf
    value = float(look.value or 0)
    room = TORN * _last_place(point, look.value or 0)
    if stand.pace is not None:
        return max(room, SWIFTER * stand.pace * (look.time_ms - stand.time_ms))
    return room if words == 2 else max(room, value / 512)  # a 64-bit counter may count very finely


def _real_room(point: Point, stand: Stand, look: Look) -> float:
    """The largest step that the profile takes for possible."""
    if point.max_per_hour is None:
        return math.inf
    hours = (look.time_ms - stand.time_ms + SLACK_MS) / 3_600_000
    return float(point.max_per_hour) * hours * TOLERANCE + _last_place(point, look.value or 0)


def _last_place(point: Point, value: Number) -> float:
    """What one unit of the raw number is worth, in the recorded unit: of an IEEE number the gap to the next one."""
    if not isinstance(value, float) and (point.factor is not None or point.from_unit):
        return float(quantum(point))  # the digits of a product are not those of the device
    return point.at.last_place(value)


def _wraps_at(point: Point, value: Number) -> Decimal | None:
    """Where the counter starts again at 0: as the profile says, else where its unsigned digits end."""
    if point.wraps_at is not None:
        return point.wraps_at
    room = point.at.room
    if room is None or point.factor is not None or point.factor_from:
        return None
    if point.from_unit or point.offset:
        return None if point.scale_from else Decimal(recorded(room * quantum(point)))
    exponent = value.as_tuple().exponent if isinstance(value, Decimal) else 0
    return Decimal((0, (1,), exponent)) * room if isinstance(exponent, int) else None
