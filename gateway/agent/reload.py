"""Reload of a changed gateway.toml in the running gateway; rolled back if a meter stops answering.

``preview`` compares, ``reload`` does what was looked at (agent/renewal.py); keys whose files have changed are part of
it. A meter that answered before, stands in both configurations and answers nothing afterwards brings the old one back,
unless it sleeps; replaced keys do not come back.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from gateway.agent.config_diff import Difference, difference
from gateway.agent.renewal import InForce, Renewal
from gateway.alarms.board import AlarmBoard
from gateway.clock import Clock
from gateway.config.device_keys import Keys
from gateway.config.load import load_config
from gateway.errors import Declined, GatewayError
from gateway.fieldbus.specs import FieldLine
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.process.threads import in_thread
from gateway.recording.live_state import Live, MeterNow
from gateway.records import GATEWAY, sentence_fields
from gateway.startup import line_plan, meter_places
from gateway.startup.preflight import Ready, allow_files, prepare

log = logging.getLogger("meterseal.reload")

RECENT_MS = 600_000
"""A meter that answered within the last ten minutes is expected to go on answering."""
PERIODS, AT_LEAST_S = 3, 60.0
"""Time for that: periods of the meter, and seconds at least."""
LOOK_EVERY_S = 0.5
AGAIN_S = 10.0
"""Seconds until it is tried again to bring back the configuration before."""


@dataclass(slots=True)
class _Trial:
    """A change that has still to show that it costs no meter: what was before, and who has not answered since."""

    before: Ready
    began_s: float
    began_ms: int
    waiting: dict[str, float]
    """By meter: until when it has to answer, in seconds of the monotonic clock."""
    again_s: float = 0.0
    """Not before is going back tried, by the same clock."""
    stuck: Message | None = None
    """Why going back was not possible."""


class Reload:
    """The orders ``preview`` and ``reload`` of one epoch, and the watch over the last change."""

    def __init__(
        self,
        in_force: InForce,
        renewal: Renewal,
        lines: Mapping[str, FieldLine],
        live: Live,
        board: AlarmBoard,
        clock: Clock,
    ) -> None:
        self._in_force, self._renewal = in_force, renewal
        self._lines, self._live, self._board, self._clock = lines, live, board, clock
        self._busy = asyncio.Lock()
        self._trial: _Trial | None = None
        self._reverted: Message | None = None

    # — orders —

    async def preview(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """What a reload would do; nothing is touched. Raises GatewayError: why it cannot be done."""
        return _outcome((await self._look())[1])

    async def reload(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Do it. ``fingerprint``: of the configuration that was looked at; ``user``: who orders it, for the record.

        Raises Declined when the file says something else by now, GatewayError when it cannot be done.
        """
        if self._busy.locked():
            raise GatewayError(Message("reload-busy"))
        async with self._busy:
            ready, change = await self._look()
            if order["fingerprint"] != change.after.fingerprint().hex():
                raise Declined(Message("reload-file-changed", path=str(change.after.path)))
            as_in_force = Message("reload-as-in-force", path=str(change.after.path))
            self._board.condition(GATEWAY, AlarmCode.CONFIGURATION_REVERTED, "configuration", as_in_force, on=False)
            if change.nothing:
                return _outcome(change) | {"done": False, "watched_s": 0}
            before = (
                self._trial.before if self._trial else self._in_force.ready
            )  # the last that has shown that it holds
            answered = self._answered()
            try:
                await self._renewal.take(ready, change, Message("reload-why"), order.get("user", ""))
            except GatewayError as error:
                failed = Message("reload-failed-old", what=error.sentence)
                if self._in_force.ready is ready:
                    failed = Message("reload-failed-new", what=error.sentence)
                raise GatewayError(failed, error.way_out) from None
            await self._note_places(ready)
            self._reverted = None
            watched_s = self._begin_trial(before, change, answered)
            return _outcome(change) | {"done": True, "watched_s": watched_s}

    def state(self) -> dict[str, Any]:
        """The configuration in force, whether it is on trial, and as messages why an old one came back, or cannot."""
        config, trial = self._in_force.ready.config, self._trial
        return {
            "fingerprint": config.fingerprint().hex(),
            "trial": sorted(trial.waiting) if trial else None,
            "stuck": trial.stuck if trial else None,
            "reverted": self._reverted,
        }

    def health(self) -> dict[str, Any]:
        """The same as plain data, for the status: each message as its text, and beside it by its code."""
        state = self.state()
        messages = {key: state[key] for key in ("stuck", "reverted")}
        texts = {key: str(message) if message else None for key, message in messages.items()}
        return (
            state | texts | {f"{key}_said": message and sentence_fields(message) for key, message in messages.items()}
        )

    # — looking —

    async def _look(self) -> tuple[Ready, Difference]:
        path, specs = self._in_force.ready.config.path, self._specs()
        ours = {spec.port for spec in specs.values() if spec.port is not None}

        def look() -> tuple[Ready, Difference]:
            after = load_config(path)
            after.fingerprint()  # takes long, and not in the event loop
            difference(self._in_force.ready.config, after, specs, ())  # what needs a new start needs no further look
            ready = prepare(after, ours, running=os.getpid())
            line_plan.refuse(path, ready.plans)
            allow_files(ready.specs)
            change = difference(self._in_force.ready.config, after, specs, ready.specs)
            known = self._in_force.ready
            return ready, change.with_trust(known.trust, ready.trust).with_keys(known.keys, ready.keys)

        return await in_thread(look, "look at the configuration")

    async def _note_places(self, ready: Ready) -> None:
        await in_thread(lambda: meter_places.note(ready.config.data, ready.specs), "note the places of meters")

    def _specs(self) -> dict[str, LineSpec]:
        return {name: line.spec for name, line in self._lines.items()}

    # — watching —

    def _answered(self) -> set[str]:
        """The meters that answered lately."""
        now_ms, meters = self._clock.now_ms(), self._live.meters.values()
        return {now.name for now in meters if _time_ms(now) > now_ms - RECENT_MS}

    def _begin_trial(self, before: Ready, change: Difference, answered: set[str]) -> float:
        """Returns how long the change is watched, in seconds."""
        clock, meters = self._clock, change.after.meters
        now_s = clock.monotonic()
        patience_s = {n: max(AT_LEAST_S, PERIODS * meters[n].every / 1000) for n in change.both if n in answered}
        waiting = {name: now_s + seconds for name, seconds in patience_s.items()}
        self._trial = _Trial(before, now_s, clock.now_ms(), waiting) if waiting else None
        return max(patience_s.values(), default=0.0)

    async def watch(self) -> None:
        """Look after changes for as long as the epoch lasts."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if self._trial is not None and not self._busy.locked():
                await self._look_after(self._trial)

    async def _look_after(self, trial: _Trial) -> None:
        meters, now_s = self._live.meters, self._clock.monotonic()
        silent = {n: end for n, end in trial.waiting.items() if _time_ms(meters[n]) <= trial.began_ms}
        trial.waiting = {n: end for n, end in silent.items() if now_s < end or meters[n].reason != "asleep"}
        lost = [name for name, end in trial.waiting.items() if now_s >= end]
        if not trial.waiting:
            self._trial = None
        elif lost and now_s >= trial.again_s:
            async with self._busy:
                trial.stuck = await self._revert(trial.before, lost, now_s - trial.began_s)
                trial.again_s = now_s + AGAIN_S
            if trial.stuck is None:
                self._trial = None  # only now: whoever waits for the end of it wants to know how it ended

    async def _revert(self, before: Ready, lost: list[str], after_s: float) -> Message | None:
        """Returns why it cannot be done now; None: it is done. Keys stay: one that was replaced signs nothing again."""
        kept = self._in_force.ready.keys
        before = replace(before, keys=Keys(kept.statement, {**before.keys.meters, **kept.meters}))
        silent = Message("reload-meters-silent", meters=tuple(lost), after_s=round(after_s))
        specs = self._specs()
        back = difference(self._in_force.ready.config, before.config, specs, before.specs)
        back = back.with_trust(self._in_force.ready.trust, before.trust)
        try:
            await self._renewal.take(before, back, Message("reload-rolled-back-why", silent=silent))
        except GatewayError as error:
            stuck = Message("reload-stuck", silent=silent, why=error.sentence)
            log.error("%s", stuck)
            return stuck
        await self._note_places(before)
        self._reverted = Message("reload-rolled-back", silent=silent, path=str(before.config.path))
        self._board.condition(GATEWAY, AlarmCode.CONFIGURATION_REVERTED, "configuration", self._reverted, on=True)
        return None


def _time_ms(now: MeterNow) -> int:
    return now.reading.time_ms if now.reading is not None else 0


def _outcome(change: Difference) -> dict[str, Any]:
    return {
        "nothing": change.nothing,
        "fingerprint": change.after.fingerprint().hex(),
        "changes": list(map(str, change.changes)),
        "changes_said": [line.as_json() for line in change.changes],
        "opened": sorted(change.lines),
        "closed": sorted(change.closed - change.lines.keys()),
        "ledgers": change.ledgers_changed(),
    }
