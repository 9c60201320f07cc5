"""Energy of days and months by the registers of counters, beside an oracle that has never seen the code.

The oracle goes reading by reading over what was fed in, in plain fractions: a day's edge is an instant of the site's
clocks, and what was counted between two readings is counted if no break lies between them.
"""

from __future__ import annotations

# not quick: days of readings in a database
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest

from gateway.config.model import Config
from gateway.devices.knowledge.direction import Turned
from gateway.records import PollResult, Timestamp
from gateway.storage.database import Database
from gateway.totals.energy import Runs
from gateway.totals.periods import stretch, stretches
from gateway.totals.sources import Counters, Source
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.samples import Hands, Machine, site

METER, EVERY_MS, NEAR_MS = "export-main", 600_000, 600_000
BERLIN, KOLKATA = ZoneInfo("Europe/Berlin"), ZoneInfo("Asia/Kolkata")
SOURCE = Source(
    METER, "generation", EVERY_MS, None, {"p": Turned("active_power")},
    {"import": Counters(lack="no-counter"), "export": Counters(("energy",))},
)  # fmt: skip


class Read(NamedTuple):
    time_ms: int
    kwh: Decimal


def oracle(read: list[Read], from_ms: int, to_ms: int, *, running: bool) -> tuple[Fraction | None, bool]:
    """The energy in [from, to) in Wh, and whether it is whole; None: no reading lies in it."""

    def edge(at_ms: int) -> int | None:
        before = [n for n, one in enumerate(read) if one.time_ms < at_ms]
        behind = [n for n, one in enumerate(read) if one.time_ms >= at_ms]
        if before and at_ms - read[before[-1]].time_ms <= NEAR_MS:
            return before[-1]
        if behind and read[behind[0]].time_ms - at_ms <= NEAR_MS:
            return behind[0]
        if before and behind and read[before[-1]].kwh == read[behind[0]].kwh:
            return behind[0]
        return None

    inside = [n for n, one in enumerate(read) if from_ms <= one.time_ms < to_ms]
    begin = edge(from_ms)
    end = inside[-1] if running and inside and to_ms - read[inside[-1]].time_ms <= 3 * EVERY_MS else edge(to_ms)
    if not inside:
        return None, False
    first, last = begin if begin is not None else inside[0], end if end is not None else inside[-1]
    steps = pairwise(read[first : last + 1])
    total = sum((Fraction(later.kwh - earlier.kwh) * 1000 for earlier, later in steps), Fraction(0))
    return total, begin is not None and end is not None


