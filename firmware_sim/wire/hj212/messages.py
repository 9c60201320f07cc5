"""Messages of an HJ 212 data logger: which kinds of data it makes, when, and what its faults make of them.

They are made at multiples of their interval in the logger's local time, which is that of the plant's calendar: at twice
its speed twice as often. A day on which the clocks are put back has 25 hours. The label of realtime data (CN 2011) is
the moment, that of minutes, hours and days (2051, 2061, 2031) the beginning of the period (HJ 212-2017, table 4).
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta, tzinfo
from random import Random
from typing import NamedTuple, TypeVar

from firmware_sim.clock import SimClock
from firmware_sim.meters.answer_faults import Fault
from firmware_sim.meters.armed import Armed, Choice
from firmware_sim.meters.device import Changes, looking
from firmware_sim.meters.emission_station import Station, items
from firmware_sim.meters.logger_faults import CLOCK, LABEL, PASSWORD, STATION, Faster, text_at
from firmware_sim.meters.packing import Cell, Value
from firmware_sim.meters.register_image import Reply
from firmware_sim.wire.hj212.packets import HAS_PARTS, MOST_SEGMENT_BYTES, VERSION_2017, WANTS_ANSWER, Packet, split

REALTIME, MINUTE, HOUR, DAY = "2011", "2051", "2061", "2031"
MOST_PARTS = 99
LABEL_PLACE = "DataTime"
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True, slots=True)
class Manners:
    """How a logger works. ``every_ms`` by CN: the kinds of data that it makes, and how often."""

    every_ms: Mapping[str, int]
    tz: tzinfo = UTC
    wants_answer: bool = True
    timeout_ms: int = 10_000
    resends: int = 3
    most_cp_bytes: int = 950
    waits_for_part: bool = True
    heartbeat_ms: int = 0
    clock_notice: bool = False
    reconnect_ms: int = 5000


class Met(NamedTuple):
    """A fault that acts on a message or packet, with its generator."""

    armed: Armed
    choice: Choice
    rng: Random


Struck = Sequence[Met]


@dataclass(frozen=True, slots=True)
class Message:
    """One message; ``struck`` acts when it is first sent, ``stuck_ms`` is what a clock shows that stands still.
    ``true``, where a fault struck, is what it would show without."""

    cn: str
    label: str
    texts: Mapping[str, str]
    at_ms: int
    mn: str
    password: str
    struck: Struck
    stuck_ms: int | None = None
    true: Mapping[str, str] = field(default_factory=dict)


class Messages:
    """The messages of one station.

    Args:
        station: what it measures.
        manners: which kinds, and how often.
        faults: in the order of the file.
        clock: the plant's.
        take: called with each message at its time.
    """

    def __init__(
        self,
        station: Station,
        manners: Manners,
        faults: Sequence[Armed],
        clock: SimClock,
        take: Callable[[Message], None],
    ) -> None:
        self._station, self._manners, self._faults = station, manners, faults
        self._clock, self._take = clock, take

    async def make(self, cn: str) -> None:
        """Make the messages of one kind, until the task is cancelled."""
        every_ms, clock, tz = self._manners.every_ms[cn], self._clock, self._manners.tz
        begin: int | None = None
        while True:
            step = every_ms // max((fault.by for fault in on(self._faults, Faster, clock.now_ms())), default=1)
            if begin is None:
                begin = following(clock.label_unix_at(clock.now_ms()) - 1, step, tz)
            end = following(begin, step, tz)
            due = begin if cn == REALTIME else end
            await asyncio.sleep(clock.wait_s(clock.plant_ms_at(due)))
            if cn != REALTIME:
                await self._look_back(max(0, clock.plant_ms_at(begin)), max(0, clock.plant_ms_at(end)))
            message = self.message(cn, begin, due)
            if message is not None:
                self._take(message)
            begin = end

    async def _look_back(self, begin_ms: int, end_ms: int) -> None:
        """Go through a period's moments one by one: those of a day are not kept, and the lines are served between."""
        for t_ms in self._station.moments(begin_ms, end_ms):
            self._station.look(t_ms)
            await asyncio.sleep(0)

    def message(self, cn: str, begin_ms: int, due_ms: int) -> Message | None:
        """The message of a period, whose ends are moments of the plant's calendar as Unix time in ms; None while the
        logger is dead."""
        at_ms, local_ms = max(0, self._clock.plant_ms_at(due_ms)), to_local(due_ms, self._manners.tz)
        struck = strike(self._faults, at_ms)
        faults = [met.choice.fault for met in struck]
        if not all(fault.hears(at_ms) for fault in faults):
            return None
        label_local_ms = to_local(begin_ms, self._manners.tz)
        true: dict[str, str] = {}
        if struck:
            true = {LABEL_PLACE: written(label_local_ms)[:14], **self._texts(cn, due_ms - begin_ms, at_ms, ())}
        clock_ms = _number(shown(faults, CLOCK, local_ms, at_ms))
        label_ms = _number(shown(faults, LABEL, label_local_ms + clock_ms - local_ms, at_ms))
        return Message(
            cn,
            written(label_ms)[:14],
            self._texts(cn, due_ms - begin_ms, at_ms, faults),
            at_ms,
            str(shown(faults, STATION, self._station.spec.mn, at_ms)),
            str(shown(faults, PASSWORD, self._station.spec.password, at_ms)),
            struck,
            None if clock_ms == local_ms else clock_ms,
            true,
        )

    def _texts(self, cn: str, period_ms: int, at_ms: int, faults: Sequence[Fault]) -> dict[str, str]:
        def alter(t_ms: int) -> Changes:
            return Changes(faults, t_ms)

        def now(t_ms: int) -> Reply:
            if cn == REALTIME:
                return Reply((), dict(self._station.moment(t_ms, alter)))
            return Reply((), dict(self._station.period(max(0, t_ms - period_ms), t_ms, alter)))

        values = looking(faults, now)(at_ms).values.items()
        return {name: str(shown(faults, text_at(name), v, at_ms)) for name, v in values}

    def packets(self, message: Message, qn: Callable[[], str]) -> list[Packet]:
        """The packets of a message: one, or its parts."""
        spec, time = self._station.spec, f"{LABEL_PLACE}={message.label}"
        flag = VERSION_2017 | self._manners.wants_answer * WANTS_ANSWER
        whole = Packet(
            qn=None if spec.old_style else qn(),
            st=spec.st,
            cn=message.cn,
            pw=message.password,
            mn=message.mn,
            flag=None if spec.old_style else flag,
            cp=";".join([time, *items(message.texts)]),
        )
        part_of = replace(whole, cp=f"{time};", pnum=MOST_PARTS, pno=MOST_PARTS)
        room = MOST_SEGMENT_BYTES - len(part_of.segment())
        parts = split(items(message.texts), min(self._manners.most_cp_bytes - len(part_of.cp), room))
        if len(parts) <= 1:
            return [whole]
        return [
            replace(
                whole,
                qn=whole.qn if number == 1 or spec.old_style else qn(),
                flag=None if spec.old_style else flag | HAS_PARTS,
                cp=";".join([time, *part]),
                pnum=len(parts),
                pno=number,
            )
            for number, part in enumerate(parts, 1)
        ]


