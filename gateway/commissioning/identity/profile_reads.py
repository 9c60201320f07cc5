"""Reads that show whether a profile fits a unit: its constants, one point, and then the points that can be judged.

The points are read in the profile's own blocks, so that a device is asked for no more at once than it can answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from itertools import groupby

from gateway.commissioning.identity.unit_reads import UnitReads
from gateway.devices.blocks import Content, contents
from gateway.devices.places import Registers
from gateway.devices.points import UNRECORDED, Point, Profile
from gateway.devices.read_plan import Limits, plan
from gateway.devices.register_block import RegisterBlock

RATIOS = {"ct": Decimal(1), "pt": Decimal(1)}
"""Transformer ratios are the site's: values are judged as those of the meter's own terminals."""
JUDGED = (
    "voltage_ln_l1", "voltage_ln_l2", "voltage_ln_l3", "voltage_ln", "voltage_ln_avg", "frequency",
    "current_l1", "current",
    "active_power_total", "active_power_l1", "active_power_l2", "active_power_l3",
    "apparent_power_total", "apparent_power_l1", "reactive_power_total", "reactive_power_l1",
    "power_factor_total", "power_factor_l1", "energy_import",
)  # fmt: skip
"""Points whose values can be judged whatever the device."""
FIRST = ("voltage_ln_l1", "voltage_ln", "voltage_ln_avg", "voltage_ll_l12", "frequency", "active_power_total")
FEW, OTHERS = 3, 6
"""Of a device that measures less than so many of the above, so many other points are read."""

Held = dict[RegisterBlock, tuple[int, ...]]
"""Registers of the blocks that were answered."""


def wanted(profile: Profile) -> list[Point]:
    """The points to judge a profile by, with the scale points that they need."""
    names = {*JUDGED}
    if profile.fingerprint is not None:
        names |= profile.fingerprint.ranges.keys()
        names |= {name for each in profile.fingerprint.sums for name in (each.total, *each.parts)}
    if not any(point.name.startswith("voltage_ln") for point in profile.points):
        names |= {"voltage_ll_l12", "voltage_ll_l23", "voltage_ll_l31"}
    chosen = [point for point in profile.points if point.name in names]
    if len(chosen) < FEW:
        numbers = [p for p in profile.points if p.kind not in (*UNRECORDED, "text") and p.record and p not in chosen]
        chosen += numbers[:OTHERS]
    needed = {name for point in chosen for name in point.scale_points}
    return chosen + [point for point in profile.points if point.name in needed and point not in chosen]


def first(profile: Profile) -> Point:
    """The point that is read before all others."""
    points = {point.name: point for point in wanted(profile)}
    return next((points[name] for name in FIRST if name in points), next(iter(points.values())))


@dataclass(frozen=True, slots=True)
class Constants:
    """Of a profile's constants: how many places hold what they should, how many words those are, the places that hold
    something else, and how many could not be read. A place with several entries may hold any of them; zeros, and what a
    device answers anywhere, are said of registers that it does not have, and are as good as no answer."""

    held: tuple[tuple[int, tuple[int, ...]], ...] = ()
    other: tuple[tuple[int, tuple[int, ...]], ...] = ()
    unread: int = 0

    @property
    def words(self) -> int:
        """How many words are as they should be."""
        return sum(len(words) for _, words in self.held)


async def constants(reads: UnitReads, profile: Profile) -> Constants:
    """Read the constants of a profile's fingerprint."""
    if profile.fingerprint is None:
        return Constants()
    held, other, unread = [], [], 0
    entries = sorted(profile.fingerprint.constants, key=lambda one: (one.fc, one.address))
    for (fc, address), group in groupby(entries, key=lambda one: (one.fc, one.address)):
        choices = list(group)
        found = await reads.words(fc, address, max(len(one.words) for one in choices))
        if found is None or not any(found) or (len(found) == 1 and await reads.anywhere(fc) == found[0]):
            unread += 1
        elif match := next((words for one in choices if (words := one.held(found))), None):
            held.append((address, match))
        else:
            other.append((address, found))
    return Constants(tuple(held), tuple(other), unread)


async def blocks(reads: UnitReads, profile: Profile) -> tuple[Held, int]:
    """Read all points to judge a profile by; the blocks that were answered, and how many points were refused.

    A block that is refused is read point by point: a variant of the device may lack some of them.
    """
    held, lacking = Held(), 0
    for block in plan(wanted(profile), Limits.of(profile, variants=1)):
        words = await reads.words(block.fc, block.address, block.count)
        if words is not None:
            held[block] = words
            continue
        for point in block.points if len(block.points) > 1 else ():
            one = RegisterBlock.over(point.fc, point.address, point.registers, (point,))
            words = await reads.words(one.fc, one.address, one.count)
            if words is None:
                lacking += 1
            else:
                held[one] = words
            if lacking > 2:
                return held, lacking
        lacking += len(block.points) == 1
    return held, lacking


def values(held: Held, *, swapped: bool = False) -> dict[str, Content]:
    """The values in blocks; ``swapped``: with the words of each value the other way round."""
    pairs = [(_swapped(block) if swapped else block, raw) for block, raw in held.items()]
    return contents(pairs, RATIOS)


def _swapped(block: RegisterBlock) -> RegisterBlock:
    return replace(block, points=tuple(map(other_order, block.points)))


def other_order(point: Point) -> Point:
    """The point with its words the other way round."""
    at = point.at
    if not isinstance(at, Registers) or at.registers == 1 or at.type in ("string", "sum"):
        return point
    return replace(point, at=replace(at, word_order="little" if at.word_order == "big" else "big"))


def long_values(points: Sequence[Point], found: Mapping[str, Content]) -> list[tuple[Point, Content]]:
    """Those of the values that fill more than one register, with their points."""
    return [(p, found[p.name]) for p in points if p.name in found and p.registers > 1 and p.type != "string"]
