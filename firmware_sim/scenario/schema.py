"""Schema of a scenario file's tables; unknown keys are refused.

Keys are those of a gateway's configuration where both have them, so that a bus can be carried over.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Discriminator, Field, model_validator

from firmware_sim.meters.device import When
from firmware_sim.meters.register_map import MeterSpec, line_codes
from firmware_sim.plant.battery import BatterySpec
from firmware_sim.plant.model import PlantSpec
from firmware_sim.plant.stack import StackSpec
from firmware_sim.scenario.hj212_schema import Hj212Table
from firmware_sim.scenario.p1_schema import P1Table
from firmware_sim.wire.dialing_bus import Dial
from firmware_sim.wire.line_noise import Disturbance, Dlt645SecondMaster, Noise, SecondMaster
from firmware_sim.wire.rtu_wire import Line
from firmware_sim.wire.tls_roles import Security
from gateway.devices.profile import Profile

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")]
Positive = Annotated[float, Field(ge=0, le=1e9)]
Share = Annotated[float, Field(ge=0, le=1)]
Identifier = Annotated[str, Field(pattern=r"^[0-9A-F]{8}$")]
Place = Literal["grid", "load", "pv", "hydro", "battery"]


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class StackTable(_Table):
    """``[plant.stack]``"""

    fuel_kg_h: Positive = 0.0
    ncv_mj_kg: Positive = 25.8
    carbon: Share = 0.6656
    hydrogen: Share = 0.036
    moisture: Share = 0.10
    excess_air: Annotated[float, Field(ge=1.1, le=10)] = 1.3
    gas_c: Annotated[float, Field(ge=15, le=1000)] = 130.0
    stops: list[Annotated[list[Positive], Field(min_length=2, max_length=2)]] = []

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


class BatteryTable(_Table):
    """``[plant.battery]``"""

    kw: Positive = 0.0
    kwh: Positive = 0.0
    efficiency: Annotated[float, Field(ge=0.1, le=1)] = 0.95
    charged: Share = 0.5

    def spec(self) -> BatterySpec:
        """The battery."""
        return BatterySpec(**self.model_dump())


class PlantTable(_Table):
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
        own = self.model_dump(exclude={"stack", "battery"})
        return PlantSpec(**own, stack=self.stack.spec(), battery=self.battery.spec())


class MeterTable(_Table):
    """``[[bus.meter]]``"""

    name: Name
    profile: str
    address: Annotated[int, Field(ge=0, le=255)]
    measures: Place | None = None
    serial: str = ""
    plate: dict[str, str | int] = {}
    show: dict[str, str | int | float] = {}
    factors: dict[Literal["ct", "pt"], Annotated[float, Field(gt=0)]] = {}
    energy_import_kwh: Positive = 0.0
    energy_export_kwh: Positive = 0.0
    reactive_energy_import_kvarh: Positive = 0.0
    reactive_energy_export_kvarh: Positive = 0.0
    fuel_weight_kg: Positive = 0.0
    sunspec_base: Literal[0, 40000, 50000] = 40000
    sunspec_model: int | None = None
    latency_ms: Positive = 0.0
    sleeps: bool = False

    def spec(self, profile: Profile, codes: Mapping[str, str | int]) -> MeterSpec:
        """The meter with its profile, and with what it tells of its line; an inverter sits at the PV by default."""
        return MeterSpec(
            name=self.name,
            profile=profile,
            address=self.address,
            measures=self.measures or ("pv" if profile.may_sleep else "grid"),
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
            sleeps=self.sleeps,
        )


class Dlt645MeterTable(_Table):
    """``[[bus.meter]]`` of a DL/T 645 line."""

    name: Name
    profile: str
    address: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    measures: Place | None = None
    serial: Annotated[str, Field(pattern=r"^([0-9]{12})?$")] = ""
    single_phase: bool = False
    refuses: list[Identifier] = []
    goes_on: list[Identifier] = []
    energy_import_kwh: Positive = 0.0
    energy_export_kwh: Positive = 0.0
    reactive_energy_import_kvarh: Positive = 0.0
    reactive_energy_export_kvarh: Positive = 0.0
    latency_ms: Positive = 20.0
    sleeps: bool = False

    def spec(self, profile: Profile) -> MeterSpec:
        """The meter with its profile."""
        return MeterSpec(
            name=self.name,
            profile=profile,
            address=self.address,
            measures=self.measures or "grid",
            serial=self.serial,
            start_wh=(self.energy_import_kwh * 1000, self.energy_export_kwh * 1000),
            start_varh=(self.reactive_energy_import_kvarh * 1000, self.reactive_energy_export_kvarh * 1000),
            latency_ms=self.latency_ms,
            sleeps=self.sleeps,
        )


class NoiseTable(_Table):
    """``[[bus.disturb]]`` with kind = "noise"."""

    kind: Literal["noise"]
    every_ms: Annotated[float, Field(ge=1)] = 1000
    size: Annotated[int, Field(ge=1, le=256)] = 4

    def made(self) -> Noise:
        """The disturbance."""
        return Noise(self.every_ms, self.size)


class SecondMasterTable(_Table):
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


class Dlt645MasterTable(_Table):
    """``[[bus.disturb]]`` of a DL/T 645 line with kind = "second-master"."""

    kind: Literal["second-master"]
    unit: Annotated[str, Field(pattern=r"^[0-9]{12}$")]
    di: Identifier = "00010000"
    every_ms: Annotated[float, Field(ge=1)] = 1000

    def made(self) -> Dlt645SecondMaster:
        """The disturbance."""
        return Dlt645SecondMaster(self.unit, self.di, self.every_ms)


class _SerialTable(_Table):
    name: Name
    baudrate: Annotated[int, Field(ge=50, le=4_000_000)] = 9600
    parity: Literal["N", "E", "O"] = "N"
    stopbits: Literal[1, 2] = 1
    emulate: bool = True
    batch_ms: Positive = 0.0
    echo: bool = False
    disturb: list[Annotated[NoiseTable | SecondMasterTable, Discriminator("kind")]] = []
    tap: Annotated[str, Field(min_length=1)] | None = None
    tap_damaged: Share = 0.0
    meter: Annotated[list[MeterTable], Field(min_length=1)]

    def codes(self) -> dict[str, str | int]:
        """What a meter's registers tell of the line."""
        return line_codes(self.baudrate, self.parity)

    def disturbances(self) -> tuple[Disturbance, ...]:
        """What else is on the line."""
        return tuple(table.made() for table in self.disturb)

    def line(self) -> Line:
        """The line's settings and manners."""
        return Line(**{key: getattr(self, key) for key in Line.__dataclass_fields__ if hasattr(self, key)})


