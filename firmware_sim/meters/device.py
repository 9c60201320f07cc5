"""Device of a bus: answers requests, with the faults that the scenario configures. No I/O, no protocol of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any, Protocol

from firmware_sim.meters.answer_faults import Before, Fault, Look, See, Strike
from firmware_sim.meters.answers import Alter, Answer, Delivery, Place, Unit
from firmware_sim.meters.armed import Armed
from firmware_sim.meters.packing import Cell, Value
from firmware_sim.meters.pdu import Refused, Silent
from firmware_sim.meters.register_image import Reply
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.plant.quantities import Scene

Frame = Callable[[Any, bytes], bytes]
"""(unit, PDU) → the bytes of a whole frame."""


class Changes:
    """What faults that struck change of a device's values at one moment of the plant's time, in their order. See
    ``answers.Alter``."""

    def __init__(self, faults: Sequence[Fault], t_ms: int) -> None:
        self._faults, self._t_ms = faults, t_ms

    def scene(self, see: See, t_ms: int) -> Scene:
        """What the meter sees."""
        for fault in self._faults:
            see = partial(fault.scene, see)
        return see(t_ms)

    def value(self, cell: Place, value: Value) -> Value:
        """What a point shows."""
        return reduce(lambda v, fault: fault.value(cell, v, self._t_ms), self._faults, value)

    def laid(self, cell: Cell) -> Cell:
        """How it stands in its registers."""
        return reduce(lambda c, fault: fault.laid(c), self._faults, cell)


def looking(faults: Sequence[Fault], look: Look) -> Look:
    """What a device replies at a moment where these faults struck, in their order: each may look at others."""
    for fault in faults:
        look = partial(fault.look, look)
    return look


class Meter(Protocol):
    """What a device shows at any moment, and how its protocol says so. A PDU is what a frame carries besides address
    and checksum."""

    spec: MeterSpec

    def sleeps_at(self, t_ms: int) -> bool:
        """Whether it is off."""

    def place(self, pdu: bytes) -> Mapping[str, Any]:
        """What a request asks for, in the words of the log."""

    def reader(self, pdu: bytes) -> Callable[[int, Alter | None], Reply] | None:
        """What gives its reply at a moment of the plant's time in ms; None: the request is no read of values. It raises
        ``Refused`` or ``Silent``."""

    def answered(self, pdu: bytes, reply: Reply) -> bytes:
        """The PDU that carries the reply."""

    def refusal(self, pdu: bytes, code: int) -> bytes:
        """The PDU that refuses the request."""

    def otherwise(self, pdu: bytes) -> bytes:
        """The PDU that answers any other request."""

    def answer(self, unit: Any, pdu: bytes) -> Answer:
        """A PDU as an answer that faults can change."""

    def code_of(self, pdu: bytes) -> int | None:
        """The code of a refusal; None: it is none."""


@dataclass(frozen=True, slots=True)
class Asked:
    """A request as the log names it, the moment that its answer shows, and its frame."""

    unit: Unit
    pdu: bytes
    place: Mapping[str, Any]
    at_ms: int
    heard: bytes = b""

    @property
    def count(self) -> int:
        """How many registers it asks for; 0: it is no Modbus read."""
        return self.place.get("count") or 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a device makes of a request: deliveries in the order of their making, and the faults that struck by their
    kinds, and as they are armed. ``true``, where any did, is what its points would show without them."""

    asked: Asked
    deliveries: tuple[Delivery, ...]
    faults: tuple[str, ...] = ()
    exception: int | None = None
    by: tuple[Armed, ...] = ()
    true: Mapping[str, Value] = field(default_factory=dict)

    @property
    def injected(self) -> tuple[str, ...]:
        """The ids of the faults that struck."""
        return tuple(armed.id for armed in self.by)

    @property
    def is_withdrawn(self) -> bool:
        """Whether a fault that struck was cleared since: what it still holds back is not sent."""
        return any(armed.cleared for armed in self.by)


class Device:
    """One unit of a bus. ``requests`` and ``answers`` are counted by whoever carries them.

    Args:
        meter: what it shows.
        faults: its faults, looked at anew for each request.
    """

    def __init__(self, meter: Meter, faults: Sequence[Armed] = ()) -> None:
        self.meter, self.faults = meter, faults
        self._before = Before()
        self.requests = self.answers = 0

    def ask(self, unit: Unit, pdu: bytes, t_ms: int, frame: Frame, heard: bytes = b"") -> Outcome:
        """What the device sends for a request.

        Args:
            unit: address in the request.
            pdu: the request without address and checksum.
            t_ms: when it was heard, in ms of the plant's time.
            frame: makes a frame of a unit and a PDU.
            heard: the frame of the request, for the log.
        """
        asked = Asked(unit, pdu, self.meter.place(pdu), t_ms, heard)
        met = [(armed, found) for armed in self.faults if (found := armed.strikes(t_ms, asked.count))]
        struck = [found for _, found in met]
        names = tuple(choice.kind for choice, _ in struck)
        by = tuple(armed for armed, _ in met)
        if self.meter.sleeps_at(t_ms) or not all(choice.fault.hears(t_ms) for choice, _ in struck):
            return Outcome(asked, (), names, by=by)
        try:
            right, values = self._answer(asked, [choice.fault for choice, _ in struck])
        except Silent:
            return Outcome(asked, (), names, by=by)
        answer, before = right, self._before
        for choice, rng in struck:
            answer = choice.fault.say(pdu, answer, Strike(rng, before))
        data = frame(answer.unit, answer.pdu)
        self._before = Before(right.pdu, data)
        deliveries = [Delivery(0.0, data, values if answer == right else {})]
        for choice, rng in struck:
            deliveries = choice.fault.send(deliveries, Strike(rng, before))
        true = self._true(asked) if struck else {}
        return Outcome(
            asked, tuple(each.ended() for each in deliveries), names, self.meter.code_of(answer.pdu), by, true
        )

    def _true(self, asked: Asked) -> dict[str, Value]:
        """What the points would show without faults."""
        try:
            return self._answer(asked, [])[1]
        except Silent:
            return {}

    def _answer(self, asked: Asked, faults: list[Fault]) -> tuple[Answer, dict[str, Value]]:
        meter, pdu = self.meter, asked.pdu
        if (read := meter.reader(pdu)) is None:
            return meter.answer(asked.unit, meter.otherwise(pdu)), {}

        def now(t_ms: int) -> Reply:
            return read(t_ms, Changes(faults, t_ms) if faults else None)

        try:
            reply = looking(faults, now)(asked.at_ms)
        except Refused as refused:
            return meter.answer(asked.unit, meter.refusal(pdu, refused.code)), {}
        return meter.answer(asked.unit, meter.answered(pdu, reply)), reply.values
