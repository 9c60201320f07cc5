"""Days and months as a time zone has them, also where a clock is changed, at midnight too."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.history.local_calendar import DAY_MS, HOUR_MS, day_ms, days, hours, later, local, moment_ms, months

ZONES = (
    "UTC",
    "Asia/Shanghai",
    "Europe/Berlin",
    "Asia/Kolkata",
    "Africa/Cairo",
    "America/Havana",
    "Australia/Lord_Howe",
)


def ms(text: str, zone: str) -> int:
    return moment_ms(datetime.fromisoformat(text), ZoneInfo(zone))


@pytest.mark.parametrize(
    ("zone", "day", "length_h"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("Europe/Berlin", "2026-11-26", 24),
        ("Africa/Cairo", "2026-04-24", 23),  # its midnight is left out
        ("America/Havana", "2026-11-01", 25),  # its midnight comes twice
        ("Asia/Kolkata", "2026-11-26", 24),
    ],
)
def test_a_day_has_as_many_hours_as_its_zone_gives_it(zone: str, day: str, length_h: int) -> None:
    noon_ms = ms(f"{day}T12:00", zone)
    ((begin_ms, end_ms),) = days(noon_ms, noon_ms + 1, ZoneInfo(zone))
    assert end_ms - begin_ms == length_h * HOUR_MS
    assert (
        local(begin_ms, ZoneInfo(zone)).date() == date.fromisoformat(day) != local(begin_ms - 1, ZoneInfo(zone)).date()
    )


def test_months_are_those_of_the_calendar() -> None:
    zone = ZoneInfo("Europe/Berlin")
    found = list(months(ms("2026-01-31T12:00", zone.key), ms("2026-05-01T00:00", zone.key), zone))
    assert [local(begin, zone).isoformat() for begin, _ in found] == [
        f"2026-{month:02}-01T00:00:00+0{1 + (month > 3)}:00" for month in (1, 2, 3, 4)
    ]
    assert found[2][1] - found[2][0] == 31 * DAY_MS - HOUR_MS
    assert later(date(2026, 1, 1), -1) == date(2025, 12, 1)


def test_round_hours_are_those_that_clocks_show_and_one_that_is_left_out_is_none() -> None:
    zone = ZoneInfo("Europe/Berlin")
    begin_ms, end_ms = day_ms(date(2026, 3, 29), zone), day_ms(date(2026, 3, 30), zone)
    assert [local(at, zone).hour for at in hours(begin_ms, end_ms, zone, 2)] == [0, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22]


@given(st.sampled_from(ZONES), st.integers(1_700_000_000_000, 1_900_000_000_000), st.integers(1, 9))
def test_days_and_months_lie_end_to_end(zone: str, from_ms: int, together: int) -> None:
    to_ms = from_ms + 40 * DAY_MS
    for found in (list(days(from_ms, to_ms, ZoneInfo(zone), together)), list(months(from_ms, to_ms, ZoneInfo(zone)))):
        assert found[0][0] <= from_ms < found[0][1]
        assert found[-1][0] < to_ms <= found[-1][1]
        assert all(earlier[1] == one[0] for earlier, one in pairwise(found))


def test_the_days_of_utc_are_those_of_unix_time() -> None:
    assert list(days(0, 2 * DAY_MS, UTC)) == [(0, DAY_MS), (DAY_MS, 2 * DAY_MS)]
