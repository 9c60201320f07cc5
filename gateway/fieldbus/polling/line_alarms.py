"""Alarms of one line: each is reported once when it is raised and once when it is cleared."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from gateway.fieldbus.active_alarms import ActiveAlarms
from gateway.fieldbus.diagnosis import is_no_frame, refused
from gateway.fieldbus.polling.line_monitor import NOISY, LineMonitor
from gateway.fieldbus.polling.meter_state import MeterState
from gateway.fieldbus.polling.poll import AttemptResult
from gateway.fieldbus.polling.schedule import Schedule
from gateway.fieldbus.polling.sleep import Sleepers
from gateway.fieldbus.specs import Alarm, Poll
from gateway.fieldbus.wire.keys import Unit
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality
from ledger_client.messages import Sentence


class LineAlarms:
    """Active alarms of one line, and its changes to ``on_alarm``; to the log where that is None. Event loop only.

    A line whose meters all sleep is not at fault, and a meter that sleeps is not lost.
    """

    def __init__(
        self, spec: LineSpec, on_alarm: Callable[[Alarm], None] | None, sleepers: Sleepers | None = None
    ) -> None:
        self._spec, active = spec, ActiveAlarms(spec.name, on_alarm)
        self._active, self._raise, self._clear = active, active.put, active.clear
        self._flags = 0
        self._unasked: dict[str, tuple[str, ...]] = {}
        self._sleepers = sleepers or Sleepers(spec.meters)

    def polled(self, meter: MeterState, attempt: AttemptResult, schedule: Schedule) -> None:
        """Take a finished poll. A meter is lost only once another one was heard after it; else it is the line."""
        name, line = meter.spec.name, self._spec.name
        if attempt.alive:
            self._clear(AlarmCode.LINE_DOWN, None, lambda: Message("line-responding", line=line))
            self._clear(AlarmCode.COMMS_LOST, name, lambda: Message("meter-responding", line=line, meter=name))
            for lost in schedule.silent:
                if not self._active.has(AlarmCode.WRONG_ANSWER, lost):
                    self._lost(lost)
        elif schedule.fault and any(not self._active.has(AlarmCode.WRONG_ANSWER, m.name) for m in self._spec.meters):
            self._line_down(self._not_responding(attempt.poll))
        if attempt.alive:
            self._refusals(meter, attempt.poll)
        self._not_asked(name, meter.unasked)
        if meter.stranger is not None:
            replaced = Message(
                "meter-replaced", line=line, meter=name, stranger=meter.stranger, identity=meter.identity or ""
            )
            self._raise(AlarmCode.METER_EXCHANGED, name, replaced)
        elif attempt.poll.answers:
            identity = meter.identity or ""
            self._clear(
                AlarmCode.METER_EXCHANGED,
                name,
                lambda: Message("meter-replaced-cleared", line=line, meter=name, identity=identity),
            )

    def _not_responding(self, poll: Poll) -> Message:
        """No meter of the line answers."""
        line, where = self._spec.name, self._spec.where
        if is_no_frame(poll.detail):
            return Message("line-not-responding-garbage", line=line, where=where)
        if self._spec.port:
            return Message("line-not-responding-port", line=line, where=where)
        return Message("line-not-responding-host", line=line, where=where)

    def _not_asked(self, name: str, points: tuple[str, ...]) -> None:
        """Points of a meter for which another master has left no shape."""
        if points == self._unasked.get(name, ()):
            return
        self._unasked[name], line = points, self._spec.name
        self._clear(AlarmCode.NOT_ASKED, name, lambda: Message("points-polled-again", line=line, meter=name))
        if points:
            self._raise(AlarmCode.NOT_ASKED, name, Message("points-not-polled", line=line, meter=name, points=points))

    def wrong_answers(self, name: str, frame: str) -> None:
        """A meter answers what it was not asked, last with this frame (hex); with "" it does so no more."""
        line = self._spec.name
        if not frame:
            self._clear(AlarmCode.WRONG_ANSWER, name, lambda: Message("wrong-answers-cleared", line=line, meter=name))
            return
        self._raise(AlarmCode.WRONG_ANSWER, name, Message("wrong-answers", line=line, meter=name, frame=frame))
        self._clear(AlarmCode.COMMS_LOST, name, lambda: Message("meter-answers-wrongly", line=line, meter=name))

    def _refusals(self, meter: MeterState, poll: Poll) -> None:
        name, line = meter.spec.name, self._spec.name
        if (why := refused(poll, meter.spec.profile.protocol)) is not None:
            self._raise(AlarmCode.METER_REFUSES, name, Message("meter-refuses", line=line, meter=name, why=why))
        elif poll.answers:
            self._clear(AlarmCode.METER_REFUSES, name, lambda: Message("meter-refuses-cleared", line=line, meter=name))

    def overloaded(self, sentence: Message) -> None:
        """Due polls are not made for want of time or shapes."""
        self._raise(AlarmCode.LINE_OVERLOADED, None, sentence)

    def not_overloaded(self) -> None:
        """They are made; what an earlier worker of the line has raised is over too."""
        self._active.over(AlarmCode.LINE_OVERLOADED, None, Message("line-overloaded-cleared", line=self._spec.name))

    def port_gone(self, why: Sentence) -> None:
        """The line cannot be opened, or broke off."""
        if isinstance(why, Message) and why.code == "listen-nobody":
            nobody = Message("line-nobody-connects", line=self._spec.name, where=self._spec.where, why=why)
            self._line_down(nobody)
            return
        self._line_down(Message("line-port-failed", line=self._spec.name, where=self._spec.where, why=why))

    def two_devices(self, addresses: tuple[str, str] | None) -> None:
        """Devices of two addresses connect to the line; None: of one."""
        line, where = self._spec.name, self._spec.where
        if addresses is None:
            self._clear(AlarmCode.TWO_DEVICES, None, lambda: Message("line-one-device", line=line))
            return
        first, second = addresses
        both = Message("line-two-devices", line=line, where=where, first=first, second=second)
        self._raise(AlarmCode.TWO_DEVICES, None, both)

    def heard(self, monitor: LineMonitor) -> None:
        """Take the flags that the line monitor gives all values."""
        flags, line = monitor.flags, self._spec.name
        if flags & NOISY:
            self._damaged(monitor.damage.only)
        if flags == self._flags:
            return
        self._flags = flags
        if flags & Quality.SHARED_LINE:
            self._raise(AlarmCode.STRANGER, None, Message("line-other-master", line=line, stranger=monitor.stranger))
        else:
            self._clear(AlarmCode.STRANGER, None, lambda: Message("line-other-master-cleared", line=line))
        if not flags & NOISY:
            for meter in (None, *(meter.name for meter in self._spec.meters)):
                self._clear(AlarmCode.CRC_RATE, meter, lambda: Message("frames-undamaged", line=line))

    def _damaged(self, unit: Unit | None) -> None:
        """Many frames arrive damaged: all of one unit, or (None) of several. What was once the line's stays so."""
        if self._active.has(AlarmCode.CRC_RATE, None):
            return
        line = self._spec.name
        name = next((meter.name for meter in self._spec.meters if meter.address == unit), None)
        for other in self._spec.meters:
            if other.name != name:
                self._clear(AlarmCode.CRC_RATE, other.name, lambda: Message("frames-damaged-others", line=line))
        if name is None or unit is None:
            self._raise(AlarmCode.CRC_RATE, None, Message("frames-damaged-line", line=line))
        else:
            self._raise(AlarmCode.CRC_RATE, name, Message("frames-damaged-meter", line=line, meter=name, unit=unit))

    def _lost(self, meter: str) -> None:
        line = self._spec.name
        if self._sleepers.asleep(meter):
            self._clear(AlarmCode.COMMS_LOST, meter, lambda: Message("meter-asleep", line=line, meter=meter))
        else:
            lost = Message("meter-not-responding", line=line, meter=meter)
            self._raise(AlarmCode.COMMS_LOST, meter, self._and_awake(lost, [meter]))

    def _line_down(self, message: Message) -> None:
        for meter in self._spec.meters:  # one that was lost awake: nobody else is heard any more who would clear it
            if self._sleepers.asleep(meter.name):
                self._lost(meter.name)
        if self._sleepers.all_asleep:
            self._clear(AlarmCode.LINE_DOWN, None, lambda: Message("line-asleep", line=self._spec.name))
        else:
            meters = [meter.name for meter in self._spec.meters]
            self._raise(AlarmCode.LINE_DOWN, None, self._and_awake(message, meters))

    def _and_awake(self, message: Message, meters: Sequence[str]) -> Message:
        """With the reason why those of the meters that may sleep do not."""
        found = [(meter, why) for meter in meters if (why := self._sleepers.why_awake(meter)) is not None]
        if not found:
            return message
        awake = tuple(Message("meter-not-asleep", meter=meter, why=why) for meter, why in found)
        return Message("alarm-not-asleep", what=message, awake=awake)
