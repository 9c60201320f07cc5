"""Plans and entries that make a month prettier: the gateway is asked to publish, a stranger to recompute.

Those that a gateway's own check refuses begin with the site of `meterseal init`; the others are signed with every key,
hours of a boiler whose coal was analysed, and given to ``recompute``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from ledger_client.accounting import factors, profiles
from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.rows import Rows
from ledger_client.accounting.statement import Choice, state
from ledger_client.formats.senml import Reading, Value
from ledger_client.recompute.verdict import judge
from tests.campaigns.dishonest.dishonest_stage import Case, Objection, Stage, no
from tests.support.accounted import POINT, QUARTER_MS, SECRET, Accounted, entries, feed, plan_fields
from tests.support.audit_batches import EVERY_MS, trusted
from tests.support.commands import gateway_command, ledger_command
from tests.support.evidence import METER, NOW, trust_text
from tests.support.samples import site

GATEWAY, JUDGE = "gateway", "recompute"
HONEST = """
[nodes.station]
role = "production"
terms = [[1, "export-main/energy_export"]]
profile = "hourly"

[nodes.load]
role = "consumption"
terms = [[1, "export-main/energy_import"]]
profile = "hourly"

[site.unused]
stack-co2 = "its stack is of another operator"
pv-inverter = "behind the meter"
"""
LOW, HIGH = Decimal("0.3"), Decimal("0.6")
"""Carbon in the coal: by the plan's defaults, and as the laboratory found it."""


def _check(*changes: tuple[str, str], role: str = "generation") -> Callable[[Stage], list[Objection]]:
    """What `plan check` says to the honest plan with other words, and its meter in another role."""

    def story(stage: Stage) -> list[Objection]:
        config = site(stage.folder / "site")
        text = config.path.read_text()
        config.path.write_text(text.replace('role = "generation"', f'role = "{role}"', 1))
        gateway_command("plan", "init", config.path)
        plan, nodes = config.path.with_name("plan.toml"), HONEST
        for old, new in changes:
            assert old in nodes, old
            nodes = nodes.replace(old, new)
        plan.write_text(plan.read_text().replace("# max = ", "max = 100 #") + nodes)
        checked = gateway_command("plan", "check", config.path)
        return no(checked._replace(err=checked.out.partition("problem: ")[2]), GATEWAY, "plan check")

    return story


def _stated(change: Callable[[Entry], Entry | None]) -> Callable[[Stage], list[Objection]]:
    """An hour of a boiler, analysed for its second half, stated as if the analysis were another one, or none."""

    def story(stage: Stage) -> list[Objection]:
        (folder := stage.folder / "boiler").mkdir()
        boiler = Accounted(folder, unit="kg")
        begin_ms, end_ms = boiler.from_ms, boiler.from_ms + 4 * QUARTER_MS
        boiler.publish(_boiler(begin_ms))
        lab = {"kind": "lab", "of": "boiler", "values": {"C_ar": HIGH}, "reason": "report", "user": "lab"}
        boiler.event("entry", **lab, **{"from": begin_ms + 2 * QUARTER_MS, "to": end_ms})
        boiler.polls(400)
        first = boiler.seal()
        books = Books(parse_plan(_boiler(begin_ms)), [e for e in map(change, entries(first)) if e is not None])
        feed(books, first)
        batch = (0, boiler.ids[0])
        statement = state(books, Choice(boiler.plan, boiler.began_ms, begin_ms, end_ms, (batch, batch)), SECRET)
        boiler.event("period", **statement.fields)
        boiler.seal()
        rows = Path(boiler.folder / "boiler.mrows")
        rows.write_bytes(Rows(SECRET, statement.rows).encode())
        verdict = judge([*boiler.files, rows], trusted(), NOW, processes=1)
        return [Objection(JUDGE, why.rule or "none", why.problem) for why in verdict.why]

    return story


def _boiler(from_ms: int) -> dict[str, Any]:
    node = {
        "role": "emission",
        "method": "fuel",
        "terms": [[1, POINT]],
        "profile": "own-test",
        "defaults": {"C_ar": LOW},
    }
    counter = {"kind": "counter", "unit": "kg", "sample": EVERY_MS, "max": 1000, "wraps_at": 100_000}
    return plan_fields(from_ms, nodes={"boiler": node}, points={POINT: counter})


