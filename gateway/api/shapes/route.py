"""One route of an HTTP API: what a row of its table has (``gateway.api.table``, ``control_room.web.table``), and the
request that it is called with.

``S`` is the site whose memory a route looks at, ``D`` one state of the database that it reads.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel
from starlette.responses import Response

from gateway.api.shapes import cursors
from gateway.api.shapes.parameters import Parameters
from gateway.api.shapes.portions import Portions
from gateway.api.shapes.tokens import Scope, Token

S = TypeVar("S")
D = TypeVar("D")
P = TypeVar("P", bound=Parameters)

JSON = "application/json"


@dataclass(frozen=True, slots=True)
class Call(Generic[S, D, P]):
    """One request that may be answered. ``token``: None on a route that asks for none."""

    site: S
    path: str
    parameters: P
    token: Token | None
    holds: Callable[[], bool] = lambda: True
    """Whether the token still opens it: to be asked again while a long answer is written. In the event loop."""
    portions: Portions[D] | None = None
    """Writes long lists; there is one wherever requests are served."""

    def opens(self, scope: Scope) -> bool:
        """Whether its token opens what needs this scope."""
        return self.token is not None and self.token.opens(scope)

    @property
    def _query(self) -> Mapping[str, object]:
        asked = self.parameters.model_dump(mode="json", exclude={"cursor", "limit"}, exclude_none=True)
        return {"": self.path, **asked}

    def place(self) -> cursors.Place | None:
        """The place that its cursor gives; None without one. Raises Refusal."""
        text = getattr(self.parameters, "cursor", None)
        return None if text is None else cursors.decode(text, self._query)

    def cursor(self, *place: int | str) -> str:
        """The cursor of a place in the list that it asks for."""
        return cursors.encode(self._query, place)


Answered = BaseModel | Response
Rest = Callable[[D], Answered]
"""What is left to do in a thread, on one state of the database. It must not touch the site."""


@dataclass(frozen=True, slots=True)
class ApiRoute(Generic[S, D, P]):
    """A row of the table.

    ``scope``: what a token needs, None: no token. ``look`` runs in the event loop, takes what is in memory and nothing
    that blocks, and gives the rest for a thread; ``stream``, in its place, gives the answer itself. ``answer``: the
    model of the JSON; ``media``: schemas of other answers by their media type. ``refuses``: statuses besides those of
    every route.
    """

    path: str
    summary: str
    scope: Scope | None
    parameters: type[P]
    answer: Any = None
    look: Callable[[Call[S, D, P]], Rest[D]] | None = None
    stream: Callable[[Call[S, D, P]], Awaitable[Response]] | None = None
    media: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    refuses: tuple[int, ...] = ()
    method: Literal["GET"] = "GET"

    @property
    def name(self) -> str:
        """Its ``operationId``: the path in words."""
        words = self.path.removeprefix("/api/v1/").replace(".", "/").split("/")
        return "-".join(word.strip("{}") for word in words)
