"""A ledger that is away for half an hour of simulated time: the outage benchmark in short."""

from __future__ import annotations

from benchmarks import outage

MINUTES = 30
DUE = MINUTES * 6 * outage.METERS


def test_an_outage_costs_no_memory_and_ends_with_every_batch_anchored_once() -> None:
    figures = outage.run(days=MINUTES / 1440)
    assert figures["readings"] == DUE
    assert MINUTES - 1 <= int(str(figures["batches"])) <= MINUTES + 1
    assert figures["anchored_once"]
    assert figures["fds_equal"]
    assert figures["tasks_equal"]
    assert float(str(figures["memory_ratio"])) <= 1.1
