"""Headline of a site: green only where each meter is well or asleep, and whose silence it must name."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.dashboard.pages.headline import Headline, headline, unexplained
from gateway.dashboard.pages.overview import MeterRow
from gateway.messages.reasons import why
from gateway.standing import FIRST_MS, Standing, standing
from gateway.storage.alarm_tables import AlarmRow

NOW, EVERY = 1_800_000_000_000, 2_000
ACTIVE = AlarmRow(1, "gateway", "certificate-end", "web", "it ends", NOW - 9_000, NOW - 8_000)
OVER = replace(ACTIVE, cleared_ms=NOW - 1_000)
WELL = Standing.WELL


@pytest.mark.parametrize(
    ("last_ms", "since_ms", "reason", "found"),
    [
        (NOW - 1_000, None, None, "well"),
        (NOW - 3_000, NOW - 2 * EVERY, "skipped", "well"),
        (NOW - 5_000, NOW - 2 * EVERY - 1, "skipped", "silent"),
        (NOW - 3 * EVERY - 5_000, None, None, "well"),
        (NOW - 3 * EVERY - 5_001, None, None, "silent"),
        (NOW - 9 * EVERY, NOW - 8 * EVERY, "asleep", "asleep"),
        (None, NOW - 8 * EVERY, "asleep", "asleep"),
        (None, None, None, "starting"),
        (None, NOW - FIRST_MS, "skipped", "starting"),
        (None, NOW - FIRST_MS - 1, "skipped", "silent"),
    ],
)
def test_how_a_meter_stands(last_ms: int | None, since_ms: int | None, reason: str | None, found: str) -> None:
    assert standing(last_ms, since_ms, reason, EVERY, NOW) == found


@pytest.mark.parametrize(
    ("standings", "alarms", "recording", "expected"),
    [
        ([WELL, Standing.ASLEEP], [], True, Headline.WELL),
        ([WELL, Standing.SILENT], [], True, Headline.SILENT),
        ([WELL, Standing.SILENT], [OVER], True, Headline.SILENT),
        ([Standing.STARTING, Standing.SILENT], [], True, Headline.SILENT),
        ([Standing.STARTING, WELL], [], True, Headline.STARTING),
        ([WELL], [OVER], True, Headline.OVER),
        ([WELL], [], False, Headline.NOT_RECORDED),
        ([Standing.SILENT], [OVER, ACTIVE], False, Headline.NEEDS),
    ],
)
def test_what_is_said_first(standings: list[Standing], alarms: list[AlarmRow], recording: bool, expected: str) -> None:
    assert headline(standings, alarms, recording=recording, uncertain=False) == expected


def row(name: str, cause: str | None) -> tuple[str, MeterRow]:
    return "hall", MeterRow(name, "", "auxiliary", EVERY, standing=Standing.SILENT, cause=cause)


def test_silent_meters_are_named_by_cause_unless_an_alarm_tells_of_that_cause() -> None:
    meters = [row("a", "skipped"), row("b", "timeout"), row("c", "skipped"), row("d", None)]
    meters.append(("hall", MeterRow("e", "", "auxiliary", EVERY, standing=WELL)))
    lost = AlarmRow(2, "b", "comms-lost", "hall", "b is not responding", NOW - 9_000, NOW - 8_000)
    fell = AlarmRow(3, "a", "counter-back", "hall", "a counter of a fell", NOW - 9_000, NOW - 8_000)
    assert unexplained(meters, [fell]) == [
        (why("skipped"), ["a", "c"]), (why("timeout"), ["b"]), (why("late"), ["d"])
    ]  # fmt: skip
    assert unexplained(meters, [lost, ACTIVE]) == [(why("skipped"), ["a", "c"]), (why("late"), ["d"])]
    assert unexplained(meters, [replace(lost, cleared_ms=NOW)])[1] == (why("timeout"), ["b"])
    down = replace(lost, source="gateway", code="line-down")
    assert [each.meters for each in unexplained(meters, [down])] == [["a", "c"], ["d"]]
