"""Audit of the configuration: meters, periods, keys and recording grids, from gateway events. No I/O.

It is what the gateway's events announce, in order. Contradictions are found: missing parts, a grid that is not one of
its meter's period, time between two grids in which nothing would be due.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from ledger_client.audit.devices import Devices
from ledger_client.audit.events import SLOWED, Configuration, Correction, MeterConfiguration
from ledger_client.audit.notes import Kind
from ledger_client.audit.records import Name
from ledger_client.audit.result import DUE, Audit
from ledger_client.audit.signers import Signers
from ledger_client.audit.times import Times
from ledger_client.formats.checks import MAX_TIME_MS
from ledger_client.formats.record import GATEWAY_ITSELF
from ledger_client.recording_grid import Grid, GridsInForce
from ledger_client.times import rfc3339_ms

FULL: Final = 10
MOST_THINNED: Final = 10


@dataclass(slots=True)
class Schedule:
    """One meter: its period, whether it is a series, its grids in the order in which they were announced, each with the
    epoch of that event, whether record times may have run slowed then, and whether it is a series' grid."""

    period_ms: int = 0
    grids: list[Grid] = field(default_factory=list)
    epochs: list[bytes] = field(default_factory=list)
    slowed: list[bool] = field(default_factory=list)
    of_series: list[bool] = field(default_factory=list)
    series: bool = False
    new: bool = False
    """It was not configured before: nothing was due before its first grid."""
    since_ms: int = 0
    """Since when it has been configured, where it was not before."""
    odd: set[Grid] = field(default_factory=set)
    in_force: GridsInForce = field(default_factory=GridsInForce)
    ended_ms: int = MAX_TIME_MS
    """Where the grids end by those without polls that were announced last."""
    _before: tuple[bytes, int, GridsInForce] | None = None

    def add(self, grid: Grid, epoch: bytes, *, slowed: bool) -> None:
        """A grid is announced."""
        self.grids.append(grid)
        self.epochs.append(epoch)
        self.slowed.append(slowed)
        self.of_series.append(self.series)
        self.in_force.add(grid)
        self.ended_ms = MAX_TIME_MS if grid[1] else min(self.ended_ms, grid[0])

    def is_series(self, from_ms: int) -> bool:
        """Whether the grid in force at a moment is a series'."""
        place = self.in_force.place_at(from_ms)
        return place is not None and self.of_series[place]

    def was_series(self, from_ms: int, before: bytes) -> bool:
        """The same by the grids that were announced before this epoch."""
        for place in reversed(range(len(self.grids))):
            if self.grids[place][0] <= from_ms and self.epochs[place] != before:
                return self.of_series[place]
        return False

    def before(self, epoch: bytes) -> GridsInForce:
        """The grids that were announced before this epoch."""
        if self._before is None or self._before[:2] != (epoch, len(self.grids)):
            those = (grid for grid, announced in zip(self.grids, self.epochs, strict=True) if announced != epoch)
            self._before = epoch, len(self.grids), GridsInForce(those)
        return self._before[2]


