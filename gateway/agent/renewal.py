"""Renewal of a running epoch by another configuration: every part of it, in one order, around one commit.

Everything that may not be had is there before anything is touched; only lines that changed are opened again, and the
change is one signed event and one commit (recording/config_change.py). Before that commit the old configuration stays
in force whatever fails, behind it nothing fails that is not tried again.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from gateway.agent.background_tasks import TaskSet
from gateway.agent.config_diff import Difference
from gateway.agent.lines import LineSet
from gateway.agent.meters import MeterSet
from gateway.agent.uplinks import UplinkSet
from gateway.alarms.board import AlarmBoard
from gateway.alarms.grouping import lines_of
from gateway.anchoring.ledger_drivers import close
from gateway.config import token_key
from gateway.config.model import Config
from gateway.messages.message import Message
from gateway.process.threads import in_thread
from gateway.recording.config_change import Change
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.startup.preflight import Ready

log = logging.getLogger("meterseal.reload")


class InForce:
    """The configuration in force, with its keys, trust and line plans. Event loop only; ``Renewal`` alone sets it."""

    __slots__ = ("ready",)

    def __init__(self, ready: Ready) -> None:
        self.ready = ready

    def config(self) -> Config:
        """The configuration in force now."""
        return self.ready.config


class Renewal:
    """Takes another configuration into force, or none. One call at a time, which the caller sees to."""

    def __init__(
        self,
        in_force: InForce,
        recorder: Recorder,
        board: AlarmBoard,
        meters: MeterSet,
        lines: LineSet,
        uplinks: UplinkSet,
        tasks: TaskSet,
    ) -> None:
        self._in_force, self._recorder, self._board = in_force, recorder, board
        self._meters, self._lines, self._uplinks, self._tasks = meters, lines, uplinks, tasks

    async def take(self, ready: Ready, change: Difference, why: Message, user: str = "") -> None:
        """Take ``ready`` into force; the signed event says ``why``, and the ``user`` who has ordered it.

        Raises GatewayError: nothing has changed then, unless ``ready`` is in force by now.
        """
        self._recorder.demand_recording()
        self._recorder.demand_key()
        past = await self._meters.past(ready.config, change.added)
        ledgers = await self._uplinks.provide(ready) if change.ledgers_changed() else None
        facts = _facts(change) | {"why": str(why), **why.to_fields()} | ({"user": user} if user else {})
        try:
            order = Change(Rules.of(ready.config), ready.keys, tuple(change.read_anew), facts)
            async with self._lines.stopped(change.closed):
                anchor_ms = await asyncio.wrap_future(self._recorder.change(order))
        except Exception:
            if ledgers:
                await in_thread(lambda: close(ledgers), "drivers end")
            raise
        self._in_force.ready = ready
        token_key.close_others(ready.keys.statement)
        self._meters.renew(ready.config, change.read_anew, past)
        self._board.reconfigure(lines_of(ready.specs))
        self._lines.renew(ready, change.lines.values(), change.closed - change.lines.keys(), anchor_ms)
        if ledgers is not None:
            await self._uplinks.renew(ready, ledgers)
        await self._tasks.renew()
        log.warning("the configuration has changed: %s", "; ".join(map(str, change.changes)) or "profiles only")


def _facts(change: Difference) -> dict[str, Any]:
    known = change.before.meters
    facts: dict[str, Any] = {"before": change.before.fingerprint(), "config": change.after.fingerprint()}
    lists = {
        "added": change.added,
        "removed": change.gone,
        "anew": [name for name in change.read_anew if name in known],
    }
    return facts | {key: names for key, names in lists.items() if names}
