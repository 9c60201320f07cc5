"""HTTP problem responses (RFC 9290), and parsing of request parameters."""

from __future__ import annotations

import asyncio
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request

from ledger_client.formats.checks import is_name
from ledger_client.transparency.log.entries import MAX_NUMBER

_BODY_TIMEOUT_S: Final = 30.0


class Problem(HTTPException):
    """An answer other than the one that was asked for: a status with a title and a detail (RFC 9290)."""

    def __init__(self, status: int, title: str, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(status, detail, headers)
        self.title = title


def malformed(detail: str) -> Problem:
    """The question makes no sense: 400."""
    return Problem(400, "Malformed request", detail)


def number(request: Request, name: str, default: int | None, least: int, most: int = MAX_NUMBER) -> int:
    """A whole number of the query, ``default`` where it is absent (None: it may not be); raises ``Problem``."""
    text = request.query_params.get(name)
    if text is None and default is not None:
        return default
    if text is None:
        raise malformed(f"{name} is needed, a whole number from {least} on")
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19 and least <= int(text) <= most):
        raise malformed(f"{name} is a whole number from {least} to {most}")
    return int(text)


def named(request: Request, kind: str) -> str:
    """The gateway or party in the path of a question; raises ``Problem``."""
    name = str(request.path_params[kind])
    if not is_name(name):
        raise malformed(f"a {kind}'s name is [A-Za-z0-9][A-Za-z0-9._-]{{0,63}}")
    return name


async def body_of(request: Request, most: int, kind: str) -> bytes:
    """The request's body, never more than ``most`` bytes never waited for without end; ``kind`` names what it is."""
    too_large = Problem(413, f"{kind.capitalize()} too large", f"a {kind} has at most {most} bytes")
    declared = request.headers.get("content-length", "")
    if declared.isascii() and declared.isdigit() and (len(declared) > 12 or int(declared) > most):
        raise too_large
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_TIMEOUT_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > most:
                    raise too_large
    except TimeoutError:
        raise Problem(408, "Request timeout", f"the body did not arrive within {_BODY_TIMEOUT_S:.0f} s") from None
    except ClientDisconnect:
        raise malformed("the body ended early") from None
    return bytes(body)
