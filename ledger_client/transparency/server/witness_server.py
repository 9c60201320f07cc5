"""Witness process (``meterseal-ledger witness``): one folder, one HTTP address."""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, closing
from pathlib import Path

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ledger_client.http_server.listening import listen_at
from ledger_client.http_server.log_limiter import Quiet
from ledger_client.http_server.token_bucket import Buckets
from ledger_client.transparency.log.counters import Counts
from ledger_client.transparency.server.endpoints import Doors
from ledger_client.transparency.server.main import run_site, turnstile_of, url_of
from ledger_client.transparency.server.problem import body_of
from ledger_client.transparency.server.rate_limit import Doorkeeper
from ledger_client.transparency.witness.folder import Witness, logs_of
from ledger_client.transparency.witness.request import MAX_BODY, TEXT_TYPE

_LOG = logging.getLogger("meterseal.witness")
_CONNECTIONS = 128


def app(witness: Witness, now: Callable[[], float] = time.time, rate: float = 0) -> ASGIApp:
    """The ASGI application over a witness; one address may ask ``rate`` times a second, 0: any number."""

    async def add_checkpoint(request: Request) -> Response:
        body = await body_of(request, MAX_BODY, "request")
        answer = await run_in_threadpool(witness.add, body, now)
        return Response(answer.body, answer.status, media_type=answer.media_type)

    async def checkpoint(request: Request) -> Response:
        note = await run_in_threadpool(witness.newest, request.path_params["origin"])
        if note is None:
            raise HTTPException(404, "nothing was cosigned for this origin")
        return Response(note, media_type=TEXT_TYPE)

    async def health(_request: Request) -> Response:
        return PlainTextResponse("ok\n")

    routes = [
        Route("/add-checkpoint", add_checkpoint, methods=["POST"]),
        Route("/{origin}/checkpoint", checkpoint, methods=["GET"]),
        Route("/healthz", health, methods=["GET"]),
    ]
    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        HTTPException: _answer_http,
        OSError: _answer_disk,
    }
    site = Starlette(routes=routes, exception_handlers=handlers)
    return Doorkeeper(site, Buckets(rate), Counts())


def serve(
    folder: Path, doors: Doors, name: str | None, logs: tuple[str, ...], rate: float, say: Callable[[str], None]
) -> None:
    """Serve the witness in ``folder`` until SIGTERM or SIGINT; ``say`` gets the lines of its start.

    Raises ``LedgerClientError`` for whatever keeps it from starting.
    """
    doors.check()
    followed = logs_of(logs)
    _LOG.addFilter(Quiet())
    with ExitStack() as stack:
        listener = stack.enter_context(closing(listen_at(doors.listen)))
        witness = stack.enter_context(closing(Witness(folder, name, followed)))
        turnstile = turnstile_of(_CONNECTIONS)
        started = f"witness {witness.vkey.name} listens on {url_of(doors, listener)}"

        def begun() -> None:
            say(f"vkey {witness.vkey.text}")
            say(started)

        run_site(app(witness, rate=rate), turnstile, listener, doors, begun)


async def _answer_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    headers = dict(error.headers) if error.headers else None
    return PlainTextResponse(f"{error.detail}\n", error.status_code, headers)


async def _answer_disk(_request: Request, error: Exception) -> Response:
    _LOG.error("cannot keep what it would cosign: %s", error)
    return PlainTextResponse(
        "the witness cannot write its files; it has cosigned nothing\n", 503, {"Retry-After": "10"}
    )
