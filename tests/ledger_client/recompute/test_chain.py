"""What a dishonest owner may try with plans and statements: each is marked, refused or found, by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from types import MappingProxyType
from typing import Any

import pytest

from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Rows, parse_row
from ledger_client.formats.record import record_hash
from ledger_client.formats.senml import Quality
from ledger_client.recompute.chain import chain
from ledger_client.recompute.run import Result, recompute
from ledger_client.recompute.sources import SignedPeriod, SignedPlan, Sources
from tests.oracle.histories import DAY_MS, T0, stack
from tests.support.accounted import POINT, QUARTER_MS, Accounted, plan_fields
from tests.support.audit_batches import trusted
from tests.support.evidence import NOW

YEAR_MS = 1_767_225_600_000
"""2026-01-01T00:00:00Z, in ms."""


class Site(Accounted):
    """Two batches of half an hour each; whatever is stated stands in a third.

    ``lie``: what a statement says instead of what follows.
    """

    lie: Mapping[str, Any] = MappingProxyType({})

    def event(self, name: str, **fields: Any) -> bytes:
        return super().event(name, **(fields | dict(self.lie) if name == "period" else fields))

    def begin(self, **plan: Any) -> int:
        from_ms = self.from_ms
        self.publish(plan_fields(from_ms, **plan))
        for _ in range(2):
            self.polls(200)
            self.seal()
        return from_ms

    def stated(self, from_ms: int, quarters: int, batches: tuple[int, int] = (0, 1), **choice: Any) -> bytes:
        """State some quarters; the record's hash."""
        self.state(from_ms, from_ms + quarters * QUARTER_MS, batches, **choice)
        return record_hash(self.rows[-1])

    def judged(self, record: bytes, files: slice = slice(None)) -> list[tuple[str, str]]:
        """Rule and place of each difference of a statement."""
        if self.rows:
            self.polls(2)
            self.seal()
        return named(recompute(self.files[files], trusted(), NOW), record)


def named(result: Result, record: bytes) -> list[tuple[str, str]]:
    assert result.audit.findings == []
    (period,) = (period for period in result.periods if period.record == record)
    return [(difference.rule, difference.where) for difference in period.differences]


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return Site(tmp_path)


def test_statements_one_behind_the_other_hold(site: Site) -> None:
    from_ms = site.begin()
    first = site.stated(from_ms, 2)
    second = site.stated(from_ms + 2 * QUARTER_MS, 2, before=first)
    corrected = site.stated(from_ms, 2, version=2, supersedes=first, reason="a late entry")
    assert [site.judged(record) for record in (first, second, corrected)] == [[], [], []]


def test_the_better_of_two_statements_is_found(site: Site) -> None:
    from_ms = site.begin()
    one, other = site.stated(from_ms, 2), site.stated(from_ms, 2, reason="better")
    assert site.judged(one) == [("T4", "version")]
    assert site.judged(other) == [("T4", "version")]


def test_an_overlap_is_found(site: Site) -> None:
    from_ms = site.begin()
    first = site.stated(from_ms, 3)
    second = site.stated(from_ms + 2 * QUARTER_MS, 2, before=first)
    assert site.judged(first) == []
    assert [rule for rule, _ in site.judged(second)][:2] == ["T2", "T2"]


@pytest.mark.parametrize(
    ("choice", "found"),
    [
        ({"version": 2}, ("T4", "supersedes")),
        ({"version": 1, "supersedes": "first"}, ("T4", "supersedes")),
        ({"version": 3, "supersedes": "first"}, ("T4", "supersedes")),
    ],
)
def test_versions_follow_each_other(site: Site, choice: dict[str, Any], found: tuple[str, str]) -> None:
    from_ms = site.begin()
    first = site.stated(from_ms, 2)
    named_first = {"supersedes": first} if "supersedes" in choice else {}
    assert found in site.judged(site.stated(from_ms, 2, **{**choice, **named_first}))


