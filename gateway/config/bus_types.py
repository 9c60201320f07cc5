"""Types of buses: wires that each can have, profiles that fit, and the keys that mean something there. Pure data."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Literal

TypeName = Literal["modbus-rtu", "modbus-tcp", "modbus-rtu-over-tcp", "modbus-ascii", "dlt645", "hj212", "p1"]
Wire = Literal["port", "host", "listen"]
"""A serial port, an address that is connected to, or one on which devices connect."""


@dataclass(frozen=True, slots=True)
class BusType:
    """One type: its ``wires``, the protocols of its ``profiles``, the number of its TCP port if that is not given (with
    TLS: ``tls_port``), and its serial settings (baudrate, parity, stopbits) where neither the bus nor a profile says
    any."""

    wires: tuple[Wire, ...]
    profiles: tuple[str, ...]
    tcp_port: int | None = None
    serial: tuple[int, str, int] = (9600, "N", 1)
    series: bool = False
    """Its meters send unasked, and every message is a record."""
    tls_port: int | None = None
    databits: int = 8
    delivered: tuple[str, ...] = ("baudrate", "parity", "stopbits")
    """Serial settings that a profile can say for it."""


_MODBUS = ("modbus", "sunspec")

TYPES: Final[Mapping[TypeName, BusType]] = {
    "modbus-rtu": BusType(("port",), _MODBUS),
    "modbus-tcp": BusType(("host",), _MODBUS, tcp_port=502, tls_port=802),
    "modbus-rtu-over-tcp": BusType(("host", "listen"), _MODBUS, tcp_port=502),
    "modbus-ascii": BusType(
        ("port", "host", "listen"), _MODBUS, serial=(9600, "E", 1), databits=7, delivered=("baudrate",)
    ),
    "dlt645": BusType(("port", "host", "listen"), ("dlt645",), serial=(2400, "E", 1)),
    "hj212": BusType(("listen",), ("hj212",), series=True),
    "p1": BusType(("port", "host"), ("obis",), serial=(115200, "N", 1)),
}

_ON_RTU: Final = ("modbus-rtu", "modbus-rtu-over-tcp", "modbus-ascii", "dlt645")
_ON_DTU: Final = ("modbus-rtu-over-tcp", "modbus-ascii", "dlt645")
_ON_MODBUS: Final = ("modbus-rtu", "modbus-tcp", "modbus-rtu-over-tcp", "modbus-ascii")
_ON_ASKED: Final = (*_ON_MODBUS, "dlt645")
"""Types whose meters are asked; the others speak unasked."""

_OF_TYPE: Final[Mapping[str, tuple[str, ...]]] = {
    "timeout": _ON_ASKED,
    "answer_life": _ON_ASKED,
    "tunnel": _ON_ASKED,
    "shared": _ON_MODBUS,
    "passive": ("modbus-rtu", "modbus-rtu-over-tcp"),
    **dict.fromkeys(("tls", "ca", "cert", "key"), ("modbus-tcp",)),
    "databits": ("modbus-ascii",),
    "echo": _ON_RTU,
    "hello": _ON_DTU,
    "heartbeat": _ON_DTU,
    "timezone": ("hj212",),
    "password": ("hj212",),
    "clock_limit": ("hj212", "p1"),
}
_OF_WIRE: Final[Mapping[str, Wire]] = {
    **dict.fromkeys(("baudrate", "parity", "stopbits", "databits", "rs485", "rs485_before", "rs485_after"), "port"),
    **dict.fromkeys(("from", "hello", "heartbeat"), "listen"),
}


def not_of_type(type_: str, keys: set[str]) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Those of the keys of a bus or a meter that mean nothing on a bus of this type, each with the types it is for."""
    yield from ((key, _OF_TYPE[key]) for key in sorted(keys & set(_OF_TYPE)) if type_ not in _OF_TYPE[key])


NOT_PASSIVE: Final = ("rs485", "rs485_before", "rs485_after", "timeout", "shared", "echo", "listen")
"""Keys of a bus that say how to ask, or who connects."""


def not_of_wire(wire: Wire, keys: set[str]) -> Iterator[tuple[str, Wire]]:
    """Those of the keys of a bus that mean nothing on this wire, each with the wire that it is for."""
    yield from ((key, _OF_WIRE[key]) for key in sorted(keys & set(_OF_WIRE)) if wire != _OF_WIRE[key])
