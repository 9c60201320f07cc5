"""Periods as people write them: a month of civil time, two times, and what is neither."""

from __future__ import annotations

import pytest

from gateway.accounting.plans.moments import period_ms
from gateway.errors import GatewayError

OCTOBER_MS = 1_790_784_000_000, 1_793_462_400_000
"""From 2026-09-30T16:00:00Z to 2026-10-31T16:00:00Z."""


@pytest.mark.parametrize(
    "text", ["2026-10", "2026-10-01T00:00:00/2026-11-01T00:00:00", "2026-09-30T16:00:00Z/2026-10-31T16:00:00Z"]
)
def test_a_month_and_two_times_are_a_period(text: str) -> None:
    assert period_ms(text, 480) == OCTOBER_MS


@pytest.mark.parametrize("text", ["2026", "2026-13", "0000-01", "9999-12", "october"])
def test_what_is_no_period_is_refused(text: str) -> None:
    """Of the year 0, and of the end of 9999, there is no date."""
    with pytest.raises(GatewayError, match=text):
        period_ms(text, 480)
