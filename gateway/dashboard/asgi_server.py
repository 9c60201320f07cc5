"""ASGI server: uvicorn's HTTP protocol on an open socket, with the dashboard and its heavy imports behind it."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
from contextlib import closing, suppress
from functools import partial
from typing import ClassVar

import uvicorn
from uvicorn.server import ServerState

from gateway.api.exports import export
from gateway.api.portions import Listing, Portions
from gateway.config.model import Config
from gateway.config.web import Web
from gateway.dashboard import metrics_endpoint
from gateway.dashboard.api_endpoint import ApiEndpoint
from gateway.dashboard.app import App
from gateway.dashboard.auth import exposure
from gateway.dashboard.auth.kept_sessions import FILE, SessionFile
from gateway.dashboard.auth.request_guard import MAX_HEAD
from gateway.dashboard.auth.sessions import Asked, Sessions
from gateway.dashboard.auth.users import Users, users_file
from gateway.dashboard.content_coding import coded_file
from gateway.dashboard.db_readers import Readers
from gateway.dashboard.render import html
from gateway.dashboard.routes import contents
from gateway.errors import ConfigError
from gateway.runtime.context import GatewayContext
from gateway.runtime.loop_lag import LoopHealth
from ledger_client.http_server.connection import Connection, Turnstile
from ledger_client.http_server.log_limiter import Quiet
from ledger_client.http_server.tls_reload import Certificates

HEAD_S, REQUEST_S, IDLE_S = 10.0, 60.0, 30.0
MOST, MOST_OF_ONE = 256, 128
GRACE_S = 0.5
SEND_BUFFER = 128 * 1024
"""What the kernel keeps for a client that does not read: bounded, so that it is soon known."""
QUIET = Quiet()
"""Strangers can make lines of the log: so many of a kind."""


class Serving:
    """How the pages of a configuration are served. Raises ConfigError: certificate, key or token cannot be used."""

    _frozen: ClassVar[bool] = False

    def __init__(self, config: Config, web: Web) -> None:
        self._config, self._web = config, web
        access = exposure.access(config, web)
        html.prepare()
        for content, _, _ in filter(None, map(html.static, html.STATIC)):
            coded_file(content)
        self._token = access.token
        self._turnstile = Turnstile(
            head_s=HEAD_S, request_s=REQUEST_S, idle_s=IDLE_S, most=MOST, most_of_one=MOST_OF_ONE
        )
        self._protocol = self._turnstile.protocol(None if web.cert is None else Certificates(access).context)
        for name in ("meterseal.pages", "meterseal.ledger"):
            logging.getLogger(name).addFilter(QUIET)
        if not Serving._frozen:  # only once: what an ended epoch has left must not stay
            Serving._frozen = True
            gc.freeze()  # what was loaded does: a collection need not walk over it, a tenth of a second each time
        logging.getLogger("uvicorn").setLevel(logging.ERROR)  # its warnings are about what strangers send, a line each

    async def run(self, site: GatewayContext, loops: LoopHealth, listener: socket.socket) -> None:
        """Serve until cancelled."""
        users = Users(users_file(self._config))
        kept = SessionFile(self._config.data / FILE, Sessions(), site.clock.now_ms)
        with suppress(ConfigError):  # of a file of users that cannot be used; each request says so
            await kept.load(users.current())
        database = self._config.database
        with closing(Readers(database)) as readers, closing(Readers(database, threads=1, name="lists")) as lister:
            pages, portions = contents(site), Portions(lister)
            app = App(site, pages, readers, users, exposure.names(self._web), kept)
            app.lists(portions, {"/export": partial(_export, site)})
            app.mount(metrics_endpoint.routes(site, loops, self._token, loopback=self._web.loopback))
            app.serve_api(ApiEndpoint(site, readers, portions))
            try:
                await self.serve(app, listener)
            finally:
                pages.close()

    async def serve(self, app: App, listener: socket.socket) -> None:
        """Serve this application until cancelled."""
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # connections inherit it
        async with asyncio.TaskGroup() as group:
            group.create_task(app.kept.run(), name="pages' sessions")
            group.create_task(app.stream.run(), name="pages' stream")
            group.create_task(self._serve(app, listener), name="pages' server")

    async def _serve(self, app: App, listener: socket.socket) -> None:
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
            app.stream.close()
            await _end(state)


def _export(site: GatewayContext, asked: Asked) -> Listing:
    return export(site.config, asked.pairs, site.clock.now_ms())


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
