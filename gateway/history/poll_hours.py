"""Polls by the hour, from coverage records: how many were due, recorded and asleep, and the longest gap. Pure.

A coverage record counts an interval; here it is cut at the hours (of Unix time) by these rules:

1. Due polls are arithmetic, so those of each piece follow from the recording grids. A series has none: due is what was
   recorded and what was missed, whose moments follow from its records' times (``ledger_client.recording_series``).
2. A reading belongs to the latest due time that is no later than it, as an audit takes it (``audit/due_slots.py``); but
   never more to a piece than were due in it, and in all as many as the record counts. Readings are looked at only where
   the record lies in two hours, and counts some polls as recorded and others as missed.
3. What was due and is not recorded was missed. Why, a record says of its interval alone: polls that were asleep are
   shared out over its pieces by what each has missed. Every sum is that of the records.
4. Polls that were due while the gateway was off count as due and missed: they stand in the first record of the next
   epoch, or in the ``clock`` event that dates it. Polls that thinning leaves out were not due.
5. A gap is a row of due times without a record, from the first of them to the next one that has its record, or to the
   end of what is counted. Time asleep ends a gap, and is none. Where a record counts some missed polls as asleep and
   others not, a gap in it is as long as those others can have made it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from itertools import pairwise

from gateway.clock import HOUR_MS
from gateway.storage.poll_tables import Counted, Polls
from ledger_client.formats.record import Coverage
from ledger_client.recording_grid import Grid, GridsInForce
from ledger_client.recording_series import SeriesCount, misses

ASLEEP = "asleep"
EARLY_MS = 1000
"""A due time may be a little off the clock that a reading is dated by."""


@dataclass(frozen=True, slots=True)
class Readings:
    """The times of the readings that a coverage record counts, in order; of a series ``moments_ms`` are those of the
    ones that are not LATE."""

    times_ms: Sequence[int]
    moments_ms: Sequence[int] = ()


@dataclass(slots=True)
class HourCount:
    """Adds up the polls of one meter by the hour, from its coverage records in order, behind those that ``before``
    counts; ``series``: it sends unasked. Hours that end by ``oldest_ms`` are left out."""

    grids: Sequence[Grid]
    before: Counted
    series: bool = False
    oldest_ms: int = 0
    span_ms: int = HOUR_MS
    hours: dict[int, Polls] = field(default_factory=dict)
    _in_force: GridsInForce = field(init=False)
    _to_ms: int = field(init=False)
    _answered_ms: int = field(init=False)

    def __post_init__(self) -> None:
        self._in_force = GridsInForce(self.grids)
        self._to_ms, self._answered_ms = self.before.to_ms, self.before.answered_ms

    def counted(self, last_id: int) -> Counted:
        """How far it is counted, the record at this place included."""
        return Counted(last_id, self.before.from_ms, self._to_ms, self._answered_ms)

    def cover(self, body: Coverage, readings: Callable[[], Readings]) -> None:
        """Add a coverage record. ``readings``: of those that it counts; asked for only where they matter."""
        edges = self._edges(body.from_ms, body.to_ms)
        due = [self._in_force.due(a, b) for a, b in pairwise(edges)]
        asleep, missed = body.missed.get(ASLEEP, 0), body.due - body.recorded
        apart = len(edges) > 2 and (self.series or sum(due) != body.due)
        found = readings() if body.recorded and (missed or apart) else Readings(())
        known = len(found.times_ms) == body.recorded  # else some of them are pruned, or it counts none, or all
        slots = [self._slot(time_ms, body) for time_ms in found.times_ms] if known and not self.series else []
        if self.series:
            recorded = _by_edge(found.times_ms, edges) if known else _shared(body.recorded, _lengths(edges))
            lacking = _shared(missed, self._series_missed(body, edges, found.moments_ms))
        else:
            recorded = _by_edge(slots, edges) if known else _shared(body.recorded, due)
            recorded = _within(recorded, due) if sum(due) == body.due else recorded
            lacking = _shared(missed, [max(0, d - r) for d, r in zip(due, recorded, strict=True)])
        for at, n, m, s in zip(edges, recorded, lacking, _shared(asleep, lacking), strict=False):
            self._add(at, n + m, n, s)
        if self.series:
            self._series_gaps(body, found.moments_ms, missed)
        elif body.recorded and missed and not known:
            self._answers(body.to_ms)  # which polls were missed is not known any more
        else:
            self._gaps(body, slots, missed - asleep, asleep)
        self._to_ms = max(self._to_ms, body.to_ms)

    def stopped(self, from_ms: int, began_ms: int, count: int) -> None:
        """Add polls that were due while the gateway was off, by the ``clock`` event that dates the epoch behind it. The
        grids are those of before."""
        edges = self._edges(from_ms, began_ms)
        due = [self._in_force.due(a, b) for a, b in pairwise(edges)]
        for at, n in zip(edges, _shared(count, due), strict=False):
            self._add(at, n, 0, 0)
        if count:
            self._gap(from_ms, began_ms)

    def end(self) -> None:
        """No record follows for now: a gap goes on up to here."""
        first_ms = self._in_force.next_due(self._answered_ms + 1)
        if self.series and first_ms is not None:
            first_ms = self._answered_ms + self._every_ms(self._answered_ms)
        if first_ms is not None:
            self._gap(first_ms, self._to_ms)

    # — hours —

    def _edges(self, from_ms: int, to_ms: int) -> list[int]:
        """The moments at which an interval is cut, its ends among them. What is too old is one piece."""
        first = max(from_ms, self.oldest_ms)
        inner = range(first - first % self.span_ms + self.span_ms, to_ms, self.span_ms)
        older = [self.oldest_ms] if from_ms < self.oldest_ms < to_ms and self.oldest_ms % self.span_ms == 0 else []
        return [from_ms, *older, *inner, max(to_ms, from_ms + 1)]

    def _add(self, at_ms: int, due: int, recorded: int, asleep: int) -> None:
        if due and (hour := self._hour(at_ms)) is not None:
            hour.due, hour.recorded, hour.asleep = hour.due + due, hour.recorded + recorded, hour.asleep + asleep

    def _hour(self, at_ms: int) -> Polls | None:
        start_ms = at_ms - at_ms % self.span_ms
        return self.hours.setdefault(start_ms, Polls()) if start_ms >= self.oldest_ms else None

    def _slot(self, time_ms: int, body: Coverage) -> int:
        """The due time that a reading answers."""
        found = self._in_force.last_due(time_ms + 1)
        step_ms = self.grids[found[0]][1] if found is not None else 0
        later = self._in_force.last_due(time_ms + min(EARLY_MS, step_ms // 10) + 1)
        slot_ms = later[1] if later is not None else time_ms
        return min(max(slot_ms, body.from_ms), body.to_ms - 1)

    def _series_missed(self, body: Coverage, edges: Sequence[int], moments_ms: Sequence[int]) -> list[int]:
        """What was missed of a series in each piece: a miss is of the moment at which a message was expected."""
        count, ahead, before = SeriesCount.from_the(body.from_ms, self.grids), list(moments_ms), [0]
        for edge_ms in edges[1:-1]:
            while ahead and ahead[0] < edge_ms:
                count.recorded(ahead.pop(0))
            reached, following = deepcopy(count), deepcopy(count)
            reached.ends(edge_ms)
            if ahead:
                following.recorded(ahead[0])
            before.append(min(reached.missed, following.missed) if ahead else reached.missed)
        total = max(before[-1], body.due - body.recorded)
        return [max(0, b - a) for a, b in zip(before, [*before[1:], total], strict=True)]

    # — gaps —

    def _gaps(self, body: Coverage, slots: Sequence[int], awake: int, asleep: int) -> None:
        """``awake``: polls that were missed, and not asleep: no gap in this interval has more of them."""
        every_ms = self._every_ms(body.from_ms)
        if not body.due and (every_ms == 0 or body.to_ms - body.from_ms > every_ms):  # it was not in the configuration
            self._closes(body.from_ms, body.from_ms, 0)
            self._answers(body.to_ms)
        if body.recorded and body.recorded == body.due:
            self._closes(self._in_force.next_due(body.from_ms) or body.from_ms, body.from_ms, 0)
            self._answers(body.to_ms)
            return
        for slot_ms in slots:
            self._closes(slot_ms, body.from_ms, awake)
            self._answers(slot_ms + 1)
        if asleep and self._free(body.from_ms, body.to_ms) > awake:
            self._closes(body.to_ms, body.from_ms, awake)
            self._answers(body.to_ms)

    def _answers(self, before_ms: int) -> None:
        """What was due before this moment is in no gap that is still open."""
        self._answered_ms = max(self._answered_ms, before_ms - 1)

    def _free(self, from_ms: int, to_ms: int) -> int:
        return self._in_force.due(max(from_ms, self._answered_ms + 1), to_ms)

    def _closes(self, until_ms: int, from_ms: int, awake: int) -> None:
        """A gap that is open ends by then; from ``from_ms`` on it has at most so many polls."""
        first_ms = self._in_force.next_due(self._answered_ms + 1)
        if first_ms is None or first_ms >= until_ms:
            return
        free, inside_ms = self._free(from_ms, until_ms), max(from_ms, first_ms)
        if free > awake:
            until_ms = inside_ms + (until_ms - inside_ms) * awake // free
        self._gap(first_ms, until_ms)

    def _series_gaps(self, body: Coverage, moments_ms: Sequence[int], missed: int) -> None:
        if not missed and body.recorded:
            self._answers(body.to_ms)
        for time_ms in moments_ms:
            every_ms = self._every_ms(self._answered_ms)
            if misses(every_ms, self._answered_ms, time_ms):
                self._gap(self._answered_ms + every_ms, time_ms)
            self._answers(time_ms + 1)

    def _every_ms(self, time_ms: int) -> int:
        place = self._in_force.place_at(time_ms)
        return self.grids[place][1] if place is not None else 0

    def _gap(self, from_ms: int, to_ms: int) -> None:
        """Keep it where it is the longest of the hour in which it ends."""
        if to_ms > from_ms and (hour := self._hour(to_ms - 1)) is not None:
            before = hour.gap
            if before is None or to_ms - from_ms > before[1] - before[0]:
                hour.gap = from_ms, to_ms


def _by_edge(times_ms: Sequence[int], edges: Sequence[int]) -> list[int]:
    """How many of these moments lie in each piece; those outside of all count with the piece that is nearest."""
    pieces = [0] * (len(edges) - 1)
    for time_ms in times_ms:
        pieces[min(max(bisect_right(edges, time_ms) - 1, 0), len(pieces) - 1)] += 1
    return pieces


def _within(counts: Sequence[int], most: Sequence[int]) -> list[int]:
    """The same sum with no count above its limit; what is above goes to the neighbour. The limits' sum is enough."""
    found, carried = list(counts), 0
    for n in (*range(len(found)), *reversed(range(len(found)))):
        found[n] += carried
        carried = max(0, found[n] - most[n])
        found[n] -= carried
    return found


def _lengths(edges: Sequence[int]) -> list[int]:
    return [b - a for a, b in pairwise(edges)]


def _shared(total: int, weights: Sequence[int]) -> list[int]:
    """A number shared out by weights in whole parts, exactly; where these are all 0, to the last."""
    whole = sum(weights)
    if whole == 0:
        return [*([0] * (len(weights) - 1)), total]
    parts = [total * weight // whole for weight in weights]
    rest = sorted(range(len(parts)), key=lambda n: (-(total * weights[n] % whole), n))
    for n in rest[: total - sum(parts)]:
        parts[n] += 1
    return parts
