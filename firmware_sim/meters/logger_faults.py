"""Fault kinds of a data logger that pushes: one class each, as in ``answer_faults``, most of whose kinds it has too.

What a logger says of itself passes ``value`` as places that no profile names: its clock, station and password, and
the label of a message. A packet is one delivery. No I/O.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated

from pydantic import Field

from firmware_sim.meters.answer_faults import KINDS, Count, Fault, Ms, Strike
from firmware_sim.meters.answers import Delivery, Place
from firmware_sim.meters.packing import Cell, Value
from firmware_sim.meters.wire_faults import WIRE_KINDS, PowerCut

_HEAD, _TAIL = slice(2, 6), slice(-6, -2)
"""Where length and check value stand in a packet with CR LF."""


def place(kind: str) -> Cell:
    """A place in a message that is no point of a profile."""
    return Cell(name=kind, fc=0, address=0, registers=0, type="string", kind=kind)


_KINDS = {"Cou": "counter", "Flag": "flag"}


def text_at(name: str) -> Cell:
    """The place of a text in a message, as faults see it."""
    code, _, suffix = name.partition("-")
    return replace(place(_KINDS.get(suffix, "gauge")), name=code)


CLOCK, LABEL, STATION, PASSWORD = place("clock"), place("label"), place("station"), place("password")
"""The logger's clock and a message's label are in ms of local time, the others are texts."""


@dataclass(kw_only=True)
class StaleLabel(Fault):
    """The label of a message is ``age_ms`` old, its values are new."""

    age_ms: Count = 3_600_000

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        return value - self.age_ms if cell.kind == LABEL.kind and isinstance(value, int) else value


@dataclass(kw_only=True)
class WrongStation(Fault):
    """Speaks as another ``station``."""

    station: str = "000000000000000000000000"

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        return self.station if cell.kind == STATION.kind else value


@dataclass(kw_only=True)
class WrongPassword(Fault):
    """Has another ``password``."""

    password: str = "000000"

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        return self.password if cell.kind == PASSWORD.kind else value


@dataclass(kw_only=True)
class DamagedCrc(Fault):
    """The check value is that of another packet."""

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return [_with(d, _TAIL, int(d.data[_TAIL], 16) ^ strike.rng.randrange(1, 65536), b"%04X") for d in deliveries]


@dataclass(kw_only=True)
class WrongLength(Fault):
    """The length is ``bytes_off`` more than there is, or less."""

    bytes_off: Annotated[int, Field(ge=-80, le=8000)] = 1

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return [_with(d, _HEAD, int(d.data[_HEAD]) + self.bytes_off, b"%04d") for d in deliveries]


@dataclass(kw_only=True)
class NoLineEnd(Fault):
    """The packet has no CR LF."""

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return [replace(d, data=d.data[:-2]) for d in deliveries]


@dataclass(kw_only=True)
class Garbage(Fault):
    """``size`` random bytes come in place of the packet."""

    size: Count = 40

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return [replace(d, data=strike.rng.randbytes(self.size), values={}) for d in deliveries]


@dataclass(kw_only=True)
class Cut(Fault):
    """The packet comes in two TCP segments, the second ``gap_ms`` later."""

    gap_ms: Ms = 50.0

    def send(self, deliveries: list[Delivery], strike: Strike) -> list[Delivery]:
        return [
            replace(d, piece=strike.rng.randrange(len(d.data) // 2, len(d.data)), gap_ms=self.gap_ms)
            for d in deliveries
        ]


@dataclass(kw_only=True)
class Offline(Fault):
    """It has no connection while this is on (``every`` and ``share`` change nothing); it stores its messages."""


@dataclass(kw_only=True)
class Faster(Fault):
    """Its intervals are ``by`` times shorter while this is on (``every`` and ``share`` change nothing)."""

    by: Annotated[int, Field(ge=2, le=60)] = 2


def acts_on_message(fault: Fault) -> bool:
    """It acts when a message is made, and so on each of its packets."""
    return not acts_on_packet(fault) and not isinstance(fault, Offline | Faster | PowerCut)


def acts_on_packet(fault: Fault) -> bool:
    """It acts on a packet when it is sent."""
    return type(fault).send is not Fault.send


def _with(delivery: Delivery, where: slice, number: int, form: bytes) -> Delivery:
    data = bytearray(delivery.data)
    data[where] = form % number
    return replace(delivery, data=bytes(data), values={})


LOGGER_KINDS: dict[str, type[Fault]] = {
    "stale-label": StaleLabel,
    "wrong-station": WrongStation,
    "wrong-password": WrongPassword,
    "damaged-crc": DamagedCrc,
    "wrong-length": WrongLength,
    "no-line-end": NoLineEnd,
    "garbage": Garbage,
    "cut": Cut,
    "offline": Offline,
    "faster": Faster,
}
"""The kinds that a logger has beside those that it shares with meters that are asked."""

IMPOSSIBLE: Mapping[str, tuple[str, str]] = {
    "reboots": ("a logger is not asked, so that no request can come too early", "use offline, or dead"),
    "torn": ("a packet has no registers", "use frozen, cached or slow-update"),
    "other-serial": ("a packet bears a station number, no serial number", "use wrong-station"),
    "wrong-unit": ("a packet bears a station number, no unit", "use wrong-station"),
    "exception": ("a logger is not asked, so that it refuses nothing", "use dead or lost"),
    "wrong-exception": ("a logger is not asked, so that it refuses nothing", "use dead or lost"),
    "wrong-function": ("a packet answers no function", "use wrong-station"),
    "wrong-di": ("a packet names each value itself", "use wrong-station"),
    "wrong-count": ("a packet is not asked for a number of values", "use wrong-length or truncated"),
    "wrong-byte-count": ("a packet has no byte count", "use wrong-length"),
    "shifted": ("a packet answers no request", "use doubled or glued"),
    "counter-reset": ("a packet has amounts of periods, and no counter", "use zero-counters"),
    "rollover": ("a packet has amounts of periods, and no counter", "use zero-counters"),
    "phase-lost": ("a logger measures no electricity", "move it to an electricity meter or an inverter"),
    "reversed": ("a logger measures no electricity", "move it to an electricity meter or an inverter"),
    "ratio": ("a logger measures no electricity", "move it to an electricity meter or an inverter"),
    "swapped-words": ("a packet has no registers", "move it to a meter on a Modbus bus"),
    "lone-byte": ("it is possible on a serial line only", "use noise-before"),
}
"""Why a kind that meters have is none of a logger, and what to use."""


TELEGRAM_KINDS = (
    "dead",
    "lost",
    "late",
    "doubled",
    "truncated",
    "corrupted",
    "glued",
    "noise-before",
    "lone-byte",
    "split",
    "damaged-crc",
    "garbage",
    "cached",
    "slow-update",
    "frozen",
    "stuck-clock",
    "zero-counters",
    "other-serial",
)
"""The kinds of a telegram that a P1 port sends, beside those of every wire."""
_UNASKED = "a P1 port is not asked, so that it answers nothing"
NO_TELEGRAM: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("exception", "wrong-exception", "wrong-function", "wrong-di"), (_UNASKED, "use dead or lost")),
    "reboots": (_UNASKED, "use power-cut"),
    "shifted": (_UNASKED, "use late or doubled"),
    "wrong-count": (_UNASKED, "use truncated"),
    "wrong-byte-count": ("a telegram has no byte count", "use truncated or damaged-crc"),
    "wrong-length": ("a telegram has no length", "use truncated or damaged-crc"),
    "no-line-end": ("a telegram ends with its check value", "use truncated"),
    "cut": ("a telegram is no TCP segment", "use split"),
    "offline": ("a P1 port does not dial", "use port-gone, or dead"),
    "faster": ("the interval of a P1 port is that of its edition", "set every_ms of the bus"),
    "torn": ("a telegram has no registers", "use truncated"),
    "swapped-words": ("a telegram has no registers", "move it to a meter on a Modbus bus"),
    "wrong-unit": ("a telegram bears an equipment identifier, no unit", "use corrupted"),
    "wrong-station": ("a telegram bears no station number", "move it to a logger on a bus of type hj212"),
    "wrong-password": ("a telegram bears no password", "move it to a logger on a bus of type hj212"),
    "stale-label": ("a telegram bears no label", "use late"),
    "calibrating": ("a P1 port passes on no gas analyser", "use it on a gas analyser, or on a logger"),
}
"""Why another kind is none of a P1 port, and what to use."""
_NOT_SHOWN = (
    "the values in a telegram are those of the plant, now or earlier",
    f"use one of {', '.join((*WIRE_KINDS, *TELEGRAM_KINDS))}",
)


def misfit(kind: str, bus_type: str) -> tuple[str, str] | None:
    """Why a fault cannot be on a bus of this type, with the fix; None where it can."""
    if kind in WIRE_KINDS:
        return None
    if bus_type == "p1":
        return None if kind in TELEGRAM_KINDS else NO_TELEGRAM.get(kind, _NOT_SHOWN)
    if bus_type == "hj212":
        return IMPOSSIBLE.get(kind)
    if kind in LOGGER_KINDS and kind not in KINDS:
        return "only a logger on a bus of type hj212 has it", "move it to such a logger"
    return None
