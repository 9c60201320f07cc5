"""HTTP API of a table of routes as an ASGI application: who asks, what for, and each refusal as a problem. Event loop
only.

A request is admitted by its token, read by the model of its parameters, and answered by the row of the table. Work on
the database runs in the threads of the pages, one request at a time: the other thread is left to people.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from pydantic import BaseModel
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route, Router
from starlette.types import Receive, Scope, Send

from gateway.api.shapes.models import json_of
from gateway.api.shapes.parameters import read
from gateway.api.shapes.portions import Portions, Reader
from gateway.api.shapes.problems import MEDIA_TYPE, Refusal, problem
from gateway.api.shapes.route import JSON, ApiRoute, Call, Rest
from gateway.api.shapes.token_file import Tokens
from gateway.api.shapes.tokens import Token
from gateway.errors import ConfigError, GatewayError, StoreError
from gateway.messages.message import Message
from ledger_client.http_server.token_bucket import Buckets

S = TypeVar("S")
D = TypeVar("D")

log = logging.getLogger("meterseal.pages")

RATE = 20.0
"""Requests a second of one token, and as many at once."""
MOST_WAITING = 16
AGAIN_S = 2
"""After so many seconds a client may ask again when there is no time for it."""


class Api(Generic[S, D]):
    """The application."""

    def __init__(
        self,
        routes: Sequence[ApiRoute[S, D, Any]],
        site: S,
        readers: Reader[D],
        portions: Portions[D],
        tokens: Tokens,
        *,
        busy: type[GatewayError],
        knows: Callable[[str], bool],
        now_ms: Callable[[], int],
        rate: float = RATE,
    ) -> None:
        """
        Args:
            routes: the table, in the order in which paths are compared.
            site: what their functions look at.
            readers: the threads that read the database.
            portions: writes long lists.
            tokens: who may ask.
            busy: what ``readers`` raises when they have no time.
            knows: whether there is a gateway of this name.
            now_ms: the time by which tokens end, Unix ms.
            rate: requests a second of one token.
        """
        self._site, self._readers, self._portions, self._tokens, self._busy = site, readers, portions, tokens, busy
        self._knows, self._now_ms = knows, now_ms
        self._rate = Buckets(rate, burst_s=1)
        self._turn, self._waiting = asyncio.Lock(), 0
        endpoints = [Route(one.path, partial(self._answered, one), methods=["GET"]) for one in routes]
        self._router = Router(endpoints, redirect_slashes=False, default=self._unknown)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._router(scope, receive, send)

    async def _unknown(self, scope: Scope, receive: Receive, send: Send) -> None:
        request = Request(scope)
        await _refused(request, Refusal(Message("path-unknown", path=request.url.path[:200])))(scope, receive, send)

    async def _answered(self, route: ApiRoute[S, D, Any], request: Request) -> Response:
        try:
            return await self._answer(route, request)
        except Refusal as refusal:
            return _refused(request, refusal)
        except self._busy:
            return _refused(request, _later(Message("api-busy")))
        except StoreError as error:
            return _refused(request, Refusal(Message("database-unavailable", why=error.sentence), _retry(AGAIN_S)))
        except Exception:
            log.exception("%s %s failed", request.method, request.url.path)
            return _refused(request, Refusal(Message("api-fault")))

    async def _answer(self, route: ApiRoute[S, D, Any], request: Request) -> Response:
        token = self._admitted(route, request)
        parameters = read(route.parameters, request.path_params, request.query_params.multi_items())
        if token is not None:
            parameters = parameters.bound_to(token)
        asked = getattr(parameters, "gateway", None)
        if asked is not None and not self._knows(asked):
            raise Refusal(Message("gateway-unknown", gateway=asked))
        call: Call[S, D, Any] = Call(
            self._site, route.path, parameters, token, partial(self._holds, request, token), self._portions
        )
        if route.stream is not None:
            return await route.stream(call)
        assert route.look is not None
        return await self._made(call, route.look)

    async def _made(self, call: Call[S, D, Any], look: Callable[[Call[S, D, Any]], Rest[D]]) -> Response:
        if self._waiting >= MOST_WAITING:
            raise _later(Message("api-busy"))
        self._waiting += 1
        try:
            async with self._turn:
                return await self._readers.call(partial(_response, look(call)))
        finally:
            self._waiting -= 1

    # — who asks —

    def _admitted(self, route: ApiRoute[S, D, Any], request: Request) -> Token | None:
        """The token of a request; None where the route asks for none. Raises Refusal."""
        if route.scope is None:
            return None
        text = _bearer(request)
        if not text:
            raise Refusal(Message("token-missing"), {"WWW-Authenticate": "Bearer"})
        token = self._found(text)
        wrong = {"WWW-Authenticate": 'Bearer error="invalid_token"'}
        if token is None:
            raise Refusal(Message("token-unknown"), wrong)
        if token.is_expired(self._now_ms()):
            raise Refusal(Message("token-expired", name=token.name), wrong)
        if wait_s := self._rate.take(token.hash):
            raise Refusal(Message("requests-too-many", limit=round(RATE)), _retry(wait_s))
        if not token.opens(route.scope):
            needed = {"WWW-Authenticate": f'Bearer error="insufficient_scope", scope="{route.scope}"'}
            raise Refusal(Message("token-scope", name=token.name, scope=token.scope, needed=route.scope), needed)
        return token

    def _found(self, text: str) -> Token | None:
        try:
            return self._tokens.find(text)
        except ConfigError as error:
            log.error("tokens of the API not readable: %s", error)
            raise _later(Message("tokens-unavailable")) from None

    def _holds(self, request: Request, token: Token | None) -> bool:
        if token is None:
            return True
        try:
            return self._found(_bearer(request)) == token and not token.is_expired(self._now_ms())
        except Refusal:
            return False


def _bearer(request: Request) -> str:
    """The token that a request carries; "" for none, for two and for one of another scheme."""
    given = request.headers.getlist("authorization")
    scheme, _, text = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    return text.strip() if scheme.lower() == "bearer" else ""


def _response(rest: Rest[D], store: D) -> Response:
    found = rest(store)
    return Response(json_of(found), media_type=JSON) if isinstance(found, BaseModel) else found


def _refused(request: Request, refusal: Refusal) -> Response:
    body = problem(refusal.status, refusal.refused, request.headers.get("accept-language", ""))
    return Response(body, refusal.status, refusal.headers, media_type=MEDIA_TYPE)


def _later(message: Message) -> Refusal:
    return Refusal(message, _retry(AGAIN_S))


def _retry(wait_s: float) -> dict[str, str]:
    return {"Retry-After": str(max(1, math.ceil(wait_s)))}
