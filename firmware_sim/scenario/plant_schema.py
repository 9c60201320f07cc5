"""Schema of a scenario's ``[plant]``."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from firmware_sim.plant.battery import BatterySpec
from firmware_sim.plant.model import PlantSpec
from firmware_sim.plant.stack import StackSpec
from firmware_sim.scenario.table import Positive, Share, Table


class StackTable(Table):
    """``[plant.stack]``"""

    fuel_kg_h: Positive = 0.0
    ncv_mj_kg: Positive = 25.8
    carbon: Share = 0.6656
    hydrogen: Share = 0.036
    moisture: Share = 0.10
    excess_air: Annotated[float, Field(ge=1.1, le=10)] = 1.3
    gas_c: Annotated[float, Field(ge=15, le=1000)] = 130.0
    stops: list[Annotated[list[Positive], Field(min_length=2, max_length=2)]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _adds_up(self) -> StackTable:
        if self.carbon + self.hydrogen + self.moisture > 1:
            raise ValueError("carbon, hydrogen and moisture are more than the whole fuel")
        if self.carbon + self.hydrogen == 0:
            raise ValueError("a fuel has carbon or hydrogen")
        if any(begin >= end for begin, end in self.stops):
            raise ValueError("a stop ends after it begins")
        return self

    def spec(self) -> StackSpec:
        """The boiler and its fuel."""
        return StackSpec(**self.model_dump() | {"stops": tuple((begin, end) for begin, end in self.stops)})


class BatteryTable(Table):
    """``[plant.battery]``"""

    kw: Positive = 0.0
    kwh: Positive = 0.0
    efficiency: Annotated[float, Field(ge=0.1, le=1)] = 0.95
    charged: Share = 0.5

    def spec(self) -> BatterySpec:
        """The battery."""
        return BatterySpec(**self.model_dump())


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

    def spec(self) -> PlantSpec:
        """The plant."""
        values = self.model_dump(exclude={"stack", "battery", "start", "start_hour"})
        start = None if self.start is None else moment_of(self.start)
        hour = START_HOUR if self.start_hour is None else self.start_hour
        return PlantSpec(
            **values,
            start_hour=hour if start is None else _hour(start),
            start=start,
            stack=self.stack.spec(),
            battery=self.battery.spec(),
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
