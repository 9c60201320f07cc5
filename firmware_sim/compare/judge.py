"""Which recorded value is which answer's. Reads answers and rows once, both by time, and keeps ``within`` of them.

A value is *right* or *faithful* where an answer of its meter, at most ``within`` away from it in time, has shown it
under its point, and no other reading holds that answer; of several the nearest is taken. So a value that is recorded
twice is *doubled*, whatever its time, and fills no gap. A value that no such answer has is *wrong*: whose it is is
looked for among what this meter and others have sent about then. One that was in an answer that left when the next
request of its meter had come is wrong, too, on any line whose frames do not name their request: it is that request's
answer for whoever takes it.

What is missing is counted apart, by the due polls of each point (``due_slots``).
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from firmware_sim.compare.answers import NO_FAULT, SILENT, Answer, Survey
from firmware_sim.compare.due_slots import DueSlots
from firmware_sim.compare.equality import Sent, is_none, same
from firmware_sim.compare.mapping import AGAIN, Names
from firmware_sim.compare.readings import Row
from firmware_sim.compare.tallies import MOST_EXAMPLES, Example, Result

_HISTORY: Final = 256
"""Answers of a meter that are remembered to say of which time a value is."""
_TIMELINE: Final = 10_000
ALL_POINTS: Final = "*"
"""Stands for the points of a meter of which nothing is known but that its polls were due."""


@dataclass(slots=True)
class _Near:
    """What a meter has sent about now, before, and with which faults."""

    window: deque[Answer] = field(default_factory=deque)
    before: deque[Answer] = field(default_factory=lambda: deque(maxlen=_HISTORY))
    timeline: deque[tuple[float, str]] = field(default_factory=lambda: deque(maxlen=_TIMELINE))

    def push(self, answer: Answer) -> None:
        self.window.append(answer)
        self.timeline.append((answer.time_ms, answer.label))

    def forget(self, before_ms: float) -> None:
        while self.window and self.window[0].time_ms < before_ms:
            self.before.append(self.window.popleft())

    def fault(self, time_ms: float) -> str:
        """The fault at a moment."""
        nearest = min(self.window, key=lambda answer: abs(answer.time_ms - time_ms), default=None)
        return SILENT if nearest is None else nearest.label

    def fault_between(self, from_ms: float, to_ms: float) -> str:
        """The fault that a gap is of: the one that acted most often between two answers."""
        found: Counter[str] = Counter()
        for time_ms, label in reversed(self.timeline):
            if time_ms <= from_ms:
                break
            if time_ms < to_ms:
                found[label] += 1
        if not found:
            return SILENT
        found.pop(NO_FAULT, None)
        return min(found, key=lambda label: (-found[label], label), default=NO_FAULT)


@dataclass(slots=True)
class _Recorded:
    """A point of a meter in the readings, and its polls; ``slots`` None: its period is not known."""

    slots: DueSlots | None
    of_ms: float
    last_ms: float | None = None
    last_value: str | None = None
    rows: int = 0

    def read(self, near: _Near, time_ms: int, answer: Answer | None) -> None:
        """A reading that counts, of whatever value, and the answer that it is of, if any is."""
        of_ms = float(time_ms) if answer is None else answer.time_ms
        if self.slots is not None:
            self.slots.read(time_ms, lambda: near.fault_between(self.of_ms, of_ms))
        self.rows += 1
        self.last_ms, self.of_ms = time_ms, of_ms


class Judge:
    """Judges rows by answers, both by time, into ``result``.

    Args:
        surveyed: what the log holds.
        names: ``--map``.
        every_ms: periods by meter, or by ``METER/POINT``, in the log's names.
        within_ms: how far a reading's time may be from its answer's.
        result: takes all that is found.
    """

    def __init__(
        self, surveyed: Survey, names: Names, every_ms: Mapping[str, float], within_ms: float, result: Result
    ) -> None:
        self._survey, self._names, self._every_ms, self._within_ms = surveyed, names, every_ms, within_ms
        self._result = result
        self._near: dict[str, _Near] = {}
        self._recorded: dict[tuple[str, str], _Recorded] = {}
        self.outside = self.ignored = 0

    def run(self, rows: Iterable[Row], answers: Iterator[Answer]) -> None:
        """Judge all of them."""
        coming = next(answers, None)
        for row in rows:
            while coming is not None and coming.time_ms <= row.time_ms + self._within_ms:
                self._near.setdefault(coming.meter, _Near()).push(coming)
                coming = next(answers, None)
            if self._names.ignores(row.meter, row.point):
                self.ignored += 1
            else:
                self._row(row)
        while coming is not None:
            self._near.setdefault(coming.meter, _Near()).push(coming)
            coming = next(answers, None)

    def _row(self, row: Row) -> None:
        meter, point = self._names.meter(row.meter), self._names.point(row.meter, row.point)
        is_outside = not self._result.from_ms - self._within_ms <= row.time_ms <= self._result.to_ms + self._within_ms
        self.outside += is_outside
        near = self._near.setdefault(meter, _Near())
        near.forget(row.time_ms - self._within_ms)
        value = None if is_none(row.value) else row.value
        if is_outside:
            if value is not None:
                self._wrong(row, meter, point, value, "outside", near)
            return
        recorded = self.recorded(meter, point)
        again = row.point.endswith(AGAIN)
        if row.time_ms == recorded.last_ms and value == recorded.last_value and not again:
            self._result.meter(meter).tally(near.fault(row.time_ms)).doubled += 1
            return
        recorded.last_value = value
        if value is None:
            recorded.read(near, row.time_ms, self._none(row, meter, point, near))
        else:
            self._value(row, meter, point, value, near)

    def recorded(self, meter: str, point: str) -> _Recorded:
        """What is counted of a point."""
        found = self._recorded.get((meter, point))
        if found is None:
            begin, _ = self._survey.span_ms(meter) or (0.0, 0.0)
            period_ms = self.period_ms(meter, point)
            slots = None if period_ms is None else DueSlots(period_ms, begin)
            found = self._recorded[meter, point] = _Recorded(slots, begin)
        return found

    def period_ms(self, meter: str, point: str) -> float | None:
        """The period of a point's polls: as it was given, else as the log has it."""
        given = self._every_ms.get(f"{meter}/{point}", self._every_ms.get(meter))
        if given is not None:
            return given
        series = self._survey.meters.get(meter, {}).get(point)
        return None if series is None else series.period_ms

    # — one value —

    def _value(self, row: Row, meter: str, point: str, value: str, near: _Near) -> None:
        """Judge a value. One that is doubled stands for no poll."""
        recorded = self.recorded(meter, point)
        factor = self._names.factor(row.meter, row.point)
        fits = [
            answer
            for answer in near.window
            if (point in answer.values and same(value, answer.values[point], factor))
            or (point in answer.true and same(value, answer.true[point], factor))
        ]
        fits.sort(key=lambda answer: abs(answer.time_ms - row.time_ms))
        strays = [answer for answer in fits if _is_stray(answer, near.window)]
        for answer in fits:
            if point in answer.taken or answer.copy or answer.misaddressed or answer in strays:
                continue
            answer.taken.add(point)
            tally = self._result.meter(meter).tally(answer.label)
            if point in answer.true and not same(value, answer.true[point], factor):
                tally.faithful_flagged += row.flagged
                tally.faithful_unflagged += not row.flagged
            else:
                tally.right += 1
                tally.right_flagged += row.flagged
            recorded.read(near, row.time_ms, answer)
            return
        if fits and not strays and not any(answer.misaddressed for answer in fits):
            self._result.meter(meter).tally(fits[0].label).doubled += 1
            return
        misaddressed = next((answer.misaddressed for answer in fits if answer.misaddressed), None)
        reason = "question" if strays else misaddressed or self._whose(row, meter, point, value)
        self._wrong(row, meter, point, value, reason, near)
        recorded.read(near, row.time_ms, None)

    def _none(self, row: Row, meter: str, point: str, near: _Near) -> Answer | None:
        """No value: as the meter sent it, in this answer, or missing, and said."""
        free = [a for a in near.window if a.values.get(point, "") is None and point not in a.taken and not a.copy]
        if not free:
            self._result.meter(meter).tally(near.fault(row.time_ms)).missing_said += 1
            return None
        answer = min(free, key=lambda answer: abs(answer.time_ms - row.time_ms))
        answer.taken.add(point)
        tally = self._result.meter(meter).tally(answer.label)
        if answer.true.get(point) is None:
            tally.right += 1
            tally.right_flagged += row.flagged
        else:
            tally.faithful_flagged += 1  # no value is not taken for one
        return answer

    def _wrong(self, row: Row, meter: str, point: str, value: str, reason: str, near: _Near) -> None:
        self._result.meter(meter).tally(near.fault(row.time_ms)).wrong += 1
        self._result.reasons[reason] += 1
        if len(self._result.examples) < MOST_EXAMPLES:
            there = [answer for answer in near.window if point in answer.values]
            sent = min(there, key=lambda answer: abs(answer.time_ms - row.time_ms), default=None)
            shown = None if sent is None else sent.values[point]
            self._result.examples.append(Example(row.line, row.time_ms, meter, point, value, shown, reason))

    def _whose(self, row: Row, meter: str, point: str, value: str) -> str:
        """Where a value comes from that its point did not show at its time."""
        factor, near = self._names.factor(row.meter, row.point), self._near[meter]
        if any(point in answer.values and same(value, answer.values[point], factor) for answer in near.before):
            return "time"
        if any(same(value, sent, factor) for answer in near.window for sent in answer.values.values()):
            return "question"
        for other, theirs in self._near.items():
            theirs.forget(row.time_ms - self._within_ms)
            if other != meter and any(_holds(answer, value) for answer in theirs.window):
                return "meter"
        there = [answer for answer in near.window if point in answer.values]
        nearest = min(there, key=lambda answer: abs(answer.time_ms - row.time_ms), default=None)
        return "unsent" if nearest is None or nearest.values[point] is not None else "not-available"

    # — what is missing —

    def end(self, points: Mapping[str, Iterable[str]], counted: Mapping[str, int]) -> None:
        """Count what is missing, of these points by meter besides those that were recorded.

        Args:
            points: those that nothing was recorded of, though it was due.
            counted: missed polls, by meter, that were said outside of the readings.
        """
        for meter, names in points.items():
            for point in names:
                self.recorded(meter, point)
        for (meter, point), recorded in sorted(self._recorded.items()):
            near = self._near.setdefault(meter, _Near())
            _, end_ms = self._survey.span_ms(meter) or (0.0, 0.0)
            if recorded.slots is not None:
                recorded.slots.end(end_ms - self._within_ms, partial(near.fault_between, recorded.of_ms, end_ms))
            left = counted.get(meter, 0)
            for fault, missing in sorted(
                self._missing(meter, point).items(), key=lambda entry: (entry[0] == NO_FAULT, entry)
            ):
                admitted = min(missing, left)
                left -= admitted
                tally = self._result.meter(meter).tally(fault)
                tally.missing_said += admitted
                tally.missing_unsaid += missing - admitted

    def missing_polls(self, meter: str) -> int:
        """The most that is missing of any of a meter's points."""
        found = (self._missing(*key).values() for key in self._recorded if key[0] == meter)
        return max(map(sum, found), default=0)

    def _missing(self, meter: str, point: str) -> Mapping[str, int]:
        """Missed polls of a point by fault; without a period, answers that no reading is of."""
        recorded = self._recorded[meter, point]
        if recorded.slots is not None:
            return recorded.slots.missing
        series = self._survey.meters.get(meter, {}).get(point)
        return {} if series is None else {NO_FAULT: max(0, series.answers - recorded.rows)}

    def points_recorded(self, meter: str) -> set[str]:
        """The points of a meter that stand in the readings."""
        return {point for (name, point), recorded in self._recorded.items() if name == meter and recorded.rows}


def _is_stray(answer: Answer, window: Iterable[Answer]) -> bool:
    """Whether it came behind the next request of its meter, on a line where nothing tells the two apart."""
    return answer.serial and answer.left_ms > answer.at_ms and any(answer.is_behind(other) for other in window)


def _holds(answer: Answer, value: str) -> bool:
    return any(_is_number(sent) and same(value, sent) for sent in answer.values.values())


def _is_number(sent: Sent) -> bool:
    return sent is not None
