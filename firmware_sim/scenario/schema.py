"""Schema of a scenario file's tables; unknown keys are refused.

Keys are those of a gateway's configuration where both have them, so that a bus can be carried over.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, model_validator

from firmware_sim.meters.register_map import MeterSpec, line_codes
from firmware_sim.plant.tree import GRID
from firmware_sim.scenario.dlt645_schema import Dlt645Table
from firmware_sim.scenario.hj212_schema import Hj212Table
from firmware_sim.scenario.p1_schema import P1Table
from firmware_sim.scenario.plant_schema import PlantTable
from firmware_sim.scenario.table import (
    Baudrate,
    Class,
    EndTable,
    LinkPath,
    Name,
    NoiseTable,
    Part,
    Port,
    Positive,
    Share,
    Table,
    check_bits,
    uarts,
)
from firmware_sim.wire.line import Line
from firmware_sim.wire.line_noise import Disturbance, SecondMaster
from firmware_sim.wire.tls_roles import Security
from firmware_sim.wire.uart import Uart
from gateway.devices.profile import Profile


class MeterTable(EndTable):
    """``[[bus.meter]]``"""

    name: Name
    profile: str
    address: Annotated[int, Field(ge=0, le=255)]
    measures: Name | None = None
    part: Part = 1.0
    accuracy: Annotated[Class | None, Field(alias="class")] = None
    serial: str = ""
    plate: dict[str, str | int] = Field(default_factory=dict)
    show: dict[str, str | int | float] = Field(default_factory=dict)
    factors: dict[Literal["ct", "pt"], Annotated[float, Field(gt=0)]] = Field(default_factory=dict)
    energy_import_kwh: Positive = 0.0
    energy_export_kwh: Positive = 0.0
    reactive_energy_import_kvarh: Positive = 0.0
    reactive_energy_export_kvarh: Positive = 0.0
    fuel_weight_kg: Positive = 0.0
    sunspec_base: Literal[0, 40000, 50000] = 40000
    sunspec_model: int | None = None
    latency_ms: Positive = 0.0
    refresh_ms: Annotated[int, Field(ge=1, le=60_000)] = 1
    sleeps: bool = False
    word_order: Literal["big", "little"] | None = None
    reversed: bool = False
    replay: str | None = None
    repeats: bool = False

    def place(self, profile: Profile) -> str:
        """Where it sits; an inverter at the PV by default."""
        return self.measures or ("pv" if profile.may_sleep else GRID)

    def spec(self, profile: Profile, codes: Mapping[str, str | int]) -> MeterSpec:
        """The meter with its profile, and with what it tells of its line."""
        return MeterSpec(
            name=self.name,
            profile=profile,
            address=self.address,
            measures=self.place(profile),
            serial=self.serial,
            plate={**codes, **self.plate},
            show=self.show,
            factors={name: Decimal(repr(value)) for name, value in self.factors.items()},
            start_wh=(self.energy_import_kwh * 1000, self.energy_export_kwh * 1000),
            start_varh=(self.reactive_energy_import_kvarh * 1000, self.reactive_energy_export_kvarh * 1000),
            start_kg=self.fuel_weight_kg,
            sunspec_base=self.sunspec_base,
            sunspec_model=self.sunspec_model,
            latency_ms=self.latency_ms,
            refresh_ms=self.refresh_ms,
            sleeps=self.sleeps,
            word_order=self.word_order,
            reversed=self.reversed,
            part=Fraction(repr(self.part)),
            class_percent=self.accuracy or 0.0,
        )


class SecondMasterTable(Table):
    """``[[bus.disturb]]`` with kind = "second-master"."""

    kind: Literal["second-master"]
    unit: Annotated[int, Field(ge=1, le=247)]
    every_ms: Annotated[float, Field(ge=1)] = 1000
    fc: Literal[1, 2, 3, 4] = 3
    address: Annotated[int, Field(ge=0, le=65535)] = 0
    count: Annotated[int, Field(ge=1, le=2000)] = 2

    def made(self) -> SecondMaster:
        """The disturbance."""
        return SecondMaster(self.unit, self.every_ms, self.fc, self.address, self.count)


class _SerialTable(Table):
    name: Name
    baudrate: Baudrate = 9600
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    emulate: bool = True
    batch_ms: Positive = 0.0
    echo: bool = False
    disturb: list[Annotated[NoiseTable | SecondMasterTable, Discriminator("kind")]] = Field(default_factory=list)
    tap: LinkPath | None = None
    tap_damaged: Share = 0.0
    meter: Annotated[list[MeterTable], Field(min_length=1)]

    def codes(self, row: MeterTable) -> dict[str, str | int]:
        """What a meter's registers tell of its line settings."""
        uart = row.uart(self.line())
        return line_codes(uart.baudrate, uart.parity)

    def disturbances(self) -> tuple[Disturbance, ...]:
        """What else is on the line."""
        return tuple(table.made() for table in self.disturb)

    def line(self) -> Line:
        """The line's settings and manners."""
        return Line(**{key: getattr(self, key) for key in Line.__dataclass_fields__ if hasattr(self, key)})


