"""Which alarms a receiver is notified of: delay, company, shelf, acknowledgement, what has only happened, restarts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from gateway.alarms.notification.pacing import DIGEST_EVERY_MS, HOUR_MS, MOST_AN_HOUR, is_digest, may_leave_ms, pause_ms
from gateway.alarms.notification.selection import Selection
from gateway.config.notify import NotifyEntry
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.notice_table import Key

AFTER_MS, NOW_MS = 120_000, 1_795_650_000_000


def entry(**changes: Any) -> NotifyEntry:
    written = {"name": "duty", "type": "webhook", "url": "http://127.0.0.1/hook", "after": "2m", **changes}
    return NotifyEntry.model_validate(written)


def row(number: int, raised_ms: int, code: str = "comms-lost", line: str = "rs485-1", **changes: Any) -> AlarmRow:
    return replace(AlarmRow(number, "meter", code, line, "it is so", raised_ms - 5000, raised_ms), **changes)


class Case:
    """A receiver whose notices are kept as they come."""

    def __init__(self, rows: Iterable[AlarmRow] = (), keys: set[Key] | None = None, **changes: Any) -> None:
        self.keys = set() if keys is None else keys
        self.selection = Selection(entry(**changes), self.keys.__contains__)
        self.begun = self._kept(self.selection.begin(rows, NOW_MS))

    def hear(self, one: AlarmRow) -> list[tuple[int, str]]:
        return self._kept(self.selection.hear(one))

    def at(self, after_ms: int) -> list[tuple[int, str]]:
        return self._kept(self.selection.due(NOW_MS + after_ms))

    def _kept(self, found: Any) -> list[tuple[int, str]]:
        self.keys |= {one.key for one in found}
        return [(one.row.id, one.change) for one in found]


def test_an_alarm_is_due_when_it_has_been_raised_for_the_delay_and_once() -> None:
    case = Case()
    assert case.hear(row(1, NOW_MS)) == []
    assert (case.at(AFTER_MS - 1), case.selection.next_ms) == ([], NOW_MS + AFTER_MS)
    assert case.at(AFTER_MS) == [(1, "raised")]
    assert (case.at(10 * AFTER_MS), case.selection.next_ms) == ([], None)
    assert case.hear(row(1, NOW_MS, acked_ms=NOW_MS, acked_by="ines")) == []


def test_with_the_first_go_those_up_to_half_a_minute_younger_and_no_others() -> None:
    case = Case()
    for number, later_ms in enumerate([0, 30_000, 30_001]):
        case.hear(row(number, NOW_MS + later_ms))
    assert case.at(AFTER_MS) == [(0, "raised"), (1, "raised")]
    assert case.at(AFTER_MS + 30_000) == []
    assert case.at(AFTER_MS + 30_001) == [(2, "raised")]


def test_what_clears_before_is_not_sent_and_what_clears_behind_is_as_that_too() -> None:
    case = Case()
    case.hear(row(1, NOW_MS))
    case.hear(row(2, NOW_MS))
    assert case.hear(row(1, NOW_MS, cleared_ms=NOW_MS + 1000)) == []
    assert case.at(AFTER_MS) == [(2, "raised")]
    over = row(2, NOW_MS, cleared_ms=NOW_MS + AFTER_MS + 1)
    assert (case.hear(over), case.hear(over)) == ([(2, "cleared")], [])
    silent = Case(cleared=False)
    silent.hear(row(2, NOW_MS))
    assert (silent.at(AFTER_MS), silent.hear(over)) == ([(2, "raised")], [])


def test_what_was_due_before_it_cleared_is_sent_although_nobody_looked() -> None:
    """The thread of the receiver was at work on another message."""
    case = Case()
    case.hear(row(1, NOW_MS))
    assert case.hear(row(1, NOW_MS, cleared_ms=NOW_MS + AFTER_MS)) == [(1, "raised"), (1, "cleared")]


def test_what_is_raised_again_is_due_again() -> None:
    case = Case()
    case.hear(row(1, NOW_MS))
    assert case.at(AFTER_MS) == [(1, "raised")]
    case.hear(row(1, NOW_MS + 1_000_000, times=2))
    assert (case.at(1_000_000), case.at(1_000_000 + AFTER_MS)) == ([], [(1, "raised")])


def test_a_shelved_alarm_waits_until_it_returns() -> None:
    case = Case()
    case.hear(row(1, NOW_MS))
    case.hear(row(1, NOW_MS, shelved_until_ms=NOW_MS + 10**7))
    assert (case.at(10**7), case.selection.next_ms) == ([], None)
    case.hear(row(1, NOW_MS))
    assert case.at(10**7) == [(1, "raised")]


def test_an_escalation_goes_only_if_nobody_has_acknowledged_it() -> None:
    case = Case(unacknowledged=True)
    case.hear(row(1, NOW_MS))
    case.hear(row(1, NOW_MS, acked_ms=NOW_MS + 1, acked_by="ines"))
    case.hear(row(2, NOW_MS))
    assert case.at(AFTER_MS) == [(2, "raised")]
    case.hear(row(1, NOW_MS + 1000, times=2))
    assert case.at(AFTER_MS + 1000) == [(1, "raised")]


def test_what_only_happens_is_sent_although_it_is_over_and_its_end_is_not() -> None:
    case = Case(min_severity="notice")
    case.hear(row(1, NOW_MS, code="clock-step"))
    case.hear(row(1, NOW_MS, code="clock-step", cleared_ms=NOW_MS))
    assert case.at(AFTER_MS) == [(1, "raised")]
    assert case.hear(row(1, NOW_MS, code="clock-step", cleared_ms=NOW_MS, acked_ms=NOW_MS)) == []


@pytest.mark.parametrize(("least", "sent"), [("critical", 1), ("error", 2), ("warning", 3), ("notice", 4)])
def test_the_severity_is_the_least(least: str, sent: int) -> None:
    case = Case(min_severity=least)
    for number, code in enumerate(["site-silent", "comms-lost", "stale", "clock-step"]):
        case.hear(row(number, NOW_MS, code=code))
    assert len(case.at(AFTER_MS)) == sent


def test_a_receiver_is_never_sent_its_own_failing() -> None:
    case = Case()
    case.hear(row(1, NOW_MS, code="notify-failing", line="notify duty"))
    case.hear(row(2, NOW_MS, code="notify-failing", line="notify manager"))
    assert case.at(AFTER_MS) == [(2, "raised")]


def test_a_start_takes_what_is_active_and_nothing_that_is_over_or_has_been_sent() -> None:
    day_ms = 86_400_000
    rows = [
        row(1, NOW_MS - day_ms),
        row(2, NOW_MS - day_ms, cleared_ms=NOW_MS - 1),
        row(3, NOW_MS - 5000, code="counter-back", cleared_ms=NOW_MS - 1),
        row(4, NOW_MS - 2 * day_ms, code="counter-back", cleared_ms=NOW_MS - day_ms),
        row(5, NOW_MS - day_ms),
        row(6, NOW_MS - day_ms, cleared_ms=NOW_MS - 1),
    ]
    sent: set[Key] = {(5, NOW_MS - day_ms, "raised"), (6, NOW_MS - day_ms, "raised")}
    case = Case(rows, sent)
    assert case.begun == [(6, "cleared")]
    assert case.at(0) == [(1, "raised")]
    assert case.at(AFTER_MS) == [(3, "raised")]
    assert case.hear(row(2, NOW_MS - day_ms, cleared_ms=NOW_MS - 1, acked_ms=NOW_MS)) == []


def test_twenty_messages_an_hour_and_then_a_digest_every_ten_minutes() -> None:
    made = [NOW_MS + n * 1000 for n in range(MOST_AN_HOUR)]
    last = made[-1]
    assert (is_digest(made[:-1], last), may_leave_ms(made[:-1], last)) == (False, last)
    assert (is_digest(made, last + 1), may_leave_ms(made, last + 1)) == (True, last + DIGEST_EVERY_MS)
    assert may_leave_ms(made, NOW_MS + HOUR_MS - 1) == NOW_MS + HOUR_MS - 1
    assert not is_digest(made, NOW_MS + HOUR_MS)


def test_pauses_grow_to_ten_minutes_and_are_at_least_what_the_server_asks_for() -> None:
    assert [pause_ms(n) // 1000 for n in range(1, 9)] == [5, 15, 30, 60, 120, 300, 600, 600]
    assert (pause_ms(1, 90.0), pause_ms(9, 1.0)) == (90_000, 600_000)