class RtuTable(_SerialTable):
    """``[[bus]]`` with type = "modbus-rtu": ``port`` is the path of the link to the pseudo-terminal."""

    type: Literal["modbus-rtu"]
    port: Annotated[str, Field(min_length=1)]
    check_settings: bool = False


class RtuTcpTable(_SerialTable):
    """``[[bus]]`` with type = "modbus-rtu-over-tcp": a device server with a serial line behind it."""

    type: Literal["modbus-rtu-over-tcp"]
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]
    closes_behind_answer: bool = False


class AsciiTable(_SerialTable):
    """``[[bus]]`` with type = "modbus-ascii": on a pseudo-terminal (``port`` is a path), or behind a device server (it
    is a number)."""

    type: Literal["modbus-ascii"]
    port: Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=0, le=65535)]
    host: str = "127.0.0.1"
    parity: Literal["N", "E", "O"] = "E"
    check_settings: bool = False
    closes_behind_answer: bool = False


class TcpTable(_Table):
    """``[[bus]]`` with type = "modbus-tcp"; port 0 takes a free one. ``tls``: with certificates, as Modbus/TCP Security
    has them."""

    type: Literal["modbus-tcp"]
    name: Name
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)]
    unknown_unit: Literal["silent", "exception"] = "silent"
    closes_behind_answer: bool = False
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    roles: list[str] = []
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

    def codes(self) -> dict[str, str | int]:
        """There is no line to tell of."""
        return {}


