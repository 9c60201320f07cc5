"""HTTP routes of a ledger's registry: parties, certificates, holdings (docs/ledger.md)."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger_client.claims.answers import encode_list, encode_party, encode_shown
from ledger_client.formats.checks import MAX_TIME_MS
from ledger_client.transparency.ledger.claim_view import ClaimView
from ledger_client.transparency.policy.key_entries import PARTY
from ledger_client.transparency.server.problem import Problem, malformed, named, number
from ledger_client.transport.wire import CBOR, id_from_text

_NO_ID = bytes(32)


def routes(view: ClaimView) -> list[Route]:
    """All that is asked with GET of claims; they are posted as every entry is."""

    async def get_party(request: Request) -> Response:
        following, role = await run_in_threadpool(view.party, named(request, PARTY))
        return Response(encode_party(following, role), media_type=CBOR)

    async def get_holdings(request: Request) -> Response:
        after = _id(request.query_params["after"]) if "after" in request.query_params else _NO_ID
        many = await run_in_threadpool(view.of_holder, named(request, PARTY), after)
        return Response(encode_list(many), media_type=CBOR)

    async def get_certificate(request: Request) -> Response:
        shown = await run_in_threadpool(view.certificate, _id(request.path_params["id"]))
        if shown is None:
            raise Problem(404, "Not Found", "no certificate of this id was issued here")
        return Response(encode_shown(shown), media_type=CBOR)

    async def get_device(request: Request) -> Response:
        device = _id(request.path_params["device"])
        from_ms, to_ms = number(request, "from", 0, 0), number(request, "to", MAX_TIME_MS, 0)
        return Response(encode_list(await run_in_threadpool(view.of_device, device, from_ms, to_ms)), media_type=CBOR)

    return [
        Route("/parties/{party}/next", get_party, methods=["GET"]),
        Route("/parties/{party}/certificates", get_holdings, methods=["GET"]),
        Route("/certificates/{id}", get_certificate, methods=["GET"]),
        Route("/devices/{device}/certificates", get_device, methods=["GET"]),
    ]


def _id(text: str) -> bytes:
    found = id_from_text(text)
    if found is None:
        raise malformed("an id is base64url of 32 bytes, without padding; of a device the SHA-256 of its id")
    return found
