"""Answers of a device as faults see them: who and what, the values shown in it, and the bytes that leave."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Protocol

from firmware_sim.meters.packing import Cell, Value
from firmware_sim.plant.quantities import Scene

Unit = int | str
"""A Modbus unit, a DL/T 645 address."""


class Answer(Protocol):
    """Who answers, and what, in the words of the device's protocol. Frozen; equal if the same."""

    @property
    def unit(self) -> Unit:
        """Who."""

    @property
    def pdu(self) -> bytes:
        """What."""

    def saying(self, pdu: bytes) -> Answer:
        """The same device's other answer."""

    def refused(self, request: bytes, code: int) -> Answer:
        """The refusal of the request."""

    def refused_another(self, request: bytes, code: int) -> Answer:
        """The refusal of what was not asked."""

    def from_another(self) -> Answer:
        """The same under the next address."""

    def of_another_function(self) -> Answer:
        """The same, named as the answer to another function."""

    def of_another_place(self) -> Answer:
        """The same, named as what stands at the next place."""

    def resized(self, registers: int) -> Answer:
        """The same with so many registers (of two bytes) more or, below 0, fewer."""

    def miscounted(self) -> Answer:
        """The same with a byte count that disagrees with its bytes."""


class Place(Protocol):
    """A point as the device lays it out, where it shows its value."""

    @property
    def name(self) -> str | None:
        """The profile's point."""

    @property
    def kind(self) -> str:
        """``gauge``, ``counter``, ``clock`` …"""

    @property
    def type(self) -> str:
        """``string`` where it shows a text."""

    @property
    def can_lack(self) -> bool:
        """Whether it has a code for "not available"."""

    def within(self, value: float | Fraction) -> float | Fraction:
        """The number, or the one next to it that can be shown."""

    def ceiling(self, digits: int) -> Fraction | None:
        """Where a counter begins anew: behind so many digits before the decimal point, or with 0 behind the largest
        number that can be shown; None: there is none."""


class Alter(Protocol):
    """What faults change of a device's values, before and while they are packed."""

    def scene(self, see: Callable[[int], Scene], t_ms: int) -> Scene:
        """What the meter sees at a moment; ``see`` is what it would see without faults."""

    def value(self, cell: Place, value: Value) -> Value:
        """What a point shows."""

    def laid(self, cell: Cell) -> Cell:
        """How it stands in its registers."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """Bytes that go onto the wire ``after_ms`` the device is ready, whole or in pieces of ``piece`` bytes.

    ``values`` are the readings that a right reader takes from them: none when a fault made them unreadable.
    ``ends_after``: the connection ends behind so many of the bytes.
    """

    after_ms: float
    data: bytes
    values: dict[str, Value]
    piece: int = 0
    gap_ms: float = 0.0
    ends_after: int | None = None

    def ended(self) -> Delivery:
        """Without what no connection carries any more."""
        if self.ends_after is None or self.ends_after >= len(self.data):
            return self
        return replace(self, data=self.data[: self.ends_after], values={})
