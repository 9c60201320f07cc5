"""Audit of due polls: a recount by the announced recording grids, each poll once. No I/O.

The coverage of a batch is recounted at the end of the batch, with all grids that the batch announces: none of them
begins before what is counted already.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger_client.audit.chain import Chains, Missing
from ledger_client.audit.configuration import Configured, Schedule
from ledger_client.audit.coverage import Interval
from ledger_client.audit.due_slots import EARLY_MS, FreeSlots, Slots
from ledger_client.audit.events import Correction
from ledger_client.audit.records import UNKNOWN, Name
from ledger_client.audit.result import DUE, Audit, MeterAccount
from ledger_client.recording_grid import GridsInForce
from ledger_client.recording_series import SeriesCount, series_count
from ledger_client.times import rfc3339_ms


class _Undated(NamedTuple):
    """A meter's downtime before an epoch of an unknown clock: the clock event that dates the epoch brings its count."""

    name: Name
    from_ms: int
    recorded: int
    moments_ms: tuple[int, ...] | None


@dataclass(frozen=True, slots=True)
class _Uncounted:
    """What cannot be counted since batches were missing (None: since the beginning), until when, by meter."""

    place: tuple[str, int | None]
    missing: Missing | None
    until_ms: dict[str, int] = field(default_factory=dict)


class _Placed(NamedTuple):
    """One meter's slots by a schedule, and those that stay free."""

    schedule: Schedule
    slots: Slots
    free: FreeSlots


