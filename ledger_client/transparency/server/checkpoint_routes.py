"""HTTP routes of a log's checkpoint as a signed note (C2SP), and of the place of an entry in the log of a size."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger_client.formats import cbor
from ledger_client.transparency.ledger.view import LogView
from ledger_client.transparency.server.problem import Problem, malformed, number
from ledger_client.transparency.witness.cosigning import Cosigning
from ledger_client.transparency.witness.request import TEXT_TYPE
from ledger_client.transport.wire import CBOR, id_from_text


def routes(view: LogView, cosigning: Cosigning) -> list[Route]:
    """What goes beside a statement that is to be shown to be in a witnessed log."""

    async def get_checkpoint(request: Request) -> Response:
        least = number(request, "witnesses", 0, 0) if "witnesses" in request.query_params else None
        note = await run_in_threadpool(cosigning.note, least)
        if note is None:
            raise Problem(404, "Not Found", f"no checkpoint has {least} cosignatures yet")
        return Response(note, media_type=TEXT_TYPE)

    async def get_place(request: Request) -> Response:
        statement_id = id_from_text(request.query_params.get("id", ""))
        if statement_id is None:
            raise malformed("id is base64url of the statement id")
        place = await run_in_threadpool(view.place, statement_id, number(request, "size", None, 1))
        if place is None:
            raise Problem(404, "Not Found", "the log of this size is not here, or has no such entry")
        size, index, path = place
        return Response(cbor.encode([size, index, list(path)]), media_type=CBOR)

    return [
        Route("/checkpoint", get_checkpoint, methods=["GET"]),
        Route("/log/inclusion", get_place, methods=["GET"]),
    ]
