"""Points as columns of a table: which there are of some meters, by the configuration and by what was recorded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from gateway.config.model import Config
from gateway.devices.points import UNRECORDED, nearest
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.storage.database import Database


class Column(NamedTuple):
    """A point in one unit."""

    point: str
    unit: str | None

    @property
    def header(self) -> str:
        """What stands above it: ``active_power [W]``."""
        return f"{self.point} [{self.unit}]" if self.unit else self.point


def configured_columns(config: Config, meters: Sequence[str]) -> list[Column]:
    """The points that these meters record by the configuration, in the order of the profiles, each unit once.
    A meter that is not configured has none."""
    found = dict[Column, None]()
    for meter in meters:
        if meter in config.meters:
            points = config.profiles[meter].select(config.meters[meter].points or None)
            found |= {Column(point.name, point.unit): None for point in points if point.kind not in UNRECORDED}
    return list(found)


def columns_of(config: Config, store: Database, meters: Sequence[str], names: Sequence[str] | None) -> list[Column]:
    """The columns of these meters: all configured ones (``names`` None), or those of the named points in their order; a
    point that none of the meters has by the configuration, in every unit in which it was recorded. Raises StoreError.
    """
    now = configured_columns(config, meters)
    if names is None:
        return now
    known = [*now, *(column for column in recorded_columns(store) if column.point not in {x.point for x in now})]
    return [column for name in names for column in known if column.point == name]


def recorded_columns(store: Database) -> list[Column]:
    """Every point in every unit that the summaries know, also of meters and profiles that are no more. Raises
    StoreError."""
    return list(dict.fromkeys(Column(*point) for points in store.summaries.forms().values() for point in points))


def demand_points(config: Config, store: Database, meters: Sequence[str], names: Sequence[str] | None) -> None:
    """Raises GatewayError: a point that these meters neither have by the configuration nor anything ever recorded."""
    if names is None:
        return
    known = {column.point for column in (*configured_columns(config, meters), *recorded_columns(store))}
    for name in names:
        if name not in known:
            raise GatewayError(Message("readings-no-point", point=name, hint=nearest(name, sorted(known))))
