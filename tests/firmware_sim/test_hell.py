"""The plant ``hell`` has every fault that a Modbus meter on a serial line can have."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from firmware_sim.meters.logger_faults import misfit
from firmware_sim.meters.wire_faults import TERMINAL
from firmware_sim.scenario.faults import ALL_KINDS

HELL = Path(__file__).parents[2] / "configs" / "plants" / "hell" / "plant.toml"
LINE = "modbus-rtu"


def kinds(rows: list[Mapping[str, Any]]) -> Iterator[str]:
    for row in rows:
        yield from kinds(row["choice"]) if "choice" in row else [row["kind"]]


def test_hell_has_every_kind_of_its_line() -> None:
    scenario = tomllib.loads(HELL.read_text())
    assert [bus["type"] for bus in scenario["bus"]] == [LINE]
    possible = {
        kind
        for kind, fault in ALL_KINDS.items()
        if not {LINE, TERMINAL} & fault.impossible.keys() and misfit(kind, LINE) is None
    }
    assert len(possible) > 30
    assert set(kinds(scenario["fault"])) == possible
