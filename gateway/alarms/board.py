"""Alarm board: raising, grouping, clearing, acknowledging and shelving of all alarms. Event loop only.

Parts say what is true (``condition``); the board waits out each kind's delay, makes one alarm of many that have one
cause, signs an event of each change, keeps the states in the database and tells ``listeners``. While the disk takes
nothing it goes on in memory; states and events are written when it does again.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from gateway.alarms import grouping
from gateway.alarms.active import AlarmStore, EventSink
from gateway.alarms.state import Key, State
from gateway.clock import Clock
from gateway.fieldbus.specs import Alarm, LineSpec
from gateway.messages.alarm_kinds import (
    AT_A_LEDGER,
    COMMS_LOST,
    LINE_DOWN,
    METERS_SILENT,
    ON_A_LINE,
    SITE_SILENT,
    STOPPED,
    kind_of,
)  # fmt: skip
from gateway.process.background import BackgroundTask
from gateway.process.control_socket import Order
from gateway.recording.live_state import Live
from gateway.records import ALARM, GATEWAY
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Store
from ledger_client.formats.record import Event

log = logging.getLogger("meterseal.alarms")
LOOK_S = 1.0
"""Between two looks at clock and recorder."""
CHATTERING = "; it comes and goes, and is over after 15 min of quiet"
SITE = "site"  # what stands for the line of an alarm about several of them


Lines = Mapping[str, Mapping[str, int]]
"""Each physical line by its name: its meters by theirs, with their periods in ms."""


def lines_of(specs: Iterable[LineSpec]) -> Lines:
    """The lines as a board wants to know them."""
    return {spec.name: {meter.name: meter.period_ms for meter in spec.meters} for spec in specs}


class AlarmBoard(AlarmStore, BackgroundTask):
    """The alarms of one gateway. To be used in the event loop only; ``tick`` does what has fallen due."""

    def __init__(
        self,
        store: Store,
        books: EventSink,
        clock: Clock,
        live: Live,
        lines: Lines,
        asleep: Callable[[str], bool] = lambda line: False,
        host: Callable[[str], str | None] = lambda line: None,
    ) -> None:
        """``store`` is read here and not kept. ``asleep``: whether all meters of a line sleep; ``host``: where a line
        leads over the network, None for a serial port."""
        super().__init__(store, books, clock, live)
        self._asleep, self._host = asleep, host
        self._lay_out(lines)
        self._heard: set[str] | None = set()
        """Meters that gave a reading since something came into doubt; None while nothing is."""
        self._inherit(store.alarms())

    def change(self, lines: Lines) -> None:
        """Another configuration, behind that of what is live: what stands of meters that are no more is over."""
        self._lay_out(lines)
        for state in self._states.values():
            if self._is_no_more(state.key):
                state.drop(self._clock.schedule_ms())
        self._wake.set()

    def _lay_out(self, lines: Lines) -> None:
        self._lines = lines
        periods = (period for meters in lines.values() for period in meters.values())
        self._window_ms = max(grouping.WINDOW_MS, *periods)

    def keep_ledgers(self, lines: Collection[str]) -> None:
        """What is told of other ledgers than these is over: they are no more."""
        for state in self._states.values():
            if state.key.code in AT_A_LEDGER and state.key.line.startswith("ledger ") and state.key.line not in lines:
                state.drop(self._clock.schedule_ms())

    def line_anew(self, line: str) -> None:
        """A line was opened by another worker, which knows nothing of what the one before had found."""
        self._heard = set()
        for state in self._states.values():
            if state.key.line == line and state.key.code in ON_A_LINE:
                state.doubt(self._clock.schedule_ms())

    def _is_no_more(self, key: Key) -> bool:
        of_a_line = key.code in ON_A_LINE and key.line not in self._lines
        return of_a_line or (key.source != GATEWAY and key.source not in self._live.meters)

    # — what is true —

    def condition(self, source: str, code: str, line: str, text: str, *, on: bool, since_ms: int | None = None) -> None:
        """What is true, or not any more, of a meter or of the gateway. ``since_ms``: record time; None: now."""
        key, now = Key(source, code, line), self._clock.schedule_ms()
        state = self._states.get(key)
        if state is None:
            if not on:
                return
            state = self._states[key] = State(key, kind_of(code), text)
        if on:
            now_ms = self._clock.now_ms()
            since = now_ms if since_ms is None else since_ms
            state.begin(now, since, max(0, now_ms - since))
        else:
            state.end(now)
            if (
                state.row is not None
                and state.raised
                and state.chatters(now)
                and not state.row.text.endswith(CHATTERING)
            ):
                self._change(state, replace(state.row, text=state.row.text + CHATTERING))
        if not state.raised or not on:
            state.text = text
        if min(state.next_ms(), default=now + 1) <= now:
            self._settle()
        self._wake.set()

    def notice(self, source: str, code: str, line: str, text: str) -> None:
        """Something has happened, and is over."""
        self.condition(source, code, line, text, on=True)
        self.condition(source, code, line, text, on=False)

    def looked(self, code: str, found: Mapping[tuple[str, str], tuple[str, int | None]]) -> None:
        """All that is true of one kind: (source, line) → (text, since in ms). What is not in it is over."""
        for key in [key for key in self._states if key.code == code and (key.source, key.line) not in found]:
            self.condition(*key, f"{self._states[key].kind.title}: over", on=False)
        for (source, line), (text, since_ms) in found.items():
            self.condition(source, code, line, text, on=True, since_ms=since_ms)

    def still(self, code: str, found: Collection[tuple[str, str]]) -> None:
        """Whether that which stood before the start, and of which nobody has told since, is still so."""
        for key, state in list(self._states.items()):
            if key.code == code and state.in_doubt:
                on, text = (key.source, key.line) in found, state.text
                self.condition(*key, text, on=on, since_ms=state.since_ms if on else None)

    def happened(self, meter: str, event: Event) -> None:
        """The same as an event of a part: one of name "alarm" waits out its delay, others are written at once."""
        if event.name == ALARM:
            fields = event.fields
            self.condition(meter, fields["code"], fields["line"], fields["text"], on=fields["raised"])
        else:
            self._books.happened(meter, event)

    def line_alarm(self, alarm: Alarm) -> None:
        """An alarm of a line: of one meter, also where the line has no other; else of the gateway."""
        meters = [alarm.meter] if alarm.meter else list(self._lines[alarm.line])
        source = meters[0] if len(meters) == 1 else GATEWAY
        text, since_ms = alarm.text, None
        if alarm.code in (COMMS_LOST, LINE_DOWN) and alarm.raised:
            since_ms = self._silent_since(meters)
        if alarm.meter is None:
            text += f" (meter{'s' if len(meters) > 1 else ''} {grouping.names(meters)})"
        self.condition(source, alarm.code, alarm.line, text, on=alarm.raised, since_ms=since_ms)

    def _silent_since(self, meters: Iterable[str]) -> int | None:
        """When the first poll went unanswered behind the last one of these meters that was answered."""
        known = [now for name in meters if (now := self._live.meters.get(name)) is not None]
        heard_ms = max((now.reading.time_ms for now in known if now.reading is not None), default=0)
        silent = [now.silent_since_ms for now in known if now.silent_since_ms is not None]
        return min((since for since in silent if since > heard_ms), default=max(silent, default=None))

    def answered(self, meter: str) -> None:
        """A reading of this meter: what stood of it, or of its line, before a restart is over unless it is found."""
        if self._heard is None or meter in self._heard:
            return
        self._heard.add(meter)
        doubtful = [s for s in self._states.values() if s.kind.renewed == "answer" and s.in_doubt]
        for state in doubtful:
            if self._is_answered(state.key, self._heard):
                self.condition(*state.key, f"{state.kind.title}: over, {meter} answers", on=False)
        if not doubtful:
            self._heard = None

    def _is_answered(self, key: Key, heard: Collection[str]) -> bool:
        """Whether these meters, having answered, contradict an alarm."""
        if key.code == SITE_SILENT:
            left = [line for line in self._awake() if not self._lines[line].keys() & heard]
            return not grouping.enough(len(left), len(self._awake()))
        if key.code == METERS_SILENT:
            return not grouping.enough(len(self._lines[key.line].keys() - heard), None)
        return key.source in heard or (key.source == GATEWAY and bool(self._lines[key.line].keys() & heard))

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
            self._keep()

    def tick(self) -> int:
        """Look at the recorder, and do what has fallen due. Returns when the next thing does, by the schedule."""
        trouble = self._books.trouble
        text = f"recording stopped ({trouble.reason}): {trouble.problem}" if trouble else "recording goes on"
        self.condition(GATEWAY, STOPPED, "store", text, on=trouble is not None)
        self._settle()
        now = self._clock.schedule_ms()
        self._keep()
        return min((due for state in self._states.values() for due in state.next_ms()), default=now + 1000)

    def _settle(self) -> None:
        """Raise what is ripe, clear what is over, take back what was shelved for so long."""
        now, cleared = self._clock.schedule_ms(), False
        self._gather(now)
        for state in list(self._states.values()):
            row = state.row
            if state.ripe(now) and not state.raised and not state.held:
                self._raise(state)
            elif state.over(now):
                self._clear(state, state.text)
                cleared = True
            if row is not None and row.shelved_until_ms is not None and self._clock.now_ms() >= row.shelved_until_ms:
                self._take_back(state, {"reason": "its time is over"})
            if state.forgotten(now):
                del self._states[state.key]
        if cleared:
            self._gather(now)  # what was held under it is free, and has its delay from now on

    def _raise(self, state: State) -> None:
        key, now_ms = state.key, self._clock.now_ms()
        if state.row is None:
            self._last += 1
            row = AlarmRow(self._last, *key, state.text, state.since_ms, now_ms)
        else:
            row = replace(state.row, text=state.text, since_ms=state.since_ms, raised_ms=now_ms, cleared_ms=None)
            row = replace(row, acked_ms=None, acked_by=None, times=row.times + 1)
        log.warning("alarm %s: %s", key.code, state.text, extra=_about(key))
        self._sign(state, raised=True)
        self._change(state, row)

    def _clear(self, state: State, text: str, *, by_itself: bool = False) -> None:
        """It is over; ``by_itself``: nobody needs to acknowledge that it was."""
        assert state.row is not None
        now_ms = self._clock.now_ms()
        log.info("alarm %s is over: %s", state.key.code, text, extra=_about(state.key))
        state.text = text
        self._sign(state, raised=False)
        row = replace(state.row, cleared_ms=now_ms)
        self._change(state, replace(row, acked_ms=row.acked_ms or now_ms) if by_itself else row)

    # — many that are one —

    def _awake(self) -> list[str]:
        """The lines but for those whose meters all sleep."""
        return [line for line in self._lines if not self._asleep(line)]

    def _gather(self, now: int) -> None:
        lost: dict[str, list[State]] = {}
        down: list[State] = []
        for state in self._states.values():
            line = state.key.line
            if state.key.code == COMMS_LOST and line in self._lines:
                lost.setdefault(line, []).append(state)
            elif state.key.code == METERS_SILENT and line in self._lines:
                lost.setdefault(line, [])
            elif state.key.code == LINE_DOWN:
                down.append(state)
        silent = {state.key.line for state in down if state.on}
        awake = len(self._awake())
        self._one(now, down, Key(GATEWAY, SITE_SILENT, SITE), awake, awake, set())
        for line, states in lost.items():
            self._one(now, states, Key(GATEWAY, METERS_SILENT, line), len(self._lines[line]), None, silent)

    def _one(self, now: int, parts: list[State], key: Key, of: int, all_: int | None, silent: set[str]) -> None:
        """Let one alarm stand for many; those of a line that is itself silent are held all the same."""
        whole, on = self._states.get(key), [part for part in parts if part.on]
        for part in parts:
            part.hold(now, held=key.line in silent or (whole is not None and whole.raised))
        if whole is not None and whole.raised:
            if grouping.enough(len(on), all_):
                self._grow(now, whole, self._words(key, on, of))
            elif whole.on:
                whole.end(now)
                whole.text = f"{whole.kind.title}: over; {len(on)} of {of} do not answer"
        elif key.line not in silent:
            members = [grouping.Member(str(i), p.since_ms, not p.raised and p.ripe(now)) for i, p in enumerate(on)]
            crowd = [on[int(one.name)] for one in grouping.together(members, all_, self._window_ms)]
            if crowd:
                whole = self._states[key] = self._states.get(key) or State(key, kind_of(key.code), "")
                self._stand_for(now, whole, crowd, of)

    def _grow(self, now: int, whole: State, text: str) -> None:
        whole.begin(now, whole.since_ms, 0)
        assert whole.row is not None
        if whole.row.text != text:
            whole.text = text
            self._change(whole, replace(whole.row, text=text))

    def _stand_for(self, now: int, whole: State, crowd: list[State], of: int) -> None:
        """Raise it, and put away those of its parts that came a moment before it and nobody has touched."""
        since = crowd[-1].since_ms if len(crowd) == of else next(part.since_ms for part in crowd if not part.raised)
        whole.text = self._words(whole.key, crowd, of)
        whole.begin(now, since, 0)
        self._raise(whole)
        for part in crowd:
            near = abs(part.since_ms - since) <= self._window_ms
            if part.row is not None and part.row.untouched and near:
                self._clear(part, f"part of what is told as {whole.key.code} now", by_itself=True)
            part.hold(now, held=True)

    def _words(self, key: Key, parts: Sequence[State], of: int) -> str:
        how_many = f"all {of}" if len(parts) == of else f"{len(parts)} of {of}"
        advice = kind_of(key.code).advice
        if key.code == METERS_SILENT:
            meters = grouping.names([part.key.source for part in parts])
            return f"{key.line}: {how_many} meters do not answer ({meters}); {advice}"
        lines = {part.key.line: _cause(part) for part in parts}
        meters_n = sum(len(self._lines.get(line, ())) for line in lines)
        causes = "; ".join(f"{line}: {lines[line]}" for line in grouping.named(list(lines)))
        if grouping.one_subnet(map(self._host, lines)):
            advice = f"check the gateway's own network and its switch; {advice}"
        head = f"{how_many} lines with {meters_n} meters do not answer ({grouping.names(list(lines))})"
        return f"{head}; {causes}; {advice}"

    def _inherit(self, rows: Iterable[AlarmRow]) -> None:
        """What stood before the start."""
        now = self._clock.schedule_ms()
        for row in rows:
            key = Key(row.source, row.code, row.line)
            kind = kind_of(row.code)
            state = State(key, kind, f"{kind.title}: over", since_ms=row.since_ms, row=row)
            if state.kind.renewed == "ends":
                state.over_ms = now
            else:
                state.doubt(now)
            if self._is_no_more(key):
                state.over_ms = now
            self._states[key] = state


def _cause(part: State) -> str:
    """Why one line of many does not answer, without its name, its meters and what to do about it."""
    return part.text.removeprefix(f"{part.key.line}: ").partition("; ")[0].partition(" (meter")[0]


def _about(key: Key) -> dict[str, str | None]:
    """What a journal keeps of a line about an alarm, beside its text."""
    return {"code": key.code, "line": key.line, "meter": None if key.source == GATEWAY else key.source}


def orders(board: AlarmBoard) -> dict[str, Order]:
    """What can be ordered of the board; each act with the name of the user who is to stand in its event."""

    async def alarms(_: Mapping[str, Any]) -> dict[str, Any]:
        standing, shelved = board.standing(), board.shelved()
        return {"alarms": [row.as_json() for row in standing], "shelved": [row.as_json() for row in shelved]}

    async def acknowledge(order: Mapping[str, Any]) -> dict[str, Any]:
        return (await board.acknowledge(order["id"], order["user"])).as_json()

    async def shelve(order: Mapping[str, Any]) -> dict[str, Any]:
        row = await board.shelve(order["id"], order["user"], order["for_ms"], order.get("reason", ""))
        return row.as_json()

    async def unshelve(order: Mapping[str, Any]) -> dict[str, Any]:
        return (await board.unshelve(order["id"], order["user"])).as_json()

    return {"alarms": alarms, "acknowledge": acknowledge, "shelve": shelve, "unshelve": unshelve}
