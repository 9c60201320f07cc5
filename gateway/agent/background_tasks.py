"""Background tasks of an epoch, each isolated: its failure costs neither a reading nor another task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gateway.agent.task_group import EpochTaskGroup
from gateway.config.feed import FeedEntry
from gateway.config.notify import NOTIFY, NotifyEntry
from gateway.dashboard.server import PagesServer
from gateway.errors import GatewayError
from gateway.history.backfill import Backfill
from gateway.history.poll_counts import PollCounts
from gateway.process.background import BackgroundTask
from gateway.process.sd_notify import Manager
from gateway.runtime.accounting import KeeperTask
from gateway.runtime.alarm_inputs import AlarmInputs
from gateway.runtime.context import GatewayContext
from gateway.runtime.earlier_readings import EarlierReadings
from gateway.runtime.loop_lag import LoopHealth, LoopLag
from gateway.runtime.watchdog import Watchdog

log = logging.getLogger("meterseal.agent")

AGAIN_S = 5.0


@dataclass(frozen=True, slots=True)
class Wanted:
    """A companion that the configuration asks for: its name, what of the configuration it is made of (a reload makes it
    anew only when that is another), and how it is made."""

    name: str
    settings: object
    make: Callable[[], BackgroundTask]


def wanted(site: GatewayContext, loops: LoopHealth) -> list[Wanted]:
    """All background tasks that the configuration in force asks for."""
    series = {name: each.series for name, each in site.config.configured.items()}
    watched = (loops.heartbeats, site.recorder, site.clock, site.live, site.lines)
    found = [
        Wanted("alarms", None, lambda: site.board),
        Wanted("accounting", None, lambda: KeeperTask(site.keeper)),
        Wanted("alarm sources", None, partial(AlarmInputs, site)),
        Wanted("watch", None, lambda: Watchdog(Manager(), *watched)),
        Wanted("earlier readings", None, partial(EarlierReadings, site)),
        Wanted("lag", None, partial(LoopLag, loops.lag)),
        Wanted("summaries", tuple(site.config.meters), lambda: Backfill(site.config, site.clock, site.recorder)),
        Wanted("polls", series, lambda: PollCounts(site.config, site.clock, site.recorder)),
    ]
    found += (Wanted(f"feed {x.name}", x, partial(_feed, site, x)) for x in site.config.document.feed)
    found += (Wanted(NOTIFY + x.name, x, partial(_receiver, site, x)) for x in site.config.document.notify)
    if (web := site.config.document.web) is not None:
        found.append(Wanted("pages", web, partial(PagesServer, site, loops, web)))
    return found


def _feed(site: GatewayContext, entry: FeedEntry) -> BackgroundTask:
    from gateway.agent.feed_factory import make_feed  # paho, which a gateway without feeds need not load

    return make_feed(site, entry)


def _receiver(site: GatewayContext, entry: NotifyEntry) -> BackgroundTask:
    from gateway.alarms.notification.receiver import make_receiver  # what a gateway that notifies nobody need not load

    return make_receiver(site, entry)


class TaskSet:
    """The background tasks that the configuration in force asks for. Event loop only."""

    def __init__(self, wanted: Callable[[], list[Wanted]], group: EpochTaskGroup) -> None:
        """``wanted``: all that the configuration in force asks for; asked by ``make`` and at each renewal."""
        self._wanted, self._group = wanted, group
        self._made: dict[str, tuple[object, BackgroundTask]] = {}
        """By name: what of the configuration it was made of, and the task."""
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def make(self) -> None:
        """Make all, before the first record of the epoch is written; ``start`` begins them."""
        for want in self._wanted():
            self._made[want.name] = want.settings, want.make()

    def start(self) -> None:
        """Begin all that are made."""
        for name in self._made:
            self._start(name)

    def stop(self) -> None:
        """Cancel all; whoever waits for the task group waits for them."""
        for task in self._tasks.values():
            task.cancel()

    async def renew(self) -> None:
        """Notify the tasks that stay, end those that are replaced or gone, and begin those that are new."""
        asked = {want.name: want for want in self._wanted()}
        for name, (settings, made) in list(self._made.items()):
            if name in asked and asked[name].settings == settings:
                made.reloaded()
                del asked[name]
            else:
                task = self._tasks.pop(name)
                task.cancel()
                await asyncio.wait([task])
                made.close()
                del self._made[name]
        for name, want in asked.items():
            self._made[name] = want.settings, want.make()
            self._start(name)

    def close(self) -> None:
        """Close all, behind their tasks."""
        for _, made in self._made.values():
            made.close()

    def _start(self, name: str) -> None:
        _, made = self._made[name]
        self._tasks[name] = self._group.begin(keep(name, made), name)


async def keep(name: str, companion: BackgroundTask) -> None:
    """Run a companion until cancelled; one that fails is logged and started again."""
    while True:
        try:
            await companion.run()
            return
        except GatewayError as error:
            log.error("%s: %s; trying again", name, error)
        except Exception:
            log.exception("%s failed; restarting it; recording continues", name)
        await asyncio.sleep(AGAIN_S)
