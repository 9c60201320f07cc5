"""Home Assistant discovery: device messages and the state of each meter, kept at the broker as the site stands.

What was announced is read back from the broker at each connection, so nothing has to be remembered here: the retained
``…/up/<meter>`` says which meters were announced, also by an earlier run, and the device messages themselves which
entities. A meter's ``up`` is published before its device message and emptied after it. Home Assistant finds all of it
retained; its birth message asks for nothing.

A broker may refuse topics that are not the feed's, with a reason or by ending the connection. Either costs no reading:
what is announced waits for a while then, longer each time, and everything else goes on.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import partial

from gateway.feeds.home_assistant import DOWN, PREFIX, UNKNOWN, UP, Device, announced, config_topic, device_message
from gateway.feeds.json_messages import Topics
from gateway.feeds.mqtt_link import Down, Link, OfferRefused
from ledger_client.messages import Sentence

log = logging.getLogger("meterseal.feed")

LOOK_EVERY_S = 0.5
"""Seconds between two looks at which meters answer."""
PAUSE_S = 0.02
"""Seconds between two device messages, in which readings go first."""
MOST_RETAINED = 10_000
"""Meters of an earlier run that are looked at, at most."""
WAIT_S = (60.0, 300.0, 3600.0)
"""Seconds without announcements after the broker has refused one: the first time, the second, all further ones."""


class Discovery:
    """Announcements of one feed. Event loop only."""

    def __init__(
        self,
        gateway: str,
        devices: Callable[[], Mapping[str, Device]],
        up: Callable[[], Mapping[str, bool | None]],
    ) -> None:
        """``devices``: the meters to announce; none where the feed does not announce, or no longer. ``up``: whether
        each configured meter answers; None: not known yet."""
        self._gateway, self._topics = gateway, Topics(gateway)
        self._configured, self._up = devices, up
        self._devices = devices()
        self._states: dict[str, bytes] = {}
        """By meter: what the broker has retained of its ``up``."""
        self._retained: dict[str, tuple[bytes, list[tuple[str, str]]]] = {}
        """By topic: digest of the device message that the broker has retained, and the entities in it."""
        self._changed = asyncio.Event()
        self._refusals = 0
        self._wait_until = 0.0
        self.refused: Sentence | None = None
        """Why the broker took no device message, the last time."""

    def filters(self) -> list[str]:
        """The topics to read back."""
        return [self._topics.up("+"), *(config_topic(self._gateway, meter) for meter in self._devices)]

    def forget(self) -> None:
        """What the broker has retained is about to be read again; it may have lost it, or not show it."""
        self._states, self._retained = dict.fromkeys(self._states, b""), {}

    def hear(self, topic: str, data: bytes) -> bool:
        """Take in what the broker has retained; False: it is none of these topics."""
        start = self._topics.up("")
        if topic.startswith(start):
            if len(self._states) < MOST_RETAINED:
                self._states[topic.removeprefix(start)] = data
            return True
        if topic.startswith(f"{PREFIX}/"):
            self._retained[topic] = hashlib.sha256(data).digest(), announced(data)
            return True
        return False

    def reloaded(self) -> None:
        """Take note that the site has other meters, or other points."""
        self._devices = self._configured()
        self._refusals, self._wait_until = 0, 0.0
        self._changed.set()

    async def publish_states(self, link: Link) -> None:
        """Publish which meters answer, where that has changed. A meter that is no more does not."""
        if self._is_held_back():
            return
        up = self._up()
        wanted = dict.fromkeys(self._states, DOWN) | {meter: _state(up.get(meter)) for meter in self._devices}
        for meter, state in wanted.items():
            if self._states.get(meter) != state and (meter in self._devices or meter in self._states):
                self._states[meter] = state
                future = await link.offer(self._topics.up(meter), state)
                future.add_done_callback(partial(self._state_answered, meter))

    def _state_answered(self, meter: str, future: asyncio.Future[None]) -> None:
        error = None if future.cancelled() else future.exception()
        if isinstance(error, Down | OfferRefused):
            self._states.update({meter: b""} if meter in self._states else {})
            self._hold_back(error.sentence)

    async def run(self, link: Link) -> None:
        """Announce, and follow what changes, while connected; returns if there is nothing to announce or withdraw."""
        if not self._devices and not self._states:
            return
        async with asyncio.TaskGroup() as group:
            group.create_task(self._follow(link), name="discovery")
            group.create_task(self._announce(link), name="discovery")

    async def _follow(self, link: Link) -> None:
        while True:
            await self.publish_states(link)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _announce(self, link: Link) -> None:
        while True:
            self._changed.clear()
            if not self._is_held_back():
                await self._announce_all(link)
            with suppress(TimeoutError):
                async with asyncio.timeout_at(self._wait_until if self._is_held_back() else None):
                    await self._changed.wait()

    async def _announce_all(self, link: Link) -> None:
        """Announce what differs from what is retained, and withdraw meters that are no more."""
        await self.publish_states(link)
        for meter, device in self._devices.items():
            topic = config_topic(self._gateway, meter)
            digest, former = self._retained.get(topic, (b"", []))
            data = device_message(self._topics, self._gateway, meter, device, former)
            now = hashlib.sha256(data).digest()
            if now != digest:
                if not await self._is_taken(link, topic, data):
                    return
                self._retained[topic] = now, announced(data)
                await asyncio.sleep(PAUSE_S)
        for meter in self._states.keys() - self._devices.keys():
            if not await self._is_taken(link, config_topic(self._gateway, meter), b""):
                return
            del self._states[meter]
            if not await self._is_taken(link, self._topics.up(meter), b""):
                return
        if not self._is_held_back():  # by an answer to what was published meanwhile
            self._refusals, self.refused = 0, None

    async def _is_taken(self, link: Link, topic: str, data: bytes) -> bool:
        """Offer a message; False: refused. A connection that ends over it counts as a refusal, too."""
        future = await link.offer(topic, data)
        try:
            await future
        except (Down, OfferRefused) as error:
            self._hold_back(error.sentence)
            if isinstance(error, Down):
                raise
            return False
        return True

    def _is_held_back(self) -> bool:
        return asyncio.get_running_loop().time() < self._wait_until

    def _hold_back(self, why: Sentence) -> None:
        if self._is_held_back():
            return
        if self.refused is None:
            log.warning("nothing is announced to Home Assistant: %s", why)
        self.refused = why
        self._wait_until = asyncio.get_running_loop().time() + WAIT_S[min(self._refusals, len(WAIT_S) - 1)]
        self._refusals += 1


def _state(up: bool | None) -> bytes:
    return UNKNOWN if up is None else UP if up else DOWN
