"""Published folders with verdicts: what a recomputation of each must come to, whatever is changed in the code.

``python -m tests.ledger_client.recompute.corpus_cases [CASE…]`` cuts the folders of the cases (all of them without a
name) anew, with their verdicts; with ``--verdicts`` the files stay, and only the verdicts are written. A folder in
``corpus/`` holds batches, rows and ``verdict.json``; ``corpus/trust.toml`` is the trust file of all. A verdict that
changes is a rule that changes: say so in the commit.

A case is a function in ``CASES`` that does something to a ``Plant``. Keep it small: a folder has some 20 KB.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from ledger_client.accounting import profiles
from ledger_client.accounting.formats.standings import judged
from ledger_client.formats.senml import Reading, Value
from ledger_client.recompute.run import Recomputed, recompute
from ledger_client.recompute.sources import Sources
from ledger_client.verification.trust_file import parse_trust
from tests.support.accounted import QUARTER_MS, Accounted
from tests.support.audit_batches import EVERY_MS
from tests.support.evidence import METER, NOW, trust_text

FOLDER: Final = Path(__file__).parent / "corpus"
TRUST: Final = FOLDER / "trust.toml"
VERDICT: Final = "verdict.json"
_AROUND_MS: Final = 20_000
COAL: Final = f"{METER}/coal"


def plant_plan(from_ms: int, **also: Any) -> dict[str, Any]:
    """A boiler by its coal and a measured stack whose gauges never answer, by quarters of an hour."""
    share = {"validity": "share", "share": Decimal("0.8")}
    profile = {"version": "1", "edge": Decimal("0.04"), "accept": [], "clauses": {"edge": "ours"}, **share}
    gauge = {"kind": "gauge", "sample": EVERY_MS}
    gauges = {"c": "mg/l", "Q": "m3/s", "t": "Cel", "p": "Pa"}
    points = {
        f"{METER}/{letter}": {**gauge, "unit": unit, **({"basis": "dry"} if letter in "cQ" else {})}
        for letter, unit in gauges.items()
    }
    defaults = {"NCV": Decimal("20.9"), "CC": Decimal("26.1"), "OF": Decimal("0.99")}
    burnt = {"role": "emission", "method": "fuel", "terms": [[1, COAL]], "profile": "own-test", "defaults": defaults}
    stack: dict[str, Any] = {"role": "emission", "method": "cems", "terms": [], "profile": "own-test"}
    stack["inputs"] = {letter: f"{METER}/{letter}" for letter in gauges}
    return {
        "plan": "main", "v": 1, "rules": "accounting-1", "from": from_ms, "interval": 900, "civil": 480,
        "points": {COAL: {"kind": "counter", "unit": "kg", "sample": EVERY_MS, "max": 1000}, **points},
        "nodes": {"boiler": burnt, "stack": stack}, "profiles": {"own-test": profile}, "factors": [], "site": {},
        "disclosure": "full",
    } | also  # fmt: skip


@dataclass
class Plant(Accounted):
    """It burns 1 kg of coal with each poll; those around the edges of quarters alone are answered, which keeps its
    files small. ``begin_ms``: of the two quarters that are stated."""

    begin_ms: int = 0
    stated: list[bytes] = field(default_factory=list)

    def begin(self, **plan: Any) -> None:
        """The plan, and two quarters of polls in a batch."""
        self.begin_ms = self.from_ms
        self.publish(plant_plan(self.begin_ms, **plan))
        self.polls(196)
        self.seal()

    def polls(self, count: int, *, answered: bool = True, quality: int = 0) -> None:
        gateway, chain = self.gateway, self.gateway.chains[METER]
        for _ in range(count):
            due_ms = gateway.clock.now_ms
            gateway.clock.passes(20)
            self.register += 1
            if (gateway.clock.now_ms + _AROUND_MS) % QUARTER_MS < 2 * _AROUND_MS and answered:
                chain.since += 1
                self.rows.append(
                    chain.add(Reading(gateway.clock.now_ms, (Value("coal", self.register, "kg", quality),)))
                )
            else:
                chain.miss()
            chain.due_ms = due_ms + 1
            gateway.clock.passes(EVERY_MS - 20)

    def entry(self, kind: str, of: str, begins: int, ends: int, values: Mapping[str, Any], **also: Any) -> bytes:
        """An entry for some quarters of the plan, from one number to another; its record."""
        time = {"from": self.begin_ms + begins * QUARTER_MS, "to": self.begin_ms + ends * QUARTER_MS}
        return self.event("entry", kind=kind, of=of, **time, values=dict(values), reason="r", user="u", **also)

    def substitutes(self, *kilograms: int) -> None:
        """A ``value`` of the stack for each quarter."""
        for n, mass in enumerate(kilograms):
            self.entry("value", "stack", n, n + 1, {"value": mass}, unit="kg")

    def end(self, **choice: Any) -> None:
        """The entries are sealed, both quarters are stated, and that is sealed."""
        self.polls(2)
        self.seal()
        _, rows = self.state(self.begin_ms, self.begin_ms + 2 * QUARTER_MS, (0, len(self.files) - 1), **choice)
        rows.rename(self.folder / f"{len(self.files)}.mrows")
        self.polls(2)
        self.seal()


def honest(plant: Plant) -> None:
    """Nothing is wrong: a substitute for each quarter of the stack, and the coal by its defaults."""
    plant.begin()
    plant.substitutes(100, 120)
    plant.end()


HALVES: Final = {"C_ar": Decimal("0.6")}, {"C_ar": Decimal("0.62")}
LOW: Final = {"C_ar": Decimal("0.1")}
"""An analysis of some other fuel."""


def negative_value(plant: Plant) -> None:
    """A substitute of -1000 kg: it is no value, and the reference stays missing."""
    plant.begin()
    plant.substitutes(100, -1000)
    plant.end()


def overlap(plant: Plant) -> None:
    """Two analyses of one time, of which the later one does not name the other: the defaults are left."""
    plant.begin()
    plant.substitutes(100, 120)
    plant.entry("lab", "boiler", 0, 2, HALVES[0])
    plant.entry("lab", "boiler", 0, 2, LOW)
    plant.end()


def replaced(plant: Plant) -> None:
    """An analysis of the second quarter takes the place of that of both; the first one's goes on in the first."""
    plant.begin()
    plant.substitutes(100, 120)
    both = plant.entry("lab", "boiler", 0, 2, HALVES[0])
    plant.entry("lab", "boiler", 1, 2, HALVES[1], replaces=both)
    plant.end()


