"""Long lists, written portion by portion in one thread for everybody who waits, in turn.

A list may be as long as the database, and its client as slow as it likes: so no list is ever whole in memory, none
holds a state of the database longer than for a portion, and no client gets a second portion while another waits for its
first: a list alone has ``AHEAD`` of its portions made while one is on its way, beside others it waits for its turn. The
thread is a database reader with nothing else to do (``Reader``): pages never wait for it. Between two portions only
their client is waited for, and for ``SEND_S`` at most. Lists are what can wait: their longest work is
done between two turns of the event loop (``gateway.process.loop_turns``), which reads the meters.

The first portion is made before the answer begins, so that what is wrong is a refusal with its status. What goes wrong
behind it ends the list early, and its last line says so: a list without its end looks like a whole one.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from gateway.errors import Declined, GatewayError
from gateway.messages.message import Message

log = logging.getLogger("meterseal.pages")

T = TypeVar("T")
D = TypeVar("D")
"""One state of a database."""
_D = TypeVar("_D", contravariant=True)
_R = TypeVar("_R", covariant=True)

MOST = 16
"""Lists that are written at once; they are what waits for the thread."""
AHEAD = 2
"""Portions of a list that are asked for ahead of their time: one is made, one waits, so that the thread never does."""
PORTION_BYTES = 96 * 1024
"""Length of a portion, about: what each client costs in memory."""
ALONE_BYTES = 512 * 1024
"""… of a list alone: one client may cost more, and each portion costs two changes of threads."""
SEND_S = 10.0
"""Seconds in which a client has to take a portion."""
PIECE = 256 * 1024
"""Bytes that the event loop hands over at a time."""


class TooMany(Declined):
    """Too many lists are being written."""


class Reader(Protocol[_R]):
    """A thread that reads the database."""

    def call(self, function: Callable[[_R], T]) -> asyncio.Future[T]:
        """What ``function(store)`` gives, run in the thread on one state of the database; asked for at once."""
        ...


class Listing(Protocol[_D]):
    """One list. Its methods run in the thread, one after the other, each on a state of the database of its own."""

    media_type: str
    headers: Mapping[str, str]
    """Of the answer; known once it has begun."""

    def begin(self, store: _D) -> None:
        """Find what it is of. Raises GatewayError: what is answered in its place."""
        ...

    def portion(self, store: _D, most_bytes: int) -> bytes:
        """What comes next, about so many bytes; b"" where there is nothing yet. Raises GatewayError: it ends here."""
        ...

    @property
    def over(self) -> bool:
        """Whether the last portion has been written."""
        ...

    def cut_short(self, error: GatewayError) -> bytes:
        """The end of a list that ends early, which says so."""
        ...


class Portions(Generic[D]):
    """Writes lists by the ``reader``, a thread for them alone."""

    def __init__(self, reader: Reader[D], most: int = MOST, send_s: float = SEND_S) -> None:
        self.reader, self._most, self.send_s = reader, most, send_s
        self.open = 0
        """Lists that are being written."""
        self.cut = 0
        """Clients that were disconnected because they did not take a portion."""

    async def answer(self, listing: Listing[D], holds: Callable[[], bool] = lambda: True) -> Response:
        """The answer whose body is this list. ``holds``: whether whoever asked may still have it; where not, the
        connection ends within the list.

        Raises:
            TooMany: too many lists are being written.
            GatewayError: the list cannot begin.
        """
        if self.open >= self._most:
            raise TooMany(Message("lists-too-many", most=self._most))
        self.open += 1
        try:

            def begin(store: D) -> bytes:
                listing.begin(store)
                return listing.portion(store, PORTION_BYTES)

            first = await self.reader.call(begin)
        except BaseException:
            self.open -= 1
            raise
        return _Written(self, listing, first, holds)


class _Written(Response):
    """A list on its way to its client."""

    def __init__(self, portions: Portions[Any], listing: Listing[D], first: bytes, holds: Callable[[], bool]) -> None:
        super().__init__(media_type=listing.media_type, headers=dict(listing.headers))
        del self.headers["content-length"]
        self._portions, self._listing, self._first, self._holds = portions, listing, first, holds
        self._asked = deque[asyncio.Future[tuple[bytes, bool]]]()
        self._asked_for = self._made = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        connection = scope["state"]["connection"]
        connection.open_ended()
        try:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            data, over = self._first, self._listing.over
            if scope["method"] == "HEAD":
                data, over = b"", True
            while not connection.gone:
                if not over and self._portions.open == 1:
                    self._ask(AHEAD)
                async with asyncio.timeout(self._portions.send_s):
                    await _send(data, send, more=not over)
                if over:
                    return
                if not self._holds():
                    break
                self._ask(1)
                data, over = await self._next()
        except TimeoutError:
            self._portions.cut += 1
            log.info("disconnected a client that did not take its list")
        except Exception:  # a mistake of ours: the client sees a list without its end
            log.exception("a list failed")
        finally:
            self._portions.open -= 1
            self._forget()
        connection.cut()
        await send(_body(b"", more=False))  # which goes nowhere

    def _ask(self, count: int) -> None:
        """Have so many portions asked for that are not on their way yet; behind the last one there is nothing."""
        while len(self._asked) < count:
            self._asked.append(self._portions.reader.call(partial(self._portion, self._asked_for)))
            self._asked_for += 1

    def _portion(self, number: int, store: Any) -> tuple[bytes, bool]:
        """In the thread: the next portion, and whether it is the last one. None behind one that failed."""
        if self._listing.over or number > self._made:
            return b"", True
        data = self._listing.portion(store, ALONE_BYTES if self._portions.open == 1 else PORTION_BYTES)
        self._made += 1
        return data, self._listing.over

    async def _next(self) -> tuple[bytes, bool]:
        try:
            return await self._asked.popleft()
        except GatewayError as error:
            log.info("a list ends early: %s", error)
            return self._listing.cut_short(error), True

    def _forget(self) -> None:
        """Nobody waits for what was asked for."""
        for asked in self._asked:
            if not asked.cancel() and not asked.cancelled():
                asked.exception()


async def _send(data: bytes, send: Send, *, more: bool) -> None:
    for start in range(0, len(data), PIECE):
        await send(_body(data[start : start + PIECE], more=True))
    if not more:
        await send(_body(b"", more=False))


def _body(data: bytes, *, more: bool) -> dict[str, Any]:
    return {"type": "http.response.body", "body": data, "more_body": more}
