"""Energy of a site's meters by the registers of their counters: readings, not accounts. Reads only.

Of each counter a few runs of days are kept: what was counted in days that are over does not change any more, and the
running month of a meter has thousands of readings. A run that ended less than ``SETTLED_MS`` ago is read again: the
last readings of a day may be committed late.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from fractions import Fraction
from itertools import pairwise
from typing import Final

from gateway.clock import HOUR_MS
from gateway.history.counted import NOTHING, Counted, Figure, counted, figure, joined
from gateway.history.energy import NEAR_MS
from gateway.local_calendar import Stretch
from gateway.storage.database import Database
from gateway.totals.flows import Lack, Part
from gateway.totals.periods import day_after, day_before
from gateway.totals.sources import Source

SETTLED_MS: Final = HOUR_MS
_PERIODS_NEAR: Final = 3
"""A register that was read within this many periods of its meter is taken for the one now."""

_SINCE: Final = ("ends-early", "no-reading")
"""What is lacking since the last register."""

Figures = Mapping[str, Figure]
"""By counter, what it has counted in one period."""


class Runs:
    """What is kept of one meter's counters."""

    def __init__(self) -> None:
        self._kept: dict[Stretch, Mapping[str, Counted]] = {}

    def figures(
        self, store: Database, source: Source, periods: Mapping[str, Stretch], zone: tzinfo, now_ms: int
    ) -> Mapping[str, Figures]:
        """What each counter of a meter has counted in each period: whole days of ``zone``, the last of which may be
        running. Raises StoreError."""
        now_ms += 1  # what was read now is in it
        names = sorted({name for counters in source.counters.values() for name in counters.names})
        if not names:
            return {period: {} for period in periods}
        runs = self._runs(store, source.meter, names, _cuts(periods.values(), zone, now_ms), now_ms)
        near_ms = max(NEAR_MS, _PERIODS_NEAR * source.every_ms)
        found: dict[str, Figures] = {}
        for period, (from_ms, to_ms) in periods.items():
            end_ms, is_open = min(to_ms, now_ms), to_ms > now_ms
            found[period] = {
                name: figure(
                    joined(runs[run][name] for run in runs if from_ms <= run[0] and run[1] <= end_ms),
                    next((runs[run][name] for run in runs if run[1] == from_ms), NOTHING),
                    next((runs[run][name] for run in runs if run[0] == end_ms), NOTHING),
                    (from_ms, end_ms),
                    near_ms=near_ms if is_open else NEAR_MS,
                    open_end=is_open,
                )
                for name in names
            }
        return found

    def _runs(
        self, store: Database, meter: str, names: Sequence[str], cuts: Sequence[int], now_ms: int
    ) -> dict[Stretch, Mapping[str, Counted]]:
        wanted = list(pairwise(cuts))
        found = {run: kept for run in wanted if (kept := self._known(run, names)) is not None}
        lacking = [run for run in wanted if run not in found]
        for stretch in _end_to_end(lacking):
            found.update(zip(stretch, counted(store, meter, names, stretch), strict=True))
        self._kept = {run: found[run] for run in wanted if run[1] + SETTLED_MS <= now_ms}
        return {run: found[run] for run in wanted}

    def _known(self, run: Stretch, names: Sequence[str]) -> Mapping[str, Counted] | None:
        """A run that is kept, or that two which are kept make up."""
        for kept, of in self._kept.items():
            if kept[0] != run[0] or set(of) != set(names):
                continue
            if kept == run:
                return of
            rest = self._kept.get((kept[1], run[1]))
            if rest is not None and set(rest) == set(names):
                return {name: of[name].then(rest[name]) for name in names}
        return None


def _cuts(periods: Iterable[Stretch], zone: tzinfo, now_ms: int) -> list[int]:
    """Where time is cut for some periods: at their ends, and a day before and behind, for the registers there."""
    cuts: set[int] = set()
    for from_ms, to_ms in periods:
        cuts |= {day_before(from_ms, zone), from_ms, min(to_ms, now_ms)}
        if to_ms < now_ms:
            cuts.add(min(day_after(to_ms, zone), now_ms))
    return sorted(cuts)


def _end_to_end(runs: Sequence[Stretch]) -> list[list[Stretch]]:
    """Runs grouped so that those of a group lie end to end."""
    found: list[list[Stretch]] = []
    for run in runs:
        if found and found[-1][-1][1] == run[0]:
            found[-1].append(run)
        else:
            found.append([run])
    return found


def energy_part(source: Source, flow: str, figures: Figures, silence: str = "") -> Part:
    """What a meter says of one of its flows in a period. ``silence``: why it gives no reading now, where the period is
    running and it does not."""
    counters = source.counters[source.flows[flow]]
    if counters.lack:
        return Part(source.meter, None, Lack(source.meter, counters.lack))
    found = [figures[name] for name in counters.names]
    known = [one.wh for one in found if one.wh is not None]
    amount = sum(known, Fraction(0)) if known else None
    for one in found:
        for why in one.lacks:
            since_ms = one.last_ms if why in _SINCE else None
            return Part(source.meter, amount, Lack(source.meter, silence if silence and since_ms else why, since_ms))
    return Part(source.meter, amount)
