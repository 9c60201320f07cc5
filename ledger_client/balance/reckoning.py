"""Balance of a party from what it is made of: what is refused, and what follows (rules B1–B4, C4, F3). Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Final

from ledger_client.accounting.formats.civil_time import civil, utc_text
from ledger_client.accounting.formats.factor import Factor
from ledger_client.accounting.formats.refusal import refuse
from ledger_client.balance import result
from ledger_client.balance.given import GivenOffset, RetiredSlice, Source, Terms, factors_of
from ledger_client.balance.loads import hour_of, loads_of
from ledger_client.balance.matching import Matching, Rates, match
from ledger_client.balance.result import Emission, Finding, Result
from ledger_client.claims.certificate import digest, hidden
from ledger_client.claims.claim import overlap

FREE: Final = frozenset(
    {"water", "hydro", "wind", "solar", "geothermal", "ocean", "tidal", "wave", "biomass", "nuclear"}
    | {"水", "水电", "风", "风电", "太阳能", "光伏", "地热", "海洋能", "生物质", "核", "核电"}
)
"""Sources of a device (P4) whose energy is 0 kg without a factor (B3); any other counts as fossil."""
OLDEST_YEARS: Final = 10
"""An offset's vintage may lie so many years before the balance's."""


def balance(
    terms: Terms, sources: Sequence[Source], slices: Sequence[RetiredSlice], offsets: Sequence[GivenOffset]
) -> Result:
    """The balance of a party.

    Args:
        terms: whose, of when and where, by which factors.
        sources: the statements of the period, of any number of gateways.
        slices: what was retired for the party in the period.
        offsets: serials that were retired for it.

    Raises:
        AccountingError: something of it does not belong to this balance.
    """
    _check_terms(terms)
    for one in slices:
        _check_slice(terms, one)
    _demand_apart(slices)
    _check_offsets(slices, offsets)
    loads = loads_of(terms, sources)
    zones = {terms.zone, *terms.deliverable}
    counting = [one for one in slices if one.zone in zones]
    rates = Rates.of(terms, counting)
    matching = match(terms, loads, counting, rates)
    devices = [used.factor for used in factors_of(counting).values()]
    findings = [*loads.findings, *_findings(terms, counting, matching)]
    if len(counting) < len(slices):
        findings.append(Finding("B1", result.NOT_DELIVERABLE, len(slices) - len(counting)))
    findings += _open(terms, loads.emissions, matching, offsets, rates)
    findings += _attestable(terms, counting, offsets)
    findings.append(Finding("B6", result.NOT_RECOMPUTED, len(loads.statements)))
    return Result(
        terms.party, terms.from_ms, terms.to_ms, terms.civil_min, terms.zone, terms.deliverable, terms.boundary,
        loads.exclusions, terms.average.factor, terms.residual.factor, tuple(devices), matching.hours,
        matching.stretches, matching.months, matching.yearly, matching.uncertified_g, tuple(loads.emissions),
        tuple(offset.stated for offset in offsets), terms.base, tuple(loads.statements),
        tuple(sorted((one.cert, *one.part) for one in slices)),
        result.in_order(findings),
    )  # fmt: skip


def _check_terms(terms: Terms) -> None:
    whole = all(hour_of(terms, time_ms) == time_ms for time_ms in (terms.from_ms, terms.to_ms))
    if not (whole and terms.from_ms < terms.to_ms):
        refuse("N6", "period", "it does not go from an hour to a later one", "give whole hours of civil time")
    if civil(terms.from_ms, terms.civil_min).year != civil(terms.to_ms - 1, terms.civil_min).year:
        refuse("F2", "period", "it is of two civil years", "make a balance for each: factors are of a year")
    _check_factor(terms.average.factor, "average", terms.zone)
    _check_factor(terms.residual.factor, "residual", terms.zone)


def _check_factor(factor: Factor, kind: str, zone: str) -> None:
    where = f"factors.{kind}"
    if factor.kind != kind:
        problem = f"{factor.id} is of kind {factor.kind}"
        refuse("F3", where, problem, f"name a factor of kind {kind}; an average never stands in for a residual")
    if zone != factor.region and not zone.startswith(f"{factor.region}-"):
        refuse("F2", where, f"{factor.id} is of region {factor.region}, not of {zone}", "name the load's region")


def _check_slice(terms: Terms, one: RetiredSlice) -> None:
    """It was retired for this party, for a time that its hour lies in, which is the balance's."""
    where = f"certificate {one.cert.hex()}"
    if one.beneficiary is None:
        if one.party != terms.party:
            refuse("B1", where, f"it is retired by {one.party}, not by {terms.party}", "give what this party retired")
    elif one.salt is None or hidden(one.salt, terms.party) != one.beneficiary:
        problem = f"it is retired for somebody whose name and salt are not those of {terms.party}"
        refuse("Z3", where, problem, "give the salt that its retirement was made with, or leave it out")
    if not (one.use_from_ms <= one.from_ms and one.to_ms <= one.use_to_ms):
        problem = (
            f"it is of {utc_text(one.from_ms)} and retired for {utc_text(one.use_from_ms)} to {utc_text(one.use_to_ms)}"
        )
        refuse("B1", where, problem, "give what was retired for the hour in which it was made")
    if not (terms.from_ms <= one.from_ms and one.to_ms <= terms.to_ms):
        problem = f"it is of {utc_text(one.from_ms)}, and retired for another period than the balance's"
        refuse("B1", where, problem, "give what was retired for the period of the balance")
    if one.factor is not None and one.factor.factor.kind != "device":
        problem = f"its factor {one.factor.factor.id} is of kind {one.factor.factor.kind}"
        refuse("B3", where, problem, "a certificate takes the factor of its device, or 0")


