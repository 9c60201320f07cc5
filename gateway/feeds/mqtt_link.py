"""MQTT connection of a feed, used from the event loop. Never reopened, so that nothing old is sent again.

A message counts as delivered when the broker has acknowledged it: with QoS 1 by its PUBACK (MQTT 5's 0x10, nobody
listens, counts: the broker is where a feed ends). QoS 0 has none; there the UNSUBACK of a topic filter that was never
asked for shows that the broker has read everything before it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gateway.errors import GatewayError
from gateway.feeds.flight_window import MOST, Window
from gateway.messages import message as messages
from gateway.process.threads import in_thread
from ledger_client.http_server.token_bucket import Buckets
from ledger_client.messages import Sentence
from ledger_client.transport.access import Access
from ledger_client.transport.mqtt_broker import Broker, Handler
from ledger_client.transport.mqtt_options import BrokerOptions, Message, Will

CLOSE_WITHIN_S = 1.0
LONGEST, TOPIC = 2**19, 512
"""Bytes of a message, and of what stands before it in its packet."""
REFUSED = 0x80  # reason codes from here on are refusals (MQTT 5 §2.4)


class Down(GatewayError):
    """There is no connection, or no longer one; the problem says why."""


class OfferRefused(GatewayError):
    """The broker has refused a message that it was only offered."""


@dataclass(frozen=True, slots=True)
class LinkOptions:
    """How a feed uses its connection.

    Args:
        will: message that the broker publishes when the connection breaks.
        mark: a topic filter that is never subscribed to.
        leaves_by_will: the broker publishes the will after an orderly goodbye, too.
        longest: bytes of the largest message to receive; the broker is asked to keep larger ones to itself.
        rate: messages a second of one topic that are received, and ten times as many at once; 0: all.
    """

    will: Will
    mark: str
    leaves_by_will: bool = False
    longest: int = LONGEST
    rate: float = 0


class Link:
    """A connection that is being made. ``open`` it first; everything raises ``Down`` when it has broken.

    Every field belongs to the event loop, and every method runs there; ``_InLoop`` is what the network thread sees.
    """

    def __init__(
        self,
        url: str,
        access: Access,
        client_id: str,
        options: LinkOptions,
        on_message: Callable[[Message], None] = lambda _message: None,
    ) -> None:
        """``on_message`` runs in the event loop."""
        self._loop = asyncio.get_running_loop()
        self.options = options
        self._acks: dict[int, tuple[str, asyncio.Future[None]]] = {}
        self._offered: set[asyncio.Future[None]] = set()
        """Of messages that the broker may refuse."""
        self._unsure: list[asyncio.Future[None]] = []
        self._marks: dict[int, list[asyncio.Future[None]]] = {}
        self._changed = asyncio.Event()
        self._window = Window()
        self.in_flight = 0
        self.down: Sentence | None = None
        """Why there is no connection any more."""
        self._up = False
        self._broker: Broker | None = None
        """Set once, by the thread of ``open``."""
        self._handler = _InLoop(self, on_message)
        self._broker_options = BrokerOptions(
            url,
            client_id,
            access,
            will=options.will,
            queue=2 * MOST,  # paho counts a message until its callback for the acknowledgement has returned
            in_flight=MOST,
            max_packet=options.longest + TOPIC,
            log_level=logging.DEBUG,  # the feed says it, once
        )

    async def open(self) -> None:
        """Connect, and wait until the broker has accepted the connection. May raise AccessError, too."""
        await in_thread(self._begin, "feed connects")
        while not self._up:
            await self._change()

    def _begin(self) -> None:
        """In a thread: certificates are read."""
        self._broker = broker = Broker(self._broker_options, self._handler)
        if self.down is not None:  # closed meanwhile
            broker.close(CLOSE_WITHIN_S, with_will=self.options.leaves_by_will)

    @property
    def protocol(self) -> str:
        """The MQTT version that is spoken."""
        return self._connection.protocol

    @property
    def _connection(self) -> Broker:
        if self._broker is None:
            raise Down(messages.Message("feed-not-opened"))
        return self._broker

    async def send(self, topic: str, data: bytes, *, qos: int = 1, retain: bool = False) -> asyncio.Future[None]:
        """Publish as soon as the window has room (feeds/flight_window.py). The future is done when the broker has
        acknowledged it, and raises ``Down`` when it never will: whatever it refuses ends the connection."""
        while self.in_flight >= self._window.size:
            self._window.full(self._loop.time())
            await self._change()
        self._check()
        return self._publish(topic, data, qos, retain)

    async def offer(self, topic: str, data: bytes) -> asyncio.Future[None]:
        """Have something retained that the broker may refuse: the future raises ``OfferRefused`` then, and the
        connection goes on."""
        future = await self.send(topic, data, retain=True)
        self._offered.add(future)
        future.add_done_callback(self._offered.discard)
        return future

    def _publish(self, topic: str, data: bytes, qos: int, retain: bool) -> asyncio.Future[None]:
        future: asyncio.Future[None] = self._loop.create_future()
        future.add_done_callback(self._landed)
        self.in_flight += 1
        mid = self._connection.publish(topic, data, None, qos=qos, retain=retain)
        if mid is None:  # cannot be, for paho may hold as many as may be in flight
            future.set_exception(Down(messages.Message("feed-queue-full")))
        elif qos:
            self._acks[mid] = topic, future
        else:
            self._unsure.append(future)
            if not self._marks:
                self._set_mark()
        return future

    async def flush(self) -> None:
        """Wait until nothing is on its way."""
        while self.in_flight:
            await self._change()
        self._check()

    async def round_trip(self) -> None:
        """Wait until the broker has read, and answered, all that was asked of it."""
        future: asyncio.Future[None] = self._loop.create_future()
        future.add_done_callback(self._landed)
        self.in_flight += 1
        self._unsure.append(future)
        self._set_mark()
        await future

    async def ended(self) -> None:
        """Wait until there is no connection any more; always raises ``Down``."""
        while True:
            await self._change()

    async def unless_down(self, work: Coroutine[Any, Any, object]) -> None:
        """Wait for something else, but no longer than there is a connection."""
        wanted, ended = asyncio.ensure_future(work), asyncio.ensure_future(self.ended())
        try:
            await asyncio.wait((wanted, ended), return_when=asyncio.FIRST_COMPLETED)
            await (wanted if wanted.done() else ended)
        finally:
            wanted.cancel()
            ended.cancel()

    def subscribe(self, topic: str) -> None:
        """Ask for a topic filter with QoS 1."""
        self._connection.subscribe(topic)

    def unsubscribe(self, topic: str) -> None:
        """Ask for no more of it."""
        self._connection.unsubscribe(topic)

    async def close(self) -> None:
        """Say goodbye and end the network thread."""
        self.lost(messages.Message("feed-closed"))
        broker = self._broker
        if broker is not None:
            await in_thread(lambda: broker.close(CLOSE_WITHIN_S, with_will=self.options.leaves_by_will), "feed closes")

    # — called through _InLoop —

    def connected(self, receive_maximum: int) -> None:
        """The broker has accepted the connection; so many messages may be in flight."""
        self._window.limit(receive_maximum)
        self._up = self.down is None
        self._tell()

    def acknowledged(self, mid: int, code: int, words: str) -> None:
        """The broker's PUBACK; a refusal ends the connection."""
        topic, future = self._acks.get(mid, ("", None))
        if future is None or future.done():
            return
        refusal = messages.Message("feed-topic-refused", topic=topic, words=words) if code >= REFUSED else None
        if refusal is not None and future not in self._offered:
            self.lost(refusal)
            return
        del self._acks[mid]
        if refusal is None:
            future.set_result(None)
        else:
            future.set_exception(OfferRefused(refusal))

    def unsubscribed(self, mid: int) -> None:
        """The broker's UNSUBACK of a mark: it has read everything before it."""
        for future in self._marks.pop(mid, ()):
            if not future.done():
                future.set_result(None)
        if self._unsure and not self._marks:
            self._set_mark()

    def lost(self, state: Sentence) -> None:
        """There is no connection any more; everything that waits for it raises ``Down``."""
        if self.down is not None:
            return
        self.down = state
        marked = (future for futures in self._marks.values() for future in futures)
        waiting = [*(future for _, future in self._acks.values()), *self._unsure, *marked]
        for future in waiting:
            if not future.done():
                future.set_exception(Down(state))
        self._tell()

    # — inside —

    def _set_mark(self) -> None:
        mid = self._connection.unsubscribe(self.options.mark)
        if mid is not None:
            self._marks[mid], self._unsure = self._unsure, []

    def _landed(self, future: asyncio.Future[None]) -> None:
        self.in_flight -= 1
        if not future.cancelled() and future.exception() is None:  # whoever sent it may have gone
            self._window.acknowledged(self._loop.time())
        self._tell()

    def _tell(self) -> None:
        self._changed.set()

    def _check(self) -> None:
        if self.down is not None:
            raise Down(self.down)

    async def _change(self) -> None:
        self._check()
        self._changed.clear()
        await self._changed.wait()
        self._check()


