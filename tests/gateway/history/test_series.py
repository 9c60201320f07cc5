"""What charts are given: enough and not too much, gaps as gaps, and the energy of hours from registers."""

from __future__ import annotations

# not quick: months of minutes for each test
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from gateway.clock import HOUR_MS, MINUTE_MS
from gateway.config.model import Config
from gateway.history.energy import Energy, energy_by_hour, energy_of
from gateway.history.series import Covered, covered, history
from gateway.local_calendar import days, moment_ms
from gateway.records import PollResult, Timestamp
from gateway.storage.capacity.pruning import prune_summaries
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.samples import START_S, Hands, Machine, site

METER, BEGIN_MS = "export-main", START_S * 1000
EVERY_S = 60


class Plant(Hands):
    """A meter that is polled once a minute, if nothing else is said."""

    def run(self, polls: int, values: Callable[[int], tuple[Value, ...] | None], every_s: int = EVERY_S) -> None:
        for n in range(polls):
            now = Timestamp.now(self.clock)
            read = values(n)
            reading = Reading(now.time_ms, read) if read else None
            due_ms = self.clock.schedule_ms()
            reason = None if reading else "timeout"
            self.journal.poll(PollResult(METER, due_ms, reading, now if reading else None, reason))
            self.machine.passes(every_s)
            self.journal.keep_time()

    def reader(self) -> Database:
        self.journal.flush()
        return Database(self.store.path, read_only=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return site(tmp_path_factory.mktemp("history") / "site", {'every = "60s"': 'every = "10s"'})


@pytest.fixture
def plant(made: Config) -> Iterator[Plant]:
    for file in made.data.iterdir() if made.data.exists() else ():
        file.unlink()
    plant = Plant(made)
    plant.store.run("PRAGMA synchronous = OFF")
    yield plant
    plant.store.close()


def _power(n: int) -> tuple[Value, ...]:
    return (Value("power", Decimal(n), "W"), Value("serial", "abc"))


def test_a_short_time_is_drawn_from_readings_and_a_gap_is_one(plant: Plant) -> None:
    plant.run(30, lambda n: None if 10 <= n < 20 else _power(n))
    store = plant.reader()
    series = history(store, METER, ["power"], BEGIN_MS, BEGIN_MS + HOUR_MS)
    assert (series.made_of, series.step_ms) == ("reading", 0)
    power = series.courses["power"]
    assert power.mean == [float(n) for n in range(10)] + [None] + [float(n) for n in range(20, 30)]
    assert power.last[0] == Decimal(0)
    assert power.verdict[9:12] == ["good", None, "good"]
    assert list(series.courses) == ["power"]
    everything = history(store, METER, None, BEGIN_MS, BEGIN_MS + HOUR_MS)
    assert everything.courses["power"] == power
    assert everything.readings == series.readings
    only = history(store, METER, ["another"], BEGIN_MS, BEGIN_MS + HOUR_MS)
    assert (only.readings, dict(only.courses)) == (series.readings, {})
    assert everything.courses["serial"].last[0] == "abc"
    assert everything.courses["serial"].mean[0] is None
    store.close()


@pytest.mark.parametrize(
    ("made_of", "step_ms", "before_ms", "long_ms", "most"),
    [
        ("minute", MINUTE_MS, 0, 4 * HOUR_MS, 300),
        ("minute", MINUTE_MS, 30_000, HOUR_MS, 62),
        ("minute", 10 * MINUTE_MS, 0, 5 * HOUR_MS, 50),
        ("hour", HOUR_MS, 90 * HOUR_MS, 100 * HOUR_MS, 500),
        ("hour", 2 * HOUR_MS, 90 * HOUR_MS, 100 * HOUR_MS, 60),
        ("hour", 48 * HOUR_MS, 0, 300 * HOUR_MS, 10),
    ],
)
def test_a_long_time_is_drawn_from_minutes_and_from_hours(
    plant: Plant, made_of: str, step_ms: int, before_ms: int, long_ms: int, most: int
) -> None:
    plant.run(330 * 3, lambda n: None if 360 <= n < 720 else _power(n), every_s=20)
    store = plant.reader()
    begin_ms = BEGIN_MS - before_ms
    series = history(store, METER, ["power"], begin_ms, begin_ms + long_ms, most)
    store.close()
    power = series.courses["power"]
    assert (series.made_of, series.step_ms) == (made_of, step_ms)
    assert series.times == list(range(begin_ms - begin_ms % step_ms, begin_ms + long_ms, step_ms))
    assert len(series.times) <= most
    for at, low, high, count in zip(series.times, power.low, power.high, power.count, strict=True):
        there = [n for n in range(990) if not 360 <= n < 720 and at <= BEGIN_MS + n * 20_000 < at + step_ms]
        there = [n for n in there if BEGIN_MS + n * 20_000 < -(-(begin_ms + long_ms) // MINUTE_MS) * MINUTE_MS]
        assert (low, high, count) == ((there[0], there[-1], len(there)) if there else (None, None, 0))
    assert power.count == series.readings


def test_missed_polls_are_counted_by_reason(plant: Plant) -> None:
    plant.run(200, lambda n: None if n % 3 == 0 else _power(n))
    store = plant.reader()
    series = history(store, METER, ["power"], BEGIN_MS, BEGIN_MS + 4 * HOUR_MS, most=100)
    assert series.made_of == "minute"
    assert sum(missed.get("timeout", 0) for missed in series.missed) >= 65
    assert sum(series.readings) == 133
    store.close()


def test_where_minutes_are_gone_hours_are_drawn(plant: Plant) -> None:
    plant.run(150, _power)
    plant.journal.flush()
    while prune_summaries(plant.store, BEGIN_MS + 100 * HOUR_MS, 0):
        pass
    store = plant.reader()
    series = history(store, METER, ["power"], BEGIN_MS, BEGIN_MS + HOUR_MS, 30)
    assert series.made_of == "hour"
    assert series.courses["power"].low == [0.0]
    assert series.courses["power"].high == [59.0]
    store.close()


def test_energy_is_the_difference_of_registers_and_hours_add_up(plant: Plant) -> None:
    plant.run(200, lambda n: (Value("energy", Decimal(n * 5 + 1000).scaleb(-2), "kWh"),))
    store = plant.reader()
    hours = energy_by_hour(store, METER, "energy", BEGIN_MS, BEGIN_MS + 5 * HOUR_MS)
    assert [h.energy for h in hours] == [Decimal("2.95"), Decimal("3.00"), Decimal("3.00"), Decimal("1.00"), None]
    assert [h.whole for h in hours] == [True, True, True, False, False]
    assert hours[4].breaks == ("no-reading",)
    assert (hours[1].begin_ms, hours[1].end_ms) == (BEGIN_MS + 59 * MINUTE_MS, BEGIN_MS + 119 * MINUTE_MS)
    assert hours[0].unit == "kWh"
    store.close()


@pytest.mark.parametrize(
    ("flag", "value", "words"),
    [
        (Quality.COUNTER_RESET, 3, ("reset",)),
        (Quality.ROLLOVER, 3, ("rollover",)),
        (Quality.METER_EXCHANGED, 70_000, ("exchange",)),
        (Quality.DEVICE_FAULT, 85, ("bad-quality",)),
        (0, 3, ("fell",)),
        (1 << 40, 85, ("bad-quality",)),
    ],
)
def test_what_breaks_the_line_of_a_counter(plant: Plant, flag: int, value: int, words: tuple[str, ...]) -> None:
    def energy(n: int) -> tuple[Value, ...]:
        if n == 85:
            return (Value("energy", value, "Wh", int(flag)),)
        return (Value("energy", n if n < 85 or value == 85 else value + n - 85, "Wh"),)

    plant.run(190, energy)
    store = plant.reader()
    first, broken, after = energy_by_hour(store, METER, "energy", BEGIN_MS, BEGIN_MS + 3 * HOUR_MS)
    assert (first.energy, first.breaks) == (59, ())
    assert (broken.energy, broken.breaks) == (None, words)
    assert after.energy == (59 if words == ("bad-quality",) else 60)  # the last register of the hour before is doubted
    store.close()


def test_an_entry_without_a_value_breaks_no_line(plant: Plant) -> None:
    plant.run(130, lambda n: (Value("energy", None if n == 70 else n, "Wh", int(n == 70)), Value("u", 230, "V")))
    store = plant.reader()
    hours = energy_by_hour(store, METER, "energy", BEGIN_MS, BEGIN_MS + 2 * HOUR_MS)
    assert [h.energy for h in hours] == [59, 60]
    assert hours[1].quality == 1
    store.close()


def test_an_hour_behind_a_gap_begins_with_its_own_register(plant: Plant) -> None:
    plant.run(60, lambda n: (Value("energy", n, "Wh"),))
    plant.run(90, lambda _: None)
    plant.run(60, lambda n: (Value("energy", 150 + n, "Wh"),))
    store = plant.reader()
    hours = energy_by_hour(store, METER, "energy", BEGIN_MS, BEGIN_MS + 4 * HOUR_MS)
    assert [(h.energy, h.whole) for h in hours] == [(59, True), (None, False), (29, False), (30, False)]
    assert isinstance(hours[2], Energy)
    assert hours[2].begin_ms == BEGIN_MS + 150 * MINUTE_MS
    store.close()


BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")


@pytest.mark.parametrize(("zone", "lengths_h"), [(BERLIN, [24, 25, 24]), (UTC, [24, 24, 24]), (KOLKATA, [24, 24, 24])])
def test_days_of_energy_are_calendar_days_of_23_to_25_hours(made: Config, zone: tzinfo, lengths_h: list[int]) -> None:
    machine = Machine()
    begin_ms = moment_ms(datetime(2026, 10, 24), zone)
    machine.wall_ms = begin_ms - HOUR_MS
    for file in made.data.iterdir() if made.data.exists() else ():
        file.unlink()
    plant = Plant(made, machine, seal_every_ms=24 * HOUR_MS, commit_every_ms=24 * HOUR_MS)
    plant.store.run("PRAGMA synchronous = OFF")
    plant.run(6 * 76, lambda n: (Value("energy", n, "Wh"), Value("power", n, "W")), every_s=600)
    store = plant.reader()
    stretches = list(days(begin_ms, begin_ms + 72 * HOUR_MS, zone))
    energy = energy_of(store, METER, "energy", stretches)
    sums = [sum(int(part.energy or 0) for part in parts) for parts in energy]
    assert [len(parts) for parts in energy] == ([n + (zone is KOLKATA) for n in lengths_h])
    assert sums == [6 * n for n in lengths_h], "every 10 min one Wh more"
    assert all(part.whole for parts in energy for part in parts)
    series = history(store, METER, ["power"], begin_ms, stretches[-1][1], 5, zone)
    assert series.times == [begin for begin, _ in stretches]
    plant.store.close()
    store.close()


def _coverage(plant: Plant) -> list[Coverage]:
    return [record.body for record in plant.records(METER) if isinstance(record.body, Coverage)]


def test_charts_count_missed_polls_from_coverage_or_say_nothing(plant: Plant) -> None:
    plant.run(60, lambda n: None if 10 <= n < 20 else _power(n))
    store, ended = plant.reader(), _coverage(plant)
    begin_ms, end_ms = ended[0].from_ms, ended[-1].to_ms
    for most, made_of in ((100, "reading"), (30, "minute")):
        series = history(store, METER, ["power"], begin_ms, end_ms, most)
        assert series.made_of == made_of
        assert covered(store, series) == Covered(begin_ms, end_ms, sum(sum(one.missed.values()) for one in ended))
    unknown = history(store, METER, ["power"], ended[3].to_ms + 1, ended[4].to_ms - 1)
    assert covered(store, unknown) is None, "no coverage record ends in it"
    store.close()


def test_a_downtime_that_began_before_the_chart_is_counted_with_its_own_time(plant: Plant, made: Config) -> None:
    plant.run(10, _power)
    plant.journal.finish()
    plant.machine.passes(24 * 3600)
    plant.store.close()
    later = Plant(made, plant.machine, epoch=bytes(reversed(range(8))))
    later.run(10, _power)
    store, stopped = later.reader(), next(one for one in _coverage(later) if "stopped" in one.missed)
    now_ms = later.clock.now_ms()
    for most in (100, 15):
        coverage = covered(store, history(store, METER, ["power"], now_ms - HOUR_MS // 4, now_ms, most))
        assert coverage is not None
        assert coverage.missed >= stopped.missed["stopped"] > 24 * 359
        assert coverage.from_ms == stopped.from_ms, "not called missed within the chart's time"
    store.close()
    later.store.close()
