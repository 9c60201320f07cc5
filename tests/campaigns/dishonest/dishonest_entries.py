"""Entries that make a figure prettier, and statements that believe them: what their recomputation says.

Who has every key signs what no gateway signs, and a statement as if it counted. A plant of coal and a measured stack
(the corpus of ``tests/ledger_client/recompute``) is recomputed from its folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any

from ledger_client.accounting.formats.entries import Entry
from ledger_client.recompute.report import in_words
from ledger_client.recompute.verdict import judge
from ledger_client.verification.trust_file import parse_trust
from tests.campaigns.dishonest.dishonest_stage import Case, Objection, Stage
from tests.ledger_client.recompute.corpus_cases import Plant
from tests.support.evidence import NOW, trust_text

RECOMPUTE = "recompute"
CARBON = {"C_ar": Decimal("0.6")}
PRETTY = {"C_ar": Decimal("0.1")}
MADE_OF_JOULES = {"value": Decimal("0.278")}
"""1,000 J in Wh, as if that were kilograms."""


@dataclass
class Believer(Plant):
    """It counts what ``pretty`` names alone, whatever is wrong with that; everything else of that kind and thing is as
    if nobody had said it."""

    pretty: set[bytes] = field(default_factory=set)
    hidden: set[bytes] = field(default_factory=set)

    def believed(self, given: list[Entry]) -> list[Entry]:
        counted = [replace(one, fault=None, replaces=()) if one.record in self.pretty else one for one in given]
        counted = [replace(one, unit="kg", values=MADE_OF_JOULES) if one.unit == "J" else one for one in counted]
        return [one for one in counted if one.record not in self.hidden]


Deed = Callable[[Believer], None]


def case(deed: Deed, says: str) -> Case:
    """``deed``: what is signed behind the plan and the polls; it has to be NO, and in these words."""

    def story(stage: Stage) -> list[Objection]:
        plant = Believer(stage.folder)
        plant.begin()
        deed(plant)
        plant.end()
        verdict = judge([stage.folder], parse_trust(trust_text(), "trust.toml"), NOW)
        return [] if verdict.yes else [Objection(RECOMPUTE, "NO", line) for line in in_words(verdict)]

    return Case(RECOMPUTE, "NO", says, story)


def _substitutes(plant: Believer) -> None:
    plant.substitutes(100, 120)


def _negative_value(plant: Believer) -> None:
    """A month of -880 kg, complete."""
    plant.entry("value", "stack", 0, 1, {"value": 120}, unit="kg")
    plant.pretty.add(plant.entry("value", "stack", 1, 2, {"value": -1000}, unit="kg"))


def _other_unit(plant: Believer) -> None:
    """1,000 J, which is 0.278 Wh, in place of kilograms."""
    plant.entry("value", "stack", 0, 1, {"value": 120}, unit="kg")
    plant.pretty.add(plant.entry("value", "stack", 1, 2, {"value": 1000}, unit="J"))


def _believed(letters: Mapping[str, Any]) -> Deed:
    """An analysis that cannot be is counted."""

    def deed(plant: Believer) -> None:
        _substitutes(plant)
        plant.pretty.add(plant.entry("lab", "boiler", 0, 2, letters))

    return deed


def _overlap(plant: Believer) -> None:
    """A second analysis of the same time, that does not name the first: the statement takes it alone."""
    _substitutes(plant)
    plant.hidden.add(plant.entry("lab", "boiler", 0, 2, CARBON))
    plant.pretty.add(plant.entry("lab", "boiler", 0, 2, PRETTY))


def _misses_one(plant: Believer) -> None:
    """One analysis of both quarters names one of the two that stand there, and is counted for both."""
    _substitutes(plant)
    halves = [plant.entry("lab", "boiler", n, n + 1, CARBON) for n in range(2)]
    plant.hidden |= set(halves)
    plant.pretty.add(plant.entry("lab", "boiler", 0, 2, PRETTY, replaces=halves[0]))


def _beyond_its_time(plant: Believer) -> None:
    """An analysis of the second quarter takes the place of that of both, and is counted as if that were gone, too."""
    _substitutes(plant)
    both = plant.entry("lab", "boiler", 0, 2, CARBON)
    plant.hidden.add(both)
    plant.entry("lab", "boiler", 1, 2, {"C_ar": Decimal("0.59")}, replaces=both)


def _refused_replaces(plant: Believer) -> None:
    """An analysis that cannot be names the one that is dear, and the statement forgets that one."""
    _substitutes(plant)
    dear = plant.entry("lab", "boiler", 0, 2, {"C_ar": Decimal("0.9")})
    plant.hidden |= {dear, plant.entry("lab", "boiler", 0, 2, {"C_ar": 0}, replaces=dear)}


def _totals(node: str, stated: str, recomputed: str) -> str:
    """The line in which a node's total was stated otherwise than it comes out."""
    return rf"I8 totals: stated .*{node}, \w+, {re.escape(stated)}.*recomputed .*{node}, \w+, {re.escape(recomputed)}"


def _boiler(stated: str, recomputed: str) -> str:
    return _totals("boiler", stated, recomputed)


CASES: Mapping[str, Case] = {
    "entry-negative-value": case(_negative_value, _totals("stack", "-880.000", "120.000")),
    "entry-value-in-joules": case(_other_unit, _totals("stack", "120.278", "120.000")),
    "entry-moisture-100": case(
        _believed({"C_ad": CARBON["C_ar"], "M_ad": 2, "M_ar": 100}), _boiler("0.000", "356.423")
    ),
    "entry-oxidation-0": case(_believed({"OF": 0}), _boiler("0.000", "356.423")),
    "entry-oxidation-above-1": case(
        _believed({"C_ar": Decimal("0.4"), "OF": Decimal("1.2")}), _boiler("316.800", "356.423")
    ),
    "entry-unnamed-letter": case(_believed({"FC": 0, **PRETTY}), _boiler("65.340", "356.423")),
    "entry-overlap": case(_overlap, _boiler("65.340", "356.423")),
    "entry-replaces-misses-one": case(_misses_one, _boiler("65.340", "210.882")),
    "entry-beyond-its-time": case(_beyond_its_time, _boiler("370.965", "388.773")),
    "entry-refused-replaces": case(_refused_replaces, _boiler("356.423", "588.060")),
}
