"""A ledger that is away for half an hour of simulated time: the outage benchmark in short."""

from __future__ import annotations

from tests.campaigns.endurance import outage

MINUTES, RESTORED_MINUTES, METERS = 30, 4, outage.SMALLEST[0]["meters"]
DUE = MINUTES * 6 * METERS


def test_an_outage_costs_no_memory_and_ends_with_every_batch_anchored_once() -> None:
    figures = outage.run(**outage.SMALLEST[0])
    assert figures["readings"] == DUE
    # compressed time may pass a busy writer by, so that one cut takes two minutes' records
    assert MINUTES // 2 <= int(str(figures["batches"])) <= MINUTES + 1
    assert figures["anchored_once"]
    assert figures["restored_readings_meanwhile"] == RESTORED_MINUTES * 6 * METERS
    assert figures["restored_sealed_before"] == 0
    assert int(str(figures["restored_cut_meanwhile"])) >= RESTORED_MINUTES // 2
    assert int(str(figures["restored_sealed_elsewhere"])) > 0
    assert figures["restored_sealed_once"]
    assert (figures["audit_findings"], figures["restored_audit_findings"]) == (0, 0)
    assert figures["fds_equal"]
    assert figures["tasks_equal"]
    assert float(str(figures["memory_ratio"])) <= 1.1
