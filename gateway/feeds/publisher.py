"""Publisher interface: what differs between the kinds of feed, from topics to first and last messages."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from gateway.feeds.mqtt_link import Link
from gateway.feeds.reading_message import FeedReading
from gateway.messages import message as messages
from ledger_client.transport.mqtt_options import Message, Will

TOGETHER = 20
"""Readings of one meter in one message, at most, unless the kind of feed wants fewer."""
Sent = list[tuple[FeedReading, asyncio.Future[None]]]
"""Readings, each with the future of the message that holds it."""


class Publisher(Protocol):
    """One kind of feed. Its calls raise ``Down`` when the connection is gone."""

    mark: str
    """A topic filter of its own that is never subscribed to."""
    leaves_by_will: bool
    """Whether the broker is to publish the will after an orderly goodbye, too."""
    longest: int
    """Bytes of the largest message that it hears."""
    rate: float
    """Messages a second of one topic that it hears, ten times as many at once; 0: all."""
    together: int
    """Readings of one meter in one message, at most."""

    @property
    def remark(self) -> messages.Message | None:
        """How the feed stands once it is connected, where that is not all; None: it is."""
        ...

    def will(self) -> Will:
        """The last will of the next connection."""
        ...

    def hear(self, message: Message) -> None:
        """Take in a message that has arrived."""
        ...

    def reloaded(self) -> None:
        """Take note that the site has other meters."""
        ...

    async def begin(self, link: Link) -> Sent:
        """Publish what has to come before the first reading. Returns when readings may follow, with those that it has
        published already."""
        ...

    async def live(self, link: Link, readings: Sequence[FeedReading]) -> asyncio.Future[None]:
        """Publish new readings of one meter, oldest first."""
        ...

    async def history(self, link: Link, readings: Sequence[FeedReading]) -> asyncio.Future[None]:
        """Publish readings of one meter that could not be published live."""
        ...

    async def alarms(self, link: Link) -> None:
        """Publish which alarms stand, if that has changed."""
        ...

    async def watch(self, link: Link) -> None:
        """Look after all else while connected; raises ``Down`` when the connection is to end."""
        ...

    async def leave(self, link: Link) -> None:
        """Publish the last message before an orderly disconnection."""
        ...
