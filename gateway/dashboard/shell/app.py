"""Web application of pages for people: login, routing, limits and responses; one method per kind of request.

It knows nothing of what its pages show: those are views by their paths (``shell.page``), orders by their names, and
what is mounted beside them.
"""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Generic
from urllib.parse import quote, urlencode

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from gateway.api.shapes.problems import MEDIA_TYPE, below_api, problem
from gateway.dashboard.shell.content_coding import CODED, VARY, coded, coded_file, takes_gzip
from gateway.dashboard.shell.event_stream import Stream
from gateway.dashboard.shell.forms import form_of
from gateway.dashboard.shell.html import THEMES
from gateway.dashboard.shell.kept_sessions import SessionFile
from gateway.dashboard.shell.login_limits import Logins, TooOften
from gateway.dashboard.shell.page import Answer, NotFound, Pages, Problem, S, View, WrongField
from gateway.dashboard.shell.readers import Busy, Readers
from gateway.dashboard.shell.request_guard import Guard
from gateway.dashboard.shell.sessions import ABSOLUTE_S, Asked, Done, Session, Visitors
from gateway.dashboard.shell.time.asked_range import BadQuery
from gateway.dashboard.shell.users import User, Users
from gateway.errors import ConfigError, Declined, GatewayError, StoreError
from gateway.messages.languages import LANGUAGES
from gateway.messages.message import Message
from ledger_client.http_server.token_bucket import Buckets, client_of
from ledger_client.messages import Sentence

log = logging.getLogger("meterseal.pages")

ADDRESS_RATE = 50.0
"""Requests a second that one address may make, and ten times as many at once."""
CHOICES: Mapping[str, tuple[str, ...]] = {"language": LANGUAGES, "theme": THEMES}
YEAR_S = 365 * 86_400
WATCHING = "Meterseal-Watch"
"""The header of what an open page asks by itself: it keeps no session in use, and takes no message from anybody.
However many are open, such pages are made one at a time, each with a pause as long behind it."""
_LOCAL = re.compile(r"/(?!/)[A-Za-z0-9/._~%-]*(\?[A-Za-z0-9/._~%=&+:-]*)?")

Answering = Callable[[Asked, Callable[[], bool]], Awaitable[Response]]
"""A page that is no view: what is asked, and whether whoever asked may still have it → its answer."""


