"""Days and months as a time zone has them, also where a clock is changed, at midnight too."""

from __future__ import annotations

from datetime import UTC, date, datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.errors import GatewayError
from gateway.local_calendar import (
    DAY_MS,
    HOUR_MS,
    Moment,
    day_ms,
    days,
    hours,
    instant_of,
    later,
    local,
    moment_ms,
    moment_of,
    months,
)

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


BERLIN, NOW_MS = ZoneInfo("Europe/Berlin"), 1_800_000_000_000


def _code(text: str, zone: ZoneInfo) -> object:
    """What a time is taken for: its first and second moment in ms, or the code of the message that refuses it."""
    try:
        found = moment_of(text, zone, NOW_MS)
    except GatewayError as error:
        return error.message.code if error.message and error.message.facts["text"] == text else error
    return found.ms, found.other_ms


@pytest.mark.parametrize(
    ("text", "utc", "second"),
    [
        ("2026-10-25T02:30", "2026-10-25T00:30Z", "2026-10-25T01:30Z"),
        ("2026-10-25 02:59:59.999", "2026-10-25T00:59:59.999Z", "2026-10-25T01:59:59.999Z"),
        ("2026-10-25T03:00", "2026-10-25T02:00Z", None),
        ("2026-10-25T01:59", "2026-10-24T23:59Z", None),
        ("2026-10-25T02:30+01:00", "2026-10-25T01:30Z", None),
        ("2026-03-29T01:59", "2026-03-29T00:59Z", None),
        ("2026-03-29T03:00", "2026-03-29T01:00Z", None),
        ("2026-10-25", "2026-10-24T22:00Z", None),
        ("20261126T0800Z", "2026-11-26T08:00Z", None),
    ],
)
def test_a_time_that_clocks_show_twice_is_the_first_and_names_the_second(
    text: str, utc: str, second: str | None
) -> None:
    first_ms, second_ms = (None if at is None else ms(at.removesuffix("Z"), "UTC") for at in (utc, second))
    found = moment_of(text, BERLIN, NOW_MS)
    assert found == Moment(text, first_ms or 0, second_ms)
    assert (found.note.facts["second_ms"] if found.note else None) == second_ms


def test_a_date_is_the_beginning_of_its_day_also_where_midnight_is_skipped_or_comes_twice() -> None:
    for zone, day in (("Africa/Cairo", "2026-04-24"), ("America/Havana", "2026-11-01")):
        begin_ms = day_ms(date.fromisoformat(day), ZoneInfo(zone))
        assert _code(day, ZoneInfo(zone)) == (begin_ms, None)


@pytest.mark.parametrize("text", ["2026-03-29T02:00", "2026-03-29 02:30", "2026-03-29T02:59:59.999"])
def test_a_time_that_clocks_skip_is_refused(text: str) -> None:
    assert _code(text, BERLIN) == "moment-skipped"


@pytest.mark.parametrize(
    "text",
    ["", "yesterday", "-", "-1x", "-99999999999d", "0001-01-01", "9999-12-31T23:59", "1800-01-01T00:00Z", "2026-02-30",
     "1800000000", "24:00", "2026-11-26T08:00 08:00", "2026-11-26T25:00", "\u0662\u0660\u0662\u0666-11-26", "now "],
)  # fmt: skip
def test_what_is_no_time_is_refused(text: str) -> None:
    assert _code(text, BERLIN) == "moment-unreadable"
    with pytest.raises(GatewayError) as caught:
        instant_of(text, NOW_MS)
    assert caught.value.message is not None
    assert caught.value.message.code == "instant-unreadable"


def test_a_program_gives_an_offset_or_an_age() -> None:
    assert [instant_of(text, NOW_MS) for text in ("now", "-90m", "2027-01-15T09:00:00+01:00")] == [
        NOW_MS,
        NOW_MS - 90 * 60_000,
        NOW_MS,
    ]
    for text in ("2027-01-15 09:00", "2027-01-15"):
        assert isinstance(_code(text, BERLIN), tuple)
        with pytest.raises(GatewayError):
            instant_of(text, NOW_MS)


@given(st.datetimes(datetime(1971, 1, 1), datetime(2037, 12, 31)), st.sampled_from(ZONES))
def test_a_time_is_that_of_the_clock_or_none(shown: datetime, zone: str) -> None:
    shown, there = shown.replace(microsecond=0), ZoneInfo(zone)
    found = _code(shown.isoformat(), there)
    if isinstance(found, tuple):
        assert [local(at, there).replace(tzinfo=None, fold=0) for at in found if at is not None] == [shown] * (
            1 + (found[1] is not None)
        )
    else:
        assert found == "moment-skipped"
        assert local(moment_ms(shown, there), there).replace(tzinfo=None) != shown
