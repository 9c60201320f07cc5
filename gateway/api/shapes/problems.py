"""Problems of the HTTP API: documents of RFC 9457 with a code, and the refusal that becomes one.

No pydantic: the request guard of the pages answers with them, too.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from gateway.errors import GatewayError
from gateway.messages.languages import choose, fix_in_language, in_language
from gateway.messages.message import Message

PREFIX: Final = "/api"
MEDIA_TYPE: Final = "application/problem+json"

STATUS: Final[Mapping[str, int]] = {
    "parameter-invalid": 400,
    "parameter-missing": 400,
    "parameter-twice": 400,
    "parameter-unknown": 400,
    "parameter-unknown-none": 400,
    "cursor-invalid": 400,
    "cursor-of-another-query": 400,
    "token-missing": 401,
    "token-unknown": 401,
    "token-expired": 401,
    "token-scope": 403,
    "token-other-meter": 403,
    "token-of-a-meter": 403,
    "path-unknown": 404,
    "gateway-unknown": 404,
    "meter-unknown": 404,
    "record-unknown": 404,
    "readings-no-point": 404,
    "node-unknown": 404,
    "not-anchored": 409,
    "not-provable": 409,
    "pruned": 410,
    "record-lost": 410,
    "readings-pruned": 410,
    "rows-missing": 410,
    "requests-too-many": 429,
    "api-fault": 500,
    "api-busy": 503,
    "lists-too-many": 503,
    "database-unavailable": 503,
    "tokens-unavailable": 503,
}
"""The status of each refusal of the API, by its code: the code of its message."""


class Refusal(GatewayError):
    """A request of the API that is not answered. ``refused``: its message, one of those of ``STATUS``; ``headers``:
    what its answer carries besides."""

    def __init__(self, refused: Message, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(refused)
        self.refused, self.status, self.headers = refused, STATUS[refused.code], dict(headers or {})


def below_api(path: str) -> bool:
    """Whether a path is one of the API, whose answers are for programs."""
    return path == PREFIX or path.startswith(f"{PREFIX}/")


def problem(status: int, message: Message, accepted: str = "") -> bytes:
    """The document of a problem. ``accepted``: the request's Accept-Language, for ``detail`` and ``fix``."""
    language = choose(accepted[:200])
    found = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "code": message.code,
        "detail": in_language(message, language),
    }
    if fix := fix_in_language(message, language):
        found["fix"] = fix
    return json.dumps(found, ensure_ascii=False).encode()
