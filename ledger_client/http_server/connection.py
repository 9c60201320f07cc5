"""HTTP server connections (uvicorn) with time limits, and limits on their number.

uvicorn waits for a request's head without limit, and for a client that does not read. Here the head, the whole of a
request with its answer, and the pause between two requests have their time; past it the connection is cut. Connections
beyond a number, in all or of one address, are cut as they come.
"""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import struct
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from ledger_client.http_server.token_bucket import client_of

_LOG = logging.getLogger("meterseal.ledger")


@dataclass(slots=True)
class Turnstile:
    """What all connections of one server share: their limits, and how many each address has."""

    head_s: float = 15.0
    request_s: float = 120.0
    idle_s: float = 65.0
    most: int = 512
    most_of_one: int = 128
    trusted: frozenset[str] = frozenset()  # proxies: they speak for many
    clients: Counter[str] = field(default_factory=Counter)

    def protocol(self, tls: ssl.SSLContext | None = None) -> type[H11Protocol]:
        """The class of this turnstile's connections, as uvicorn's ``http`` option takes it; with ``tls`` they are
        https, and uvicorn must not do it again."""
        kind, more = (Connection, {}) if tls is None else (TlsConnection, {"tls": tls})
        return cast(type[H11Protocol], type("Connection", (kind,), {"turnstile": self, **more}))

    def enter(self, client: str, trusted: bool) -> bool:
        """Let a connection in, unless there are too many."""
        full = self.clients.total() >= self.most or (not trusted and self.clients[client] >= self.most_of_one)
        if not full:
            self.clients[client] += 1
        return not full

    def leave(self, client: str) -> None:
        """A connection that was let in has ended."""
        self.clients[client] -= 1
        if not self.clients[client]:
            del self.clients[client]


class Connection(H11Protocol):
    """One connection behind a ``Turnstile``."""

    turnstile: ClassVar[Turnstile]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._of: str | None = None
        self._phase: tuple[str, int] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.app_state = {**self.app_state, "connection": self}  # the application's scope["state"]

    def open_ended(self) -> None:
        """The answer that is being given may take for ever; whoever gives it cuts a client that does not read it."""
        self._phase = ("open-ended", id(self.cycle))
        if self._timer is not None:
            self._timer.cancel()

    @property
    def gone(self) -> bool:
        """It has ended, or is about to."""
        return bool(self.transport.is_closing())

    def cut(self) -> None:
        """End the connection now. What waits to be sent is thrown away, in the kernel too, which would keep it for a
        quarter of an hour for a client that does not read."""
        linger = struct.pack("ii", 1, 0)
        with suppress(OSError):
            self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, and wait for a head; or cut it."""
        if self._enter(transport):
            self._begin(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left of it."""
        if self._leave():
            super().connection_lost(exc)

    def _enter(self, transport: asyncio.Transport) -> bool:
        peer = transport.get_extra_info("peername")
        host = str(peer[0]) if peer else ""
        if not self.turnstile.enter(client_of(host), host in self.turnstile.trusted):
            transport.abort()
            return False
        self._of = client_of(host)
        return True

    def _begin(self, transport: asyncio.Transport) -> None:
        super().connection_made(transport)
        self._time("head", self.turnstile.head_s)

    def _leave(self) -> bool:
        """Count it out, once."""
        if self._of is None:
            return False
        self.turnstile.leave(self._of)
        self._of = None
        if self._timer is not None:
            self._timer.cancel()
        return True

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request."""
        if self._of is not None and not self.transport.is_closing():
            super().data_received(data)
            self._look()

    def send_400_response(self, msg: str) -> None:
        """Bytes that are no HTTP, in a head or in a body: 400, unless an answer is under way, and the end.

        uvicorn sends it whatever has been sent, and has the application answer as well: h11 refuses either.
        """
        _LOG.warning("a client at %s sent what is no HTTP request", self._of)
        if self.cycle is not None:
            self.cycle.disconnected = True  # whoever is about to answer need not
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            super().send_400_response(msg)
        else:
            self.transport.close()

    def on_response_complete(self) -> None:
        """The answer has been given to the transport."""
        super().on_response_complete()
        self._look()

    def _look(self) -> None:
        cycle = self.cycle
        if self._phase == ("open-ended", id(cycle)) and not cycle.response_complete:
            return
        if cycle is not None and (not cycle.response_complete or self.conn.their_state is h11.SEND_BODY):
            self._time("request", self.turnstile.request_s)
        elif cycle is None or self.conn.trailing_data[0]:
            self._time("head", self.turnstile.head_s)
        else:
            self._time("idle", self.turnstile.idle_s)

    def _time(self, phase: str, seconds: float) -> None:
        """Begin the time of a phase; more bytes of the same one do not give it more."""
        now = (phase, id(self.cycle))
        if now != self._phase:
            self._phase = now
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self.loop.call_later(seconds, self.transport.abort)


class TlsConnection(Connection):
    """… over TLS. Where uvicorn does the handshake nobody knows of a client in the middle of it, for up to a minute.

    Done here, such a client counts as any other, and a handshake may take no longer than a head."""

    tls: ClassVar[ssl.SSLContext]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._handshake: asyncio.Task[None] | None = None
        self._early = b""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Let it in, and begin the handshake; or cut it."""
        if self._enter(transport):
            transport.pause_reading()  # until there is somebody to read the client's hello
            self._handshake = self.loop.create_task(self._shake_hands(transport))

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is left of it."""
        if self._handshake is None:
            super().connection_lost(exc)
        else:
            self._leave()

    def data_received(self, data: bytes) -> None:
        """Some bytes of a request, which may be here a moment before the handshake's end is known here."""
        if self._handshake is None:
            super().data_received(data)
        else:
            self._early += data

    async def _shake_hands(self, transport: asyncio.Transport) -> None:
        secured: asyncio.Transport | None = None
        try:
            secured = await self.loop.start_tls(
                transport, self, self.tls, server_side=True, ssl_handshake_timeout=self.turnstile.head_s
            )
        except OSError:  # of TLS, of the network, or out of time: there is nobody to tell
            transport.abort()
        finally:
            if secured is None or secured.is_closing():
                self._leave()
        if self._of is not None and secured is not None:
            self._handshake = None
            self._begin(secured)
            if self._early:
                self.data_received(self._early)
