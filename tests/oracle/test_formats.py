"""docs/accounting.cddl describes what is written: plans, entries, periods, rows, rows files. Wrong types do not fit."""

from __future__ import annotations

# not quick: histories of the oracle, 3 s of CPU
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import pytest
from pycddl import Schema, ValidationError

from ledger_client.accounting.formats.rows import Rows
from ledger_client.formats import cbor
from ledger_client.formats.record import Event
from tests.oracle.comparison import SECRET, compare
from tests.oracle.histories import History, history, stack

CDDL = (Path(__file__).parents[2] / "docs" / "accounting.cddl").read_text()
MADE = [*(history(Random(seed)) for seed in range(40)), *(stack(Random(seed)) for seed in range(12))]

OPTIONAL = {"totals", "before", "supersedes", "reason"}


@cache
def schema(rule: str) -> Schema:
    return Schema(f"start = {rule}\n{CDDL}")


def plan_event(made: History) -> dict[str, Any]:
    return {"event": "plan"} | made.plan


def entry_events(made: History) -> list[dict[str, Any]]:
    bodies = [t.body for t in made.records if isinstance(t.body, Event) and t.body.name == "entry"]
    return [{"event": "entry"} | dict(body.fields) for body in bodies]


def test_what_is_written_fits() -> None:
    entries = 0
    for made in MADE:
        schema("plan").validate_cbor(cbor.encode(plan_event(made)))
        for entry in entry_events(made):
            schema("entry").validate_cbor(cbor.encode(entry))
            entries += 1
        found = compare(made)
        schema("period").validate_cbor(found.payload)
        for row in found.rows:
            schema("row").validate_cbor(row)
        schema("rows-file").validate_cbor(Rows(SECRET, found.rows).encode())
    assert entries > 20


@pytest.mark.parametrize("key", sorted(plan_event(MADE[0])))
def test_a_plan_of_wrong_types_does_not_fit(key: str) -> None:
    refused("plan", plan_event(MADE[0]), key)


@pytest.mark.parametrize("key", ["kind", "of", "from", "to", "values", "user"])
def test_an_entry_of_wrong_types_does_not_fit(key: str) -> None:
    refused("entry", next(entry for made in MADE for entry in entry_events(made)), key)


@pytest.mark.parametrize("key", sorted(cbor.decode(compare(MADE[0]).payload)))
def test_a_period_of_wrong_types_does_not_fit(key: str) -> None:
    refused("period", cbor.decode(compare(MADE[0]).payload), key)


def refused(rule: str, fields: Mapping[str, Any], key: str) -> None:
    """Null in a field's place does not fit, nor does its absence."""
    faults = [{**fields, key: None}]
    if key not in OPTIONAL:
        faults.append({name: value for name, value in fields.items() if name != key})
    for fault in faults:
        with pytest.raises(ValidationError):
            schema(rule).validate_cbor(cbor.encode(fault))
