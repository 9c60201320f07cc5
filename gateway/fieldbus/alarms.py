"""The alarms of one line: each is told once when it begins and once when it ends."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.fieldbus.ear import NOISY, Ear
from gateway.fieldbus.meter import MeterReader
from gateway.fieldbus.schedule import Schedule
from gateway.fieldbus.spec import Alarm, LineSpec
from gateway.fieldbus.turn import Attempt
from ledger_client.record import Quality

log = logging.getLogger("meterseal.fieldbus")


class Alarms:
    """What is wrong on one line now. ``on_alarm`` is told of each change; None: the log is.

    A line whose meters all may sleep is not at fault when they do, and a meter that may sleep is not lost.
    """

    def __init__(self, spec: LineSpec, on_alarm: Callable[[Alarm], None] | None) -> None:
        self._spec, self._on_alarm = spec, on_alarm
        self._raised: set[tuple[str | None, str]] = set()
        self._flags = 0
        self._sleepers = {meter.name for meter in spec.meters if meter.profile.may_sleep}

    def polled(self, meter: MeterReader, attempt: Attempt, schedule: Schedule) -> None:
        """A poll ended. A meter counts as lost only once another one was heard after it: else it is the line."""
        name = meter.spec.name
        if attempt.alive:
            self._end("line-down", None, "the line answers again")
            self._end("comms-lost", name, f"{name} answers again")
            for lost in schedule.silent:
                if lost not in self._sleepers:
                    text = f"{lost} does not answer and is asked seldom; check its power, its cable and its address"
                    self._begin("comms-lost", lost, text)
        elif schedule.fault:
            way_out = "check cable and power" + (" and the line settings" if self._spec.port else "")
            self._line_down(f"no meter answers on {self._spec.where}; {way_out}")
        if meter.stranger is not None:
            text = (
                f"{name}: {meter.stranger} answers in place of {meter.identity}, so no values are taken; if it was "
                f"exchanged: meterseal accept CONFIG {name} --serial NUMBER; if not, check what is plugged in where"
            )
            self._begin("meter-exchanged", name, text)
        elif attempt.poll.answers:
            self._end("meter-exchanged", name, f"{name}: {meter.identity} answers, and its values count")

    def port_gone(self, because: str) -> None:
        """The line cannot be opened, or broke off."""
        self._line_down(f"{self._spec.where}: {because}; it is tried again every 2 s; check adapter, cable and network")

    def heard(self, ear: Ear, flags: int) -> None:
        """What the line's ear says of all values."""
        if flags == self._flags:
            return
        self._flags = flags
        if flags & Quality.SHARED_LINE:
            text = (
                f"another master speaks on this line ({ear.stranger}); its values are flagged SHARED_LINE as long as "
                "it is heard and one hour more; take it off the line, or give this bus shared = true"
            )
            self._begin("stranger", None, text)
        else:
            self._end("stranger", None, "no other master is heard any more")
        if flags & NOISY:
            text = "more than 1 % of all frames arrive damaged, so values are uncertain; check cable and terminators"
            self._begin("crc-rate", None, text)
        else:
            self._end("crc-rate", None, "frames arrive undamaged again")

    def _line_down(self, text: str) -> None:
        if len(self._sleepers) < len(self._spec.meters):
            self._begin("line-down", None, text)

    def _begin(self, code: str, meter: str | None, text: str) -> None:
        if (meter, code) not in self._raised:
            self._raised.add((meter, code))
            self._tell(Alarm(self._spec.name, meter, code, f"{self._spec.name}: {text}", True))

    def _end(self, code: str, meter: str | None, text: str) -> None:
        if (meter, code) in self._raised:
            self._raised.remove((meter, code))
            self._tell(Alarm(self._spec.name, meter, code, f"{self._spec.name}: {text}", False))

    def _tell(self, alarm: Alarm) -> None:
        if self._on_alarm is None:
            about = {"code": alarm.code, "line": alarm.line, "meter": alarm.meter}
            log.log(logging.ERROR if alarm.raised else logging.INFO, "%s", alarm.text, extra=about)
        else:
            self._on_alarm(alarm)
