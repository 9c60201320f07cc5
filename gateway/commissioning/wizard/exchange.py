"""Questions of an exchange: what stands on the old and on the new device, and who says so; without a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Final, TypeVar

from gateway.commissioning.wizard import display, questions
from gateway.commissioning.wizard.questions import Dialogue, Question
from gateway.errors import GatewayError
from gateway.messages.message import Message

KEYS: Final[Mapping[str, type | tuple[type, ...]]] = {
    "by": str,
    "serial": str,
    "since_fall": bool,
    "final": dict,
    "initial": dict,
    "seals": list,
    "reason": str,
}
"""What is asked of an exchanged meter, with the types that an answers file may have."""

Register = int | Decimal
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Fall:
    """When counters of the meter decreased, in words; which, and what they showed before that, by point."""

    at: str
    points: tuple[str, ...]
    last: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Answering:
    """The device that answers in place of the known one, by what the running gateway says; ``last``: what the old one
    showed last, by point. ``by_hand``: the new one tells no number; ``fall``: since when it may have been read."""

    meter: str
    new: str
    last: Mapping[str, str]
    by_hand: bool = False
    fall: Fall | None = None


@dataclass(slots=True)
class Exchange:
    """What was answered; registers by point, in the unit in which it is recorded. ``plate``: of a device that tells no
    number; ``since_fall``: whether it has been read since counters decreased, None where none has."""

    by: str = ""
    plate: str = ""
    since_fall: bool | None = None
    final: dict[str, Register] = field(default_factory=dict)
    initial: dict[str, Register] = field(default_factory=dict)
    seals: list[str] = field(default_factory=list)
    reason: str = ""


def asked(
    dialogue: Dialogue,
    found: Answering,
    counters: Iterable[tuple[str, str]],
    bridges: Callable[[Exchange], object],
    user: str,
) -> Exchange:
    """All questions.

    Args:
        counters: the recorded counters, each with its unit.
        bridges: raises GatewayError for registers that cannot follow what was recorded.
        user: who is asked for as the one who exchanged it, if nothing else is said.

    Raises:
        GatewayError: an answer that a file gives is not to be taken.
    """
    meter, done = found.meter, Exchange()
    done.by = _one(dialogue, Question("by", meter, user), questions.line)
    if found.by_hand:
        done.plate = _one(dialogue, Question("serial", meter, ""), questions.line)
    else:
        _one(dialogue, Question("serial", meter), lambda text: _same(found, text))
    if found.fall is not None:
        fall = {"points": ", ".join(found.fall.points), "at": found.fall.at}
        done.since_fall = _one(dialogue, Question("since_fall", meter, facts=fall), questions.yes)
    for point, unit in counters:
        _registers(dialogue, found, point, unit, bridges, done)
    while seal := _one(dialogue, Question("seals", meter, ""), questions.line):
        done.seals.append(seal)
    done.reason = _one(dialogue, Question("reason", meter, None if found.by_hand else ""), _reason(found))
    return done


def _reason(found: Answering) -> Callable[[str], str]:
    def check(text: str) -> str:
        if found.by_hand and not text:
            raise GatewayError(Message("accept-no-reason", meter=found.meter))
        return questions.line(text)

    return check


def _registers(
    dialogue: Dialogue,
    found: Answering,
    point: str,
    unit: str,
    bridges: Callable[[Exchange], object],
    done: Exchange,
) -> None:
    """Both registers of a counter, asked again until one can follow the other."""
    shown = found.fall.last if found.fall is not None and done.since_fall else found.last
    facts = {"unit": unit, "last": shown.get(point, "nothing")}
    last = Question("final", found.meter, "", point=point, facts=facts)
    first = Question("initial", found.meter, point=point, facts=facts)
    while True:
        final = _one(dialogue, last, lambda text: _number(text, unit) if text else None)
        if final is None:
            return
        initial = _one(dialogue, first, lambda text: _number(text, unit))
        try:
            bridges(replace(done, final={point: final}, initial={point: initial}))
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
