"""Line worker: opens one physical line, polls its meters on schedule, reports every due poll exactly once."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial

from gateway.clock import Clock
from gateway.fieldbus.diagnosis import is_no_frame
from gateway.fieldbus.dialects import DIALECTS
from gateway.fieldbus.polling import open_line
from gateway.fieldbus.polling.line_alarms import LineAlarms
from gateway.fieldbus.polling.line_monitor import LineMonitor
from gateway.fieldbus.polling.meter_state import MeterState
from gateway.fieldbus.polling.overload_alarm import OverloadAlarm
from gateway.fieldbus.polling.poll import AttemptResult, PollAttempt
from gateway.fieldbus.polling.schedule import Schedule
from gateway.fieldbus.polling.sleep import NOTHING, PowerRecord, Sleepers
from gateway.fieldbus.read_budget import identity_every_s
from gateway.fieldbus.specs import Alarm, BlockAnswer, Poll
from gateway.fieldbus.wire.connections import Endpoint
from gateway.fieldbus.wire.errors import FieldbusError, LineDown, PortError, Unreachable
from gateway.fieldbus.wire.keys import KeyTable, Unit
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.link import Link
from gateway.messages.message import Message
from gateway.messages.reasons import cause_of
from gateway.process.failpoints import failpoint
from gateway.process.heartbeats import beat
from ledger_client.formats.senml import Quality
from ledger_client.messages import Sentence

log = logging.getLogger("meterseal.fieldbus")

Waits = Callable[[str, float], object]

REOPEN_S, OPEN_WITHIN_S, DIAL_S = 2.0, 60.0, 60.0
LOOK_S = 5.0
"""Seconds between two looks at who has connected, on a line whose devices connect."""
UNANSWERED = frozenset({"timeout", "line-down", "backoff", "skipped", "no-shape"})
"""Why a poll of a silent meter is missed, sent or not; of one that sleeps it is `asleep` instead."""


class Line:
    """One line and its meters. Owned by the event loop: every field is used there only.

    ``counters`` counts polls by outcome and stray frames by kind.

    Args:
        on_poll: called with each due poll, exactly once.
        on_alarm: called when an alarm begins and when it ends; None: alarms go to the log.
        doubts: called with meter and answer of each answered block; true: the block is read once more at once, after
            the meter's pause and in another shape, and the poll carries both answers.
        identities: the meters' accepted identities by name; read at the start, kept up to date here.
        power: the recorded power of a meter that may sleep (sleep.py).
        used_until_ms: another process may have sent requests on this line until then (Unix ms). Answers may still come,
            so nothing is requested for an answer life (docs/fieldbus.md).
        armed: False removes the guard against late answers, to measure its effect.
        lag_ms: how long after their due times polls begin (startup/line_specs.py).
        endpoint: what an earlier line of this process knows of the port or address.
    """

    def __init__(
        self,
        spec: LineSpec,
        clock: Clock,
        on_poll: Callable[[Poll], None],
        *,
        on_alarm: Callable[[Alarm], None] | None = None,
        doubts: Callable[[str, BlockAnswer], bool] | None = None,
        identities: dict[str, str] | None = None,
        power: Callable[[str], PowerRecord] = lambda meter: NOTHING,
        used_until_ms: int | None = None,
        armed: bool = True,
        lag_ms: int = 0,
        endpoint: Endpoint | None = None,
    ) -> None:
        self.spec = spec
        self._clock, self._on_poll, self._lag_ms = clock, on_poll, lag_ms
        self._identities = {} if identities is None else identities
        before = None if used_until_ms is None else clock.monotonic() - (clock.now_ms() - used_until_ms) / 1000
        self.endpoint = self._known(endpoint, before, armed)
        self._table = self.endpoint.table
        self._monitor = self._new_monitor()
        self._sleepers = Sleepers(spec.meters, power)
        self._alarms = LineAlarms(spec, on_alarm, self._sleepers)
        self._overload = OverloadAlarm(spec, self._alarms)
        self.counters = self._monitor.counters
        self._meters = self._states(doubts, armed)
        self._waiting: dict[str, PollAttempt] = {}
        self._schedule = Schedule({}, 0)
        self._link: Link | None = None
        self._down_because: Sentence | None = None
        self._reopen_at = float("-inf")
        self._silent_probes = 0
        self._stopping = False
        self.busy_s = 0.0
        """For so long it was asked and listened to, since it was made."""
        self._answered: dict[str, Poll] = {}
        self._garbled: set[str] = set()
        """Meters in place of whose last answer came what is no frame."""
        self._wake: asyncio.Future[None] | None = None

    def _known(self, endpoint: Endpoint | None, before: float | None, armed: bool) -> Endpoint:
        """What is known of the port or address. ``before``: others may have asked until that monotonic moment."""
        if endpoint is None:
            return Endpoint(key_table(self.spec, used_until=before, armed=armed))
        endpoint.table.configure(*_lives(self.spec), self._clock.monotonic())
        if before is not None:
            endpoint.table.used_by_others(before)
        return endpoint

    def _new_monitor(self) -> LineMonitor:
        return LineMonitor(
            self.spec.name,
            self._table,
            self._clock.monotonic,
            self._learn,
            self._doubt,
            shared=self.spec.shared,
            other_master=self.endpoint.other_master,
            frail=framing.frail if (framing := DIALECTS[self.spec.type].framing) else b"",
        )

    def _states(self, doubts: Callable[[str, BlockAnswer], bool] | None, armed: bool) -> dict[str, MeterState]:
        """The state of each meter, by name."""
        every_s = identity_every_s(self.spec)
        return {
            meter.name: MeterState(
                self.spec,
                meter,
                self._clock,
                lambda: self._stopping,
                self._identities.get(meter.name),
                doubts=partial(doubts, meter.name) if doubts is not None else None,
                avoided=partial(self._table.avoided, meter.address),
                others_at=partial(self._others_at, meter.name),
                identity_every_s=every_s,
                armed=armed,
            )
            for meter in self.spec.meters
        }

    async def run(self, anchor_ms: int, from_ms: int | None = None) -> None:
        """Poll until ``request_stop``; polls are due at anchor_ms + k × period of each meter, from ``from_ms`` on if
        that is given. No fault of a device or a port ends it."""
        periods = {meter.name: meter.period_ms for meter in self.spec.meters}
        self._schedule = Schedule(periods, anchor_ms, from_ms, cap_ms=self.spec.backoff_cap_ms)
        self._overload.begin(self._now_ms() + math.ceil(1000 * self._table.longest))
        try:
            while not self._stopping:
                beat()
                if self._link is None and self._clock.monotonic() >= self._reopen_at:
                    await self._open()
                if self.endpoint.dialed is not None:
                    self._alarms.two_devices(self.endpoint.dialed.rivals)
                now = self._now_ms()
                for name, due_ms, reason in self._schedule.settle(now):
                    self._report(Poll(name, due_ms, missed=reason))
                await self._overload.look(now)
                if self._link is not None and (chosen := self._schedule.choose(now)):
                    await self._poll(self._link, *chosen)
                else:
                    await self._sleep(self._schedule.wake(now) - now)
        finally:
            self._close()
            self.endpoint.leave()

    @property
    def up(self) -> bool:
        """It is open, and not all of its meters are silent; or they sleep."""
        return (self._link is not None and not self._schedule.fault) or self.asleep

    @property
    def asleep(self) -> bool:
        """All of its meters sleep (sleep.py)."""
        return self._sleepers.all_asleep

    @property
    def silent(self) -> list[str]:
        """Its meters that are asked seldom, for they do not answer."""
        return self._schedule.silent

    def request_stop(self) -> None:
        """Finish the read in flight; ``run`` then returns."""
        self._stopping = True
        self._notify()

    def accept(self, meter: str, identity: str | None) -> None:
        """Take values from the meter that now answers under this name (None: it does not say who it is), from the next
        poll on; its answer life is the configured one again."""
        self._table.as_configured(self._clock.monotonic(), self._meters[meter].spec.address)
        self._meters[meter].accept(identity)
        self._identities.pop(meter, None)
        if identity is not None:
            self._identities[meter] = identity

    def unproven(self, meter: str) -> bool:
        """The device that answers now did not say who it is when it was last asked."""
        return self._meters[meter].unproven

    def stranger(self, meter: str) -> str | None:
        """The identity of another device that answers in place of the known one, None while there is none."""
        return self._meters[meter].stranger

    def clear_shared(self) -> str:
        """The other master was removed from the line: values are not flagged, no shape is avoided, and answer lives are
        the configured ones, until it is heard again. Returns that master's last frame as hex; "" while none is known.
        """
        return self._monitor.clear_shared()

    @property
    def shared(self) -> bool:
        """Another master was heard, and values are flagged."""
        return bool(self._monitor.flags & Quality.SHARED_LINE)

    def identity(self, meter: str) -> str | None:
        """The identity from which values are accepted, None while none was read."""
        return self._meters[meter].identity

    def last_answered(self, meter: str) -> Poll | None:
        """The last poll in which at least one block of this meter answered, with its registers."""
        return self._answered.get(meter)

    async def poll_each(self, meters: Sequence[str], opened: Callable[[], object], waits: Waits) -> list[Poll]:
        """Open the line, poll these meters once, one after the other, close.

        Args:
            opened: called before the first request.
            waits: called with meter and seconds before a wait for a free shape.

        Raises:
            PortError: the serial port cannot be opened.
            LineDown: the network connection cannot be opened.
        """
        try:
            self._link = await open_line.connect(self.spec, self.endpoint, self._monitor.see, wait_s=DIAL_S)
            opened()
            return [await self._poll_once(self._link, meter, waits) for meter in meters]
        finally:
            self._close()
            self.endpoint.leave()

    async def _poll_once(self, link: Link, meter: str, waits: Waits) -> Poll:
        turn = PollAttempt(self._meters[meter], link, self._clock.schedule_ms(), patient=True)
        while True:
            ended = await turn.run()
            if isinstance(ended, AttemptResult):
                return ended.poll
            left_s = ended - self._clock.monotonic()
            waits(meter, left_s)
            await asyncio.sleep(left_s)

    async def _poll(self, link: Link, name: str, due_ms: int) -> None:
        failpoint("poll")
        turn = self._waiting.pop(name, None) if self._waiting else None
        if turn is None:
            turn = PollAttempt(self._meters[name], link, due_ms, probe=self._schedule.dead(name))
        begun = self._clock.monotonic()
        ended = await turn.run()
        now, now_ms = self._clock.monotonic(), self._now_ms()
        turn.spent_s += now - begun
        self.busy_s += now - begun
        if isinstance(ended, AttemptResult):
            self._ended(turn, ended)
        else:
            self._waiting[name] = turn
            self._schedule.waits(name, due_ms, now_ms, now_ms + math.ceil((ended - now) * 1000) + 1)

    def _others_at(self, name: str) -> float:
        """The monotonic moment at which another meter's poll is due."""
        return self._clock.monotonic() + (self._schedule.others_at(name) - self._now_ms()) / 1000

    def _now_ms(self) -> int:
        """The time of its schedule, which lags behind the gateway's."""
        return self._clock.schedule_ms() - self._lag_ms

    def _ended(self, turn: PollAttempt, attempt: AttemptResult) -> None:
        """A poll is over: update schedule, alarms and monitor, and report it."""
        name = turn.meter.spec.name
        was_dead, cost_ms = self._schedule.dead(name), max(1, round(turn.spent_s * 1000))
        self._schedule.finished(name, self._now_ms(), attempt.alive, cost_ms)
        if not was_dead:
            self._overload.made(name, self._now_ms(), turn.spent_s)
        self._sleepers.polled(self._clock.now_ms(), attempt)
        self._alarms.wrong_answers(name, self._monitor.wrong_answer(turn.meter.spec.address))
        self._alarms.polled(self._meters[name], attempt, self._schedule)
        if attempt.alive is not None:
            garbled = not attempt.alive and is_no_frame(attempt.poll.detail)
            (self._garbled.add if garbled else self._garbled.discard)(name)
        if self._schedule.dead(name) and not was_dead:
            detail = str(attempt.poll.detail)
            text = "%s: meter %s is not responding (%s); polling it less often"
            log.warning(text, self.spec.name, name, detail, extra={"line": self.spec.name, "meter": name})
        if attempt.poll.identity is not None:
            self._identities[name] = attempt.poll.identity
        self._monitor.answered(len(attempt.poll.answers), turn.meter.spec.address)
        if (dialed := self.endpoint.dialed) is not None:
            if attempt.poll.answers:
                dialed.polled()
            elif attempt.poll.missed == "exchanged":
                dialed.give_way()
        self._look_after_line(attempt)
        self._report(attempt.poll)

    def _look_after_line(self, attempt: AttemptResult) -> None:
        """Close a line that is gone, or whose meters were all silent in turn; ``run`` opens it again."""
        self._silent_probes = self._silent_probes + 1 if self._schedule.fault and not attempt.alive else 0
        if attempt.down is not None:
            self._close()
            self._down(attempt.down)
        elif self._silent_probes >= len(self._meters):
            self._silent_probes = 0
            self._close()

    async def _open(self) -> None:
        """Try to open the line; the next try is due REOPEN_S later."""
        self._reopen_at = self._clock.monotonic() + REOPEN_S
        beat(OPEN_WITHIN_S)
        try:
            self._link = await open_line.connect(self.spec, self.endpoint, self._monitor.see)
        except FieldbusError as error:
            fault = error.what if isinstance(error, PortError) else error.sentence
            self._sleepers.line_gone(self._clock.now_ms(), unreachable=isinstance(error, Unreachable))
            self._down(fault)
            return
        self._monitor.opened()
        if self._down_because is not None:
            log.info("%s: %s is open again", self.spec.name, self.spec.where, extra={"line": self.spec.name})
        self._down_because = None
        self._schedule.line_up()

    def _down(self, because: Sentence) -> None:
        if because != self._down_because:
            what = because if isinstance(because, str) else because.problem
            log.info("%s: cannot be used: %s; retrying", self.spec.name, what, extra={"line": self.spec.name})
        self._down_because = because
        self._schedule.line_down()
        self._alarms.port_gone(because)

    def _close(self) -> None:
        """Release the line; polls that wait on it end."""
        reason = "stopped" if self._stopping else "line-down"
        while self._waiting:
            _, turn = self._waiting.popitem()
            self._ended(turn, turn.abandon(reason, Message("poll-line-closed")))
        if self._link is not None:
            self._link.close()
            self._link = None

    def _report(self, poll: Poll) -> None:
        if poll.missed in UNANSWERED and self._sleepers.asleep(poll.meter):
            poll = poll._replace(missed="asleep")
        if poll.missed is not None:
            damaged, gone = poll.meter in self._garbled, self._down_because is not None
            poll = poll._replace(cause=cause_of(poll.missed, damaged=damaged, port_gone=gone))
        if not self._schedule.dead(poll.meter) and not self._meters[poll.meter].unasked:
            self._overload.over(poll, self._now_ms())
        self.counters[poll.missed or "answered"] += 1
        if poll.answers:
            self._answered[poll.meter] = poll
        flags = self._monitor.flags_of(self._meters[poll.meter].spec.address)
        self._alarms.heard(self._monitor)
        self._on_poll(poll._replace(flags=poll.flags | flags) if flags else poll)

    def _learn(self, unit: Unit, latency_s: float) -> None:
        for meter in self._meters.values():
            if meter.spec.address == unit:
                meter.learn(latency_s)

    def _doubt(self, unit: Unit) -> None:
        for meter in self._meters.values():
            if meter.spec.address == unit:
                meter.doubt()

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _sleep(self, ms: int) -> None:
        """Until the schedule has something, the line may be opened again, or stop was asked for."""
        seconds = ms / 1000
        if self._link is None:
            seconds = min(seconds, self._reopen_at - self._clock.monotonic())
        if self.endpoint.dialed is not None:
            seconds = min(seconds, LOOK_S)
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        beat(max(0.0, seconds))
        timer = loop.call_later(max(0.0, seconds), self._notify)
        try:
            await self._wake
        finally:
            timer.cancel()
            self._wake = None


