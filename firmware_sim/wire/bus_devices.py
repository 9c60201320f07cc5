"""Devices of one bus by unit address; records their answers in the answer log."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from firmware_sim.clock import SimClock
from firmware_sim.meters.answers import Delivery, Unit
from firmware_sim.meters.device import Device, Frame, Outcome
from firmware_sim.wire.answer_log import AnswerLog


class Units:
    """The devices of one bus by unit address.

    Args:
        bus: its name.
        devices: by unit address.
        clock: the plant's.
        log: where answers are written.
        seed: of what happens on the bus.
        means: whether a request to an address is for the device of another; None: only for that of the very same.
    """

    def __init__(
        self,
        bus: str,
        devices: Mapping[Unit, Device],
        clock: SimClock,
        log: AnswerLog,
        *,
        seed: int = 0,
        means: Callable[[str, str], bool] | None = None,
    ) -> None:
        self.bus, self.seed, self._means = bus, seed, means
        self._devices, self._clock, self._log = devices, clock, log

    def __contains__(self, unit: Unit) -> bool:
        return unit in self._devices

    def meant(self, asked: Unit) -> list[Unit]:
        """The devices that a request to this address is for, each by its own address."""
        if self._means is None:
            return [asked] if asked in self._devices else []
        return [unit for unit in self._devices if self._means(str(asked), str(unit))]

    def ask(self, unit: Unit, pdu: bytes, frame: Frame) -> Outcome:
        """What a unit of this bus sends for a request.

        Args:
            unit: its address; one of this bus.
            pdu: the request without address and checksum.
            frame: makes a frame of a unit and a PDU.
        """
        return self._devices[unit].ask(unit, pdu, self._clock.now_ms(), frame)

    def latency_ms(self, unit: Unit) -> float:
        """How long the unit takes before it answers."""
        return self._devices[unit].meter.spec.latency_ms

    def record(self, outcome: Outcome, delivery: Delivery) -> None:
        """Write down an answer; call it right before the bytes go out."""
        meter = self._devices[outcome.asked.unit].meter.spec.name
        self._log.write(self._clock.unix_ms(), meter, self.bus, outcome, delivery)
