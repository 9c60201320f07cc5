"""The ledger-faults benchmark in short: each batch is on each ledger exactly once, whatever happens on the way."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from gateway.anchoring import refusals, uplink
from tests.campaigns.ledgers.ledger_faults import CASES, KILLS, Case, one

BATCHES, WITHIN_S = 25, 120.0


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.driver}-{case.name}")
def test_each_batch_is_there_once(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(refusals, "FIRST_DOUBT_S", 0.02)
    times = 1 if case.plan.times == KILLS else case.plan.times
    case = replace(case, plan=replace(case.plan, times=times))
    figures = one(case, tmp_path / "case", BATCHES, WITHIN_S, timeout_s=0.3)
    assert figures["batches"] == figures["anchored"] == BATCHES
    assert (figures["duplicated"], figures["missing"]) == (0, 0)
    assert figures["troubles"] == times
    assert int(str(figures["faults"])) >= (0 if times else BATCHES // 2)
