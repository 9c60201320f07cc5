"""P1 source: the telegrams of a meter's customer port, as the messages of the meters in them. It only reads."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.clock import Clock
from gateway.devices.decode_text import UNCHECKED, MessageBlock, other_unit
from gateway.devices.points import UNRECORDED
from gateway.fieldbus.obis.splitter import Damaged, Splitter, Whole
from gateway.fieldbus.obis.telegrams import Telegram, parse
from gateway.fieldbus.wire.errors import LineDown, broken
from gateway.fieldbus.wire.keys import Unit
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.source import Heard, open_to_read
from gateway.fieldbus.wire.stream_link import ReadEnd
from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from gateway.records import Token

UNENDED_SERIAL_S, UNENDED_TCP_S = 2.0, 10.0
"""A telegram that goes on no sooner is damaged."""
LOOK_S = 0.5
HELD_UP_S = 5.0
"""After so long without a look at the port, when the bytes in it came is not known: they are passed over."""
MOST_NAMES = 200


@dataclass(slots=True)
class P1Facts:
    """What was seen of a port over all its openings: telegrams by what became of them (``heard``, ``unchecked`` ones
    among them, or why they are damaged), by meter the codes that no point stands for, and the ``units`` by code that
    are not those of its points."""

    counts: Counter[str] = field(default_factory=Counter)
    unnamed: dict[str, set[str]] = field(default_factory=dict)
    units: dict[str, dict[str, str]] = field(default_factory=dict)
    skipped_bytes: int = 0

    @property
    def strays(self) -> Counter[str]:
        """Damaged telegrams."""
        return +Counter(damaged=sum(self.counts.values()) - self.counts["heard"] - self.counts["unchecked"])

    @property
    def came(self) -> Counter[str]:
        """Telegrams as ``counts`` has them, the whole ones too, and ``bytes`` outside of any."""
        return Counter({**self.counts, "bytes": self.skipped_bytes})

    def as_json(self) -> dict[str, Any]:
        """Plain data, for `status`."""
        return {"telegrams": dict(self.counts), "skipped_bytes": self.skipped_bytes, "units": self.units}

    def refusals(self) -> list[dict[str, Any]]:
        """Nothing is kept of what is damaged."""
        return []


@dataclass(frozen=True, slots=True)
class Channel:
    """A meter of the configuration on its channel. ``places``: of its recorded points, by name. ``identity``: places of
    what tells who it is."""

    meter: str
    unit: str
    block: MessageBlock
    places: Mapping[str, str]
    known: frozenset[str]


def channels(spec: LineSpec) -> list[Channel]:
    """The meters of a line. A block holds what tells who the meter is, recorded or not."""
    found = []
    for meter in spec.meters:
        names = {point.name for point in meter.points}
        who = tuple(p for p in meter.profile.points if p.name in meter.profile.identity and p.name not in names)
        block = MessageBlock(f"P1 {meter.address}", (*meter.points, *who))
        places = {point.name: point.at.where for point in meter.points if point.kind not in UNRECORDED}
        known = frozenset(point.at.where.partition("/")[0] for point in meter.profile.points)
        found.append(Channel(meter.name, str(meter.address), block, places, known))
    return found


class P1Source:
    """See ``wire.source.Source``. Event loop only; nothing that it has could send a byte."""

    def __init__(self, end: ReadEnd, spec: LineSpec, clock: Clock, facts: P1Facts) -> None:
        self._end, self._channels, self._clock, self._facts = end, channels(spec), clock, facts
        self._loop = asyncio.get_running_loop()
        self._unended_s = UNENDED_SERIAL_S if spec.port is not None else UNENDED_TCP_S
        self._heard: asyncio.Queue[Heard | LineDown] = asyncio.Queue()
        self._splitter, self._is_open = Splitter(), True
        self._looked_at = self._fed_at = self._loop.time()
        self._loop.add_reader(end.fd, self._readable)
        self._looking = self._loop.call_later(LOOK_S, self._look)

    async def hear(self) -> Heard:
        """The next message; LineDown when the port is gone."""
        found = await self._heard.get()
        if isinstance(found, LineDown):
            raise found
        return found

    def connected(self, unit: Unit) -> bool:
        """The port is open."""
        return self._is_open

    def reply(self, unit: Unit, token: Token) -> None:
        """Nothing: nobody waits for anything."""

    def release(self, unit: Unit, token: Token) -> None:
        """Nothing."""

    def close(self) -> None:
        """Release the port."""
        if self._is_open:
            self._is_open = False
            self._looking.cancel()
            self._loop.remove_reader(self._end.fd)
            self._end.close()

    def _readable(self) -> None:
        """Take all that waits in the kernel. Of several telegrams that do, the newest counts: when the others came is
        not known."""
        now = self._loop.time()
        is_known, newest = now - self._looked_at < HELD_UP_S, None
        self._looked_at = now
        while self._is_open:
            try:
                data = self._end.read()
            except OSError as error:
                self._gone(broken(Message("line-read-failed", error=os_error(error)), error))
                break
            if data is None:
                break
            if not data:
                self._gone(LineDown(Message("line-other-end-gone")))
                break
            self._fed_at = now
            self._splitter.feed(data)
            newest = self._whole() or newest
        if newest is not None and is_known:
            self._tell(newest)
        self._facts.skipped_bytes += self._splitter.skipped
        self._splitter.skipped = 0

    def _look(self) -> None:
        self._readable()
        if self._splitter.pending and self._loop.time() - self._fed_at >= self._unended_s:
            self._damaged(self._splitter.give_up())
        if self._is_open:
            self._looking = self._loop.call_later(LOOK_S, self._look)

    def _gone(self, why: LineDown) -> None:
        self.close()
        self._heard.put_nowait(why)

    def _damaged(self, found: Damaged | None) -> None:
        if found is not None:
            self._facts.counts[found.reason] += 1

    def _whole(self) -> tuple[Telegram, bool] | None:
        """The newest telegram of what was fed, and whether a check value vouches for it."""
        newest = None
        while (found := self._splitter.take()) is not None:
            if isinstance(found, Damaged):
                self._damaged(found)
                continue
            telegram = judged(found)
            if isinstance(telegram, Damaged):
                self._damaged(telegram)
                continue
            self._facts.counts["heard" if found.checked else "unchecked"] += 1
            newest = telegram, found.checked
        return newest

    def _tell(self, newest: tuple[Telegram, bool]) -> None:
        """Hand on what a telegram says of each meter."""
        telegram, checked = newest
        now_ms = self._clock.now_ms()
        for channel in self._channels:
            held = telegram.channels.get(channel.unit)
            if held is None:
                continue
            codes = {place.partition("/")[0] for place in held} - channel.known
            unnamed = self._facts.unnamed.setdefault(channel.meter, set())
            unnamed.update(sorted(codes - unnamed)[: MOST_NAMES - len(unnamed)])
            missing = frozenset(name for name, place in channel.places.items() if place not in held)
            units = {p.at.where: unit for p in channel.block.points if (unit := other_unit(p, held)) is not None}
            if units or channel.meter in self._facts.units:
                self._facts.units[channel.meter] = units
            raw = held if checked else {**held, UNCHECKED: ""}
            label_ms = telegram.label_ms(channel.unit)
            self._heard.put_nowait(Heard(channel.unit, channel.block, raw, now_ms, label_ms, missing=missing))


def judged(whole: Whole) -> Telegram | Damaged:
    """What a whole telegram says. One of an edition that has a check value, and without one, is damaged."""
    telegram = parse(whole.text)
    return Damaged("end") if telegram.names_version and not whole.checked else telegram


def _damage(reason: str, count: int) -> Message:
    """The message for ``count`` telegrams that were damaged for this reason (``splitter.Damaged``)."""
    match reason:
        case "crc":
            return Message("p1-damaged-crc", count=count)
        case "parity":
            return Message("p1-damaged-parity", count=count)
        case "end":
            return Message("p1-damaged-end", count=count)
        case "unended":
            return Message("p1-damaged-unended", count=count)
        case _:
            return Message("p1-damaged-length", count=count)


class P1Kind:
    """See ``listening.sources.SourceKind``. Stateless."""

    series, gathers, identified = False, False, True

    def meters(self, spec: LineSpec) -> Mapping[tuple[Unit, Message], str]:
        """The meters of a line, by their channels."""
        return {(channel.unit, channel.block.label()): channel.meter for channel in channels(spec)}

    def place(self, heard: Heard) -> tuple[Unit, Message]:
        """A channel is one meter."""
        return heard.unit, heard.block.label()

    def silence(self, spec: LineSpec, meter: MeterSpec | None, came: Counter[str]) -> Message:
        """Telegrams that hold no channel of a meter, damaged ones, bytes that are none, or nothing."""
        line, where = spec.name, spec.where
        if meter is not None or came["heard"] or came["unchecked"]:
            meters = spec.meters if meter is None else (meter,)
            names, channels = tuple(m.name for m in meters), tuple(str(m.address) for m in meters)
            return Message("p1-channel-missing", line=line, meters=names, channels=channels, where=where)
        if damaged := {reason: n for reason, n in came.items() if reason != "bytes"}:
            reasons = tuple(_damage(reason, n) for reason, n in sorted(damaged.items()))
            return Message("p1-only-damaged", line=line, where=where, n=sum(damaged.values()), reasons=reasons)
        if came["bytes"]:
            return Message("p1-no-telegram", line=line, where=where, n=came["bytes"])
        return Message("p1-silent", line=line, where=where)

    def facts(self, spec: LineSpec) -> P1Facts:
        """Those of a line that is new."""
        return P1Facts()

    async def open(self, spec: LineSpec, clock: Clock, facts: P1Facts) -> P1Source:
        """Listen. Raises PortError, or LineDown."""
        return P1Source(ReadEnd(await open_to_read(spec)), spec, clock, facts)
