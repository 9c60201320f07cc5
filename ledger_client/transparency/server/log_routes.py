"""HTTP routes of the log for mirrors and auditors: head, consistency, entries, keys, gateways, parties."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import anyio.to_thread
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger_client.formats import cbor
from ledger_client.transparency.ledger.service import Service
from ledger_client.transparency.ledger.view import MAX_ENTRIES, LogView
from ledger_client.transparency.policy.key_entries import GATEWAY, PARTY
from ledger_client.transparency.policy.key_list import GATEWAYS, PARTIES
from ledger_client.transparency.policy.ledger_keys import LedgerKey
from ledger_client.transparency.server.problem import Problem, malformed, named, number
from ledger_client.transport.wire import CBOR, COSE, id_to_text

_KID = 2  # RFC 9052 §7.1
_AT_ONCE: Final = 8
"""Threads that strangers' signatures may wait in; the others are left to gateways."""


def routes(ledger: Service, view: LogView) -> list[Route]:
    """All that is asked with GET and concerns the log as a whole."""
    room = anyio.CapacityLimiter(_AT_ONCE)

    async def signed(sign: Callable[..., Any], *arguments: object) -> Any:
        return await anyio.to_thread.run_sync(partial(sign, *arguments), limiter=room)

    async def get_head(_request: Request) -> Response:
        return Response(await signed(view.head), media_type=COSE)

    async def get_consistency(request: Request) -> Response:
        first = number(request, "from", None, 1)
        size = await run_in_threadpool(view.size)
        second = number(request, "to", size, 1)
        if first >= second:
            raise malformed(f"from must be below to; {first} and {second} were asked for, the log has {size} entries")
        receipt = await signed(view.consistency, first, second)
        if receipt is None:
            raise Problem(404, "Not Found", f"the log has {size} entries")
        return Response(receipt, media_type=COSE)

    async def get_entries(request: Request) -> Response:
        first, limit = number(request, "from", 0, 0), number(request, "limit", MAX_ENTRIES, 1)
        page = await run_in_threadpool(view.entries, first, limit)
        return Response(cbor.encode([list(entry) for entry in page]), media_type=CBOR)

    async def get_key_set(_request: Request) -> Response:
        keys = await run_in_threadpool(lambda: ledger.keys)
        return Response(cbor.encode([_published(key) for key in keys]), media_type=CBOR)

    async def get_key(request: Request) -> Response:
        for key in await run_in_threadpool(lambda: ledger.keys):
            if id_to_text(key.key.kid) == request.path_params["kid"]:
                return Response(cbor.encode(_published(key)), media_type=CBOR)
        raise Problem(404, "No such key", "the kid is base64url of the COSE key thumbprint (RFC 9679)")

    async def get_key_times(_request: Request) -> Response:
        keys = await run_in_threadpool(lambda: ledger.keys)
        return Response(cbor.encode([_times(key) for key in keys]), media_type=CBOR)

    def page(whom: str, after: int) -> bytes:
        ledger.register_policy()
        return view.keys(whom, after)

    def list_of(whom: Callable[[Request], str]) -> Callable[[Request], Awaitable[Response]]:
        async def get_list(request: Request) -> Response:
            after = number(request, "after", -1, -1)
            return Response(await signed(page, whom(request), after), media_type=CBOR)

        return get_list

    return [
        Route("/.well-known/scitt-keys", get_key_set, methods=["GET"]),
        Route("/.well-known/scitt-keys/{kid}", get_key, methods=["GET"]),
        Route("/log/head", get_head, methods=["GET"]),
        Route("/log/consistency", get_consistency, methods=["GET"]),
        Route("/log/entries", get_entries, methods=["GET"]),
        Route("/log/keys", get_key_times, methods=["GET"]),
        Route("/log/gateways", list_of(lambda _request: GATEWAYS), methods=["GET"]),
        Route("/log/parties", list_of(lambda _request: PARTIES), methods=["GET"]),
        Route("/gateways/{gateway}/keys", list_of(lambda one: f"{GATEWAY}/{named(one, GATEWAY)}"), methods=["GET"]),
        Route("/parties/{party}/keys", list_of(lambda one: f"{PARTY}/{named(one, PARTY)}"), methods=["GET"]),
    ]


def _published(key: LedgerKey) -> dict[object, object]:
    """A COSE_Key that bears its kid (label 2), which is its thumbprint."""
    return {**cbor.decode(key.key.cose_key), _KID: key.key.kid}


def _times(key: LedgerKey) -> dict[str, object]:
    """``until`` is absent in the key that signs now."""
    until = {} if key.until is None else {"until": key.until}
    return {"kid": key.key.kid, "since": key.since, **until}
