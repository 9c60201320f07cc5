"""Devices of one bus; records their answers in the answer log."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from firmware_sim.clock import SimClock
from firmware_sim.meters.answers import Delivery, Unit
from firmware_sim.meters.device import Device, Frame, Outcome
from firmware_sim.wire.answer_log import AnswerLog


class Units:
    """The devices of one bus, each at its own address; two at one address are possible.

    Args:
        bus: its name.
        devices: in the order of the scenario.
        clock: the plant's.
        log: where answers are written.
        seed: of what happens on the bus.
        means: whether a request to an address is for the device of another; None: only for that of the very same.
    """

    def __init__(
        self,
        bus: str,
        devices: Sequence[Device],
        clock: SimClock,
        log: AnswerLog,
        *,
        seed: int = 0,
        means: Callable[[str, str], bool] | None = None,
    ) -> None:
        self.bus, self.seed, self._means = bus, seed, means
        self.devices, self._clock, self._log = tuple(devices), clock, log

    def meant(self, asked: Unit) -> list[Device]:
        """The devices that a request to this address is for."""
        return [device for device in self.devices if self.is_for(asked, device)]

    def is_for(self, asked: Unit, device: Device) -> bool:
        """Whether a request to this address is for the device."""
        own = device.meter.spec.address
        return asked == own if self._means is None else self._means(str(asked), str(own))

    def ask(self, device: Device, pdu: bytes, frame: Frame) -> Outcome:
        """What a device of this bus sends for a request.

        Args:
            device: one of this bus.
            pdu: the request without address and checksum.
            frame: makes a frame of a unit and a PDU.
        """
        return device.ask(device.meter.spec.address, pdu, self._clock.now_ms(), frame)

    def latency_ms(self, device: Device) -> float:
        """How long a device takes before it answers."""
        return device.meter.spec.latency_ms

    def record(self, device: Device, outcome: Outcome, delivery: Delivery) -> None:
        """Write down an answer; call it right before the bytes go out."""
        self._log.write(self._clock.unix_ms(), device.meter.spec.name, self.bus, outcome, delivery)
