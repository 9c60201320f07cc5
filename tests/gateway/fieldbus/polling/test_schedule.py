"""The schedule on a made-up clock: every due poll once, earliest deadline first, and what dead meters may cost."""

from __future__ import annotations

# not quick: schedules by chance, 1 s of CPU
import itertools
from collections import Counter
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.fieldbus.polling.schedule import Schedule

ANCHOR = 1_000_000
Report = tuple[str, int, str]


def drive(
    schedule: Schedule,
    until: int,
    poll: Callable[[str, int, int], tuple[bool | None, int]],
    line: Callable[[int], bool] = lambda now: True,
    waits_until: Callable[[str, int, int], int] = lambda name, due, now: 0,
) -> list[tuple[int, Report]]:
    """Run a line's worker. ``poll(meter, due, now)``: what was heard and how long it took; ``line(now)``: it is up;
    ``waits_until(meter, due, now)``: until when a poll waits that was begun and has no shape for its rest, 0: it ended.

    Gives (time of the report, report) in the order of reports; polls that were made are reported as ``done``.
    """
    reports: list[tuple[int, Report]] = []
    now, up, waiting = ANCHOR, True, dict[str, int]()
    while now < until:
        if line(now) != up:
            up = not up
            for name, due in waiting.items():
                schedule.finished(name, now, None, 1)
                reports.append((now, (name, due, "cut off")))
            waiting.clear()
            (schedule.line_up if up else schedule.line_down)()
        reports += [(now, missed) for missed in schedule.settle(now)]
        if up and (chosen := schedule.choose(now)):
            name, due = chosen
            alive, cost = poll(name, due, now)
            now += cost
            assert waiting.get(name, due) == due
            if (later := waits_until(name, due, now)) > now and not schedule.dead(name):
                waiting[name] = due
                schedule.waits(name, due, now, later)
                continue
            waiting.pop(name, None)
            schedule.finished(name, now, alive, cost)
            reports.append((now, (name, due, "done")))
        else:
            assert schedule.wake(now) > now
            now = min(schedule.wake(now), now + 500) if not up else schedule.wake(now)
    return reports


def reasons(reports: list[tuple[int, Report]], name: str) -> Counter[str]:
    return Counter(reason for _, (meter, _, reason) in reports if meter == name)


lines = st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([100, 250, 1000, 3000, 60_000]), min_size=1)


