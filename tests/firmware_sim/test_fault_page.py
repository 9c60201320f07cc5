"""docs/faults.md is what a run finds: each kind of fault, as a plain client sees it, and as the gateway records it."""

from __future__ import annotations

from pathlib import Path

from firmware_sim.scenario.faults import ALL_KINDS
from tests.firmware_sim.fault_page.page import PAGE, page
from tests.firmware_sim.fault_page.run import rows

RUNS = 3


def test_each_kind_is_in_the_page_as_a_run_finds_it(tmp_path: Path) -> None:
    """On a machine that is too busy polls are missed: a line that differs must differ in each of some runs."""
    committed = PAGE.read_text().splitlines()
    assert [kind for kind in ALL_KINDS if not any(line.startswith(f"| `{kind}`") for line in committed)] == []
    differ = dict[str, str]()
    for number in range(RUNS):
        found = page(rows(tmp_path / str(number))).splitlines()
        assert len(found) == len(committed)
        pairs = {old: new for old, new in zip(committed, found, strict=True) if old != new}
        differ = {old: new for old, new in pairs.items() if number == 0 or old in differ}
        if not differ:
            break
    assert differ == {}
