"""Fingerprint of a device: what distinguishes it from other devices by reads alone. Pure facts; a scan judges them.

docs/profiles.md, "Fingerprint", says what each key means and which rules hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal


@dataclass(frozen=True, slots=True)
class Constant:
    """Registers from ``address`` that always contain ``words``; the last of them may be any number up to ``to``."""

    fc: int
    address: int
    words: tuple[int, ...]
    to: int | None = None

    def held(self, found: tuple[int, ...]) -> tuple[int, ...] | None:
        """The words that registers from ``address`` hold of it; None: they hold something else."""
        *fixed, last = self.words
        *before, end = words = found[: len(self.words)]
        return words if before == fixed and last <= end <= (last if self.to is None else self.to) else None


@dataclass(frozen=True, slots=True)
class Refusal:
    """A read that the device answers with an exception."""

    fc: int
    address: int
    registers: int


@dataclass(frozen=True, slots=True)
class Sum:
    """A point that is the sum of others: ``total`` and ``parts`` are names of points of one unit."""

    total: str
    parts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Fingerprint:
    """``family``: devices that reads cannot tell apart share one. ``ranges``: by point, in its recorded unit."""

    family: str | None = None
    constants: tuple[Constant, ...] = ()
    refuses: tuple[Refusal, ...] = ()
    ranges: Mapping[str, tuple[Decimal, Decimal]] = field(default_factory=dict)
    sums: tuple[Sum, ...] = ()
