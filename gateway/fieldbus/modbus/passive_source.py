"""Passive source: the exchanges of another master's RTU line, as the blocks that they asked for. It only reads."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gateway.clock import Clock
from gateway.devices.points import Point
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.owed_answers import OwedAnswers
from gateway.fieldbus.modbus.passive import Event, Exchange, Pairing
from gateway.fieldbus.wire import stream_link
from gateway.fieldbus.wire.errors import LineDown, broken
from gateway.fieldbus.wire.keys import KeyTable, Unit
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.source import Heard, Wrote, open_to_read
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.records import Token

UNENDED_SERIAL_S, UNENDED_TCP_S = 2.0, 10.0
LOOK_S = 0.1
"""The port is read at least this often; bytes read after a longer pause arrived while the process was held up."""
KERNEL_BYTES = 60_000
"""About so many wait in the kernel; where so many did, there may have been more."""
MOST_BLOCKS = 1000
SURE_AFTER_S = 60.0
"""After listening for so long it counts which points the other master has not asked for."""


@dataclass(slots=True)
class PassiveFacts:
    """What was seen of a line over all its openings: its void keys, what its units may still answer, exchanges and
    bytes by kind, and by meter the names of the points that the other master has asked for. ``doubted``: units whose
    answers had no certain question before this process listened."""

    table: KeyTable
    owed: OwedAnswers
    points: Mapping[str, tuple[str, ...]]
    counts: Counter[str] = field(default_factory=Counter)
    asked: dict[str, set[str]] = field(default_factory=dict)
    since: float | None = None
    looked: PairReader | None = None
    doubted: set[Unit] = field(default_factory=set)

    @property
    def unnamed(self) -> Mapping[str, set[str]]:
        """Nothing: a master's questions name no points."""
        return {}

    @property
    def strays(self) -> Counter[str]:
        """Damaged answers; those whose question was not heard."""
        return +Counter(damaged=self.counts["damaged"], foreign=self.counts["lone"])

    @property
    def never_asked(self) -> dict[str, list[str]]:
        """By meter, after a minute of listening: the points that the other master never asks for."""
        if self.since is None or self.looked is None or self.looked.looked - self.since < SURE_AFTER_S:
            return {}
        missing = {
            meter: [name for name in names if name not in self.asked.get(meter, ())]
            for meter, names in self.points.items()
        }
        return {meter: names for meter, names in missing.items() if names}

    @property
    def came(self) -> Counter[str]:
        """Exchanges and frames by kind; those that were taken, too."""
        return Counter(self.counts)

    def as_json(self) -> dict[str, Any]:
        """Plain data, for `status`."""
        return {"exchanges": dict(self.counts), "never_asked": self.never_asked}

    def refusals(self) -> list[dict[str, Any]]:
        """Nothing is refused."""
        return []


def overheard_points(meter: MeterSpec) -> tuple[Point, ...]:
    """The points of a meter, and those that tell who it is, recorded or not."""
    names = {point.name for point in meter.points}
    who = (p for p in meter.profile.points if p.name in meter.profile.identity and p.name not in names)
    return *meter.points, *who


class Blocks:
    """The block of each question: those of these points that lie wholly in it."""

    def __init__(self, points: Sequence[Point]) -> None:
        self._points = points
        self._known: dict[Request, RegisterBlock] = {}

    def of(self, question: Request) -> RegisterBlock:
        """Always the same for one question."""
        if question not in self._known:
            if len(self._known) >= MOST_BLOCKS:
                self._known.clear()
            end = question.address + question.count
            held = (p for p in self._points if p.fc == question.function)
            inside = [p for p in held if question.address <= p.address and p.end <= end]
            self._known[question] = RegisterBlock.over(question.function, question.address, question.count, inside)
        return self._known[question]


class PairReader:
    """An open port or connection that is read and never written: what is heard goes to ``on_event``, its end to
    ``on_end``. Event loop only; nothing that it has could send a byte."""

    def __init__(
        self,
        end: stream_link.ReadEnd,
        pairing: Pairing,
        on_event: Callable[[Event], None],
        on_end: Callable[[LineDown], None],
    ) -> None:
        self._end, self._pairing, self._on_event, self._on_end = end, pairing, on_event, on_end
        self._loop = asyncio.get_running_loop()
        self.looked, self.is_open = self._loop.time(), True
        self._drained = self.looked
        self._loop.add_reader(end.fd, self._readable)
        self._looking = self._loop.call_later(LOOK_S, self._look)

    def close(self) -> None:
        """Release the port."""
        if self.is_open:
            self.is_open = False
            self._looking.cancel()
            self._loop.remove_reader(self._end.fd)
            self._end.close()

    def _readable(self) -> None:
        """Take all that waits in the kernel."""
        size = 0
        while self.is_open:
            now = self._loop.time()
            try:
                data = self._end.read()
            except OSError as error:
                self._gone(broken(Message("line-read-failed", error=os_error(error)), error))
                return
            if data is None:
                self._drained = now
                break
            if not data:
                self._gone(LineDown(Message("line-other-end-gone")))
                return
            size += len(data)
            self._tell(self._pairing.receive(data, self._loop.time(), self._drained))
        if size >= KERNEL_BYTES:
            self._tell(self._pairing.lost(self._loop.time()))

    def _look(self) -> None:
        self._readable()
        self._tell(self._pairing.expire(self._loop.time()))
        if self.is_open:
            self.looked = self._loop.time()
            self._looking = self._loop.call_later(LOOK_S, self._look)

    def _gone(self, why: LineDown) -> None:
        self.close()
        self._on_end(why)

    def _tell(self, events: list[Event]) -> None:
        for event in events:
            self._on_event(event)