class Dlt645Table(_Table):
    """``[[bus]]`` with type = "dlt645": on a pseudo-terminal (``port`` is a path), behind a device server (it is a
    number), or behind a DTU (``dial`` is host:port)."""

    type: Literal["dlt645"]
    name: Name
    port: Annotated[str, Field(min_length=1)] | Annotated[int, Field(ge=0, le=65535)] | None = None
    host: str = "127.0.0.1"
    dial: Annotated[str, Field(pattern=r"^.+:[0-9]{1,5}$")] | None = None
    hello: str = ""
    heartbeat: str = ""
    heartbeat_ms: Annotated[float, Field(ge=10)] = 30_000
    redial_ms: Annotated[float, Field(ge=10)] = 1000
    preamble: Annotated[int, Field(ge=0, le=20)] = 4
    baudrate: Annotated[int, Field(ge=50, le=4_000_000)] = 2400
    parity: Literal["N", "E", "O"] = "E"
    stopbits: Literal[1, 2] = 1
    emulate: bool = True
    batch_ms: Positive = 0.0
    check_settings: bool = False
    echo: bool = False
    closes_behind_answer: bool = False
    disturb: list[Annotated[NoiseTable | Dlt645MasterTable, Discriminator("kind")]] = []
    meter: Annotated[list[Dlt645MeterTable], Field(min_length=1)]

    @model_validator(mode="after")
    def _one_wire(self) -> Dlt645Table:
        if (self.port is None) == (self.dial is None):
            raise ValueError("a line has a port or dials")
        for text in (self.hello, self.heartbeat):
            bytes_of(text)
        return self

    def disturbances(self) -> tuple[Disturbance, ...]:
        """What else is on the line."""
        return tuple(table.made() for table in self.disturb)

    def line(self) -> Line:
        """The line's settings and manners."""
        return Line(**{key: getattr(self, key) for key in Line.__dataclass_fields__ if hasattr(self, key)})

    def dialled(self) -> Dial:
        """Where the DTU dials to, and what it says."""
        host, _, port = str(self.dial).rpartition(":")
        said = bytes_of(self.hello), bytes_of(self.heartbeat)
        return Dial(host, int(port), *said, self.heartbeat_ms, self.redial_ms)


def bytes_of(text: str) -> bytes:
    """The bytes of a text, or of ``hex:`` and pairs of digits. Raises ``ValueError``."""
    head, colon, rest = text.partition(":")
    return bytes.fromhex(rest) if head == "hex" and colon else text.encode()


BusTable = RtuTable | RtuTcpTable | AsciiTable | TcpTable | Dlt645Table | Hj212Table | P1Table


class ChoiceTable(_Table):
    """``[[fault.choice]]``: one of several faults of which a request meets one at most; its kind's own keys follow."""

    kind: str
    share: Annotated[float, Field(gt=0, le=1)]


class FaultTable(_Table):
    """``[[fault]]``: whose, which, and when; the keys of the kind itself follow."""

    meter: str
    kind: str
    from_s: Annotated[Positive, Field(alias="from")] = 0.0
    to_s: Annotated[Positive | None, Field(alias="to")] = None
    every: Annotated[int, Field(ge=1)] = 1
    share: Annotated[float, Field(gt=0, le=1)] = 1.0

    def when(self) -> When:
        """When it is on."""
        to_ms = None if self.to_s is None else round(self.to_s * 1000)
        return When(round(self.from_s * 1000), to_ms, self.every, self.share)


class FileTable(_Table):
    plant: PlantTable = PlantTable()
    bus: Annotated[list[Annotated[BusTable, Discriminator("type")]], Field(min_length=1)]
    fault: list[dict[str, Any]] = []
