"""What a plan alone shows: each unusual one beside its nearest neighbour that is usual."""

from __future__ import annotations

from typing import Any

import pytest

from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.inputs.plan_shows import shown_by_plan
from tests.support.accounted import QUARTER_MS, plan_fields

NODE = {"role": "production", "terms": [[1, "a/energy"]], "profile": "own-test"}
METERED = {name: {"kind": "counter", "unit": "kWh", "sample": 10_000, "max": 1000} for name in ("a/energy", "b/energy")}


def found(roles: dict[str, list[str]], elsewhere: tuple[str, ...] = (), site: Any = None, **node: Any) -> list[str]:
    fields = plan_fields(QUARTER_MS, points=METERED, nodes={"n": NODE | node}, site=site or {})
    unusual = shown_by_plan(parse_plan(fields), roles, elsewhere)
    return [f"{one.code} {one.of} {one.facts.get('reason', '')}".strip() for one in unusual]


@pytest.mark.parametrize(
    ("roles", "node", "expected"),
    [
        ({"a": ["generation"]}, {}, []),
        ({"a": ["consumption"]}, {}, ["role n"]),
        ({"a": ["generation", "auxiliary"]}, {}, ["role n"]),  # it was another one for a time
        ({"a": ["auxiliary"]}, {"reason": "a grid meter"}, ["role n a grid meter"]),
        ({"a": ["auxiliary"]}, {"role": "export"}, []),
        ({"a": ["generation"], "b": ["auxiliary"]}, {"terms": [[1, "a/energy"], [-1, "b/energy"]]}, []),
    ],
)
def test_production_is_by_meters_of_generation(
    roles: dict[str, list[str]], node: dict[str, Any], expected: list[str]
) -> None:
    assert found(roles, **node) == expected


@pytest.mark.parametrize(
    ("role", "expected"),
    [
        *((role, ["negative-term n"]) for role in ("consumption", "import", "auxiliary", "charge", "fuel")),
        ("export", []), ("discharge", []),
    ],
)  # fmt: skip
def test_nothing_is_subtracted_from_a_load_or_fuel(role: str, expected: list[str]) -> None:
    both = {"a": ["auxiliary"], "b": ["auxiliary"]}
    assert found(both, role=role, terms=[[1, "a/energy"], [-1, "b/energy"]]) == expected
    assert found(both, role=role, terms=[[1, "a/energy"], [1, "b/energy"]]) == []


def test_a_meter_that_no_node_has_is_named_with_its_reason() -> None:
    roles = {"a": ["generation"], "b": ["auxiliary"]}
    assert found(roles) == ["meter-unused b"]
    assert found(roles, ("b",)) == []
    assert found(roles, site={"unused": {"b": "weather"}}) == ["meter-unused b weather"]
