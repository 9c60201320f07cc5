"""Routes of the control room's API: its site and its database (``gateway.api.shapes.route``)."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import TypeVar

from control_room.store.connection import Database
from control_room.store.fleet import number_of
from control_room.web.site import Site
from gateway.api.shapes import route
from gateway.api.shapes.parameters import Parameters
from gateway.api.shapes.problems import Refusal
from gateway.messages.message import Message

P = TypeVar("P", bound=Parameters)

Call = route.Call[Site, Database, P]
Rest = Callable[[Database], route.Answered]


def demand_gateway(db: Database, trusted: Collection[str], gateway: str | None) -> None:
    """Raises Refusal: neither the trust file nor the database has this gateway."""
    if gateway is not None and gateway not in trusted and number_of(db, gateway) is None:
        raise Refusal(Message("gateway-unknown", gateway=gateway))


def of_known(look: Callable[[Call[P]], Rest]) -> Callable[[Call[P]], Rest]:
    """The same, of a gateway that there is."""

    def looked(call: Call[P]) -> Rest:
        gateway: str | None = getattr(call.parameters, "gateway", None)
        trusted, rest = call.site.trusted(), look(call)

        def checked(db: Database) -> route.Answered:
            demand_gateway(db, trusted, gateway)
            return rest(db)

        return checked

    return looked


class ApiRoute(route.ApiRoute[Site, Database, P]):
    """A row of the control room's table."""
