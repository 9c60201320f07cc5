"""Configuration change in the writer thread: one commit that closes the old accounting and opens the new.

No new epoch: chains go on, coverage of every meter ends at the change with its old schedule, and of the meters that
are read anew it begins there with the new one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from gateway.config.device_keys import Keys
from gateway.errors import StoreError
from gateway.recording.announcements import identities, new_keys, schedule
from gateway.recording.commits import Commits, Rules
from gateway.recording.coverage import CoverageCounter, first_coverage
from gateway.records import GATEWAY, Timestamp
from gateway.storage.rows import Tail


@dataclass(frozen=True, slots=True)
class Change:
    """What the writer is told. ``anew``: meters of the new rules whose lines begin again; their old ones have ended.
    ``facts``: what the event ``configuration`` says of the change (fingerprint ``before``, ``why``, meters ``added``,
    ``removed`` and read ``anew``, ``user``)."""

    rules: Rules
    keys: Keys
    anew: Collection[str]
    facts: Mapping[str, Any]


class Changeover(Commits):
    """The commits of a gateway whose configuration may change under way."""

    def demand_recording(self) -> None:
        """Raises StoreError while nothing can be recorded. Any thread may ask."""
        trouble = self.trouble
        if trouble is not None:
            raise StoreError(f"nothing can be recorded now: {trouble.problem}", "mend that first")

    def change(self, change: Change) -> int:
        """Take over; returns the anchor of the schedules of all that is read anew, in ms of the schedule's clock.

        Raises StoreError when the disk does not take it: then nothing has changed, and polls that nobody makes
        meanwhile are to be counted with ``skip``.
        """
        self.flush()
        self.demand_recording()
        if self.queue.is_late():
            raise StoreError("readings wait for the disk", "look at the disk, then try again")
        at_ms, now = self._clock.schedule_ms(), Timestamp.now(self._clock)
        periods_ms = change.rules.periods_ms
        gone = [meter for meter in self._tallies if meter not in periods_ms]
        tails = {meter: self.store.records.tail(meter) for meter in change.anew if meter not in self._tallies}
        identified = identities(self.store, tails)
        going = [*gone, *(meter for meter in change.anew if meter in self._tallies)]
        last = {meter: deepcopy(self._tallies[meter]) for meter in going}  # should the commit fail, they go on
        ended = {meter: tally.end(at_ms, self._clock.record_ms(at_ms)) for meter, tally in last.items()}
        rulers = {
            meter: self._ruler(at_ms, periods_ms[meter] * self.factor, _covered_to_ms(last.get(meter) or tails[meter]))
            for meter in change.anew
        }
        rows = self._coverage(now, last)
        self._signer.learn(change.keys, {meter: tail.last_data if tail else None for meter, tail in tails.items()})
        grids = [(meter, *grid) for meter, grid in ended.items()]
        grids += [(meter, ruler.time_ms, ruler.step_ms) for meter, ruler in rulers.items()]
        self.announced.identities.update(identified)
        counted_to_ms = {meter: tally.to_ms for meter, tally in self._tallies.items()}
        counted_to_ms |= {meter: ruler.time_ms for meter, ruler in rulers.items()}
        counted_to_ms |= {meter: ended_ms for meter, (ended_ms, _) in ended.items()}
        events = [
            *schedule([grid for grid in grids if grid[0] in gone]),
            *new_keys({meter: self._signer.kids[meter] for meter in tails}, tails, begun=True),
            *self._configuration({**change.facts, "at": "change"}, change.rules, counted_to_ms, grids),
        ]
        rows += [self._signer.event(GATEWAY, event, now) for event in events]
        for meter, tail in tails.items():
            body = first_coverage(tail, rulers[meter].time_ms, clock_usable=self._clock.usable)
            rows.append(self._signer.coverage(meter, body, now))
        if not self._write(rows, coverage=True, grids=grids):
            raise StoreError("the change could not be written", "mend the disk, then try again")
        self.announced.configured_at(now.time_ms)
        for meter in gone:
            del self._tallies[meter]
        for meter, ruler in rulers.items():
            self._tallies[meter] = CoverageCounter.begin(ruler, periods_ms[meter])
        self.rules = change.rules
        return at_ms

    def skip(self, meters: Collection[str]) -> int:
        """Nobody has polled these meters for a while: what was due counts as stopped. Returns until when, in ms of the
        schedule's clock; their next polls are those that are due from then on."""
        until_ms = self._clock.schedule_ms()
        for meter in meters:
            self._tallies[meter].skip(until_ms)
        return until_ms


def _covered_to_ms(before: CoverageCounter | Tail | None) -> int:
    """Until when the polls of a meter are counted already."""
    if isinstance(before, CoverageCounter):
        return before.to_ms
    return before.covered_to_ms or 0 if before else 0
