"""What the status calls a problem, in which words and order, and what it answers to programs and people."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest

from gateway.cli.status_view import feed_line, print_status
from gateway.messages.languages import in_language
from gateway.process.console import console
from gateway.standing import Standing
from gateway.status.status import (
    HELD_MS,
    FeedStatus,
    LedgerStatus,
    MeterStatus,
    Recording,
    Status,
    Totals,
)
from gateway.storage.alarm_tables import AlarmRow
from ledger_client.messages import Sentence

NOW_MS = 1_800_000_000_000
METER = MeterStatus("export-main", 10_000, NOW_MS - 5_000, 5, 26, "good", {}, [], "export-main/00/1")
LEDGER = LedgerStatus("demo-ledger", "required", 3, {"queued": 1}, False, None)
FEED = FeedStatus("plant", "sparkplug", "mqtt://broker", True, "connected", 0, 7, 0, 0)
ALARM = AlarmRow(7, "export-main", "comms-lost", "rs485-1", "it is silent", NOW_MS - 60_000, NOW_MS - 50_000)
WELL = Status(
    gateway="test-gateway",
    now_ms=NOW_MS,
    pid=42,
    recording=Recording(),
    totals=Totals(records=9, readings=6, pruned=0, batches=4, receipts=3),
    unsealed=2,
    last_batch=None,
    forecast=None,
    meters=[METER],
    closing=[],
    ledgers=[LEDGER],
    feeds=[FEED],
    asked_feeds=True,
    alarms=[],
    shelved=[],
    conflicts=[],
    repairs=[],
    restored=None,
    dashboard=None,
)
STOPPED = Recording("disk-full", "no room is left")
LATE = replace(METER, age_s=36, standing=Standing.SILENT)
WAITING = Recording(sealing_waits="sealing waits", waiting_since_ms=NOW_MS - HELD_MS - 1)


def english(sentences: Sequence[Sentence]) -> list[str]:
    return [in_language(each, "en") for each in sentences]


def alarm(code: str) -> AlarmRow:
    return replace(ALARM, code=code)


CASES: dict[str, tuple[Callable[[Status], Status], list[str]]] = {
    "all is well": (lambda s: s, []),
    "it does not run": (lambda s: replace(s, pid=None), ["the gateway is not running; nothing is recorded"]),
    "it records nothing": (
        lambda s: replace(s, recording=STOPPED, alarms=[alarm("recording-stopped")]),
        ["recording stopped (disk-full): no room is left"],
    ),
    "a meter without a reading": (
        lambda s: replace(s, meters=[replace(METER, last_ms=None, age_s=None)]),
        ["meter export-main: no reading yet"],
    ),
    "a meter whose reading is late": (
        lambda s: replace(s, meters=[LATE]),
        ["meter export-main: last reading 36 s ago, due every 10s"],
    ),
    "a meter that is just in time": (lambda s: replace(s, meters=[replace(METER, age_s=35)]), []),
    "a meter that sleeps": (lambda s: replace(s, meters=[replace(LATE, standing=Standing.ASLEEP)]), []),
    "a meter that was not polled": (
        lambda s: replace(s, meters=[replace(LATE, cause="skipped")]),
        ["meter export-main: last reading 36 s ago, due every 10s: not polled: no time left on the line"],
    ),
    "a late meter of a gateway at rest": (
        lambda s: replace(s, pid=None, meters=[LATE]),
        ["the gateway is not running; nothing is recorded"],
    ),
    "meters stay in their order": (
        lambda s: replace(s, meters=[LATE, replace(METER, name="b", last_ms=None, age_s=None), LATE]),
        [
            "meter export-main: last reading 36 s ago, due every 10s",
            "meter b: no reading yet",
            "meter export-main: last reading 36 s ago, due every 10s",
        ],
    ),
    "sealing waits for long": (lambda s: replace(s, recording=WAITING), ["sealing waits"]),
    "sealing has just begun to wait": (
        lambda s: replace(s, recording=replace(WAITING, waiting_since_ms=NOW_MS - HELD_MS)),
        [],
    ),
    "sealing waits because of a conflict": (
        lambda s: replace(s, recording=WAITING, conflicts=["two gateways bear one name"]),
        ["two gateways bear one name"],
    ),
    "an alarm": (lambda s: replace(s, alarms=[ALARM]), ["it is silent (since 2027-01-15T07:59:00.000Z)"]),
    "alarms that are reported otherwise": (
        lambda s: replace(s, alarms=[alarm("equivocation"), alarm("ledger-refused")]),
        [],
    ),
    "a ledger that refused a batch": (
        lambda s: replace(s, ledgers=[replace(LEDGER, refused=True, detail="wrong key")]),
        ["ledger demo-ledger: wrong key"],
    ),
    "a feed that is away": (
        lambda s: replace(s, feeds=[replace(FEED, connected=False, state="refused")]),
        ["feed plant: refused"],
    ),
    "a feed that nobody was asked about": (
        lambda s: replace(s, feeds=[replace(FEED, connected=False)], asked_feeds=False),
        [],
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_problem_is_listed_and_makes_the_gateway_unhealthy(case: str) -> None:
    change, expected = CASES[case]
    status = change(WELL)
    assert english(status.problems()) == expected
    facts = status.as_json()
    problems = list(map(str, status.problems()))
    assert (facts["problems"], facts["healthy"]) == (problems, not expected)


def test_the_most_serious_problem_comes_first() -> None:
    worst = replace(
        WELL,
        recording=STOPPED,
        meters=[LATE],
        conflicts=["two gateways bear one name"],
        alarms=[ALARM],
        ledgers=[replace(LEDGER, refused=True, detail="wrong key")],
        feeds=[replace(FEED, connected=False, state="refused")],
    )
    begins = ["recording stopped", "meter ", "two gateways", "it is silent", "ledger ", "feed "]
    found = english(worst.problems())
    assert [text.startswith(begin) for text, begin in zip(found, begins, strict=True)] == [True] * 6


def test_an_alarm_is_the_same_after_its_way_over_the_control_socket() -> None:
    rows = [
        ALARM,
        AlarmRow(8, "gateway", "clock-jumped", "", "it jumped", 1, 2, 3, 4, "a", 5, "b", "because", 6),
    ]
    assert [AlarmRow.from_json(json.loads(json.dumps(row.as_json()))) for row in rows] == rows


@pytest.mark.parametrize(
    ("changes", "recording"), [({}, "on"), ({"pid": None}, "off"), ({"recording": STOPPED}, "stopped")]
)
def test_recording_is_on_off_or_stopped(changes: dict[str, Any], recording: str) -> None:
    assert replace(WELL, **changes).as_json()["recording"] == recording


def test_the_state_of_a_ledger_is_the_worst_of_its_batches() -> None:
    found = [LEDGER, replace(LEDGER, refused=True, states={"refused": 1}), replace(LEDGER, states={})]
    assert [ledger.as_json()["state"] for ledger in found] == ["waiting", "refused", "settled"]
    assert [ledger.as_json()["waiting"] for ledger in found] == [1, 1, 0]


def test_what_is_a_problem_is_printed_once() -> None:
    """Repairs and what sealing waits for stand among the facts, unless they are problems already."""
    for status in (replace(WELL, recording=WAITING), replace(WELL, repairs=["it was repaired"])):
        terminal = io.StringIO()
        print_status(console(terminal), status)
        found = english([*status.problems(), *status.repairs])
        assert [terminal.getvalue().count(text) for text in found] == [1]


def test_a_feed_is_one_line() -> None:
    assert feed_line(FEED) == "feed plant (sparkplug): connected, 7 readings published live"
    behind = replace(FEED, waiting=2, left=30)
    assert feed_line(behind).endswith("7 readings published live, 2 waiting, 30 to backfill")