CASES = {
    "plan-production-by-a-meter-of-a-load": Case(
        GATEWAY, "plan check", "station: export-main is configured with the role consumption",
        _check(role="consumption"),
    ),
    "plan-load-less-a-register": Case(
        GATEWAY, "plan check", "load of role consumption subtracts export-main/energy_export",
        _check(("_import\"]]", "_import\"], [-1, \"export-main/energy_export\"]]")),
    ),
    "plan-without-a-meter": Case(
        GATEWAY, "plan check", "no node takes a point of the meter stack-co2",
        _check(('stack-co2 = "its stack is of another operator"', "")),
    ),
    "entry-analysis-left-out": Case(JUDGE, "I3", "differs at row 0, boiler", _stated(lambda lab: None)),
    "entry-analysis-of-other-hours": Case(
        JUDGE, "I3", "differs at row 0, boiler", _stated(lambda lab: replace(lab, from_ms=lab.to_ms - QUARTER_MS))
    ),
    "entry-analysis-of-another-value": Case(
        JUDGE, "I3", "differs at row 1, boiler .*amount", _stated(lambda lab: replace(lab, values={"C_ar": LOW}))
    ),
}  # fmt: skip

# — published names, factors, points, operating signals: half an hour of a meter, stated by quarters —

JUDGE = "recompute"
PUBLISHED = dict(factors.series("CN-average")[-1])
BROUGHT = {**PUBLISHED, "id": "own-average-2023", "document": "our letter"}
COAL, RUN = f"{METER}/coal", f"{METER}/run"


class Owner(Accounted):
    """``begins_ms``: of what is stated; ``other``: the plan that a statement names in place of the one that it was made
    by."""

    begins_ms = 0
    other: bytes | None = None

    def event(self, name: str, **fields: Any) -> bytes:
        named = {"plan": self.other} if name == "period" and self.other is not None else {}
        return super().event(name, **(fields | named))

    def judged(self) -> list[Objection]:
        """State two quarters; what `recompute` says of all files."""
        self.state(self.begins_ms, self.begins_ms + 2 * QUARTER_MS, (0, len(self.files) - 1))
        self.polls(2)
        self.seal()
        trust = self.folder / "trust.toml"
        trust.write_text(trust_text())
        answer = ledger_command("recompute", *self.files, "--trust", trust, "--json")
        assert answer.out, answer.err
        periods = [period for gateway in answer.facts["gateways"] for period in gateway.get("periods", ())]
        rules = [
            Objection(JUDGE, d["rule"], f"{d['where']}: {d['recomputed']}") for p in periods for d in p["differences"]
        ]
        return [
            *rules,
            *(Objection(JUDGE, "finding", f"{name}: {n}") for p in periods for name, n in p["findings"].items()),
        ]

    def records(self) -> None:
        """Half an hour and some minutes, in a batch."""
        self.polls(300)
        self.seal()


def _plan(**changes: Mapping[str, Any]) -> Callable[[Stage], list[Objection]]:
    """A plan of the usual one with these tables besides, by which two quarters are stated."""

    def story(stage: Stage) -> list[Objection]:
        owner = Owner(stage.folder)
        owner.begins_ms = owner.from_ms
        fields = plan_fields(owner.from_ms)
        honest = owner.publish(fields)
        owner.other = owner.event("plan", **_changed(fields, changes))
        owner.plan = honest
        owner.records()
        return owner.judged()

    return story


