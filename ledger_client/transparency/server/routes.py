"""HTTP routes of a ledger: SCITT reference APIs (draft-ietf-scitt-scrapi), gateway and log queries.

Whatever a client sends, it gets 2xx or 4xx with concise problem details (RFC 9290); 503 only means that this side
cannot write or read its own files just now, that its key is away, or that its log is behind what it has signed for.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from ledger_client.claims import registry
from ledger_client.errors import NOTHING, LedgerUnavailable, Refused
from ledger_client.formats import cbor
from ledger_client.http_server.token_bucket import Buckets
from ledger_client.transparency.ledger.admission import (
    BAD_SIGNATURE,
    KEY_NOT_VALID,
    MALFORMED,
    NOT_YET,
    OUT_OF_ORDER,
    TAKEN,
    UNKNOWN_KEY,
)
from ledger_client.transparency.ledger.claim_view import ClaimView
from ledger_client.transparency.ledger.held_key import KeyUnavailable
from ledger_client.transparency.ledger.service import Service, TooOften
from ledger_client.transparency.ledger.view import LogView
from ledger_client.transparency.log.log import LogBehind
from ledger_client.transparency.server.checkpoint_routes import routes as checkpoint_routes
from ledger_client.transparency.server.claim_routes import routes as claim_routes
from ledger_client.transparency.server.intake import Intake
from ledger_client.transparency.server.log_routes import routes as log_routes
from ledger_client.transparency.server.problem import Problem, body_of, malformed, named, number
from ledger_client.transparency.server.rate_limit import Doorkeeper, too_many
from ledger_client.transparency.server.verifier_route import routes as verifier_route
from ledger_client.transparency.witness.cosigning import Cosigning
from ledger_client.transport.wire import CBOR, COSE, MAX_ENTRY, PROBLEM, encode_problem, id_from_text, id_to_text

_LOG = logging.getLogger("meterseal.ledger")
_RETRY_AFTER_S = "10"

_STATUS = {
    MALFORMED: 400,
    BAD_SIGNATURE: 400,
    UNKNOWN_KEY: 403,
    KEY_NOT_VALID: 403,
    TAKEN: 409,
    OUT_OF_ORDER: 409,
    NOT_YET: 409,
    registry.MALFORMED: 400,
    registry.UNKNOWN_PARTY: 403,
    registry.NOT_THE_ISSUER: 403,
    registry.NOT_THE_HOLDER: 403,
    registry.NUMBER_TAKEN: 409,
    registry.ORIGIN_TAKEN: 409,
    registry.NOT_THIS_SLICE: 409,
    registry.FINAL: 409,
}


def app(
    ledger: Service,
    view: LogView,
    claims: ClaimView,
    cosigning: Cosigning,
    *,
    policy_in_force: Callable[[], bool],
    address_rate: float,
) -> ASGIApp:
    """The ASGI application over one ledger and the views of its log and of its registry.

    ``policy_in_force`` says whether the policy file is the policy; one address may ask ``address_rate`` times a second.
    """

    intake = Intake(ledger)

    async def post_entry(request: Request) -> Response:
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != COSE:
            raise Problem(415, "Unsupported media type", f"a signed statement is sent as Content-Type {COSE}")
        statement_id, receipt = await intake.submit(await body_of(request, MAX_ENTRY, "statement"))
        location = {"Location": f"/entries/{id_to_text(statement_id)}"}
        return Response(receipt, 201, location, media_type=COSE)

    async def get_health(_request: Request) -> Response:
        unwritable = await run_in_threadpool(ledger.unwritable)
        if unwritable is not None:
            return PlainTextResponse(f"{_unwell(unwritable)}\n", 503, {"Retry-After": _RETRY_AFTER_S})
        return PlainTextResponse(
            "ok\n" if await run_in_threadpool(policy_in_force) else "ok, by an older policy.toml\n"
        )

    async def get_entry(request: Request) -> Response:
        statement_id = id_from_text(request.path_params["id"])
        receipt = None if statement_id is None else await run_in_threadpool(ledger.receipt, statement_id)
        if receipt is None:
            raise Problem(404, "Not Found", "no receipt for this entry: the id is base64url of the statement id")
        return Response(receipt, media_type=COSE)

    routes = [
        Route("/healthz", get_health, methods=["GET"]),
        Route("/entries", post_entry, methods=["POST"]),
        Route("/entries/{id}", get_entry, methods=["GET"]),
        *_gateway_routes(ledger),
        *claim_routes(claims),
        *log_routes(ledger, view),
        *verifier_route(),
        *checkpoint_routes(view, cosigning),
    ]
    handlers: dict[type[Exception], Callable[[Request, Exception], Awaitable[Response]]] = {
        HTTPException: _answer_http,
        Refused: _answer_refused,
        TooOften: _answer_too_often,
        LedgerUnavailable: _answer_unavailable,
        Exception: _answer_fault,
    }
    site = Starlette(routes=routes, exception_handlers=handlers)
    return Doorkeeper(site, Buckets(address_rate), ledger.counts)


def _unwell(why: LedgerUnavailable) -> str:
    """In words for strangers: no path and no serial number of a token, which the ledger's output has."""
    if isinstance(why, LogBehind):
        return "log-behind"
    if isinstance(why, KeyUnavailable):
        return f"key-away: {why.code}; the ledger's own output says the fix"
    return "cannot write"