def key_table(spec: LineSpec, *, used_until: float | None = None, armed: bool = True) -> KeyTable:
    """The shapes of a line, with each meter's answer life."""
    return KeyTable(*_lives(spec), used_until=used_until, armed=armed)


def _lives(spec: LineSpec) -> tuple[float, dict[Unit, float]]:
    """Answer lives in seconds: the longest, and that of each unit."""
    lives = {meter.address: spec.answer_life_of(meter) / 1000 for meter in spec.meters}
    return max(lives.values()), lives


async def read_once(
    spec: LineSpec,
    meters: Sequence[str],
    clock: Clock,
    *,
    used_until_ms: int | None = None,
    opened: Callable[[], object] = lambda: None,
    waits: Waits = lambda meter, seconds: None,
    endpoint: Endpoint | None = None,
) -> list[Poll]:
    """One poll of each of these meters, now or as soon as late answers to earlier requests can no longer come.

    Args:
        used_until_ms, endpoint: as of ``Line``.
        opened: called before the first request; waits: with meter and seconds before each wait.

    Raises:
        PortError: the line cannot be opened.
    """
    try:
        line = Line(spec, clock, lambda poll: None, used_until_ms=used_until_ms, endpoint=endpoint)
        return await line.poll_each(meters, opened, waits)
    except LineDown as error:
        raise PortError(spec.where, Message("port-not-usable", error=error.sentence)) from None
