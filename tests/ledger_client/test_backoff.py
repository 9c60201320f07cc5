"""Pauses double up to a bound, and are never quite the same."""

from __future__ import annotations

from ledger_client.backoff import growing_s


def test_pauses_double_up_to_the_longest_and_differ() -> None:
    for times in range(1, 100):
        longest = min(15.0, 0.5 * 2.0 ** (times - 1))
        drawn = [growing_s(0.5, 15.0, times) for _ in range(20)]
        assert all(longest / 2 <= pause <= longest for pause in drawn)
        assert len(set(drawn)) > 1