def _gateway_routes(ledger: Service) -> list[Route]:
    """Queries of one gateway: its last statement, its keys, its statements."""

    async def get_last(request: Request) -> Response:
        last = await run_in_threadpool(ledger.last, named(request, "gateway"))
        answer = None if last is None else {"id": last[1], "batch": last[0]}
        return Response(cbor.encode(answer), media_type=CBOR)

    async def get_key(request: Request) -> Response:
        kid = id_from_text(request.path_params["kid"])
        if kid is None:
            raise malformed("a kid is base64url of 32 bytes, without padding")
        await run_in_threadpool(ledger.demand_key, named(request, "gateway"), kid)
        return Response(status_code=204)

    async def get_statements(request: Request) -> Response:
        entries = await run_in_threadpool(
            ledger.statements, named(request, "gateway"), number(request, "after", -1, -1)
        )
        return Response(cbor.encode(entries), media_type=CBOR)

    return [
        Route("/gateways/{gateway}/last", get_last, methods=["GET"]),
        Route("/gateways/{gateway}/keys/{kid}", get_key, methods=["GET"]),
        Route("/gateways/{gateway}/statements", get_statements, methods=["GET"]),
    ]


def _problem(
    status: int, title: str, detail: str, headers: dict[str, str] | None = None, more: Mapping[str, object] = NOTHING
) -> Response:
    return Response(encode_problem(title, detail, more), status, headers, media_type=PROBLEM)


async def _answer_http(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    title = error.title if isinstance(error, Problem) else error.detail  # Starlette's own: "Not Found" and its like
    headers = dict(error.headers) if error.headers else None
    return _problem(error.status_code, title, error.detail, headers)


async def _answer_refused(_request: Request, error: Exception) -> Response:
    assert isinstance(error, Refused)
    _LOG.warning("refused: %s: %s", error.title, error.detail)
    return _problem(_STATUS[error.title], error.title, error.detail, more=error.more)


async def _answer_too_often(_request: Request, error: Exception) -> Response:
    assert isinstance(error, TooOften)
    return too_many(error.retry_after_s or 1, "of this gateway")


async def _answer_unavailable(_request: Request, error: Exception) -> Response:
    assert isinstance(error, LedgerUnavailable)
    _LOG.error("%s", error.problem)
    detail = "the ledger cannot use its files or its database; see its own output"
    if isinstance(error, LogBehind):
        detail = (
            "log-behind: the ledger's log lacks entries that it has signed for; nothing is signed until it is whole"
        )
    elif isinstance(error, KeyUnavailable):
        detail = "key-away: the ledger's key is in a token that does not sign just now; it is tried again by itself"
    return _problem(503, "Unavailable", detail, {"Retry-After": _RETRY_AFTER_S})


async def _answer_fault(_request: Request, _error: Exception) -> Response:
    """A fault of this program; Starlette raises it once more after the answer, and so it stands in the log."""
    return _problem(500, "Internal error", "a fault of this ledger; its own output has the details")