class Plant(Hands):
    """A meter that is read every ten minutes, but for the polls that it misses; its counter begins anew with a flag."""

    def feed(
        self, polls: int, missed: set[int], rests: set[int], flags: Mapping[int, int], *, bad: bool = False
    ) -> list[Read]:
        found, kwh = list[Read](), Decimal(100_000)
        for n in range(polls):
            now = Timestamp.now(self.clock)
            kwh = Decimal(5) if n in flags and not bad else kwh if n in rests else kwh + Decimal(n % 37 + 1) / 8
            value = Value("energy", Decimal(7) if n in flags and bad else kwh, "kWh", flags.get(n, 0))
            reading = None if n in missed else Reading(now.time_ms, (value,))
            stamp, reason = (None, "timeout") if reading is None else (now, None)
            self.journal.poll(PollResult(METER, self.clock.schedule_ms(), reading, stamp, reason))
            if reading is not None:
                found.append(Read(now.time_ms, kwh))
            self.machine.passes(EVERY_MS // 1000)
            self.journal.keep_time()
        return found

    def reader(self) -> Database:
        self.journal.flush()
        return Database(self.store.path, read_only=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Config:
    return site(tmp_path_factory.mktemp("totals") / "site", {'every = "60s"': 'every = "10s"'})


@pytest.fixture
def plant(made: Config) -> Iterator[Callable[[datetime], Plant]]:
    plants: list[Plant] = []

    def begin(at: datetime) -> Plant:
        for file in made.data.iterdir() if made.data.exists() else ():
            file.unlink()
        machine = Machine()
        machine.wall_ms = round(at.timestamp() * 1000)
        plants.append(Plant(made, machine, seal_every_ms=10**9, commit_every_ms=10**9))
        plants[-1].store.run("PRAGMA synchronous = OFF")
        return plants[-1]

    yield begin
    for one in plants:
        one.store.close()


# Night: the inverter sleeps over midnight and its counter rests. Gap: nobody reads for three hours by day, and once
# over midnight while the counter goes on.
NIGHT, GAP, OVER = set(range(126, 176)), set(range(70, 88)), set(range(285, 312))


@pytest.mark.parametrize(
    ("begin", "hours", "days"),
    [
        (datetime(2026, 10, 23, 22, 5, tzinfo=BERLIN), {"2026-10-24": 24, "2026-10-25": 25, "2026-10-26": 24}, 3),
        (datetime(2026, 3, 27, 22, 5, tzinfo=BERLIN), {"2026-03-28": 24, "2026-03-29": 23, "2026-03-30": 24}, 3),
        (datetime(2026, 6, 1, 21, 55, tzinfo=KOLKATA), {"2026-06-02": 24, "2026-06-03": 24, "2026-06-04": 24}, 3),
    ],
)
def test_days_of_23_to_25_hours_are_those_of_the_oracle(
    plant: Callable[[datetime], Plant], begin: datetime, hours: Mapping[str, int], days: int
) -> None:
    one, zone = plant(begin), ZoneInfo(str(begin.tzinfo))
    read = one.feed(6 * 24 * days + 60, NIGHT | GAP | OVER, NIGHT | {176}, {})
    store, now_ms = one.reader(), one.machine.wall_ms
    lengths, whole = {}, {}
    for day in hours:
        span = stretch(day, now_ms, zone)
        found = Runs().figures(store, SOURCE, {day: span}, zone, now_ms)[day]["energy"]
        lengths[day] = (span[1] - span[0]) / 3_600_000
        expected, whole[day] = oracle(read, *span, running=False)
        assert (found.wh, not found.lacks) == (expected, whole[day]), (day, found)
    assert lengths == hours
    assert list(whole.values()) == [True, False, False], "the gap over midnight leaves both of its days open"
    kept = Runs()
    for late_ms in (0, 2 * 3_600_000, 26 * 3_600_000):  # the same later, when more of it is kept
        periods = stretches(now_ms + late_ms, zone)
        later = kept.figures(store, SOURCE, periods, zone, now_ms + late_ms)
        for name, (from_ms, to_ms) in periods.items():
            running = to_ms > now_ms + late_ms
            expected, is_whole = oracle(read, from_ms, min(to_ms, now_ms + late_ms), running=running)
            assert (later[name]["energy"].wh, not later[name]["energy"].lacks) == (expected, is_whole), (name, late_ms)
    store.close()


@pytest.mark.parametrize(
    ("flag", "why"),
    [
        (Quality.COUNTER_RESET, "reset"),
        (Quality.METER_EXCHANGED, "exchange"),
        (Quality.ROLLOVER, "rollover"),
        (0, "fell"),
    ],
)
def test_a_day_with_a_break_is_not_whole_and_counts_no_step_over_it(
    plant: Callable[[datetime], Plant], flag: int, why: str
) -> None:
    one = plant(datetime(2026, 6, 1, 22, 5, tzinfo=BERLIN))
    read = one.feed(200, set(), set(), {90: int(flag)})
    store, now_ms = one.reader(), one.machine.wall_ms
    span = stretch("2026-06-02", now_ms, BERLIN)
    found = Runs().figures(store, SOURCE, {"day": span}, BERLIN, now_ms)["day"]["energy"]
    assert found.lacks == (why,)
    assert found.wh is not None
    steps = [(later.time_ms, 1000 * Fraction(later.kwh - earlier.kwh)) for earlier, later in pairwise(read)]
    within = [step for time_ms, step in steps if span[0] <= time_ms < span[1] and step >= 0]
    hour = read[90].time_ms // 3_600_000
    beside = [step for time_ms, step in steps if time_ms // 3_600_000 in (hour, hour + 1) and step >= 0]
    assert sum(within) - sum(beside) <= found.wh <= sum(within), "only what lies beside the break is not counted"
    store.close()


def test_a_bad_value_is_a_gap_and_the_registers_around_it_say_what_was_counted(
    plant: Callable[[datetime], Plant],
) -> None:
    begin, found = datetime(2026, 6, 1, 22, 5, tzinfo=BERLIN), []
    for flags in ({}, {90: int(Quality.DEVICE_FAULT)}):
        one = plant(begin)
        one.feed(200, set(), set(), flags, bad=True)
        store, now_ms = one.reader(), one.machine.wall_ms
        span = stretch("2026-06-02", now_ms, BERLIN)
        found.append(Runs().figures(store, SOURCE, {"day": span}, BERLIN, now_ms)["day"]["energy"])
        store.close()
    assert found[0] == found[1]
    assert found[0].lacks == ()
