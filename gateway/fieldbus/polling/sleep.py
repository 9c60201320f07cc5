"""Sleep detection: whether a device that does not answer sleeps, or is at fault. Pure: times are Unix ms.

A device sleeps that may (its profile), fell silent when it could be expected to, and is silent as one without power is:
requests time out, or there is no other end to connect to. A device that refuses, resets or has lost its port is at
fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Literal, NamedTuple

from gateway.fieldbus.polling.poll import AttemptResult
from gateway.fieldbus.wire.line_spec import MeterSpec
from gateway.messages.message import Message
from gateway.night import Night

NEARLY_NONE = 0.01
"""Below this share of its greatest power a device is about to sleep."""
LONGEST_MS = 16 * 3_600_000
"""Longest sleep of a device, unless the night itself is longer."""


Ending = Literal["timeout", "unreachable", "line-down"]
"""How a request without an answer ended: silence; no other end to connect to; any other end of the line."""


class PowerRecord(NamedTuple):
    """What has been recorded of the power that goes to nearly nothing when a device falls asleep: the last and the
    greatest, without their signs; None while nothing is known. ``silent_since_ms``: the device was silent already when
    this process began, since then."""

    last: float | None = None
    greatest: float | None = None
    silent_since_ms: int | None = None


NOTHING = PowerRecord()


def why_awake(now_ms: int, fell_ms: int, night: Night | None, power: PowerRecord) -> Message | None:
    """Why a device that may sleep, and is silent since ``fell_ms``, does not; None: it does."""
    by_power = power.last is not None and power.greatest is not None and power.last < NEARLY_NONE * power.greatest
    if not by_power and not (night is not None and night.at(fell_ms)):
        return _fell_awake(night, power)
    if night is not None and not night.at(now_ms):
        return Message("awake-by-day")
    longest_ms = max(LONGEST_MS, night.long_ms(now_ms) if night is not None else 0)
    return Message("awake-too-long", longest_ms=round(longest_ms)) if now_ms - fell_ms > longest_ms else None


def _fell_awake(night: Night | None, power: PowerRecord) -> Message:
    if power.last is not None and power.greatest:
        return Message("awake-power", share_percent=round(100 * power.last / power.greatest))
    return Message("awake-fell-by-day") if night is not None else Message("awake-no-hours")


class Sleeper:
    """One device: since when it is silent, and whether it sleeps. ``record`` gives what is known of its power."""

    def __init__(self, spec: MeterSpec, record: Callable[[], PowerRecord]) -> None:
        self._may, self._night, self._record = spec.profile.may_sleep, spec.night, record
        self._fell_ms: int | None = None
        self._heard = False
        self.asleep = False
        """What its last question came to; polls that are not made meanwhile share it."""
        self.why_awake: Message | None = None
        """Why it is not asleep though it may be and is silent."""

    def answered(self) -> None:
        """It answered, be it with an exception."""
        self._heard, self._fell_ms, self.asleep, self.why_awake = True, None, False, None

    def unanswered(self, now_ms: int, ending: Ending) -> None:
        """A question had no answer, or there was no connection to ask it on. One silence makes no sleeper: any one
        question may be lost."""
        if not self._may:
            return
        record = self._record()
        if self._fell_ms is None and not self._heard:
            self._fell_ms = record.silent_since_ms
        again = self._fell_ms is not None
        self._fell_ms = now_ms if self._fell_ms is None else self._fell_ms
        why = why_awake(now_ms, self._fell_ms, self._night, record)
        self.asleep = why is None and (ending == "unreachable" or (ending == "timeout" and again))
        self.why_awake = why


class Sleepers:
    """The devices of one line; only those whose profile says that they may sleep ever do."""

    def __init__(
        self, meters: Iterable[MeterSpec], record: Callable[[str], PowerRecord] = lambda name: NOTHING
    ) -> None:
        self._each = {meter.name: Sleeper(meter, partial(record, meter.name)) for meter in meters}

    def polled(self, now_ms: int, attempt: AttemptResult) -> None:
        """A poll ended; one that was not heard out tells nothing."""
        sleeper = self._each[attempt.poll.meter]
        if attempt.alive:
            sleeper.answered()
        elif attempt.down is not None:
            sleeper.unanswered(now_ms, "unreachable" if attempt.unreachable else "line-down")
        elif attempt.alive is False:
            sleeper.unanswered(now_ms, "timeout")

    def line_gone(self, now_ms: int, *, unreachable: bool) -> None:
        """The line cannot be opened: no device on it is reached."""
        for sleeper in self._each.values():
            sleeper.unanswered(now_ms, "unreachable" if unreachable else "line-down")

    def asleep(self, name: str) -> bool:
        """Whether this device sleeps."""
        return self._each[name].asleep

    def why_awake(self, name: str) -> Message | None:
        """Why a device that may sleep and is silent does not."""
        return self._each[name].why_awake

    @property
    def all_asleep(self) -> bool:
        """Every device of the line sleeps."""
        return all(sleeper.asleep for sleeper in self._each.values())
