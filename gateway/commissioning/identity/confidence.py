"""Confidence that a unit is the device of a profile: explicit rules over what was read. Pure.

1.  Facts (``plausibility``) are added up; each point that the device refuses counts 1 against, 3 at most. Without more,
    confidence is 0.1 a point up to 0.75: what a meter measures says that the register map fits, not whose it is.
2.  0.8 and more needs a device that names itself: constants that are all as the profile has them, or the model by
    function 43/14 or 17. 0.95; 0.9 for a single word, and 0.7 for one where nothing measured supports it; 0.5 against
    the facts.
3.  A constant that holds something else: 0.4 at most. So for a device that calls itself something that is neither a
    model nor the vendor of the profile, unless the constants hold: others sell meters under names of their own.
4.  A read that the device should refuse, and answers: half.
5.  Where a device says itself who it is, all other profiles: 0.4 times.
6.  A profile all of whose values are also another one's, which has more that are right: 0.6 times.
7.  Members of one family of which the device names none and excludes none have the same confidence: they are a tie.
8.  Words in the other order than the profile says: 0.3 at most, unless the profile asks for the order.

Below ``LEAST`` a profile is not named at all.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from gateway.commissioning.identity.plausibility import Fact
from gateway.commissioning.identity.profile_reads import Constants
from gateway.devices.points import Profile
from gateway.messages.message import Message

A_POINT, MOST_MEASURED, LEAST, MOST_NAMED = 0.1, 0.75, 0.15, 6
NAMED, ONE_WORD, ONE_WORD_ALONE, AGAINST_FACTS = 0.95, 0.9, 0.7, 0.5
CONTRADICTED, ANSWERS_ALL_THE_SAME, ANOTHER_NAMED, NARROWER, OTHER_ORDER = 0.4, 0.5, 0.4, 0.6, 0.3
MOST_LACKING = 3
SUPPORTED = 2.0
"""Points that support a single constant word: the frequency, or two voltages."""
NEAR = 0.75
"""Members of a family with so much of the confidence of the likeliest one are as likely."""


@dataclass(frozen=True, slots=True)
class Fit:
    """What was read of a unit for one profile.

    ``called``: what the device calls itself, if that is a model of the profile; ``called_other``: … if it is not.
    ``lacking``: how many points it refused; ``places``: where values other than 0 stand. ``refused``, ``answered``: how
    many reads it should refuse, and did or did not. ``word_order``: as found, of a profile that asks for it.
    ``swapped``: the facts are those of the other word order, of a profile that does not.
    """

    profile: Profile
    facts: tuple[Fact, ...] = ()
    constants: Constants = field(default_factory=Constants)
    called: str | None = None
    called_other: str | None = None
    lacking: int = 0
    places: frozenset[tuple[int, int]] = frozenset()
    refused: int = 0
    answered: int = 0
    word_order: str | None = None
    swapped: bool = False
    why: tuple[Message, ...] = field(default=())

    @property
    def score(self) -> float:
        """The facts for and against it."""
        return sum(fact.weight for fact in self.facts) - min(self.lacking, MOST_LACKING)

    @property
    def names_itself(self) -> bool:
        """The device names this profile: by its model, or by constants that are all as the profile has them."""
        constants = self.constants
        return bool(self.called) or bool(constants.held and not constants.other)

    @property
    def names_another(self) -> bool:
        """The device names another profile."""
        return bool(self.constants.other) or (bool(self.called_other) and not self.names_itself)

    @property
    def family(self) -> str | None:
        """The family that its fingerprint names."""
        return family_of(self.profile)


def family_of(profile: Profile) -> str | None:
    """The family that a profile's fingerprint names."""
    return profile.fingerprint.family if profile.fingerprint else None


@dataclass(frozen=True, slots=True)
class Ranked:
    """A profile with its confidence, 0 to 1, and why."""

    profile: Profile
    confidence: float
    why: tuple[Message, ...]
    word_order: str | None = None
    swapped: bool = False


