"""Questions of an exchange: what stands on the old and on the new device, and who says so; without a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Final, TypeVar

from gateway.commissioning.wizard import display, questions
from gateway.commissioning.wizard.questions import Dialogue, Question
from gateway.errors import GatewayError
from gateway.messages.message import Message

KEYS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "by": str,
    "serial": str,
    "final": dict,
    "initial": dict,
    "seals": list,
    "reason": str,
}
"""What is asked of an exchanged meter, with the types that an answers file may have."""

Register = int | Decimal
Registers = Mapping[str, Register]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Answering:
    """The device that answers in place of the known one, by what the running gateway says; ``last``: what the old one
    showed last, by point."""

    meter: str
    new: str
    last: Mapping[str, str]


@dataclass(slots=True)
class Exchange:
    """What was answered; registers by point, in the unit in which it is recorded."""

    by: str = ""
    final: dict[str, Register] = field(default_factory=dict)
    initial: dict[str, Register] = field(default_factory=dict)
    seals: list[str] = field(default_factory=list)
    reason: str = ""


def asked(
    dialogue: Dialogue,
    found: Answering,
    counters: Iterable[tuple[str, str]],
    bridges: Callable[[Registers, Registers], object],
    user: str,
) -> Exchange:
    """All questions.

    Args:
        counters: the recorded counters, each with its unit.
        bridges: raises GatewayError for registers, by point, that cannot follow what was recorded.
        user: who is asked for as the one who exchanged it, if nothing else is said.

    Raises:
        GatewayError: an answer that a file gives is not to be taken.
    """
    meter, done = found.meter, Exchange()
    done.by = _one(dialogue, Question("by", meter, user), questions.line)
    _one(dialogue, Question("serial", meter), lambda text: _same(found, text))
    for point, unit in counters:
        _registers(dialogue, found, point, unit, bridges, done)
    while seal := _one(dialogue, Question("seals", meter, ""), questions.line):
        done.seals.append(seal)
    done.reason = _one(dialogue, Question("reason", meter, ""), questions.line)
    return done


def _registers(
    dialogue: Dialogue,
    found: Answering,
    point: str,
    unit: str,
    bridges: Callable[[Registers, Registers], object],
    done: Exchange,
) -> None:
    """Both registers of a counter, asked again until one can follow the other."""
    facts = {"unit": unit, "last": found.last.get(point, "nothing")}
    last = Question("final", found.meter, "", point=point, facts=facts)
    first = Question("initial", found.meter, point=point, facts=facts)
    while True:
        final = _one(dialogue, last, lambda text: _number(text, unit) if text else None)
        if final is None:
            return
        initial = _one(dialogue, first, lambda text: _number(text, unit))
        try:
            bridges({point: final}, {point: initial})
        except GatewayError as error:
            dialogue.refused(last, error)
            continue
        done.final[point], done.initial[point] = final, initial
        return


def _one(dialogue: Dialogue, question: Question, check: Callable[[str], T]) -> T:
    while True:
        text = dialogue.ask(question).strip() or question.default or ""
        try:
            return check(text)
        except GatewayError as error:
            dialogue.refused(question, error)


def _same(found: Answering, text: str) -> str:
    """The number on the plate, which is that of the device that answers."""
    if not text or not questions.same_serial(text, found.new):
        raise GatewayError(Message("accept-other-number", meter=found.meter, stranger=found.new, serial=text))
    return text


def _number(text: str, unit: str) -> Register:
    number = display.typed(text, unit).number
    if number < 0:
        raise GatewayError(Message("wizard-no-number", text=text, unit=unit))
    return int(number) if number == number.to_integral_value() else number