@dataclass(slots=True)
class Configured:
    """What the gateway's events have announced so far; ``meters`` is None before the first configuration."""

    result: Audit
    times: Times
    covered_to_ms: Callable[[str], int | None]
    """The end of a meter's coverage so far, by the order of records; None where it has none."""
    devices: Devices
    signers: Signers
    meters: dict[str, int] | None = None
    """Each configured meter's period in ms."""
    config: bytes | None = None
    schedules: dict[str, Schedule] = field(default_factory=dict)
    factor: int | None = None
    """Every nth poll is recorded; None: not known."""
    started: dict[bytes, frozenset[str]] = field(default_factory=dict)
    """The meters with which an epoch began."""
    resumes: bool = False
    """The batch goes on after a loss."""
    gone: set[str] = field(default_factory=set)
    """Taken out since the last batch ended, by a change."""
    _speeds: frozenset[int] = frozenset({FULL, SLOWED})
    _parts: list[Configuration] = field(default_factory=list)

    def begin_anew(self) -> None:
        """Batches are missing: what they have announced is not known."""
        self.__init__(self.result, self.times, self.covered_to_ms, self.devices, self.signers)  # type: ignore[misc]

    def recorded_period_ms(self, meter: str) -> int:
        """How far apart the polls of a configured meter are that are recorded; series are not thinned."""
        factor = 1 if meter in self.schedules and self.schedules[meter].series else self.factor or 1
        return (self.meters or {}).get(meter, 0) * factor

    def series_period_ms(self, meter: str) -> int | None:
        """The period of a series; None: the meter is none."""
        schedule = self.schedules.get(meter)
        return schedule.period_ms if schedule is not None and schedule.series else None

    # — what the events say —

    def configured(self, part: Configuration, name: Name, iat: int) -> None:
        """A part of a configuration, signed at ``iat``; it counts once all parts are there."""
        expected = len(self._parts) + 1
        if part.part != expected or (self._parts and _whole_of(part) != _whole_of(self._parts[0])):
            self._demand_whole(name)
        self._parts.append(part)
        if part.part == part.of == len(self._parts):
            parts, self._parts = self._parts, []
            self._demand_once(parts, name)
            meters = {meter: facts for one in parts for meter, facts in one.meters.items()}
            self._take(part, meters, name)
            facts = {meter: of.facts for meter, of in meters.items()}
            self.devices.configured(part.config, facts, part.at, name, iat)

    def _demand_once(self, parts: Sequence[Configuration], name: Name) -> None:
        """Each meter stands in one part: of two, readers could take either."""
        for meter, count in sorted(Counter(meter for part in parts for meter in part.meters).items()):
            if count > 1:
                self.result.found(DUE, name, f"meter {meter} stands in {count} parts of the configuration event")

    def _demand_whole(self, name: Name | None) -> None:
        if self._parts:
            last = self._parts[-1]
            text = f"the configuration event ends with part {last.part} of {last.of}"
            self.result.found(DUE, name, text)
        self._parts = []

    def _take(self, part: Configuration, meters: Mapping[str, MeterConfiguration], name: Name) -> None:
        before = self.meters
        if part.at == "start":
            self.factor, self._speeds = 1, frozenset({FULL})
            self.started[name.epoch] = frozenset(meters)
        elif before is not None:
            self.gone |= before.keys() - meters.keys()
        self.meters = {meter: facts.period_ms for meter, facts in meters.items()}
        self.config = part.config
        kids = {meter: facts.key for meter, facts in meters.items()}
        self.signers.configured({**kids, GATEWAY_ITSELF: part.statement}, name)
        for meter, facts in meters.items():
            absent = before is not None and meter not in before
            schedule = self.schedules.setdefault(meter, Schedule(new=absent))
            schedule.period_ms, schedule.series = facts.period_ms, facts.series
            self._learn_factor(facts)
            self._announce(meter, facts.grids, name, absent=absent or before is None)
            self._demand_step(meter, schedule, schedule.grids[-1], name)

    def _learn_factor(self, facts: MeterConfiguration) -> None:
        """Where the files begin within an epoch, its grids show how recording was thinned."""
        step = facts.grids[-1][1]
        if self.factor is None and step and not facts.series:
            self.factor = max(1, round(step / facts.period_ms))
            if self.factor > 1:
                self.result.noted(f"the files begin where every {self.factor}. poll is recorded", Kind.THINNED)
            self._demand_factor(self.factor, None)

    def thinned(self, factor: int, name: Name) -> None:
        """Every nth poll is recorded from now on; the event's grids follow."""
        self.factor = factor
        self._demand_factor(factor, name)
        what = "every poll is recorded again" if factor == 1 else f"every {factor}. poll is recorded from here on"
        self.result.noted(f"{name}: {what}, the database being nearly full", Kind.THINNED, f"{factor}")

    def _demand_factor(self, factor: int, name: Name | None) -> None:
        if factor > MOST_THINNED:
            text = f"every {factor}. poll is recorded; where it is nearly full a gateway records every {MOST_THINNED}."
            self.result.found(DUE, name, text)

    def corrected(self, correction: Correction) -> None:
        """Record times run at full speed, or slowed, from now on; the event's grids follow."""
        self._speeds = frozenset({SLOWED if correction.slow else FULL})

    def announced(self, grids: Mapping[str, Iterable[Grid]], name: Name) -> None:
        """The grids of an event."""
        for meter, those in grids.items():
            self.schedules.setdefault(meter, Schedule())
            self._announce(meter, those, name, absent=meter not in (self.meters or {}))

    def _announce(self, meter: str, grids: Iterable[Grid], name: Name, *, absent: bool) -> None:
        """To announce what was announced last again changes nothing."""
        schedule, those = self.schedules[meter], list(grids)
        known = bool(schedule.grids)
        last, those_ended = schedule.grids[-1:], range(len(those), 0, -1)
        ends = (n for n in those_ended if those[n - 1 : n] == last and those[:n] == schedule.grids[-n:])
        again = next(ends, 0)
        if absent:
            schedule.since_ms = those[0][0]
        for grid in those[again:]:
            if known and not absent:
                self._demand_next(meter, schedule, grid, name)
                self._demand_step(meter, schedule, grid, name)
            if known:  # else grids of before may be announced again
                self._demand_behind(meter, schedule, grid, name)
            schedule.add(grid, name.epoch, slowed=SLOWED in self._speeds)

    def _demand_behind(self, meter: str, schedule: Schedule, grid: Grid, name: Name) -> None:
        """It begins where its meter's coverage ends, or later: what is counted already is not announced anew."""
        covered_ms = self.covered_to_ms(meter)
        if covered_ms is None or grid[0] >= covered_ms - schedule.series:  # a series goes on from its last moment
            return
        begins, ended = rfc3339_ms(grid[0]), rfc3339_ms(covered_ms)
        text = f"a grid of meter {meter} begins at {begins}, and its coverage before this event ends at {ended}"
        if self.resumes:
            self.result.resumed(name, text)
        else:
            self.result.found(DUE, name, text)

    def _demand_next(self, meter: str, schedule: Schedule, grid: Grid, name: Name) -> None:
        """Between the last poll that was due by earlier grids and the first one of this lies no more than a period, and
        what the clock jumps."""
        begins_ms = grid[0]
        ends_ms = min(begins_ms, schedule.ended_ms)
        last = schedule.in_force.last_due(ends_ms)
        if last is None or schedule.grids[-1][1] or not grid[1]:
            return
        place, last_ms = last
        most_ms = schedule.grids[place][1]
        until_ms = begins_ms
        if schedule.of_series[place]:  # it ends behind a moment, and a miss is certain half a period after its own
            last_ms, most_ms = ends_ms - 1, most_ms + -(-most_ms // 2)
            until_ms = MAX_TIME_MS  # it begins with a moment of before the jump
        if schedule.slowed[place]:  # rounded down, it is ahead of its course; and full speed may come before its next
            most_ms = -(-most_ms * FULL // SLOWED) + (last_ms - schedule.grids[place][0]) // most_ms
        last_ms = max(last_ms, schedule.since_ms - most_ms)
        free_ms = begins_ms - last_ms
        if free_ms > most_ms and free_ms > most_ms + self.times.jumps.between(last_ms, until_ms):
            span = f"{rfc3339_ms(last_ms + 1)} to {rfc3339_ms(begins_ms)}"
            self.result.found(DUE, name, f"nothing would be due of meter {meter} from {span}, and it is configured")

    def _demand_step(self, meter: str, schedule: Schedule, grid: Grid, name: Name) -> None:
        """A grid is as far apart as the meter's period and the thinning say; what was found once is not found again."""
        step_ms = grid[1]
        if step_ms == 0 or self.factor is None or not schedule.period_ms or grid in schedule.odd:
            return
        every_ms = schedule.period_ms * (1 if schedule.series else self.factor)
        if step_ms not in {every_ms * speed // FULL for speed in self._speeds}:
            schedule.odd.add(grid)
            text = f"a grid of meter {meter} is {step_ms} ms apart; its period and the thinning say {every_ms} ms"
            self.result.found(DUE, name, text)

    def end_batch(self, config: bytes) -> None:
        """The batch's statement is of the configuration in force."""
        self._demand_whole(None)
        self.gone = set()
        if self.meters is None:
            return
        if config != self.config:
            self.result.found(DUE, None, "its statement is of another configuration than the last configuration event")
        for meter in sorted(self.meters):
            if self.schedules[meter].grids[-1][1] == 0:
                self.result.found(DUE, None, f"nothing is due any more of meter {meter}, and it is configured")


def _whole_of(part: Configuration) -> tuple[str, int, bytes, bytes]:
    return part.at, part.of, part.config, part.statement
