"""Coverage: due polls counted by their outcome, for coverage records. Pure.

A coverage record says of an interval how many polls of a meter were due, how many were recorded, and why the others
were missed. Whoever holds the records has to come to the same numbers, so that no gateway can leave out a reading
unseen. That holds by these rules:

1. Due polls are arithmetic. Polls of a meter fall due at ``anchor_ms + k · period_ms``; the anchor of an epoch is the
   ``to`` of its first coverage record. Every other grid (thinning, a corrected clock, another period) stands in a
   signed event, and in the database with the first commit that succeeds from then on.
2. There are two clocks. Polls are due by the schedule's clock, which never jumps; records bear record times, which may
   be slowed or set. A ``RecordingGrid`` leads from one to the other by counting periods. It never reads a clock: a due
   time that is a millisecond off the grid is a poll too many, or too few, for whoever counts again.
3. Intervals tile. Each begins where the one before ended, over stops and kills, too: the first of an epoch goes from
   the last known ``to`` to the anchor, and what was due meanwhile is missed as ``stopped`` (none where the clock is not
   usable: nobody knows then how long that was).
4. A poll is counted once, when it has finished, in due order: recorded, or missed for one reason. ``to`` goes right
   behind its due time, so an interval [from, to) holds exactly the polls that were counted. A poll that is under way
   belongs to the next interval.
5. A poll that thinning leaves out is polled, not due: it is in no number.
6. A meter that sends unasked has no due times: due is what was recorded and what was missed, by
   ``ledger_client.recording_series``, which an audit calls as well. A line may report a miss a moment before record
   times have it (``SURE_MS``); a message that was complete in time takes it back.
7. Counted as recorded is not yet durable. If the commit fails, the count is taken back (``lost_after_all``, ``undo``)
   and the polls are missed for the disk's reason. ``start_over`` comes only behind the commit of the record.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from gateway.storage.rows import Tail
from ledger_client.formats.record import Coverage
from ledger_client.recording_grid import Grid, due_by
from ledger_client.recording_series import misses, series_count

SURE_MS = 50
"""How much earlier than record times a line may see that a message is missed: it knows the schedule's clock."""


def first_coverage(tail: Tail | None, anchor_ms: int, *, clock_usable: bool) -> Coverage:
    """The first record of an epoch: from the last known ``to`` to the anchor, the downtime counted as stopped.

    A meter without a past gets an empty interval. With an unusable clock the downtime counts 0 (docs/formats.md).
    """
    if tail is None or tail.covered_to_ms is None:
        return Coverage(anchor_ms, anchor_ms, 0, 0, {})
    stopped = 0
    if clock_usable and tail.moments_ms is None:
        stopped = stopped_polls(tail, anchor_ms)
    elif clock_usable:
        count = series_count(tail.grids, tail.covered_to_ms, tail.moments_ms or ())
        count.ends(anchor_ms)
        stopped = count.missed
    return _first(tail, tail.covered_to_ms, anchor_ms, stopped)


def _first(tail: Tail, from_ms: int, to_ms: int, stopped: int) -> Coverage:
    due = tail.recorded_since + stopped
    return Coverage(from_ms, to_ms, due, tail.recorded_since, {"stopped": stopped} if stopped else {})


def series_goes_on(tail: Tail | None, anchor_ms: int, period_ms: int) -> tuple[Coverage, int] | None:
    """The first record of the epoch for a series that goes on from its last moment, which ends right behind that, and
    the moment. Only what is certain to be missed by the anchor counts as stopped. None: it begins with the anchor."""
    if tail is None or tail.covered_to_ms is None or tail.moments_ms is None:
        return None
    count = series_count(tail.grids, tail.covered_to_ms, tail.moments_ms)
    count.waited(anchor_ms)
    if count.every_ms != period_ms or count.last_ms > anchor_ms:
        return None
    moved = count.missed or tail.moments_ms
    to_ms = count.last_ms + 1 if moved else tail.covered_to_ms
    return _first(tail, tail.covered_to_ms, to_ms, count.missed), count.last_ms


def stopped_polls(tail: Tail, anchor_ms: int) -> int:
    """How many polls fell due and are not records between the last known ``to`` and the anchor of the next epoch."""
    if tail.covered_to_ms is None:
        return 0
    if tail.moments_ms is not None:
        count = series_count(tail.grids, tail.covered_to_ms, tail.moments_ms)
        count.waited(anchor_ms)
        return count.missed
    return max(0, due_by(tail.grids, tail.covered_to_ms, anchor_ms) - tail.recorded_since)