class App(Generic[S]):
    """``asgi`` is the application.

    Args:
        pages: what it shows.
        readers: the threads that make them.
        users: who may log in.
        names: the hosts that it is asked for under, in lower case.
        kept: the sessions, also of an earlier process.
    """

    def __init__(
        self, pages: Pages[S], readers: Readers[S], users: Users, names: tuple[str, ...], kept: SessionFile
    ) -> None:
        self._pages, self._readers, self._users = pages, readers, users
        self._sessions, self._visitors, self._logins = kept.sessions, Visitors(), Logins(users)
        self.kept = kept
        self.stream = None if pages.source is None else Stream(pages.source, readers, self._watches)
        self._rate, self._turn = Buckets(ADDRESS_RATE), asyncio.Lock()
        self.asgi: ASGIApp = Guard(self._limited, names)
        self._router = Router(self._routes())
        self._api: ASGIApp = self._router

    def serve_api(self, api: ASGIApp) -> None:
        """What answers at and below `/api`, whatever the path is: it looks after itself."""
        self._api = api

    def mount(self, routes: Sequence[Route]) -> None:
        """More routes, which look after themselves and ask for no login."""
        self._router.routes[:0] = routes

    def answers(self, pages: Mapping[str, Answering]) -> None:
        """More pages, for whoever has logged in, which give their answers themselves: downloads of any length."""
        self._router.routes[:0] = [
            self._route("GET", path, partial(self._answering, page)) for path, page in pages.items()
        ]

    def _routes(self) -> list[BaseRoute]:
        get, post = partial(self._route, "GET"), partial(self._route, "POST")
        return [
            Route("/static/{name}", self._static, methods=["GET"]),
            get("/login", self._login_page),
            post("/login", self._login),
            post("/logout", self._logout),
            post("/acts/{act}", self._act),
            *([] if self.stream is None else [Route("/stream", _Asgi(self._stream), methods=["GET"])]),
            *(get(path, partial(self._view, view)) for path, view in self._pages.views.items()),
            get("/{rest:path}", self._nothing),
            post("/{rest:path}", self._nothing),
        ]

    def _route(self, method: str, path: str, endpoint: Callable[[Request], Awaitable[Response]]) -> Route:
        async def answered(request: Request) -> Response:
            begun = time.perf_counter()
            try:
                response = await endpoint(request)
            except Problem as problem:
                response = self._problem(request, problem.status, problem.sentence, problem.way_out)
            except GatewayError as error:
                response = self._problem(request, _status(error), error.sentence, error.way_out)
            except Exception:
                log.exception("%s %s failed", request.method, request.url.path)
                response = self._problem(request, 500, Message("page-fault"))
            response.headers["Server-Timing"] = f"page;dur={(time.perf_counter() - begun) * 1000:.1f}"
            return response

        return Route(path, answered, methods=[method])

    async def _limited(self, scope: Scope, receive: Receive, send: Send) -> None:
        client = scope.get("client")
        wait = self._rate.take(client_of(client[0])) if client else 0.0
        if wait:
            await _too_many(scope)(scope, receive, send)
        else:
            await (self._api if below_api(scope["path"]) else self._router)(scope, receive, send)

    # — who asks —

    def _session(self, request: Request, *, watching: bool = False) -> Session | None:
        cookie = request.cookies.get(self._cookie(request, "session"))
        watching = watching or WATCHING in request.headers
        session = self._sessions.find(cookie, watching=watching)
        if session is not None and watching and self.stream is None:
            self._sessions.watches(session)  # an open page has no stream that would do it
        return session if session is not None and self._is_good(session) else None

    def _watches(self, session: Session) -> bool:
        """Whether the event stream of an open session may go on."""
        return self._sessions.watches(session) and self._is_good(session)

    def _is_good(self, session: Session) -> bool:
        if self._known().get(session.user.name) != session.user:
            self._sessions.end(session)  # taken off the file, another role, another password
            self.kept.changed()
        return not session.ended

    def _known(self) -> Mapping[str, User]:
        try:
            return self._users.current()
        except ConfigError as error:
            log.error("%s", error)
            return {}

    @staticmethod
    def _cookie(request: Request, name: str) -> str:
        """A name that a browser takes from no other host and, with TLS, over nothing else (RFC 6265bis §4.1.3)."""
        return f"__Host-meterseal-{name}" if request.url.scheme == "https" else f"meterseal-{name}"

    def _set_cookie(self, request: Request, response: Response, name: str, value: str, age_s: float | None) -> None:
        response.set_cookie(
            self._cookie(request, name),
            value,
            max_age=None if age_s is None else int(age_s),
            secure=request.url.scheme == "https",
            httponly=True,
            samesite="strict",
        )

    def _asked(self, request: Request, session: Session | None, *, shows: bool = True) -> Asked:
        """``shows``: the answer is a page, on which the result of the last act is to be seen."""
        asked = Asked(
            path=request.url.path,
            params=request.path_params,
            query=dict(request.query_params),
            several=request.query_params.multi_items(),
            cookies={name: request.cookies.get(self._cookie(request, name), "") for name in CHOICES},
            languages=request.headers.get("accept-language", "")[:200],
        )
        if session is None:
            return asked
        done = session.done or Done("")
        if shows and WATCHING not in request.headers:
            session.done = None  # it is on this page
        user, form = session.user, self._sessions.form(session)
        known = replace(asked, user=user.name, role=user.role, form=form)
        return replace(known, sentence=done.sentence, facts=done.facts, well=done.well)

    # — what for —

    async def _view(self, view: View[S], request: Request) -> Response:
        if chosen := self._chosen(request):
            return chosen
        session = self._session(request)
        if session is None:
            return _to_login(request)

        gzip = takes_gzip(request.headers.get("accept-encoding", ""))

        async def made() -> Response:
            rest = view(self._asked(request, session))
            return _response(await self._readers.call(lambda store: coded(rest(store), gzip=gzip)))

        if WATCHING not in request.headers:
            return await made()
        async with self._turn:
            begun = time.perf_counter()
            response = await made()
            await asyncio.sleep(time.perf_counter() - begun)
        return response

    async def _answering(self, page: Answering, request: Request) -> Response:
        session = self._session(request)
        if session is None:
            return _to_login(request)
        return await page(self._asked(request, session, shows=False), partial(self._watches, session))

    def _chosen(self, request: Request) -> Response | None:
        """``?language=zh`` or ``?theme=dark`` on any page is remembered, and the page comes again without it."""
        query = request.query_params
        name = next((name for name, known in CHOICES.items() if query.get(name) in known), None)
        if name is None:
            return None
        rest = urlencode([(key, value) for key, value in query.multi_items() if key != name])
        response = RedirectResponse(quote(request.url.path) + (f"?{rest}" if rest else ""), 303)
        self._set_cookie(request, response, name, query[name], YEAR_S)
        return response

    async def _nothing(self, request: Request) -> Response:
        if self._session(request) is None:
            return RedirectResponse("/login", 303)
        raise Problem(404, Message("page-not-found"))

    async def _static(self, request: Request) -> Response:
        found = self._pages.static(request.path_params["name"])
        if found is None:
            return Response("file not found\n", 404)
        content, media_type, digest = found
        kept = f"public, max-age={YEAR_S}, immutable" if request.url.query == digest else "no-cache"
        headers = {"Cache-Control": kept, "ETag": f'"{digest}"', **VARY}
        if takes_gzip(request.headers.get("accept-encoding", "")) and (packed := coded_file(content)):
            content, headers = packed, {**headers, **CODED, "ETag": f'"{digest}-gzip"'}
        return Response(content, media_type=media_type, headers=headers)

    async def _login_page(self, request: Request) -> Response:
        return self._chosen(request) or self._show_login(request, "")

    def _show_login(self, request: Request, problem: Sentence, status: int = 200) -> Response:
        visitor = request.cookies.get(self._cookie(request, "visitor")) or self._visitors.cookie()
        query = {"next": _local(request.query_params.get("next"))}
        asked = replace(self._asked(request, None), form=self._visitors.form(visitor), query=query)
        response = _response(self._pages.login(asked, problem), status)
        self._set_cookie(request, response, "visitor", visitor, None)
        return response

    async def _login(self, request: Request) -> Response:
        form = await form_of(request)
        visitor = request.cookies.get(self._cookie(request, "visitor"))
        if not self._visitors.redeem(visitor, form.get("form", "")):
            return self._show_login(request, Message("login-form-foreign"), 403)
        client = client_of(request.client.host if request.client else "")
        try:
            user = await self._logins.attempt(client, form.get("user", ""), form.get("password", ""))
        except TooOften as error:
            return self._show_login(request, error.sentence, 429)
        except ConfigError as error:
            log.error("login to the pages is not possible: %s", error)
            return self._show_login(request, Message("login-impossible"), 503)
        if user is None:
            log.warning("login from %s failed", client)
            return self._show_login(request, Message("login-wrong"), 403)
        log.info("%s (%s) logged in from %s", user.name, user.role, client)
        if (before := self._session(request)) is not None:
            self._sessions.end(before)
        response = RedirectResponse(_local(form.get("next")), 303)
        self._set_cookie(request, response, "session", self._sessions.begin(user), ABSOLUTE_S[user.role])
        self.kept.changed()
        return response

    async def _logout(self, request: Request) -> Response:
        session, _ = await self._sent(request)
        self._sessions.end(session)
        await self.kept.save()
        response = RedirectResponse("/login", 303)
        response.delete_cookie(self._cookie(request, "session"), secure=request.url.scheme == "https")
        return response

    async def _sent(self, request: Request) -> tuple[Session, dict[str, str]]:
        """The session and the form of an order. Raises Problem for a form that no page of this session made."""
        session = self._session(request)
        if session is None:
            raise Problem(403, Message("login-none"))
        form = await form_of(request, self._pages.most_fields)
        if not self._sessions.redeem(session, form.get("form", "")):
            raise Problem(403, Message("form-used"))
        return session, form

    async def _act(self, request: Request) -> Response:
        session, form = await self._sent(request)
        if session.user.role != "installer":
            raise Problem(403, Message("act-not-allowed", user=session.user.name))
        act = self._pages.acts.get(request.path_params["act"])
        if act is None:
            raise Problem(404, Message("act-unknown"))
        try:
            session.done = await act(session.user.name, form)
        except GatewayError as error:
            typed = {name: text for name, text in form.items() if name not in ("form", "next")}
            wrong = error.field if isinstance(error, WrongField) else ""
            session.done = Done(_whole(error), {"typed": typed, "wrong": wrong}, well=False)
            log.log(logging.INFO if isinstance(error, Declined) else logging.WARNING, "%s", session.done.sentence)
        return RedirectResponse(_local(form.get("next")), 303)

    async def _stream(self, scope: Scope, receive: Receive, send: Send) -> None:
        session = self._session(Request(scope), watching=True)  # browsers open it again by themselves
        if session is None:
            await Response("log in first\n", 401)(scope, receive, send)
        elif self.stream is not None:
            await self.stream.serve(session, scope, receive, send)

    def _problem(self, request: Request, status: int, problem: Sentence, way_out: str = "") -> Response:
        asked = self._asked(request, self._session(request))
        return _response(self._pages.problem(asked, status, problem, way_out), status)


