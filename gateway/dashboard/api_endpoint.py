"""HTTP API below `/api`, loaded at its first request: a gateway that nobody asks does without its models."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from starlette.types import Receive, Scope, Send

from gateway.api.portions import Portions
from gateway.dashboard.shell.readers import Busy, Readers
from gateway.process.threads import in_thread
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database

if TYPE_CHECKING:
    from gateway.api.serving import Api


class ApiEndpoint:
    """The API of one epoch, an ASGI application for every path at and below `/api`."""

    def __init__(self, site: GatewayContext, readers: Readers[Database], portions: Portions) -> None:
        self._site, self._readers, self._portions = site, readers, portions
        self._api: Api | None = None
        self._turn = asyncio.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        api = self._api or await self._loaded()
        await api(scope, receive, send)

    async def _loaded(self) -> Api:
        async with self._turn:
            if self._api is None:
                self._api = await in_thread(self._load, "api")
            return self._api

    def _load(self) -> Api:
        from gateway.api.serving import Api
        from gateway.api.token_file import Tokens, tokens_file

        return Api(self._site, self._readers, self._portions, Tokens(tokens_file(self._site.config)), Busy)
