"""Poller: polls → ``PollResult``; decodes the answered blocks and judges each value.

Touches no wire and no disk. Remembers of each meter what its next poll must be seen beside: where its counters stood,
since when its lively points have shown the same, how far the system's clock was ahead. A line asks ``doubts`` after
each block whether to read it once more at once; the second answer then stands in the poll behind the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from gateway.acquisition import validation
from gateway.acquisition.counters import Look, Stand, doubtful
from gateway.acquisition.ratios import RATIO_CHANGED, Ratios
from gateway.acquisition.validation import FROZEN_AFTER_MS, NOTHING, Judged, Past, Still
from gateway.clock import STEP_MS, Clock
from gateway.config.model import Meter
from gateway.devices.decode import Content, Decoder
from gateway.devices.points import FIRST, SECOND, UNRECORDED, Point, Profile, Ratio
from gateway.devices.read_plan import Block
from gateway.fieldbus.specs import BlockAnswer, Poll
from gateway.records import PollResult, Timestamp
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Columns, Number, Quality, Reading, Value

_EXCHANGED = int(Quality.METER_EXCHANGED)
MOST_DECODERS = 256  # variants of a meter's blocks


class Poller:
    """Turns the polls of all lines into what the recorder takes; ``poll`` is the callback of every line."""

    def __init__(
        self,
        meters: Mapping[str, Meter],
        clock: Clock,
        put: Callable[[PollResult], None],
        profiles: Mapping[str, Profile] = MappingProxyType({}),
        happened: Callable[[str, Event], None] = lambda meter, event: None,
    ) -> None:
        """``profiles`` by meter: without its profile a meter has no witness of freshness and no limits of its own.
        ``happened`` takes events of a meter, before the reading that they belong to."""
        self._clock, self._put, self._happened = clock, put, happened
        ahead_ms = clock.ahead_ms()
        self._meters = {name: _Meter(meter, profiles.get(name), ahead_ms) for name, meter in meters.items()}

    def change(self, meters: Mapping[str, Meter], profiles: Mapping[str, Profile], anew: Iterable[str]) -> None:
        """Another configuration: the meters of ``anew`` are met for the first time, those that are no more forgotten.

        The first reading of one that was known before bears CONFIG_CHANGED, and its counters go on from where they
        stood.
        """
        for name in [name for name in self._meters if name not in meters]:
            del self._meters[name]
        for name in anew:
            before = self._meters.get(name)
            flags = int(Quality.CONFIG_CHANGED) if before else 0
            self._meters[name] = _Meter(meters[name], profiles.get(name), self._clock.ahead_ms(), flags)
            if before:
                self._meters[name].go_on_from(before)

    def poll(self, poll: Poll) -> None:
        """Take one finished poll: a reading if at least one block answered, else its reason."""
        if not poll.answers:
            self._put(PollResult(poll.meter, poll.due_ms, None, Timestamp.now(self._clock), poll.missed or "timeout"))
            return
        now = Timestamp.now(self._clock)
        reading = self.reading(poll, now)
        if changes := self._meters[poll.meter].ratio_changes:
            self._happened(poll.meter, Event(RATIO_CHANGED, {"ratios": changes}))
        self._put(PollResult(poll.meter, poll.due_ms, reading, now))

    def reading(self, poll: Poll, now: Timestamp | None = None) -> Reading:
        """The reading of a poll that was answered at least in part; its time is that of the first complete answer."""
        clock = self._clock
        return self._meters[poll.meter].reading(poll, now or Timestamp.now(clock), clock.ahead_ms(), clock.doubted)

    def doubts(self, meter: str, answer: BlockAnswer) -> bool:
        """Whether a block that has just answered should be read once more at once: a counter fell, or jumped."""
        return self._meters[meter].doubts(answer)

    def recall(self, meter: str, readings: Iterable[Reading]) -> None:
        """Before the first poll: take up where earlier readings, the newest first, have left the counters."""
        self._meters[meter].recall(readings)


@dataclass(slots=True)
class _Form:
    """How one block's values become those of a reading."""

    decoder: Decoder
    names: tuple[str, ...]
    rows: tuple[tuple[Point, bool], ...]
    """Each point, and whether it can earn flags of its own."""
    counters: tuple[tuple[int, Point], ...]
    raising: tuple[Point, ...]
    units: tuple[str | None, ...]
    plain: bool
    """All of its values are recorded, and none can earn flags of its own or raise any."""


