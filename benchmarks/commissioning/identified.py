"""Identification of simulated devices without a wire: the simulator's own device code answers each read at once.

A device is shown in several situations: wiring, load, ratio of its transformers. What is printed of a case is what the
scan would say of the device on a line.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Literal

from firmware_sim.meters import dlt645_pdu
from firmware_sim.meters.device import Device
from firmware_sim.meters.dlt645_meter import Dlt645Meter
from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.plant.state import Flow, Phases, State
from gateway.commissioning.identity.unit_reads import Ask
from gateway.commissioning.scan.found import FoundUnit, Protocol
from gateway.commissioning.scan.identify import identify
from gateway.devices.points import Profile
from gateway.fieldbus.dlt645.framing import refused as dlt645_refused
from gateway.fieldbus.modbus.exceptions import ILLEGAL_ADDRESS, refused
from gateway.fieldbus.modbus.frames import BITS, REGISTERS, Request
from gateway.fieldbus.wire.keys import Question
from gateway.fieldbus.wire.link import Answer, Outcome, Refusal, Silence

UNIT, METER_NUMBER, SERIAL = 1, "071801024091", "12345678"
SECONDS_A_CHARACTER, SECONDS_A_READ = 11 / 2400, 0.05
"""At 2400 8E1: of each character, and of the silences and the device's own time in each read."""
AT_MS = 5_000


@dataclass(frozen=True, slots=True)
class Situation:
    """How a device is used. ``phases``: of its inputs that have a voltage; ``load``: its power, as a part of the
    plant's; ``place``: where in the plant it sits. ``gaps``: what it says of registers that it does not have: an
    exception, zeros, or numbers of which its map says nothing."""

    name: str
    phases: tuple[int, ...] = (0, 1, 2)
    load: float = 1.0
    place: str = "load"
    gaps: Literal["exception", "zeros", "numbers"] = "exception"


SITUATIONS = (
    Situation("load"),
    Situation("feeds in", place="hydro"),
    Situation("one phase wired", phases=(0,)),
    Situation("two phases wired", phases=(0, 1)),
    Situation("no load", load=0.0),
    Situation("one phase, no load", phases=(0,), load=0.0),
    Situation("behind 200/5, primary values", load=40.0),
    Situation("hardly any load", load=0.001),
    Situation("zeros between", gaps="zeros"),
    Situation("zeros between, no load", load=0.0, gaps="zeros"),
    Situation("numbers between", gaps="numbers"),
    Situation("numbers between, one phase", phases=(0,), gaps="numbers"),
)


class Wired(Plant):
    """The plant as a device sees it whose inputs are wired as the situation says."""

    def __init__(self, spec: PlantSpec, situation: Situation) -> None:
        super().__init__(spec)
        self._situation = situation

    def at(self, t_ms: int) -> State:
        state, place = super().at(t_ms), self._situation.place
        return replace(state, flows={**state.flows, place: self._flow(state.flows[place])})

    def _flow(self, flow: Flow) -> Flow:
        def of(values: Phases, factor: float) -> Phases:
            one, two, three = (v * factor if n in self._situation.phases else 0.0 for n, v in enumerate(values))
            return one, two, three

        load = self._situation.load
        return replace(flow, volts=of(flow.volts, 1), watts=of(flow.watts, load), vars=of(flow.vars, load))


def device(profile: Profile, situation: Situation, seed: int) -> Device:
    """A simulated device of this profile."""
    plant = Wired(PlantSpec(seed=seed, start_hour=9.0 + seed % 8), situation)
    spec = MeterSpec(
        profile.name,
        profile,
        METER_NUMBER if profile.protocol == "dlt645" else UNIT,
        measures=situation.place,
        serial=SERIAL,
        factors={name: Decimal(1) for name in profile.factors},
        start_wh=(1_234_567.0 * seed, 34_567.0),
        start_varh=(234_567.0, 4_567.0),
    )
    if profile.protocol == "dlt645":
        return Device(Dlt645Meter(spec, plant, lambda t_ms: t_ms, single_phase="single" in profile.name))
    return Device(Meter(spec, plant))