class RtuTable(_SerialTable):
    """``[[bus]]`` with type = "modbus-rtu": ``port`` is the path of the link to the pseudo-terminal, with ``rfc2217``
    the TCP port of a device server whose clients set speed and parity. ``garbles``: who has other settings misreads."""

    type: Literal["modbus-rtu"]
    port: LinkPath | Port
    host: str = "127.0.0.1"
    check_settings: bool = False
    rfc2217: bool = False
    garbles: bool = False

    @model_validator(mode="after")
    def _one_wire(self) -> RtuTable:
        if isinstance(self.port, int) and not self.rfc2217:
            raise ValueError("a number as port needs rfc2217 = true, or the type modbus-rtu-over-tcp")
        if self.rfc2217 and self.tap:
            raise ValueError("an RFC 2217 line has no tap")
        check_bits(self)
        return self

    def uarts(self) -> list[Uart] | None:
        """What each device is set to; None: the line is none of bits."""
        return uarts(self)


class RtuTcpTable(_SerialTable):
    """``[[bus]]`` with type = "modbus-rtu-over-tcp": a device server with a serial line behind it."""

    type: Literal["modbus-rtu-over-tcp"]
    host: str = "127.0.0.1"
    port: Port
    closes_behind_answer: bool = False


class AsciiTable(_SerialTable):
    """``[[bus]]`` with type = "modbus-ascii": on a pseudo-terminal (``port`` is a path), or behind a device server (it
    is a number)."""

    type: Literal["modbus-ascii"]
    port: LinkPath | Port
    host: str = "127.0.0.1"
    parity: Literal["N", "E", "O"] = "E"
    check_settings: bool = False
    closes_behind_answer: bool = False


class TcpTable(Table):
    """``[[bus]]`` with type = "modbus-tcp"; port 0 takes a free one. ``tls``: with certificates, as Modbus/TCP Security
    has them."""

    type: Literal["modbus-tcp"]
    name: Name
    host: str = "127.0.0.1"
    port: Port
    unknown_unit: Literal["silent", "exception"] = "silent"
    unknown_after_ms: Positive = 0.0
    connections: Annotated[int, Field(ge=0, le=1000)] = 0
    closes_behind_answer: bool = False
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    roles: list[str] = Field(default_factory=list)
    meter: Annotated[list[MeterTable], Field(min_length=1)]

    @model_validator(mode="after")
    def _tls_whole(self) -> TcpTable:
        named = [file is not None for file in (self.ca, self.cert, self.key)]
        if not (all(named) if self.tls else not any(named) and not self.roles):
            raise ValueError("tls, ca, cert and key go together, and roles with them")
        return self

    def security(self, base: Path) -> Security | None:
        """The files of TLS, relative to ``base``, and the roles that may read; None without TLS."""
        if not self.tls:
            return None
        ca, cert, key = (base / str(file) for file in (self.ca, self.cert, self.key))
        return Security(ca, cert, key, tuple(self.roles))

    def codes(self, row: MeterTable) -> dict[str, str | int]:
        """There is no line to tell of."""
        return {}


BusTable = RtuTable | RtuTcpTable | AsciiTable | TcpTable | Dlt645Table | Hj212Table | P1Table


class FileTable(Table):
    plant: PlantTable = PlantTable()
    bus: Annotated[list[Annotated[BusTable, Discriminator("type")]], Field(min_length=1)]
    fault: list[dict[str, Any]] = Field(default_factory=list)
