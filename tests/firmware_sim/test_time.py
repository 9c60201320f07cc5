"""The plant's time, its calendar and the wall clock: with a start, at another speed, where clocks are changed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from click.testing import CliRunner, Result

from firmware_sim.cli.app import main
from firmware_sim.clock import SimClock
from firmware_sim.errors import ScenarioError
from firmware_sim.meters.answers import Alter
from firmware_sim.meters.emission_station import Station, StationSpec
from firmware_sim.meters.p1_meter import P1Meter, P1Spec
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.hj212.messages import DAY, HOUR, Manners, Message, Messages, following, to_local

START = "2026-06-21T04:00+08:00"
START_MS = 1_781_985_600_000
AMSTERDAM = ZoneInfo("Europe/Amsterdam")
BUS = """
[[bus]]
name = "tcp"
type = "modbus-tcp"
port = 0
[[bus.meter]]
name = "main"
profile = "eastron-sdm630"
address = 1
"""


class Hand:
    """A monotonic clock that stands where it is put."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds


def test_the_plant_runs_at_its_speed_and_the_wall_clock_at_its_own() -> None:
    hand = Hand()
    clock = SimClock(hand, speed=60, start_ms=START_MS, unix_ms=1_000_000)
    assert (clock.now_ms(), clock.unix_ms(), clock.label_unix_at(0)) == (0, 1_000_000, START_MS)
    hand.seconds += 2.5
    assert (clock.now_ms(), clock.unix_ms()) == (150_000, 1_002_500)
    assert clock.label_unix_at(clock.now_ms()) == START_MS + 150_000
    assert clock.plant_ms_at(START_MS + 150_000) == 150_000
    assert (clock.wait_s(180_000), clock.wait_s(150_000), clock.wait_s(0)) == (0.5, 0, 0)


def test_without_start_and_speed_all_three_are_the_wall_clock() -> None:
    hand = Hand()
    clock = SimClock(hand, unix_ms=1_000_000)
    hand.seconds += 2.5
    assert clock.label_unix_at(clock.now_ms()) == clock.unix_ms() == 1_002_500


def test_a_plant_that_started_earlier_goes_on() -> None:
    """At twice the speed, ten seconds after its start; its calendar began at the wall clock of that start."""
    clock = SimClock(Hand(), speed=2, began_ms=990_000, unix_ms=1_000_000)
    assert (clock.now_ms(), clock.unix_ms(), clock.label_unix_at(clock.now_ms())) == (20_000, 1_000_000, 1_010_000)


def plant(tmp_path: Path, keys: str, *, at: str | None = None) -> PlantSpec:
    path = tmp_path / "plant.toml"
    path.write_text(f"[plant]\n{keys}\n{BUS}")
    return load_scenario(path, at=at).plant


@pytest.mark.parametrize("text", [f'"{START}"', "2026-06-21T04:00:00+08:00", '"2026-06-20T20:00:00Z"'])
def test_start_gives_the_moment_and_the_hour_of_its_offset(tmp_path: Path, text: str) -> None:
    spec = plant(tmp_path, f"start = {text}")
    assert spec.start_ms == START_MS
    assert spec.start_hour == (20 if "Z" in text else 4)


def test_at_replaces_both_keys_of_the_start(tmp_path: Path) -> None:
    for keys in ("start_hour = 3.0", 'start = "2027-01-01T00:00Z"', ""):
        spec = plant(tmp_path, keys, at="2026-06-21T04:36:36+08:00")
        assert (spec.start_ms, spec.start_hour) == (START_MS + 2_196_000, 4.61)
    assert (plant(tmp_path, "").start, plant(tmp_path, "").start_hour) == (None, 10.0)


