"""Modbus device: answers requests, with the faults that the scenario configures. No I/O."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce

from firmware_sim.meters import identification
from firmware_sim.meters import pdu as frames
from firmware_sim.meters.answer_faults import Answer, Delivery, Fault, Look
from firmware_sim.meters.packing import Cell, Value
from firmware_sim.meters.register_image import ILLEGAL_FUNCTION, ILLEGAL_VALUE, Meter, Refused, Reply

Frame = Callable[[int, bytes], bytes]
"""(unit, PDU) → the bytes of a whole frame."""


@dataclass(frozen=True, slots=True)
class When:
    """When a fault is on: between two moments of the plant's time, at every n-th request or a share of them."""

    from_ms: int = 0
    to_ms: int | None = None
    every: int = 1
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Choice:
    """A fault, and its share of the requests."""

    kind: str
    fault: Fault
    share: float = 1.0


@dataclass
class Armed:
    """A fault of one meter, or several of which a request meets one at most; and how many requests it has seen while
    its time was on."""

    choices: Sequence[Choice]
    when: When
    seed: str
    requests: int = field(default=0, init=False)

    @classmethod
    def of(cls, kind: str, fault: Fault, when: When, seed: str) -> Armed:
        """A single fault.

        Args:
            kind: its name in the scenario.
            fault: what it does.
            when: the time in which it is on, and how often it strikes.
            seed: of its generator.
        """
        return cls((Choice(kind, fault),), when, seed)

    def strikes(self, t_ms: int) -> tuple[Choice, random.Random] | None:
        """The fault that is on for this request, with a generator for it, or None."""
        when = self.when
        if t_ms < when.from_ms or (when.to_ms is not None and t_ms >= when.to_ms):
            return None
        self.requests += 1
        rng = random.Random(f"{self.seed}/{self.requests}")
        if self.requests % when.every or rng.random() >= when.share:
            return None
        place = rng.random()
        for choice in self.choices:
            place -= choice.share
            if place < 0:
                return choice, rng
        return None


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the log names it, and the moment that its answer shows."""

    unit: int
    pdu: bytes
    read: frames.Read | None
    at_ms: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a device makes of a request: deliveries in the order of their making, and the faults that struck."""

    asked: Asked
    deliveries: tuple[Delivery, ...]
    faults: tuple[str, ...] = ()
    exception: int | None = None


class Device:
    """One unit of a bus."""

    def __init__(self, meter: Meter, faults: Sequence[Armed] = ()) -> None:
        self.meter, self.faults = meter, tuple(faults)

    def ask(self, unit: int, pdu: bytes, t_ms: int, frame: Frame) -> Outcome:
        """What the device sends for a request.

        Args:
            unit: address in the request.
            pdu: the request without address and checksum.
            t_ms: when it was heard, in ms of the plant's time.
            frame: makes a frame of a unit and a PDU.
        """
        asked = Asked(unit, pdu, frames.read_of(pdu), t_ms)
        struck = [found for armed in self.faults if (found := armed.strikes(t_ms))]
        names = tuple(choice.kind for choice, _ in struck)
        if self.meter.sleeps_at(t_ms) or not all(choice.fault.hears(t_ms) for choice, _ in struck):
            return Outcome(asked, (), names)
        right, values = self._answer(asked, [choice.fault for choice, _ in struck])
        answer = right
        for choice, rng in struck:
            answer = choice.fault.say(pdu, answer, rng)
        deliveries = [Delivery(0.0, frame(answer.unit, answer.pdu), values if answer == right else {})]
        for choice, rng in struck:
            deliveries = choice.fault.send(deliveries, rng)
        said = answer.pdu
        return Outcome(asked, tuple(deliveries), names, said[1] if said[0] & 0x80 else None)

    def _other(self, pdu: bytes) -> bytes:
        """The answer to anything but a read of registers."""
        try:
            if pdu[0] in frames.READS:
                raise Refused(ILLEGAL_VALUE)
            if pdu[0] != identification.FUNCTION:
                raise Refused(ILLEGAL_FUNCTION)
            return identification.identify(pdu, self.meter.objects)
        except Refused as refused:
            return frames.exception(pdu[0], refused.code)

    def _answer(self, asked: Asked, faults: list[Fault]) -> tuple[Answer, dict[str, Value]]:
        read, fc = asked.read, asked.pdu[0]
        if read is None:
            return Answer(asked.unit, self._other(asked.pdu)), {}

        def alter(cell: Cell, value: Value) -> Value:
            return reduce(lambda v, fault: fault.value(cell, v), faults, value)

        def now(t_ms: int) -> Reply:
            return self.meter.read(read.fc, read.address, read.count, t_ms, alter if faults else None)

        look: Look = now
        for fault in faults:
            look = partial(fault.look, look)
        try:
            reply = look(asked.at_ms)
        except Refused as refused:
            return Answer(asked.unit, frames.exception(fc, refused.code)), {}
        return Answer(asked.unit, frames.answer(fc, reply.registers)), reply.values
