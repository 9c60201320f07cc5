"""What a balance is made of: whose, of when and where; statements, retired slices, offsets, factors. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ledger_client.accounting.formats.factor import Factor
from ledger_client.accounting.tables.stated import StatedRows, written
from ledger_client.balance.result import Base, StatedOffset
from ledger_client.claims.claim import Part


class Chosen(NamedTuple):
    """A factor, and whether it is an earlier year's because that of the year is not published (F2); whether it is the
    party's own, and whether the party named it by its id (B7)."""

    factor: Factor
    provisional: bool
    unpublished: bool = False
    fixed: bool = False


class Excluded(NamedTuple):
    """A node of a cited statement that the balance leaves out, and why (B6)."""

    gateway: str
    plan: str
    node: str
    reason: str

    @property
    def of(self) -> str:
        """Which node, as a form names it."""
        return f"{self.gateway}/{self.plan}/{self.node}"

    def in_words(self, milli: int, unit: str) -> str:
        """As a claim bears it, with its amount in thousandths of a unit."""
        return f"{self.of}: {self.reason} ({written(milli)} {unit})"


@dataclass(frozen=True, slots=True)
class Terms:
    """Whose balance, of [from, to) in ms, in which zone, and by which factors.

    ``deliverable``: other zones whose certificates count; ``boundary`` empty, ``exclusions`` None: not named (B4).
    ``partial``: shown although loads are not complete.
    """

    party: str
    from_ms: int
    to_ms: int
    civil_min: int
    zone: str
    deliverable: tuple[str, ...]
    boundary: str
    exclusions: tuple[str | Excluded, ...] | None
    average: Chosen
    residual: Chosen
    partial: bool = False
    base: Base | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A proven statement of a gateway, and which of its nodes are loads and emissions of the party."""

    gateway: str
    stated: StatedRows
    loads: Sequence[str]
    emissions: Sequence[str]


@dataclass(frozen=True, slots=True)
class RetiredSlice:
    """A retired slice of a certificate: of which hour, zone and device (SHA-256 of its id), by whom, for when and whom.

    ``beneficiary``: SHA-256(salt ‖ name) of the retirement, None: the retiring party; ``salt``: what the holder
    of the file knows of it. ``factor``: of the device, None: its energy is 0 kg (B3); ``source``: the device's (P4).
    """

    cert: bytes
    part: Part
    from_ms: int
    to_ms: int
    zone: str | None
    device: bytes
    party: str
    use_from_ms: int
    use_to_ms: int
    beneficiary: bytes | None = None
    salt: bytes | None = None
    factor: Chosen | None = None
    source: str = ""

    @property
    def milli(self) -> int:
        """Its units, in thousandths of a Wh."""
        return (self.part[1] - self.part[0]) * 1000


def factors_of(slices: Iterable[RetiredSlice]) -> dict[str, Chosen]:
    """The factors of the devices that have one, by id."""
    return {one.factor.factor.id: one.factor for one in slices if one.factor is not None}


class GivenOffset(NamedTuple):
    """An offset, and the device that earned it (None: none that is known)."""

    stated: StatedOffset
    device: str | None = None
