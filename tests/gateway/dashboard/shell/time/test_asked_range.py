"""The range that an address asks for, and the ranges beside it, also over days of 23 and 25 hours."""

from __future__ import annotations

from zoneinfo import ZoneInfo

import pytest

from gateway.dashboard.shell.time.asked_range import BadQuery, Bounds, Choice, Window, choice
from gateway.local_calendar import DAY_MS, HOUR_MS, moment_of

BERLIN = ZoneInfo("Europe/Berlin")


def ms(text: str) -> int:
    return moment_of(text, BERLIN, 0).ms


NOW_MS = ms("2026-11-26T12:00")


def window(**query: str) -> Window:
    return Bounds.of(query, BERLIN, NOW_MS).window(DAY_MS, NOW_MS, BERLIN)


def ends(found: Window) -> tuple[int, int]:
    return found.from_ms, found.to_ms


def followed(found: Choice | None) -> Window:
    """The window of the address that a link leads to."""
    assert found is not None
    return window(**found)


def test_an_end_that_is_not_said_is_now_and_a_beginning_a_day_before() -> None:
    assert ends(window()) == ends(window(**{"from": "", "to": " "})) == (NOW_MS - DAY_MS, NOW_MS)
    assert ends(window(**{"from": "2026-11-24"})) == (ms("2026-11-24"), NOW_MS)
    assert ends(window(to="2026-11-24")) == (ms("2026-11-23"), ms("2026-11-24"))
    assert ends(window(**{"from": "2026-12-24"})) == (ms("2026-12-24"), ms("2026-12-25"))


def test_a_jump_keeps_the_length_and_has_the_moment_in_its_middle() -> None:
    found = window(at="2026-11-24T03:00", **{"from": "-2h", "to": "now"})
    assert ends(found) == (ms("2026-11-24T02:00"), ms("2026-11-24T04:00"))


@pytest.mark.parametrize(
    ("begin", "end", "before", "behind"),
    [
        ("2026-10-25", "2026-10-26", "2026-10-24", "2026-10-27"),
        ("2026-03-29", "2026-03-30", "2026-03-28", "2026-03-31"),
        ("2026-10-01", "2026-11-01", "2026-09-01", "2026-12-01"),
        ("2026-02-01", "2026-04-01", "2025-12-01", "2026-06-01"),
        ("2026-10-20", "2026-10-27", "2026-10-13", "2026-11-03"),
        ("2026-10-25T00:30+02:00", "2026-10-25T04:30+01:00", "2026-10-24T19:30+02:00", "2026-10-25T09:30+01:00"),
    ],
)
def test_the_ranges_beside_are_as_many_days_or_months_or_hours(begin: str, end: str, before: str, behind: str) -> None:
    found = window(**{"from": begin, "to": end})
    assert ends(followed(found.earlier)) == (ms(before), ms(begin))
    assert ends(followed(found.later)) == (ms(end), ms(behind))


def test_closer_and_wider_have_one_middle_and_stop_at_now_and_at_their_ends() -> None:
    found = window(**{"from": "2026-11-24T02:00", "to": "2026-11-24T04:00"})
    assert ends(followed(found.closer)) == (ms("2026-11-24T02:30"), ms("2026-11-24T03:30"))
    assert ends(followed(found.wider)) == (ms("2026-11-24T01:00"), ms("2026-11-24T05:00"))
    up_to_now = window(**{"from": "-1h"})
    assert ends(followed(up_to_now.wider)) == (NOW_MS - 2 * HOUR_MS, NOW_MS)
    assert up_to_now.later is None
    assert ends(followed(found.now)) == (NOW_MS - 2 * HOUR_MS, NOW_MS)
    assert window(**{"from": "-10s"}).closer is None
    assert window(**{"from": "-3000d"}).wider is None


def test_links_hold_milliseconds_where_there_are_any() -> None:
    assert choice(0, 1) == {"from": "1970-01-01T00:00:00Z", "to": "1970-01-01T00:00:00.001Z"}


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ({"from": "-1h", "to": "-2h"}, "range-backwards"),
        ({"from": "-1h", "to": "-1h"}, "range-backwards"),
        ({"from": "1960-01-01"}, "range-too-long"),
        ({"at": "soon"}, "moment-unreadable"),
        ({"to": "2026-03-29T02:30"}, "moment-skipped"),
    ],
)
def test_a_range_that_cannot_be_is_refused(query: dict[str, str], code: str) -> None:
    with pytest.raises(BadQuery) as caught:
        window(**query)
    assert caught.value.message is not None
    assert caught.value.message.code == code


def test_a_time_that_comes_twice_is_kept_to_be_named() -> None:
    ((key, moment),) = Bounds.of({"at": "2026-10-25T02:30", "from": "2026-10-25T03:30"}, BERLIN, NOW_MS).twice
    assert (key, moment.other_ms) == ("at", moment.ms + HOUR_MS)
