"""Forms that browsers send: their fields, within bounds of kind, size and time."""

from __future__ import annotations

import asyncio
from urllib.parse import parse_qsl

from starlette.requests import ClientDisconnect, Request

from gateway.dashboard.shell.page import FIELDS, Problem
from gateway.messages.message import Message

FORM = "application/x-www-form-urlencoded"
MOST_BODY, BODY_S = 16 * 1024, 10.0


async def form_of(request: Request, most: int = FIELDS) -> dict[str, str]:
    """The fields of a form, each once; ``most``: how many it may have.

    Raises:
        Problem: it is of another kind, too large, or too slow.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != FORM:
        raise Problem(415, Message("form-type", type=FORM))
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > MOST_BODY:
                    raise Problem(413, Message("form-too-large", limit_bytes=MOST_BODY))
        return dict(parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True, max_num_fields=most))
    except TimeoutError:
        raise Problem(408, Message("form-too-slow", limit_s=round(BODY_S))) from None
    except (ClientDisconnect, ValueError):
        raise Problem(400, Message("form-invalid")) from None