def test_a_correction_is_made_of_no_less(site: Site) -> None:
    from_ms = site.begin()
    first = site.stated(from_ms, 1, (0, 1))
    assert ("T4", "batches") in site.judged(site.stated(from_ms, 1, (0, 0), version=2, supersedes=first))


def test_a_statement_that_forgets_the_one_before_is_found(site: Site) -> None:
    from_ms = site.begin()
    site.stated(from_ms, 1)
    assert site.judged(site.stated(from_ms + 2 * QUARTER_MS, 1)) == [("T2", "before")]


def test_an_hour_between_two_statements_is_found(site: Site) -> None:
    from_ms = site.begin()
    first = site.stated(from_ms, 1)
    assert ("T2", "before") in site.judged(site.stated(from_ms + 2 * QUARTER_MS, 1, before=first))


def test_an_earlier_batch_left_out_is_found(site: Site) -> None:
    from_ms = site.begin()
    site.polls(200)
    site.seal()
    first = site.stated(from_ms, 2, (0, 1))
    late = site.stated(from_ms + 2 * QUARTER_MS, 3, (2, 2), before=first)
    assert {("T2", "batches"), ("I5", "nodes.station")} <= set(site.judged(late))


def test_a_batch_that_no_file_holds_is_named(site: Site) -> None:
    from_ms = site.begin()
    site.stated(from_ms, 2)
    site.seal()
    (period,) = recompute([site.files[0], site.files[2]], trusted(), NOW).periods
    assert [(d.rule, d.where, d.recomputed) for d in period.differences] == [("T2", "batches", "no file holds it")]


def test_a_plan_after_its_hours_marks_them(site: Site) -> None:
    from_ms = site.from_ms
    site.polls(200)
    site.publish(plan_fields(from_ms))
    site.polls(200)
    site.seal()
    statement, path = site.state(from_ms, from_ms + 4 * QUARTER_MS, (0, 0))
    marked = [parse_row(row).facts.get("retrospective") for row in Rows.parse(path.read_bytes()).rows]
    assert marked == [True, True, True, None]
    assert site.judged(record_hash(site.rows[-1])) == []
    assert statement.fields["complete"]


def test_a_plan_changed_backwards_is_found(site: Site) -> None:
    from_ms = site.begin()
    old = site.plan
    new = site.publish(plan_fields(from_ms, v=2, site={"name": "another"}))
    site.polls(2)
    site.seal()
    assert site.judged(site.stated(from_ms, 2, (0, 2))) == [("P2", "plan")]
    site.plan = old
    assert site.judged(site.stated(from_ms, 2, (0, 2), version=2, supersedes=new)) == []


def test_a_new_plan_ends_what_the_old_one_rules(site: Site) -> None:
    from_ms = site.begin()
    old = site.plan
    site.publish(plan_fields(from_ms, v=2))
    site.plan = old
    site.polls(200)
    site.seal()
    site.polls(4)
    site.seal()
    assert ("P2", "plan") in site.judged(site.stated(from_ms, 6, (0, 3)))


def test_a_point_of_two_plans_is_found(site: Site) -> None:
    from_ms = site.begin()
    first = site.stated(from_ms, 1)
    site.publish(plan_fields(from_ms, plan="other"))
    site.polls(2)
    site.seal()
    assert ("P6", "plan") in site.judged(site.stated(from_ms, 1, (0, 2)))
    assert site.judged(first) == []


def two_names(site: Site, closed_at: int) -> tuple[int, bytes]:
    """``main`` has the point up to a quarter at which its node is closed (0: not at all), then ``other`` has it."""
    from_ms = site.begin()
    moment = from_ms + closed_at * QUARTER_MS
    if closed_at:
        closure = {"kind": "closure", "of": "station", "from": moment, "to": moment, "values": {}}
        site.event("entry", **closure, reason="r", user="u")
    nodes = {"anew": plan_fields(0)["nodes"]["station"]}
    first = site.stated(from_ms, 1)
    site.publish(plan_fields(from_ms + QUARTER_MS, plan="other", nodes=nodes))
    site.polls(2)
    site.seal()
    return from_ms, first


