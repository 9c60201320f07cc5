"""Flows of a site: what its meters of generation, consumption, grid and storage say together. Pure.

A flow that lacks a part says so and names it: its amount is then the sum of the parts that are known, and never counts
as the whole. Nothing that is not known is 0.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

from gateway.totals.sources import COUNTS, FLOWS, Source

CONSUMPTION: Final = "consumption"
_ADDED: Final = {"generation": 1, "import": 1, "export": -1, "discharge": 1, "charge": -1}
"""What the consumption of a site is, where nobody measures it."""


class Lack(NamedTuple):
    """Why a meter, or a node of a plan, is not in a flow, or not wholly. ``since_ms``: since when; None: that says
    nothing."""

    of: str
    why: str
    since_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """What one meter or node says of a flow: an amount as far as it is known, and what it lacks."""

    of: str
    amount: Fraction | None
    lack: Lack | None = None
    is_uncertain: bool = False


@dataclass(frozen=True, slots=True)
class Flow:
    """A flow of the site, in W or Wh. ``amount``: of the parts that are known; None: nothing is. ``of``: how many parts
    it should have. ``computed``: it follows from other flows. ``statuses``: of the rows of an account, each with its
    amount (None: it has none). ``uncertain``: the parts whose values are uncertain by their quality."""

    amount: Fraction | None
    of: int
    missing: tuple[Lack, ...] = ()
    computed: bool = False
    statuses: tuple[tuple[str, Fraction | None], ...] = ()
    uncertain: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Nothing is missing."""
        return self.amount is not None and not self.missing

    @property
    def known(self) -> int:
        """How many parts are whole."""
        return self.of - len({lack.of for lack in self.missing})


def flow(parts: Iterable[Part]) -> Flow:
    """The sum of parts."""
    parts = list(parts)
    known = [part.amount for part in parts if part.amount is not None]
    missing = tuple(part.lack for part in parts if part.lack is not None)
    uncertain = tuple(part.of for part in parts if part.is_uncertain and part.amount is not None)
    return Flow(sum(known, Fraction(0)) if known else None, len(parts), missing, uncertain=uncertain)


def flows(sources: Collection[Source], part: Callable[[Source, str], Part]) -> dict[str, Flow]:
    """The flows that the meters of a site have, in the order of ``FLOWS``.

    Args:
        sources: the meters.
        part: what one of them says of one of its flows.
    """
    found = {
        name: flow([part(one, name) for one in sources if name in one.flows])
        for name in FLOWS
        if any(name in one.flows for one in sources)
    }
    return with_consumption(found)


def with_consumption(found: Mapping[str, Flow]) -> dict[str, Flow]:
    """The same with the consumption that follows, where nobody measures it and the grid is measured: generation +
    import − export + discharge − charge. It is known if all of them are."""
    grid = all(name in found for name in COUNTS["grid"])
    if CONSUMPTION in found or not grid:
        return {name: found[name] for name in FLOWS if name in found}
    parts = {name: found[name] for name in _ADDED if name in found}
    missing = tuple(dict.fromkeys(lack for one in parts.values() for lack in one.missing))
    amounts = [_ADDED[name] * one.amount for name, one in parts.items() if one.complete and one.amount is not None]
    amount = sum(amounts, Fraction(0)) if len(amounts) == len(parts) else None
    meters = sum(one.of for name, one in parts.items() if name not in ("export", "discharge"))
    uncertain = tuple(dict.fromkeys(name for one in parts.values() for name in one.uncertain))
    computed = Flow(amount, meters, missing, computed=True, uncertain=uncertain)
    every = {**found, CONSUMPTION: computed}
    return {name: every[name] for name in FLOWS if name in every}
