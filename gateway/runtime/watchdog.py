"""Watchdog of the service manager, notified only while every loop of the gateway runs. Background task.

What does not turn is reported in the log and in the status first; when it goes on, the manager ends the process and
starts it again. Meters that are silent, ports that are gone and ledgers that do not answer stop no loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping

from gateway.clock import Clock
from gateway.fieldbus.specs import FieldLine
from gateway.messages.message import Message
from gateway.process.background import BackgroundTask
from gateway.process.heartbeats import Heartbeats
from gateway.process.sd_notify import Manager
from gateway.recording.live_state import Live
from gateway.recording.recorder import Recorder
from gateway.standing import Standing, standing
from ledger_client.messages import Sentence

log = logging.getLogger("meterseal.agent")

STATUS_EVERY_S = 10.0


class Watchdog(BackgroundTask):
    """Reports to the service manager that the gateway is ready, then its state."""

    def __init__(
        self,
        manager: Manager,
        heartbeats: Heartbeats,
        recorder: Recorder,
        clock: Clock,
        live: Live,
        lines: Mapping[str, FieldLine],
    ) -> None:
        self._manager, self._heartbeats, self._clock = manager, heartbeats, clock
        self._recorder, self._live, self._lines = recorder, live, lines

    async def run(self) -> None:
        """Feed the watchdog until cancelled; without a manager there is nobody to tell."""
        if not self._manager.listens:
            return
        every_s = self._manager.watchdog_s / 3 if self._manager.watchdog_s else STATUS_EVERY_S
        self._manager.ready(self._words([]))
        known: list[Sentence] = []
        while True:
            stuck = self._heartbeats.stuck()
            if stuck:
                log.log(
                    logging.DEBUG if known else logging.ERROR, "the watchdog is not fed: %s", "; ".join(map(str, stuck))
                )
            elif known:
                log.warning("the watchdog is fed again")
            known = stuck
            self._manager.status(self._words(stuck))
            if not stuck:
                self._manager.alive()
            await asyncio.sleep(every_s)

    def _words(self, stuck: list[Sentence]) -> str:
        """One line for `systemctl status`, in English."""
        return str(self._state(stuck))

    def _state(self, stuck: list[Sentence]) -> Message:
        if stuck:
            return Message("watch-stuck", stuck=tuple(stuck))
        trouble, meters = self._recorder.trouble, self._live.meters
        state = Message("watch-state", meters_n=len(meters), lines_n=len(self._lines))
        if silent := self._silent():
            state = Message("watch-silent", state=state, n=silent)
        if trouble is None:
            return Message("watch-recording", state=state)
        return Message("watch-not-recording", state=state, why=trouble.sentence)

    def _silent(self) -> int:
        """How many meters give no reading."""
        factor, now_ms = self._recorder.health()["every_poll"], self._clock.now_ms()
        return sum(
            standing(
                now.reading.time_ms if now.reading else None,
                now.silent_since_ms,
                now.reason,
                meter.period_ms * factor,
                now_ms,
            )
            == Standing.SILENT
            for line in self._lines.values()
            for meter in line.spec.meters
            if (now := self._live.meters.get(meter.name)) is not None
        )