@pytest.mark.parametrize(("closed_at", "found"), [(0, True), (1, False), (2, True)])
def test_a_point_is_free_where_its_node_is_closed(site: Site, closed_at: int, found: bool) -> None:
    from_ms, first = two_names(site, closed_at)
    assert (("P6", "plan") in site.judged(site.stated(from_ms + QUARTER_MS, 1, (0, 2)))) == found
    assert ("P6", "plan") not in site.judged(first)


def test_a_point_is_free_where_the_newest_plan_has_it_no_more(site: Site) -> None:
    """``main`` gives its point to ``other``, and then takes it back: that is no longer its own."""
    site.begin()
    spare = {"export-main/spare": plan_fields(0)["points"][POINT]}
    nodes = {"station": {**plan_fields(0)["nodes"]["station"], "terms": [[1, "export-main/spare"]]}}
    later_ms = site.from_ms
    site.publish(plan_fields(later_ms, v=2, points=spare, nodes=nodes))
    site.publish(plan_fields(later_ms, plan="other"))
    site.polls(200)
    site.seal()
    assert ("P6", "plan") not in site.judged(site.stated(later_ms, 1, (0, 2)))
    back_ms = site.from_ms
    site.publish(plan_fields(back_ms, v=3))
    site.polls(200)
    site.seal()
    assert ("P6", "plan") in site.judged(site.stated(back_ms, 1, (0, len(site.files) - 1)))


def test_rows_of_another_statement_are_not_those_of_this_one(site: Site) -> None:
    """Both have one row; those of the first alone are given."""
    from_ms = site.begin()
    first = site.stated(from_ms, 1)
    second = site.stated(from_ms + QUARTER_MS, 1, before=first)
    site.polls(2)
    site.seal()
    result = recompute(site.files, trusted(), NOW, rows=[site.folder / f"{from_ms}.mrows"])
    assert [named(result, record) for record in (first, second)] == [[], []]
    assert [period.rows_compared for period in result.periods] == [True, False]


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({"rules": "accounting-2"}, "P1"), ({"v": 2}, "P1"), ({"uses": [5]}, "T5"), ({"plan": 10**12}, "T1"),
        ({"batches": [[0, b"a" * 32], [2**63, b"b" * 32]]}, "T2"), ({"batches": [[1, b"a"], [0, b"b"]]}, "T2"),
        ({"rows": 7}, "T1"), ({"from": -1}, "T1"),
    ],
)  # fmt: skip
def test_a_statement_that_is_none_is_named(site: Site, change: Mapping[str, Any], rule: str) -> None:
    from_ms = site.begin()
    site.lie = change
    site.state(from_ms, from_ms + QUARTER_MS, (0, 1))
    assert {found for found, _ in site.judged(record_hash(site.rows[-1]))} >= {rule}


@pytest.mark.parametrize("name", ["plan", "entry"])
def test_what_is_none_spoils_no_other_statement(site: Site, name: str) -> None:
    """A plan of rules that this program does not know, and an entry without a kind, in another batch."""
    from_ms = site.begin()
    first = site.stated(from_ms, 2)
    site.event(name, rules="accounting-9", plan="main")
    assert site.judged(first) == []
    late = site.stated(from_ms + 2 * QUARTER_MS, 1, (0, 2), before=first) if name == "plan" else None
    assert late is None or site.judged(late) == []


def test_an_entry_that_is_none_is_named(site: Site) -> None:
    from_ms = site.begin()
    site.event("entry", kind="guess")
    site.polls(2)
    site.seal()
    site.lie = {"batches": [[0, site.ids[0]], [2, site.ids[2]]]}
    assert site.judged(site.stated(from_ms, 2)) == [("P9", "entry.kind")]


