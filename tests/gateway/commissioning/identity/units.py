"""Units to identify: simulated ones of the catalog, and small ones that hold just what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from benchmarks.commissioning.identified import SITUATIONS, UNIT, Asked, Situation, asking, device
from gateway.commissioning.identity.unit_reads import Ask
from gateway.commissioning.scan.found import FoundUnit, Protocol
from gateway.commissioning.scan.identify import identify
from gateway.devices.points import Profile
from gateway.devices.profile import load_profile
from gateway.fieldbus.modbus.exceptions import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, refused
from gateway.fieldbus.modbus.frames import BITS, REGISTERS, Request
from gateway.fieldbus.wire.keys import Question
from gateway.fieldbus.wire.link import Answer, Outcome, Refusal, Silence

LOAD = SITUATIONS[0]


def simulated(name: str, situation: Situation = LOAD, seed: int = 1) -> Ask:
    """A device of the catalog."""
    return asking(device(load_profile(name), situation, seed), Asked(), situation.gaps)


def found(ask: Ask, protocol: Protocol = "modbus", profiles: Sequence[Profile] | None = None) -> FoundUnit:
    """What a unit is taken for."""
    unit = "071801024091" if protocol == "dlt645" else UNIT
    return asyncio.run(identify(ask, unit, protocol, profiles=profiles))


def first(unit: FoundUnit) -> tuple[str, float] | None:
    """The likeliest profile and its confidence."""
    return (unit.candidates[0].profile, unit.candidates[0].confidence) if unit.candidates else None


@dataclass
class Held:
    """A unit with these registers, by function and address; ``says`` answers functions 17 and 43 by their PDU, ``most``
    is the longest read, ``silent`` whether it leaves unanswered what it does not have."""

    registers: Mapping[tuple[int, int], int] = field(default_factory=dict)
    says: Mapping[bytes, bytes] = field(default_factory=dict)
    most: int = 125
    silent: bool = False
    asked: list[Request] = field(default_factory=list)

    async def ask(self, question: Question) -> Outcome:
        """One read."""
        assert isinstance(question, Request)
        self.asked.append(question)
        if question.function not in (*BITS, *REGISTERS):
            data = self.says.get(question.pdu)
            return self._no(question, ILLEGAL_FUNCTION) if data is None else Answer(question, data, 0.0)
        places = [(question.function, question.address + n) for n in range(question.count)]
        if question.count > self.most or not all(place in self.registers for place in places):
            return self._no(question, ILLEGAL_ADDRESS)
        words = [self.registers[place] for place in places]
        return Answer(question, b"".join(word.to_bytes(2, "big") for word in words), 0.0)

    def _no(self, question: Request, code: int) -> Outcome:
        if self.silent:
            return Silence("timeout", "", question)
        return Refusal(question, refused(code, question.function))


def altered(ask: Ask, alter: Callable[[Request, Answer], Answer]) -> Ask:
    """A unit whose answers are not as it gives them."""

    async def asked(question: Question) -> Outcome:
        outcome = await ask(question)
        return alter(question, outcome) if isinstance(outcome, Answer) and isinstance(question, Request) else outcome

    return asked
