"""A line is cut and the gateway killed before its alarm is due: each receiver is notified of it once."""

from __future__ import annotations

from benchmarks.failures.notify import SMALLEST, run


def test_a_cut_line_is_notified_once_to_each_though_the_gateway_is_killed_and_hung_receivers_cost_no_reading() -> None:
    figures = run(**SMALLEST[0])
    once = {"webhook": 1, "email": 1, "ntfy": 1}
    assert (figures["cut_messages"], figures["cut_ids"]) == (once, once)
    assert float(str(figures["hung_schedule"])) > 0
    assert figures["hung_attempts"] == {"webhook": 1, "ntfy": 1}
