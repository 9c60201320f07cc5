"""Rate limit of the HTTP server (ASGI middleware): 429 per client address; counts every answer."""

from __future__ import annotations

import math

from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ledger_client.http_server.token_bucket import Buckets, client_of
from ledger_client.transparency.log.counters import Counts
from ledger_client.transport.wire import PROBLEM, encode_problem


class Doorkeeper:
    """ASGI middleware: 429 for an address that asks too often, before anything of its request is looked at."""

    def __init__(self, app: ASGIApp, buckets: Buckets, counts: Counts) -> None:
        self._app = app
        self._buckets = buckets
        self._counts = counts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def counted(message: Message) -> None:
            if message["type"] == "http.response.start":
                self._counts.add("answers", str(message["status"]))
            await send(message)

        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        client = scope.get("client")
        wait = self._buckets.take(client_of(client[0])) if client else 0.0
        if wait:
            self._counts.add("limited", "address")
            await too_many(wait, "of this address")(scope, receive, counted)
        else:
            await self._app(scope, receive, counted)


def too_many(wait_s: float, whose: str) -> Response:
    """429 with the time after which there is room again."""
    detail = f"more requests {whose} than this ledger takes; see Retry-After"
    headers = {"Retry-After": str(math.ceil(wait_s))}
    return Response(encode_problem("Too Many Requests", detail), 429, headers, media_type=PROBLEM)
