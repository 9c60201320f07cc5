"""Page that verifies proofs, at ``/verify`` of a ledger: for whoever trusts that ledger, never of a gateway."""

from __future__ import annotations

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from ledger_client.release import release
from ledger_client.verifier_page.page import policy, verifier_page


def routes() -> list[Route]:
    """The one route. The page is made when it is asked for first."""

    async def get_page(_request: Request) -> Response:
        headers = {
            "Content-Security-Policy": f"{policy()}; frame-ancestors 'none'",
            "X-Content-Type-Options": "nosniff",
            "Referrer-Policy": "no-referrer",
            "Cache-Control": "no-cache",
            "Content-Disposition": 'inline; filename="verify.html"',
        }
        page = await run_in_threadpool(verifier_page, release())
        return Response(page, headers=headers, media_type="text/html")

    return [Route("/verify", get_page, methods=["GET"])]
