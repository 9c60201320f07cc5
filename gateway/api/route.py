"""Routes of the gateway's API: its memory and its database (``gateway.api.shapes.route``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from gateway.api.shapes import route
from gateway.api.shapes.parameters import Parameters
from gateway.runtime.context import GatewayContext
from gateway.storage.database import Database

P = TypeVar("P", bound=Parameters)

Call = route.Call[GatewayContext, Database, P]
Rest = Callable[[Database], route.Answered]


class ApiRoute(route.ApiRoute[GatewayContext, Database, P]):
    """A row of the gateway's table."""
