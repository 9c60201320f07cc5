"""Maker of history: the gateway's own decoder, journal, store and sealer on a clock that is moved.

A month of batches comes in minutes. Each record is decoded from registers, signed when its time has come and sealed
with its batch, as at a plant; only the clock and the registers are made up, and the gateway's name says so.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from typing import Any

from gateway.acquisition.poller import Poller
from gateway.clock import Clock, KernelClock
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.devices.read_plan import Limits, plan
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.specs import BlockAnswer, Poll
from gateway.recording.journal import Journal
from gateway.recording.rules import Rules
from gateway.records import GATEWAY, MeterEvent, Timestamp
from gateway.startup.line_specs import line_specs
from gateway.storage.database import Database
from ledger_client.formats.record import EXCHANGE, Event
from ledger_client.formats.senml import Quality

DEMO = "demo-"


class VirtualTime:
    """The clocks of a machine whose time passes only when it is advanced; they are right."""

    def __init__(self, began_ms: int) -> None:
        self._began_ms = self.wall_ms = began_ms

    def clock(self, not_before_ms: int = 0) -> Clock:
        """The gateway's clock on this machine."""
        return Clock(
            not_before_ms=not_before_ms,
            wall_ns=lambda: self.wall_ms * 1_000_000,
            monotonic=lambda: (self.wall_ms - self._began_ms) / 1000,
            kernel=lambda: KernelClock(True, 20),
        )

    def passes(self, ms: int) -> None:
        """So much time goes by."""
        self.wall_ms += ms


class HistoryMaker:
    """A gateway that is polled by hand, all meters together; they have one period."""

    def __init__(self, config: Config, began_ms: int) -> None:
        """Begins an epoch. Raises GatewayError; ValueError for a gateway that is not called ``demo-…``: no other's keys
        sign what has not happened."""
        if not config.gateway_id.startswith(DEMO):
            raise ValueError(f"{config.gateway_id} is no gateway of a demonstration")
        self._time = VirtualTime(began_ms)
        config.data.mkdir(parents=True, exist_ok=True)
        self.store = Database(config.database)
        self.clock = self._time.clock(self.store.records.latest_ms())
        self.journal = Journal(self.store, load_keys(config), Rules.of(config), self.clock, secrets.token_bytes(8))
        self._poller = Poller(config.meters, self.clock, self.journal.poll, config.profiles, self.happened)
        (self.every_ms,) = {meter.every for meter in config.meters.values()}
        self._blocks = {
            meter.name: plan(meter.points, Limits.over_tcp(meter.profile))
            for spec in line_specs(config)
            for meter in spec.meters
        }
        self._flags: dict[str, int] = {}  # of each meter's next reading
        self._anchor_ms, self._polls = self.journal.open(), 0

    def poll(self, shown: Mapping[str, Mapping[str, int | None] | None]) -> None:
        """Poll every meter once, and let its period go by. ``shown``: by meter the raw numbers of its points (None: it
        does not answer)."""
        due_ms = self._anchor_ms + self._polls * self.every_ms
        for meter, blocks in self._blocks.items():
            numbers = shown[meter]
            if numbers is None:
                self._poller.poll(Poll(meter, due_ms, missed="timeout"))
                continue
            answers: list[BlockAnswer] = []
            for block in blocks:
                answer = BlockAnswer(block, _registers(block, numbers), self.clock.now_ms())
                answers.append(answer)
                if self._poller.doubts(meter, answer):
                    answers.append(BlockAnswer(*answer))
            self._poller.poll(Poll(meter, due_ms, tuple(answers), flags=self._flags.pop(meter, 0)))
        self._polls += 1
        self._time.passes(self.every_ms)
        self.journal.keep_time()

    def exchange(self, meter: str, fields: Mapping[str, Any]) -> None:
        """Another device answers from the next poll on, as somebody has accepted it."""
        self.happened(meter, Event(EXCHANGE, dict(fields)))
        self._flags[meter] = int(Quality.METER_EXCHANGED)

    def happened(self, meter: str, event: Event) -> None:
        """An event of a meter, now."""
        self.journal.happened(MeterEvent(meter, event, Timestamp.now(self.clock)))

    def sign(self, event: Event) -> None:
        """An event of the gateway, durable at once."""
        self.happened(GATEWAY, event)
        self.journal.flush()
        self.journal.demand_recording()

    def seal(self) -> None:
        """End a batch here, and seal all that wait."""
        self.journal.cut()
        while self.store.batches.cuts():
            self.journal.demand_recording()
            self.journal.keep_time()

    def end(self) -> None:
        """A graceful stop."""
        self.journal.finish()
        self.store.close()


def _registers(block: RegisterBlock, numbers: Mapping[str, int | None]) -> tuple[int, ...]:
    """What a device answers that holds these numbers, the highest word first."""
    words = [0] * block.count
    for point, offset in zip(block.points, block.offsets, strict=True):
        number = numbers[point.name]
        raw = point.not_available[0] if number is None else number
        for place in range(point.registers):
            words[offset + place] = raw >> 16 * (point.registers - 1 - place) & 0xFFFF
    return tuple(words)