@dataclass(slots=True)
class Due:
    """What was due of one gateway's meters, batch after batch."""

    result: Audit
    configured: Configured
    chains: Chains
    doubted: bool = False
    """Events of the gateway are lost: until an epoch has begun, at a batch's end, its grids may not be known."""
    begins: bool = False
    """An epoch begins in this batch: it announces all of its grids."""
    _intervals: list[Interval] = field(default_factory=list)
    _corrections: list[tuple[Name, Correction]] = field(default_factory=list)
    _undated: dict[tuple[bytes, str], _Undated] = field(default_factory=dict)
    _known: set[bytes] = field(default_factory=set)
    _slowed: set[bytes] = field(default_factory=set)
    _begun: set[bytes] = field(default_factory=set)
    """Epochs whose first coverage was seen."""
    _uncounted: list[_Uncounted] = field(default_factory=list)
    _placed: dict[str, _Placed] = field(default_factory=dict)
    _off: dict[tuple[bytes, str], int] = field(default_factory=dict)
    """In a slowed epoch: how many polls of a meter its coverage counts beyond those of the recount."""

    def covered(self, interval: Interval) -> None:
        """A coverage record, to be recounted at the end of its batch."""
        self._intervals.append(interval)

    def clock_known(self, epoch: bytes) -> None:
        """A record of an epoch says that its clock is known."""
        if self._undated:
            self._known.add(epoch)

    def corrected(self, name: Name, correction: Correction) -> None:
        """A clock event, which may date its epoch, and slow it."""
        self._corrections.append((name, correction))
        if correction.slow:
            self._slowed.add(name.epoch)

    def stopped(self, stopped: Mapping[str, int]) -> None:
        """Further meters of the last clock event: how many polls of each were due before its epoch."""
        if stopped and self._corrections:
            name, correction = self._corrections[-1]
            more = correction._replace(stopped={**correction.stopped, **stopped})
            self._corrections[-1] = name, more

    def end_batch(self) -> None:
        """Recount the batch's coverage, by all grids that are known now."""
        for interval in self._intervals:
            account = self.result.account(interval.name.meter)
            self._count(interval, account)
            self._place(interval)
        for name, correction in self._corrections:
            if correction.began_ms is not None:
                self._date(name, correction, correction.began_ms)
        self._demand_dated()
        self._intervals, self._corrections = [], []
        self.doubted, self.begins = self.doubted and not self.begins, False
        if self.configured.meters is None:
            self._cannot_count("", self.result.to_ms or 0)

    def _count(self, interval: Interval, account: MeterAccount) -> None:
        body, meter = interval.body, interval.name.meter
        schedule = self.configured.schedules.get(meter)
        grids = schedule.in_force if schedule else GridsInForce()
        account.from_ms = body.from_ms if account.from_ms is None else min(account.from_ms, body.from_ms)
        account.to_ms = body.to_ms if account.to_ms is None else max(account.to_ms, body.to_ms)
        if interval.counted_to_ms > body.from_ms:
            series = schedule is not None and schedule.is_series(interval.counted_to_ms)
            due = _due_rest(grids, interval) if series else grids.due(interval.counted_to_ms, body.to_ms)
            _count_rest(account, interval, due)
            return
        account.due += body.due
        account.recorded += body.recorded
        account.missed.update(body.missed)
        if interval.first:
            self._begun.add(interval.name.epoch)
        if interval.first and interval.clock == UNKNOWN and body.due == body.recorded:
            undated = _Undated(interval.name, body.from_ms, body.recorded, interval.moments_ms)
            self._undated[interval.name.epoch, meter] = undated
        elif schedule is None or (body.from_ms < body.to_ms and body.from_ms < schedule.grids[0][0]):
            if schedule is None or not schedule.new or body.due:
                self._cannot_count(meter, body.to_ms)
        elif not schedule.is_series(body.from_ms):
            self._compare(interval, grids.due(body.from_ms, body.to_ms))
        elif interval.moments_ms is not None:
            self._compare_series(interval, grids, interval.moments_ms)

    def _place(self, interval: Interval) -> None:
        """Each reading that it counts takes a due slot; those covered before, or from before the grids, take none."""
        meter = interval.name.meter
        schedule, body = self.configured.schedules.get(meter), interval.body
        if schedule is None or schedule.is_series(interval.times_ms[-1] if interval.times_ms else body.to_ms):
            return
        placed = self._placed.get(meter)
        if placed is None or placed.schedule is not schedule:
            if placed is not None:  # batches are missing: what was due before is not known
                placed.free.end(placed.slots)
            slots = Slots(begins_ms=max(interval.counted_to_ms, body.from_ms))
            placed = self._placed[meter] = _Placed(schedule, slots, FreeSlots(self.result, meter))
        placed.slots.learn(schedule.grids)
        since_ms = max(interval.counted_to_ms, schedule.grids[0][0] - EARLY_MS)
        times_ms = sorted(time_ms for time_ms in interval.times_ms if time_ms >= since_ms)
        without = placed.free.place(body, times_ms, placed.slots, self.configured.times.jumps)
        if without:
            text = (
                f"{len(without)} of the readings that it counts were not due, the first at {rfc3339_ms(without[0])}: "
                "by the announced grids there was no poll then that no other reading answers"
            )
            self._differs(interval.name, text)

    def _differs(self, name: Name, text: str) -> None:
        """A difference from the recount; where events of the gateway are lost it is part of that loss."""
        if self.doubted:
            self.result.resumed(name, text)
        else:
            self.result.found(DUE, name, text)

    def _compare_series(self, interval: Interval, grids: GridsInForce, moments_ms: Sequence[int]) -> None:
        """Compare the count of a series: every reading was due, and what was missed follows from their times."""
        body = interval.body
        count = _series_count(grids, body.from_ms, moments_ms, body.to_ms)
        if not count.ends(body.to_ms):
            text = (
                f"it ends at {rfc3339_ms(body.to_ms)}; the last message that came or was missed is of "
                f"{rfc3339_ms(count.last_ms)}, and coverage of a series ends there"
            )
            self.result.found(DUE, interval.name, text)
        self._compare(interval, interval.readings + count.missed)

    def _compare(self, interval: Interval, due: int) -> None:
        """Compare what coverage counts as due with the recount.

        In a slowed epoch a poll at the edge of an interval may be counted in the next one: at most one at any time.
        """
        body, name = interval.body, interval.name
        off = body.due - due
        if off == 0:
            return
        if name.epoch in self._slowed:
            off += self._off.pop((name.epoch, name.meter), 0)
            if abs(off) <= 1:
                self._off[name.epoch, name.meter] = off
                return
        span = f"from {rfc3339_ms(body.from_ms)} to {rfc3339_ms(body.to_ms)}"
        text = f"it says that {body.due} polls were due {span}; by the announced grids {due} were"
        self._differs(name, text)

    def _date(self, name: Name, correction: Correction, began_ms: int) -> None:
        """Recount the downtime before an epoch that began with an unknown clock, by the event that dates it."""
        waiting = {meter: u for (epoch, meter), u in self._undated.items() if epoch == name.epoch}
        for meter in sorted(waiting.keys() | correction.stopped.keys()):
            due_before, undated = correction.stopped.get(meter, 0), waiting.get(meter)
            schedule = self.configured.schedules.get(meter, Schedule())
            grids = schedule.before(name.epoch)
            if name.epoch not in self._begun:  # what it dates is before the files
                due = due_before
            elif undated is None or meter not in self.configured.started.get(name.epoch, {meter}):
                due = 0
            elif grids.first is None or undated.from_ms < grids.first[0]:
                due = due_before
                if due_before:
                    self._cannot_count(meter, began_ms)
            elif schedule.was_series(undated.from_ms, name.epoch):
                count = _series_count(grids, undated.from_ms, undated.moments_ms or (), began_ms)
                count.waited(began_ms)
                due = due_before if undated.moments_ms is None else count.missed
            else:
                due = max(0, grids.due(undated.from_ms, began_ms) - undated.recorded)
            if due_before != due:
                by_grids = f"by the announced grids {due} were"
                text = f"it says that {due_before} polls of {meter} were due before its epoch; {by_grids}"
                self.result.found(DUE, name, text)
            self._undated.pop((name.epoch, meter), None)
            account = self.result.account(meter)
            account.due += due_before
            account.missed.update({"stopped": due_before} if due_before else {})
            if due_before and undated is not None and undated.from_ms < began_ms and meter in self._placed:
                self._placed[meter].free.dated(undated.from_ms, began_ms, due_before)

    def _demand_dated(self) -> None:
        """Find epochs whose clock is known by now and that no event dates: their downtime would not be counted."""
        for (epoch, meter), undated in [*self._undated.items()]:
            if epoch in self._known and meter in self.configured.started.get(epoch, ()):
                del self._undated[epoch, meter]
                since = rfc3339_ms(undated.from_ms)
                text = f"what was due from {since} on is not told: its clock is known now, and no clock event dates it"
                self.result.found(DUE, undated.name, text)
        self._known.clear()

    def _cannot_count(self, meter: str, until_ms: int) -> None:
        missing = self.chains.missing_before()
        if not self._uncounted or self._uncounted[-1].missing is not missing:
            self._uncounted.append(_Uncounted(self.result.place, missing))
        until = self._uncounted[-1].until_ms
        until[meter] = max(until_ms, until.get(meter, 0))

    def end(self) -> None:
        """All batches were seen."""
        for placed in self._placed.values():
            placed.free.end(placed.slots)
        for uncounted in self._uncounted:
            meters = sorted(filter(None, uncounted.until_ms))
            who = f" of {', '.join(meters[:3])}{' …' if len(meters) > 3 else ''}" if meters else ""
            until = rfc3339_ms(max(uncounted.until_ms.values()))
            text = (
                f"what was due{who} until {until} cannot be counted again, for no configuration event is before it: "
                "give earlier batches, or the proofs (.mseal) that `meterseal export` writes beside such a batch"
            )
            with self.result.speaking_of(uncounted.place):
                if uncounted.missing is not None and self.chains.is_lost(uncounted.missing):
                    self.result.resumed(None, text)
                else:
                    self.result.found(DUE, None, text)
        for undated in self._undated.values():
            since = rfc3339_ms(undated.from_ms)
            self.result.noted(f"{undated.name}: what was due from {since} on is not told: its clock is unknown")


def _series_count(grids: GridsInForce, from_ms: int, moments_ms: Sequence[int], to_ms: int) -> SeriesCount:
    """As ``series_count``, by the grids that matter until then."""
    return series_count(grids.over(from_ms, max((to_ms, *moments_ms))), from_ms, moments_ms)


def _due_rest(grids: GridsInForce, interval: Interval) -> int:
    """Messages of a series that were due in the part of an interval that was not covered before."""
    moments_ms = [time_ms for time_ms in interval.moments_ms or () if time_ms >= interval.counted_to_ms]
    count = _series_count(grids, interval.counted_to_ms, moments_ms, interval.body.to_ms)
    count.ends(interval.body.to_ms)
    return interval.readings + count.missed


def _count_rest(account: MeterAccount, interval: Interval, due: int) -> None:
    """Add the part of an interval that was not covered before; ``due``: polls of that part."""
    recorded = min(interval.readings, due)
    account.due += due
    account.recorded += recorded
    if due > recorded:
        account.missed["stopped"] += due - recorded