class PassiveSource:
    """See ``wire.source.Source``."""

    def __init__(
        self, end: stream_link.ReadEnd, pairing: Pairing, spec: LineSpec, clock: Clock, facts: PassiveFacts
    ) -> None:
        self._clock, self._facts = clock, facts
        self._meters = {meter.address: (meter, Blocks(overheard_points(meter))) for meter in spec.meters}
        self._heard: asyncio.Queue[Heard | Wrote | LineDown] = asyncio.Queue()
        self._reader = PairReader(end, pairing, self._take, self._heard.put_nowait)
        facts.since = facts.since if facts.since is not None else self._reader.looked
        facts.looked = self._reader

    async def hear(self) -> Heard | Wrote:
        """The next exchange that holds points of a meter, or write; LineDown when the port is gone."""
        found = await self._heard.get()
        if isinstance(found, LineDown):
            raise found
        return found

    def connected(self, unit: Unit) -> bool:
        """The port is open."""
        return self._reader.is_open

    def reply(self, unit: Unit, token: Token) -> None:
        """Nothing: nobody waits for anything."""

    def release(self, unit: Unit, token: Token) -> None:
        """Nothing."""

    def close(self) -> None:
        """Release the port."""
        self._reader.close()

    def _take(self, event: Event) -> None:
        if not isinstance(event, Exchange):
            self._heard.put_nowait(Wrote(event.unit, event.function, event.address, self._clock.at_ms(event.at)))
            return
        if event.question.unit not in self._meters:
            return
        meter, blocks = self._meters[event.question.unit]
        block = blocks.of(event.question)
        if not block.points:
            return
        self._facts.asked.setdefault(meter.name, set()).update(point.name for point in block.points)
        at_ms = self._clock.at_ms(event.ended)
        self._heard.put_nowait(Heard(meter.address, block, event.raw, at_ms, refused=event.refused))


class PassiveKind:
    """See ``listening.sources.SourceKind``. Stateless."""

    series, gathers, identified = False, True, True

    def meters(self, spec: LineSpec) -> Mapping[tuple[Unit, ...], str]:
        """The meters of a line, by their units."""
        return {(meter.address,): meter.name for meter in spec.meters}

    def place(self, heard: Heard) -> tuple[Unit, ...]:
        """A unit is one meter, whatever it is asked for."""
        return (heard.unit,)

    def silence(self, spec: LineSpec, meter: MeterSpec | None, came: Counter[str]) -> Message:
        """That no answer of its meters, or of one, is heard; nothing is sent to this gateway here."""
        if meter is not None:
            return Message("passive-meter-silent", line=spec.name, meter=meter.name, where=spec.where)
        return Message("passive-silent", line=spec.name, where=spec.where)

    def facts(self, spec: LineSpec) -> PassiveFacts:
        """Those of a line that is new."""
        lives_s = _lives_s(spec)
        table = KeyTable(max(lives_s.values()), lives_s)
        return PassiveFacts(table, OwedAnswers(table), _points(spec))

    async def open(self, spec: LineSpec, clock: Clock, facts: PassiveFacts) -> PassiveSource:
        """Listen. Raises PortError, or LineDown. What was asked while nobody listened may still be answered, so nothing
        counts for an answer life."""
        port = await open_to_read(spec)
        now, lives_s = asyncio.get_running_loop().time(), _lives_s(spec)
        facts.table.used_by_others(now)
        facts.owed.lost(now)
        while facts.doubted:
            facts.owed.doubt(facts.doubted.pop(), now)
        facts.table.configure(max(lives_s.values()), lives_s, now)
        facts.points = _points(spec)  # the configuration may be another one
        timeouts_s = {meter.address: spec.timeout_of(meter) / 1000 for meter in spec.meters}
        longest_s = max(timeouts_s.values())
        unended_s = UNENDED_TCP_S if spec.port is None else UNENDED_SERIAL_S
        pairing = Pairing(
            facts.table, lambda unit: timeouts_s.get(unit, longest_s), unended_s, facts.counts, facts.owed
        )
        return PassiveSource(stream_link.ReadEnd(port), pairing, spec, clock, facts)


def _lives_s(spec: LineSpec) -> dict[Unit, float]:
    return {meter.address: spec.answer_life_of(meter) / 1000 for meter in spec.meters}


def _points(spec: LineSpec) -> dict[str, tuple[str, ...]]:
    return {meter.name: tuple(p.name for p in meter.points) for meter in spec.meters}