@dataclass
class Asked:
    """What a device was asked."""

    reads: int = 0
    seconds: float = 0.0
    """What that takes at 2400 8E1."""


def asking(one: Device, asked: Asked, gaps: str = "exception") -> Ask:
    """One read at a time of a device. ``gaps``: see ``Situation``."""

    async def ask(question: Question) -> Outcome:
        if not isinstance(question, Request):
            return _of_dlt645(one, question)
        asked.reads += 1
        asked.seconds += (13 + 2 * question.count) * SECONDS_A_CHARACTER + SECONDS_A_READ
        pdu = _answer(one, question.unit, question.pdu)
        if pdu is None:
            return Silence("timeout", "", question)
        if pdu == bytes([question.function | 0x80, ILLEGAL_ADDRESS]) and question.function in REGISTERS:
            pdu = _filled(one, question, gaps) or pdu
        if pdu[0] & 0x80:
            return Refusal(question, refused(pdu[1], question.function))
        return Answer(question, pdu[2 if question.function in (*BITS, *REGISTERS) else 1 :], 0.0)

    return ask


def _filled(one: Device, question: Request, gaps: str) -> bytes | None:
    """The answer of a device that has something to say of every register."""
    if gaps == "exception":
        return None
    words = b""
    for place in range(question.address, question.address + question.count):
        pdu = _answer(one, question.unit, Request(UNIT, question.function, place, 1).pdu)
        answered = pdu is not None and not pdu[0] & 0x80
        words += pdu[2:] if answered and pdu else _number(place) if gaps == "numbers" else b"\0\0"
    return bytes([question.function, len(words)]) + words


def _number(place: int) -> bytes:
    """A word as devices have them in registers of which nothing is known: mostly small, some large, some zero."""
    rng = random.Random(place)
    return rng.choice((0, rng.randrange(10), rng.randrange(3000), rng.randrange(0x10000))).to_bytes(2, "big")


def _answer(one: Device, unit: int | str, pdu: bytes) -> bytes | None:
    deliveries = one.ask(unit, pdu, AT_MS, lambda _, answer: answer).deliveries
    return deliveries[0].data if deliveries else None


def _of_dlt645(one: Device, question: Question) -> Outcome:
    found = dlt645_pdu.opened(question.frame)
    assert found is not None
    pdu = _answer(one, *found)
    if pdu is None:
        return Silence("timeout", "", question)
    error = dlt645_pdu.error_of(pdu)
    return Answer(question, pdu[5:], 0.0) if error is None else Refusal(question, dlt645_refused(error))


@dataclass(frozen=True, slots=True)
class Case:
    """A device in a situation, and what it was taken for."""

    profile: Profile
    situation: str
    found: FoundUnit
    asked: Asked

    @property
    def first(self) -> str:
        """The profile that was named first; of a tie its own, if it is in it."""
        names = [c.profile for c in self.found.tie or self.found.candidates[:1]]
        return self.profile.name if self.profile.name in names else names[0] if names else "-"

    def is_right(self, families: dict[str, str | None]) -> bool:
        """The profile, or one of its family, comes first."""
        family = families[self.profile.name]
        return self.first == self.profile.name or (family is not None and families.get(self.first) == family)

    def wrong_confident(self, at_least: float) -> list[str]:
        """Other profiles that are named with at least this confidence."""
        return [c.profile for c in self.found.candidates if c.confidence >= at_least and c.profile != self.profile.name]


def case(profile: Profile, situation: Situation, seed: int, profiles: Sequence[Profile]) -> Case:
    """Identify a device among these profiles."""
    one, asked = device(profile, situation, seed), Asked()
    protocol: Protocol = "dlt645" if profile.protocol == "dlt645" else "modbus"
    unit = METER_NUMBER if protocol == "dlt645" else UNIT
    found = asyncio.run(identify(asking(one, asked, situation.gaps), unit, protocol, profiles=profiles))
    return Case(profile, situation.name, found, asked)
