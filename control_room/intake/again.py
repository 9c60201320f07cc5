"""What is asked for again, on its way to the gateways: a message to each, which only one that is connected gets.

It is asked for again, later and later, as long as it is missing; so nothing is kept for a gateway that is away.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from nats.aio.client import Client
from nats.errors import Error

from control_room.intake.topics import again_subject
from control_room.store.asking import Again
from ledger_client.formats.feed_messages import Asked, RecordRange, encode_again

log = logging.getLogger("meterseal.control")


async def publish(link: Client, asked: Iterable[Again]) -> None:
    """Publish what is asked of gateways. What has no connection to go by is asked for later."""
    for again in asked:
        message = encode_again(Asked(tuple(RecordRange(*each) for each in again.ranges), again.batches))
        try:
            await link.publish(again_subject(again.gateway), message)
        except Error as error:
            log.warning("no gateway is asked for what is missing now: %s", error)
            return
