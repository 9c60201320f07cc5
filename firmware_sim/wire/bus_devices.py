"""Devices of one bus; records their answers in the answer log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from firmware_sim.clock import SimClock
from firmware_sim.meters.answers import Delivery, Unit
from firmware_sim.meters.device import Device, Frame, Outcome
from firmware_sim.wire.answer_log import AnswerLog


class Member(NamedTuple):
    """A device, and the address at which it answers."""

    unit: Unit
    device: Device


class Units:
    """The devices of one bus. Two may have one address, and one may have two.

    Args:
        bus: its name.
        members: address and device of each, in the order of the scenario.
        clock: the plant's.
        log: where answers are written.
        seed: of what happens on the bus.
        means: whether a request to an address is for the device of another; None: only for that of the very same.
    """

    def __init__(
        self,
        bus: str,
        members: Iterable[tuple[Unit, Device]],
        clock: SimClock,
        log: AnswerLog,
        *,
        seed: int = 0,
        means: Callable[[str, str], bool] | None = None,
    ) -> None:
        self.bus, self.seed, self._means = bus, seed, means
        self.members, self._clock, self._log = tuple(Member(*each) for each in members), clock, log

    def meant(self, asked: Unit) -> list[Member]:
        """The devices that a request to this address is for."""
        return [member for member in self.members if self.is_for(asked, member)]

    def is_for(self, asked: Unit, member: Member) -> bool:
        """Whether a request to this address is for the device."""
        return asked == member.unit if self._means is None else self._means(str(asked), str(member.unit))

    def ask(self, member: Member, pdu: bytes, frame: Frame, heard: bytes) -> Outcome:
        """What a device of this bus sends for a request.

        Args:
            member: one of this bus.
            pdu: the request without address and checksum.
            frame: makes a frame of a unit and a PDU.
            heard: the whole frame of the request.
        """
        member.device.requests += 1
        return member.device.ask(member.unit, pdu, self._clock.now_ms(), frame, heard)

    def latency_ms(self, member: Member) -> float:
        """How long a device takes before it answers."""
        return member.device.meter.spec.latency_ms

    def record(self, member: Member, outcome: Outcome, delivery: Delivery) -> None:
        """Write down an answer; call it right before the bytes go out."""
        member.device.answers += 1
        self._log.write(self._clock.unix_ms(), member.device.meter.spec.name, self.bus, outcome, delivery)

    def counted(self) -> list[dict[str, object]]:
        """By device: what it was asked, and what it has answered, so far."""
        return [
            {
                "name": member.device.meter.spec.name,
                "unit": member.unit,
                "requests": member.device.requests,
                "answers": member.device.answers,
            }
            for member in self.members
        ]