class _Meter:
    """One meter's memory."""

    def __init__(self, meter: Meter, profile: Profile | None, ahead_ms: int, flags: int = 0) -> None:
        self._factors: Mapping[str, Ratio] = meter.factors
        self._period_ms, self._profile, self._ahead_ms = meter.every, profile, ahead_ms
        self._witness_name = profile.freshness if profile else None
        self._hidden = {self._witness_name} - {p.name for p in profile.points if p.record} if profile else set()
        if meter.points:
            self._hidden = {self._witness_name} - set(meter.points)
        self._forms: dict[int, tuple[Block, _Form]] = {}
        self._ids: dict[Block, int] = {}
        self._past: dict[str, Past] = {}
        self._witness: Still | None = None
        self._new: set[str] = set()
        self._once = flags  # of the next reading
        self._ratios = Ratios(profile.points if profile else ())
        self._faulty: list[str] = []

    @property
    def ratio_changes(self) -> dict[str, dict[str, str]]:
        """Of the last poll: scale points that differ from what was told before."""
        return self._ratios.changes

    def doubts(self, answer: BlockAnswer) -> bool:
        form = self._form(answer.block)
        if not form.counters:
            return False
        split = form.decoder.split(answer.registers)
        contents = form.decoder.values(split, {**self._ratios.scales, **form.decoder.scales(split)})
        looks = ((point, _number(contents[n])) for n, point in form.counters)
        return any(
            doubtful(point, self._past.get(point.name, NOTHING).stand, Look(value, answer.completed_ms))
            for point, value in looks
        )

    def go_on_from(self, before: _Meter) -> None:
        stands = {name: before._past.get(name, NOTHING).stand for name in self._counters()}
        self._past = {name: Past(Stand(s.value, s.time_ms)) for name, s in stands.items() if s is not None}

    def _counters(self) -> set[str]:
        return {p.name for p in self._profile.points if p.kind == "counter"} if self._profile else set()

    def recall(self, readings: Iterable[Reading]) -> None:
        wanted = self._counters()
        if not wanted:
            return
        for reading in readings:
            for value in reading.values:
                number = _number(value.value)
                if value.name in wanted and number is not None:
                    self._past[value.name] = Past(Stand(number, reading.time_ms + value.offset_ms))
                    wanted.remove(value.name)
            if not wanted:
                return

    def reading(self, poll: Poll, now: Timestamp, ahead_ms: int, doubted: Callable[[], bool]) -> Reading:
        if poll.flags & _EXCHANGED:
            self._past, self._witness, self._ratios = {}, None, self._ratios.forgotten()
        answers = sorted(poll.answers, key=lambda answer: answer.completed_ms)
        time_ms = answers[0].completed_ms
        looks, seconds = self._looks(answers)
        flags, self._once = int(poll.flags) | self._poll_flags(looks, now, ahead_ms, doubted) | self._once, 0
        raised = self._raised(looks)
        if len(looks) == 1 and not poll.failures and not self._new:
            form, contents, _ = looks[0]
            if form.plain and not raised and None not in contents:
                return Reading(time_ms, Columns(form.names, tuple(contents), form.units, flags))
        values: list[Value] = []
        for form, contents, completed_ms in looks:
            offset_ms = completed_ms - time_ms
            if form.plain and not raised and None not in contents:
                values += [
                    Value(point.name, content, point.unit, flags, offset_ms)
                    for (point, _), content in zip(form.rows, contents, strict=True)
                ]
            else:
                values += self._values(form, contents, completed_ms, time_ms, flags, raised, seconds)
        if poll.failures:
            values += self._absent(poll, flags, {name for form, _, _ in looks for name in form.names})
        return Reading(time_ms, tuple(self._exchanged(poll, values)))

    def _looks(self, answers: Sequence[BlockAnswer]) -> tuple[list[tuple[_Form, list[Content], int]], dict[str, Look]]:
        """Each block's values and when it was complete; and what the counters of blocks that were read twice said."""
        parts = [(answer, form := self._form(answer.block), form.decoder.split(answer.registers)) for answer in answers]
        scales = {key: scale for _, form, split in parts for key, scale in form.decoder.scales(split).items()}
        self._ratios.see(scales, answers[0].completed_ms)
        self._faulty = []
        looks: list[tuple[_Form, list[Content], int]] = []
        seconds: dict[str, Look] = {}
        seen: set[str] = set()
        for answer, form, split in parts:
            own = form.decoder.scales(split) if scales and len(parts) > 1 else None
            contents = form.decoder.values(split, scales | own if own else scales)
            if form.decoder.lines:
                self._faulty += form.decoder.faults(split, scales)
            if seen.isdisjoint(form.names):
                seen.update(form.names)
                looks.append((form, contents, answer.completed_ms))
                continue
            for n, point in form.counters:
                seconds[point.name] = Look(_number(contents[n]), answer.completed_ms)
        return looks, seconds

    def _poll_flags(
        self,
        looks: Sequence[tuple[_Form, list[Content], int]],
        now: Timestamp,
        ahead_ms: int,
        doubted: Callable[[], bool],
    ) -> int:
        """What the clock and the concentrator's freshness say of all values of this poll. A step that is ``doubted``
        stays one."""
        stepped = abs(ahead_ms - self._ahead_ms) > STEP_MS
        if stepped and not doubted():
            self._ahead_ms = ahead_ms
        flags = validation.clock_flags(now.clock, now.error_ms, self._period_ms, stepped=stepped)
        if self._profile is None:
            return flags
        for form, contents, completed_ms in looks:
            if self._witness_name in form.names:
                content = contents[form.names.index(self._witness_name)]
                before = self._witness
                self._witness = before.next(content, completed_ms) if before else Still(content, completed_ms)
        return flags | validation.freshness(self._profile, self._witness, looks[-1][2])

    def _raised(self, looks: Sequence[tuple[_Form, list[Content], int]]) -> dict[str, int]:
        """What values are flagged with by others: a status, a broken signal, a ratio that has changed."""
        points = [point for form, _, _ in looks for point in form.raising]
        values = (
            {n: v for form, contents, _ in looks for n, v in zip(form.names, contents, strict=True)} if points else {}
        )
        raised = validation.raised(points, values) if points else {}
        if not self._faulty and not self._ratios.affected:
            return raised
        for names, flag in ((self._faulty, Quality.DEVICE_FAULT), (self._ratios.affected, Quality.CONFIG_CHANGED)):
            for name in names:
                raised[name] = raised.get(name, 0) | int(flag)
        return raised

    def _values(
        self,
        form: _Form,
        contents: Sequence[Content],
        completed_ms: int,
        time_ms: int,
        flags: int,
        raised: Mapping[str, int],
        seconds: Mapping[str, Look],
    ) -> Iterable[Value]:
        """A block's values one by one, each with what it earns itself."""
        for (point, earns), content in zip(form.rows, contents, strict=True):
            name, own = point.name, flags | raised.get(point.name, 0)
            if name in self._hidden:
                continue
            if not earns:
                absent = validation.none_flag(point, own) if content is None else 0
                yield Value(name, content, point.unit, own | absent, completed_ms - time_ms)
                continue
            judged = self._judged(point, content, completed_ms, seconds.get(name), own)
            yield Value(name, judged.value, point.unit, judged.flags, judged.time_ms - time_ms)
            if judged.other is not None:
                end, other = (FIRST if judged.second_booked else SECOND), judged.other
                yield Value(name + end, other.value, point.unit, judged.other_flags, other.time_ms - time_ms)

    def _absent(self, poll: Poll, flags: int, answered: set[str]) -> Iterable[Value]:
        """The values of blocks that failed; of one that was read twice, a second answer may be there all the same. No
        point is told of twice."""
        told = answered | self._hidden
        for failure in poll.failures:
            for point, _ in failure.block.points:
                if point.kind not in UNRECORDED and point.name not in told:
                    told.add(point.name)
                    failed = validation.failure_flags(failure.exception_code, asked=failure.asked)
                    yield Value(point.name, None, point.unit, failed | flags)

    def _judged(self, point: Point, content: Content, time_ms: int, second: Look | None, flags: int) -> Judged:
        past = self._past.get(point.name, NOTHING)
        frozen_after_ms = self._profile.frozen_after_ms if self._profile else FROZEN_AFTER_MS
        judged = validation.judge(
            point, content, time_ms, past, second=second, flags=flags, frozen_after_ms=frozen_after_ms
        )
        self._past[point.name] = judged.past
        return judged

    def _exchanged(self, poll: Poll, values: list[Value]) -> list[Value]:
        """The first value of every point of another meter bears METER_EXCHANGED, even if it comes in a later poll."""
        if poll.flags & _EXCHANGED:
            self._new = {value.name for value in values if value.value is None}
        elif self._new:
            first = {value.name for value in values if value.value is not None} & self._new
            values = [v._replace(quality=v.quality | _EXCHANGED) if v.name in first else v for v in values]
            self._new -= first
        return values

    def _form(self, block: Block) -> _Form:
        """The block's form, prepared when it is first met; an equal block of a later plan takes it over."""
        if known := self._forms.get(id(block)):
            return known[1]
        if len(self._forms) >= MOST_DECODERS:
            self._forms.clear()
            self._ids.clear()
        before = self._ids.pop(block, None)  # equal blocks are found by a hash of all their points: once a plan only
        form = self._prepare(block) if before is None else self._forms.pop(before)[1]
        self._ids[block] = id(block)
        self._forms[id(block)] = block, form  # the block is kept with it, so that its id stays its own
        return form

    def _prepare(self, block: Block) -> _Form:
        decoder = Decoder(block.points, self._factors)
        names = tuple(point.name for point in decoder.points)
        rows = tuple((point, validation.earns(point)) for point in decoder.points)
        counters = tuple((n, point) for n, point in enumerate(decoder.points) if point.kind == "counter")
        raising = tuple(point for point in decoder.points if point.raises)
        units = tuple(point.unit for point in decoder.points)
        plain = self._hidden.isdisjoint(names) and not raising and not any(earns for _, earns in rows)
        return _Form(decoder, names, rows, counters, raising, units, plain)


def _number(content: Any) -> Number | None:
    """The content if it is a number."""
    return content if isinstance(content, Number) and not isinstance(content, bool) else None
