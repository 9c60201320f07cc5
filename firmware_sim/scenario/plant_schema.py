"""Schema of a scenario's ``[plant]``."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

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


class PlantTable(Table):
    """``[plant]``"""

    seed: Annotated[int, Field(ge=0, lt=2**63)] = 1
    start_hour: Annotated[float, Field(ge=0, lt=24)] = 10.0
    load_kw: Positive = 18.0
    pv_kw: Positive = 15.0
    hydro_kw: Positive = 30.0
    volts: Annotated[float, Field(gt=0, lt=1e6)] = 230.0
    hertz: Annotated[float, Field(gt=0, lt=1000)] = 50.0
    stack: StackTable = StackTable()
    battery: BatteryTable = BatteryTable()

    def spec(self) -> PlantSpec:
        """The plant."""
        values = self.model_dump(exclude={"stack", "battery"})
        return PlantSpec(**values, stack=self.stack.spec(), battery=self.battery.spec())