class _InLoop(Handler):
    """The network thread's side of a link: hands everything over to the event loop.

    A message that is too long, or of a topic that has more than its rate, is dropped in the network thread, before it
    can keep the event loop from the meters.
    """

    def __init__(self, link: Link, hear: Callable[[Message], None]) -> None:
        """In the event loop."""
        self._link, self._hear = link, hear
        self._loop = asyncio.get_running_loop()
        self._longest = link.options.longest
        self._rate = Buckets(link.options.rate)
        """Network thread only."""

    def connected(self, broker: Broker) -> None:
        self._post(self._link.connected, broker.receive_maximum)

    def message(self, message: Message) -> None:
        if len(message.data) <= self._longest and not self._rate.take(message.topic):
            self._post(self._hear, message)

    def acknowledged(self, mid: int, code: int, reason: str) -> None:
        self._post(self._link.acknowledged, mid, code, reason)

    def unsubscribed(self, mid: int) -> None:
        self._post(self._link.unsubscribed, mid)

    def down(self, state: Sentence) -> None:
        self._post(self._link.lost, state)

    def _post(self, function: Callable[..., None], *args: object) -> None:
        with suppress(RuntimeError):  # the loop has ended, nobody waits any more
            self._loop.call_soon_threadsafe(function, *args)
