"""What the database knows of the power of a device that may sleep, before and after a restart."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import HOUR_MS
from gateway.config.model import Config
from gateway.devices.profile import load_profile
from gateway.records import MissedPoll, NotRecorded, PollResult, Timestamp
from gateway.runtime.power_history import PowerHistory, recall, sleep_point
from gateway.storage.database import Database
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support.epochs import running, until
from tests.support.samples import Hands, Machine, site

PV, POWER = "pv-inverter", "active_power"
NIGHT_W, FULL_W = 3, 8400


@pytest.fixture
def loaded(tmp_path: Path) -> Config:
    """A site whose inverter has no route, as one without power."""
    return site(tmp_path / "site", {'host = "127.0.0.1"': 'host = "127.255.255.255"'})


class Plant(Hands):
    """An inverter whose polls a test makes, one every 10 s."""

    def poll_pv(self, power: float | None, reason: str = "timeout", quality: int = 0) -> None:
        due_ms = self.anchor_ms + self.polls * self.EVERY_MS
        if power is None:
            self.journal.poll(PollResult(PV, due_ms, None, None, reason))
        else:
            now = Timestamp.now(self.clock)
            values = (Value(POWER, power, "W", quality),)
            self.journal.poll(PollResult(PV, due_ms, Reading(now.time_ms, values), now))
        self.polls += 1
        self.machine.passes(self.EVERY_MS / 1000)
        self.journal.keep_time()

    def unpolled(self, count: int) -> None:
        """A number of polls are not made, for no reason that is known."""
        self.polls += count
        self.machine.passes(count * self.EVERY_MS / 1000)

    def hours(self, powers: Sequence[float]) -> None:
        """One poll in each of so many hours; the others are never due."""
        for power in powers:
            self.poll_pv(power)
            self.unpolled(HOUR_MS // self.EVERY_MS - 1)
            self.journal.keep_time()


def known(loaded: Config) -> tuple[float | None, float | None, int | None]:
    store = Database(loaded.database, read_only=True)
    try:
        return recall(store.summaries, PV, POWER)
    finally:
        store.close()


def test_last_and_greatest_power_are_those_of_the_database(loaded: Config) -> None:
    plant = Plant(loaded)
    for power in (100, -8400, 4000.5, NIGHT_W):
        plant.poll_pv(power)
    plant.unpolled(12)
    plant.journal.keep_time()
    for power in (50, NIGHT_W):
        plant.poll_pv(power)
    plant.end()
    assert known(loaded) == (3.0, 8400.0, None)


def test_a_bad_value_is_not_the_greatest(loaded: Config) -> None:
    plant = Plant(loaded)
    plant.poll_pv(FULL_W)
    plant.unpolled(12)
    plant.poll_pv(1e9, quality=int(Quality.RANGE_HIGH))
    plant.unpolled(12)
    plant.poll_pv(NIGHT_W)
    plant.end()
    assert known(loaded)[:2] == (3.0, 8400.0)


def test_since_when_it_is_silent_is_told_by_coverage(loaded: Config) -> None:
    plant = Plant(loaded)
    plant.poll_pv(FULL_W)
    last_ms = plant.clock.now_ms() - plant.EVERY_MS
    for _ in range(12):
        plant.poll_pv(None)
    plant.end()
    since_ms = known(loaded)[2]
    assert since_ms is not None
    assert last_ms < since_ms <= last_ms + 2 * plant.EVERY_MS
    again = Plant(loaded, Machine(), bytes(8))
    for _ in range(12):
        again.poll_pv(None, "asleep")
    again.end()
    assert known(loaded)[2] == since_ms


def test_a_stop_is_no_silence_of_the_device(loaded: Config) -> None:
    """It answered until the gateway was stopped: nobody knows what it did then."""
    plant, machine = Plant(loaded), Machine()
    plant.poll_pv(FULL_W)
    plant.end()
    assert known(loaded)[2] is None
    machine.passes(10 * 3600)
    again = Plant(loaded, machine, bytes(8))
    began_ms = again.clock.now_ms()
    for _ in range(12):
        again.poll_pv(None)
    again.end()
    since_ms = known(loaded)[2]
    assert since_ms is not None
    assert abs(since_ms - began_ms) <= 120_000


def test_a_new_database_knows_nothing(loaded: Config) -> None:
    loaded.data.mkdir()
    Database(loaded.database).close()
    assert known(loaded) == (None, None, None)


def test_older_rows_are_read_beside_the_running_gateway(loaded: Config) -> None:
    plant = Plant(loaded)
    plant.hours([FULL_W, *([500] * 60)])
    plant.end()
    store = Database(loaded.database, read_only=True)
    history = PowerHistory(loaded, store)
    store.close()
    assert history.record(PV)[:2] == (500.0, 500.0)

    async def deepen() -> None:
        task = asyncio.create_task(history.run())
        await until(lambda: history.record(PV).greatest == FULL_W)
        task.cancel()

    asyncio.run(deepen())


def test_what_happens_is_heard(loaded: Config) -> None:
    loaded.data.mkdir()
    store = Database(loaded.database)
    history = PowerHistory(loaded, store)
    store.close()
    now = Timestamp.now(Machine().clock())

    def reads(power: float, time_ms: int, quality: int = 0) -> NotRecorded:
        reading = Reading(time_ms, (Value(POWER, power, "W", quality),))
        return NotRecorded(PV, reading, now, "disk-full")

    history.hear([reads(FULL_W, 1000), reads(1e9, 2000, int(Quality.RANGE_HIGH)), reads(-20, 3000)])
    assert history.record(PV) == (20.0, 8400.0, None)
    history.hear([MissedPoll(PV, 4000, "no-shape"), MissedPoll(PV, 5000, "timeout"), MissedPoll(PV, 6000, "asleep")])
    assert history.record(PV).silent_since_ms == 5000
    history.hear([reads(10, 3500)])
    assert history.record(PV).silent_since_ms == 5000, "a reading of before that is told when it is durable"
    history.hear([reads(10, 7000), MissedPoll("stack-co2", 8000, "timeout")])
    assert history.record(PV) == (10.0, 8400.0, None)
    assert history.record("stack-co2") == (None, None, None)


def test_another_configuration_asks_only_of_devices_that_it_did_not_know(loaded: Config) -> None:
    loaded.data.mkdir()
    store = Database(loaded.database)
    history = PowerHistory(loaded, store)
    store.close()
    assert history.unknown(loaded) == {}
    text = loaded.path.read_text()
    other = site(loaded.path.parent.parent / "other", {f'name = "{PV}"': 'name = "roof"'})
    assert history.unknown(other) == {"roof": POWER}
    history.change(other, {"roof": history.record(PV)})
    assert (history.unknown(other), history.unknown(loaded)) == ({}, {PV: POWER})
    assert loaded.path.read_text() == text


def test_a_power_that_is_not_recorded_tells_nothing(loaded: Config) -> None:
    meter, profile = loaded.meters[PV], load_profile("sunspec-inverter")
    assert sleep_point(meter, profile) == POWER
    assert sleep_point(meter.model_copy(update={"points": ("frequency",)}), profile) is None
    assert sleep_point(meter.model_copy(update={"points": (POWER,)}), profile) == POWER
    assert sleep_point(meter, replace(profile, sleeps_below=None)) is None


@pytest.mark.parametrize(("last_w", "reason", "down"), [(NIGHT_W, "asleep", False), (FULL_W, "line-down", True)])
def test_after_a_restart_a_silent_inverter_is_judged_by_its_last_power(
    last_w: int, reason: str, down: bool, loaded: Config
) -> None:
    plant = Plant(loaded)
    for power in (FULL_W, 500, last_w):
        plant.poll_pv(power)
    plant.end()

    async def restart() -> None:
        async with running(loaded) as epoch:
            now = epoch.site.live.meters[PV]
            await until(lambda: now.reason is not None)
            assert now.reason == reason
            assert epoch.site.lines["inverters"].up is not down
            keys = {
                (state.key.source, state.key.code)
                for state in epoch.site.board._store.states.values()
                if state.condition
            }
            assert ((PV, "line-down") in keys) is down

    asyncio.run(restart())
