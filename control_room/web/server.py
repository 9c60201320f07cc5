"""Process of the pages: login, pages, API and metrics on one address; database work in threads."""

from __future__ import annotations

import asyncio
import logging
import signal
import socket
import time
from collections.abc import Callable
from contextlib import closing, suppress

from control_room.settings import Settings
from control_room.store import schema
from control_room.store.connection import Database, connect
from control_room.web.html import HTML
from control_room.web.metrics import Sheet
from control_room.web.pages import contents
from control_room.web.site import Site
from control_room.web.table import ROUTES
from gateway.api.shapes.portions import Portions
from gateway.api.shapes.serving import Api
from gateway.api.shapes.token_file import Tokens, tokens_file
from gateway.dashboard.shell import users
from gateway.dashboard.shell.app import App
from gateway.dashboard.shell.asgi_server import AsgiServer
from gateway.dashboard.shell.host_names import host_names
from gateway.dashboard.shell.kept_sessions import FILE, SessionFile
from gateway.dashboard.shell.readers import Busy, Readers
from gateway.dashboard.shell.sessions import Sessions
from gateway.dashboard.shell.users import Users
from gateway.errors import ConfigError
from gateway.messages.message import Message
from gateway.web_settings import Web
from ledger_client.http_server.listening import listen_at

log = logging.getLogger("meterseal.pages")

THREADS = 4
STATEMENT_TIMEOUT = "20s"
"""Of one query of a page: whoever waits longer asks for less."""


class Server:
    """Serves a control room. Raises ConfigError: no section [web], or what it names cannot be used."""

    def __init__(self, settings: Settings, now_ms: Callable[[], int]) -> None:
        if settings.web is None:
            raise ConfigError(settings.path, "web", Message("control-no-web"))
        self._settings, self._web, self._now_ms = settings, settings.web, now_ms
        users.demand(settings.path, self._web, settings.users, f"meterseal-control password {settings.path}")
        self._access = self._web.usable(settings.path)
        self._password_file = settings.database_access().password_file

    def listen(self) -> socket.socket:
        """Take the address. Raises ListenError."""
        return listen_at(self._web.listen, "[web] listen", backlog=128)

    async def run(self, listener: socket.socket) -> None:
        """Serve until cancelled."""
        settings, web = self._settings, self._web
        site = await asyncio.to_thread(Site, settings.name, settings.trust, settings.archive, self._now_ms)
        known = Users(settings.users)
        kept = SessionFile(settings.keys / FILE, Sessions(), self._now_ms)
        with suppress(ConfigError):  # of a file of users that cannot be used; each request says so
            await kept.load(known.current())
        with (
            closing(Readers(self._opened, THREADS)) as readers,
            closing(Readers(self._opened, 1, "lists")) as lister,
            closing(Readers(self._opened, 1, "figures")) as figures,
        ):
            server = await asyncio.to_thread(AsgiServer, HTML, None if web.cert is None else self._access)
            app = App(contents(site, self._writing), readers, known, host_names(web.address, web.hosts), kept)
            sheet = Sheet(site, figures)
            app.mount(sheet.routes(self._access.token, loopback=web.loopback))
            app.serve_api(
                Api(
                    ROUTES,
                    site,
                    readers,
                    Portions(lister),
                    Tokens(tokens_file(settings.keys)),
                    busy=Busy,
                    knows=lambda name: True,  # that is for the database to say
                    now_ms=self._now_ms,
                )
            )
            log.info("pages at %s", _url(web, listener))
            watch = asyncio.create_task(site.watch(), name="trust file")
            try:
                await server.serve(app, listener)
            finally:
                watch.cancel()

    def _opened(self) -> Database:
        """A connection of a thread, to the schema of this program."""
        db = connect(self._settings.database.url, self._password_file, statement_timeout=STATEMENT_TIMEOUT)
        try:
            schema.demand(db)
        except BaseException:
            db.close()
            raise
        return db

    def _writing(self) -> Database:
        return self._opened()


def _url(web: Web, listener: socket.socket) -> str:
    return web.model_copy(update={"listen": f"{web.host}:{listener.getsockname()[1]}"}).url


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def run_server(settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT. Raises what keeps it from starting: ConfigError, ListenError."""
    server = Server(settings, _now_ms)
    with closing(server.listen()) as listener:
        asyncio.run(_until_signal(server, listener))


async def _until_signal(server: Server, listener: socket.socket) -> None:
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, task.cancel)
    with suppress(asyncio.CancelledError):
        await server.run(listener)
