"""HTTP endpoints for machines: `/metrics`, `/healthz` and `/readyz`."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.dashboard.shell.request_guard import refused_figures
from gateway.process.histogram import Durations
from gateway.runtime.context import GatewayContext
from gateway.runtime.loop_lag import LoopHealth
from gateway.status.exposition import CONTENT_TYPE, exposition

FRESH_S = 0.5


class Sheet:
    """The figures as they are, or were a moment ago: whoever asks all the time costs the gateway no more than that."""

    def __init__(self, site: GatewayContext, lag: Durations) -> None:
        self._site, self._lag, self._turn = site, lag, asyncio.Lock()
        self._text, self._until = b"", -math.inf

    async def text(self) -> bytes:
        """In Prometheus' text format."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            if loop.time() >= self._until:
                self._text = await exposition(self._site, self._lag)
                self._until = loop.time() + FRESH_S
            return self._text


def routes(site: GatewayContext, loops: LoopHealth, token: Callable[[], str | None], *, loopback: bool) -> list[Route]:
    """Routes `/metrics`, `/healthz` and `/readyz`.

    Args:
        site: the gateway that they are about.
        loops: its event loops' delays and heartbeats.
        token: gives the token that `Authorization: Bearer …` must carry for metrics at present; None: no token is set.
        loopback: the server listens on the loopback address, where metrics need no token.
    """
    sheet, stuck = Sheet(site, loops.lag), loops.heartbeats.stuck

    async def metrics(request: Request) -> Response:
        refused = refused_figures(request, token, loopback=loopback)
        return refused or Response(await sheet.text(), headers={"Content-Type": CONTENT_TYPE})

    async def healthz(_: Request) -> Response:
        return _answer(not stuck())

    async def readyz(_: Request) -> Response:
        return _answer(site.recorder.trouble is None and not stuck())

    endpoints = {"/metrics": metrics, "/healthz": healthz, "/readyz": readyz}
    return [Route(path, endpoint, methods=["GET"]) for path, endpoint in endpoints.items()]


def _answer(well: bool) -> Response:
    return PlainTextResponse("ok\n" if well else "not ok\n", 200 if well else 503)
