"""Meter set: what one epoch remembers of each meter, between its line and the recorder, and how a reload renews it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass

from gateway.acquisition.meter_identity import MeterIdentity
from gateway.acquisition.poller import Poller
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.fieldbus.polling.sleep import PowerRecord
from gateway.recording.announcements import identities
from gateway.recording.live_state import Live
from gateway.recording.recorder import Recorder
from gateway.runtime.power_history import PowerHistory, recall
from gateway.storage.database import Database
from gateway.storage.record_tables import Records
from ledger_client.formats.record import parse_record
from ledger_client.formats.senml import Reading

RECALLED = 100  # readings


@dataclass(frozen=True, slots=True)
class Past:
    """What the database holds of the meters that a change adds."""

    readings: Mapping[str, Sequence[Reading]]
    """By new meter: its newest readings, the newest first."""
    identities: Mapping[str, str]
    """By new meter: the device that stands for it, where one is known."""
    power: Mapping[str, PowerRecord]
    """By meter that may sleep and was not known to: its power."""


class MeterSet:
    """The meters of the configuration in force. Event loop only.

    ``identities`` (meter → device) is what lines look at; ``MeterIdentity`` has a copy of its own, with what was
    commissioned since.
    """

    def __init__(self, config: Config, store: Database, recorder: Recorder, clock: Clock) -> None:
        """``store`` is read here and not kept. Raises StoreError."""
        self._recorder = recorder
        self.poller = Poller(config.meters, clock, recorder.put, config.profiles, recorder.happened)
        for name in config.meters:
            self.poller.recall(name, _last_readings(store.records, name))
        self.identities = recorder.identities()
        self.commissioning = MeterIdentity(
            config.meters, dict(self.identities), self.poller, recorder, recorder.happened
        )
        self.live = Live(config.meters)
        self.power = PowerHistory(config, store)

    async def past(self, config: Config, added: Collection[str]) -> Past:
        """Read what ``renew`` needs for another configuration, which adds these meters. Raises StoreError."""
        unknown = self.power.unknown(config)

        def read(store: Database) -> Past:
            power = {name: recall(store.summaries, name, point) for name, point in unknown.items()}
            readings = {name: list(_last_readings(store.records, name)) for name in added}
            return Past(readings, identities(store.records, added), power)

        return await asyncio.wrap_future(self._recorder.call(read))

    def renew(self, config: Config, anew: Collection[str], past: Past) -> None:
        """Take another configuration over, before its lines are opened. ``anew``: the meters that are read anew."""
        self.poller.change(config.meters, config.profiles, anew)
        for name, readings in past.readings.items():
            self.poller.recall(name, readings)
        self.identities.update(past.identities)
        self.commissioning.change(config.meters, past.identities)
        self.power.change(config, past.power)
        self.live.change(config.meters)


def _last_readings(records: Records, meter: str) -> Iterator[Reading]:
    """The newest readings first, as far as the past of a counter may lie behind polls that had no value of it."""
    for row in reversed(records.readings(meter, RECALLED)):
        if isinstance(body := parse_record(row.data).body, Reading):
            yield body
