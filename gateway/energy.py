"""The energy of each hour, from the registers that a counter showed at its two ends. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from gateway.history import Spans
from gateway.quality import VERDICT_OF
from gateway.spans import HOUR_MS, Figures, Span
from gateway.store import Store
from ledger_client.record import Number, Quality

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
    """What a counter has counted in one hour: the difference of two of its registers, or None and why.

    ``begin_ms`` and ``end_ms``: when these were read, the last of the hour before (where nothing was read within ten
    minutes before the hour, the first of the hour itself) and the last of this one. ``whole``: both were read within
    ten minutes of the hour's ends; else a part of the hour is missing in the difference. ``breaks``: why there is none:
    ``no-reading``, ``reset``, ``rollover``, ``exchange``, ``bad-quality``, ``fell`` (without a flag). ``quality``
    holds all bits of the hour.
    """

    start_ms: int
    energy: Number | None
    unit: str | None
    begin_ms: int | None
    end_ms: int | None
    breaks: tuple[str, ...]
    whole: bool
    quality: int


def energy_by_hour(store: Store, meter: str, counter: str, from_ms: int, to_ms: int) -> list[Energy]:
    """The energy of every hour that begins in [from_ms, to_ms), of the running one up to now. Raises StoreError."""
    from_ms = -(-from_ms // HOUR_MS) * HOUR_MS
    with store.snapshot():
        found = {span.start_ms: span for span in Spans(store, meter, [counter]).hours(from_ms - HOUR_MS, to_ms)}
    return list(_hours(found, counter, from_ms, to_ms))


def _hours(found: dict[int, Span], counter: str, from_ms: int, to_ms: int) -> Iterator[Energy]:
    for start_ms in range(from_ms, to_ms, HOUR_MS):
        yield _hour(start_ms, found.get(start_ms - HOUR_MS), found.get(start_ms), counter)


def _hour(start_ms: int, before: Span | None, hour: Span | None, counter: str) -> Energy:
    figures = hour.points.get(counter) if hour else None
    if hour is None or figures is None or not _is_number(figures):
        return Energy(start_ms, None, None, None, None, ("no-reading",), False, figures.bits if figures else 0)
    begin_ms, begin = figures.first_ms, figures.first
    earlier = before.points.get(counter) if before else None
    if earlier is not None and _is_number(earlier) and start_ms - earlier.last_ms <= NEAR_MS and not _is_bad(earlier):
        begin_ms, begin = earlier.last_ms, earlier.last
    whole = begin_ms - start_ms <= NEAR_MS and start_ms + HOUR_MS - figures.last_ms <= NEAR_MS
    breaks = _breaks(figures)
    energy = _difference(begin, figures.last)
    if energy < 0 and not breaks:
        breaks = ("fell",)
    facts = (figures.unit, begin_ms, figures.last_ms)
    return Energy(start_ms, None if breaks else energy, *facts, breaks, whole, figures.bits)


def _difference(begin: Any, end: Any) -> Number:
    """Exact, but for registers that are floating-point numbers themselves."""
    if isinstance(begin, float) or isinstance(end, float):
        return float(end) - float(begin)
    return Decimal(end) - Decimal(begin)


def _is_number(figures: Figures) -> bool:
    return figures.low is not None


def _breaks(figures: Figures) -> tuple[str, ...]:
    """What breaks the line of a counter within an hour. A flag of an entry without a value breaks nothing: the register
    went on."""
    found = [word for flag, word in BREAKS.items() if figures.value_bits & flag]
    return (*found, "bad-quality") if _is_bad(figures) else tuple(found)


def _is_bad(figures: Figures) -> bool:
    return bool(figures.value_bits & _BAD or figures.value_bits & ~sum(VERDICT_OF))
