"""Alarms of a line that is listened to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable

from gateway.fieldbus.active_alarms import ActiveAlarms
from gateway.fieldbus.listening.listened_meter import ListenedMeter
from gateway.fieldbus.listening.sources import Facts, SourceKind
from gateway.fieldbus.specs import Alarm
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.source import Crowded, Wrote
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from ledger_client.messages import Sentence

CROWDED_MS = 60_000
"""The alarm of too many connections ends this long after the last one that was closed to make room."""
WRITTEN_MS = 3_600_000
"""The alarm of writes ends this long after the last one."""


class ListenAlarms:
    """Its port is gone or none of its meters sends anything (``line-down``), one of them sends nothing
    (``comms-lost``), or keeps another period than the configured one (``interval``). Another device
    answers or sends (``meter-exchanged``). Of an overheard line: another master writes (``write-seen``), or no answer
    has a certain question (``answers-doubtful``); of one that is listened on: there are too many connections
    (``too-many-connections``)."""

    def __init__(
        self, spec: LineSpec, kind: SourceKind, facts: Facts, on_alarm: Callable[[Alarm], None] | None
    ) -> None:
        self._spec, self._kind, self._facts = spec, kind, facts
        self._active = ActiveAlarms(spec.name, on_alarm)
        self._came = facts.came
        """What had come, beside messages, when a meter was last heard."""
        self._wrote_ms: dict[str, int] = {}
        self.crowd_ends_ms: int | None = None
        """When there will have been room for so long that the alarm is over; None: it is not active."""

    def heard(self, meter: ListenedMeter) -> None:
        """A message of it came."""
        line, name, self._came = self._spec.name, meter.spec.name, self._facts.came
        self._active.clear(AlarmCode.LINE_DOWN, None, lambda: Message("line-responding", line=line))
        self._active.clear(AlarmCode.COMMS_LOST, name, lambda: Message("meter-sends-again", line=line, meter=name))
        certain = Message("meter-answers-certain", line=line, meter=name)
        self._active.clear(AlarmCode.ANSWERS_DOUBTFUL, name, lambda: certain)
        every_ms, found_ms = meter.spec.period_ms, meter.interval.instead_ms
        if found_ms is None:
            kept = Message("interval-as-configured", line=line, meter=name, every_ms=every_ms)
            self._active.clear(AlarmCode.INTERVAL, name, lambda: kept)
        else:
            other = Message("interval-another", line=line, meter=name, found_ms=found_ms, every_ms=every_ms)
            self._active.put(AlarmCode.INTERVAL, name, other)

    def exchanged(self, meter: ListenedMeter) -> None:
        """A poll has ended in which somebody answered: the known device, or another one."""
        line, name, known = self._spec.name, meter.spec.name, meter.known
        if known is None:
            return
        identity = known.identity or ""
        if known.stranger is None:
            cleared = Message("meter-replaced-cleared", line=line, meter=name, identity=identity)
            self._active.clear(AlarmCode.METER_EXCHANGED, name, lambda: cleared)
        else:
            other = Message("meter-replaced", line=line, meter=name, stranger=known.stranger, identity=identity)
            self._active.put(AlarmCode.METER_EXCHANGED, name, other)

    def uncertain(self, meter: ListenedMeter) -> None:
        """A period has ended in which it answered, and no answer had a certain question. That is life."""
        line, name, life_ms = self._spec.name, meter.spec.name, self._spec.answer_life_of(meter.spec)
        self._active.clear(AlarmCode.LINE_DOWN, None, lambda: Message("line-responding", line=line))
        self._active.clear(AlarmCode.COMMS_LOST, name, lambda: Message("meter-sends-again", line=line, meter=name))
        doubtful = Message("meter-answers-doubtful", line=line, meter=name, life_ms=life_ms)
        self._active.put(AlarmCode.ANSWERS_DOUBTFUL, name, doubtful)

    def wrote(self, meter: ListenedMeter, wrote: Wrote, now_ms: int) -> None:
        """Another master wrote to it."""
        line, name = self._spec.name, meter.spec.name
        self._wrote_ms[name] = now_ms
        sentence = Message("meter-written", line=line, meter=name, function=wrote.function, address=wrote.address)
        self._active.put(AlarmCode.WRITE_SEEN, name, sentence)

    def writes_over(self, now_ms: int) -> None:
        """No write to a meter was heard for an hour."""
        for name, at_ms in list(self._wrote_ms.items()):
            if now_ms - at_ms >= WRITTEN_MS:
                del self._wrote_ms[name]
                over = Message("meter-written-over", line=self._spec.name, meter=name)
                self._active.clear(AlarmCode.WRITE_SEEN, name, lambda: over)  # noqa: B023

    def crowded(self, crowded: Crowded, now_ms: int) -> None:
        """Connections are closed, for there are too many."""
        line, where, host, most = self._spec.name, self._spec.where, crowded.host, crowded.most
        if crowded.unit is None:
            many = Message(
                "line-connections-host", line=line, where=where, most=most, host=host, connections=crowded.connections
            )
        else:
            meters = tuple(meter.name for meter in self._spec.meters if meter.address == crowded.unit)
            many = Message(
                "line-connections-station",
                line=line,
                where=where,
                most=most,
                host=host,
                connections=crowded.connections,
                station=str(crowded.unit),
                meters=meters,
            )
        self.crowd_ends_ms = now_ms + CROWDED_MS
        self._active.put(AlarmCode.TOO_MANY_CONNECTIONS, None, many)

    def crowd_over(self, now_ms: int) -> None:
        """Look whether no connection had to be closed for a minute."""
        if self.crowd_ends_ms is not None and now_ms >= self.crowd_ends_ms:
            self.crowd_ends_ms = None
            over = Message("line-connections-over", line=self._spec.name)
            self._active.clear(AlarmCode.TOO_MANY_CONNECTIONS, None, lambda: over)

    def missed(self, meters: Iterable[ListenedMeter]) -> None:
        """A message has not come. A meter is lost where others send; where none does it is the line."""
        silent = [meter.spec for meter in meters if meter.silent]
        if len(silent) == len(self._spec.meters):
            nothing = self._kind.silence(self._spec, None, self._facts.came - self._came)
            self._active.put(AlarmCode.LINE_DOWN, None, nothing)
            return
        for meter in silent:
            lost = self._kind.silence(self._spec, meter, Counter())
            self._active.put(AlarmCode.COMMS_LOST, meter.name, lost)

    def port_gone(self, why: Sentence) -> None:
        """The line cannot be opened, or broke off."""
        gone = Message("line-port-failed", line=self._spec.name, where=self._spec.where, why=why)
        self._active.put(AlarmCode.LINE_DOWN, None, gone)
