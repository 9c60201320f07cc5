"""Fitting of the profiles to one Modbus unit: which of them are read, in which order, and what was found for each.

First the constants of all profiles, which cost few reads and say most; then one point of each profile; then all that
can be judged of those that are left, the likeliest first, as long as there is time.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Literal

from gateway.commissioning.identity.confidence import Fit, alone, family_of
from gateway.commissioning.identity.device_names import names_model
from gateway.commissioning.identity.plausibility import Fact, facts, measured, sizes_fit
from gateway.commissioning.identity.profile_reads import (
    Constants,
    Held,
    blocks,
    constants,
    first,
    long_values,
    other_order,
    values,
    wanted,
)
from gateway.commissioning.identity.unit_reads import NOWHERE, UnitReads
from gateway.devices.blocks import Content
from gateway.devices.points import Profile
from gateway.devices.register_block import RegisterBlock
from gateway.messages.message import Message

Everywhere = Mapping[int, tuple[int, ...]]
"""By function, of a device that answers everywhere: what it says of registers that it does not have."""
WEAK, STRONG, MOST_WEAK = 0, 1, 6
"""Whether the first point is plausible; and how many others are read as well, where one is."""
GOOD = 0.7
"""Confidence that makes the profile of a neighbour enough."""
RARE = 256
"""Most devices have registers below."""


async def fit(
    reads: UnitReads, profiles: Sequence[Profile], texts: tuple[str, ...], likely: Collection[str] = ()
) -> list[Fit]:
    """What was read of a unit for each profile that may be its own.

    Args:
        reads: of the unit.
        profiles: all that there are.
        texts: what it says of itself.
        likely: profiles of its neighbours on the line, which are tried first; nothing else is read if one fits.
    """
    search = _Search(reads, sorted(profiles, key=lambda p: p.name not in likely), texts)
    return await search.by_name() or await search.by_neighbours(likely) or await search.by_registers()


async def fit_by_name(reads: UnitReads, profiles: Sequence[Profile], texts: tuple[str, ...]) -> list[Fit]:
    """The same for the profiles that the unit itself names."""
    return await _Search(reads, profiles, texts).by_name()


class _Search:
    """The search for the profiles of one unit; what was read for one is kept."""

    def __init__(self, reads: UnitReads, profiles: Sequence[Profile], texts: tuple[str, ...]) -> None:
        self._reads, self._profiles, self._texts = reads, profiles, texts
        self._everywhere: Everywhere | None = None

    async def by_name(self) -> list[Fit]:
        """The profiles that the device itself names, with their families."""
        if named := [profile for profile in self._profiles if names_model(self._texts, profile)]:
            return await self._fits(self._with_families(named))
        for profile in self._profiles:
            fixed = await constants(self._reads, profile)
            if fixed.held and not fixed.other:
                fits = await self._fits(self._with_families([profile]))
                if any(one.names_itself and one.score >= 0 for one in fits):
                    return fits
        return []

    async def by_neighbours(self, likely: Collection[str]) -> list[Fit]:
        """The profiles of the neighbours, if one of them fits without a fact against it."""
        there = self._with_families([profile for profile in self._profiles if profile.name in likely])
        fits = await self._fits(await _by_first(self._reads, there, await self._answers_everywhere()))
        return fits if any(alone(one) >= GOOD and all(f.weight > 0 for f in one.facts) for one in fits) else []

    async def by_registers(self) -> list[Fit]:
        """The profiles whose registers are there."""
        return await self._fits(await _by_first(self._reads, self._profiles, await self._answers_everywhere()))

    def _with_families(self, some: Sequence[Profile]) -> list[Profile]:
        families = {p.fingerprint.family for p in some if p.fingerprint} - {None}
        return [*some, *(p for p in self._profiles if family_of(p) in families and p not in some)]

    async def _answers_everywhere(self) -> Everywhere:
        if self._everywhere is None:
            found = {fc: await self._reads.words(fc, NOWHERE, 2) for fc in (3, 4)}
            self._everywhere = {fc: words for fc, words in found.items() if words is not None}
        return self._everywhere

    async def _fits(self, profiles: Sequence[Profile]) -> list[Fit]:
        fits = []
        for profile in profiles:
            called = names_model(self._texts, profile)
            fixed = await constants(self._reads, profile)
            found = await _fit(self._reads, profile, fixed, called, await self._answers_everywhere())
            if found is not None:
                other = None if called or not self._texts or _names_vendor(self._texts, profile) else self._texts[0]
                fits.append(replace(found, called_other=other))
        return fits


def _names_vendor(texts: tuple[str, ...], profile: Profile) -> bool:
    vendor = profile.vendor.split()[0].lower()
    return any(vendor in text.lower() for text in texts)


async def _by_first(reads: UnitReads, profiles: Sequence[Profile], everywhere: Everywhere) -> list[Profile]:
    """The profiles whose first point is answered, those where it is plausible in front. Of a device that answers
    everywhere, zeros are no answer."""
    found: list[tuple[int, Profile]] = []
    for profile in profiles:
        point = first(profile)
        words = await reads.words(point.fc, point.address, point.registers)
        if words is None or (point.fc in everywhere and not any(words)):
            continue
        held = {RegisterBlock.over(point.fc, point.address, point.registers, (point,)): words}
        one_way, other_way = (facts(profile, values(held, swapped=swapped)) for swapped in (False, True))
        fits = any(fact.weight > 0 for fact in (*one_way, *other_way))
        found.append((STRONG if fits else WEAK, profile))
    strong = [profile for strength, profile in found if strength == STRONG]
    weak = [profile for strength, profile in found if strength == WEAK]
    return [*strong, *weak[: MOST_WEAK if strong else None]]


async def _fit(
    reads: UnitReads, profile: Profile, fixed: Constants, called: str | None, everywhere: Everywhere
) -> Fit | None:
    held, lacking = await blocks(reads, profile)
    if not held and not fixed.held and not called:
        return None
    refused = answered = 0
    for one in profile.fingerprint.refuses if profile.fingerprint else ():
        match await reads.refuses(one.fc, one.address, one.registers):
            case True:
                refused += 1
            case False:
                answered += 1
    found = values(held)
    places = frozenset(
        (block.fc, point.address)
        for block in held
        for point in block.points
        if found.get(point.name) not in (None, 0, False, "")
    )
    fitted = Fit(
        profile,
        (*facts(profile, found), *_has_places(held, lacking, everywhere)),
        fixed,
        called,
        lacking=lacking,
        places=places,
        refused=refused,
        answered=answered,
    )
    return _ordered(fitted, held, found, reads.unit)


def _has_places(held: Held, lacking: int, everywhere: Everywhere) -> list[Fact]:
    """All registers are answered, and more than one point is in them. Of a device that answers everywhere with zeros,
    those count that are none. At addresses that few devices use it says more."""
    if lacking:
        return []
    there = [
        block for block, words in held.items() if block.fc not in everywhere or (any(words) and _zeros(everywhere))
    ]
    if sum(len(block.points) for block in there) < 2:
        return []
    return [Fact(1.5 if any(block.address >= RARE for block in there) else 0.5, Message("scan-why-places"))]


def _zeros(everywhere: Everywhere) -> bool:
    return not any(word for words in everywhere.values() for word in words)


def _ordered(fitted: Fit, held: Held, found: dict[str, Content], unit: int) -> Fit:
    """The fit with the word order that is plausible: the answer of a profile that asks for it, else a remark."""
    profile = fitted.profile
    swapped = values(held, swapped=True)
    if "word_order" in profile.ask:
        order, other = _asked_order(profile, found, swapped), None
        if order == "little":
            other = replace(fitted, facts=tuple(facts(profile, swapped)))
        decided = (Message("scan-why-order", order=order),) if order else (Message("scan-why-order-open"),)
        fitted = other or fitted
        sizes = (Fact(2, Message("scan-why-sizes")),) if order else ()
        return replace(fitted, word_order=order, why=decided, facts=(*fitted.facts, *sizes))
    if fitted.score >= 0 or not measured(profile, swapped):
        return fitted
    right = tuple(facts(profile, swapped))
    if any(fact.weight < 0 for fact in right) or sum(fact.weight for fact in right) < 4:
        return fitted
    name, read_as, value = next(
        (p.name, found[p.name], swapped[p.name]) for p, _ in long_values(wanted(profile), found) if found[p.name]
    )
    sentence = Message(
        "scan-words-swapped",
        unit=unit,
        profile=profile.name,
        point=name,
        value=_short(value),
        in_unit=profile.point(name).unit or "",
        read_as=_short(read_as),
    )
    return replace(fitted, facts=right, swapped=True, why=(sentence,))


def _asked_order(
    profile: Profile, found: dict[str, Content], swapped: dict[str, Content]
) -> Literal["big", "little"] | None:
    """The word order in which all long values have sizes that measured values have; None: both, or neither."""
    points = wanted(profile)
    big = sizes_fit(long_values(points, found))
    little = sizes_fit(long_values(list(map(other_order, points)), swapped))
    return "big" if big and not little else "little" if little and not big else None


def _short(value: Content) -> str:
    return format(float(value), ".4g") if isinstance(value, int | float | Decimal) else "-"
