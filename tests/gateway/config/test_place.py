"""Time zone, place and hours of sleep in gateway.toml: what is taken, and what, where and the fix for what is not."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from gateway.config.place import daily_hours
from tests.gateway.config.refusals import refused
from tests.support.samples import site

GATEWAY, SLEEPER = 'trust = "trust.toml"', 'profile = "sunspec-inverter"'


def at_gateway(*lines: str) -> dict[str, str]:
    return {GATEWAY: "\n".join((GATEWAY, *lines))}


def test_a_site_has_a_time_zone_a_place_and_a_meter_its_hours(tmp_path: Path) -> None:
    lines = 'timezone = "Asia/Shanghai"', "latitude = 31.2", "longitude = 121"
    loaded = site(tmp_path / "site", at_gateway(*lines) | {SLEEPER: f'{SLEEPER}\nsleeps = "20:00-06:00"'})
    assert loaded.zone == ZoneInfo("Asia/Shanghai")
    assert (loaded.document.gateway.latitude, loaded.document.gateway.longitude) == (31.2, 121.0)
    assert loaded.meters["pv-inverter"].sleeps == "20:00-06:00"


def test_without_them_it_is_utc_and_nowhere(tmp_path: Path) -> None:
    loaded = site(tmp_path / "site")
    assert loaded.zone == ZoneInfo("UTC")
    assert (loaded.document.gateway.latitude, loaded.meters["pv-inverter"].sleeps) == (None, None)


@pytest.mark.parametrize(("text", "minutes"), [("20:00-06:00", (1200, 360)), ("00:00-05:59", (0, 359))])
def test_hours_of_the_day_are_minutes_and_may_cross_midnight(text: str, minutes: tuple[int, int]) -> None:
    assert daily_hours(text) == minutes


@pytest.mark.parametrize(
    ("zone", "words"),
    [
        ("Berlin", ("did you mean 'Europe/Berlin'?", "IANA")),
        ("europe/berlin", ("did you mean 'Europe/Berlin'?",)),
        ("Europe", ("'Europe' is not an IANA time zone",)),
        ("UTC+8", ("'UTC+8'", "Asia/Shanghai")),
        ("", ("IANA",)),
        ("../../etc/passwd", ("IANA",)),
        ("zone.tab", ("IANA",)),
    ],
)
def test_an_unknown_time_zone_is_refused(zone: str, words: tuple[str, ...], tmp_path: Path) -> None:
    path = site(tmp_path / "site").path
    path.write_text(path.read_text().replace(GATEWAY, f'{GATEWAY}\ntimezone = "{zone}"'))
    refused(path, "gateway, timezone", *words)


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (("latitude = 52.5",), ("gateway, longitude", "is missing")),
        (("longitude = 13.4",), ("gateway, latitude", "is missing")),
        (("latitude = 90.1", "longitude = 0"), ("gateway, latitude", "90")),
        (("latitude = 0", "longitude = -180.5"), ("gateway, longitude", "-180")),
        (("latitude = nan", "longitude = 0"), ("gateway, latitude", "finite")),
        (('latitude = "52 N"', "longitude = 0"), ("gateway, latitude", "52 N")),
    ],
)
def test_half_a_place_or_one_that_is_not_on_earth_is_refused(
    lines: tuple[str, ...], words: tuple[str, ...], tmp_path: Path
) -> None:
    path = site(tmp_path / "site").path
    path.write_text(path.read_text().replace(GATEWAY, "\n".join((GATEWAY, *lines))))
    refused(path, *words)


@pytest.mark.parametrize("text", ["20-6", "20:00", "20:00–06:00", "24:00-06:00", "20:60-06:00", "8:00-9:00", "night"])
def test_hours_that_are_none_are_refused(text: str, tmp_path: Path) -> None:
    path = site(tmp_path / "site").path
    path.write_text(path.read_text().replace(SLEEPER, f'{SLEEPER}\nsleeps = "{text}"'))
    refused(path, "meter 'pv-inverter', sleeps", '"20:00-06:00"')


def test_hours_of_no_length_are_refused(tmp_path: Path) -> None:
    path = site(tmp_path / "site").path
    path.write_text(path.read_text().replace(SLEEPER, f'{SLEEPER}\nsleeps = "06:00-06:00"'))
    refused(path, "meter 'pv-inverter', sleeps", "two different times")


def test_hours_of_a_device_that_does_not_sleep_are_refused(tmp_path: Path) -> None:
    path, awake = site(tmp_path / "site").path, 'profile = "vaisala-gmp252"'
    path.write_text(path.read_text().replace(awake, f'{awake}\nsleeps = "20:00-06:00"'))
    refused(path, "meter 'stack-co2', sleeps", "does not sleep", "may_sleep = true")


def test_time_zones_are_known_where_the_machine_has_none() -> None:
    """A container without /usr/share/zoneinfo: the tzdata package brings them along."""
    code = (
        "import zoneinfo; zoneinfo.reset_tzpath(to=[]); from gateway.config.place import time_zone; "
        "print(time_zone('Europe/Berlin'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "Europe/Berlin\n"
