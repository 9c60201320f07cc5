"""Alarms of a line that is listened to."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from gateway.fieldbus.active_alarms import ActiveAlarms
from gateway.fieldbus.listening.listened_meter import ListenedMeter
from gateway.fieldbus.specs import Alarm
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from ledger_client.messages import Said


class ListenAlarms:
    """Its port is gone or none of its meters sends anything (``line-down``), one of them sends nothing
    (``comms-lost``), or keeps another period than the configured one (``interval``)."""

    def __init__(self, spec: LineSpec, on_alarm: Callable[[Alarm], None] | None) -> None:
        self._spec, self._active = spec, ActiveAlarms(spec.name, on_alarm)

    def heard(self, meter: ListenedMeter) -> None:
        """A message of it came."""
        line, name = self._spec.name, meter.spec.name
        self._active.clear(AlarmCode.LINE_DOWN, None, lambda: Message("line-responding", line=line))
        self._active.clear(AlarmCode.COMMS_LOST, name, lambda: Message("meter-sends-again", line=line, meter=name))
        every_ms, found_ms = meter.spec.period_ms, meter.interval.instead_ms
        if found_ms is None:
            kept = Message("interval-as-configured", line=line, meter=name, every_ms=every_ms)
            self._active.clear(AlarmCode.INTERVAL, name, lambda: kept)
        else:
            other = Message("interval-another", line=line, meter=name, found_ms=found_ms, every_ms=every_ms)
            self._active.put(AlarmCode.INTERVAL, name, other)

    def missed(self, meters: Iterable[ListenedMeter]) -> None:
        """A message has not come. A meter is lost where others send; where none does it is the line."""
        silent = [meter.spec.name for meter in meters if meter.silent]
        if len(silent) == len(self._spec.meters):
            nothing = Message("line-sends-nothing", line=self._spec.name, where=self._spec.where)
            self._active.put(AlarmCode.LINE_DOWN, None, nothing)
            return
        for name in silent:
            lost = Message("meter-sends-nothing", line=self._spec.name, meter=name, where=self._spec.where)
            self._active.put(AlarmCode.COMMS_LOST, name, lost)

    def port_gone(self, why: Said) -> None:
        """The line cannot be opened, or broke off."""
        gone = Message("line-port-failed", line=self._spec.name, where=self._spec.where, why=why)
        self._active.put(AlarmCode.LINE_DOWN, None, gone)
