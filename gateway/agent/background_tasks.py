"""Background tasks of an epoch, each isolated: its failure costs neither a reading nor another task."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from gateway.config.feed import FeedEntry
from gateway.dashboard.server import PagesServer
from gateway.errors import GatewayError
from gateway.history.backfill import Backfill
from gateway.process.background import BackgroundTask
from gateway.process.sd_notify import Manager
from gateway.runtime.alarm_inputs import AlarmInputs
from gateway.runtime.context import GatewayContext
from gateway.runtime.loop_lag import LoopLag
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


def wanted(site: GatewayContext) -> list[Wanted]:
    """All companions of a site, by its configuration as it is now."""
    found = [
        Wanted("alarms", None, lambda: site.board),
        Wanted("alarm sources", None, partial(AlarmInputs, site)),
        Wanted("watch", None, lambda: Watchdog(site, Manager())),
        Wanted("lag", None, partial(LoopLag, site)),
        Wanted("summaries", tuple(site.config.meters), lambda: Backfill(site.config, site.clock, site.recorder)),
    ]
    found += (Wanted(f"feed {x.name}", x, partial(_feed, site, x)) for x in site.config.document.feed)
    if (web := site.config.document.web) is not None:
        found.append(Wanted("pages", web, partial(PagesServer, site, web)))
    return found


def _feed(site: GatewayContext, entry: FeedEntry) -> BackgroundTask:
    from gateway.agent.feed_factory import make_feed  # paho, which a gateway without feeds need not load

    return make_feed(site, entry)


async def keep(name: str, companion: BackgroundTask) -> None:
    """Run a companion until cancelled; one that fails is logged and started again."""
    while True:
        try:
            await companion.run()
            return
        except GatewayError as error:
            log.error("%s: %s; trying again", name, error)
        except Exception:
            log.exception("%s has failed and is started again; recording goes on", name)
        await asyncio.sleep(AGAIN_S)
