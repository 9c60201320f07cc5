"""Request guard: checks on every request before the application, and security headers on every response.

Host and Origin are checked on the loopback address, too: a page of any other site may ask this machine's addresses
through its user's browser, under a name of its own (DNS rebinding).
"""

from __future__ import annotations

import hmac
import ipaddress
import logging
import re
from collections.abc import Callable, Collection
from email.utils import formatdate

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send
from starlette.types import Message as Event

from gateway.api.shapes.problems import MEDIA_TYPE, below_api, problem
from gateway.messages.languages import choose, in_language
from gateway.messages.message import Message
from ledger_client.transport.access import AccessError

log = logging.getLogger("meterseal.pages")

CSP = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
HEADERS = {
    "Content-Security-Policy": CSP,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",  # no-referrer would make a form's Origin null
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
READING = ("GET", "HEAD")
MAX_HEAD = 16 * 1024
"""Bytes of a request's head."""
_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")


class Guard:
    """ASGI middleware, the outermost. ``names``: the hosts that the pages are asked for under, in lower case."""

    def __init__(self, app: ASGIApp, names: Collection[str]) -> None:
        self._app, self._names = app, frozenset(names)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def guarded(message: Event) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Date"] = formatdate(usegmt=True)
                for name, value in HEADERS.items():
                    headers[name] = value
                if scope["method"] not in READING and message["status"] >= 400:
                    headers["Connection"] = "close"  # a body that was not read is not waited for
                if "cache-control" not in headers:
                    headers["Cache-Control"] = "no-store"
            await send(message)

        if scope["type"] != "http":
            return
        refused = self._problem(scope)
        if refused is None:
            await self._app(scope, receive, guarded)
        else:
            await _answer(scope, *refused)(scope, receive, guarded)

    def _problem(self, scope: Scope) -> tuple[int, Message] | None:
        headers = Headers(scope=scope)
        if sum(len(name) + len(value) for name, value in headers.raw) > MAX_HEAD:
            return 431, Message("request-head-large")
        if "content-length" in headers and "transfer-encoding" in headers:
            return 400, Message("request-no-end")
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._ours(hosts[0], scope):
            return 421, Message("request-host-unknown")
        if scope["method"] in READING:
            return None
        if below_api(scope["path"]):
            return 405, Message("api-method")
        if scope["method"] != "POST":
            return 405, Message("request-method")
        if headers.getlist("origin") != [f"{scope['scheme']}://{hosts[0]}"]:
            return 403, Message("request-foreign-form")
        return None

    def _ours(self, host: str, scope: Scope) -> bool:
        found = _HOST.fullmatch(host)
        if found is None:
            return False
        name = found[1].strip("[]").lower().removesuffix(".")
        server = scope.get("server")  # the address that the connection came to: no name of a foreign site is one
        return name in self._names or (server is not None and _plain(name) == _plain(str(server[0])))


def _answer(scope: Scope, status: int, message: Message) -> Response:
    accepted = Headers(scope=scope).get("accept-language", "")[:200]
    if not below_api(scope["path"]):
        return PlainTextResponse(in_language(message, choose(accepted)) + "\n", status)
    allow = {"Allow": ", ".join(READING)} if status == 405 else None
    return Response(problem(status, message, accepted), status, allow, media_type=MEDIA_TYPE)


def refused_figures(request: Request, token: Callable[[], str | None], *, loopback: bool) -> Response | None:
    """Why the figures of Prometheus are not given; None: they may be.

    Args:
        request: which asks for them.
        token: gives the token that `Authorization: Bearer …` must carry at present; None: no token is set.
        loopback: the server listens on the loopback address, where they need no token.
    """
    try:
        wanted = token()
    except AccessError as error:
        log.error("metrics token not readable: %s", error)
        return PlainTextResponse("metrics not available; the reason is in the log\n", 503)
    if wanted is None:
        problem = "set metrics_token_file in [web] to read metrics from other machines\n"
        return None if loopback else PlainTextResponse(problem, 403)
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), wanted.encode()):
        return None
    return PlainTextResponse("metrics require the token of metrics_token_file\n", 401, {"WWW-Authenticate": "Bearer"})


def _plain(address: str) -> str:
    """An IP address in one spelling; an IPv4 one on a socket of IPv6 is itself."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    return str(getattr(found, "ipv4_mapped", None) or found)
