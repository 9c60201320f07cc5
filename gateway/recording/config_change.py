"""Configuration change in the writer thread: one commit that closes the old accounting and opens the new.

No new epoch: chains go on, coverage of every meter ends at the change with its old schedule, and of the meters that
are read anew it begins there with the new one. A key that has changed signs all of that commit, its ``keys`` event
included, so that the last record of each owner is by the key of the last event, whenever the process is killed. What is
pending is committed before by the old key, and cuts that wait are sealed behind by the new one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from gateway.config.device_keys import Keys
from gateway.errors import StoreError
from gateway.messages.message import Message
from gateway.recording.announcements import identities, new_keys, replaced_keys, schedule, series_of
from gateway.recording.committer import Committer
from gateway.recording.coverage import AnyCounter, SeriesCounter, first_coverage
from gateway.recording.rules import Rules
from gateway.records import GATEWAY, Timestamp
from gateway.storage.rows import Tail


@dataclass(frozen=True, slots=True)
class Change:
    """A change of the configuration, for the writer. ``anew``: meters of the new rules whose lines begin again; their
    old ones have ended. ``facts``: fields of the event ``configuration`` about the change (fingerprint ``before``,
    ``why``, meters ``added``, ``removed`` and read ``anew``, ``user``)."""

    rules: Rules
    keys: Keys
    anew: Collection[str]
    facts: Mapping[str, Any]


def take_over(committer: Committer, change: Change) -> int:
    """Take over; returns the anchor of the schedules of all that is read anew, in ms of the schedule's clock.

    What is pending must be committed, and recording must go on. Raises StoreError when the disk does not take it: then
    nothing has changed, and polls not made meanwhile are to be counted with ``Accounting.skip``.
    """
    store, clock, signer, accounting = committer.store, committer.clock, committer.pending.signer, committer.accounting
    counters, periods_ms = accounting.counters, change.rules.periods_ms
    at_ms, now = clock.schedule_ms(), Timestamp.now(clock)
    series = {meter for meter, configured in change.rules.configured.items() if configured.series}
    gone = [meter for meter in counters if meter not in periods_ms]
    new = [meter for meter in change.anew if meter not in counters]
    known = series_of(store.records, new)
    tails = {meter: store.records.tail(meter, series=meter in known) for meter in new}
    identified = identities(store.records, tails)
    going = [*gone, *(meter for meter in change.anew if meter in counters)]
    last = {meter: deepcopy(counters[meter]) for meter in going}  # should the commit fail, they go on
    ended = {meter: counter.end(at_ms) for meter, counter in last.items()}
    every_ms = {meter: periods_ms[meter] * (1 if meter in series else accounting.factor) for meter in change.anew}
    begun = {
        meter: accounting.grid(at_ms, every_ms[meter], _covered_to_ms(last.get(meter) or tails[meter]))
        for meter in change.anew
    }
    for meter in series.intersection(begun):
        if isinstance(before := last.get(meter), SeriesCounter):
            begun[meter] = before.go_on(begun[meter])
    kids = signer.kids
    signer.learn(change.keys, {meter: tail.last_data if tail else None for meter, tail in tails.items()})
    rows = committer.coverage(now, last)
    grids = [(meter, *grid) for meter, grid in ended.items()]
    grids += [(meter, grid.time_ms, grid.step_ms) for meter, grid in begun.items()]
    committer.announced.identities.update(identified)
    counted_to_ms = accounting.counted_to_ms()
    counted_to_ms |= {meter: grid.time_ms for meter, grid in begun.items()}
    counted_to_ms |= {meter: ended_ms for meter, (ended_ms, _) in ended.items()}
    events = [
        *schedule([grid for grid in grids if grid[0] in gone]),
        *new_keys({meter: signer.kids[meter] for meter in tails}, tails, begun=True),
        *replaced_keys(kids, {owner: signer.kids[owner] for owner in (GATEWAY, *periods_ms) if owner not in tails}),
        *committer.configuration({**change.facts, "at": "change"}, change.rules, counted_to_ms, grids),
    ]
    rows += [signer.event(GATEWAY, event, now) for event in events]
    for meter, tail in tails.items():
        body = first_coverage(tail, begun[meter].time_ms, clock_usable=clock.usable)
        rows.append(signer.coverage(meter, body, now))
    committer.marks.change(change.rules.counters)
    if not committer.write(rows, coverage=True, grids=grids):
        raise StoreError(Message("change-not-written"))
    committer.announced.configured_at(now.time_ms)
    for meter in gone:
        del counters[meter]
    for meter, grid in begun.items():
        covered_to_ms = last[meter].to_ms if meter in last else None
        accounting.begin(meter, grid, periods_ms[meter], series=meter in series, covered_to_ms=covered_to_ms)
    committer.rules = change.rules
    return at_ms


def _covered_to_ms(before: AnyCounter | Tail | None) -> int:
    """Until when the polls of a meter are counted already."""
    if isinstance(before, Tail):
        return before.covered_to_ms or 0
    return before.to_ms if before else 0
