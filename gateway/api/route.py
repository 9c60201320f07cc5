"""Routes of the gateway's API: its memory, its database and its clock (``gateway.api.shapes.route``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from gateway.api.shapes import route
from gateway.api.shapes.parameters import Parameters
from gateway.api.shapes.problems import Refusal
from gateway.errors import GatewayError
from gateway.local_calendar import instant_of
from gateway.messages.message import Message
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database

P = TypeVar("P", bound=Parameters)

Call = route.Call[GatewayContext, Database, P]
Rest = Callable[[Database], route.Answered]


class ApiRoute(route.ApiRoute[GatewayContext, Database, P]):
    """A row of the gateway's table."""


def asked_times(call: Call[Any], now_ms: int) -> tuple[int | None, int | None]:
    """The times that its parameters ``from`` and ``to`` say, Unix ms; None: it says none. Raises Refusal."""
    found = list[int | None]()
    for name, text in (("from", call.parameters.from_), ("to", call.parameters.to)):
        try:
            found.append(None if text is None else instant_of(text, now_ms))
        except GatewayError as error:
            raise Refusal(Message("parameter-invalid", name=name, why=error.sentence)) from None
    return found[0], found[1]
