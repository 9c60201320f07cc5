"""Overload of a line: when its polls find no time, of which meters they count, and which period would fit."""

from __future__ import annotations

import asyncio
from dataclasses import replace

from gateway.alarms.state import AlarmKey, AlarmState
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.overload import Load, Overload
from gateway.fieldbus.periods import MEASURED_FULL, carries, device_times, shortest_periods
from gateway.fieldbus.polling.line_alarms import LineAlarms
from gateway.fieldbus.polling.overload_alarm import OverloadAlarm, overloaded
from gateway.fieldbus.polling.schedule import Schedule
from gateway.fieldbus.read_budget import budget
from gateway.fieldbus.specs import Alarm, BlockFailure, Poll
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.alarm_kinds import kind_of
from gateway.messages.message import Message
from gateway.storage.alarm_tables import AlarmRow
from tests.gateway.fieldbus.devices import meter, tcp_line

WINDOW, PERIOD = 300_000, 2_000


def polled(of: Overload, from_ms: int, to_ms: int, skipped: int, of_n: int = 25) -> list[bool | None]:
    """A poll each period, ``skipped`` of ``of_n`` for want of time; what it is after each change."""
    found = []
    for n, now_ms in enumerate(range(from_ms, to_ms, PERIOD)):
        of.due(now_ms, "skipped" if n % of_n < skipped else "made")
        if of.changed(now_ms):
            found.append(of.active)
    return found


def test_it_is_raised_after_a_whole_window_and_ends_below_half_of_that() -> None:
    line = Overload([PERIOD], 0)
    assert polled(line, 0, WINDOW, 20) == [], "no window has passed"
    assert polled(line, WINDOW, 2 * WINDOW, 20) == [True]
    assert polled(line, 2 * WINDOW, 4 * WINDOW, 1) == [], "4 %: less than it takes to begin, more than it takes to end"
    assert polled(line, 4 * WINDOW, 6 * WINDOW, 0) == [False]
    assert polled(line, 6 * WINDOW, 8 * WINDOW, 1) == [], "it does not come and go"
    assert polled(line, 8 * WINDOW, 10 * WINDOW, 2) == [True]


def test_polls_that_lack_a_shape_count_and_a_gap_without_polls_is_none() -> None:
    line = Overload([PERIOD], 0)
    for now_ms in range(0, WINDOW + PERIOD, PERIOD):
        line.due(now_ms, "no-shape")
    assert (line.changed(WINDOW + PERIOD), line.active) == (True, True)
    assert (line.load(WINDOW).skipped, line.load(WINDOW).share) == (0, 1.0)
    assert (line.changed(9 * WINDOW), line.active) == (True, False), "the line is down: nothing was due"


def test_a_seldom_polled_line_is_looked_at_for_five_of_its_periods() -> None:
    line = Overload([900_000, 60_000], 0)
    assert line.window_ms == 5 * 900_000
    line.due(0, "skipped")
    assert not line.changed(WINDOW)


class Watch:
    """The alarm of a line of three slow meters."""

    def __init__(self) -> None:
        self.reported: list[Alarm] = []
        meters = [meter(name, unit, PERIOD) for unit, name in enumerate("abc", start=1)]
        self.spec = replace(tcp_line(502, *meters), overload_after_ms=10_000)
        self.alarm = OverloadAlarm(self.spec, LineAlarms(self.spec, self.reported.append))

    async def over(self, to_ms: int, poll: Poll) -> None:
        for now_ms in range(0, to_ms, 500):
            self.alarm.made("a", now_ms, 0.9)
            self.alarm.over(poll, now_ms)
            await self.alarm.look(now_ms)


def overloads(poll: Poll) -> list[Alarm]:
    line = Watch()
    asyncio.run(line.over(20_000, poll))
    return [alarm for alarm in line.reported if alarm.raised]


