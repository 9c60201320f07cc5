"""Plans and entries that make a month prettier: the gateway is asked to publish, a stranger to recompute.

Those that a gateway's own check refuses begin with the site of `meterseal init`; the others are signed with every key,
hours of a boiler whose coal was analysed, and given to ``recompute``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.entries import Entry
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.rows import Rows
from ledger_client.accounting.statement import Choice, state
from ledger_client.recompute.verdict import judge
from tests.campaigns.dishonest.dishonest_stage import Case, Objection, Stage, no
from tests.support.accounted import POINT, QUARTER_MS, SECRET, Accounted, entries, feed, plan_fields
from tests.support.audit_batches import EVERY_MS, trusted
from tests.support.commands import gateway_command
from tests.support.evidence import NOW
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
