"""What the flags of a value mean: the verdict, and the flags that a value earns by what it is.

All pure. A flag may be added on the way from the wire to the record and never cleared: every function here takes flags
and gives at least those back.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Literal

from gateway.devices.decode import Decoded
from gateway.devices.points import Point
from ledger_client.senml import Number, Quality

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
}

_KNOWN = sum(VERDICT_OF)
_EDGE = Decimal("0.1")  # a counter goes round from the last tenth of its range into the first


def verdict(flags: int) -> Verdict:
    """The verdict on a value with these flags: the worst of its flags' verdicts; a bit that is not known is bad."""
    found: set[Verdict] = {found for flag, found in VERDICT_OF.items() if flags & flag}
    if flags & ~_KNOWN:
        found.add("bad")
    return max(found, key=VERDICTS.index, default="good")


def judge(point: Point, decoded: Decoded, previous: Decoded | None = None) -> int:
    """The flags of a value, those that it has and those that it earns by its range and, a counter, by its last value.

    ``previous`` is what ``carry`` kept of the same point.
    """
    value = decoded.value
    if not isinstance(value, Number) or isinstance(value, bool):
        return decoded.quality
    flags = decoded.quality
    if point.high is not None and value > point.high:
        flags |= Quality.RANGE_HIGH
    if point.low is not None and value < point.low:
        flags |= Quality.RANGE_LOW
    before = previous.value if previous is not None else None
    if point.kind == "counter" and isinstance(before, Number) and value < before:
        flags |= _fall(point, before, value)
    return int(flags)


def carry(point: Point, previous: Decoded | None, judged: Decoded) -> Decoded | None:
    """What to compare the next value with: this one, or the one before when this one is no value to build on."""
    return previous if judged.value is None or judged.quality & Quality.DECODE_ERR else judged


def judge_all(
    points: Iterable[Point], decoded: Mapping[str, Decoded], previous: Mapping[str, Decoded]
) -> dict[str, Decoded]:
    """One poll's values with all flags that they earn, those included that the device's status points raise."""
    by_name = {point.name: point for point in points}
    raised = _raised(by_name.values(), decoded)
    return {
        name: Decoded(value.value, judge(by_name[name], value, previous.get(name)) | raised.get(name, 0))
        for name, value in decoded.items()
        if name in by_name
    }


def _fall(point: Point, before: Number, value: Number) -> int:
    """Why a counter stands lower than before: it went round, it is not available, or it was set back."""
    if value == 0:
        return Quality.DECODE_ERR  # some meters count 0 while they sleep; what stays low afterwards is a reset
    range_ = _counter_range(point, before)
    if range_ is not None and before >= range_ * (1 - _EDGE) and value <= range_ * _EDGE:
        return Quality.ROLLOVER
    return Quality.COUNTER_RESET


def _counter_range(point: Point, before: Number) -> Decimal | None:
    """Where the counter starts again at 0: as the profile says, else where its unsigned registers end."""
    if point.wraps_at is not None:
        return point.wraps_at
    if not point.type.startswith(("uint", "acc")) or point.factor is not None or point.factor_from:
        return None
    exponent = before.as_tuple().exponent if isinstance(before, Decimal) else 0
    return Decimal((0, (1,), exponent)) * (1 << 16 * point.registers) if isinstance(exponent, int) else None


def _raised(points: Iterable[Point], decoded: Mapping[str, Decoded]) -> dict[str, int]:
    """The flags that status points raise, by the name of the value that they are about."""
    flags: dict[str, int] = {}
    for point in points:
        status = decoded.get(point.name)
        if not point.raises or status is None or not isinstance(status.value, int):
            continue
        raised = sum(
            Quality[flag] for flag in {flag for code, flag in point.raises if _tells(point, status.value, code)}
        )
        for name in point.about or [name for name in decoded if name != point.name]:
            flags[name] = flags.get(name, 0) | raised
    return flags


def _tells(point: Point, value: int, code: int) -> bool:
    return bool(value >> code & 1) if point.type.startswith("bits") else value == code
