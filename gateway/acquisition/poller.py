"""Poller: polls → ``PollResult``; decodes the answered blocks and judges each value.

Touches no wire and no disk. Remembers of each meter what its next poll must be seen beside: where its counters stood,
since when its lively points have shown the same, how far the system's clock was ahead. A line asks ``doubts`` after
each block whether to read it once more at once; the second answer then stands in the poll behind the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from gateway.acquisition import validation
from gateway.acquisition.block_contents import BlockContents, BlockDecoder
from gateway.acquisition.counters import Look, Stand, doubtful
from gateway.acquisition.ratios import RATIO_CHANGED, Ratios
from gateway.acquisition.validation import FROZEN_AFTER_MS, NOTHING, Judged, Past, Still
from gateway.clock import STEP_MS, Clock
from gateway.config.bus import Meter
from gateway.devices.blocks import Content
from gateway.devices.points import FIRST, SECOND, UNRECORDED, Point, Profile
from gateway.fieldbus.specs import BlockAnswer, Poll
from gateway.records import RATIO_DIFFERS, PollResult, Timestamp
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Columns, Number, Quality, Reading, Value

_EXCHANGED, _LATE = int(Quality.METER_EXCHANGED), int(Quality.LATE)


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
            self._meters[poll.meter].missed()
            now, reason = Timestamp.now(self._clock), poll.missed or "timeout"
            self._put(PollResult(poll.meter, poll.due_ms, None, now, reason, cause=poll.cause))
            return
        now = Timestamp.now(self._clock)
        reading = self.reading(poll, now)
        if changes := self._meters[poll.meter].ratio_changes:
            self._happened(poll.meter, Event(RATIO_CHANGED, {"ratios": changes}))
        if (differences := self._meters[poll.meter].ratio_differences) is not None:
            self._happened(poll.meter, Event(RATIO_DIFFERS, {"ratios": differences}))
        self._put(PollResult(poll.meter, poll.due_ms, reading, now, token=poll.token))

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
class _DecodedPoll:
    """One poll, decoded: its blocks in the order of their answers, and what all or some of their values bear."""

    blocks: list[BlockContents]
    seconds: dict[str, Look]
    """What the second answers of blocks that were read twice say of their counters."""
    faulty: list[str]
    """Points whose signal no sound sensor sends."""
    flags: int = 0
    """Of all values."""
    raised: dict[str, int] = field(default_factory=dict)
    """Flags of single values, raised by others."""

    @property
    def time_ms(self) -> int:
        """When the first block was complete."""
        return self.blocks[0].completed_ms

    def is_plain(self, block: BlockContents) -> bool:
        """Every point of the block has a value, and none has a flag that the poll does not give to all."""
        return block.form.plain and not self.raised and None not in block.contents


class _Meter:
    """One meter's memory."""

    def __init__(self, meter: Meter, profile: Profile | None, ahead_ms: int, flags: int = 0) -> None:
        self._period_ms, self._profile, self._ahead_ms = meter.every, profile, ahead_ms
        self._frozen_after_ms = profile.frozen_after_ms if profile else FROZEN_AFTER_MS
        self._witness_name = profile.freshness if profile else None
        self._hidden = {self._witness_name} - {p.name for p in profile.points if p.record} if profile else set()
        if meter.points:
            self._hidden = {self._witness_name} - set(meter.points)
        self._blocks = BlockDecoder(meter.factors, self._hidden)
        self._past: dict[str, Past] = {}
        self._witness: Still | None = None
        self._new: set[str] = set()
        self._once = flags  # of the next reading
        self._ratios = Ratios(profile.points, profile.ratios, meter.factors) if profile else Ratios(())
        self._label_ms = -1
        """The latest time that a message bore which it had itself."""

    @property
    def ratio_changes(self) -> dict[str, dict[str, str]]:
        """Of the last poll: scale points that differ from what the last event reported."""
        return self._ratios.changes

    @property
    def ratio_differences(self) -> dict[str, dict[str, str]] | None:
        """Of the last poll, if they were not reported yet: ratios that are not those of the configuration."""
        return self._ratios.differences

    def doubts(self, answer: BlockAnswer) -> bool:
        block = self._blocks.look(answer, self._ratios.scales)
        if block is None:
            return False
        contents, at_ms = block.contents, block.completed_ms
        return any(
            doubtful(point, self._past.get(point.name, NOTHING).stand, Look(_number(contents[n]), at_ms))
            for n, point in block.form.counters
        )

    def missed(self) -> None:
        """A poll ended without a reading."""
        self._blocks.forget()

    def go_on_from(self, before: _Meter) -> None:
        stands = {name: before._past.get(name, NOTHING).stand for name in self._counters()}
        self._past = {name: Past(Stand(s.value, s.time_ms)) for name, s in stands.items() if s is not None}

    def _counters(self) -> set[str]:
        return {p.name for p in self._profile.points if p.kind == "counter"} if self._profile else set()

    def recall(self, readings: Iterable[Reading]) -> None:
        wanted = self._counters()
        if not wanted:
            return
        for reading in (reading for reading in readings if not reading.late):
            for value in reading.values:
                number = _number(value.value)
                if value.name in wanted and number is not None:
                    self._past[value.name] = Past(Stand(number, reading.time_ms + value.offset_ms))
                    wanted.remove(value.name)
            if not wanted:
                return

    def reading(self, poll: Poll, now: Timestamp, ahead_ms: int, doubted: Callable[[], bool]) -> Reading:
        if not self._is_older(poll):
            return self._reading(poll, now, ahead_ms, doubted)
        past, witness = self._past, self._witness
        self._past, self._witness = {}, None
        try:
            return self._reading(poll, now, ahead_ms, doubted)
        finally:
            self._past, self._witness = past, witness

    def _is_older(self, poll: Poll) -> bool:
        """Whether a message is older than one that was heard, or came late: what it says is compared with nothing, and
        nothing with it. A label that is too far ahead says nothing of the order."""
        if poll.label_ms is None or poll.flags & Quality.CLOCK_UNSYNC:
            return bool(poll.flags & _LATE)
        newest_ms, self._label_ms = self._label_ms, max(self._label_ms, poll.label_ms)
        return poll.label_ms < newest_ms or bool(poll.flags & _LATE)

    def _reading(self, poll: Poll, now: Timestamp, ahead_ms: int, doubted: Callable[[], bool]) -> Reading:
        if poll.flags & _EXCHANGED:
            self._past, self._witness, self._ratios = {}, None, self._ratios.forgotten()
        decoded = self._decoded(poll.answers)
        decoded.flags = int(poll.flags) | self._poll_flags(poll, decoded.blocks, now, ahead_ms, doubted)
        decoded.flags |= self._once
        decoded.raised, self._once = self._raised(decoded), 0
        if len(decoded.blocks) == 1 and not poll.failures and not self._new and decoded.is_plain(decoded.blocks[0]):
            return self._columns(decoded)
        values: list[Value] = []
        for block in decoded.blocks:
            values += (self._plain_values if decoded.is_plain(block) else self._judged_values)(block, decoded)
        if poll.failures:
            values += self._absent_values(poll, decoded)
        values = values or list(self._hidden_values(decoded))  # a record has one, and its sender may wait for it
        return Reading(decoded.time_ms, tuple(self._exchanged(poll, values)))

    def _hidden_values(self, decoded: _DecodedPoll) -> Iterable[Value]:
        """What was read along and is not recorded beside other values."""
        for block in decoded.blocks:
            for point, content in zip(block.form.decoder.points, block.contents, strict=True):
                absent = validation.none_flag(point, decoded.flags) if content is None else 0
                yield Value(
                    point.name, content, point.unit, decoded.flags | absent, block.completed_ms - decoded.time_ms
                )

    def _decoded(self, answers: Iterable[BlockAnswer]) -> _DecodedPoll:
        found, scales = self._blocks.decode(sorted(answers, key=lambda answer: answer.completed_ms))
        self._ratios.see(scales, found[0].completed_ms)
        decoded = _DecodedPoll([], {}, [])
        seen: set[str] = set()
        for block in found:
            form = block.form
            if form.decoder.lines:
                decoded.faulty += form.decoder.faults(block.split, scales)
            if seen.isdisjoint(form.names):
                seen.update(form.names)
                decoded.blocks.append(block)
                continue
            for n, point in form.counters:
                decoded.seconds[point.name] = Look(_number(block.contents[n]), block.completed_ms)
        return decoded

    def _poll_flags(
        self,
        poll: Poll,
        blocks: Sequence[BlockContents],
        now: Timestamp,
        ahead_ms: int,
        doubted: Callable[[], bool],
    ) -> int:
        """What the clock and the concentrator's freshness say of all values of this poll. A step that is ``doubted``
        stays one; a late poll says nothing of freshness."""
        stepped = abs(ahead_ms - self._ahead_ms) > STEP_MS
        if stepped and not doubted():
            self._ahead_ms = ahead_ms
        flags = validation.clock_flags(now.clock, now.error_ms, self._period_ms, stepped=stepped)
        if self._profile is None or poll.flags & _LATE:
            return flags
        for block in blocks:
            if self._witness_name in block.form.names:
                content = block.contents[block.form.names.index(self._witness_name)]
                before, at_ms = self._witness, block.completed_ms
                self._witness = before.next(content, at_ms) if before else Still(content, at_ms)
        dated = poll.label_ms is not None
        return flags | validation.freshness(self._profile, self._witness, blocks[-1].completed_ms, dated=dated)

    def _raised(self, decoded: _DecodedPoll) -> dict[str, int]:
        """What values are flagged with besides: by the source itself, a status, a broken signal, a ratio that has
        changed or is not the one of the configuration."""
        points = [point for block in decoded.blocks for point in block.form.raising]
        raised: dict[str, int] = {}
        if points:
            values = {n: v for b in decoded.blocks for n, v in zip(b.form.names, b.contents, strict=True)}
            raised = validation.raised(points, values)
        for block in decoded.blocks:
            if source_flags := block.form.decoder.flags(block.split):
                for name, flag in zip(block.form.names, source_flags, strict=True):
                    raised[name] = raised.get(name, 0) | flag
        ratios = self._ratios
        if not (decoded.faulty or ratios.affected or ratios.doubted):
            return raised
        for names, flag in (
            (decoded.faulty, Quality.DEVICE_FAULT),
            (ratios.affected, Quality.CONFIG_CHANGED),
            (ratios.doubted, Quality.IMPLAUSIBLE),
        ):
            for name in names:
                raised[name] = raised.get(name, 0) | int(flag)
        return raised

    def _columns(self, decoded: _DecodedPoll) -> Reading:
        """The reading of one plain block, without an object for each of its values."""
        (block,) = decoded.blocks
        form = block.form
        return Reading(decoded.time_ms, Columns(form.names, tuple(block.contents), form.units, decoded.flags))

    def _plain_values(self, block: BlockContents, decoded: _DecodedPoll) -> Iterable[Value]:
        """The values of a plain block beside other blocks."""
        flags, offset_ms = decoded.flags, block.completed_ms - decoded.time_ms
        return [
            Value(point.name, content, point.unit, flags, offset_ms)
            for (point, _), content in zip(block.form.rows, block.contents, strict=True)
        ]

    def _judged_values(self, block: BlockContents, decoded: _DecodedPoll) -> Iterable[Value]:
        """A block's values one by one, each with what it earns itself."""
        time_ms, at_ms, flags, raised = decoded.time_ms, block.completed_ms, decoded.flags, decoded.raised
        for (point, earns), content in zip(block.form.rows, block.contents, strict=True):
            name, flag = point.name, flags | raised.get(point.name, 0)
            if name in self._hidden:
                continue
            if content is None and flag & Quality.NOT_FOUND:  # the device has no such value: there is none to decode
                yield Value(name, None, point.unit, flag, at_ms - time_ms)
                continue
            if not earns:
                absent = validation.none_flag(point, flag) if content is None else 0
                yield Value(name, content, point.unit, flag | absent, at_ms - time_ms)
                continue
            judged = self._judged(point, content, at_ms, decoded.seconds.get(name), flag)
            yield Value(name, judged.value, point.unit, judged.flags, judged.time_ms - time_ms)
            if judged.other is not None:
                end, other = (FIRST if judged.second_booked else SECOND), judged.other
                yield Value(name + end, other.value, point.unit, judged.other_flags, other.time_ms - time_ms)

    def _judged(self, point: Point, content: Content, time_ms: int, second: Look | None, flags: int) -> Judged:
        judged = validation.judge(
            point,
            content,
            time_ms,
            self._past.get(point.name, NOTHING),
            second=second,
            flags=flags,
            frozen_after_ms=self._frozen_after_ms,
        )
        self._past[point.name] = judged.past
        return judged

    def _absent_values(self, poll: Poll, decoded: _DecodedPoll) -> Iterable[Value]:
        """The values of blocks that failed; of one that was read twice, a second answer may be there all the same. Each
        point comes once."""
        named = self._hidden.union(*(block.form.names for block in decoded.blocks))
        for failure in poll.failures:
            for point in failure.block.points:
                if point.kind not in UNRECORDED and point.name not in named:
                    named.add(point.name)
                    yield Value(point.name, None, point.unit, failure.flag | decoded.flags)

    def _exchanged(self, poll: Poll, values: list[Value]) -> list[Value]:
        """The first value of every point of another meter bears METER_EXCHANGED, even if it comes in a later poll."""
        if poll.flags & _EXCHANGED:
            self._new = {value.name for value in values if value.value is None}
        elif self._new:
            first = {value.name for value in values if value.value is not None} & self._new
            values = [v._replace(quality=v.quality | _EXCHANGED) if v.name in first else v for v in values]
            self._new -= first
        return values


def _number(content: Any) -> Number | None:
    """The content if it is a number."""
    return content if isinstance(content, Number) and not isinstance(content, bool) else None
