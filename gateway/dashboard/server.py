"""Dashboard server: HTTP in the gateway's event loop; polling never waits for it. Background task.

The address is taken before the gateway says that it is ready. One that another process holds is asked for again and
again; the meters are read all the same.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING

from gateway.config.web import Web
from gateway.process.background import BackgroundTask
from gateway.process.threads import in_thread
from gateway.runtime.context import GatewayContext
from gateway.runtime.loop_lag import LoopHealth
from ledger_client.http_server.listening import ListenError, listen_at

if TYPE_CHECKING:
    from gateway.dashboard.asgi_server import Serving

log = logging.getLogger("meterseal.pages")

AGAIN_S = 5.0
BACKLOG = 128


class PagesServer(BackgroundTask):
    """A companion of an epoch. Its libraries are loaded beside the first readings, not before them."""

    def __init__(self, site: GatewayContext, loops: LoopHealth, web: Web) -> None:
        self._site, self._loops, self._web = site, loops, web
        self._logged = ""
        self._listener = self._listen()

    async def run(self) -> None:
        """Serve until cancelled. Raises GatewayError where certificate or token cannot be used."""
        try:
            while self._listener is None:
                await asyncio.sleep(AGAIN_S)
                self._listener = self._listen()
            serving = await in_thread(self._load, "pages")
            port = self._listener.getsockname()[1]
            url = self._web.model_copy(update={"listen": f"{self._web.host}:{port}"}).url
            log.info("pages at %s", url, extra={"code": "pages-open"})  # a change of state, which is always logged
            await serving.run(self._site, self._loops, self._listener)
        finally:
            self.close()

    def close(self) -> None:
        """Give the address back."""
        if self._listener is not None:
            self._listener.close()
            self._listener = None

    def _listen(self) -> socket.socket | None:
        try:
            listener = listen_at(self._web.listen, "[web] listen", backlog=BACKLOG)
        except ListenError as error:
            if str(error) != self._logged:
                log.error("pages not available: %s; retrying every %g s, recording continues", error, AGAIN_S)
            self._logged = str(error)
            return None
        return listener

    def _load(self) -> Serving:
        from gateway.dashboard.asgi_server import Serving

        return Serving(self._site.config, self._web)