@pytest.mark.parametrize(
    ("point", "rule"),
    [({"sample": 86_400_000}, "P3"), ({"wraps_at": 1050}, "P3"), ({"pressure": "gauge"}, "P3"), ({"max": 0}, "P3")],
)
def test_a_plan_that_hides_is_refused(point: Mapping[str, Any], rule: str) -> None:
    fields = plan_fields(0)
    fields["points"] = {POINT: {**fields["points"][POINT], **point}}
    with pytest.raises(AccountingError, match=rule):
        parse_plan(fields)


def test_a_largest_number_that_is_made_up_makes_no_wrap(site: Site) -> None:
    """A reset that is recorded as a rollover: the energy that a wrap would add is above what the meter can count."""
    fields = plan_fields(site.from_ms)
    fields["points"][POINT]["wraps_at"] = 1_000_000
    from_ms = site.from_ms
    site.publish(fields)
    site.polls(150)
    site.register = 0
    site.polls(1, quality=int(Quality.ROLLOVER))
    site.polls(150)
    site.seal()
    _, path = site.state(from_ms, from_ms + 2 * QUARTER_MS, (0, 0))
    rows = [parse_row(row) for row in Rows.parse(path.read_bytes()).rows]
    assert [row.status for row in rows] == ["measured", "unknown"]
    assert rows[1].facts["jumps"][0][1] == "unknown"


def populations(rule: str, edges: Sequence[int], *uses: Sequence[int]) -> list[list[tuple[str, str]]]:
    """What the chain finds of statements of a stack between these times, which use those of these numbers."""
    plan = stack(Random(1)).plan
    plan["profiles"]["p"]["substitution"] = rule
    sources = Sources({b"P" * 32: SignedPlan(parse_plan({**plan, "civil": 0, "from": edges[0]}), 0)})
    records = [bytes([n]) * 32 for n in range(len(uses))]
    for n, used in enumerate(uses):
        fields = {
            "v": 1, "rules": "accounting-1", "plan": b"P" * 32, "version": 1, "complete": True, "entries": [],
            "from": edges[n], "to": edges[n + 1], "batches": [[n, b"b" * 32], [n + 1, b"b" * 32]],
            "capture": {}, "uses": [records[k] for k in used], "rows": [0, b"r" * 32], "findings": {},
        }  # fmt: skip
        fields |= {"before": records[n - 1]} if n else {}
        sources.periods[records[n]] = SignedPeriod(records[n], fields, n)
    found = chain(sources)
    return [[(d.rule, d.where) for d in found[record]] for record in records]


def test_a_bad_month_left_out_of_a_population_is_found() -> None:
    """Of three statements of a stack the third uses the first only."""
    edges = [T0 + n * DAY_MS for n in range(4)]
    assert populations("CN-HJ75", edges, [], [0], [0]) == [[], [], [("T5", "uses")]]


@pytest.mark.parametrize(
    ("rule", "reach", "from_ms"),
    [
        ("CN-HJ75", T0 - 366 * DAY_MS, T0),
        ("EU-45", YEAR_MS, T0),
        ("EU-45", YEAR_MS - 2 * DAY_MS, YEAR_MS + 3 * DAY_MS),  # of H6: 120 hours
    ],
)
def test_a_population_reaches_as_far_back_as_its_rule(rule: str, reach: int, from_ms: int) -> None:
    """The first statement ends where the rule's time begins, or an interval later; the third does not use it."""
    for late_ms, found in ((0, []), (QUARTER_MS * 4, [("T5", "uses")])):
        edges = [reach - 30 * DAY_MS, reach + late_ms, from_ms, from_ms + DAY_MS]
        assert populations(rule, edges, [], [0], [1])[2] == found
        assert populations(rule, edges, [], [0], [0, 1])[2] == []
