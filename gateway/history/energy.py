"""Energy of hours, days and months, from the counter registers at their ends. Reads only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import pairwise
from typing import Any

from gateway.clock import HOUR_MS
from gateway.history.aggregates import Aggregate, PointStats
from gateway.history.series import Spans
from gateway.local_calendar import Stretch
from gateway.storage.database import Database
from gateway.verdicts import VERDICT_OF
from ledger_client.formats.senml import Number, Quality

NEAR_MS = 600_000
"""A register that was read so long before an hour at most is taken for the one at its beginning, and likewise at its
end."""
BREAKS = {
    Quality.COUNTER_RESET: "reset",
    Quality.ROLLOVER: "rollover",
    Quality.METER_EXCHANGED: "exchange",
}
_BAD = sum(flag for flag, verdict in VERDICT_OF.items() if verdict == "bad" and flag not in BREAKS)


@dataclass(frozen=True, slots=True)
class Energy:
    """What a counter has counted from ``start_ms`` to ``until_ms``, an hour or a part of one: the difference of two of
    its registers, or None and why.

    ``begin_ms`` and ``end_ms``: when these were read, the last of the hour before (where nothing was read within ten
    minutes before the hour, the first of the hour itself) and the last of this one. ``whole``: both were read within
    ten minutes of the hour's ends; else a part of the hour is missing in the difference. ``breaks``: why there is none:
    ``no-reading``, ``reset``, ``rollover``, ``exchange``, ``bad-quality``, ``fell`` (without a flag). ``quality``
    holds all bits of the hour.
    """

    start_ms: int
    until_ms: int
    energy: Number | None
    unit: str | None
    begin_ms: int | None
    end_ms: int | None
    breaks: tuple[str, ...]
    whole: bool
    quality: int


def energy_by_hour(store: Database, meter: str, counter: str, from_ms: int, to_ms: int) -> list[Energy]:
    """The energy of every hour that begins in [from_ms, to_ms), of the running one up to now. Raises StoreError."""
    from_ms = -(-from_ms // HOUR_MS) * HOUR_MS
    hours = [(start_ms, start_ms + HOUR_MS) for start_ms in range(from_ms, to_ms, HOUR_MS)]
    return [part for parts in energy_of(store, meter, counter, hours) for part in parts]


def energy_of(store: Database, meter: str, counter: str, stretches: Sequence[Stretch]) -> list[list[Energy]]:
    """The energy of stretches of time that lie end to end, each by its hours of Unix time, and by the minutes at its
    ends where these are no full hours. Raises StoreError."""
    if not stretches:
        return []
    parts = [list(cut(*stretch)) for stretch in stretches]
    begin_ms = stretches[0][0]
    before = ((begin_ms - 1) // HOUR_MS * HOUR_MS, begin_ms)
    with store.snapshot():
        found = spans_of(Spans(store, meter, [counter]), [before, *(part for some in parts for part in some)])
    energy = {
        part: _energy(part, found.get(before), found.get(part), counter) for before, part in _pairs(before, parts)
    }
    return [[energy[part] for part in some] for some in parts]


def cut(from_ms: int, to_ms: int) -> Iterator[Stretch]:
    """A stretch cut at the full hours of Unix time."""
    return pairwise([from_ms, *range((from_ms // HOUR_MS + 1) * HOUR_MS, to_ms, HOUR_MS), to_ms])


def _pairs(before: Stretch, parts: Sequence[Sequence[Stretch]]) -> Iterator[tuple[Stretch, Stretch]]:
    return pairwise([before, *(part for some in parts for part in some)])


def spans_of(spans: Spans, parts: Sequence[Stretch]) -> Mapping[Stretch, Aggregate]:
    """What is known of each part: of a whole hour its summary, of less the minutes in it."""
    found = {(hour.start_ms, hour.start_ms + HOUR_MS): hour for hour in spans.hours(parts[0][0], parts[-1][1])}
    for from_ms, to_ms in parts:
        if from_ms % HOUR_MS or to_ms % HOUR_MS:
            whole = Aggregate(from_ms)
            for minute in spans.minutes(from_ms, to_ms):
                whole.merge(minute)
            found[from_ms, to_ms] = whole
    return found


def _energy(part: Stretch, before: Aggregate | None, hour: Aggregate | None, counter: str) -> Energy:
    start_ms, until_ms = part
    figures = hour.points.get(counter) if hour else None
    if hour is None or figures is None or not is_number(figures):
        return Energy(*part, None, None, None, None, ("no-reading",), False, figures.bits if figures else 0)
    begin_ms, begin = figures.first_ms, figures.first
    earlier = before.points.get(counter) if before else None
    if earlier is not None and is_number(earlier) and start_ms - earlier.last_ms <= NEAR_MS and not _is_bad(earlier):
        begin_ms, begin = earlier.last_ms, earlier.last
    whole = begin_ms - start_ms <= NEAR_MS and until_ms - figures.last_ms <= NEAR_MS
    breaks = breaks_of(figures)
    energy = _difference(begin, figures.last)
    if energy < 0 and not breaks:
        breaks = ("fell",)
    known, facts = None if breaks else energy, (figures.unit, begin_ms, figures.last_ms)
    return Energy(start_ms, until_ms, known, *facts, breaks, whole, figures.bits)


def _difference(begin: Any, end: Any) -> Number:
    """Exact, but for registers that are floating-point numbers themselves."""
    if isinstance(begin, float) or isinstance(end, float):
        return float(end) - float(begin)
    return Decimal(end) - Decimal(begin)


def is_number(figures: PointStats) -> bool:
    """Whether all of its values are numbers, and there is one."""
    return figures.low is not None


def breaks_of(figures: PointStats) -> tuple[str, ...]:
    """What breaks the line of a counter within an hour. A flag of an entry without a value breaks nothing: the register
    went on."""
    found = [word for flag, word in BREAKS.items() if figures.value_bits & flag]
    return (*found, "bad-quality") if _is_bad(figures) else tuple(found)


def _is_bad(figures: PointStats) -> bool:
    return bool(figures.value_bits & _BAD or figures.value_bits & ~sum(VERDICT_OF))
