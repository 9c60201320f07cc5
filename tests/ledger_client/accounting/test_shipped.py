"""Ids of profiles and factors: a published one has its published figures, every other one begins with own- (H7, F1)."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from hashlib import sha256
from typing import Any

import pytest

from ledger_client.accounting import factors, profiles
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.shipped import demand_shipped
from ledger_client.accounting.tables.grounds import ground
from ledger_client.formats import cbor
from tests.ledger_client.accounting.plans import node, plan_fields
from tests.ledger_client.accounting.stacks import hour, stack_fields

Change = Callable[[dict[str, Any]], None]
AVERAGE = dict(factors.series("CN-average")[-1])


def bearing(**also: Any) -> dict[str, Any]:
    """A plan that bears a published profile and a published factor."""
    nodes = {"station": node("production", "export/energy", profile="hourly")}
    return plan_fields(nodes=nodes, profiles={"hourly": dict(profiles.load("hourly"))}, factors=[dict(AVERAGE)], **also)


def profile(name: str = "hourly", **also: Any) -> Change:
    def change(fields: dict[str, Any]) -> None:
        fields["profiles"]["hourly"] |= also
        fields["profiles"][name] = fields["profiles"].pop("hourly")
        fields["nodes"]["station"]["profile"] = name

    return change


def factor(**also: Any) -> Change:
    return lambda fields: fields["factors"][0].update(also)


def both(*changes: Change) -> Change:
    def change(fields: dict[str, Any]) -> None:
        for one in changes:
            one(fields)

    return change


@pytest.mark.parametrize(
    "change",
    [
        profile(), profile(edge=Decimal("0.010")), profile("own-hourly", edge=Decimal("0.5")),
        factor(id="own-2023", value="0.1"),
        both(factor(id="own-solar", kind="device", value="0"), profile("own-x", accept=["STALE"])),
    ],
)  # fmt: skip
def test_what_is_as_published_or_says_that_it_is_not(change: Change) -> None:
    change(fields := bearing())
    demand_shipped(parse_plan(fields))


@pytest.mark.parametrize(
    ("change", "rule", "words"),
    [
        (profile(edge=Decimal("0.5")), "H7", "other figures than hourly"),
        (profile(unconfirmed=["edge"]), "H7", "other figures"),
        (profile(version="2"), "H7", "this one is of version 2"),
        (profile("mine"), "H7", "call it own-mine"),
        (profile("Own-mine"), "H7", "call it own-Own-mine"),
        (factor(value="0.1"), "F1", "differs from the factor CN-average-2023"),
        (factor(vintage=2026), "F1", "differs"),
        (factor(series="CN-residual"), "F1", "differs"),
        (factor(confirmed=not AVERAGE["confirmed"]), "F1", "differs"),
        (factor(id="CN-average-2099"), "F1", "call it own-CN-average-2099"),
        (factor(id="own-x", value="-0.1"), "F1", "only one of kind device may be 0"),
        (factor(id="own-x", value="0"), "F1", "only one of kind device may be 0"),
        (factor(id="own-x", value="-0.0001", kind="device"), "F1", "only one of kind device may be 0"),
    ],
)
def test_what_bears_a_published_name_with_other_figures(change: Change, rule: str, words: str) -> None:
    change(fields := bearing())
    with pytest.raises(AccountingError) as refused:
        demand_shipped(parse_plan(fields))
    assert refused.value.rule == rule
    assert words in str(refused.value.sentence) + str(refused.value.way_out)


def test_nothing_of_somebodys_own_is_confirmed() -> None:
    """Neither a clause of the profile, nor a rule that does not depend on it, nor a factor that says so."""
    fields = stack_fields("EU-MRR")
    fields["profiles"]["own-MRR"] = fields["profiles"].pop("EU-MRR")
    fields["nodes"]["eu-mrr"]["profile"] = "own-MRR"
    fields["factors"] = [{**AVERAGE, "id": "own-2023", "confirmed": True}]
    plan, published = parse_plan(fields), parse_plan(stack_fields("EU-MRR"))
    rows = [hour(plan.nodes["eu-mrr"], 0, status, 1) for status in ("valid", "missing", "stopped", "manual")]
    assert [ground(published, row).confirmed for row in rows] == [True] * 4
    assert [ground(plan, row).confirmed for row in rows] == [False] * 4
    assert plan.factors[0].confirmed is False


def test_what_was_shipped_stays_as_it_is() -> None:
    """New figures are a new version of a profile, a new id of a factor: add, never change."""
    shipped = {f"{name} {profiles.load(name)['version']}": profiles.load(name) for name in profiles.names()}
    pinned = {
        "CN-HJ75 1": "1d5bb79441f0d02a",
        "EU-MRR 1": "d30a784b00efae30",
        "hourly 1": "71c0bfb31e9fa332",
        "hourly-60s 1": "f5f7dbb505a1e91f",
    }
    assert {name: digest(fields) for name, fields in shipped.items() if name in pinned} == pinned
    first = sorted((dict(one) for one in factors.load() if one["vintage"] <= 2023), key=lambda one: str(one["id"]))
    assert digest(first) == "3f3743f745cee312"


def digest(content: Any) -> str:
    return sha256(cbor.encode(content)).hexdigest()[:16]
