"""Event stream of the live pages: one snapshot of the site a second, encoded once for all clients.

What a client does not read waits in bounded buffers for a bounded time; then the client is cut off.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Generic

from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send

from gateway.dashboard.shell.page import Document, S, Source
from gateway.dashboard.shell.readers import Readers
from gateway.dashboard.shell.sessions import Session
from gateway.errors import GatewayError
from ledger_client.http_server.connection import Connection

log = logging.getLogger("meterseal.pages")

EVERY_S = 1.0
MOST, MOST_OF_ONE = 64, 64
MOST_WAITING = 32
SEND_S = 10.0
"""Seconds in which a client has to take what it was sent."""
ALIVE_S = 15.0
AGAIN = b"retry: 1000\n\n"
"""When a browser opens a stream again that broke, in ms: a display goes on soon after a restart."""
KEEP_ALIVE = b": \n\n"
END = {"type": "http.response.body", "body": b"", "more_body": False}


@dataclass(slots=True, eq=False)
class Client:
    """One open page that follows the stream."""

    session: Session
    connection: Connection
    fresh: bool = True
    """Whether it has not received the whole site yet."""
    waiting: deque[bytes] = field(default_factory=deque)
    news: asyncio.Event = field(default_factory=asyncio.Event)
    over: bool = False

    def tell(self, data: bytes) -> None:
        """One more piece; behind too many of them it is over."""
        self.waiting.append(data)
        self.over = self.over or len(self.waiting) > MOST_WAITING
        self.news.set()

    def end(self) -> None:
        """End the stream of this client."""
        self.over = True
        self.news.set()

    def take(self) -> bytes:
        """All that waits."""
        data = b"".join(self.waiting)
        self.waiting.clear()
        self.news.clear()
        return data


class Stream(Generic[S]):
    """``run`` looks at the site while anybody watches; ``serve`` is one client's answer (ASGI). Event loop only."""

    every_s, send_s = EVERY_S, SEND_S

    def __init__(self, source: Source[S], readers: Readers[S], watches: Callable[[Session], bool]) -> None:
        """``watches``: whether who has this session may still look."""
        self._source, self._readers, self._watches = source, readers, watches
        self._clients: set[Client] = set()
        self._wanted = asyncio.Event()
        self._before: Document | None = None
        self._number = 0
        self.cut = 0
        """Clients that were disconnected because they did not read."""

    @property
    def watching(self) -> int:
        """How many clients there are."""
        return len(self._clients)

    async def run(self) -> None:
        """Look for changes and send them to the clients, until cancelled."""
        loop = asyncio.get_running_loop()
        due_s = loop.time()
        while True:
            await self._wanted.wait()
            self._mind_sessions()
            if self._clients:
                due_s = max(due_s, loop.time()) + self.every_s
                await self._look()
                await asyncio.sleep(due_s - loop.time())
            else:
                self._wanted.clear()
                self._before = None

    def close(self) -> None:
        """End every client's stream."""
        for client in self._clients:
            client.end()

    def _mind_sessions(self) -> None:
        for client in self._clients:
            if client.connection.gone or not self._watches(client.session):
                client.end()

    async def _look(self) -> None:
        fresh = any(client.fresh for client in self._clients)
        before, self._number = self._before, self._number + 1
        try:
            rest = self._source()
            document, whole, change = await self._readers.call(
                lambda store: _events(rest, store, before, fresh, self._number)
            )
        except GatewayError as error:  # of the disk, say: pages and alarms show it
            log.debug("event stream not updated: %s", error)
            return
        self._before = document
        for client in self._clients:
            if client.fresh and whole:
                client.fresh = False
                client.tell(whole)
            elif change and not client.fresh:
                client.tell(change)

    async def serve(self, session: Session, scope: Scope, receive: Receive, send: Send) -> None:
        """Send the events to one client, until it goes, its session ends, or it does not read."""
        connection: Connection = scope["state"]["connection"]
        if len(self._clients) >= MOST or sum(c.session is session for c in self._clients) >= MOST_OF_ONE:
            full = PlainTextResponse("too many pages open\n", 503, {"Retry-After": "30"})
            await full(scope, receive, send)
            return
        client = Client(session, connection)
        client.tell(AGAIN)
        self._clients.add(client)
        self._wanted.set()
        connection.open_ended()
        try:
            headers = [(b"content-type", b"text/event-stream"), (b"connection", b"close")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await self._feed(client, send)
        finally:
            self._clients.discard(client)

    async def _feed(self, client: Client, send: Send) -> None:
        try:
            while not client.over:
                with suppress(TimeoutError):
                    async with asyncio.timeout(ALIVE_S):
                        await client.news.wait()
                async with asyncio.timeout(self.send_s):
                    await send({"type": "http.response.body", "body": client.take() or KEEP_ALIVE, "more_body": True})
            async with asyncio.timeout(self.send_s):
                await send(END)
        except TimeoutError:
            self.cut += 1
            log.info("disconnected a page that did not read its events")
            client.connection.cut()
            await send(END)  # which goes nowhere


def _events(
    rest: Callable[[S], Document], store: S, before: Document | None, fresh: bool, number: int
) -> tuple[Document, bytes, bytes]:
    """The document now, an event with all of it if somebody is ``fresh``, and an event with what has changed."""
    document = rest(store)
    change = difference(before, document) if before is not None else {}
    return (
        document,
        encoded("site", number, document) if fresh else b"",
        encoded("change", number, change) if change else b"",
    )


def difference(before: Document, after: Document) -> Document:
    """The entries of ``after`` that are new or other than ``before``; one that is gone is None."""
    changed = {}
    for section in before.keys() | after.keys():
        old, new = before.get(section, {}), after.get(section, {})
        entries = {name: entry for name, entry in new.items() if name not in old or old[name] != entry}
        entries |= dict.fromkeys(old.keys() - new.keys())
        if entries:
            changed[section] = entries
    return changed


def encoded(event: str, number: int, document: Document) -> bytes:
    """A server-sent event (HTML Living Standard §9.2.6): ``site`` holds everything, ``change`` what is other."""
    data = json.dumps(document, ensure_ascii=False, separators=(",", ":"))
    return f"id: {number}\nevent: {event}\ndata: {data}\n\n".encode()
