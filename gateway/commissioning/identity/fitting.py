"""Fitting of the profiles to one Modbus unit: which of them are read, in which order, and what was found for each.

First the constants of all profiles, which cost few reads and say most; then one point of each profile; then all that
can be judged of those that are left, the likeliest first, as long as there is time.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Literal

from gateway.commissioning.identity.confidence import Fit
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
from gateway.commissioning.identity.unit_reads import UnitReads
from gateway.devices.blocks import Content
from gateway.devices.points import Profile
from gateway.devices.register_block import RegisterBlock
from gateway.messages.message import Message

NOWHERE = ((3, 60_211), (4, 60_211))
"""Registers that no profile has: a device that answers there answers everywhere."""
WEAK, STRONG = 0, 1
RARE = 256
"""Most devices have registers below."""


async def fit(reads: UnitReads, profiles: Sequence[Profile], texts: tuple[str, ...]) -> list[Fit]:
    """What was read of a unit for each profile that may be its own. ``texts``: what it says of itself."""
    told = {profile.name: await constants(reads, profile) for profile in profiles}
    called = {profile.name: names_model(texts, profile) for profile in profiles}
    sure = [p for p in profiles if called[p.name] or (told[p.name].held and not told[p.name].other)]
    everywhere = [fc for fc, address in NOWHERE if await reads.words(fc, address, 2) is not None]
    if sure:
        families = {p.fingerprint.family for p in sure if p.fingerprint} - {None}
        left = [*sure, *(p for p in profiles if p.fingerprint and p.fingerprint.family in families and p not in sure)]
    else:
        left = await _by_first(reads, profiles, everywhere)
    fits = []
    for profile in left:
        found = await _fit(reads, profile, told[profile.name], called[profile.name], everywhere)
        if found is not None:
            other = None if called[profile.name] or not texts or _says_vendor(texts, profile) else texts[0]
            fits.append(replace(found, called_other=other))
    return fits


def _says_vendor(texts: tuple[str, ...], profile: Profile) -> bool:
    vendor = profile.vendor.split()[0].lower()
    return any(vendor in text.lower() for text in texts)


async def _by_first(reads: UnitReads, profiles: Sequence[Profile], everywhere: Collection[int]) -> list[Profile]:
    """The profiles whose first point is answered, those where it is plausible in front. Of a device that answers
    everywhere, zeros are no answer."""
    found: list[tuple[int, Profile]] = []
    for profile in profiles:
        point = first(profile)
        words = await reads.words(point.fc, point.address, point.registers)
        if words is None or (point.fc in everywhere and not any(words)):
            continue
        held = {RegisterBlock.over(point.fc, point.address, point.registers, (point,)): words}
        fits = measured(profile, values(held)) or measured(profile, values(held, swapped=True))
        found.append((STRONG if fits else WEAK, profile))
    return [profile for _, profile in sorted(found, key=lambda one: -one[0])]


async def _fit(
    reads: UnitReads, profile: Profile, told: Constants, called: str | None, everywhere: Collection[int]
) -> Fit | None:
    held, lacking = await blocks(reads, profile)
    if not held and not told.held and not called:
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
        told,
        called,
        lacking=lacking,
        places=places,
        refused=refused,
        answered=answered,
    )
    return _ordered(fitted, held, found, reads.unit)


def _has_places(held: Held, lacking: int, everywhere: Collection[int]) -> list[Fact]:
    """All registers are answered: that says something where the device does not answer everywhere, and more at
    addresses that few devices use."""
    if lacking or any(block.fc in everywhere for block in held) or sum(len(block.points) for block in held) < 2:
        return []
    rare = any(block.address >= RARE for block in held)
    return [Fact(1.5 if rare else 0.5, Message("scan-why-places"))]


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
    said = Message(
        "scan-words-swapped",
        unit=unit,
        profile=profile.name,
        point=name,
        value=_short(value),
        read_as=_short(read_as),
    )
    return replace(fitted, facts=right, swapped=True, why=(said,))


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
