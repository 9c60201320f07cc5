"""Server of a gateway's pages: application, threads and mounted endpoints of one epoch; loads what is heavy."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial

from starlette.responses import Response

from gateway.api.exports import export
from gateway.api.shapes.portions import Listing, Portions, TooMany
from gateway.config.model import Config
from gateway.config.web import Web
from gateway.dashboard import metrics_endpoint
from gateway.dashboard.api_endpoint import ApiEndpoint
from gateway.dashboard.auth import exposure
from gateway.dashboard.db_readers import db_readers
from gateway.dashboard.render.html import HTML
from gateway.dashboard.routes import contents
from gateway.dashboard.shell.app import App
from gateway.dashboard.shell.asgi_server import AsgiServer
from gateway.dashboard.shell.kept_sessions import FILE, SessionFile
from gateway.dashboard.shell.page import Problem
from gateway.dashboard.shell.sessions import Asked, Sessions
from gateway.dashboard.shell.users import Users
from gateway.errors import ConfigError
from gateway.runtime.context import GatewayContext
from gateway.runtime.loop_lag import LoopHealth
from gateway.storage.database import Database


class Serving:
    """How the pages of a configuration are served. Raises ConfigError: certificate, key or token cannot be used."""

    def __init__(self, config: Config, web: Web) -> None:
        self._config, self._web = config, web
        access = exposure.access(config, web)
        self._token = access.token
        self._server = AsgiServer(HTML, None if web.cert is None else access)

    async def run(self, site: GatewayContext, loops: LoopHealth, listener: socket.socket) -> None:
        """Serve until cancelled."""
        users = Users(exposure.users_file(self._config))
        kept = SessionFile(self._config.data / FILE, Sessions(), site.clock.now_ms)
        with suppress(ConfigError):  # of a file of users that cannot be used; each request says so
            await kept.load(users.current())
        database = self._config.database
        with closing(db_readers(database)) as readers, closing(db_readers(database, 1, "lists")) as lister:
            pages, portions = contents(site), Portions(lister)
            app = App(pages, readers, users, exposure.names(self._web), kept)
            app.answers({"/export": partial(listed, portions, partial(_export, site))})
            app.mount(metrics_endpoint.routes(site, loops, self._token, loopback=self._web.loopback))
            app.serve_api(ApiEndpoint(site, readers, portions))
            try:
                await self.serve(app, listener)
            finally:
                pages.close()

    async def serve(self, app: App[Database], listener: socket.socket) -> None:
        """Serve this application until cancelled."""
        await self._server.serve(app, listener)


async def listed(
    portions: Portions[Database], view: Callable[[Asked], Listing[Database]], asked: Asked, holds: Callable[[], bool]
) -> Response:
    """The answer of a page that is a list, written portion by portion. Raises Problem: too many are being written."""
    try:
        return await portions.answer(view(asked), holds)
    except TooMany as error:
        raise Problem(503, error.sentence) from None


def _export(site: GatewayContext, asked: Asked) -> Listing[Database]:
    return export(site.config, asked.pairs, site.clock.now_ms())
