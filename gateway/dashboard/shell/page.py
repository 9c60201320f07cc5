"""Page interface: a view reads memory in the event loop, and returns its remaining work for a thread.

``S`` is what the threads read: the database of a gateway, or a connection to another one (``Store``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

from gateway.dashboard.shell.sessions import Asked, Done
from gateway.errors import Declined, GatewayError
from ledger_client.messages import Sentence

HTML = "text/html; charset=utf-8"
FIELDS = 32
"""Of a form."""


class NotFound(GatewayError):
    """There is no such thing to show."""


class Problem(GatewayError):
    """An answer other than the requested one: HTTP status, and a message with its fix."""

    def __init__(self, status: int, message: Sentence) -> None:
        super().__init__(message)
        self.status = status


class WrongField(Declined):
    """What somebody typed into one field of a form cannot be; ``field``: its name."""

    def __init__(self, field: str, message: Sentence) -> None:
        super().__init__(message)
        self.field = field


class Store(Protocol):
    """What the threads of the pages read: one connection to a database."""

    def snapshot(self) -> AbstractContextManager[Any]:
        """One state of it, for all that is read within."""
        ...

    def close(self) -> None:
        """Give it back."""
        ...


S = TypeVar("S", bound=Store)


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent back."""

    body: bytes
    media_type: str = HTML
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Rest = Callable[[S], Answer]
View = Callable[[Asked], Rest[S]]
"""Runs in the event loop: takes what is in memory, and nothing that blocks or takes more than a few milliseconds. What
it gives back runs in a thread on one state of the database, and must not touch what the event loop changes."""

Document = Mapping[str, Mapping[str, Any]]
"""Document of the event stream: entries by name in sections, of JSON's own types."""
Source = Callable[[], Callable[[S], Document]]
"""The same way to the whole of what the stream shows."""

Act = Callable[[str, Mapping[str, str]], Awaitable[Done]]
"""An order that a page's form sends: the user's name and the fields → what came of it. Raises GatewayError."""


@dataclass(frozen=True, slots=True)
class Pages(Generic[S]):
    """All that is to be seen. ``login`` and ``problem`` (status, what, fix) are quick and need no database;
    ``static`` gives content, media type and short hash of one of our own files, or None."""

    views: Mapping[str, View[S]]
    """Pages by path, as Starlette's routes write it: ``/meters/{meter}``."""
    source: Source[S] | None
    """Of the event stream; None: there is none."""
    login: Callable[[Asked, Sentence], Answer]
    problem: Callable[[Asked, int, Sentence, str], Answer]
    static: Callable[[str], tuple[bytes, str, str] | None]
    close: Callable[[], None] = lambda: None
    """End the pages: take away what listens for them."""
    acts: Mapping[str, Act] = field(default_factory=dict)
    """Orders by name, each sent to ``/acts/NAME`` by an installer."""
    most_fields: int = FIELDS
    """Fields that the form of an order may have."""
