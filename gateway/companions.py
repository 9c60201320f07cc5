"""Who accompanies an epoch, each in a task of its own, whose failure costs neither a reading nor another companion."""

from __future__ import annotations

import asyncio
import logging

from gateway.errors import GatewayError
from gateway.feeds.of_site import feeds
from gateway.site import Companion, Site

log = logging.getLogger("meterseal.agent")

AGAIN_S = 5.0


def companions(site: Site) -> list[Companion]:
    """All of them that the configuration asks for."""
    return [*feeds(site)]


async def keep(companion: Companion) -> None:
    """Run a companion until cancelled; one that fails is logged and started again."""
    while True:
        try:
            await companion.run()
            return
        except GatewayError as error:
            log.error("%s: %s; trying again", companion.name, error)
        except Exception:
            log.exception("%s has failed and is started again; recording goes on", companion.name)
        await asyncio.sleep(AGAIN_S)
