"""Poll schedule of a line: the next meter, and due polls that are too late to be made. Pure: times are arguments.

Every meter's polls are due at anchor + k × period. Each is taken by ``choose`` or given back by ``settle`` with its
reason, exactly once and in order. Earliest deadline first; a poll's deadline is the meter's next due time.

A meter that was silent twice in a row is *dead*. A probe of it that ends before any live meter is due costs no poll and
is made whenever it is due; probes that take time from others are so seldom that all dead meters together cost the line
at most ``PROBE_SHARE``, but at least every ``cap_ms``. When all meters are dead the line itself is at fault, and one of
them after the other is probed every ``FAULT_MS``.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

DEAD_AFTER = 2
PROBE_SHARE = 0.01
SECOND_CHANCE_MS = 5_000
"""A meter that has just died is tried again soon: most are only restarting."""
FAULT_MS = 2_000
IDLE_MARGIN_MS = 20
"""A probe may take so much longer than the last one without running into a poll that is due."""
AT_ONCE_MS = 5
"""A poll that begins so soon after the last one ended begins right behind it."""

Missed = tuple[str, int, str]


@dataclass(slots=True)
class _Meter:
    name: str
    order: int
    period: int
    due: int
    failures: int = 0
    probe_at: int = 0
    tried_at: int = -1
    cost: int = 0
    stepped_back: bool = False
    """Its last poll was given up for others: next time it goes before them."""
    held: bool = False
    """Its probe was put off once, to where it costs others least."""
    until: int = 0
    """Its poll has begun and waits: it goes on then. 0: none waits."""

    @property
    def deadline(self) -> int:
        return self.due + self.period

    @property
    def dead(self) -> bool:
        return self.failures >= DEAD_AFTER


class Schedule:
    """The polls of one line."""

    def __init__(
        self, periods_ms: Mapping[str, int], anchor_ms: int, from_ms: int | None = None, *, cap_ms: int = 300_000
    ) -> None:
        """``from_ms``: polls that are due before it belong to an earlier schedule."""
        begin_ms = anchor_ms if from_ms is None else from_ms
        first = {name: begin_ms + (anchor_ms - begin_ms) % period for name, period in periods_ms.items()}
        self._meters = {n: _Meter(n, i, p, first[n]) for i, (n, p) in enumerate(periods_ms.items())}
        self._cap, self._fault = cap_ms, min(FAULT_MS, cap_ms)
        self._down = False
        self._dead = 0
        self._probe_at = self._ended_at = 0
        self._passed_over: list[Missed] = []
        self._soonest = min(first.values(), default=anchor_ms)
        """The earliest due time of all meters: before it there is nothing to do."""

    def settle(self, now: int) -> list[Missed]:
        """The due polls that will not be tried, as (meter, due time, reason), by due time."""
        if now < self._soonest and not self._passed_over:
            return []
        missed, self._passed_over = self._passed_over, []
        for meter in self._meters.values():
            while meter.due <= now and (reason := self._reason(meter, now)):
                missed.append((meter.name, meter.due, reason))
                meter.stepped_back = meter.stepped_back or (
                    reason != "line-down" and self._ready(meter) < meter.deadline
                )
                self._over(meter)
        return sorted(missed, key=lambda m: (m[1], self._meters[m[0]].order)) if missed else missed

    def choose(self, now: int) -> tuple[str, int] | None:
        """The poll to make now, as (meter, due time), or None. Call ``settle`` with the same time before."""
        if now < self._soonest:
            return None
        ready = [m for m in self._meters.values() if m.due <= now and (self._ready(m) <= now or self._idle(m, now))]
        ready.sort(key=self._rank)
        for place, meter in enumerate(ready):
            if self._hopeless(meter, now) and (place + 1 < len(ready) or self._hurts(meter, now)):
                self._passed_over.append((meter.name, meter.due, "skipped"))
                meter.stepped_back = True
                self._over(meter)
                continue
            if begin := self._better_probe_at(meter, now):
                meter.probe_at, meter.held = begin, True
                if begin >= meter.deadline:
                    self._passed_over.append((meter.name, meter.due, "backoff"))
                    self._over(meter)
                continue
            poll = meter.name, meter.due
            self._over(meter)
            return poll
        return None

    def waits(self, name: str, due: int, now: int, until: int) -> None:
        """The poll that was chosen last has begun and goes on at ``until``: it is chosen once more then. Meanwhile the
        line is free."""
        meter = self._meters[name]
        meter.due, meter.until, meter.tried_at, self._ended_at = due, until, now, now
        self._soonest = min(self._soonest, due)

    def finished(self, name: str, now: int, alive: bool | None, cost_ms: int) -> None:
        """A chosen poll ended, be it one that waits: the meter answered (an exception is an answer), was silent, or
        (None) was not heard out."""
        meter, fault = self._meters[name], self.fault
        if meter.until:
            self._over(meter)
        meter.tried_at, meter.stepped_back, meter.held = now, False, False
        self._ended_at = now
        if alive is None:
            return
        meter.cost = cost_ms
        if alive:
            if meter.failures:
                self._revive(self._meters.values() if fault else (meter,))
            return
        meter.failures += 1
        self._dead += meter.failures == DEAD_AFTER
        if meter.dead:
            meter.probe_at = now + self._wait(meter)
            self._probe_at = now + self._fault

    def line_down(self) -> None:
        """The port or connection is gone: due polls are missed until ``line_up``."""
        self._down = True

    def line_up(self) -> None:
        """The line is open; if it was down, every meter is asked at once."""
        if self._down:
            self._down = False
            self._revive(self._meters.values())

    def others_at(self, name: str) -> float:
        """When the next poll of another live meter may begin; infinity where there is none."""
        return min((self._ready(m) for m in self._meters.values() if m.name != name and not m.dead), default=math.inf)

    @property
    def fault(self) -> bool:
        """All meters are silent."""
        return self._dead == len(self._meters)

    def dead(self, name: str) -> bool:
        """The meter was silent at least twice in a row."""
        return self._meters[name].dead

    @property
    def silent(self) -> list[str]:
        """The dead meters."""
        return [meter.name for meter in self._meters.values() if meter.dead] if self._dead else []

    def wake(self, now: int) -> int:
        """The next moment after ``now`` at which ``settle`` or ``choose`` may have something."""
        if self._passed_over:
            return now + 1
        if now < self._soonest:
            return self._soonest
        moments = (
            m.due if m.due > now else min(max(self._ready(m), now + 1), m.deadline) for m in self._meters.values()
        )
        return max(now + 1, min(moments))

    def _over(self, meter: _Meter) -> None:
        """Its due poll was chosen or given up: the next one is a period later."""
        meter.due += meter.period
        meter.until = 0
        self._soonest = min([m.due for m in self._meters.values()])

    def _revive(self, meters: Iterable[_Meter]) -> None:
        for meter in meters:
            self._dead -= meter.dead
            meter.failures = meter.probe_at = 0

    def _ready(self, meter: _Meter) -> int:
        if meter.until:
            return meter.until
        if not self._dead:
            return meter.due
        if self.fault:
            return max(meter.due, self._probe_at)
        return max(meter.due, meter.probe_at) if meter.dead else meter.due

    def _idle(self, meter: _Meter, now: int) -> bool:
        """A probe of a dead meter that ends before any other one is due."""
        if not meter.dead or self.fault:
            return False
        return now + meter.cost + IDLE_MARGIN_MS <= self.others_at(meter.name)

    def _reason(self, meter: _Meter, now: int) -> str | None:
        """Why a due poll is given up; None while it may still be made: a dead meter may still get idle time. That it
        got none is its back-off: no poll of a meter that answers was skipped."""
        if meter.until:
            return None
        over, unreachable = now >= meter.deadline, self._ready(meter) >= meter.deadline
        if self._down or (self.fault and (over or unreachable)):
            return "line-down"
        if not over:
            return None
        return "backoff" if unreachable or meter.dead else "skipped"

    def _rank(self, meter: _Meter) -> tuple[int, int, int, int]:
        if self.fault:
            return 0, 0, meter.tried_at, meter.order
        return meter.deadline, meter.dead and not meter.stepped_back, meter.tried_at, meter.order

    def _hopeless(self, meter: _Meter, now: int) -> bool:
        """It cannot end within its period, and did not have to step back last time."""
        late = now + meter.cost > meter.deadline >= meter.due + meter.cost
        return late and not (meter.dead or meter.stepped_back or meter.until)

    def _hurts(self, meter: _Meter, now: int) -> bool:
        """What becomes due while it is made could then not all end in time."""
        end = now + meter.cost
        coming = [(m.deadline, m.cost) for m in self._meters.values() if m is not meter and m.due < end and not m.dead]
        for deadline, cost in sorted([*coming, (meter.deadline + meter.period, meter.cost)]):
            end += cost
            if end > deadline:
                return True
        return False

    def _better_probe_at(self, meter: _Meter, now: int) -> int | None:
        """Where a probe would cost others less, None: now. The best moment is right behind a cycle, when most time is
        left; one that fell due later, and would run into the next cycle, waits once for the end of that."""
        if not meter.dead or self.fault or meter.held or now - self._ended_at <= AT_ONCE_MS:
            return None
        coming = min(m.due for m in self._meters.values() if not m.dead)
        return coming if now < coming < now + meter.cost else None

    def _wait(self, meter: _Meter) -> int:
        share = int(meter.cost * self._dead / PROBE_SHARE)
        return min(self._cap, share, SECOND_CHANCE_MS) if meter.failures == DEAD_AFTER else min(self._cap, share)