def replaced_by_one(plant: Plant) -> None:
    """One analysis of both quarters in place of one of each."""
    plant.begin()
    plant.substitutes(100, 120)
    halves = [plant.entry("lab", "boiler", n, n + 1, values) for n, values in enumerate(HALVES)]
    plant.entry("lab", "boiler", 0, 2, {"C_ar": Decimal("0.61")}, replaces=halves)
    plant.end()


def replaces_misses_one(plant: Plant) -> None:
    """It names one of two, and counts in the time of that one alone."""
    plant.begin()
    plant.substitutes(100, 120)
    halves = [plant.entry("lab", "boiler", n, n + 1, values) for n, values in enumerate(HALVES)]
    plant.entry("lab", "boiler", 0, 2, {"C_ar": Decimal("0.61")}, replaces=halves[0])
    plant.end()


def moisture_beside_carbon(plant: Plant) -> None:
    """Honest: carbon of both quarters, moisture of each; the second moisture comes late, and the first is corrected."""
    plant.begin()
    plant.substitutes(100, 120)
    plant.entry("lab", "boiler", 0, 2, {"C_ad": Decimal("0.63"), "M_ad": Decimal("2.5")})
    first = plant.entry("lab", "boiler", 0, 1, {"M_ar": Decimal("11.2")})
    plant.polls(2)
    plant.seal()
    plant.entry("lab", "boiler", 1, 2, {"M_ar": Decimal("12.4")})
    plant.entry("lab", "boiler", 0, 1, {"M_ar": Decimal("10.2")}, replaces=first)
    plant.end()


