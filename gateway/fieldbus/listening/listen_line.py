"""Listening line worker: hears what the meters of one line send unasked, and reports every due poll exactly once."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from types import MappingProxyType
from typing import Any, Literal

from gateway.clock import Clock
from gateway.fieldbus.listening.expected import Expected, Series, State
from gateway.fieldbus.listening.listen_alarms import ListenAlarms
from gateway.fieldbus.listening.listened_meter import ListenedMeter
from gateway.fieldbus.listening.pairs import Pairs
from gateway.fieldbus.listening.recognition import Recognition
from gateway.fieldbus.listening.sources import SourceKind
from gateway.fieldbus.listening.writes import Writes
from gateway.fieldbus.modbus.passive_source import PassiveFacts
from gateway.fieldbus.specs import Alarm, Poll
from gateway.fieldbus.wire.errors import FieldbusError, LineDown, PortError
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.source import Crowded, Heard, Source, Wrote
from gateway.messages.reasons import Read, cause_of
from gateway.process.heartbeats import beat
from gateway.records import Token
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Quality
from ledger_client.messages import Sentence

log = logging.getLogger("meterseal.fieldbus")

FIRST_REOPEN_S, LAST_REOPEN_S = 2.0, 30.0
OPEN_WITHIN_S = 60.0

Standing = Literal["new", "waiting", "recorded", "unknown"]
"""What has become of a message: it is to be taken; it waits for its commit; it is durable; nobody can tell now."""


class ListenLine:
    """One line on which nothing is asked, and its meters. A ``FieldLine``. Owned by the event loop.

    ``counters`` counts polls by outcome, ``repeated`` messages, those that no meter stands for (``unknown``), and those
    that hold nothing to record (``empty``), which are answered at once and are no poll.

    Args:
        kind: of its source.
        on_poll: called with each due poll, exactly once.
        on_alarm: called when an alarm begins and when it ends; None: alarms go to the log.
        standing: what has become of a message of this meter, by its token.
        moments: the last moment of a meter's series by the schedule's clock, as the database knows it; None: it has
            none, and begins with the anchor.
        facts: what an earlier line of this process knows of its source.
        identities: by meter, who values are accepted from, where what is heard tells who it is.
        happened: takes signed events of a meter.
        doubted: of an overheard line, meters whose answers had no certain question when this was last known.
    """

    def __init__(
        self,
        spec: LineSpec,
        kind: SourceKind,
        clock: Clock,
        on_poll: Callable[[Poll], None],
        *,
        on_alarm: Callable[[Alarm], None] | None = None,
        standing: Callable[[str, Token], Standing] = lambda meter, token: "new",
        moments: Callable[[str], int | None] = lambda meter: None,
        facts: Any = None,
        identities: Mapping[str, str] = MappingProxyType({}),
        happened: Callable[[str, Event], None] = lambda meter, event: None,
        doubted: Collection[str] = (),
    ) -> None:
        self.spec, self.kind, self._clock, self._on_poll = spec, kind, clock, on_poll
        self._standing, self._moments = standing, moments
        self.facts = kind.facts(spec) if facts is None else facts
        self._polls, self.busy_s = Counter[str](), 0.0
        self._meters = {meter.name: self._meter(meter, identities.get(meter.name)) for meter in spec.meters}
        self._places = kind.meters(spec)
        self._units = {name: place[0] for place, name in self._places.items()}
        if isinstance(self.facts, PassiveFacts):
            self.facts.doubted.update(self._units[name] for name in doubted)
        self._writes = Writes(happened)
        self._alarms = ListenAlarms(spec, kind, self.facts, on_alarm)
        self._anchor_ms = self._soonest_ms = 0
        """The latter: no wait ends before."""
        self._source: Source | None = None
        self._down_because: Sentence | None = None
        self._reopen_at, self._reopen_s = float("-inf"), FIRST_REOPEN_S
        self._another_at: int | None = None
        """When another device last spoke, by the schedule's clock."""
        self._stopping = False
        self._wake: asyncio.Future[None] | None = None

    # — as of FieldLine —

    async def run(self, anchor_ms: int, from_ms: int | None = None) -> None:
        """Report every due poll once until ``request_stop``. No fault of a device or a port ends it."""
        self._anchor_ms = anchor_ms
        for meter in self._meters.values():
            meter.expected = self._expected(meter, from_ms)
        hearing: asyncio.Task[LineDown] | None = None
        try:
            while not self._stopping:
                beat()
                if self._source is None and self._clock.monotonic() >= self._reopen_at:
                    await self._open()
                    hearing = asyncio.create_task(self._hear(self._source)) if self._source is not None else None
                self._settle(self._clock.schedule_ms())
                self._alarms.crowd_over(self._clock.schedule_ms())
                await self._sleep(hearing)
                if hearing is not None and hearing.done():
                    self._lost(hearing.result())
                    hearing = None
        finally:
            if hearing is not None:
                hearing.cancel()
                await asyncio.wait([hearing])
            self._close()

    @property
    def counters(self) -> Counter[str]:
        """Polls by outcome, and frames that are none of its meters' by kind."""
        return self._polls + self.facts.strays

    @property
    def up(self) -> bool:
        """It is open, and not all of its meters are silent."""
        return self._source is not None and len(self.silent) < len(self._meters)

    @property
    def asleep(self) -> bool:
        """Never: what sends by itself is not expected to sleep."""
        return False

    @property
    def silent(self) -> list[str]:
        """Its meters that send nothing."""
        return [name for name, meter in self._meters.items() if meter.silent]

    @property
    def shared(self) -> bool:
        """Never: nothing is asked that another's question could be taken for."""
        return False

    def request_stop(self) -> None:
        """``run`` then returns. What was heard and is not durable is not replied to; its sender sends it again."""
        self._stopping = True
        self._notify()

    def accept(self, meter: str, identity: str | None) -> None:
        """Take values from the meter that now has this identity, None: from whoever is heard next. A station that sends
        is who it says."""
        if (known := self._meters[meter].known) is not None:
            known.accept(identity)

    def unproven(self, meter: str) -> bool:
        """Its identity was not read since it came into doubt; so for a meter without one."""
        known = self._meters[meter].known
        return known is None or known.unproven

    def stranger(self, meter: str) -> str | None:
        """As another master reads it, or as it sends it."""
        known = self._meters[meter].known
        return known.stranger if known is not None else None

    def identity(self, meter: str) -> str | None:
        """As another master reads it, or as it sends it."""
        known = self._meters[meter].known
        return known.identity if known is not None else None

    def clear_shared(self) -> str:
        """Nothing: no other master is listened for."""
        return ""

    def last_answered(self, meter: str) -> Poll | None:
        """The last poll of this meter that was reported with a message."""
        return self._meters[meter].answered

    # — beyond it —

    def has(self, meter: str) -> bool:
        """The meter is one of this line."""
        return meter in self._meters

    def replied(self, meter: str, token: Token) -> None:
        """The record of a message is durable: acknowledge it to its sender."""
        self._meters[meter].ended(token)
        if self._source is not None:
            self._source.reply(self._units[meter], token)

    def not_recorded(self, meter: str, token: Token) -> None:
        """A message will not be recorded: it is not acknowledged, and the next message is read."""
        self._meters[meter].ended(token)
        if self._source is not None:
            self._source.release(self._units[meter], token)

    def messages(self) -> dict[str, dict[str, Any]]:
        """For `status`, by meter: ``ListenedMeter.facts``, and what its profile does not name of its messages."""
        unnamed: Mapping[str, set[str]] = self.facts.unnamed
        return {name: {**m.facts(), "unnamed": sorted(unnamed.get(name, ()))} for name, m in self._meters.items()}

    # — within —

    def _meter(self, spec: MeterSpec, identity: str | None) -> ListenedMeter:
        known = Recognition(spec.profile.identity, identity) if self.kind.identified else None
        return ListenedMeter(spec, Pairs(self.spec, spec, known) if self.kind.gathers else None, known)

    def _expected(self, meter: ListenedMeter, from_ms: int | None) -> Expected:
        every_ms = meter.spec.period_ms
        if self.kind.series:
            return Series(every_ms, self._anchor_ms, self._moments(meter.spec.name))
        return State(every_ms, self._anchor_ms, from_ms)

    async def _open(self) -> None:
        """Try to open the line; the next try is due later and later."""
        beat(OPEN_WITHIN_S)
        try:
            self._source = await self.kind.open(self.spec, self._clock, self.facts)
        except FieldbusError as error:
            self._reopen_at = self._clock.monotonic() + self._reopen_s
            self._down(error.what if isinstance(error, PortError) else error.sentence)
            self._reopen_s = min(2 * self._reopen_s, LAST_REOPEN_S)
            return
        if self._down_because is not None:
            log.info("%s: %s is open again", self.spec.name, self.spec.where, extra={"line": self.spec.name})
        self._down_because, self._reopen_s = None, FIRST_REOPEN_S

    def _lost(self, why: LineDown) -> None:
        """The line broke off."""
        self._close()
        for meter in self._meters.values():
            if meter.known is not None:
                meter.known.doubt()
        self._reopen_at = self._clock.monotonic() + self._reopen_s
        self._down(why.sentence)

    def _down(self, because: Sentence) -> None:
        if because != self._down_because:
            what = because if isinstance(because, str) else because.problem
            text = "%s: cannot be used: %s; trying again"
            log.info(text, self.spec.name, what, extra={"line": self.spec.name})
        self._down_because = because
        self._alarms.port_gone(because)

    def _close(self) -> None:
        if self._source is not None:
            self._source.close()
            self._source = None

    async def _hear(self, source: Source) -> LineDown:
        """Take what is heard, until the line breaks off; gives why it did."""
        try:
            while True:
                self._take(await source.hear())
                await asyncio.sleep(0)  # hundreds of loggers send at once what they kept through an outage
        except LineDown as error:
            return error

    def _take(self, heard: Heard | Wrote | Crowded) -> None:
        """One message, what another master did, or that there are too many connections."""
        if isinstance(heard, Wrote):
            self._wrote(heard)
            return
        if isinstance(heard, Crowded):
            self._alarms.crowded(heard, self._clock.schedule_ms())
            self._notify()
            return
        now_ms = self._clock.schedule_ms()
        at_ms = min(now_ms, now_ms - (self._clock.record_ms(now_ms) - heard.completed_ms))
        self._settle(at_ms)
        name = self._places.get(self.kind.place(heard))
        if name is None:
            self._polls["unknown"] += 1
            self._another_at = at_ms
            return
        meter = self._meters[name]
        meter.heard(heard)
        if meter.pairs is not None:
            if at_ms >= meter.expected.ends_ms - meter.spec.period_ms:
                meter.pairs.take(heard)
        elif meter.is_empty(heard):
            self._polls["empty"] += 1
            if heard.token is not None:
                self.replied(name, heard.token)
        elif heard.token is not None and (standing := self._standing(name, heard.token)) != "new":
            self._repeated(meter, heard.token, standing)
        else:
            self._report(meter, heard, at_ms)
        if heard.refused is None:
            self._alarms.heard(meter)

    def _wrote(self, wrote: Wrote) -> None:
        """Another master wrote: to one meter, or (unit 0) to all."""
        for name, meter in self._meters.items():
            if wrote.unit in (0, meter.spec.address):
                self._polls["writes"] += 1
                self._writes.heard(name, wrote)
                self._alarms.wrote(meter, wrote, self._clock.schedule_ms())

    def _repeated(self, meter: ListenedMeter, token: Token, standing: Standing) -> None:
        """A message that was taken before, or of which nobody can tell now: it is no record."""
        self._polls["repeated"] += 1
        if standing == "recorded":
            self.replied(meter.spec.name, token)
        elif standing == "unknown":
            self.not_recorded(meter.spec.name, token)

    def _report(self, meter: ListenedMeter, heard: Heard, at_ms: int) -> None:
        """A new message is the poll that is due, if one is."""
        if self.kind.series:
            meter.interval.heard(at_ms, heard.label_ms)
        due_ms = meter.expected.heard(at_ms, late=meter.late(heard))
        if due_ms is not None:
            poll = meter.poll(heard, due_ms)
            self._polls[poll.missed or "answered"] += 1
            self._alarms.exchanged(meter)
            self._on_poll(poll)

    def _settle(self, now_ms: int) -> None:
        """Report what was waited for in vain until now."""
        if now_ms < self._soonest_ms:
            return
        for meter in self._meters.values():
            for due_ms in meter.expected.missed(now_ms):
                if (poll := meter.gathered(due_ms)) is not None:
                    self._polls[poll.missed or "answered"] += 1
                    self._alarms.exchanged(meter)
                    self._on_poll(poll)
                    continue
                meter.missed()
                reason = self._reason(meter, due_ms)
                if reason == "no-shape":
                    self._alarms.uncertain(meter)
                self._polls[reason] += 1
                flags = int(Quality.METER_EXCHANGED) if reason == "exchanged" else 0
                read: Read = "overheard" if self.spec.passive else "pushed" if self.spec.type == "p1" else "sends"
                cause = cause_of(reason, read, port_gone=self._source is None)
                detail = self._down_because or ""
                self._on_poll(Poll(meter.spec.name, due_ms, missed=reason, flags=flags, detail=detail, cause=cause))
        if self._source is not None:
            self._alarms.missed(self._meters.values())
            self._alarms.writes_over(now_ms)
        self._soonest_ms = min(meter.expected.ends_ms for meter in self._meters.values())

    def _reason(self, meter: ListenedMeter, due_ms: int) -> str:
        """Why a message has not come."""
        if due_ms < self._anchor_ms:
            return "stopped"
        if self._source is None or not self._source.connected(self._units[meter.spec.name]):
            return "line-down"
        if meter.uncertain:
            return "no-shape"
        if not self.kind.series and self._another_at is not None and self._another_at >= due_ms:
            return "exchanged"
        return "timeout"

    def _notify(self) -> None:
        if self._wake is not None and not self._wake.done():
            self._wake.set_result(None)

    async def _sleep(self, hearing: asyncio.Task[LineDown] | None) -> None:
        """Until a wait ends, the line breaks off or may be opened again, or stop was asked for."""
        if self._stopping:
            return
        seconds = (self._soonest_ms - self._clock.schedule_ms()) / 1000
        if self._source is None:
            seconds = min(seconds, self._reopen_at - self._clock.monotonic())
        if self._alarms.crowd_ends_ms is not None:
            seconds = min(seconds, (self._alarms.crowd_ends_ms - self._clock.schedule_ms()) / 1000)
        loop = asyncio.get_running_loop()
        self._wake = loop.create_future()
        beat(max(0.0, seconds))
        timer = loop.call_later(max(0.0, seconds), self._notify)
        try:
            waits: list[asyncio.Future[Any]] = [self._wake] if hearing is None else [self._wake, hearing]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            self._wake = None
