"""Routes of the control room's API: its site and its database (``gateway.api.shapes.route``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from control_room.store.connection import Database
from control_room.web.site import Site
from gateway.api.shapes import route
from gateway.api.shapes.parameters import Parameters

P = TypeVar("P", bound=Parameters)

Call = route.Call[Site, Database, P]
Rest = Callable[[Database], route.Answered]


class ApiRoute(route.ApiRoute[Site, Database, P]):
    """A row of the control room's table."""
