"""``[[bus]]`` and ``[[bus.meter]]`` of gateway.toml: wires, and the meters on them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator, Sequence
from decimal import Decimal
from fractions import Fraction
from itertools import combinations, product
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import Field, model_validator

from gateway.access_files import file_paths
from gateway.config.bus_types import NOT_PASSIVE, TYPES, TypeName, Wire, not_of_type, not_of_wire
from gateway.config.limits import Limits
from gateway.config.place import DailyHours
from gateway.config.wire_texts import (
    DtuTexts,
    Listen,
    Networks,
    SourceZone,
    StationPassword,
    is_rfc2217,
    meter_number,
    p1_channel,
    rfc2217_address,
    sent_bytes,
    station_number,
)
from gateway.field_types import DurationMs, Host, Model, Name, TransformerRatio, Unfit
from gateway.messages.message import Message
from gateway.web_settings import ip_and_port
from ledger_client.transport.access import Access

_TLS_FILES = ("ca", "cert", "key")
_READS = (1, 2, 3, 4, 17, 43)
"""Functions of Modbus that are asked."""


Role = Literal["generation", "consumption", "grid", "storage", "emission", "auxiliary"]
ROLES: tuple[Role, ...] = get_args(Role)
"""What a meter is there for."""


class Meter(Model):
    name: Name
    profile: str
    address: int | str
    every: DurationMs = 10_000
    timeout: DurationMs | None = None
    password: StationPassword | None = None
    clock_limit: DurationMs | None = None
    role: Role = "auxiliary"
    in_totals: bool = True
    label: str = ""
    points: tuple[str, ...] = Field(default=(), strict=False)
    ct: TransformerRatio | None = None
    pt: TransformerRatio | None = None
    reversed: bool = False
    word_order: Literal["big", "little"] | None = None
    sleeps: DailyHours | None = None
    limits: Limits = Field(default={})

    @property
    def factors(self) -> dict[str, Decimal | Fraction]:
        """The configured transformer ratios, by the names that profiles use."""
        return {name: value for name, value in (("ct", self.ct), ("pt", self.pt)) if value is not None}

    @model_validator(mode="after")
    def _sensible(self) -> Self:
        if self.name in ("gateway", "statement"):
            raise Unfit(Message("config-name-reserved", name=self.name), key="name")
        if self.every < 100:
            raise Unfit(Message("config-period-short"), key="every")
        return self


class Bus(Model):
    name: Name
    type: TypeName
    port: str | int | None = None
    host: Host | None = None
    listen: Listen | None = None
    from_: Networks | None = Field(default=None, alias="from")
    hello: DtuTexts | None = None
    heartbeat: DtuTexts | None = None
    timezone: SourceZone | None = None
    baudrate: Annotated[int, Field(ge=300, le=1_000_000)] | None = None
    parity: Literal["N", "E", "O"] | None = None
    stopbits: Literal[1, 2] | None = None
    databits: Literal[7, 8] | None = None
    timeout: DurationMs | None = None
    answer_life: DurationMs | None = None
    tunnel: bool = False
    shared: bool = False
    passive: bool = False
    tls: bool = False
    ca: str | None = None
    cert: str | None = None
    key: str | None = None
    echo: Literal["auto", "on", "off"] = "auto"
    rs485: bool = False
    rs485_before: DurationMs | None = None
    rs485_after: DurationMs | None = None
    meter: Annotated[tuple[Meter, ...], Field(min_length=1, strict=False)]

    @property
    def wire(self) -> Wire:
        """What it is connected by."""
        if self.listen is not None:
            return "listen"
        return "host" if self.host is not None else "port"

    @property
    def serial(self) -> bool:
        return self.wire == "port"

    @property
    def device_server(self) -> tuple[str, int] | None:
        """Host and port of the device server (RFC 2217) that has the serial port."""
        return rfc2217_address(self.port) if isinstance(self.port, str) else None

    @property
    def tcp_port(self) -> int | None:
        """The port that is connected to; None where there is none."""
        if self.wire != "host":
            return None
        kind = TYPES[self.type]
        if isinstance(self.port, int):
            return self.port
        return (kind.tls_port if self.tls else None) or kind.tcp_port

    @property
    def listens_on(self) -> tuple[str, int] | None:
        """IP address and port on which devices connect."""
        return ip_and_port(self.listen) if self.listen is not None else None

    def access(self, base: Path | None = None) -> Access:
        """How to get in with TLS; file names relative to ``base``, or as written. Raises AccessError (a systemd
        credential)."""
        paths = file_paths(self, _TLS_FILES, base)
        return Access(ca=paths["ca"], cert=paths["cert"], key=paths["key"])

    @property
    def hello_bytes(self) -> tuple[bytes, ...]:
        """What its DTUs may say first."""
        return tuple(map(sent_bytes, self.hello or ()))

    @model_validator(mode="after")
    def _one_wire(self) -> Self:
        _check_wire(self)
        _check_keys(self)
        _check_tls(self)
        if self.wire == "listen" and self.from_ is None and not _loopback(self):
            raise Unfit(Message("config-listen-from"), key="from")
        if not self.rs485 and (self.rs485_before or self.rs485_after):
            raise Unfit(Message("config-delays-need-rs485"), key="rs485")
        return self

    @model_validator(mode="after")
    def _addresses(self) -> Self:
        known: dict[int | str, Meter] = {}
        for meter in self.meter:
            if (wrong := _address(self, meter)) is not None:
                raise Unfit(wrong, key=f"meter {meter.name!r}, address")
            first = known.setdefault(meter.address, meter)
            if self.type != "hj212" and first is not meter:
                twice = Message("config-address-twice", address=meter.address)
                raise Unfit(twice, key=f"meter {first.name!r}, address")
            if first.password != meter.password:
                other = Message("config-station-passwords", address=str(meter.address), meter=first.name)
                raise Unfit(other, key=f"meter {meter.name!r}, password")
        return self

    @model_validator(mode="after")
    def _texts(self) -> Self:
        for key, texts in (("hello", self.hello), ("heartbeat", self.heartbeat)):
            for text, meter in product(texts or (), self.meter):
                if _begins_answer(self.type, meter.address, sent_bytes(text)):
                    raise Unfit(Message("config-dtu-text-answer", text=text, meter=meter.name), key=key)
        return self


def _check_wire(bus: Bus) -> None:
    wires = TYPES[bus.type].wires
    if bus.wire not in wires or (bus.wire == "port" and not isinstance(bus.port, str)):
        raise Unfit(_needed(bus.type, wires), key=wires[0])
    if isinstance(bus.port, str) and is_rfc2217(bus.port):
        _check_rfc2217(bus)
    if bus.wire == "listen" and (bus.host is not None or bus.port is not None):
        raise Unfit(Message("config-listen-alone"), key="port" if bus.host is None else "host")
    if bus.wire == "host" and (isinstance(bus.port, str) or bus.tcp_port is None or not 0 < bus.tcp_port < 65536):
        raise Unfit(Message("config-tcp-port"), key="port")


def _check_rfc2217(bus: Bus) -> None:
    """The port of a device server: it is asked, and its driver is not ours to set."""
    if bus.device_server is None:
        raise Unfit(Message("config-rfc2217-form"), key="port")
    if bus.passive or bus.type == "p1":
        raise Unfit(Message("config-rfc2217-listened"), key="port")
    if bus.rs485:
        raise Unfit(Message("config-rfc2217-rs485"), key="rs485")


def _needed(type_: str, wires: tuple[Wire, ...]) -> Message:
    """What a bus of this type has to name."""
    if wires == ("port",):
        return Message("config-serial-needs-port")
    if wires == ("host",):
        return Message("config-tcp-needs-host", type=type_)
    if wires == ("listen",):
        return Message("config-needs-listen", type=type_)
    if "port" in wires:
        if "listen" in wires:
            return Message("config-needs-any-wire", type=type_)
        return Message("config-needs-port-or-host", type=type_)
    return Message("config-needs-host-or-listen", type=type_)


def _check_keys(bus: Bus) -> None:
    """Keys that mean nothing here: of another wire, of another type."""
    written = {"from" if key == "from_" else key for key in bus.model_fields_set}
    for key, wire in not_of_wire(bus.wire, written):
        if wire == "port":
            raise Unfit(Message("config-serial-only", type=bus.type), key=key)
        raise Unfit(Message("config-listen-only"), key=key)
    if "echo" in written and bus.type == "modbus-tcp":
        raise Unfit(Message("config-rtu-only"), key="echo")
    for key, types in not_of_type(bus.type, written):
        raise Unfit(Message("config-other-types", type=bus.type, types=types), key=key)
    if bus.passive:
        for key in NOT_PASSIVE:
            if key in written:
                raise Unfit(Message("config-passive-key"), key=key)
        for meter in bus.meter:
            if meter.timeout is not None:
                raise Unfit(Message("config-passive-key"), key=f"meter {meter.name!r}, timeout")
    for meter in bus.meter:
        for key, types in not_of_type(bus.type, meter.model_fields_set):
            raise Unfit(Message("config-other-types", type=bus.type, types=types), key=f"meter {meter.name!r}, {key}")


def _check_tls(bus: Bus) -> None:
    for key in _TLS_FILES:
        named = getattr(bus, key) is not None
        if bus.tls and not named:
            raise Unfit(Message("config-tls-needs", keys=_TLS_FILES), key=key)
        if named and not bus.tls:
            raise Unfit(Message("config-tls-off"), key=key)


def _loopback(bus: Bus) -> bool:
    return bus.listens_on is not None and ipaddress.ip_address(bus.listens_on[0]).is_loopback


def _address(bus: Bus, meter: Meter) -> Message | None:
    """What is wrong with a meter's address on this bus."""
    if bus.type == "dlt645":
        return meter_number(meter.address)
    if bus.type == "hj212":
        return station_number(meter.address)
    if bus.type == "p1":
        return p1_channel(meter.address)
    low, high = (0, 255) if bus.type == "modbus-tcp" else (1, 247)
    if isinstance(meter.address, str):
        return Message("config-unit-number", address=meter.address, type=bus.type, low=low, high=high)
    if not low <= meter.address <= high:
        return Message("config-unit-address", address=meter.address, type=bus.type, low=low, high=high)
    return None


