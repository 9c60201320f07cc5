"""Connection to NATS: the servers of [intake], TLS, login; what a failure of it says."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable

from nats.aio.client import Client
from nats.errors import Error

from gateway.messages.message import Message
from gateway.messages.system_errors import os_error
from ledger_client.messages import Sentence
from ledger_client.transport.access import Access

CONNECT_WITHIN_S = 5
RETRY_S = 1
PING_S = 10
"""A server that went without a word is noticed after two of these."""

Failed = Callable[[BaseException], None]
Event = Callable[[], None]


class Plain(Error):
    """The server offers no TLS, and TLS was asked for: no login and no acknowledgement goes there."""


class _Link(Client):
    """A client that never goes on without the TLS that it was asked for: whether there is any, a server decides."""

    def _connect_command(self) -> bytes:
        if self.options.get("tls") is not None and not self._server_info.get("tls_required"):
            raise Plain
        return super()._connect_command()


async def connect(
    urls: tuple[str, ...], access: Access, name: str, *, failed: Failed, lost: Event, again: Event, once: bool = False
) -> Client:
    """A connection, which connects again by itself for ever.

    Args:
        urls: the servers to begin with.
        access: login and certificates; a password is read anew at each connection.
        name: what the server's monitoring shows.
        failed: called with each failure, of an attempt too.
        lost: called when the connection is lost.
        again: called when there is one again.
        once: one attempt, which raises what it failed with: nats.errors.Error, OSError, TimeoutError.
    """
    link = _Link()
    encrypted = any(url.startswith("tls:") for url in urls)
    context = access.tls_context() if encrypted else None
    if context is not None:
        access.load_own(context)

    async def error(problem: BaseException) -> None:
        failed(problem)

    user, password = access.user, access.password
    await link.connect(
        list(urls), name=name, tls=context, user=user, password=_password(password) if user else None,
        error_cb=error, disconnected_cb=_called(lost), reconnected_cb=_called(again),
        allow_reconnect=not once, max_reconnect_attempts=1 if once else -1, reconnect_time_wait=RETRY_S,
        connect_timeout=CONNECT_WITHIN_S, ping_interval=PING_S,
    )  # fmt: skip
    return link


def _password(read: Callable[[], str | None]) -> Callable[[], str]:
    return lambda: read() or ""


def _called(function: Event) -> Callable[[], Awaitable[None]]:
    async def call() -> None:
        function()

    return call


def why(error: BaseException) -> Sentence:
    """What a failure of NATS says, as part of a sentence."""
    if isinstance(error, Plain):
        return Message("control-intake-plain")
    if isinstance(error, ssl.SSLError):
        return (error.reason or str(error)).lower().replace("_", " ")
    if isinstance(error, OSError) and not isinstance(error, TimeoutError):
        return os_error(error)
    if isinstance(error, TimeoutError | asyncio.TimeoutError):
        return Message("control-intake-no-answer")
    return str(error).removeprefix("nats: ") or type(error).__name__
