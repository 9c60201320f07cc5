"""Which loads and sources of a statement are named, counted already, or left out (B6)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from ledger_client.accounting.formats.plan import HOUR_MS
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.rows import Row
from ledger_client.balance.given import Excluded
from ledger_client.balance.reckoning import balance
from ledger_client.balance.result import Result
from tests.support.accounted import POINT
from tests.support.certificates import balanced as b

SECOND = [[1, "other/energy"]]


def load(role: str, terms: Sequence[Any] = SECOND, **also: Any) -> dict[str, Any]:
    return {"role": role, "terms": list(terms), "profile": "own-test", **also}


def fuel(terms: Sequence[Any] = ((1, "scale/mass"),), **also: Any) -> dict[str, Any]:
    return b.COAL | {"terms": [list(term) for term in terms]} | also


def made(
    nodes: dict[str, Any], amounts: dict[str, int], *excluded: str, loads: Sequence[str] = ("load",),
    emissions: Sequence[str] = (), load_milli: int = 100_000,
) -> Result:  # fmt: skip
    """Of the import ``load`` with so many thousandths of a Wh, and of other nodes."""
    times = b.BEGIN_MS, b.BEGIN_MS + HOUR_MS
    rows = [b.hour(0, load_milli), *(Row(name, *times, "measured", amount, {}) for name, amount in amounts.items())]
    left_out = tuple(Excluded("gw", "main", name, "a neighbour's") for name in excluded)
    return balance(
        b.terms(exclusions=left_out), [b.source(rows, nodes=nodes, loads=loads, emissions=emissions)], [], []
    )


CASES: dict[str, tuple[str, dict[str, Any], dict[str, Any]]] = {
    "another import": ("yard", {"yard": load("import")}, {"amounts": {"yard": 1}}),
    "an import that is excluded": ("", {"yard": load("import")}, {"amounts": {"yard": 1}, "excluded": ["yard"]}),
    "what is consumed behind the import": ("", {"hall": load("consumption")}, {"amounts": {"hall": 110_000}}),
    "more than can be behind it": ("hall", {"hall": load("consumption")}, {"amounts": {"hall": 110_001}}),
    "with what is made there": (
        "", {"hall": load("consumption"), "sun": load("production", [[1, "scale/energy"]])},
        {"amounts": {"hall": 200_000, "sun": 90_000}},
    ),
    "one below 0 makes no room": (
        "hall", {"hall": load("consumption"), "odd": load("charge")}, {"amounts": {"hall": 110_001, "odd": -5}},
    ),
    "the import of a named consumption": (
        "", {"hall": load("consumption")}, {"amounts": {"hall": 100_000}, "loads": ["hall"]},
    ),
    "an import with more": ("load", {"hall": load("consumption")}, {"amounts": {"hall": 99_999}, "loads": ["hall"]}),
    "a hall beside a hall": (
        "shed", {"hall": load("consumption"), "shed": load("consumption", [[1, "scale/energy"]])},
        {"amounts": {"hall": 100_000, "shed": 1}, "loads": ["hall"]},
    ),
    "another profile of the import": ("", {"again": load("import", [[1, POINT]])}, {"amounts": {"again": 100_000}}),
    "a load of another zone": ("far", {"far": load("consumption", zone="CN-GD")}, {"amounts": {"far": 1}}),
    "a boiler": ("boiler", {"boiler": fuel()}, {"amounts": {"boiler": 5}}),
    "a boiler that is named": ("", {"boiler": fuel()}, {"amounts": {"boiler": 5}, "emissions": ["boiler"]}),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_each_load_and_source_is_named_or_excluded_or_counted_already(name: str) -> None:
    missing, nodes, given = CASES[name]
    amounts, excluded = given.pop("amounts"), given.pop("excluded", [])
    if not missing:
        made(nodes, amounts, *excluded, **given)
        return
    with pytest.raises(AccountingError, match="in none of loads, emissions and exclusions") as refused:
        made(nodes, amounts, *excluded, **given)
    assert refused.value.rule == "B6"
    assert f": {missing} (" in refused.value.problem
    assert f'of = "gw/main/{missing}"' in refused.value.way_out


def test_an_exclusion_stands_in_the_claim_with_its_amount() -> None:
    found = made({"yard": load("import")}, {"yard": 12_000}, "yard")
    assert found.exclusions == ("gw/main/yard: a neighbour's (12.000 Wh)",)
    with pytest.raises(AccountingError, match="is excluded twice"):
        made({"yard": load("import")}, {"yard": 12_000}, "yard", "yard")


@pytest.mark.parametrize(
    ("named", "excluded", "missing"),
    [
        (["stack"], [], ""), (["coal", "oil"], [], ""), ([], ["stack"], ""), ([], ["coal", "oil"], ""),
        (["coal"], ["oil"], ""), (["coal"], [], "stack, oil"), (["coal"], ["stack"], "oil"),
        ([], [], "stack, coal, oil"),
    ],
)  # fmt: skip
def test_of_one_source_one_node_or_all_of_its_fuels(named: list[str], excluded: list[str], missing: str) -> None:
    """M7: whoever names one fuel of two names the other, too."""
    nodes = {"stack": b.STACK, "coal": fuel(compare="stack"), "oil": fuel([[1, "scale/oil"]], compare="stack")}
    if not missing:
        made(nodes, {"stack": 30, "coal": 20, "oil": 9}, *excluded, emissions=named)
        return
    with pytest.raises(AccountingError) as refused:
        made(nodes, {"stack": 30, "coal": 20, "oil": 9}, *excluded, emissions=named)
    listed = refused.value.problem.partition("exclusions: ")[2]
    assert ", ".join(part.partition(" (")[0] for part in listed.split("), ")) == missing


@pytest.mark.parametrize(("node", "emissions"), [("load", []), ("coal", ["coal"])])
def test_a_row_below_0_takes_nothing_from_others(node: str, emissions: list[str]) -> None:
    """P5: not in its hour, and not as a row that no hour is known of."""
    for hours in (1, 3):
        below = Row(node, b.BEGIN_MS, b.BEGIN_MS + hours * HOUR_MS, "implausible", -1, {})
        with pytest.raises(AccountingError, match="is below 0") as refused:
            balance(b.terms(), [b.source([b.hour(0, 5), below], emissions=emissions)], [], [])
        assert refused.value.rule == "P5"
