"""Page interface: a view reads memory in the event loop, and returns its remaining work for a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from gateway.dashboard.auth.sessions import Asked
from gateway.errors import GatewayError
from gateway.storage.database import Database
from ledger_client.messages import Sentence

HTML = "text/html; charset=utf-8"


class NotFound(GatewayError):
    """There is no such thing to show."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    body: bytes
    media_type: str = HTML
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Rest = Callable[[Database], Answer]
View = Callable[[Asked], Rest]
"""Runs in the event loop: takes what is in memory, and nothing that blocks or takes more than a few milliseconds. What
it gives back runs in a thread on one state of the database, and must not touch the site."""

Document = Mapping[str, Mapping[str, Any]]
"""Document of the event stream: entries by name in sections, of JSON's own types."""
Source = Callable[[], Callable[[Database], Document]]
"""The same way to the whole of what the stream shows."""


@dataclass(frozen=True, slots=True)
class Pages:
    """All that is to be seen. ``login`` and ``problem`` (status, what, fix) are quick and need no database;
    ``static`` gives content, media type and short hash of one of our own files, or None."""

    views: Mapping[str, View]
    """Pages by path, as Starlette's routes write it: ``/meters/{meter}``."""
    source: Source
    login: Callable[[Asked, Sentence], Answer]
    problem: Callable[[Asked, int, Sentence, str], Answer]
    static: Callable[[str], tuple[bytes, str, str] | None]
    close: Callable[[], None] = lambda: None
    """End the pages: take away what listens for them."""
