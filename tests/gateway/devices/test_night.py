"""When it is night: published times of sunrise and sunset, polar days and nights, hours over midnight and over DST."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from math import inf
from zoneinfo import ZoneInfo

import pytest

from gateway.daylight import DAY_MS, daylight
from gateway.night import Night

H_MS = 3_600_000
GREENWICH, SYDNEY, TROMSO, STOCKHOLM = (51.4733, -0.0008), (-33.87, 151.21), (69.65, 18.96), (59.33, 18.06)
BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str) -> int:
    return round(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp() * 1000)


def noon_ms(day: str, longitude: float) -> int:
    return ms(f"{day}T12:00") - round(longitude * 240_000)


@pytest.mark.parametrize(
    ("place", "day", "zone", "sunrise", "sunset"),
    [  # timeanddate.com, to the minute
        (GREENWICH, "2015-01-01", "Europe/London", "08:06", "16:02"),
        (GREENWICH, "2015-12-01", "Europe/London", "07:43", "15:55"),
        (GREENWICH, "2015-12-12", "Europe/London", "07:56", "15:51"),
        (GREENWICH, "2015-12-25", "Europe/London", "08:05", "15:55"),
        (GREENWICH, "2024-06-20", "Europe/London", "04:43", "21:21"),
        (SYDNEY, "2024-12-21", "Australia/Sydney", "05:41", "20:05"),
        ((39.90, 116.40), "2024-06-21", "Asia/Shanghai", "04:46", "19:46"),
        ((40.71, -74.00), "2024-12-21", "America/New_York", "07:16", "16:31"),
        ((21.31, -157.86), "2024-06-20", "Pacific/Honolulu", "05:50", "19:16"),
        (STOCKHOLM, "2024-12-21", "Europe/Stockholm", "08:44", "14:48"),
    ],
)
def test_sunrise_and_sunset_are_the_published_ones_to_a_minute(
    place: tuple[float, float], day: str, zone: str, sunrise: str, sunset: str
) -> None:
    found = daylight(*place, noon_ms(day, place[1]))
    for at_ms, published in ((found.sunrise_ms, sunrise), (found.sunset_ms, sunset)):
        expected = datetime.fromisoformat(f"{day}T{published}").replace(tzinfo=ZoneInfo(zone))
        assert abs(datetime.fromtimestamp(at_ms / 1000, UTC) - expected) <= timedelta(minutes=1)


def test_where_the_sun_never_sets_it_is_never_night() -> None:
    night = Night(BERLIN, place=TROMSO)
    hours = range(ms("2024-06-20T00:00"), ms("2024-06-23T00:00"), H_MS // 2)
    assert not any(night.at(at) for at in hours)
    assert daylight(*TROMSO, ms("2024-06-21T12:00")).long_ms == DAY_MS


def test_where_it_never_rises_it_is_night_all_day() -> None:
    night = Night(BERLIN, place=TROMSO)
    hours = range(ms("2024-12-20T00:00"), ms("2024-12-23T00:00"), H_MS // 2)
    assert all(night.at(at) for at in hours)
    assert night.long_ms(ms("2024-12-21T12:00")) == inf


def test_the_poles_have_one_day_and_one_night_a_year() -> None:
    for latitude, bright, dark in ((90, "2024-06-21", "2024-12-21"), (-90, "2024-12-21", "2024-06-21")):
        night = Night(BERLIN, place=(latitude, 0.0))
        assert not any(night.at(ms(f"{bright}T{hour:02}:00")) for hour in range(24))
        assert all(night.at(ms(f"{dark}T{hour:02}:00")) for hour in range(24))


def test_the_night_of_a_place_begins_an_hour_before_sunset_and_ends_an_hour_after_sunrise() -> None:
    night = Night(BERLIN, place=GREENWICH)
    for text, dark in (
        ("2024-06-20T19:18", False), ("2024-06-20T19:24", True), ("2024-06-21T00:00", True),
        ("2024-06-21T04:40", True), ("2024-06-21T04:46", False), ("2024-06-21T12:00", False),
    ):  # fmt: skip
        assert night.at(ms(text)) is dark, text
    assert abs(night.long_ms(ms("2024-06-20T22:00")) - 9.37 * H_MS) < 0.05 * H_MS


def test_a_place_on_the_other_side_of_the_date_line_has_its_own_noon() -> None:
    for longitude in (-179.9, 179.9):
        night = Night(BERLIN, place=(0.0, longitude))
        dark = [hour for hour in range(24) if night.at(ms(f"2024-03-20T{hour:02}:30"))]
        assert dark == list(range(5, 19))


def test_hours_may_cross_midnight_and_are_local_ones() -> None:
    night = Night(BERLIN, hours=(20 * 60, 6 * 60))
    for text, inside in (
        ("2024-01-15T18:59", False), ("2024-01-15T19:00", True), ("2024-01-16T04:59", True),
        ("2024-01-16T05:00", False), ("2024-07-15T17:59", False), ("2024-07-15T18:00", True),
        ("2024-07-16T03:59", True), ("2024-07-16T04:00", False),
    ):  # fmt: skip
        assert night.at(ms(text)) is inside, text
    assert night.long_ms(0) == 10 * H_MS
    by_day = Night(BERLIN, hours=(60, 120))
    assert [by_day.at(ms(f"2024-01-15T{hour:02}:30")) for hour in range(3)] == [True, False, False]


def test_hours_and_a_place_may_each_say_that_it_is_night() -> None:
    night = Night(ZoneInfo("UTC"), hours=(12 * 60, 13 * 60), place=GREENWICH)
    assert [night.at(ms(f"2024-06-20T{hour:02}:30")) for hour in (1, 11, 12, 13)] == [True, False, True, False]
