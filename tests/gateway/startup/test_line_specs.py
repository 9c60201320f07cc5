"""The buses of a configuration as physical lines."""

from __future__ import annotations

from collections import Counter

import pytest

from gateway.startup.line_specs import lag_ms
from tests.gateway.fieldbus.devices import meter, tcp_line


@pytest.mark.parametrize(("period_ms", "most_ms"), [(50, 5), (1_000, 100), (60_000, 200)])
def test_lines_begin_apart_and_never_far_behind_their_due_times(period_ms: int, most_ms: int) -> None:
    spec = tcp_line(502, meter("slow", 1, 90_000), meter("one", 2, period_ms))
    lags = [lag_ms(place, spec) for place in range(100)]
    assert lags[0] == 0
    assert max(lags) < most_ms
    assert max(Counter(lags).values()) <= 100 / (most_ms // 2) + 1


def test_a_line_without_time_to_spare_does_not_lag() -> None:
    assert {lag_ms(place, tcp_line(502, meter("one", 1, 9))) for place in range(100)} == {0}