def _changed(fields: Mapping[str, Any], changes: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    found = {**fields, **{key: value for key, value in changes.items() if key == "factors"}}
    return found | {key: {**fields[key], **value} for key, value in changes.items() if key != "factors"}


def _profile(name: str, **figures: Any) -> Callable[[Stage], list[Objection]]:
    profile = {**profiles.load("EU-MRR"), **figures}
    node = {"role": "production", "terms": [[1, POINT]], "profile": name}
    return _plan(profiles={name: profile}, nodes={"station": node})


def _factor(**figures: Any) -> Callable[[Stage], list[Objection]]:
    return _plan(factors=[{**BROUGHT, **figures}])  # type: ignore[arg-type]


def _point_of_another(stage: Stage) -> list[Objection]:
    """The same meter is counted a second time, under another name."""
    owner = Owner(stage.folder)
    owner.begins_ms = owner.from_ms
    owner.publish(plan_fields(owner.from_ms))
    owner.publish(plan_fields(owner.from_ms, plan="second"))
    owner.records()
    return owner.judged()


class Unit(Owner):
    """A coal unit whose analyser is off and whose operating signal says that it stands; the coal goes on, or not."""

    burns = True

    def polls(self, count: int, *, answered: bool = True, quality: int = 0) -> None:
        gateway, chain = self.gateway, self.gateway.chains[METER]
        for _ in range(count):
            due_ms = gateway.clock.now_ms
            gateway.clock.passes(20)
            self.register += self.burns
            chain.since += 1
            values = (Value("coal", self.register, "kg", quality), Value("run", 0, "/"))
            self.rows.append(chain.add(Reading(gateway.clock.now_ms, values)))
            chain.due_ms = due_ms + 1
            gateway.clock.passes(EVERY_MS - 20)


def unit_plan(from_ms: int) -> dict[str, Any]:
    """By its stack and by its coal, under the profile of the MRR."""
    gauge = {"kind": "gauge", "sample": EVERY_MS}
    units = {"c": "mg/l", "Q": "m3/s", "t": "Cel", "p": "Pa", "run": "/"}
    points = {f"{METER}/{name}": {**gauge, "unit": unit} for name, unit in units.items()}
    for letter in "cQ":
        points[f"{METER}/{letter}"]["basis"] = "dry"
    points[COAL] = {"kind": "counter", "unit": "kg", "sample": EVERY_MS, "max": 1000}
    emission = {"role": "emission", "profile": "EU-MRR"}
    inputs = {letter: f"{METER}/{letter}" for letter in "cQtp"}
    stack = {**emission, "method": "cems", "inputs": inputs, "operating": RUN, "threshold": 1}
    defaults = {"NCV": Decimal("20.9"), "CC": Decimal("26.1")}
    coal = {**emission, "method": "fuel", "terms": [[1, COAL]], "compare": "stack", "defaults": defaults}
    nodes = {"boiler": coal, "stack": stack}
    return plan_fields(from_ms, points=points, nodes=nodes, profiles={"EU-MRR": dict(profiles.load("EU-MRR"))})


def still(folder: Path, *, burns: bool) -> list[Objection]:
    """What is found of a unit that stands still by its signal."""
    folder.mkdir()
    owner = Unit(folder)
    owner.burns = burns
    owner.begins_ms = owner.from_ms
    owner.publish(unit_plan(owner.from_ms))
    owner.records()
    return owner.judged()


def _stopped(stage: Stage) -> list[Objection]:
    assert still(stage.folder / "honest", burns=False) == []
    return still(stage.folder / "burning", burns=True)


CASES |= {
    "plan-changes-shipped-profile": Case(
        JUDGE, "H7", "other figures than EU-MRR", _profile("EU-MRR", share=Decimal("0.1"))
    ),
    "plan-profile-of-no-version": Case(JUDGE, "H7", "this one is of version 2", _profile("EU-MRR", version="2")),
    "plan-own-profile-unmarked": Case(JUDGE, "H7", "no such profile comes", _profile("EU-MRR-2026", accept=["STALE"])),
    "plan-point-of-another": Case(JUDGE, "P6", "plan main .* for longer", _point_of_another),
    "plan-stopped-but-emitting": Case(JUDGE, "finding", "stopped-but-emitting: 2", _stopped),
    "factor-negative": Case(JUDGE, "F1", "only one of kind device may be 0", _factor(value="-0.1")),
    "factor-zero": Case(JUDGE, "F1", "only one of kind device may be 0", _factor(value="0")),
    "factor-shipped-id-changed": Case(
        JUDGE, "F1", "differs from the factor CN-average-2023", _factor(id="CN-average-2023", value="0.1")
    ),
    "factor-average-own": Case(
        JUDGE, "F1", "no factor CN-average-2026 comes", _factor(id="CN-average-2026", vintage=2026)
    ),
}
