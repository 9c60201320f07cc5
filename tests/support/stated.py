"""A gateway's database of some hours of registers, on a machine whose time a test moves: real journal, real batches."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.config.device_keys import load_keys, make_missing
from gateway.config.model import Config
from gateway.recording.config_change import Change
from gateway.records import GATEWAY, MeterEvent, PollResult, Timestamp
from gateway.storage.database import Database
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Quality, Reading, Value
from tests.support import accounted
from tests.support.clock_history import FrailStore
from tests.support.samples import START_S, Hands, Machine, site

EVERY_MS, QUARTER_MS = 10_000, 900_000
BACK_S = 20_000
METER, OTHER = "export-main", "pv-inverter"
POINT = f"{METER}/energy_export"


def accounted_site(folder: Path) -> Config:
    """A site as `meterseal init` makes it, with its keys."""
    loaded = site(folder)
    make_missing(loaded, START_S)
    return loaded


def plan_fields(from_ms: int, **also: Any) -> dict[str, Any]:
    """A plan of one station, the export of a meter, by quarters of an hour."""
    return accounted.plan_fields(from_ms, POINT, 100_000, 1_000_000, **also)


class Site:
    """``register``: what the meter shows, in whole kWh; ``epochs``: how often it was started."""

    def __init__(self, folder: Path, loaded: Config | None = None, *, began_ms: int | None = None) -> None:
        self.loaded = loaded or accounted_site(folder)
        self.machine = Machine()
        now_ms = int(time.time() - BACK_S) * 1000 if began_ms is None else began_ms
        self.machine.wall_ms = now_ms // QUARTER_MS * QUARTER_MS - 60_000
        self.register, self.epochs = 1000, 0
        self.start()

    @property
    def from_ms(self) -> int:
        """The first edge behind its first start."""
        return self._began_ms // QUARTER_MS * QUARTER_MS + QUARTER_MS

    def start(self, **rules: Any) -> None:
        """Begin an epoch, with these in place of what its configuration says."""
        self.epochs += 1
        self.hands = Hands(self.loaded, self.machine, bytes([self.epochs]) * 8, self._frail, **rules)
        if self.epochs == 1:
            self._began_ms = self.machine.wall_ms

    def _frail(self, path: Path) -> Database:
        return FrailStore(path, self.machine)

    def stop(self) -> None:
        """End the epoch in order."""
        self.hands.end()

    def fails(self) -> None:
        """The disk does not take the next commit."""
        assert isinstance(self.hands.store, FrailStore)
        self.hands.store.fates = [("refused", 0.0)]

    def changes(self, **rules: Any) -> None:
        """Other rules of recording come into force; no meter is read anew."""
        changed = replace(self.hands.journal.rules, **rules)
        self.hands.journal.change(Change(changed, load_keys(self.loaded), (), {"why": "test"}))

    def event(self, meter: str, name: str, **fields: Any) -> None:
        """An event of a meter, or of the gateway."""
        self.hands.journal.happened(MeterEvent(meter, Event(name, fields)))

    def publish(self, **also: Any) -> None:
        """An event ``plan`` from the first edge on."""
        self.event(GATEWAY, "plan", **plan_fields(self.from_ms, **also))

    @property
    def due_ms(self) -> int:
        """When the next poll is due, by the schedule's clock."""
        return self.hands.anchor_ms + self.hands.polls * EVERY_MS

    def passes(self, polls: int) -> None:
        """Nobody polls for so long."""
        self.hands.polls += polls
        self.machine.passes(polls * EVERY_MS / 1000)

    def polls(
        self,
        count: int,
        *,
        answered: bool = True,
        quality: int = 0,
        gain: int = 1,
        value: int | str | None = 0,
        unit: str = "kWh",
        late_ms: int = 0,
        offset_ms: int = 0,
    ) -> None:
        """A number of polls of all meters; the register gains with each. ``value`` None: it shows none, a text: that;
        ``late_ms``: the age of its reading; ``offset_ms``: of the value in its reading."""
        hands = self.hands
        for _ in range(count):
            self.register += gain
            due_ms = self.due_ms
            for meter in hands.journal.rules.periods_ms:
                now = Timestamp.now(hands.clock)
                if meter == METER and not answered:
                    hands.journal.poll(PollResult(meter, due_ms, None, now, "timeout"))
                    continue
                shown = self.register % 1_000_000 if isinstance(value, int) else value
                flags = int(Quality.COMM_FAIL) if value is None else quality
                one = Value("energy_export", shown, unit, flags if meter == METER else 0, offset_ms)
                hands.journal.poll(PollResult(meter, due_ms, Reading(now.time_ms - late_ms, (one,)), now))
            hands.polls += 1
            self.machine.passes(EVERY_MS / 1000)
            hands.journal.keep_time()

    def store(self) -> Database:
        """Its database, to read."""
        return Database(self.loaded.database, read_only=True)
