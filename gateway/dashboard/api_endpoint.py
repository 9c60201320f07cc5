"""HTTP API below `/api`, loaded at its first request: a gateway that nobody asks does without its models."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from gateway.api.shapes.portions import Portions
from gateway.dashboard.shell.readers import Busy, Readers
from gateway.process.threads import in_thread
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database

if TYPE_CHECKING:
    from gateway.api.shapes.serving import Api


class ApiEndpoint:
    """The API of one epoch, an ASGI application for every path at and below `/api`."""

    def __init__(self, site: GatewayContext, readers: Readers[Database], portions: Portions[Database]) -> None:
        self._site, self._readers, self._portions = site, readers, portions
        self._api: Api[GatewayContext, Database] | None = None
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        api = self._api or await self._loaded()
        await api(scope, receive, send)

    async def _loaded(self) -> Api[GatewayContext, Database]:
        async with self._turn:
            if self._api is None:
                self._api = await in_thread(self._load, "api")
            return self._api

    def _load(self) -> Api[GatewayContext, Database]:
        from gateway.api.shapes.serving import Api
        from gateway.api.shapes.token_file import Tokens, tokens_file
        from gateway.api.table import ROUTES

        config = self._site.config
        return Api(
            ROUTES,
            self._site,
            self._readers,
            self._portions,
            Tokens(tokens_file(config.keys)),
            busy=Busy,
            knows=lambda name: name == config.gateway_id,
            now_ms=self._site.clock.now_ms,
        )
