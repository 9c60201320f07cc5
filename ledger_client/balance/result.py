"""Balance of a party: what covers its load hour by hour, its emissions by both methods, and what is left. Pure.

Energy is in thousandths of a Wh (``_milli``), mass in grams (``_g``). A total is the sum of its rows, exactly;
an amount bears the rows, certificates and factors that it follows from.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

from ledger_client.accounting.formats.factor import Factor
from ledger_client.claims.claim import Offset, Part

SCOPE_1, SCOPE_2, CERTIFICATES, OFFSETS, RESIDUAL = "scope-1", "scope-2", "certificates", "offsets", "residual"
"""Steps of the waterfall, in this order."""
SURPLUS, UNALLOCATED, NOT_DELIVERABLE, RETROSPECTIVE = "surplus", "unallocated", "not-deliverable", "retrospective"
INCOMPLETE, GAP, PROVISIONAL_FACTOR, PROVISIONAL = "incomplete", "gap", "provisional-factor", "provisional"
UNCONFIRMED, NO_BOUNDARY, NO_EXCLUSIONS, NOT_OFFSET = "unconfirmed-factor", "no-boundary", "no-exclusions", "not-offset"
SURPLUS_OFFSETS, NOT_RECOMPUTED = "surplus-offsets", "not-recomputed"
OWN_FACTOR, FIXED_FACTOR, NO_DEVICE_FACTOR = "own-factor", "fixed-factor", "no-device-factor"
OLD_OFFSETS, UNUSUAL, UNCITED = "old-offsets", "unusual", "uncited"
FINDINGS: Final = (
    SURPLUS, UNALLOCATED, NOT_DELIVERABLE, RETROSPECTIVE, INCOMPLETE, GAP, PROVISIONAL_FACTOR, PROVISIONAL,
    UNCONFIRMED, NO_BOUNDARY, NO_EXCLUSIONS, NOT_OFFSET, SURPLUS_OFFSETS, NOT_RECOMPUTED, OWN_FACTOR, FIXED_FACTOR,
    NO_DEVICE_FACTOR, OLD_OFFSETS, UNUSUAL, UNCITED,
)  # fmt: skip
"""Codes of what a reader should know."""
BLOCKING: Final = frozenset({INCOMPLETE, GAP, PROVISIONAL, NO_BOUNDARY, NO_EXCLUSIONS, NOT_OFFSET, NOT_RECOMPUTED})
"""With one of these a balance is not ``neutralised`` (B4)."""
ATTESTABLE: Final = frozenset({PROVISIONAL_FACTOR, OWN_FACTOR, FIXED_FACTOR, NO_DEVICE_FACTOR, OLD_OFFSETS, UNUSUAL})
"""With one of these it is not, either, until enough verifiers attest the balance (B7)."""


class RowRef(NamedTuple):
    """A row: the record hash of its statement, and its place in the ``.mrows`` file."""

    statement: bytes
    place: int


class Covering(NamedTuple):
    """What a retired slice covers of an hour; 0 where others cover all of it. ``factor``: its id; None: 0 kg."""

    cert: bytes
    part: Part
    covered_milli: int
    factor: str | None


@dataclass(frozen=True, slots=True)
class Hour:
    """One hour, by the civil time of the balance: covered + uncovered = load, covered ≤ retired (B1, B3)."""

    from_ms: int
    load_milli: int
    retired_milli: int
    covered_milli: int
    location_g: int
    market_g: int
    rows: tuple[RowRef, ...]
    coverings: tuple[Covering, ...]

    @property
    def uncovered_milli(self) -> int:
        """Load that no certificate of this hour covers."""
        return self.load_milli - self.covered_milli


@dataclass(frozen=True, slots=True)
class Stretch:
    """Load that no hour is known of: uncovered (B2). It counts in the month in which it ends."""

    from_ms: int
    to_ms: int
    load_milli: int
    location_g: int
    market_g: int
    row: RowRef


class Matched(NamedTuple):
    """Load and certificates matched by the hour, by the month, or over the whole period."""

    covered_milli: int
    uncovered_milli: int
    market_g: int


@dataclass(frozen=True, slots=True)
class Month:
    """A civil month, or the part of one that lies in the period. ``load_milli`` includes what is unallocated;
    ``retired_milli``: units of its hours. ``hourly``: the sum of its hours and stretches; ``monthly``: as a whole."""

    from_ms: int
    to_ms: int
    load_milli: int
    unallocated_milli: int
    retired_milli: int
    location_g: int
    hourly: Matched
    monthly: Matched


class Emission(NamedTuple):
    """Scope 1 of a node in a statement: the sum of its rows."""

    gateway: str
    node: str
    statement: bytes
    mass_g: int
    rows: tuple[RowRef, ...]


class StatedOffset(NamedTuple):
    """Serials of an offset, each of so many kg of CO₂e (C4)."""

    offset: Offset
    each_kg: int

    @property
    def mass_g(self) -> int:
        """Of all its serials."""
        return (self.offset.last - self.offset.first + 1) * self.each_kg * 1000


class Base(NamedTuple):
    """An earlier period that reductions are counted from: scope 1 + location-based scope 2 of it, and its document."""

    from_ms: int
    to_ms: int
    mass_g: int
    document: bytes


class Finding(NamedTuple):
    """What a reader should know: the rule, one of FINDINGS, how many, and of what (a factor, a statement, a node)."""

    rule: str
    code: str
    number: int
    where: str = ""


class Statement(NamedTuple):
    """A statement that the balance cites."""

    gateway: str
    plan: str
    record: bytes
    from_ms: int
    to_ms: int
    version: int
    complete: bool


class Review(NamedTuple):
    """Whether the statements were recomputed or attested (B6), and who attests the balance: (verifier, level) of each
    that counts, (verifier, verdict) of others, and how many it needs (B7)."""

    attested: tuple[tuple[str, str], ...]
    others: tuple[tuple[str, str], ...]
    needed: int

    @property
    def enough(self) -> bool:
        """Whether so many verifiers attest the balance as it needs."""
        return len(self.attested) >= self.needed


@dataclass(frozen=True, slots=True)
class Result:
    """A balance of [from, to).

    ``hours``: those with load or certificates, in order. ``average``, ``residual``: the factors of the load's region;
    ``devices``: factors of certificates that have one. ``yearly``: matched over the whole period;
    ``uncertified_g``: the market-based scope 2 without any certificate.
    """

    party: str
    from_ms: int
    to_ms: int
    civil_min: int
    zone: str
    deliverable: tuple[str, ...]
    boundary: str
    exclusions: tuple[str, ...]
    average: Factor
    residual: Factor
    devices: tuple[Factor, ...]
    hours: tuple[Hour, ...]
    stretches: tuple[Stretch, ...]
    months: tuple[Month, ...]
    yearly: Matched
    uncertified_g: int
    emissions: tuple[Emission, ...]
    offsets: tuple[StatedOffset, ...]
    base: Base | None
    statements: tuple[Statement, ...]
    slices: tuple[tuple[bytes, int, int], ...]
    """Every slice that is cited, [certificate, a, b), in this order."""
    findings: tuple[Finding, ...]
    review: Review | None = None
    """None: it is shown without any (`balance`)."""

    @property
    def load_milli(self) -> int:
        """All load, unallocated included."""
        return sum(month.load_milli for month in self.months)

    @property
    def unallocated_milli(self) -> int:
        """Load that no hour is known of."""
        return sum(stretch.load_milli for stretch in self.stretches)

    @property
    def retired_milli(self) -> int:
        """Units that were retired for the hours of the period and can be delivered."""
        return sum(month.retired_milli for month in self.months)

    @property
    def hourly(self) -> Matched:
        """Matched by the hour (B1): what counts."""
        return _sum([month.hourly for month in self.months])

    @property
    def monthly(self) -> Matched:
        """Matched by the month: for comparison."""
        return _sum([month.monthly for month in self.months])

    @property
    def location_g(self) -> int:
        """Location-based scope 2 (B3)."""
        return sum(month.location_g for month in self.months)

    @property
    def market_g(self) -> int:
        """Market-based scope 2 (B3)."""
        return self.hourly.market_g

    @property
    def scope_1_g(self) -> int:
        """Scope 1 of the emissions that the party names."""
        return sum(emission.mass_g for emission in self.emissions)

    @property
    def offsets_g(self) -> int:
        """Offsets that are cited."""
        return sum(offset.mass_g for offset in self.offsets)

    @property
    def residual_g(self) -> int:
        """Scope 1 + market-based scope 2 − offsets, 0 at least (B4)."""
        return max(0, self.scope_1_g + self.market_g - self.offsets_g)

    @property
    def reductions_g(self) -> int | None:
        """Against the base period, by scope 1 + location-based scope 2; None: no base is stated."""
        return None if self.base is None else self.base.mass_g - self.scope_1_g - self.location_g

    @property
    def neutralised(self) -> bool:
        """Nothing is left, and nothing that it rests on is open (B4, B7)."""
        return self.residual_g == 0 and not any(map(self.blocks, self.findings))

    def blocks(self, finding: Finding) -> bool:
        """Whether a finding stands in the way of ``neutralised``."""
        attested = self.review is not None and self.review.enough
        return finding.code in BLOCKING or (finding.code in ATTESTABLE and not attested)

    def reviewed(self, review: Review, more: Iterable[Finding] = ()) -> Result:
        """The same with its review, and what that found besides."""
        kept = (finding for finding in self.findings if finding.code != NOT_RECOMPUTED)
        return replace(self, findings=in_order([*kept, *more]), review=review)

    @property
    def waterfall(self) -> tuple[tuple[str, int], ...]:
        """Scope 1, scope 2 without certificates, what certificates and what offsets take of both, and what is left."""
        offset_g = min(self.offsets_g, self.scope_1_g + self.market_g)
        return (
            (SCOPE_1, self.scope_1_g),
            (SCOPE_2, self.uncertified_g),
            (CERTIFICATES, self.market_g - self.uncertified_g),
            (OFFSETS, -offset_g),
            (RESIDUAL, self.residual_g),
        )


def in_order(findings: Iterable[Finding]) -> tuple[Finding, ...]:
    """As ``FINDINGS`` has them, then by what they are of."""
    return tuple(sorted(findings, key=lambda finding: (FINDINGS.index(finding.code), finding.where)))


def _sum(several: list[Matched]) -> Matched:
    return Matched(
        sum(one.covered_milli for one in several), sum(one.uncovered_milli for one in several),
        sum(one.market_g for one in several),
    )  # fmt: skip
