"""Alarm board: from conditions to alarms, with on-delays and off-delays, grouping and signed events (ISA-18.2).

The parts of the gateway report what is true (``condition``). The board waits out each kind's delays, raises one alarm
for many of one cause, signs an event at each change, and keeps the rows. While the database cannot be written it goes
on in memory; rows and events are written later.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from gateway.alarms.counter_falls import LineFall, line_falls
from gateway.alarms.events import AlarmEvents
from gateway.alarms.grouping import GroupChange, GroupContinues, GroupEnds, Grouping, GroupRaised, Lines
from gateway.alarms.operator_actions import OperatorActions
from gateway.alarms.state import AlarmKey, AlarmState
from gateway.alarms.store import AlarmStore, EventSink
from gateway.clock import Clock
from gateway.fieldbus.specs import Alarm
from gateway.messages.alarm_kinds import LEDGER_CODES, LINE_CODES, AlarmCode, kind_of
from gateway.messages.languages import sentence_in
from gateway.messages.message import Message
from gateway.process.background import BackgroundTask
from gateway.recording.live_state import Live
from gateway.records import ALARM, GATEWAY
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database
from ledger_client.formats.record import Event
from ledger_client.messages import Sentence

log = logging.getLogger("meterseal.alarms")
LOOK_S = 1.0
"""Longest time between two checks of delays and recorder."""
CHATTERING = "alarm-chattering"
KEY_LINE = "statement key"


class AlarmBoard(BackgroundTask):
    """Alarms of one gateway. Owned by the event loop: every method and field is to be used there only.

    ``operator``: the actions of users. ``listeners``: called with each row that has changed.
    """

    def __init__(
        self,
        store: Database,
        sink: EventSink,
        clock: Clock,
        live: Live,
        lines: Lines,
        asleep: Callable[[str], bool] = lambda line: False,
        host: Callable[[str], str | None] = lambda line: None,
    ) -> None:
        """``store`` is read here and not kept. ``asleep`` and ``host``: as of ``Grouping``."""
        self._sink, self._clock, self._live = sink, clock, live
        self._store = AlarmStore(store, sink, clock)
        self._events = AlarmEvents(sink, live)
        self._grouping = Grouping(lines, asleep, host)
        self.operator = OperatorActions(self._store, self._events, clock)
        self._wake = asyncio.Event()
        self.listeners: list[Callable[[AlarmRow], None]] = self._store.listeners
        self.listeners.append(lambda _: self._wake.set())
        self._heard: set[str] | None = set()
        """Meters that gave a reading since an alarm became unconfirmed; None while none is."""
        self._sleeping = set[str]()
        """Meters that were found asleep since then."""
        self._restore(store.alarms.open())

    def _restore(self, rows: Iterable[AlarmRow]) -> None:
        """Take over the alarms of before the start."""
        now = self._clock.schedule_ms()
        for row in rows:
            key, kind = AlarmKey(row.source, row.code, row.line), kind_of(row.code)
            state = AlarmState(key, kind, Message("alarm-cleared", kind=kind.code), since_ms=row.since_ms, row=row)
            if kind.after_restart == "ends" or self._is_deconfigured(key):
                state.off_delay_until_ms = now
            else:
                state.unconfirm(now)
            state.changed_ms = self._store.moment()
            self._store.states[key] = state

    def moment(self) -> int:
        """The moment of the list as it is now: what an operator acknowledges is what it showed then."""
        return self._store.moment()

    def unchanged(self, since_ms: int) -> frozenset[int]:
        """Which listed alarms that nobody has acknowledged stood at that moment as they stand now, by number."""
        return self._store.unchanged(since_ms)

    def listed(self) -> list[AlarmRow]:
        """Active or unacknowledged alarms that are not shelved, in the order of ``AlarmRow.rank``."""
        return self._store.listed()

    def shelved(self) -> list[AlarmRow]:
        """Shelved alarms, in the same order."""
        return self._store.shelved()

    # — configuration —

    def reconfigure(self, lines: Lines) -> None:
        """Take the lines of another configuration, after the live state did: alarms of meters that left are cleared."""
        self._grouping.reconfigure(lines)
        for state in self._store.states.values():
            if self._is_deconfigured(state.key):
                state.deconfigure(self._clock.schedule_ms())
        self._wake.set()

    def reconfigure_ledgers(self, lines: Collection[str]) -> None:
        """Clear the alarms of ledgers other than these ("ledger NAME")."""
        for state in self._store.states.values():
            key = state.key
            if key.code in LEDGER_CODES and key.line.startswith("ledger ") and key.line not in lines:
                state.deconfigure(self._clock.schedule_ms())

    def line_replaced(self, line: str) -> None:
        """Unconfirm the alarms of a line: its new worker does not know what the one before had found."""
        self._heard, self._sleeping = set(), set()
        for state in self._store.states.values():
            if state.key.line == line and state.key.code in LINE_CODES:
                state.unconfirm(self._clock.schedule_ms())

    def _is_deconfigured(self, key: AlarmKey) -> bool:
        line_left = key.code in LINE_CODES and key.line not in self._grouping.lines
        return line_left or (key.source != GATEWAY and key.source not in self._live.meters)

    # — conditions —

    def condition(
        self,
        source: str,
        code: str,
        line: str,
        sentence: Sentence,
        *,
        on: bool,
        since_ms: int | None = None,
        certain: bool = False,
    ) -> None:
        """Say that a condition of a meter or the gateway is true, or is not any more.

        Args:
            source: the meter, or "gateway".
            code: kind of alarm.
            line: the line, ledger or part of the gateway that it is about.
            sentence: why it is true; or that it is not.
            on: the condition is true.
            since_ms: record time since which it is true; None: now.
            certain: it does not pass by itself: no on-delay.
        """
        key, now = AlarmKey(source, code, line), self._clock.schedule_ms()
        state = self._store.states.get(key)
        if state is None:
            if not on:
                return
            state = self._store.states[key] = AlarmState(key, kind_of(code), sentence)
        if on:
            now_ms = self._clock.now_ms()
            since = now_ms if since_ms is None else since_ms
            state.condition_true(now, since, max(0, now_ms - since))
            if certain:
                state.on_delay_until_ms = min(state.on_delay_until_ms, now)
        else:
            state.condition_false(now)
            self._mark_chattering(state, now)
        if not state.active or not on:
            state.sentence = sentence
        if state.due_ms is not None and state.due_ms <= now:
            self._settle()
        self._wake.set()

    def _mark_chattering(self, state: AlarmState, now: int) -> None:
        row = state.row
        if row is not None and row.active and state.is_chattering(now) and not _is_chattering(row.sentence):
            self._store.update(state, row.saying(Message("alarm-chattering", what=row.sentence)))

    def is_active(self, source: str, code: str, line: str) -> bool:
        """Whether this alarm is raised and not cleared."""
        state = self._store.states.get(AlarmKey(source, code, line))
        return state is not None and state.active

    def restate(self, source: str, code: str, line: str, sentence: Sentence, *, again: bool = False) -> None:
        """Say anew what an active alarm is about, where that has changed: without an event, for it is the same alarm.

        ``again``: there is more than whoever acknowledged it has seen. Then it is raised again, unacknowledged.
        """
        state = self._store.states.get(AlarmKey(source, code, line))
        if state is None or state.row is None or not state.active:
            return
        state.sentence = sentence
        if again and state.row.acknowledged:
            self._raise(state)
        else:
            shown = Message("alarm-chattering", what=sentence) if _is_chattering(state.row.sentence) else sentence
            self._store.update(state, state.row.saying(shown))

    def notice(self, source: str, code: str, line: str, sentence: Sentence) -> None:
        """Say that something has happened: its condition is true and at once false."""
        self.condition(source, code, line, sentence, on=True)
        self.condition(source, code, line, sentence, on=False)

    def set_conditions(self, code: str, found: Mapping[tuple[str, str], tuple[Sentence, int | None]]) -> None:
        """Report all conditions of one kind that are true, (source, line) → (sentence, since in ms); others are
        false."""
        states = self._store.states
        for key in [key for key in states if key.code == code and (key.source, key.line) not in found]:
            self.condition(*key, Message("alarm-cleared", kind=code), on=False)
        for (source, line), (sentence, since_ms) in found.items():
            self.condition(source, code, line, sentence, on=True, since_ms=since_ms)

    def confirm(self, code: str, found: Collection[tuple[str, str]]) -> None:
        """Say for which (source, line) the unconfirmed alarms of one kind are true; others of them are over."""
        for key, state in list(self._store.states.items()):
            if key.code == code and state.unconfirmed:
                on, sentence = (key.source, key.line) in found, state.sentence
                self.condition(*key, sentence, on=on, since_ms=state.since_ms if on else None)

    def happened(self, meter: str, event: Event) -> None:
        """Take an event of a part: the fields of an event `alarm` are a condition; others are signed at once."""
        if event.name == ALARM:
            fields = event.fields
            sentence = sentence_in(fields, fields["text"])
            self.condition(meter, fields["code"], fields["line"], sentence, on=fields["raised"])
        else:
            self._sink.happened(meter, event)

    def line_alarm(self, alarm: Alarm) -> None:
        """Take a condition of a line: of one meter, also where the line has no other; else of the gateway."""
        meters = [alarm.meter] if alarm.meter else list(self._grouping.lines[alarm.line])
        source = meters[0] if len(meters) == 1 else GATEWAY
        sentence, since_ms = alarm.sentence, None
        if alarm.code in (AlarmCode.COMMS_LOST, AlarmCode.LINE_DOWN) and alarm.raised:
            since_ms = self._silent_since(meters)
        if alarm.meter is None:
            many = len(meters) > 1
            sentence = (
                Message("alarm-of-meters", what=sentence, meters=tuple(meters))
                if many
                else Message("alarm-of-meter", what=sentence, meter=meters[0])
            )
        self.condition(source, alarm.code, alarm.line, sentence, on=alarm.raised, since_ms=since_ms)

    def _silent_since(self, meters: Iterable[str]) -> int | None:
        """When the first poll went unanswered after the last one of these meters that was answered."""
        known = [now for name in meters if (now := self._live.meters.get(name)) is not None]
        heard_ms = max((now.reading.time_ms for now in known if now.reading is not None), default=0)
        silent = [now.silent_since_ms for now in known if now.silent_since_ms is not None]
        return min((since for since in silent if since > heard_ms), default=max(silent, default=None))

    def answered(self, meter: str) -> None:
        """Say that a meter gave a reading: unconfirmed alarms that this contradicts are over."""
        if self._heard is None or meter in self._heard:
            return
        self._heard.add(meter)
        unconfirmed = self._unconfirmed()
        for state in unconfirmed:
            if self._grouping.contradicted(state.key, self._heard):
                cleared = Message("alarm-cleared-answers", kind=state.kind.code, meter=meter)
                self.condition(*state.key, cleared, on=False)
        if not unconfirmed:
            self._heard = None

    def sleeps(self, meter: str) -> None:
        """Say that a meter was found asleep: unconfirmed alarms whose silence this explains are over."""
        if self._heard is None or meter in self._sleeping:
            return
        self._sleeping.add(meter)
        for state in self._unconfirmed():
            if self._grouping.explained(state.key, self._heard, self._sleeping):
                cleared = Message("alarm-cleared-asleep", kind=state.kind.code, meter=meter)
                self.condition(*state.key, cleared, on=False)

    def _unconfirmed(self) -> list[AlarmState]:
        """Alarms of before that an answer ends."""
        return [s for s in self._store.states.values() if s.kind.after_restart == "answer" and s.unconfirmed]

    # — what falls due —

    async def run(self) -> None:
        """Do what falls due, until cancelled."""
        try:
            while True:
                due_s = (self.tick() - self._clock.schedule_ms()) / 1000
                self._wake.clear()
                try:
                    async with asyncio.timeout(max(0.0, min(LOOK_S, due_s))):
                        await self._wake.wait()
                except TimeoutError:
                    pass
        finally:
            self._store.save()

    def tick(self) -> int:
        """Look at recorder and statement key, and do what has fallen due. Returns when the next delay ends, in ms."""
        trouble = self._sink.trouble
        sentence = Message("recording-continues")
        if trouble is not None:
            sentence = Message("recording-stopped", reason=trouble.reason, why=trouble.sentence)
        self.condition(GATEWAY, AlarmCode.RECORDING_STOPPED, "store", sentence, on=trouble is not None)
        if (away := self._sink.key_away) is None:
            self.condition(GATEWAY, AlarmCode.KEY_AWAY, KEY_LINE, Message("statement-key-back"), on=False)
        else:
            sentence = Message("statement-key-away", why=away.why)
            self.condition(GATEWAY, AlarmCode.KEY_AWAY, KEY_LINE, sentence, on=True, since_ms=away.since_ms)
        self._settle()
        now = self._clock.schedule_ms()
        self._store.save()
        due = (state.due_ms for state in self._store.states.values())
        return min((due_ms for due_ms in due if due_ms is not None), default=now + 1000)

    def _settle(self) -> None:
        """Raise and clear alarms whose delays are over; unshelve those whose time is up."""
        now, cleared = self._clock.schedule_ms(), False
        self._group(now)
        for state in list(self._store.states.values()):
            if state.raise_due(now) and not state.suppressed:
                self._raise(state)
            elif state.clear_due(now):
                self._clear(state, state.sentence)
                cleared = True
            self.operator.unshelve_expired(state)
            if state.disposable(now):
                del self._store.states[state.key]
        if cleared:
            self._group(now)  # what a cleared group alarm suppressed has its on-delay from now on

    def _group(self, now: int) -> None:
        candidates = self._grouping.candidates(self._store.states)
        for candidate in candidates:
            for single in candidate.singles:
                single.suppress(now, suppressed=candidate.suppresses)
        for candidate in candidates:
            if (change := self._grouping.change(candidate, now)) is not None:
                self._apply(change, now)
        for fall in list(line_falls(self._store.states, self._grouping.lines, now)):
            self._join(fall, now)

    def _join(self, fall: LineFall, now: int) -> None:
        """An alarm of a line takes single ones into it; acknowledged, it is raised again: nobody has seen these."""
        state = self._store.states.setdefault(fall.key, AlarmState(fall.key, kind_of(fall.key.code), fall.sentence))
        state.condition_true(now, fall.since_ms, 0)
        if state.active and state.row is not None and not state.row.acknowledged:
            self._store.update(state, state.row.saying(fall.sentence))
        else:
            state.sentence = fall.sentence
            self._raise(state)
        for single in fall.joining:
            if not single.active:
                self._raise(single)
            single.condition_false(now)
            self._clear(single, Message("alarm-merged", kind=fall.key.code), acknowledged=True)
        over = Message("alarm-cleared", kind=fall.key.code)
        self.condition(*fall.key, over, on=False)

    def _apply(self, change: GroupChange, now: int) -> None:
        match change:
            case GroupRaised(key, members, withdrawn, since_ms, sentence):
                group = self._store.states.setdefault(key, AlarmState(key, kind_of(key.code), sentence))
                group.sentence = sentence
                group.condition_true(now, since_ms, 0)
                self._raise(group)
                for single in withdrawn:
                    self._clear(single, Message("alarm-merged", kind=key.code), acknowledged=True)
                for single in members:
                    single.suppress(now, suppressed=True)
            case GroupContinues(group, sentence):
                group.condition_true(now, group.since_ms, 0)
                if group.row is not None and group.sentence != sentence:
                    group.sentence = sentence
                    self._store.update(group, group.row.saying(sentence))
            case GroupEnds(group, sentence):
                group.condition_false(now)
                group.sentence = sentence

    def _raise(self, state: AlarmState) -> None:
        key, now_ms = state.key, self._clock.now_ms()
        if state.row is None:
            row = AlarmRow(self._store.next_id(), *key, "", state.since_ms, now_ms)
        else:
            row = replace(state.row, since_ms=state.since_ms, raised_ms=now_ms, cleared_ms=None)
            row = replace(row, acked_ms=None, acked_by=None, acked_note=None, times=row.times + 1)
        row = row.saying(state.sentence)
        log.warning("alarm %s: %s", key.code, state.sentence, extra=_log_fields(key))
        self._events.raised(state)
        self._store.update(state, row)

    def _clear(self, state: AlarmState, sentence: Sentence, *, acknowledged: bool = False) -> None:
        """Clear an alarm; ``acknowledged``: nobody needs to acknowledge it any more."""
        assert state.row is not None
        now_ms = self._clock.now_ms()
        log.info("alarm %s is over: %s", state.key.code, sentence, extra=_log_fields(state.key))
        state.sentence = sentence
        self._events.cleared(state)
        row = replace(state.row, cleared_ms=now_ms)
        self._store.update(state, replace(row, acked_ms=row.acked_ms or now_ms) if acknowledged else row)


def _is_chattering(sentence: Sentence) -> bool:
    """It is reported already that the alarm comes and goes."""
    return isinstance(sentence, Message) and sentence.code == CHATTERING


def _log_fields(key: AlarmKey) -> dict[str, str | None]:
    """Structured fields of a log line about an alarm."""
    return {"code": key.code, "line": key.line, "meter": None if key.source == GATEWAY else key.source}
