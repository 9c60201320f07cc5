"""Alarm of an overloaded line: how much of its polls is not made, and the shortest periods that fit by the times that
its meters take. Event loop only.
"""

from __future__ import annotations

from gateway.fieldbus.overload import Load, Overload
from gateway.fieldbus.periods import decimal, device_times, every_text, seconds, shortest_periods
from gateway.fieldbus.polling.line_alarms import LineAlarms
from gateway.fieldbus.read_budget import budget
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.message import Message
from gateway.process.threads import in_thread

NOT_COUNTED = frozenset({"line-down", "backoff", "asleep", "stopped"})
"""Reasons that say nothing of the time that a line has."""
MOST_NAMED = 3


class OverloadAlarm:
    """Looks at the polls of one line, and has the alarm raised and cleared."""

    def __init__(self, spec: LineSpec, alarms: LineAlarms, from_ms: int = 0) -> None:
        self._spec, self._alarms = spec, alarms
        self.begin(from_ms)

    def begin(self, from_ms: int) -> None:
        """Count what is due from then on."""
        periods = (meter.period_ms for meter in self._spec.meters)
        self._overload = Overload(periods, from_ms, self._spec.overload_after_ms)

    def made(self, meter: str, now_ms: int, spent_s: float) -> None:
        """A poll of a meter that answers was made, and had the line for so long."""
        self._overload.made(meter, now_ms, 1000 * spent_s)

    def over(self, poll: Poll, now_ms: int) -> None:
        """A due poll of a meter that answers is over."""
        if poll.missed in NOT_COUNTED:
            return
        lacking = poll.missed == "no-shape" or any(failure.reason == "no-shape" for failure in poll.failures)
        self._overload.due(now_ms, "skipped" if poll.missed == "skipped" else "no-shape" if lacking else "made")

    async def look(self, now_ms: int) -> None:
        """Raise or clear the alarm, where that is due."""
        if not self._overload.changed(now_ms):
            return
        if not self._overload.active:
            self._alarms.not_overloaded()
            return
        load = self._overload.load(now_ms)
        sentence = await in_thread(lambda: overloaded(self._spec, load), f"periods of {self._spec.name}")
        self._alarms.overloaded(sentence)


def overloaded(spec: LineSpec, load: Load) -> Message:
    """What is said of an overloaded line. Pure; searches periods, which takes a while for a line of many points."""
    device_ms = device_times(spec, load.poll_ms)
    by_need = sorted(budget(spec, device_ms).meters, key=lambda known: known.share, reverse=True)
    need = sum(known.share for known in by_need)
    periods = {meter.name: meter.period_ms for meter in spec.meters}
    asks = tuple(
        Message(
            "budget-meter-share",
            meter=known.meter,
            poll_ms=round(known.poll_ms),
            period_s=seconds(periods[known.meter]),
        )
        for known in by_need[:MOST_NAMED]
    )
    shortest = shortest_periods(spec, device_ms)
    line, share, window_ms = spec.name, str(round(100 * load.share)), load.window_ms
    if shortest == tuple(meter.period_ms for meter in spec.meters):
        return Message(
            "line-overloaded-fits", line=line, share_percent=share, window_ms=window_ms, skipped_n=load.skipped,
            no_shape_n=load.no_shape, need=decimal(need), asks=asks,
        )  # fmt: skip
    return Message(
        "line-overloaded", line=line, share_percent=share, window_ms=window_ms, skipped_n=load.skipped,
        no_shape_n=load.no_shape, need=decimal(need), asks=asks, periods=every_text(spec, shortest),
    )  # fmt: skip
