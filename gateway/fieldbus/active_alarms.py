"""Active alarms of one line: each is reported once when it is raised and once when it is cleared."""

from __future__ import annotations

import logging
from collections.abc import Callable

from gateway.fieldbus.specs import Alarm
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message

log = logging.getLogger("meterseal.fieldbus")


class ActiveAlarms:
    """Their changes go to ``on_alarm``; to the log where that is None. Event loop only."""

    def __init__(self, line: str, on_alarm: Callable[[Alarm], None] | None) -> None:
        self._line, self._on_alarm = line, on_alarm
        self._active: set[tuple[str | None, AlarmCode]] = set()

    def has(self, code: AlarmCode, meter: str | None) -> bool:
        """It is active, of this meter or (None) of the line."""
        return (meter, code) in self._active

    def put(self, code: AlarmCode, meter: str | None, message: Message) -> None:
        """Raise it, unless it is active already."""
        if (meter, code) not in self._active:
            self._active.add((meter, code))
            self._tell(Alarm(self._line, meter, code, message, True))

    def clear(self, code: AlarmCode, meter: str | None, message: Callable[[], Message]) -> None:
        """Clear it if it is active. ``message`` is made only then, which with most polls is not so."""
        if (meter, code) in self._active:
            self._active.remove((meter, code))
            self._tell(Alarm(self._line, meter, code, message(), False))

    def over(self, code: AlarmCode, meter: str | None, message: Message) -> None:
        """It is not so, whether or not it was raised here: an earlier worker of the line may have raised it."""
        self._active.discard((meter, code))
        if self._on_alarm is not None:
            self._on_alarm(Alarm(self._line, meter, code, message, False))

    def _tell(self, alarm: Alarm) -> None:
        if self._on_alarm is None:
            about = {"code": alarm.code, "line": alarm.line, "meter": alarm.meter}
            log.log(logging.ERROR if alarm.raised else logging.INFO, "%s", alarm.text, extra=about)
        else:
            self._on_alarm(alarm)
