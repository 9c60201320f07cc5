"""Reload of a changed gateway.toml in the running gateway; rolled back if a meter stops answering.

Looked at first, then done: everything that a start would check is checked, and everything that may not be had is
there, before anything is touched; only lines that changed are opened again, and the change is one signed event and one
commit (recording/config_change.py). Before that commit the old configuration stays in force whatever fails, behind it
nothing fails that is not tried again. A meter that answered before, stands in both and answers nothing afterwards
brings the old one back, unless it sleeps.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from gateway.agent.config_diff import Difference, difference
from gateway.anchoring.ledger_drivers import close
from gateway.commissioning import line_plan
from gateway.commissioning.preflight import Ready, prepare
from gateway.config.load import load_config
from gateway.errors import Declined, GatewayError
from gateway.fieldbus.sleep import PowerRecord
from gateway.messages.alarm_kinds import REVERTED
from gateway.process.threads import in_thread
from gateway.recording.commits import Rules
from gateway.recording.config_change import Change
from gateway.recording.live_state import MeterNow
from gateway.records import GATEWAY
from gateway.runtime.context import GatewayContext
from ledger_client.formats.senml import Reading
from ledger_client.ledgers.interface import Ledger

log = logging.getLogger("meterseal.reload")

RECENT_MS = 600_000
"""A meter that answered within the last ten minutes is expected to go on answering."""
PERIODS, AT_LEAST_S = 3, 60.0
"""So long has it time to do so."""
LOOK_EVERY_S = 0.5
AGAIN_S = 10.0
"""Until the configuration before is tried to be brought back once more."""


@dataclass(frozen=True, slots=True)
class Provision:
    """What a change needs and may not get, and so has before it touches anything."""

    readings: Mapping[str, Sequence[Reading]]
    """By new meter: what the database holds of it, the newest first."""
    known: Mapping[str, str]
    """Which device stands for a new meter, where the database knows it."""
    power: Mapping[str, PowerRecord]
    """What the database knows of the power of devices that may sleep and were not known to."""
    ledgers: Sequence[Ledger] | None
    """Drivers of the ledgers; None where these are the same."""


class Parts(Protocol):
    """What a change renews: the epoch."""

    ready: Ready
    site: GatewayContext

    async def close_lines(self, names: Any) -> None: ...
    def open_lines(self, specs: Any, anchor_ms: int | None, from_ms: int | None = None) -> None: ...
    def forget_lines(self, names: Any) -> None: ...
    async def provide(self, ready: Ready, added: Any, *, ledgers: bool) -> Provision: ...
    def meet(self, ready: Ready, anew: Any, provision: Provision) -> None: ...
    async def renew_uplinks(self, ledgers: Sequence[Ledger]) -> None: ...
    async def renew_companions(self) -> None: ...


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
    stuck: str | None = None
    """Why going back was not possible."""


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
            try:
                await self._take(ready, change, {"why": "reload", "user": order.get("user", "")})
            except GatewayError as error:
                which = "new" if self._epoch.ready is ready else "old"
                raise GatewayError(f"{error.problem}; the {which} configuration is in force", error.way_out) from None
            self._reverted = None
            watched_s = self._begin_trial(before, change, answered)
            return _told(change) | {"done": True, "watched_s": watched_s}

    def state(self) -> dict[str, Any]:
        """For the status: the configuration in force, whether it is on trial, why an old one came back, or cannot."""
        config, trial = self._epoch.ready.config, self._trial
        return {
            "fingerprint": config.fingerprint().hex(),
            "trial": sorted(trial.waiting) if trial else None,
            "stuck": trial.stuck if trial else None,
            "reverted": self._reverted,
        }

    # — looking —

    async def _look(self) -> tuple[Ready, Difference]:
        path, lines = self._epoch.ready.config.path, self._epoch.site.lines
        specs = {name: line.spec for name, line in lines.items()}
        ours = {spec.port for spec in specs.values() if spec.port is not None}

        def look() -> tuple[Ready, Difference]:
            after = load_config(path)
            after.fingerprint()  # takes long, and not in the event loop
            difference(self._epoch.ready.config, after, specs, ())  # what needs a new start needs no further look
            ready = prepare(after, ours)
            line_plan.refuse(path, ready.plans)
            change = difference(self._epoch.ready.config, after, specs, ready.specs)
            return ready, change.with_trust(self._epoch.ready.trust, ready.trust)

        return await in_thread(look, "look at the configuration")

    # — doing —

    async def _take(self, ready: Ready, change: Difference, why: Mapping[str, str]) -> None:
        """Raises GatewayError: nothing has changed then."""
        epoch = self._epoch
        epoch.site.recorder.demand_recording()
        provision = await epoch.provide(ready, change.added, ledgers=change.ledgers_changed())
        ledgers = provision.ledgers
        told = _facts(change) | {key: text for key, text in why.items() if text}
        try:
            order = Change(Rules.of(ready.config), ready.keys, tuple(change.read_anew), told)
            anchor_ms = await self._commit(order, change.closed)
        except Exception:
            if ledgers:
                await in_thread(lambda: close(ledgers), "drivers end")
            raise
        epoch.meet(ready, change.read_anew, provision)
        epoch.open_lines(change.lines.values(), anchor_ms)
        epoch.forget_lines(change.closed - change.lines.keys())
        if ledgers is not None:
            await epoch.renew_uplinks(ledgers)
        await epoch.renew_companions()
        log.warning("the configuration has changed: %s", "; ".join(change.text) or "profiles only")

    async def _commit(self, order: Change, closing: Collection[str]) -> int:
        """With these lines closed, which are opened again if it fails. Returns the anchor of what is read anew."""
        epoch = self._epoch
        old = [line.spec for name, line in epoch.site.lines.items() if name in closing]
        await epoch.close_lines(closing)
        try:
            return await asyncio.wrap_future(epoch.site.recorder.change(order))
        except Exception:
            meters = [meter.name for spec in old for meter in spec.meters]
            from_ms = await asyncio.wrap_future(epoch.site.recorder.skip(meters))
            epoch.open_lines(old, None, from_ms)
            raise

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

    async def _revert(self, before: Ready, lost: list[str], after_s: float) -> str | None:
        """Returns why it cannot be done now; None: it is done."""
        site = self._epoch.site
        silent = f"{', '.join(lost)} answered nothing for {after_s:.0f} s after the change"
        specs = {name: line.spec for name, line in site.lines.items()}
        back = difference(self._epoch.ready.config, before.config, specs, before.specs)
        back = back.with_trust(self._epoch.ready.trust, before.trust)
        try:
            await self._take(before, back, {"why": f"back to the configuration before: {silent}"})
        except GatewayError as error:
            stuck = f"{silent}, and the configuration before it cannot be brought back yet: {error.problem}"
            log.error("%s; way out: %s", stuck, error.way_out)
            return f"{stuck}; {error.way_out}"
        self._reverted = (
            f"{silent}, so that the configuration before it is in force again; {before.config.path} still holds the "
            "other one: mend or put it back, then `meterseal reload`"
        )
        site.board.condition(GATEWAY, REVERTED, "configuration", self._reverted, on=True)
        return None


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
        "added": change.added,
        "removed": change.gone,
        "anew": [name for name in change.read_anew if name in known],
    }
    return facts | {key: names for key, names in lists.items() if names}
