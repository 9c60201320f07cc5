"""What a registry of claims does, of single units: no interval and no slice, so that it can be wrong in other ways."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field

Unit = tuple[Hashable, int]


@dataclass(slots=True)
class Model:
    """``sets``: (status, holder) → its units of all certificates; ``issued``: certificate → (issuer, first holder, its
    quarter hours of a device, its units); ``cuts``: where slices begin, by which the contract finds them."""

    roles: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, int] = field(default_factory=dict)
    sets: dict[tuple[str, str], set[Unit]] = field(default_factory=dict)
    issued: dict[Hashable, tuple[str, str, set[Hashable], set[Unit]]] = field(default_factory=dict)
    taken: set[Hashable] = field(default_factory=set)
    cuts: set[Unit] = field(default_factory=set)

    def state(self, unit: Unit) -> tuple[str, str] | None:
        return next((state for state, units in self.sets.items() if unit in units), None)

    def order(self, who: str, number: int) -> str | None:
        if who not in self.roles:
            return "Unknown party"
        due = self.numbers.get(who, 0)
        return "Claim number taken" if number < due else "Out of order" if number > due else None

    def issue(self, who: str, number: int, cert: Hashable, to: str, quarters: set[Hashable], units: int) -> str | None:
        if why := self.order(who, number):
            return why
        if self.roles[who] != "issuer":
            return "Not the issuer"
        if self.roles.get(to) != "party":
            return "Unknown party"
        if (self.state((cert, 0)) or ("", ""))[0] == "withdrawn":
            return "Final"
        if quarters & self.taken:
            return "Origin taken"
        self.numbers[who] = number + 1
        self.taken |= quarters
        self.issued[cert] = (who, to, quarters, {(cert, unit) for unit in range(units)})
        self.sets.setdefault(("held", to), set()).update(self.issued[cert][3])
        self.cuts.add((cert, 0))
        return None

    def move(self, who: str, number: int, part: Iterable[Unit], status: str, to: str) -> str | None:
        if why := self.order(who, number):
            return why
        if self.roles[who] != "party":
            return "Unknown party"
        if why := self.immovable(who, part := sorted(part, key=lambda unit: unit[1])):
            return why
        if self.roles.get(to) != "party":
            return "Unknown party"
        self.numbers[who] = number + 1
        self.put(part, status, to)
        return None

    def withdraw(self, who: str, number: int, cert: Hashable) -> str | None:
        if why := self.order(who, number):
            return why
        issuer, first, quarters, units = self.issued.get(cert, ("", "", set(), set()))
        if self.roles[who] != "issuer" or issuer != who:
            return "Not the issuer"
        if why := self.immovable(first, part := sorted(units, key=lambda unit: unit[1])):
            return why
        self.numbers[who] = number + 1
        self.put(part, "withdrawn", first)
        self.taken -= quarters
        return None

    def immovable(self, holder: str, part: list[Unit]) -> str | None:
        for state in map(self.state, part):
            if state != ("held", holder):
                return "Not this slice" if state is None else "Final" if state[0] != "held" else "Not the holder"
        return None

    def put(self, part: list[Unit], status: str, holder: str) -> None:
        for units in self.sets.values():
            units.difference_update(part)
        self.sets.setdefault((status, holder), set()).update(part)
        cert, last = part[-1]
        self.cuts |= {part[0], (cert, last + 1)} & {(cert, 0), *(u for us in self.sets.values() for u in us)}
