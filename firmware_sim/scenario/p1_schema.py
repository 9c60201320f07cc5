"""Schema of a scenario's ``[[bus]]`` with type = "p1": the customer port of an electricity meter."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from firmware_sim.meters.p1_meter import P1Spec, PassedOn
from firmware_sim.plant.tree import GRID
from firmware_sim.scenario.table import Class, Part

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Positive = Annotated[float, Field(ge=0, le=900_000)]
MAIN_CHANNEL = "0-0"


class P1MeterTable(BaseModel):
    """``[[bus.meter]]`` of such a bus: the meter itself at "0-0", those that it passes on at "0-1" to "0-9"."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    name: Name
    address: Annotated[str, Field(pattern=r"^0-[0-9]$")]
    kind: Literal["electricity", "gas", "water", "heat"] = "electricity"
    serial: Annotated[str, Field(pattern=r"^[0-9A-Za-z]{1,32}$")] = "SIM0001"
    measures: Name = GRID
    part: Part = 1.0
    accuracy: Annotated[Class | None, Field(alias="class")] = None
    energy_import_kwh: Positive = 0.0
    energy_export_kwh: Positive = 0.0
    start: Positive = 0.0

    @model_validator(mode="after")
    def _on_its_channel(self) -> P1MeterTable:
        if (self.address == MAIN_CHANNEL) != (self.kind == "electricity"):
            raise ValueError('kind = "electricity" is for address "0-0" alone, and the only one there')
        return self


class P1Table(BaseModel):
    """``[[bus]]`` with type = "p1": ``port`` is the path of the link to the pseudo-terminal, or the number of a TCP
    port."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    type: Literal["p1"]
    name: Name
    port: Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=0, le=65535)]
    host: str = "127.0.0.1"
    edition: Literal[2, 4, 5] = 5
    country: Literal["nl", "be", "at"] = "nl"
    every_ms: Annotated[float, Field(ge=10, le=3_600_000)] = 1000
    seven_bits: bool = False
    meter: Annotated[list[P1MeterTable], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_owner(self) -> P1Table:
        if [meter.address for meter in self.meter].count(MAIN_CHANNEL) != 1:
            raise ValueError('a P1 port has one meter of its own, with address = "0-0"')
        if self.country != "nl" and self.edition != 5:
            raise ValueError(f'country = "{self.country}" is for edition = 5 alone')
        return self

    @property
    def is_checked(self) -> bool:
        """Whether its telegrams have a check value that can be another."""
        return self.edition > 2 and not self.seven_bits

    def spec(self) -> P1Spec:
        """The meter with those that it passes on."""
        main = next(meter for meter in self.meter if meter.address == MAIN_CHANNEL)
        others = (meter for meter in self.meter if meter is not main)
        passed_on = tuple(PassedOn(int(row.address[2:]), row.kind, row.serial, row.start, row.name) for row in others)
        start_wh = main.energy_import_kwh * 1000, main.energy_export_kwh * 1000
        return P1Spec(
            self.edition,
            main.serial,
            main.measures,
            start_wh,
            passed_on,
            self.country,
            main.name,
            Fraction(repr(main.part)),
            main.accuracy or 0.0,
        )
