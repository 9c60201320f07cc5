"""Schema of ``[[plant.unit]]`` and ``[[plant.node]]``: what hangs where below the grid connection."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Discriminator, Field, model_validator

from firmware_sim.plant.battery import BatterySpec
from firmware_sim.plant.curves import Curve, Repeats
from firmware_sim.plant.stack import StackSpec
from firmware_sim.plant.sun import MOST_LATITUDE, PanelSpec
from firmware_sim.plant.tree import GRID, NodeSpec
from firmware_sim.plant.units import Battery, Hydro, Load, Solar, Thermal, Unit
from firmware_sim.scenario.table import Name, Positive, Share, Table


class StackTable(Table):
    """``[plant.stack]``"""

    fuel_kg_h: Positive = 0.0
    ncv_mj_kg: Positive = 25.8
    carbon: Share = 0.6656
    hydrogen: Share = 0.036
    moisture: Share = 0.10
    sulphur: Share | None = None
    oxygen: Share = 0.0
    excess_air: Annotated[float, Field(ge=1.1, le=10)] = 1.3
    gas_c: Annotated[float, Field(ge=15, le=1000)] = 130.0
    stops: list[Annotated[list[Positive], Field(min_length=2, max_length=2)]] = Field(default_factory=list)

    @model_validator(mode="after")
    def _adds_up(self) -> StackTable:
        whole = math.fsum((self.carbon, self.hydrogen, self.moisture, self.sulphur or 0.0, self.oxygen))
        if whole > 1:
            parts = "carbon, hydrogen, moisture, sulphur and oxygen"
            raise ValueError(f"{parts} are {100 * whole:.6g} % of it, more than the whole fuel")
        if self.carbon + self.hydrogen == 0:
            raise ValueError("a fuel has carbon or hydrogen")
        if self.spec().oxygen_kmol <= 0:
            raise ValueError("a fuel with so much oxygen would burn without air")
        if any(begin >= end for begin, end in self.stops):
            raise ValueError("a stop ends after it begins")
        return self

    def spec(self) -> StackSpec:
        """The boiler and its fuel."""
        keys = self.model_dump(include=set(StackTable.model_fields))
        return StackSpec(**keys | {"stops": tuple((begin, end) for begin, end in self.stops)})


class BatteryTable(Table):
    """``[plant.battery]``"""

    kw: Positive = 0.0
    kwh: Positive = 0.0
    efficiency: Annotated[float, Field(ge=0.1, le=1)] = 0.95
    charged: Share = 0.5

    def spec(self) -> BatterySpec:
        """The battery."""
        return BatterySpec(**self.model_dump(include=set(BatteryTable.model_fields)))


class CurveTable(Table):
    """A unit that may follow a curve: a CSV file, and how often it begins anew."""

    name: Name
    at: Name = GRID
    curve: Annotated[str, Field(pattern=r"^[^\x00]+$")] | None = None
    repeats: Repeats | None = None

    @model_validator(mode="after")
    def _repeats_a_curve(self) -> CurveTable:
        if self.repeats is not None and self.curve is None:
            raise ValueError("repeats goes with curve, and there is none")
        return self


class LoadTable(CurveTable):
    """``kind = "load"``"""

    kind: Literal["load"]
    kw: Positive

    def unit(self, curve: Curve | None) -> Unit:
        """The load."""
        return Load(self.name, self.at, self.kw, curve=curve)

    @property
    def most_kw(self) -> float:
        """Installed."""
        return self.kw


class SolarTable(CurveTable):
    """``kind = "solar"``; panels whose place is not given have the same sun every day."""

    kind: Literal["solar"]
    kw: Positive
    latitude: Annotated[float, Field(ge=-MOST_LATITUDE, le=MOST_LATITUDE)] | None = None
    longitude: Annotated[float, Field(ge=-180, le=180)] | None = None
    tilt: Annotated[float, Field(ge=0, le=90)] = 30.0
    azimuth: Annotated[float, Field(ge=0, le=360)] | None = None
    clouds: Share = 0.5

    @model_validator(mode="after")
    def _at_a_place(self) -> SolarTable:
        of_place = {"latitude", "longitude", "tilt", "azimuth", "clouds"} & self.model_fields_set
        if of_place and (self.latitude is None or self.longitude is None):
            raise ValueError(f"{', '.join(sorted(of_place))}: a place has a latitude and a longitude")
        if of_place and self.curve is not None:
            raise ValueError(f"the curve is what the panels deliver, whatever the sun does: remove {min(of_place)}")
        return self

    def unit(self, curve: Curve | None) -> Unit:
        """The panels, which face the equator where nothing else is said."""
        panel = None
        if self.latitude is not None and self.longitude is not None:
            faces = (180.0 if self.latitude >= 0 else 0.0) if self.azimuth is None else self.azimuth
            panel = PanelSpec(self.latitude, self.longitude, self.tilt, faces, self.clouds)
        return Solar(self.name, self.at, self.kw, panel, curve)

    @property
    def most_kw(self) -> float:
        """Rated."""
        return self.kw


class HydroTable(CurveTable):
    """``kind = "hydro"``"""

    kind: Literal["hydro"]
    kw: Positive

    def unit(self, curve: Curve | None) -> Unit:
        """The turbine."""
        return Hydro(self.name, self.at, self.kw, curve)

    @property
    def most_kw(self) -> float:
        """Rated."""
        return self.kw


class ThermalTable(CurveTable, StackTable):
    """``kind = "thermal"``: the keys of ``[plant.stack]``, and what it delivers."""

    kind: Literal["thermal"]
    fuel_kg_h: Annotated[float, Field(gt=0, le=1e9)]
    ncv_mj_kg: Annotated[float, Field(gt=0, le=200)] = 25.8
    net_efficiency: Annotated[float, Field(gt=0, le=0.65)] = 0.38

    def unit(self, curve: Curve | None) -> Unit:
        """The boiler and its generator."""
        return Thermal(self.name, self.at, self.spec(), self.net_efficiency, curve)

    @property
    def most_kw(self) -> float:
        """At full load."""
        return self.fuel_kg_h * self.ncv_mj_kg * self.net_efficiency / 3.6


class BatteryUnitTable(CurveTable, BatteryTable):
    """``kind = "battery"``: the keys of ``[plant.battery]``."""

    kind: Literal["battery"]

    def unit(self, curve: Curve | None) -> Unit:
        """The battery."""
        return Battery(self.name, self.at, self.spec(), curve)

    @property
    def most_kw(self) -> float:
        """In both directions."""
        return self.kw


UnitTable = LoadTable | SolarTable | HydroTable | ThermalTable | BatteryUnitTable
UnitRow = Annotated[UnitTable, Discriminator("kind")]


class NodeTable(Table):
    """``[[plant.node]]``"""

    name: Name
    at: Name = GRID
    rated_kw: Annotated[float, Field(gt=0, le=1e9)] | None = None
    loss: Share = 0.0

    @model_validator(mode="after")
    def _of_something(self) -> NodeTable:
        if self.loss and self.rated_kw is None:
            raise ValueError("loss is a share of rated_kw: set rated_kw as well")
        return self

    def spec(self) -> NodeSpec:
        """The node."""
        return NodeSpec(self.name, self.at, self.rated_kw or 0.0, self.loss)