def rank(fits: Sequence[Fit]) -> list[Ranked]:
    """The profiles that may be it, the likeliest first."""
    named_one = any(fit.names_itself for fit in fits)
    ranked = []
    for fit in fits:
        confidence = alone(fit)
        if named_one and not fit.names_itself:
            confidence *= ANOTHER_NAMED
        if any(_is_wider(other, fit) for other in fits):
            confidence *= NARROWER
        ranked.append(Ranked(fit.profile, confidence, _why(fit), fit.word_order, fit.swapped))
    ranked = _with_families(ranked, {fit.profile.name: fit for fit in fits})
    named = [replace(one, confidence=round(one.confidence, 2)) for one in ranked if one.confidence >= LEAST]
    return sorted(named, key=lambda one: (-one.confidence, one.profile.name))[:MOST_NAMED]


def alone(fit: Fit) -> float:
    """The confidence in one profile, whatever the others are."""
    score = fit.score
    confidence = min(MOST_MEASURED, A_POINT * max(0.0, score))
    if fit.names_itself:
        one = not fit.called and fit.constants.words == 1
        confidence = ONE_WORD if one else NAMED
        if one and score < SUPPORTED:
            confidence = ONE_WORD_ALONE
        if score < 0:
            confidence = AGAINST_FACTS
    if fit.names_another:
        confidence = min(confidence, CONTRADICTED)
    if fit.swapped:
        confidence = min(confidence, OTHER_ORDER)
    return confidence * (ANSWERS_ALL_THE_SAME if fit.answered else 1.0)


def _is_wider(other: Fit, fit: Fit) -> bool:
    """``other`` has all values of ``fit`` and more, and the more is right."""
    if other is fit or not fit.places or fit.names_itself:
        return False
    return fit.places < other.places and other.score > fit.score + 0.5


def _with_families(ranked: list[Ranked], fits: dict[str, Fit]) -> list[Ranked]:
    """Members of a family that nothing tells apart, at one confidence."""
    found = list(ranked)
    families = {fit.family for fit in fits.values() if fit.family}
    for family in families:
        members = [n for n, one in enumerate(found) if fits[one.profile.name].family == family]
        if any(fits[found[n].profile.name].names_itself for n in members):
            continue
        against = [n for n in members if any(fact.weight < 0 for fact in fits[found[n].profile.name].facts)]
        for n in against if len(against) < len(members) else ():
            found[n] = replace(found[n], confidence=found[n].confidence * NARROWER)
        top = max(found[n].confidence for n in members)
        free = [n for n in members if not fits[found[n].profile.name].names_another]
        tied = [n for n in free if found[n].confidence >= NEAR * top and top > 0]
        for n in tied if len(tied) > 1 else ():
            others = tuple(found[m].profile.name for m in tied if m != n)
            why = (*found[n].why, Message("scan-why-family", profiles=others))
            found[n] = replace(found[n], confidence=top, why=why)
    return found


def _why(fit: Fit) -> tuple[Message, ...]:
    why: list[Message] = []
    if fit.called:
        why.append(Message("scan-why-called", text=fit.called))
    elif fit.called_other:
        why.append(Message("scan-why-called-other", text=fit.called_other))
    why += [Message("scan-why-constant", first=at, words=_hex(words)) for at, words in fit.constants.held]
    why += [Message("scan-why-no-constant", first=at, words=_hex(words)) for at, words in fit.constants.other]
    if fit.answered:
        why.append(Message("scan-why-answers"))
    elif fit.refused:
        why.append(Message("scan-why-refuses"))
    why += [fact.sentence for fact in sorted(fit.facts, key=lambda fact: fact.weight)]
    if fit.lacking:
        why.append(Message("scan-why-lacking", n=fit.lacking))
    return (*why, *fit.why)


def _hex(words: Iterable[int]) -> str:
    return " ".join(f"{word:04X}" for word in words)