@pytest.mark.parametrize(
    ("keys", "key", "hint"),
    [
        ('start = "2026-06-21T04:00"', "plant.start", "no offset"),
        ("start = 2026-06-21T04:00:00", "plant.start", "no offset"),
        ("start = 2026-06-21", "plant.start", "not allowed"),
        ('start = "tomorrow"', "plant.start", "no moment"),
        ('start = "1999-12-31T23:00Z"', "plant.start", "2000 to 2099"),
        ("start = 4", "plant.start", "not allowed"),
        (f'start = "{START}"\nstart_hour = 4.0', "plant", "remove start_hour"),
    ],
)
def test_a_wrong_start_is_refused_by_its_key(tmp_path: Path, keys: str, key: str, hint: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        plant(tmp_path, keys)
    assert refused.value.key.startswith(key)
    assert hint in str(refused.value)


def run(tmp_path: Path, *arguments: str) -> Result:
    path = tmp_path / "plant.toml"
    path.write_text(BUS)
    return CliRunner().invoke(main, ["run", str(path), "--for", "0", "--dir", str(tmp_path), *arguments])


@pytest.mark.parametrize("speed", ["0", "-1", "nan", "inf", "-inf", "1e9", "1e-9", "fast"])
def test_what_is_no_speed_is_refused(tmp_path: Path, speed: str) -> None:
    result = run(tmp_path, "--speed", speed)
    assert (result.exit_code, "--speed" in result.output) == (2, True)


@pytest.mark.parametrize("moment", ["2026-06-21T04:00", "noon", ""])
def test_a_start_without_offset_is_refused(tmp_path: Path, moment: str) -> None:
    result = run(tmp_path, "--at", moment)
    assert (result.exit_code, "--at" in result.output) == (2, True)


def test_a_plant_runs_from_another_start_at_another_speed(tmp_path: Path) -> None:
    assert run(tmp_path, "--at", START, "--speed", "60").exit_code == 0


@pytest.mark.parametrize(
    ("start", "seconds", "times"),
    [
        (datetime(2026, 10, 25, 0, 59, 30, tzinfo=UTC), (0, 1, 2), ["261025025930S", "261025020030W", "261025020130W"]),
        (datetime(2026, 3, 29, 0, 59, 30, tzinfo=UTC), (0, 1), ["260329015930W", "260329030030S"]),
        (datetime(2026, 12, 31, 22, 59, 30, tzinfo=UTC), (0, 1), ["261231235930W", "270101000030W"]),
    ],
)
def test_a_telegram_has_the_time_of_the_calendar(start: datetime, seconds: tuple[int, ...], times: list[str]) -> None:
    """Sixty times as fast: past midnight, and over both changes of clocks."""
    hand = Hand()
    clock = SimClock(hand, speed=60, start_ms=local(start))
    meter, seen = P1Meter(P1Spec(5, "X"), Plant(PlantSpec()), clock.label_unix_at), []
    for passed in seconds:
        hand.seconds = 1000.0 + passed
        seen.append(meter.telegram(clock.now_ms()).split(b"0-0:1.0.0(")[1][:13].decode())
    assert seen == times


def local(moment: datetime) -> int:
    return round(moment.timestamp() * 1000)


def test_a_day_has_as_many_hours_as_its_clocks_make_it() -> None:
    first = local(datetime(2026, 10, 24, 12, tzinfo=AMSTERDAM))
    days = [first]
    for _ in range(4):
        days.append(following(days[-1], 86_400_000, AMSTERDAM))
    hours = [(b - a) / 3_600_000 for a, b in pairwise(days)]
    assert hours == [12, 25, 24, 24]
    spring = local(datetime(2026, 3, 29, tzinfo=AMSTERDAM))
    assert following(spring, 86_400_000, AMSTERDAM) - spring == 23 * 3_600_000
    assert following(spring + 1, 1000, UTC) == spring + 1000


@pytest.mark.parametrize(("day", "step_s"), [((2026, 3, 29), 900), ((2026, 10, 25), 900), ((2026, 10, 25), 3600)])
def test_short_periods_go_on_evenly_where_clocks_are_changed(day: tuple[int, int, int], step_s: int) -> None:
    moment = local(datetime(*day, tzinfo=AMSTERDAM))
    for _ in range(5 * 3600 // step_s):
        later = following(moment, step_s * 1000, AMSTERDAM)
        assert later - moment == step_s * 1000
        assert to_local(later, AMSTERDAM) % (step_s * 1000) == 0
        moment = later


class Idle(Station):
    """A station that measures nothing, so that a day of the plant costs nothing."""

    def period(self, begin_ms: int, end_ms: int, alter: Callable[[int], Alter] | None = None) -> dict[str, str]:
        return {"span-Rtd": str(end_ms - begin_ms)}

    def moments(self, begin_ms: int, end_ms: int) -> list[int]:
        return []


class Hurried(SimClock):
    """A clock by which everything waited for is there at once."""

    def wait_s(self, until_ms: int) -> float:
        return 0.0


def test_the_messages_of_a_logger_follow_the_plant_over_a_changed_clock() -> None:
    """The hour that is there twice has two messages, the day has 25 hours."""
    start = datetime(2026, 10, 24, 23, 30, tzinfo=AMSTERDAM)
    made: list[Message] = []
    manners = Manners({HOUR: 3_600_000, DAY: 86_400_000}, AMSTERDAM)

    async def until_the_day_is_over() -> None:
        clock = Hurried(Hand(), start_ms=local(start))
        messages = Messages(Idle(StationSpec("s", "1"), Plant(PlantSpec())), manners, (), clock, made.append)
        tasks = [asyncio.create_task(messages.make(cn)) for cn in (HOUR, DAY)]
        for _ in range(24):
            await asyncio.sleep(0)
        for task in tasks:
            task.cancel()

    asyncio.run(until_the_day_is_over())
    hours = [message for message in made if message.cn == HOUR]
    labels = [message.label[8:10] for message in hours]
    assert labels[:6] == ["00", "01", "02", "02", "03", "04"]
    day = next(message for message in made if message.cn == DAY)
    span = str(25 * 3_600_000)
    assert (day.label, day.at_ms, day.texts) == ("20261025000000", int(span) + 1_800_000, {"span-Rtd": span})
    assert [message.at_ms for message in hours[:3]] == [5_400_000, 9_000_000, 12_600_000]
    assert start + timedelta(milliseconds=hours[0].at_ms) == datetime(2026, 10, 25, 1, tzinfo=AMSTERDAM)