def test_only_want_of_time_or_shapes_is_overload() -> None:
    block = RegisterBlock.over(3, 0, 2, ())
    partly = Poll("a", 0, failures=(BlockFailure(block, "no-shape", "no free shape"),))
    for poll in (Poll("a", 0, missed="skipped"), Poll("a", 0, missed="no-shape"), partly):
        (alarm,) = overloads(poll)
        assert (alarm.code, alarm.meter) == ("line-overloaded", None)
        assert isinstance(alarm.sentence, Message)
        assert (alarm.sentence.facts["share_percent"], alarm.sentence.facts["window_ms"]) == ("100", 10_000)
        assert alarm.sentence.facts["periods"]
    for reason in ("line-down", "backoff", "asleep", "stopped", "timeout", "refused", "exchanged", None):
        assert overloads(Poll("a", 0, missed=reason)) == []


def test_what_an_earlier_worker_of_the_line_has_raised_is_over_after_a_window_without_it() -> None:
    line = Watch()
    asyncio.run(line.over(20_000, Poll("a", 0)))
    assert [(alarm.code, alarm.raised) for alarm in line.reported] == [("line-overloaded", False)]


def twelve() -> LineSpec:
    return tcp_line(502, *(meter(f"m{unit}", unit, PERIOD) for unit in range(1, 13)))


def test_the_shortest_period_is_that_of_the_budget_at_the_times_measured() -> None:
    line = twelve()
    assert shortest_periods(line) == (PERIOD,) * 12, "nobody knows how long they take over TCP"
    times = device_times(line, {f"m{unit}": 300.0 for unit in range(1, 12)})
    assert times["m12"] == times["m1"], "one that was never polled is as slow as the others"
    every_ms = shortest_periods(line, times)
    assert every_ms is not None
    assert 12 * 300 / every_ms[0] <= MEASURED_FULL < 12 * 300 / (every_ms[0] - 100)

    def at(ms: int) -> LineSpec:
        return replace(line, meters=tuple(replace(one, period_ms=ms) for one in line.meters))

    assert carries(at(every_ms[0]), times)
    assert not carries(at(every_ms[0] - 100), times)
    assert budget(line, times).share > 1.0


def test_the_alarm_names_the_line_the_share_and_the_period() -> None:
    alarm = overloaded(twelve(), Load(WINDOW, 1800, 1440, 0, {f"m{unit}": 300.0 for unit in range(1, 13)}))
    asks = tuple(Message("budget-meter-share", meter=f"m{n}", poll_ms=300, period_s="2") for n in (1, 2, 3))
    assert alarm == Message(
        "line-overloaded", line="line", share_percent="80", window_ms=WINDOW, skipped_n=1440, no_shape_n=0,
        need="1.80", asks=asks, periods=(Message("budget-every-all", every_s="3.8"),),
    )  # fmt: skip
    fits = overloaded(twelve(), Load(WINDOW, 1800, 180, 0, {f"m{unit}": 30.0 for unit in range(1, 13)}))
    assert (fits.code, fits.facts["need"], fits.facts["skipped_n"]) == ("line-overloaded-fits", "0.18", 180)


def test_a_dead_meter_that_gets_no_idle_time_is_in_back_off_and_not_skipped() -> None:
    schedule = Schedule({"a": 1000, "dead": 1000}, 0)
    for now in (0, 1000):
        schedule.finished("dead", now, False, 500)
    assert schedule.dead("dead")
    reasons = {(name, reason) for name, _, reason in schedule.settle(20_000)}
    assert reasons == {("a", "skipped"), ("dead", "backoff")}


def test_after_a_reload_it_ends_as_soon_as_the_new_worker_says_so() -> None:
    row = AlarmRow(1, "gateway", "line-overloaded", "line", "it skips", 0, 0)
    state = AlarmState(AlarmKey("gateway", "line-overloaded", "line"), kind_of("line-overloaded"), "it skips", row=row)
    state.unconfirm(0)
    assert not state.clear_due(WINDOW)
    state.condition_false(WINDOW)
    assert state.clear_due(WINDOW)
    state.condition_false(2 * WINDOW)
    assert state.off_delay_until_ms == WINDOW, "said again, it ends no later"
