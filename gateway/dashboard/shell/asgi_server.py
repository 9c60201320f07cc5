"""ASGI server of pages: uvicorn's HTTP protocol on an open socket, within limits of connections and times."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from typing import Any, ClassVar

import uvicorn
from uvicorn.server import ServerState

from gateway.dashboard.shell.app import App
from gateway.dashboard.shell.content_coding import coded_file
from gateway.dashboard.shell.html import Html
from gateway.dashboard.shell.request_guard import MAX_HEAD
from ledger_client.http_server.connection import Connection, Turnstile
from ledger_client.http_server.log_limiter import Quiet
from ledger_client.http_server.tls_reload import Certificates
from ledger_client.transport.access import Access

HEAD_S, REQUEST_S, IDLE_S = 10.0, 60.0, 30.0
MOST, MOST_OF_ONE = 256, 128
GRACE_S = 0.5
SEND_BUFFER = 128 * 1024
"""What the kernel keeps for a client that does not read: bounded, so that it is soon known."""
QUIET = Quiet()
"""Strangers can make lines of the log: so many of a kind."""


class AsgiServer:
    """How an application's pages are served; their files are read and compiled. Takes a second: not on the event loop.

    Args:
        html: of the application.
        access: certificate and key, read again when they change; None: no TLS.
    """

    _frozen: ClassVar[bool] = False

    def __init__(self, html: Html, access: Access | None) -> None:
        html.prepare()
        for content, _, _ in filter(None, map(html.static, html.files)):
            coded_file(content)
        self._turnstile = Turnstile(
            head_s=HEAD_S, request_s=REQUEST_S, idle_s=IDLE_S, most=MOST, most_of_one=MOST_OF_ONE
        )
        self._protocol = self._turnstile.protocol(None if access is None else Certificates(access).context)
        for name in ("meterseal.pages", "meterseal.ledger"):
            logging.getLogger(name).addFilter(QUIET)
        if not AsgiServer._frozen:  # only once: what an ended epoch has left must not stay
            AsgiServer._frozen = True
            gc.freeze()  # what was loaded does: a collection need not walk over it, a tenth of a second each time
        logging.getLogger("uvicorn").setLevel(logging.ERROR)  # its warnings are about what strangers send, a line each

    async def serve(self, app: App[Any], listener: socket.socket) -> None:
        """Serve this application until cancelled."""
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # connections inherit it
        async with asyncio.TaskGroup() as group:
            group.create_task(app.kept.run(), name="pages' sessions")
            if app.stream is not None:
                group.create_task(app.stream.run(), name="pages' stream")
            group.create_task(self._serve(app, listener), name="pages' server")

    async def _serve(self, app: App[Any], listener: socket.socket) -> None:
        config = uvicorn.Config(
            app.asgi,
            http=self._protocol,
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            h11_max_incomplete_event_size=MAX_HEAD,
            timeout_keep_alive=int(IDLE_S),
        )
        config.load()
        state = ServerState()

        def connected() -> asyncio.Protocol:
            return self._protocol(config=config, server_state=state, app_state={})

        server = await asyncio.get_running_loop().create_server(connected, sock=listener)
        try:
            await asyncio.Event().wait()
        finally:
            server.close()
            if app.stream is not None:
                app.stream.close()
            await _end(state)


async def _end(state: ServerState) -> None:
    """Let answers that are being given end, for a moment; then cut."""
    for connection in list(state.connections):
        connection.shutdown()
    await asyncio.sleep(0.02)  # those that were idle are gone then
    if state.connections:
        await asyncio.sleep(GRACE_S)
    for connection in list(state.connections):
        assert isinstance(connection, Connection)
        connection.cut()
