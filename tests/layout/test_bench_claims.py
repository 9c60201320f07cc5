"""The benchmark of claims in short: its figures, out of a real ledger and a real chain, where all agree."""

from __future__ import annotations

from benchmarks.carbon.claims import SMALLEST, run

MOST_GAS = {
    "gas_issue_hour": 35_000, "gas_transfer_whole": 45_000, "gas_transfer_end": 70_000, "gas_transfer_middle": 95_000,
    "gas_retire_whole": 50_000,
}  # fmt: skip


def test_every_figure_comes_out_of_real_parts() -> None:
    figures = run(**SMALLEST[0])
    for figure in ("claims_per_s", "statements_per_s", "claims_ratio", "claims_p50_ms", "replay_claims_per_s"):
        assert float(str(figures[figure])) > 0
    assert {name: figures[name] for name, most in MOST_GAS.items() if not 21_000 < int(str(figures[name])) < most} == {}
    assert int(str(figures["agree_operations"])) >= SMALLEST[0]["operations"]
    assert int(str(figures["agree_taken"])) > 0
    assert int(str(figures["agree_refused"])) > 0
    assert figures["agree_doubles"] == 0
    assert 100_000 < int(str(figures["page_bytes"])) < 3_000_000
    assert figures["balance_parties"] == 1
    assert figures["kills_violations"] == []
    assert sum(int(str(figures[f"kills_{what}"])) for what in ("answered", "unanswered", "not_taken")) == 10
