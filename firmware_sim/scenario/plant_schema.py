"""Schema of a scenario's ``[plant]``."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from firmware_sim.plant.curves import Curve
from firmware_sim.plant.model import PlantSpec
from firmware_sim.scenario.table import Positive, Table
from firmware_sim.scenario.unit_schema import BatteryTable, NodeTable, StackTable, UnitRow

OLD_KEYS = ("load_kw", "pv_kw", "hydro_kw", "stack", "battery")
"""Those that make one unit of each kind at the grid connection, where there is no ``[[plant.unit]]``."""
START_HOUR = 10.0
"""The plant's time of day at the start, where the scenario says none."""


class PlantTable(Table):
    """``[plant]``"""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    start_hour: Annotated[float, Field(ge=0, lt=24)] | None = None
    start: str | datetime | None = None
    load_kw: Positive = 18.0
    pv_kw: Positive = 15.0
    hydro_kw: Positive = 30.0
    volts: Annotated[float, Field(gt=0, lt=1e6)] = 230.0
    hertz: Annotated[float, Field(gt=0, lt=1000)] = 50.0
    stack: StackTable = StackTable()
    battery: BatteryTable = BatteryTable()
    unit: list[UnitRow] = Field(default_factory=list)
    node: list[NodeTable] = Field(default_factory=list)

    @field_validator("start")
    @classmethod
    def _is_moment(cls, value: str | datetime | None) -> str | datetime | None:
        if value is not None:
            moment_of(value)
        return value

    @model_validator(mode="after")
    def _starts_once(self) -> PlantTable:
        if self.start is not None and self.start_hour is not None:
            raise ValueError("start has the time of day: remove start_hour")
        return self

    @property
    def moment(self) -> datetime | None:
        """At which it starts; None: nobody says of which day."""
        return None if self.start is None else moment_of(self.start)

    def spec(self, curves: Mapping[str, Curve]) -> PlantSpec:
        """The plant, with the curves of its units by their names."""
        values = self.model_dump(exclude={"stack", "battery", "start", "start_hour", "unit", "node"})
        start = self.moment
        hour = START_HOUR if self.start_hour is None else self.start_hour
        return PlantSpec(
            **values,
            start_hour=hour if start is None else _hour(start),
            start=start,
            stack=self.stack.spec(),
            battery=self.battery.spec(),
            units=tuple(table.unit(curves.get(table.name)) for table in self.unit),
            nodes=tuple(table.spec() for table in self.node),
        )


def moment_of(value: str | datetime) -> datetime:
    """A moment of the plant's calendar, RFC 3339 with an offset. Raises ``ValueError``."""
    form = 'write it with day, time and offset: "2026-06-21T04:00+08:00"'
    try:
        moment = datetime.fromisoformat(value) if isinstance(value, str) else value
    except ValueError:
        raise ValueError(f"no moment; {form}") from None
    if moment.tzinfo is None:
        raise ValueError(f"it has no offset from UTC; {form}")
    if not 2000 <= moment.year < 2100:
        raise ValueError("meters write two digits of a year: use one from 2000 to 2099")
    return moment


def _hour(moment: datetime) -> float:
    """The time of day at its offset."""
    return moment.hour + (moment.minute * 60 + moment.second + moment.microsecond / 1e6) / 3600
