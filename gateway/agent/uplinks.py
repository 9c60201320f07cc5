"""Uplink set: the drivers and uplinks of one epoch's ledgers, started, renewed and closed."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from functools import partial

from gateway.agent.task_group import EpochTaskGroup
from gateway.alarms.board import AlarmBoard
from gateway.anchoring.driver_notes import Notes
from gateway.anchoring.ledger_alarms import LedgerAlarms
from gateway.anchoring.ledger_drivers import close, drivers
from gateway.anchoring.reconciliation import Reconciliation
from gateway.anchoring.uplink import Uplink
from gateway.clock import Clock
from gateway.process.threads import in_thread
from gateway.recording.recorder import Recorder
from gateway.startup.preflight import Ready
from gateway.storage.rows import Conflict
from ledger_client.ledgers.interface import Ledger


class UplinkSet:
    """The uplinks of the configuration in force, in its order, each with its task. Event loop only.

    Owns the drivers, and the recorder's listeners for seals.
    """

    def __init__(
        self,
        ready: Ready,
        conflicts: Sequence[Conflict],
        recorder: Recorder,
        clock: Clock,
        board: AlarmBoard,
        group: EpochTaskGroup,
    ) -> None:
        """``conflicts``: those that the database knows of. Raises ConfigError: a driver cannot be made."""
        self._recorder, self._clock, self._group = recorder, clock, group
        self._alarms = LedgerAlarms(board)
        self._uplinks: dict[str, Uplink] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._make(ready, drivers(ready.config, self._notes), conflicts)

    @property
    def by_name(self) -> Mapping[str, Uplink]:
        """Each ledger's uplink by the ledger's name."""
        return self._uplinks

    def start(self) -> None:
        """Start every uplink; each asks its ledger first what it holds."""
        self._tasks = [
            self._group.begin_loop(self._uplinks[entry.name].run, f"uplink {entry.name}", call_s=entry.call_s)
            for entry in self._entries
        ]

    def stop(self) -> None:
        """End every uplink; whoever waits for the task group waits for them."""
        for task in self._tasks:
            task.cancel()

    async def provide(self, ready: Ready) -> list[Ledger]:
        """The drivers that ``renew`` needs for another configuration. Raises ConfigError."""
        return await in_thread(lambda: drivers(ready.config, self._notes), "drivers")

    async def renew(self, ready: Ready, ledgers: Sequence[Ledger]) -> None:
        """End every uplink and begin again as at a start, with these drivers."""
        self.stop()
        if self._tasks:
            await asyncio.wait(self._tasks)
        before = self._ledgers
        self._make(ready, ledgers, self._reconciliation.conflicts)
        self.start()
        await in_thread(lambda: close(before), "drivers end")

    def close(self) -> None:
        """End the drivers, behind the tasks."""
        close(self._ledgers)

    def _notes(self, ledger: str) -> Notes:
        return Notes(ledger, self._recorder)

    def _make(self, ready: Ready, ledgers: Sequence[Ledger], conflicts: Sequence[Conflict]) -> None:
        config, trust, recorder, clock = ready.config, ready.trust, self._recorder, self._clock
        self._ledgers, self._entries = ledgers, config.document.ledger
        alarms, loop = self._alarms, asyncio.get_running_loop()
        alarms.reconfigure({entry.name for entry in self._entries})
        reconciliation = Reconciliation(config, recorder, trust, clock, conflicts, alarms=alarms)
        self._reconciliation = reconciliation
        recorder.on_seal.clear()
        self._uplinks.clear()
        for ledger, entry in zip(ledgers, self._entries, strict=True):
            uplink = Uplink(ledger, recorder, trust, clock, reconciliation, alarms=alarms, contract=entry.place)
            recorder.on_seal.append(partial(loop.call_soon_threadsafe, uplink.wake))
            self._uplinks[entry.name] = uplink