def _begins_answer(type_: str, address: int | str, text: bytes) -> bool:
    """Whether a meter's answer could begin as a DTU's text does, which would then be skipped out of it."""
    if isinstance(address, str):
        begin = b"\x68" + bytes.fromhex(address)[::-1]
        return begin.startswith(text) or text.startswith(begin)
    if type_ == "modbus-ascii":
        return text.startswith(b":")
    return text[0] == address and (len(text) == 1 or text[1] & 0x7F in _READS)


def check_listeners(buses: Sequence[Bus], pages: str | None) -> None:
    """Addresses to listen on are free of each other; buses of one address tell their DTUs apart.

    Raises:
        Unfit: with the key of the second bus.
    """
    web = ip_and_port(pages) if pages is not None else None
    listening = [bus for bus in buses if bus.listens_on is not None]
    for bus in listening:
        if web is not None and _overlap(bus.listens_on, web):
            raise Unfit(Message("config-listen-pages", listen=str(pages)), key=f"bus {bus.name!r}, listen")
    for one, two in combinations(listening, 2):
        where = f"bus {two.name!r}"
        if one.listens_on != two.listens_on:
            if _overlap(one.listens_on, two.listens_on):
                sentence = Message("config-listen-overlap", other=one.name, listen=str(one.listen))
                raise Unfit(sentence, key=f"{where}, listen")
        elif "hj212" in (one.type, two.type):
            raise Unfit(
                Message("config-listen-one-bus", other=one.name, listen=str(one.listen)), key=f"{where}, listen"
            )
        else:
            for bus in (two, one):
                if not bus.hello:
                    sentence = Message("config-listen-hello", other=one.name, bus=two.name, listen=str(one.listen))
                    raise Unfit(sentence, key=f"bus {bus.name!r}, hello")
            for text in _ambiguous(one, two):
                raise Unfit(Message("config-hello-ambiguous", other=one.name, hello=text), key=f"{where}, hello")


def _overlap(one: tuple[str, int] | None, two: tuple[str, int] | None) -> bool:
    """One socket would stand in the way of the other."""
    if one is None or two is None or one[1] != two[1]:
        return False
    return one == two or any(ipaddress.ip_address(host).is_unspecified for host, _ in (one, two))


def _ambiguous(one: Bus, two: Bus) -> Iterator[str]:
    """Texts of one bus that begin as one of the other does."""
    for text in two.hello or ():
        data = sent_bytes(text)
        if any(data.startswith(other) or other.startswith(data) for other in one.hello_bytes):
            yield text