def _demand_apart(slices: Sequence[RetiredSlice]) -> None:
    for before, after in pairwise(sorted(slices, key=lambda one: (one.cert, one.part))):
        if before.cert == after.cert and after.part[0] < before.part[1]:
            problem = f"unit {after.part[0]} of certificate {after.cert.hex()} is used twice"
            refuse("B1", "certificates", problem, "name each slice once")


def _check_offsets(slices: Sequence[RetiredSlice], offsets: Sequence[GivenOffset]) -> None:
    certified = {one.device for one in slices}
    for number, given in enumerate(offsets):
        offset = given.stated.offset
        for other in offsets[:number]:
            if overlap(offset, other.stated.offset):
                first = max(offset.first, other.stated.offset.first)
                problem = f"serials from {first} on of {offset.project} are given twice"
                refuse("C4", f"offset {number + 1}", problem, "a serial stands in a balance once")
        if given.device is not None and digest(given.device) in certified:
            problem = f"its device {given.device} has certificates in this balance"
            refuse("C4", f"offset {number + 1}", problem, "an hour is in one scheme: leave out the one or the other")


def _findings(terms: Terms, slices: Sequence[RetiredSlice], matching: Matching) -> Iterator[Finding]:
    if matching.surplus_hours:
        yield Finding("B1", result.SURPLUS, matching.surplus_hours)
    if matching.stretches:
        yield Finding("B2", result.UNALLOCATED, len(matching.stretches))
    for chosen in (terms.average, terms.residual, *factors_of(slices).values()):
        if not chosen.factor.confirmed:
            yield Finding("F1", result.UNCONFIRMED, 1, chosen.factor.id)


def _open(
    terms: Terms, emissions: Sequence[Emission], matching: Matching, offsets: Sequence[GivenOffset], rates: Rates
) -> Iterator[Finding]:
    """What stands against ``neutralised``: it is judged before anything is rounded, so that no Wh is lost in a gram."""
    if not terms.boundary:
        yield Finding("B4", result.NO_BOUNDARY, 1)
    if terms.exclusions is None:
        yield Finding("B4", result.NO_EXCLUSIONS, 1)
    left = sum(one.mass_g for one in emissions) - sum(given.stated.mass_g for given in offsets)
    exact = left * rates.below + matching.exact_market
    written = left + sum(month.hourly.market_g for month in matching.months)
    if exact > 0 or written > 0:
        yield Finding("B4", result.NOT_OFFSET, 1)
    if written < 0:
        yield Finding("B4", result.SURPLUS_OFFSETS, 1)


def _attestable(terms: Terms, slices: Sequence[RetiredSlice], offsets: Sequence[GivenOffset]) -> Iterator[Finding]:
    """What a party chose or may choose, and nobody else can judge by the files: verifiers attest it (B7)."""
    devices = factors_of(slices).values()
    for chosen in (terms.average, terms.residual, *devices):
        if chosen.provisional:
            yield Finding("F2", result.PROVISIONAL_FACTOR, 1, chosen.factor.id)
        if chosen.unpublished and chosen.factor.kind != "device":
            yield Finding("B7", result.OWN_FACTOR, 1, chosen.factor.id)
        if chosen.fixed:
            yield Finding("B7", result.FIXED_FACTOR, 1, chosen.factor.id)
    for chosen in devices:
        if chosen.factor.amount <= 0:
            yield Finding("B7", result.OWN_FACTOR, 1, chosen.factor.id)
    burning = Counter(one.source for one in slices if one.factor is None and one.source.strip().lower() not in FREE)
    for source, number in burning.items():
        yield Finding("B7", result.NO_DEVICE_FACTOR, number, source)
    oldest = civil(terms.from_ms, terms.civil_min).year - OLDEST_YEARS
    if old := [given.stated.offset for given in offsets if given.stated.offset.vintage < oldest]:
        yield Finding("B7", result.OLD_OFFSETS, len(old), str(min(offset.vintage for offset in old)))