@settings(max_examples=200)
@given(lines, st.data())
def test_every_due_poll_is_reported_once_and_in_order(periods: dict[str, int], data: st.DataObject) -> None:
    outcomes = st.tuples(st.sampled_from([True, True, True, False, False, None]), st.integers(1, 1500))
    fates = data.draw(st.lists(outcomes, min_size=1, max_size=30))
    downs = data.draw(st.lists(st.booleans(), min_size=1, max_size=10))
    waits = data.draw(st.lists(st.sampled_from([0, 0, 0, 30, 700, 2500]), min_size=1, max_size=10))
    turn, other = iter(range(10**9)), iter(range(10**9))
    schedule = Schedule(periods, ANCHOR)
    until = ANCHOR + 120_000
    reports = drive(
        schedule,
        until,
        lambda name, due, now: fates[next(turn) % len(fates)],
        lambda now: downs[(now - ANCHOR) // 7000 % len(downs)],
        lambda name, due, now: min(now + waits[next(other) % len(waits)], due + periods[name] - 1),
    )
    for name, period in periods.items():
        dues = [due for _, (meter, due, _) in reports if meter == name]
        assert dues == [ANCHOR + k * period for k in range(len(dues))], "once each, in order, none left out"
        assert not dues or dues[-1] >= until - 2000 - 2 * period, "and none kept back"
    for at, (name, due, reason) in reports:
        assert at >= due, "never before it is due"
        if reason == "skipped":
            # behind the poll before it: that one's two parts, and another poll while it waited in between
            assert at <= due + 2 * periods[name] + 3 * 1500


def test_a_poll_that_waits_leaves_the_line_to_others_and_is_chosen_again_in_time() -> None:
    schedule = Schedule({"slow": 1000, "fast": 100}, ANCHOR)
    assert schedule.choose(ANCHOR) == ("fast", ANCHOR)
    schedule.finished("fast", ANCHOR + 10, True, 10)
    assert schedule.choose(ANCHOR + 10) == ("slow", ANCHOR)
    schedule.waits("slow", ANCHOR, ANCHOR + 20, ANCHOR + 350)
    assert schedule.wake(ANCHOR + 20) == ANCHOR + 100
    for due in (100, 200, 300):
        assert schedule.settle(ANCHOR + due) == []
        assert schedule.choose(ANCHOR + due) == ("fast", ANCHOR + due)
        schedule.finished("fast", ANCHOR + due + 10, True, 10)
    assert schedule.wake(ANCHOR + 310) == ANCHOR + 350
    assert schedule.choose(ANCHOR + 349) is None
    assert schedule.choose(ANCHOR + 350) == ("slow", ANCHOR)
    schedule.finished("slow", ANCHOR + 360, True, 20)
    assert schedule.wake(ANCHOR + 360) == ANCHOR + 400
    assert schedule.choose(ANCHOR + 400) == ("fast", ANCHOR + 400)
    assert schedule.choose(ANCHOR + 410) is None, "it is over"


@given(st.lists(st.sampled_from([500, 1000, 1500, 4000]), min_size=1, max_size=6), st.integers(1, 60))
def test_a_line_with_room_for_all_misses_nothing(periods: list[int], share: int) -> None:
    """Any load of at most 60 %, in polls much shorter than the shortest period, is scheduled without a miss."""
    cost = max(1, int(share / 100 / sum(1 / p for p in periods)))
    schedule = Schedule({f"m{i}": p for i, p in enumerate(periods)}, ANCHOR)
    reports = drive(schedule, ANCHOR + 60_000, lambda name, due, now: (True, min(cost, 100)))
    assert {reason for _, (_, _, reason) in reports} == {"done"}
    for at, (name, due, _) in reports:
        assert at <= due + periods[int(name[1:])]


def test_the_earliest_deadline_goes_first() -> None:
    schedule = Schedule({"slow": 10_000, "fast": 500}, ANCHOR)
    schedule.settle(ANCHOR)
    assert schedule.choose(ANCHOR) == ("fast", ANCHOR)
    schedule.finished("fast", ANCHOR + 10, True, 10)
    assert schedule.choose(ANCHOR + 10) == ("slow", ANCHOR)


def test_an_overdue_poll_is_skipped_and_never_queued() -> None:
    schedule = Schedule({"a": 1000}, ANCHOR)
    assert schedule.settle(ANCHOR + 2500) == [("a", ANCHOR, "skipped"), ("a", ANCHOR + 1000, "skipped")]
    assert schedule.choose(ANCHOR + 2500) == ("a", ANCHOR + 2000)


def test_one_silence_is_no_death() -> None:
    schedule = Schedule({"a": 1000, "b": 1000}, ANCHOR)
    made: list[tuple[str, int]] = []

    def poll(name: str, due: int, now: int) -> tuple[bool, int]:
        made.append((name, due))
        return due % 5000 != 0 or name == "b", 100  # every fifth poll of a is lost

    drive(schedule, ANCHOR + 60_000, poll)
    assert sum(name == "a" for name, _ in made) == 60


def test_a_dead_meter_costs_one_percent_and_comes_back_within_a_minute() -> None:
    schedule = Schedule({"dead": 1000, **{f"m{i}": 1000 for i in range(4)}}, ANCHOR)
    probes: list[int] = []

    def poll(name: str, due: int, now: int) -> tuple[bool, int]:
        if name != "dead":
            return True, 120
        probes.append(now)
        return False, 550

    reports = drive(schedule, ANCHOR + 3_600_000, poll)
    gaps = [b - a for a, b in itertools.pairwise(probes)]
    assert max(gaps) <= 60_000
    assert 550 * len(probes) <= 0.011 * 3_600_000
    assert set(reasons(reports, "dead")) == {"done", "backoff"}
    backed_off = [(at, due) for at, (name, due, reason) in reports if name == "dead" and reason == "backoff"]
    assert all(at - due <= 1000 for at, due in backed_off), "told within its period, not when the probe comes"


def test_a_probe_in_idle_time_costs_nobody_and_a_meter_that_returns_is_asked_within_two_periods() -> None:
    periods = {"gone": 2000, **{f"m{i}": 2000 for i in range(4)}}
    away, back = ANCHOR + 10_000, ANCHOR + 90_000
    schedule, heard = Schedule(periods, ANCHOR), list[int]()

    def poll(name: str, due: int, now: int) -> tuple[bool, int]:
        if name != "gone" or not away <= now < back:
            heard.extend([now] if name == "gone" and now >= back else [])
            return True, 100
        return False, 550

    reports = drive(schedule, ANCHOR + 100_000, poll)
    assert heard[0] <= back + 4000
    assert reasons(reports, "gone").keys() == {"done"}, "every poll of it had idle time"
    for at, (name, due, reason) in reports:
        assert name == "gone" or (reason == "done" and at <= due + 1000), "and nobody waited for it"


def test_a_probe_that_would_run_into_a_due_poll_is_no_idle_time() -> None:
    schedule, made = Schedule({"dead": 2000, "live": 500}, ANCHOR), list[int]()

    def poll(name: str, due: int, now: int) -> tuple[bool, int]:
        made.extend([now] if name == "dead" else [])
        return (True, 100) if name == "live" else (False, 390)

    drive(schedule, ANCHOR + 600_000, poll)
    assert 390 * len(made) <= 0.013 * 600_000


def test_many_dead_meters_share_the_one_percent_up_to_the_cap() -> None:
    periods = {"live": 1000, **{f"d{i}": 1000 for i in range(5)}}
    schedule = Schedule(periods, ANCHOR)
    probes: list[str] = []

    def poll(name: str, due: int, now: int) -> tuple[bool, int]:
        if name != "live":
            probes.append(name)
        return (True, 550) if name == "live" else (False, 500)

    drive(schedule, ANCHOR + 3_600_000, poll)
    assert 500 * len(probes) <= 0.012 * 3_600_000
    assert set(Counter(probes)) == set(periods) - {"live"}
    schedule = Schedule(periods, ANCHOR, cap_ms=20_000)
    probes.clear()
    drive(schedule, ANCHOR + 3_600_000, poll)
    assert min(Counter(probes).values()) >= 3_600_000 / 21_500 - 3, "the cap holds even where it costs more"


@pytest.mark.parametrize("probe", [530, 545])
@pytest.mark.parametrize("cost", [160, 172, 178])
def test_a_dead_sixth_meter_leaves_the_others_their_schedule(cost: int, probe: int) -> None:
    """Five meters of 172 ms, or a little more or less, at 1 s, and a dead one whose probe costs 530 ms. A probe then
    costs two polls; a third one where the last poll of its cycle was made late and pushed the next cycle, or where the
    probe falls due in the gap behind a cycle (at 545 ms: 54.5 s later) and runs into the next one."""
    schedule = Schedule({**{f"m{i}": 1000 for i in range(5)}, "dead": 1000}, ANCHOR)
    reports = drive(
        schedule, ANCHOR + 300_000, lambda name, due, now: (False, probe) if name == "dead" else (True, cost)
    )
    settled = [(at, r) for at, r in reports if r[0] != "dead" and r[1] >= ANCHOR + 10_000]
    kept = sum(reason == "done" and at <= due + 1000 for at, (_, due, reason) in settled)
    assert kept / len(settled) >= 0.991


def test_on_an_overloaded_line_nobody_starves() -> None:
    schedule = Schedule({f"m{i}": 1000 for i in range(5)}, ANCHOR)
    reports = drive(schedule, ANCHOR + 60_000, lambda name, due, now: (True, 400))
    done = Counter(name for _, (name, _, reason) in reports if reason == "done")
    assert min(done.values()) >= 0.7 * max(done.values())
    assert len(done) == 5


def test_a_dead_meter_is_probed_on_a_full_line_too() -> None:
    schedule = Schedule({"dead": 1000, "a": 1000, "b": 1000}, ANCHOR)
    tried: list[int] = []

    def poll(name: str, due: int, now: int) -> tuple[bool, int]:
        if name == "dead":
            tried.append(now)
        return name != "dead", 499

    drive(schedule, ANCHOR + 600_000, poll)
    assert len(tried) >= 9


@pytest.mark.parametrize("count", [1, 4])
def test_when_all_are_silent_the_line_is_probed_every_two_seconds_in_turn(count: int) -> None:
    names = [f"m{i}" for i in range(count)]
    schedule = Schedule(dict.fromkeys(names, 1000), ANCHOR)
    tried: list[tuple[str, int]] = []
    back = ANCHOR + 120_000

    def poll(name: str, due: int, now: int) -> tuple[bool, int]:
        tried.append((name, now))
        return now >= back, 100

    reports = drive(schedule, ANCHOR + 180_000, poll)
    assert schedule.fault is False
    fault = [(name, now) for name, now in tried if ANCHOR + 10_000 <= now < back]
    assert all(2000 <= b - a <= 3100 for (_, a), (_, b) in itertools.pairwise(fault))
    assert [name for name, _ in fault[:count]] == [name for name, _ in fault[count : 2 * count]]
    after = [now for _, now in tried if now >= back]
    assert after[0] - back <= 3100
    assert len([now for now in after if now <= back + 10_000]) >= 6 * count, "the first answer clears every back-off"
    assert "line-down" in reasons(reports, names[-1])
    assert "backoff" not in reasons(reports, names[-1])


def test_while_the_port_is_gone_polls_are_told_when_due_and_afterwards_all_are_asked() -> None:
    schedule = Schedule({"a": 1000, "b": 250}, ANCHOR)
    reports = drive(
        schedule,
        ANCHOR + 60_000,
        lambda name, due, now: (True, 20),
        lambda now: not ANCHOR + 10_000 <= now < ANCHOR + 40_000,
    )
    gone = [(at, due) for at, (_, due, reason) in reports if reason == "line-down"]
    assert len(gone) == pytest.approx(30 + 120, abs=3)
    assert all(at - due <= 500 for at, due in gone)
    assert [r for at, (_, _, r) in reports if at >= ANCHOR + 40_500] == ["done"] * len(
        [r for at, (_, _, r) in reports if at >= ANCHOR + 40_500]
    )


def test_a_poll_that_was_not_heard_out_proves_nothing() -> None:
    schedule = Schedule({"a": 1000}, ANCHOR)
    drive(schedule, ANCHOR + 10_000, lambda name, due, now: (None, 10))
    assert not schedule.dead("a")