def to_local(unix_ms: int, tz: tzinfo) -> int:
    """Unix time as local ms since 1970."""
    offset = datetime.fromtimestamp(unix_ms // 1000, tz).utcoffset() or timedelta()
    return unix_ms + int(offset.total_seconds()) * 1000


def following(unix_ms: int, step_ms: int, tz: tzinfo) -> int:
    """The first moment after ``unix_ms`` at which the local time is a multiple of ``step_ms``, as Unix time in ms."""
    local_ms = to_local(unix_ms, tz)
    after_ms = step_ms - local_ms % step_ms
    wall = _EPOCH + timedelta(milliseconds=local_ms + after_ms)  # where clocks are changed it is there twice, or never
    found = [round(wall.replace(tzinfo=tz, fold=fold).timestamp() * 1000) for fold in (0, 1)]
    straight_ms = unix_ms + after_ms
    if to_local(straight_ms, tz) % step_ms == 0:
        found.append(straight_ms)
    return min(moment for moment in found if moment > unix_ms)


def written(local_ms: int) -> str:
    """YYYYMMDDhhmmsszzz."""
    return f"{_EPOCH + timedelta(seconds=local_ms // 1000):%Y%m%d%H%M%S}{local_ms % 1000:03}"


def strike(faults: Sequence[Armed], t_ms: int) -> Struck:
    """The faults that act now."""
    return [Met(armed, *found) for armed in faults if (found := armed.strikes(t_ms))]


_Kind = TypeVar("_Kind", bound=Fault)


def on(faults: Sequence[Armed], kind: type[_Kind], t_ms: int) -> list[_Kind]:
    """The faults of a kind whose time is now."""
    return [
        choice.fault
        for armed in faults
        if armed.is_on(t_ms)
        for choice in armed.choices
        if isinstance(choice.fault, kind)
    ]


def shown(faults: Sequence[Fault], cell: Cell, value: Value, t_ms: int) -> Value:
    """A value as the faults let it be seen."""
    for fault in faults:
        value = fault.value(cell, value, t_ms)
    return value


def _number(value: Value) -> int:
    assert isinstance(value, int)
    return value
