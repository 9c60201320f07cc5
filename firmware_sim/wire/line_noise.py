"""Disturbances of a serial line: a second master, and noise between the frames. Damaged answers: answer_faults.py."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from firmware_sim.meters import dlt645_pdu


class Wire(Protocol):
    """What a disturbance can do to a line."""

    def inject(self, data: bytes) -> None:
        """Put bytes onto the wire that belong to nobody."""

    def framed(self, unit: int, request: bytes) -> bytes:
        """The frame of a unit and a PDU on this line."""

    def overhear(self, request: bytes) -> None:
        """Put another master's request onto the wire; the unit that it is for answers."""


@dataclass(frozen=True, slots=True)
class Noise:
    """``size`` random bytes every ``every_ms``."""

    every_ms: float = 1000
    size: int = 4

    def strike(self, wire: Wire, rng: random.Random) -> None:
        """One burst."""
        wire.inject(rng.randbytes(self.size))


@dataclass(frozen=True, slots=True)
class SecondMaster:
    """Another master that reads ``count`` registers from ``address`` of ``unit`` every ``every_ms``."""

    unit: int
    every_ms: float = 1000
    fc: int = 3
    address: int = 0
    count: int = 2

    def strike(self, wire: Wire, rng: random.Random) -> None:
        """One request of its own."""
        read = bytes([self.fc]) + self.address.to_bytes(2, "big") + self.count.to_bytes(2, "big")
        wire.overhear(wire.framed(self.unit, read))


@dataclass(frozen=True, slots=True)
class Dlt645SecondMaster:
    """Another master that reads the identifier ``di`` of the meter ``unit`` every ``every_ms``."""

    unit: str
    di: str
    every_ms: float = 1000

    def strike(self, wire: Wire, rng: random.Random) -> None:
        """One request of its own."""
        wire.overhear(dlt645_pdu.frame(self.unit, bytes([dlt645_pdu.READ]) + bytes.fromhex(self.di)[::-1]))


Disturbance = Noise | SecondMaster | Dlt645SecondMaster
