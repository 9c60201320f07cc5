"""Numbers, units and times as they are written."""

from __future__ import annotations

from datetime import timedelta, timezone
from decimal import Decimal

import pytest

from gateway.dashboard.render.html import HTML
from gateway.dashboard.shell import formats
from gateway.dashboard.shell.formats import Times
from gateway.devices.blocks import Content

CHINA = timezone(timedelta(hours=8))
NOON_MS = 1_800_000_000_000  # 2027-01-15T08:00:00Z


@pytest.mark.parametrize(
    ("value", "unit", "exact", "short"),
    [
        (-23274.73046875, "W", "−23 274.73 W", "−23.27 kW"),
        (1_234_567.0, "W", "1 234 567 W", "1234.6 kW"),
        (12.5, "W", "12.5 W", "0.0125 kW"),
        (0.5, "kW", "0.5 kW", "0.500 kW"),
        (0, "W", "0 W", "0.000 kW"),
        (Decimal("0.4"), "kWh", "0.4 kWh", "0.000400 MWh"),
        (Decimal("4821.500"), "kWh", "4821.500 kWh", "4.822 MWh"),
        (8754250, "Wh", "8 754 250 Wh", "8.754 MWh"),
        (231.48, "V", "231.48 V", "231.48 V"),
        (20_500.0, "V", "20 500 V", "20 500 V"),
        (0.98, "/", "0.98", "0.980"),
        (98, "/100", "98 %", "98.00 %"),
        (34.5, "Cel", "34.5 °C", "34.50 °C"),
        (12, "m3/h", "12 m³/h", "12.00 m³/h"),
        (None, "W", "—", "—"),
        ("OFF", None, "OFF", "OFF"),
        (True, None, "yes", "yes"),
        (1e-9, "A", "1e−09 A", "0.000 A"),
    ],
)
def test_a_value(value: Content, unit: str | None, exact: str, short: str) -> None:
    shown = [str(formats.exact(value, unit)), str(formats.short(value, unit))]
    assert [text.replace(formats.THIN, " ") for text in shown] == [exact, short]


@pytest.mark.parametrize(
    ("ms", "en", "zh"),
    [(0, "0 s", "0 秒"), (119_999, "119 s", "119 秒"), (120_000, "2 min", "2 分钟"), (7_200_000, "2 h", "2 小时"),
     (300_000_000, "3 d", "3 天"), (-5, "0 s", "0 秒"), (None, "—", "—")],
)  # fmt: skip
def test_an_age(ms: int | None, en: str, zh: str) -> None:
    assert (formats.age(ms, HTML.words("en")), formats.age(ms, HTML.words("zh"))) == (en, zh)


def test_a_moment_is_told_in_the_zone_of_the_gateway() -> None:
    times = Times(NOON_MS, CHINA)
    assert times.text(NOON_MS) == "16:00:00"
    assert times.text(NOON_MS - 86_400_000) == "2027-01-14 16:00:00"
    assert times.utc(NOON_MS + 7) == "2027-01-15T08:00:00.007Z"
    assert times.zone == "UTC+08:00"
    assert Times(NOON_MS, timezone(timedelta(minutes=-210))).zone == "UTC−03:30"


def test_foreign_text_cannot_hide_what_stands_beside_it() -> None:
    assert formats.name("Zähler 1\u202e\x1b[31m") == "Zähler 1\\u202e\\x1b[31m"
