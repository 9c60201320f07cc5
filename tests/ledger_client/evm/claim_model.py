"""What a registry of claims does, of single units: no interval and no slice, so that it is wrong in other ways."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable
from dataclasses import dataclass, field

Unit = tuple[Hashable, int]  # of a certificate


class No(Exception):
    """A refusal, by its title."""


def demand(is_so: object, title: str) -> None:
    if not is_so:
        raise No(title)


@dataclass(slots=True)
class Model:
    """``units``: unit → (status, holder); ``issued``: certificate → (issuer, first holder, quarter hours, units)."""

    roles: dict[str, str] = field(default_factory=dict)
    numbers: Counter[str] = field(default_factory=Counter)
    units: dict[Unit, tuple[str, str]] = field(default_factory=dict)
    issued: dict[Hashable, tuple[str, str, frozenset[Unit], list[Unit]]] = field(default_factory=dict)
    taken: set[Unit] = field(default_factory=set)  # quarter hours of a device

    def issue(self, who: str, number: int, cert: Hashable, to: str, quarters: frozenset[Unit], size: int) -> None:
        self.count(who, number, "issuer", "Not the issuer")
        demand(self.roles.get(to) == "party", "Unknown party")
        demand(cert not in self.issued or self.units[cert, 0][0] != "withdrawn", "Final")
        demand(not quarters & self.taken, "Origin taken")
        self.taken |= quarters
        self.issued[cert] = who, to, quarters, [(cert, n) for n in range(size)]
        self.units |= dict.fromkeys(self.issued[cert][3], ("held", to))

    def move(self, who: str, number: int, part: list[Unit], status: str, to: str) -> None:
        self.count(who, number, "party", "Unknown party")
        demand(part, "Malformed claim")
        self.take(part, who, status, to)
        demand(self.roles.get(to) == "party", "Unknown party")

    def withdraw(self, who: str, number: int, cert: Hashable) -> None:
        self.count(who, number, "issuer", "Not the issuer")
        issuer, first, quarters, units = self.issued.get(cert, ("", "", frozenset(), []))
        demand(issuer == who, "Not the issuer")
        self.take(units, first, "withdrawn", first)
        self.taken -= quarters

    def count(self, who: str, number: int, role: str, title: str) -> None:
        demand(who in self.roles, "Unknown party")
        demand(number >= self.numbers[who], "Claim number taken")
        demand(number == self.numbers[who], "Out of order")
        demand(self.roles[who] == role, title)
        self.numbers[who] += 1

    def take(self, part: list[Unit], holder: str, status: str, to: str) -> None:
        for unit in part:
            demand(unit in self.units, "Not this slice")
            demand(self.units[unit][0] == "held", "Final")
            demand(self.units[unit][1] == holder, "Not the holder")
        self.units |= dict.fromkeys(part, (status, to))
