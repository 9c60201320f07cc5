"""Schema of a scenario's ``[[bus]]`` with type = "dlt645"."""

from __future__ import annotations

from fractions import Fraction
from typing import Annotated, Literal

from pydantic import Discriminator, Field, model_validator

from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.plant.tree import GRID
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
    Table,
    check_bits,
    uarts,
)
from firmware_sim.wire.dialing_bus import Dial
from firmware_sim.wire.line import Line
from firmware_sim.wire.line_noise import Disturbance, Dlt645SecondMaster
from firmware_sim.wire.uart import Uart
from gateway.devices.profile import Profile

Identifier = Annotated[str, Field(pattern=r"^[0-9A-F]{8}$")]


class Dlt645MeterTable(EndTable):
    """``[[bus.meter]]`` of a DL/T 645 line."""

    name: Name
    profile: str
    address: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    measures: Name | None = None
    part: Part = 1.0
    accuracy: Annotated[Class | None, Field(alias="class")] = None
    serial: Annotated[str, Field(pattern=r"^([0-9]{12})?$")] = ""
    single_phase: bool = False
    refuses: list[Identifier] = Field(default_factory=list)
    goes_on: list[Identifier] = Field(default_factory=list)
    energy_import_kwh: Positive = 0.0
    energy_export_kwh: Positive = 0.0
    reactive_energy_import_kvarh: Positive = 0.0
    reactive_energy_export_kvarh: Positive = 0.0
    latency_ms: Positive = 20.0
    sleeps: bool = False
    reversed: bool = False

    def place(self, profile: Profile) -> str:
        """Where it sits."""
        return self.measures or GRID

    def spec(self, profile: Profile) -> MeterSpec:
        """The meter with its profile."""
        return MeterSpec(
            name=self.name,
            profile=profile,
            address=self.address,
            measures=self.place(profile),
            serial=self.serial,
            start_wh=(self.energy_import_kwh * 1000, self.energy_export_kwh * 1000),
            start_varh=(self.reactive_energy_import_kvarh * 1000, self.reactive_energy_export_kvarh * 1000),
            latency_ms=self.latency_ms,
            sleeps=self.sleeps,
            reversed=self.reversed,
            part=Fraction(repr(self.part)),
            class_percent=self.accuracy or 0.0,
        )


class Dlt645MasterTable(Table):
    """``[[bus.disturb]]`` of a DL/T 645 line with kind = "second-master"."""

    kind: Literal["second-master"]
    unit: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    di: Identifier = "00010000"
    every_ms: Annotated[float, Field(ge=1)] = 1000

    def made(self) -> Dlt645SecondMaster:
        """The disturbance."""
        return Dlt645SecondMaster(self.unit, self.di, self.every_ms)


class Dlt645Table(Table):
    """``[[bus]]`` with type = "dlt645": on a pseudo-terminal (``port`` is a path), behind a device server (it is a
    number), or behind a DTU (``dial`` is host:port). ``rfc2217``, ``garbles``: as of "modbus-rtu"."""

    type: Literal["dlt645"]
    name: Name
    port: LinkPath | Port | None = None
    host: str = "127.0.0.1"
    dial: Annotated[str, Field(pattern=r"^.+:[0-9]{1,5}$")] | None = None
    hello: str = ""
    heartbeat: str = ""
    heartbeat_ms: Annotated[float, Field(ge=10)] = 30_000
    redial_ms: Annotated[float, Field(ge=10)] = 1000
    preamble: Annotated[int, Field(ge=0, le=20)] = 4
    baudrate: Baudrate = 2400
    parity: Literal["N", "E", "O"] = "E"
    stopbits: Literal[1, 2] = 1
    emulate: bool = True
    batch_ms: Positive = 0.0
    check_settings: bool = False
    rfc2217: bool = False
    garbles: bool = False
    echo: bool = False
    closes_behind_answer: bool = False
    disturb: list[Annotated[NoiseTable | Dlt645MasterTable, Discriminator("kind")]] = Field(default_factory=list)
    meter: Annotated[list[Dlt645MeterTable], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_wire(self) -> Dlt645Table:
        if (self.port is None) == (self.dial is None):
            raise ValueError("a line has a port or dials")
        check_bits(self)
        for text in (self.hello, self.heartbeat):
            bytes_of(text)
        return self

    def disturbances(self) -> tuple[Disturbance, ...]:
        """What else is on the line."""
        return tuple(table.made() for table in self.disturb)

    def line(self) -> Line:
        """The line's settings and manners."""
        return Line(**{key: getattr(self, key) for key in Line.__dataclass_fields__ if hasattr(self, key)})

    def uarts(self) -> list[Uart] | None:
        """What each device is set to; None: the line is none of bits."""
        return uarts(self)

    def dialled(self) -> Dial:
        """Where the DTU dials to, and what it says."""
        host, _, port = str(self.dial).rpartition(":")
        greetings = bytes_of(self.hello), bytes_of(self.heartbeat)
        return Dial(host, int(port), *greetings, self.heartbeat_ms, self.redial_ms)


def bytes_of(text: str) -> bytes:
    """The bytes of a text, or of ``hex:`` and pairs of digits. Raises ``ValueError``."""
    head, colon, rest = text.partition(":")
    return bytes.fromhex(rest) if head == "hex" and colon else text.encode()