def out_of_bounds(plant: Plant) -> None:
    """Moisture of 100 %, oxidation above 1, a letter that is none, and a substitute in kWh: four findings. An
    analysis that cannot be takes nothing away from the one that it names."""
    plant.begin()
    plant.entry("value", "stack", 0, 1, {"value": 100}, unit="kWh")
    plant.entry("value", "stack", 1, 2, {"value": 120}, unit="kg")
    good = plant.entry("lab", "boiler", 0, 2, HALVES[0])
    plant.entry("lab", "boiler", 0, 2, {"M_ar": 100})
    plant.entry("lab", "boiler", 0, 2, {"OF": Decimal("1.01"), "C_ar": Decimal("0.1")}, replaces=good)
    plant.entry("lab", "boiler", 0, 2, {"FC": 1})
    plant.end()


def shipped_profile_changed(plant: Plant) -> None:
    """The plan bears a profile that is called EU-MRR, and asks for a tenth of the values."""
    plan = plant_plan(plant.from_ms)
    plant.begin(profiles={**plan["profiles"], "EU-MRR": {**profiles.load("EU-MRR"), "share": Decimal("0.1")}})
    plant.substitutes(100, 120)
    plant.end()


def point_of_another(plant: Plant) -> None:
    """The same coal under a second name, which states it."""
    plant.begin()
    plant.publish(plant_plan(plant.begin_ms, plan="second"))
    plant.substitutes(100, 120)
    plant.end()


CASES: Final[Mapping[str, Callable[[Plant], None]]] = {
    "honest": honest,
    "point-of-another": point_of_another,
    "shipped-profile-changed": shipped_profile_changed,
    "moisture-beside-carbon": moisture_beside_carbon,
    "negative-value": negative_value,
    "out-of-bounds": out_of_bounds,
    "overlap": overlap,
    "replaced": replaced,
    "replaced-by-one": replaced_by_one,
    "replaces-misses-one": replaces_misses_one,
}


def cut(name: str, folder: Path = FOLDER) -> None:
    """Write the folder of a case anew."""
    target = folder / name
    with TemporaryDirectory() as scratch:
        CASES[name](Plant(Path(scratch)))
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir(parents=True)
        for path in sorted(Path(scratch).iterdir()):
            shutil.copyfile(path, target / path.name)


def verdict(folder: Path) -> dict[str, Any]:
    """What the recomputation of a folder comes to."""
    trust = parse_trust(TRUST.read_text(), str(TRUST))
    result = recompute(sorted(folder.glob("*.mbatch")), trust, NOW, rows=sorted(folder.glob("*.mrows")), processes=1)
    return {
        "equal": result.equal,
        "audit": [f"{finding.step}: {finding.detail}" for finding in result.audit.findings],
        "statements": [_stated(result.sources, period) for period in result.periods],
    }


def _stated(sources: Sources, period: Recomputed) -> dict[str, Any]:
    fields = period.statement.fields if period.statement else period.fields
    by_record = {entry.record: entry for _, entry in sources.entries}
    signed = sources.plans.get(fields["plan"])  # None: it is refused
    entries = judged([by_record[record] for record in fields["entries"]], signed.plan if signed else None)
    standings = entries.within(fields["from"], fields["to"])
    return {
        "entries": [[one.entry.kind, one.entry.of, one.word] for one in standings],
        "version": fields["version"],
        "complete": fields["complete"],
        "findings": dict(fields["findings"]),
        "totals": [[node, status, str(amount)] for node, status, amount in fields["totals"]],
        "differences": [f"{rule} {where}" for rule, where, _, _ in period.differences],
    }


def written(found: Mapping[str, Any]) -> str:
    """A verdict as its file has it."""
    return json.dumps(found, indent=1, ensure_ascii=False) + "\n"


def main(words: Sequence[str]) -> None:
    """See the module."""
    names = [word for word in words if word != "--verdicts"] or list(CASES)
    FOLDER.mkdir(exist_ok=True)
    TRUST.write_text(trust_text())
    for name in names:
        if "--verdicts" not in words:
            cut(name)
        (FOLDER / name / VERDICT).write_text(written(verdict(FOLDER / name)))


if __name__ == "__main__":
    main(sys.argv[1:])
