"""Cursors: where the next page of a list begins, as opaque text that survives a restart.

A cursor is base64url of a version, a hash of the query that it continues, the place in the list, and a checksum over
all of it. The place is what the query would show anyway, so nothing is kept secret and nothing is kept here.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Final

from gateway.api.shapes.problems import Refusal
from gateway.messages.message import Message
from ledger_client.errors import LedgerClientError
from ledger_client.formats.base64url import base64url, unbase64url

VERSION: Final = b"\x01"
LONGEST: Final = 400
"""Characters of a cursor."""
MOST: Final = 1 << 62
"""No number of a place is larger."""
_QUERY, _SUM = 8, 6

Place = tuple[int | str, ...]


def encode(query: Mapping[str, object], place: Sequence[int | str]) -> str:
    """The cursor of a place in the list that a query asks for; ``query``: what the list depends on, its path too."""
    body = VERSION + _hash(query) + _plain(list(place))
    return base64url(body + hashlib.sha256(body).digest()[:_SUM])


def decode(text: str, query: Mapping[str, object]) -> Place:
    """The place that ``encode`` was given.

    Raises Refusal: not a whole cursor of this version (``cursor-invalid``), or of another query
    (``cursor-of-another-query``).
    """
    try:
        data = unbase64url(text) if len(text) <= LONGEST else b""
    except LedgerClientError:
        data = b""
    body, checksum = data[:-_SUM], data[-_SUM:]
    if not body.startswith(VERSION) or hashlib.sha256(body).digest()[:_SUM] != checksum:
        raise Refusal(Message("cursor-invalid"))
    if body[1 : 1 + _QUERY] != _hash(query):
        raise Refusal(Message("cursor-of-another-query"))
    found = _place(body[1 + _QUERY :])
    if found is None:
        raise Refusal(Message("cursor-invalid"))
    return found


def _place(data: bytes) -> Place | None:
    """A place as ``encode`` writes it; None for anything else, whoever has made a checksum for it."""
    try:
        found = json.loads(data)
    except ValueError:
        return None
    if not isinstance(found, list) or not all(map(_fits, found)) or _plain(found) != data:
        return None
    return tuple(found)


def _fits(one: object) -> bool:
    """Whether a database takes it: no lone surrogate, no number beyond 64 bits."""
    if isinstance(one, str):
        return not any("\ud800" <= character <= "\udfff" for character in one)
    return type(one) is int and abs(one) <= MOST


def _hash(query: Mapping[str, object]) -> bytes:
    return hashlib.sha256(_plain({key: value for key, value in query.items() if value is not None})).digest()[:_QUERY]


def _plain(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
