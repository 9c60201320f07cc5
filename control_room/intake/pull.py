"""Messages of a durable pull consumer, asked for in advance: while some are judged and stored others arrive.

What is *held* is delivered and not acknowledged: at most ``MOST_HELD`` messages and about ``MOST_BYTES``. It is
acknowledged once it is durable, and kept alive for a while (``+WPI``), so that no other receiver gets it meanwhile.
What the server delivers again while it is held replaces the way to acknowledge it, and is judged once. All calls are
made on the event loop.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

MOST_HELD: Final = 1024
MOST_BYTES: Final = 8 * 1024 * 1024
EXPIRES_S: Final = 30.0
HEARTBEAT_S: Final = 2.0
SILENT_S: Final = 5.0
"""Without a message or a heartbeat the leader of the consumer has gone, or the consumer."""
_REQUEST: Final = "$JS.API.CONSUMER.MSG.NEXT"


class Delivered(NamedTuple):
    """One message: its place in the stream and among the consumer's deliveries, subject and bytes."""

    place: int
    delivery: int
    subject: str
    data: bytes


class Gone(Exception):
    """The consumer answers no longer: deleted, moved, or its server is gone."""


class _Held(NamedTuple):
    message: Msg
    size: int
    since: float


class Pull:
    """Requests to one consumer, and what is held of it."""

    def __init__(
        self, link: Client, stream: str, consumer: str, deliver: Callable[[Delivered], None],
        monotonic: Callable[[], float],
    ) -> None:  # fmt: skip
        """``deliver`` is called with each new message."""
        self._link, self._deliver, self._monotonic = link, deliver, monotonic
        self._subject = f"{_REQUEST}.{stream}.{consumer}"
        self._inbox = link.new_inbox()
        self._held: dict[int, _Held] = {}
        self._bytes = 0
        self._asked = 0
        self._heard = 0.0
        self._gone: str | None = None
        self._changed = asyncio.Event()

    @property
    def held(self) -> int:
        """How many messages are delivered and not acknowledged."""
        return len(self._held)

    async def run(self) -> None:
        """Ask for messages until cancelled. Raises Gone: ensure that the consumer is there, then call it again."""
        subscription = await self._link.subscribe(self._inbox, cb=self._arrived)
        self.restart()
        self._gone = None
        try:
            while True:
                if self._gone is not None:
                    raise Gone(self._gone)
                await self._ask()
                self._changed.clear()
                try:
                    async with asyncio.timeout(HEARTBEAT_S):
                        await self._changed.wait()
                except TimeoutError:
                    if self._asked and self._monotonic() - self._heard > SILENT_S:
                        raise Gone("") from None
        finally:
            if not self._link.is_closed:
                await subscription.unsubscribe()

    def restart(self) -> None:
        """The connection is a new one: what was asked for is forgotten there."""
        self._asked = 0
        self._heard = self._monotonic()
        self._changed.set()

    async def acknowledge(self, places: Iterable[int]) -> None:
        """These are durable. An acknowledgement that does not arrive is a message delivered again."""
        for place in places:
            if (held := self._held.pop(place, None)) is not None:
                self._bytes -= held.size
                await self._send(held.message, b"")
        self._changed.set()

    async def hold(self, older_s: float, younger_s: float) -> None:
        """Keep what has been held for longer than one time, and not yet for the other, from being delivered again."""
        now = self._monotonic()
        for held in list(self._held.values()):
            if older_s < now - held.since < younger_s:
                await self._send(held.message, Msg.Ack.Progress)

    async def give_back(self, place: int, delay_s: float) -> None:
        """Not now: it is delivered again after so many seconds, to any receiver."""
        if (held := self._held.pop(place, None)) is not None:
            self._bytes -= held.size
            await self._send(held.message, Msg.Ack.Nak + b" " + json.dumps({"delay": int(delay_s * 1e9)}).encode())

    async def give_back_all(self) -> None:
        """Nothing more is stored here: what is held is delivered again at once, to any receiver."""
        for place in list(self._held):
            await self.give_back(place, 0.0)

    async def _send(self, message: Msg, data: bytes) -> None:
        with suppress(Error):  # no connection: it is delivered again
            await self._link.publish(message.reply, data)

    async def _ask(self) -> None:
        free = MOST_HELD - len(self._held) - self._asked
        if free < MOST_HELD // 2 or self._bytes > MOST_BYTES // 2:
            return
        request = {
            "batch": free, "max_bytes": MOST_BYTES, "expires": int(EXPIRES_S * 1e9),
            "idle_heartbeat": int(HEARTBEAT_S * 1e9),
        }  # fmt: skip
        self._asked += free
        await self._link.publish(self._subject, json.dumps(request).encode(), reply=self._inbox)

    async def _arrived(self, message: Msg) -> None:
        self._heard = self._monotonic()
        status = message.headers.get("Status") if message.headers else None
        if status is not None and not message.reply.startswith("$JS.ACK."):
            self._status(status, message)
            return
        self._asked = max(0, self._asked - 1)
        pair = message.metadata.sequence
        new = pair.stream not in self._held
        if not new:
            self._bytes -= self._held[pair.stream].size
        since = self._heard if new else self._held[pair.stream].since
        self._held[pair.stream] = _Held(message, len(message.data), since)
        self._bytes += len(message.data)
        if new:
            self._deliver(Delivered(pair.stream, pair.consumer, message.subject, message.data))
        if self._asked <= MOST_HELD // 2:
            self._changed.set()

    def _status(self, status: str, message: Msg) -> None:
        headers = message.headers or {}
        if status == "100":  # a heartbeat
            return
        text = headers.get("Description", "")
        if status in ("404", "408") or (status == "409" and "Nats-Pending-Messages" in headers):
            self._asked = max(0, self._asked - int(headers.get("Nats-Pending-Messages", self._asked)))
        else:  # 409 Consumer Deleted, Leadership Change, Server Shutdown; 503: nobody there
            self._gone = f"{status} {text}".strip()
        self._changed.set()
