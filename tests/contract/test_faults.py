"""The ledger-faults benchmark in short: each batch is on each ledger exactly once, whatever happens on the way."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.ledger_faults import CASES, Case, one
from gateway import refusals, uplink

BATCHES, WITHIN_S = 25, 120.0


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.driver}-{case.name}")
def test_each_batch_is_there_once(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(uplink, "FIRST_PAUSE_S", 0.02)
    monkeypatch.setattr(refusals, "FIRST_DOUBT_S", 0.02)
    figures = one(case, tmp_path / "case", BATCHES, WITHIN_S, timeout_s=0.3, times=1)
    assert figures["batches"] == figures["anchored"] == BATCHES
    assert (figures["duplicated"], figures["missing"]) == (0, 0)
    assert (case.trouble is None) == (int(str(figures["faults"])) >= BATCHES // 2)
