"""A running gateway takes over its changed gateway.toml, and goes back by itself when that costs it a meter.

Looked at first, then done: everything that a start would check is checked before anything is touched, only lines that
changed are opened again, and the change is one signed event and one commit (changeover.py). A meter that answered
before, stands in both configurations and answers nothing afterwards brings the old one back.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from gateway import budget
from gateway import config as configuration
from gateway.alarm_kinds import REVERTED
from gateway.blocking import in_thread
from gateway.changeover import CONFIGURATION, Change
from gateway.commits import Rules
from gateway.difference import Difference, difference
from gateway.errors import Declined, GatewayError, StoreError
from gateway.live import MeterNow
from gateway.readiness import Ready, prepare
from gateway.signer import GATEWAY
from gateway.site import Site
from ledger_client.record import Event

log = logging.getLogger("meterseal.reload")

RECENT_MS = 600_000
"""A meter that answered within the last ten minutes is expected to go on answering."""
PERIODS, AT_LEAST_S = 3, 60.0
"""So long has it time to do so."""
LOOK_EVERY_S = 0.5


class Parts(Protocol):
    """What a change renews: the epoch."""

    ready: Ready
    site: Site

    async def close_lines(self, names: Any) -> None: ...
    def open_lines(self, specs: Any, anchor_ms: int | None, from_ms: int | None = None) -> None: ...
    def forget_lines(self, names: Any) -> None: ...
    async def meet(self, ready: Ready, anew: Any) -> None: ...
    async def renew_uplinks(self) -> None: ...
    async def renew_companions(self) -> None: ...


@dataclass(slots=True)
class _Trial:
    """A change that has still to show that it costs no meter: what was before, and who has not answered since."""

    before: Ready
    began_s: float
    began_ms: int
    waiting: dict[str, float]
    """By meter: until when it has to answer, in seconds of the monotonic clock."""


class Reload:
    """The orders ``preview`` and ``reload`` of one epoch, and the watch over the last change."""

    def __init__(self, epoch: Parts) -> None:
        self._epoch = epoch
        self._busy = asyncio.Lock()
        self._trial: _Trial | None = None
        self._reverted: str | None = None

    # — orders —

    async def preview(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """What a reload would do; nothing is touched. Raises GatewayError: why it cannot be done."""
        return _told((await self._look())[1])

    async def reload(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Do it. ``fingerprint``: of the configuration that was looked at; ``user``: who orders it, for the record.

        Raises Declined when the file says something else by now, GatewayError when it cannot be done.
        """
        if self._busy.locked():
            raise GatewayError("another change is being made", "wait for it")
        async with self._busy:
            ready, change = await self._look()
            if order["fingerprint"] != change.after.fingerprint().hex():
                raise Declined(f"{change.after.path}: it has changed since it was looked at", "look again")
            text = f"{change.after.path} holds what is in force"
            self._epoch.site.board.condition(GATEWAY, REVERTED, "configuration", text, on=False)
            if change.nothing:
                return _told(change) | {"done": False, "watched_s": 0}
            before = self._trial.before if self._trial else self._epoch.ready  # the last that has shown that it holds
            answered = self._answered()
            await self._take(ready, change, {"why": "reload", "user": order.get("user", "")})
            self._reverted = None
            watched_s = self._begin_trial(before, change, answered)
            return _told(change) | {"done": True, "watched_s": watched_s}

    def state(self) -> dict[str, Any]:
        """For the status: the configuration in force, whether it is on trial, and why an old one came back."""
        config, trial = self._epoch.ready.config, self._trial
        return {
            "fingerprint": config.fingerprint().hex(),
            "trial": sorted(trial.waiting) if trial else None,
            "reverted": self._reverted,
        }

    # — looking —

    async def _look(self) -> tuple[Ready, Difference]:
        path, lines = self._epoch.ready.config.path, self._epoch.site.lines
        specs = {name: line.spec for name, line in lines.items()}
        ours = {spec.port for spec in specs.values() if spec.port is not None}

        def look() -> tuple[Ready, Difference]:
            after = configuration.load(path)
            difference(self._epoch.ready.config, after, specs, ())  # what needs a new start needs no further look
            ready = prepare(after, ours)
            budget.refuse(path, ready.plans)
            change = difference(self._epoch.ready.config, after, specs, ready.specs)
            return ready, change.with_trust(self._epoch.ready.trust, ready.trust)

        return await in_thread(look, "look at the configuration")

    # — doing —

    async def _take(self, ready: Ready, change: Difference, why: Mapping[str, str]) -> None:
        epoch, config = self._epoch, ready.config
        old = [line.spec for name, line in epoch.site.lines.items() if name in change.closed]
        await epoch.close_lines(change.closed)
        told = Event(CONFIGURATION, _facts(change) | {key: text for key, text in why.items() if text})
        try:
            order = Change(Rules.of(config), ready.keys, tuple(change.read_anew), told)
            anchor_ms = await asyncio.wrap_future(epoch.site.recorder.change(order))
        except StoreError:
            meters = [meter.name for spec in old for meter in spec.meters]
            from_ms = await asyncio.wrap_future(epoch.site.recorder.skip(meters))
            epoch.open_lines(old, None, from_ms)
            raise
        await epoch.meet(ready, change.read_anew)
        epoch.forget_lines(change.closed - change.lines.keys())
        epoch.open_lines(change.lines.values(), anchor_ms)
        if change.ledgers_changed():
            await epoch.renew_uplinks()
        await epoch.renew_companions()
        log.warning("the configuration has changed: %s", "; ".join(change.text) or "profiles only")

    # — watching —

    def _answered(self) -> set[str]:
        """The meters that answered lately."""
        now_ms, meters = self._epoch.site.clock.now_ms(), self._epoch.site.live.meters.values()
        return {now.name for now in meters if _time_ms(now) > now_ms - RECENT_MS}

    def _begin_trial(self, before: Ready, change: Difference, answered: set[str]) -> float:
        """Returns how long the change is watched, in seconds."""
        clock, meters = self._epoch.site.clock, change.after.meters
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
        meters, now_s = self._epoch.site.live.meters, self._epoch.site.clock.monotonic()
        trial.waiting = {n: end for n, end in trial.waiting.items() if _time_ms(meters[n]) <= trial.began_ms}
        lost = [name for name, end in trial.waiting.items() if now_s >= end]
        if not trial.waiting:
            self._trial = None
        elif lost:
            async with self._busy:
                await self._revert(trial.before, lost, now_s - trial.began_s)
            self._trial = None  # only now: whoever waits for the end of it wants to know how it ended

    async def _revert(self, before: Ready, lost: list[str], after_s: float) -> None:
        site = self._epoch.site
        silent = f"{', '.join(lost)} answered nothing for {after_s:.0f} s after the change"
        specs = {name: line.spec for name, line in site.lines.items()}
        back = difference(self._epoch.ready.config, before.config, specs, before.specs)
        back = back.with_trust(self._epoch.ready.trust, before.trust)
        try:
            await self._take(before, back, {"why": f"back to the configuration before: {silent}"})
        except StoreError as error:
            log.error("%s, and the configuration before cannot be brought back: %s", silent, error)
            return
        self._reverted = (
            f"{silent}, so that the configuration before it is in force again; {before.config.path} still holds the "
            "other one: mend or put it back, then `meterseal reload`"
        )
        site.board.condition(GATEWAY, REVERTED, "configuration", self._reverted, on=True)


def _time_ms(now: MeterNow) -> int:
    return now.reading.time_ms if now.reading is not None else 0


def _told(change: Difference) -> dict[str, Any]:
    return {
        "nothing": change.nothing,
        "fingerprint": change.after.fingerprint().hex(),
        "changes": list(change.text),
        "opened": sorted(change.lines),
        "closed": sorted(change.closed - change.lines.keys()),
        "ledgers": change.ledgers_changed(),
    }


def _facts(change: Difference) -> dict[str, Any]:
    known = change.before.meters
    facts: dict[str, Any] = {"before": change.before.fingerprint(), "config": change.after.fingerprint()}
    lists = {
        "added": [name for name in change.read_anew if name not in known],
        "removed": change.gone,
        "anew": [name for name in change.read_anew if name in known],
    }
    return facts | {key: names for key, names in lists.items() if names}
