"""Alarms of one line: each is reported once when it is raised and once when it is cleared."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from gateway.fieldbus.diagnosis import refused
from gateway.fieldbus.line_monitor import NOISY, LineMonitor
from gateway.fieldbus.meter_state import MeterState
from gateway.fieldbus.modbus.link import NO_FRAME
from gateway.fieldbus.poll import AttemptResult
from gateway.fieldbus.schedule import Schedule
from gateway.fieldbus.sleep import Sleepers
from gateway.fieldbus.specs import Alarm, LineSpec, Poll
from gateway.messages.alarm_kinds import AlarmCode
from ledger_client.formats.senml import Quality
from ledger_client.messages import Said

log = logging.getLogger("meterseal.fieldbus")


class LineAlarms:
    """Active alarms of one line, and its changes to ``on_alarm``; to the log where that is None. Event loop only.

    A line whose meters all sleep is not at fault, and a meter that sleeps is not lost.
    """

    def __init__(
        self, spec: LineSpec, on_alarm: Callable[[Alarm], None] | None, sleepers: Sleepers | None = None
    ) -> None:
        self._spec, self._on_alarm = spec, on_alarm
        self._raised: set[tuple[str | None, AlarmCode]] = set()
        self._flags = 0
        self._unasked: dict[str, tuple[str, ...]] = {}
        self._sleepers = sleepers or Sleepers(spec.meters)

    def polled(self, meter: MeterState, attempt: AttemptResult, schedule: Schedule) -> None:
        """Take a finished poll. A meter is lost only once another one was heard after it; else it is the line."""
        name = meter.spec.name
        if attempt.alive:
            self._clear(AlarmCode.LINE_DOWN, None, "the line answers again")
            self._clear(AlarmCode.COMMS_LOST, name, f"{name} answers again")
            for lost in schedule.silent:
                if (lost, AlarmCode.WRONG_ANSWER) not in self._raised:
                    self._lost(lost)
        elif schedule.fault and any((m.name, AlarmCode.WRONG_ANSWER) not in self._raised for m in self._spec.meters):
            way_out = "check cable and power" + (" and the line settings" if self._spec.port else "")
            heard = f"; heard: {NO_FRAME}" if NO_FRAME in attempt.poll.detail else ""
            self._line_down(f"no meter answers on {self._spec.where}; {way_out}{heard}")
        if attempt.alive:
            self._refusals(meter, attempt.poll)
        self._not_asked(name, meter.unasked)
        if meter.stranger is not None:
            text = (
                f"{name}: {meter.stranger} answers in place of {meter.identity}, so no values are taken; if it was "
                f"exchanged: meterseal accept CONFIG {name} --serial NUMBER; if not, check what is plugged in where"
            )
            self._raise(AlarmCode.METER_EXCHANGED, name, text)
        elif attempt.poll.answers:
            self._clear(AlarmCode.METER_EXCHANGED, name, f"{name}: {meter.identity} answers, and its values count")

    def _not_asked(self, name: str, points: tuple[str, ...]) -> None:
        """Points of a meter for which another master has left no shape."""
        if points == self._unasked.get(name, ()):
            return
        self._unasked[name] = points
        self._clear(AlarmCode.NOT_ASKED, name, f"{name}: all of its points are asked again")
        if points:
            text = (
                f"{name}: not asked: {', '.join(points)}; another master uses every shape that these can be read in; "
                f"take it off the line, then meterseal clear-shared CONFIG {self._spec.name}"
            )
            self._raise(AlarmCode.NOT_ASKED, name, text)

    def wrong_answers(self, name: str, frame: str) -> None:
        """A meter answers what it was not asked, last with this frame (hex); with "" it does so no more."""
        if not frame:
            self._clear(AlarmCode.WRONG_ANSWER, name, f"{name} gives no wrong answers any more")
            return
        text = (
            f"{name} answers with another function or length than it was asked for, and a good checksum ({frame}), so "
            "no values are taken from such answers; compare its profile with its register map, update its firmware, "
            "check that no two devices have its address"
        )
        self._raise(AlarmCode.WRONG_ANSWER, name, text)
        self._clear(AlarmCode.COMMS_LOST, name, f"{name} answers, but not what it was asked")

    def _refusals(self, meter: MeterState, poll: Poll) -> None:
        name = meter.spec.name
        if (said := refused(poll, meter.spec.profile.protocol)) is not None:
            self._raise(AlarmCode.METER_REFUSES, name, f"{name}: {said}")
        elif poll.answers:
            self._clear(AlarmCode.METER_REFUSES, name, f"{name} gives all that it is asked")

    def port_gone(self, because: str) -> None:
        """The line cannot be opened, or broke off."""
        where = "" if because.startswith(self._spec.where) else f"{self._spec.where}: "
        self._line_down(f"{where}{because}; it is tried again every 2 s; check adapter, cable and network")

    def heard(self, monitor: LineMonitor) -> None:
        """Take the flags that the line monitor gives all values."""
        flags = monitor.flags
        if flags & NOISY:
            self._damaged(monitor.damage.only)
        if flags == self._flags:
            return
        self._flags = flags
        if flags & Quality.SHARED_LINE:
            text = (
                f"another master speaks on this line ({monitor.stranger}); its values are flagged SHARED_LINE as long "
                f"as it is heard and one hour more; take it off the line, then meterseal clear-shared CONFIG "
                f"{self._spec.name}; or give this bus shared = true"
            )
            self._raise(AlarmCode.STRANGER, None, text)
        else:
            self._clear(AlarmCode.STRANGER, None, "no other master is heard any more")
        if not flags & NOISY:
            for meter in (None, *(meter.name for meter in self._spec.meters)):
                self._clear(AlarmCode.CRC_RATE, meter, "frames arrive undamaged again")

    def _damaged(self, unit: int | None) -> None:
        """Many frames arrive damaged: all of one unit, or (None) of several. What was once the line's stays so."""
        if (None, AlarmCode.CRC_RATE) in self._raised:
            return
        name = next((meter.name for meter in self._spec.meters if meter.address == unit), None)
        for other in self._spec.meters:
            if other.name != name:
                self._clear(AlarmCode.CRC_RATE, other.name, "frames of others arrive damaged, too")
        if name is None:
            text = "more than 1 % of all frames arrive damaged, so values are uncertain; check cable and terminators"
        else:
            text = (
                f"more than 1 % of all frames arrive damaged, and all of these are {name}'s, so its values are "
                f"uncertain; two devices with this address ({unit})?; check its cable and its terminals"
            )
        self._raise(AlarmCode.CRC_RATE, name, text)

    def _lost(self, meter: str) -> None:
        if self._sleepers.asleep(meter):
            self._clear(AlarmCode.COMMS_LOST, meter, f"{meter} sleeps")
        else:
            text = f"{meter} does not answer and is asked seldom; check its power, its cable and its address"
            self._raise(AlarmCode.COMMS_LOST, meter, text + self._awake([meter]))

    def _line_down(self, text: str) -> None:
        if self._sleepers.all_asleep:
            self._clear(AlarmCode.LINE_DOWN, None, "its meters sleep")
        else:
            self._raise(AlarmCode.LINE_DOWN, None, text + self._awake([meter.name for meter in self._spec.meters]))

    def _awake(self, meters: Sequence[str]) -> str:
        """Why those of the meters that may sleep do not, in words."""
        found = [(meter, why) for meter in meters if (why := self._sleepers.why_awake(meter))]
        return "".join(f"; {meter} may sleep, but {why}" for meter, why in found)

    def _raise(self, code: AlarmCode, meter: str | None, said: Said) -> None:
        if (meter, code) not in self._raised:
            self._raised.add((meter, code))
            self._tell(Alarm(self._spec.name, meter, code, self._of_line(said), True))

    def _clear(self, code: AlarmCode, meter: str | None, said: Said) -> None:
        if (meter, code) in self._raised:
            self._raised.remove((meter, code))
            self._tell(Alarm(self._spec.name, meter, code, self._of_line(said), False))

    def _of_line(self, said: Said) -> Said:
        """With the name of the line, which a message has among its facts."""
        return f"{self._spec.name}: {said}" if isinstance(said, str) else said

    def _tell(self, alarm: Alarm) -> None:
        if self._on_alarm is None:
            about = {"code": alarm.code, "line": alarm.line, "meter": alarm.meter}
            log.log(logging.ERROR if alarm.raised else logging.INFO, "%s", alarm.text, extra=about)
        else:
            self._on_alarm(alarm)
