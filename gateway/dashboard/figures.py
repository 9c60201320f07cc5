"""What machines ask of the gateway over HTTP: its figures (`/metrics`), whether it lives, whether it is ready."""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.metrics import CONTENT_TYPE, exposition
from gateway.site import Site
from ledger_client.ledgers.access import AccessError

log = logging.getLogger("meterseal.pages")


def routes(site: Site, token: Callable[[], str | None], *, loopback: bool) -> list[Route]:
    """`/metrics`, `/healthz` and `/readyz`. ``token`` gives what `Authorization: Bearer …` must bring for the figures,
    as it is now; without one only ``loopback`` gets them."""

    async def metrics(request: Request) -> Response:
        refused = _refused(request, token, loopback=loopback)
        return refused or Response(await exposition(site), headers={"Content-Type": CONTENT_TYPE})

    async def healthz(_: Request) -> Response:
        return _answer(not site.pulses.stuck())

    async def readyz(_: Request) -> Response:
        return _answer(site.recorder.trouble is None)

    endpoints = {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}
    return [Route(path, endpoint, methods=["GET"]) for path, endpoint in endpoints.items()]


def _refused(request: Request, token: Callable[[], str | None], *, loopback: bool) -> Response | None:
    """Why the figures are not given; None: they may be."""
    try:
        wanted = token()
    except AccessError as error:
        log.error("the figures cannot be read: %s", error)
        return PlainTextResponse("the figures cannot be read now; the gateway's log says why\n", 503)
    if wanted is None:
        problem = "set metrics_token_file in [web], so that the figures can be read from other machines\n"
        return None if loopback else PlainTextResponse(problem, 403)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), wanted.encode()):
        return None
    return PlainTextResponse("the figures need the token of metrics_token_file\n", 401, {"WWW-Authenticate": "Bearer"})


def _answer(well: bool) -> Response:
    return PlainTextResponse("ok\n" if well else "not ok\n", 200 if well else 503)
