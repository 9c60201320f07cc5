"""A balance in words for a terminal: figures by method and matching, the waterfall, findings. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ledger_client.accounting.formats.civil_time import civil_text
from ledger_client.accounting.formats.numbers import half_even
from ledger_client.accounting.tables.stated import written
from ledger_client.balance import result as codes
from ledger_client.balance.result import Finding, Matched, Result

FINDINGS: Final[Mapping[str, str]] = {
    codes.SURPLUS: "{n} hours have more certificates than load; what is over covers no other hour",
    codes.UNALLOCATED: "{n} rows of load are of no known hour: uncovered",
    codes.NOT_DELIVERABLE: "{n} slices are of zones that are not delivered here: they cover nothing",
    codes.RETROSPECTIVE: "{n} rows began before their plan was signed, in statement {where}",
    codes.INCOMPLETE: "statement {where} is not complete",
    codes.GAP: "{n} parts of the period are in no statement of {where}",
    codes.PROVISIONAL_FACTOR: "factor {where} is of an earlier year: that of the year is not published",
    codes.PROVISIONAL: "{n} rows of scope 1 are provisional, in statement {where}",
    codes.UNCONFIRMED: "factor {where} is not confirmed: it was read in one source only",
    codes.NO_BOUNDARY: "no boundary is named",
    codes.NO_EXCLUSIONS: "it is not said what is excluded, not even that nothing is",
    codes.NOT_OFFSET: "something is left that no offset is for",
    codes.SURPLUS_OFFSETS: "there are more offsets than are needed",
    codes.NOT_RECOMPUTED: "{n} statements are not recomputed: `meterseal-ledger neutrality` does that",
    codes.OWN_FACTOR: "factor {where} is the party's own",
    codes.FIXED_FACTOR: "factor {where} is named by its id, in place of the year's",
    codes.NO_DEVICE_FACTOR: "{n} certificates of the source `{where}`, which may be fossil, have no factor: 0 kg",
    codes.OLD_OFFSETS: "{n} offsets are more than 10 years older than the period, the oldest of {where}",
    codes.UNUSUAL: "unusual inputs ({n}), {where}",
    codes.UNCITED: "{n} gateways of the trust file are not in this balance: {where}",
}  # fmt: skip
_STEPS: Final = {
    codes.SCOPE_1: "scope 1", codes.SCOPE_2: "scope 2 without certificates", codes.CERTIFICATES: "certificates",
    codes.OFFSETS: "offsets", codes.RESIDUAL: "left",
}  # fmt: skip
_SHARE: Final = 100_000


def finding_in_words(finding: Finding) -> str:
    """What a reader should know, with its rule."""
    return f"{FINDINGS[finding.code].format(n=finding.number, where=finding.where)} ({finding.rule})"


def headline(result: Result) -> str:
    """Yes or no, attested by whom, and that nobody has verified the offsets (B7)."""
    against = [finding for finding in result.findings if result.blocks(finding)]
    why = f": {finding_in_words(against[0])}" if against else ""
    more = f", and {len(against) - 1} more" if len(against) > 1 else ""
    verdict = "YES: nothing is left (B4)" if result.neutralised else f"NO{why}{more}"
    return f"{verdict}; {attested_by(result)}; {offsets_verified(result)}"


def attested_by(result: Result) -> str:
    """Which verifiers attest the balance, and whose verdict is another."""
    review = result.review
    by = ", ".join(f"{name} ({level})" for name, level in review.attested) if review else ""
    others = ", ".join(f"{name} says {verdict}" for name, verdict in review.others) if review else ""
    return f"attested by {by or 'nobody'}{f'; {others}' if others else ''}"


def offsets_verified(result: Result) -> str:
    """That offsets are serials at a registry that nobody asked."""
    if not result.offsets:
        return "no offsets"
    return f"offsets of {written(result.offsets_g)} kg are not verified: their registries are not asked"


def in_words(result: Result) -> Iterator[str]:
    """Lines for a terminal."""
    begin, end = (civil_text(time_ms, result.civil_min) for time_ms in (result.from_ms, result.to_ms))
    yield f"balance of {result.party}, zone {result.zone}, {begin} to {end}"
    yield f"  load {written(result.load_milli)} Wh, retired for its hours {written(result.retired_milli)} Wh"
    yield ""
    yield f"  {'matched by':<12}{'covered Wh':>22}{'uncovered Wh':>22}{'share':>10}{'market-based kg':>20}"
    for name, matched in (("hour", result.hourly), ("month", result.monthly), ("period", result.yearly)):
        yield _matched(name, matched)
    yield ""
    yield f"  scope 2, location-based {written(result.location_g)} kg, by {result.average.id}"
    yield f"  scope 2, market-based   {written(result.market_g)} kg, by {result.residual.id}"
    if result.reductions_g is not None:
        yield f"  reductions against the base period {written(result.reductions_g)} kg"
    yield ""
    for step, mass_g in result.waterfall:
        yield f"  {_STEPS[step]:<30}{written(mass_g):>20} kg"
    yield ""
    yield f"neutralised: {'yes' if result.neutralised else 'no'} (B4); {attested_by(result)}"
    yield f"  {offsets_verified(result)}"
    for finding in result.findings:
        yield f"  {'against it: ' if result.blocks(finding) else ''}{finding_in_words(finding)}"


def _matched(name: str, matched: Matched) -> str:
    load = matched.covered_milli + matched.uncovered_milli
    share = f"{written(half_even(matched.covered_milli * _SHARE, load))} %" if load > 0 else "-"
    energy = f"{written(matched.covered_milli):>22}{written(matched.uncovered_milli):>22}"
    return f"  {name:<12}{energy}{share:>10}{written(matched.market_g):>20}"
