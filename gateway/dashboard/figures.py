"""What machines ask of the gateway over HTTP: its figures (`/metrics`), whether it lives, whether it is ready."""

from __future__ import annotations

import hmac

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.metrics import CONTENT_TYPE, exposition
from gateway.site import Site

PATHS = ("/metrics", "/healthz", "/readyz")
"""They need no login; the figures may need a token."""


def routes(site: Site, token: str | None, *, loopback: bool) -> list[Route]:
    """``token``: what `Authorization: Bearer …` must bring for the figures; without one only ``loopback`` gets them."""

    async def metrics(request: Request) -> Response:
        if token is None and not loopback:
            return PlainTextResponse("set metrics_token_file in [web] to read the figures from afar\n", 403)
        if token is not None and not _bears(request, token):
            return PlainTextResponse("a bearer token is needed\n", 401, {"WWW-Authenticate": "Bearer"})
        return Response(await exposition(site), media_type=None, headers={"Content-Type": CONTENT_TYPE})

    async def healthz(_: Request) -> Response:
        return _answer(True)

    async def readyz(_: Request) -> Response:
        return _answer(site.recorder.trouble is None)

    endpoints = zip(PATHS, (metrics, healthz, readyz), strict=True)
    return [Route(path, endpoint, methods=["GET"]) for path, endpoint in endpoints]


def _bears(request: Request, token: str) -> bool:
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _answer(well: bool) -> Response:
    return PlainTextResponse("ok\n" if well else "not ok\n", 200 if well else 503)