class _Asgi:
    """An endpoint that speaks ASGI itself: Starlette's routes take functions for the other kind."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _to_login(request: Request) -> Response:
    target = request.url.path + (f"?{request.url.query}" if request.url.query else "")
    return RedirectResponse(f"/login?next={quote(target, safe='')}", 303)


def _status(error: GatewayError) -> int:
    if isinstance(error, StoreError | Busy):
        return 503
    return 404 if isinstance(error, NotFound) else 400 if isinstance(error, BadQuery) else 409


def _too_many(scope: Scope) -> Response:
    later = {"Retry-After": "1"}
    if below_api(scope["path"]):
        refused = problem(429, Message("requests-too-many", limit=round(ADDRESS_RATE)))
        return Response(refused, 429, later, media_type=MEDIA_TYPE)
    return Response("too many requests\n", 429, later)


def _response(answer: Answer, status: int | None = None) -> Response:
    return Response(answer.body, status or answer.status, dict(answer.headers), media_type=answer.media_type)


def _whole(error: GatewayError) -> Sentence:
    """An error with its fix: as a message where the catalogues have both, else as text."""
    if error.message is not None and error.message.way_out == error.way_out:
        return error.message
    return f"{error.problem}; {error.way_out}" if error.way_out else error.problem


def _local(target: str | None) -> str:
    """A place among these pages, and never one elsewhere."""
    return target if target and len(target) < 1000 and _LOCAL.fullmatch(target) else "/"
