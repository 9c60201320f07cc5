"""What a counter has counted over days and months, as one figure: gaps inside bridged, breaks and open edges named.

A counter that only grew between two registers has counted their difference, whatever was read between them. So a gap
inside a day costs nothing; what is not known is what lies beside a break (a reset, a rollover, an exchange), and what
lies between a register and the edge of the day where nobody read it near the edge. An hour with a bad value is a gap.
Energy is in Wh, exact. Reads only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import reduce

from gateway.history.aggregates import Aggregate, PointStats
from gateway.history.energy import NEAR_MS, breaks_of, cut, is_number, spans_of
from gateway.history.series import Spans
from gateway.local_calendar import Stretch
from gateway.storage.database import Database
from ledger_client.accounting.formats.units import COUNTER_UNITS


@dataclass(frozen=True, slots=True)
class Register:
    """What a counter showed, in Wh, and when."""

    wh: Fraction
    time_ms: int


@dataclass(frozen=True, slots=True)
class Counted:
    """What a counter has counted from its first to its last register of a time; ``first`` and ``last`` are None where
    there is no register.

    ``wh``: without what lies beside a break. ``opens``, ``ends``: the difference to a register before the first one, or
    behind the last one, is energy; else a break lies between them.
    """

    first: Register | None = None
    last: Register | None = None
    wh: Fraction = Fraction(0)
    breaks: tuple[str, ...] = ()
    opens: bool = True
    ends: bool = True

    def then(self, later: Counted) -> Counted:
        """The two, one after the other, as one."""
        breaks = _together(self.breaks, later.breaks)
        if self.first is None or self.last is None:
            return replace(later, breaks=breaks)
        if later.first is None:
            return replace(self, breaks=breaks)
        step = _step(self, later)
        if step is not None and step < 0:
            step, breaks = None, _together(breaks, ("fell",))
        return Counted(self.first, later.last, self.wh + (step or 0) + later.wh, breaks, self.opens, later.ends)


NOTHING = Counted()
"""No register."""


@dataclass(frozen=True, slots=True)
class Figure:
    """What was counted in a time: ``wh`` as far as it is known (None: not at all); ``lacks``: why some of it is not,
    nothing: it is whole. ``last_ms``: when the last register was read.

    Reasons are ``reset``, ``rollover``, ``exchange`` and ``fell`` (without a flag), ``no-energy`` (in another unit),
    ``no-reading``, and ``begins-late`` and ``ends-early`` where nothing was read near that edge.
    """

    wh: Fraction | None
    lacks: tuple[str, ...] = ()
    last_ms: int | None = None


def figure(
    inside: Counted,
    before: Counted,
    behind: Counted,
    stretch: Stretch,
    *,
    near_ms: int = NEAR_MS,
    open_end: bool = False,
) -> Figure:
    """The figure of a stretch.

    Args:
        inside: what was counted in it.
        before: of the time before it, up to its beginning.
        behind: of the time behind it.
        stretch: the time.
        near_ms: a register so near to an edge is taken for the one at the edge.
        open_end: it ends now: what follows is not known yet.

    The register at an edge is the last one before it, if that is near, else the first one behind it. Where both are the
    same, nothing was counted between them, however far apart they are: an inverter that sleeps.
    """
    from_ms, to_ms = stretch
    if inside.first is None or inside.last is None:
        last_ms = before.last.time_ms if before.last else None
        if _step(before, behind) == 0 and not inside.breaks and not open_end:
            return Figure(Fraction(0), (), last_ms)
        return Figure(None, _together(inside.breaks, ("no-reading",)), last_ms)
    wh, lacks, step = inside.wh, inside.breaks, _step(before, inside)
    if before.last is not None and step is not None and (step == 0 or from_ms - before.last.time_ms <= near_ms):
        wh, lacks = (wh + step, lacks) if step > 0 else (wh, _together(lacks, ("fell",) if step < 0 else ()))
    elif inside.first.time_ms - from_ms > near_ms:
        lacks = _together(lacks, ("begins-late",))
    if to_ms - inside.last.time_ms > near_ms:
        step, next_ms = _step(inside, behind), behind.first.time_ms if behind.first else to_ms
        if not open_end and step is not None and (step == 0 or (step > 0 and next_ms - to_ms <= near_ms)):
            wh += step
        else:
            lacks = _together(lacks, ("ends-early",))
    return Figure(wh, lacks, inside.last.time_ms)


def counted(
    store: Database, meter: str, counters: Sequence[str], stretches: Sequence[Stretch]
) -> list[dict[str, Counted]]:
    """What each of a meter's counters has counted in stretches that lie end to end. Raises StoreError."""
    if not stretches:
        return []
    parts = [list(cut(*stretch)) for stretch in stretches]
    with store.snapshot():
        found = spans_of(Spans(store, meter, counters), [part for some in parts for part in some])
    return [{counter: _whole(some, found, counter) for counter in counters} for some in parts]


def joined(parts: Iterable[Counted]) -> Counted:
    """Parts in order of time as one."""
    return reduce(Counted.then, parts, NOTHING)


def _whole(parts: Sequence[Stretch], found: Mapping[Stretch, Aggregate], counter: str) -> Counted:
    each = (found[part].points.get(counter) for part in parts if part in found)
    return joined(_of(figures) for figures in each if figures is not None)


def _of(figures: PointStats) -> Counted:
    """The part of an hour or less."""
    unit = COUNTER_UNITS.get(figures.unit or "")
    if not is_number(figures):
        return NOTHING
    if unit is None or unit.base != "Wh":
        return Counted(breaks=("no-energy",))
    first, last = (Fraction(value) * unit.factor for value in (figures.first, figures.last))  # type: ignore[arg-type]
    breaks = breaks_of(figures)
    if breaks == ("bad-quality",):
        return NOTHING  # the registers around it say what was counted
    breaks = breaks or (("fell",) if last < first else ())
    return Counted(
        Register(first, figures.first_ms), Register(last, figures.last_ms), Fraction(0) if breaks else last - first,
        breaks, opens=not breaks, ends="bad-quality" not in breaks,
    )  # fmt: skip


def _step(before: Counted, later: Counted) -> Fraction | None:
    """What was counted between two parts, below 0 where the counter fell without a flag; None: that is not known."""
    if before.last is None or later.first is None or not before.ends or not later.opens:
        return None
    return later.first.wh - before.last.wh


def _together(one: tuple[str, ...], other: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*one, *other)))