@dataclass(frozen=True, slots=True)
class RecordingGrid:
    """Which polls are to be recorded, and their record times: those that are due ``every_ms`` apart from ``due_ms`` on,
    by the schedule; by record times these are ``step_ms`` apart from ``time_ms`` on."""

    due_ms: int
    every_ms: int
    time_ms: int
    step_ms: int

    def holds(self, due_ms: int) -> bool:
        """Whether the poll that is due then is one of them."""
        return (due_ms - self.due_ms) % self.every_ms == 0

    def next(self, due_ms: int) -> int:
        """The due time of the first of them from then on."""
        return due_ms + (self.due_ms - due_ms) % self.every_ms

    def time_of(self, due_ms: int) -> int:
        """The record time at which one of them is due. It is counted, not read from the clock, so that it is always
        one of the grid that the database notes."""
        return self.time_ms + (due_ms - self.due_ms) // self.every_ms * self.step_ms


@dataclass(slots=True)
class CoverageCounter:
    """The polls of one meter since its last coverage record, counted as each is finished, in due order.

    Of the polls, which are due every ``period_ms``, those of the rulers are counted: each is in force for the polls
    that are due from its beginning on, until the next one begins. Due times are those of the schedule; the interval is
    one of record times.
    """

    from_ms: int
    to_ms: int
    period_ms: int
    recorded: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    rulers: list[RecordingGrid] = field(init=False)
    next_due_ms: int = field(init=False)
    """The due time of the oldest poll that has not finished."""

    def __post_init__(self) -> None:
        self.next_due_ms = self.to_ms
        self.rulers = [RecordingGrid(self.to_ms, self.period_ms, self.to_ms, self.period_ms)]

    @classmethod
    def begin(cls, ruler: RecordingGrid, period_ms: int, covered_to_ms: int) -> CoverageCounter:
        """A meter whose polls are due from the beginning of a ruler on, and whose coverage ended before."""
        tally = cls(covered_to_ms, covered_to_ms, period_ms)
        tally.rulers, tally.next_due_ms = [ruler], ruler.due_ms
        return tally

    def wanted(self, due_ms: int) -> bool:
        """Whether the poll that was due then is to be recorded."""
        ruler = self.ruler(due_ms)
        return ruler.every_ms == self.period_ms or ruler.holds(due_ms)  # unless it is thinned out, no poll is dropped

    def ruler(self, due_ms: int) -> RecordingGrid:
        """The one in force for the poll that was due then."""
        if self.rulers[-1].due_ms <= due_ms:  # nearly always, and each poll asks twice
            return self.rulers[-1]
        return next((ruler for ruler in reversed(self.rulers) if ruler.due_ms <= due_ms), self.rulers[0])

    def passed_by(self, due_ms: int) -> None:
        """Take note that a poll has finished that is not wanted."""
        self.next_due_ms = due_ms + self.period_ms

    def next_from(self, now_ms: int) -> int:
        """The due time of the first poll that is due from then on and has not finished."""
        return self.next_due_ms + max(0, -((self.next_due_ms - now_ms) // self.period_ms)) * self.period_ms

    def finished(self, due_ms: int, reason: str | None) -> None:
        """Count a poll as recorded, or as missed for ``reason``; the interval now holds its due time."""
        if reason is None:
            self.recorded += 1
        else:
            self.missed[reason] += 1
        self.to_ms = max(self.to_ms, self.ruler(due_ms).time_of(due_ms) + 1)
        self.next_due_ms = due_ms + self.period_ms

    def skip(self, until_ms: int) -> None:
        """Count every poll that is due before ``until_ms`` and has not finished as stopped."""
        while self.next_due_ms < until_ms:
            if self.wanted(self.next_due_ms):
                self.finished(self.next_due_ms, "stopped")
            else:
                self.passed_by(self.next_due_ms)

    def end(self, at_ms: int) -> Grid:
        """The same, and no poll of this schedule is due any more: its last grid ends where its coverage does. Gives
        what the database is to note of that."""
        self.skip(at_ms)
        return self.to_ms, 0

    def lost_after_all(self, reason: str) -> None:
        """A poll counted as recorded could not be committed."""
        self.recorded -= 1
        self.missed[reason] += 1

    def coverage(self) -> Coverage:
        """What to sign now; call ``start_over`` once it is committed."""
        missed = {reason: n for reason, n in sorted(self.missed.items()) if n}
        return Coverage(self.from_ms, self.to_ms, self.recorded + sum(missed.values()), self.recorded, missed)

    def start_over(self) -> None:
        """Begin the next interval where this one ended."""
        self.from_ms, self.recorded, self.missed = self.to_ms, 0, Counter()

    def ends_ms(self, due_ms: int) -> int:
        """The end of what is counted once all polls that are due before have finished."""
        late = [due for due in range(self.next_due_ms, due_ms, self.period_ms) if self.wanted(due)]
        return max(self.to_ms, self.ruler(late[-1]).time_of(late[-1]) + 1) if late else self.to_ms

    def ahead(self, now_ms: int) -> tuple[int, int, int]:
        """First due time from now on by the ruler in force, its period, and the end of what is counted before; all in
        ms."""
        last = self.rulers[-1]
        due_ms = last.next(self.next_from(now_ms))
        return due_ms, last.every_ms, self.ends_ms(due_ms)

    def grids(self, ruler: RecordingGrid) -> tuple[Grid, Grid]:
        """What the database is to note when ``ruler`` comes into force: nothing is due until it begins."""
        return (self.ends_ms(ruler.due_ms), 0), (ruler.time_ms, ruler.step_ms)

    def take(self, ruler: RecordingGrid) -> None:
        """Bring a ruler into force from its beginning on; polls that are due before and have not finished keep
        theirs."""
        now = self.ruler(self.next_due_ms)
        kept = [r for r in self.rulers if r is now or now.due_ms < r.due_ms]
        self.rulers = [*(r for r in kept if r.due_ms < ruler.due_ms), ruler]


@dataclass(slots=True)
class SeriesCounter:
    """The messages of one meter that sends unasked since its last coverage record (``ledger_client.recording_series``).

    What is missed follows from the times of records, so that anyone can count it again; a line only reports when it
    knows, and why. ``last_ms`` is the last moment among record times, ``last_due_ms`` the same by the schedule's clock.
    """

    from_ms: int
    to_ms: int
    period_ms: int
    last_ms: int
    last_due_ms: int
    recorded: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    _step_ms: int = field(init=False)
    """The period among record times."""
    _reason: str | None = None
    """Why nothing came that was expected since."""
    _unsure: list[tuple[int, int, str]] = field(default_factory=list)
    """The misses that a line reported since the last record, while they are not covered: each time the moment before
    them, their number and reason."""
    _kept: tuple[int, int, int, int, Counter[str]] = field(init=False)

    def __post_init__(self) -> None:
        self._step_ms = self.period_ms
        self.keep()

    @classmethod
    def begin(cls, ruler: RecordingGrid, covered_to_ms: int) -> SeriesCounter:
        """A series whose last moment is the beginning of a grid; its coverage ends there, or right behind."""
        begun = cls(covered_to_ms, covered_to_ms, ruler.every_ms, ruler.time_ms, ruler.due_ms)
        begun._step_ms = ruler.step_ms
        return begun

    def heard(self, time_ms: int, due_ms: int, *, late: bool) -> None:
        """A message is recorded that was complete at this record time; by the schedule's clock at ``due_ms``."""
        self.recorded += 1
        if late:
            return
        self._take_back(time_ms)
        self._miss(misses(self._step_ms, self.last_ms, time_ms))
        if time_ms >= self.last_ms:  # else it waited, and is from before the clock was set forward
            self.last_ms, self.last_due_ms = time_ms, self._due_of(time_ms, due_ms)
        self.to_ms, self._reason, self._unsure = self.last_ms + 1, None, []

    def waited(self, now_ms: int, reason: str) -> None:
        """Count what was expected until this record time and not recorded, for this reason."""
        self._reason = reason
        if count := misses(self._step_ms, self.last_ms, now_ms + SURE_MS):
            self._unsure.append((self.last_ms, count, reason))
            self._miss(count)

    def _take_back(self, time_ms: int) -> None:
        """Take back misses that were reported before they were certain: the message was complete a moment before, or
        long before where the gateway was held up meanwhile."""
        for before_ms, count, reason in reversed(self._unsure):
            more = count - misses(self._step_ms, before_ms, time_ms)
            if more <= 0:
                return
            self.missed[reason] -= more
            self.last_ms -= more * self._step_ms
            self.last_due_ms -= more * self.period_ms

    def _miss(self, count: int) -> None:
        if count:
            self.missed[self._reason or "timeout"] += count
            self.last_ms += count * self._step_ms
            self.last_due_ms += count * self.period_ms
            self.to_ms = self.last_ms + 1

    def _due_of(self, time_ms: int, due_ms: int) -> int:
        """Of a message that is recorded: the moment of the schedule's clock that has its record time by the grid in
        force. That is ``due_ms``, unless the message waited while the clock was set forward: then misses are counted
        from its record time over the jump, and must not lead the schedule's moment into the future."""
        by_grid_ms = self.last_due_ms + (time_ms - self.last_ms) * self.period_ms // self._step_ms
        return by_grid_ms if due_ms - by_grid_ms > self.period_ms // 10 else due_ms  # less is rounding

    def time_of(self, due_ms: int) -> int:
        """The record time of a moment of the schedule's clock."""
        return self.last_ms + (due_ms - self.last_due_ms) * self._step_ms // self.period_ms

    def skip(self, until_ms: int) -> None:
        """Count what was missed by ``until_ms`` (schedule) as stopped."""
        self._reason = "stopped"
        self._miss(misses(self._step_ms, self.last_ms, self.time_of(until_ms)))

    def end(self, at_ms: int) -> Grid:
        """The same, and nothing is expected any more; as ``CoverageCounter.end``."""
        self.skip(at_ms)
        return self.to_ms, 0

    def go_on(self, ruler: RecordingGrid) -> RecordingGrid:
        """The grid of a series that goes on at another period from ``ruler`` on: it begins with the last moment, or as
        many periods behind it as are certain to be missed by then, which nobody expected. Were that the beginning of
        ``ruler``, change after change could pass without a message and without a miss."""
        came = self.to_ms > self.last_ms  # else its end leaves no trace of its grid, and nothing may be passed over
        count = misses(ruler.step_ms, self.last_ms, ruler.time_ms) if came else 0
        due_ms, time_ms = self.last_due_ms + count * ruler.every_ms, self.last_ms + count * ruler.step_ms
        return RecordingGrid(due_ms, ruler.every_ms, time_ms, ruler.step_ms)

    def coverage(self) -> Coverage:
        """What to sign now; call ``start_over`` once it is committed."""
        missed = {reason: n for reason, n in sorted(self.missed.items()) if n}
        return Coverage(self.from_ms, self.to_ms, self.recorded + sum(missed.values()), self.recorded, missed)

    def start_over(self) -> None:
        """Begin the next interval where this one ended."""
        self.from_ms, self.recorded, self.missed, self._unsure = self.to_ms, 0, Counter(), []
        self.keep()

    def keep(self) -> None:
        """All that is counted as recorded is durable."""
        self._kept = self.to_ms, self.last_ms, self.last_due_ms, self.recorded, self.missed.copy()

    def undo(self, reason: str) -> None:
        """Records that were counted since ``keep`` are not durable: they were expected for nothing, for this reason."""
        self.to_ms, self.last_ms, self.last_due_ms, self.recorded, missed = self._kept
        self.missed, self._reason, self._unsure = missed.copy(), reason, []

    def ahead(self, now_ms: int) -> tuple[int, int, int]:
        """As ``CoverageCounter.ahead``; a series goes on from its last moment, whatever the time is."""
        return self.last_due_ms, self.period_ms, self.to_ms

    def grids(self, ruler: RecordingGrid) -> tuple[Grid, Grid]:
        """What the database is to note when ``ruler`` comes into force: nothing is expected until it begins."""
        return (self.to_ms, 0), (ruler.time_ms, ruler.step_ms)

    def take(self, ruler: RecordingGrid) -> None:
        """Bring a ruler into force from now on; its beginning is the last moment."""
        self.last_ms, self.last_due_ms, self._step_ms, self._unsure = ruler.time_ms, ruler.due_ms, ruler.step_ms, []
        self.keep()


AnyCounter = CoverageCounter | SeriesCounter
