"""Verdict on the values of one meter: sizes that no value has, values that are bad, a phase that runs against both
others. As `meterseal read` judges them, of a poll by hand or of the newest record."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence

from gateway.commissioning.record.reversed_phase import unexplained_phase
from gateway.devices.remarks import value_remark
from gateway.doctor.check import CheckContext, Finding
from gateway.messages.message import Message
from gateway.verdicts import verdict
from ledger_client import messages
from ledger_client.formats.senml import Value

IMPOSSIBLE = "remark-float-size"
"""Of what a register seldom holds, that which cannot be a value."""


def judged(
    case: CheckContext, meter: str, found: Finding, values: Sequence[Value], odd: Mapping[str, Message]
) -> Iterator[Finding]:
    """What was found of a meter that gave these values, and what is wrong with them.

    Args:
        case: context of the checks.
        meter: its name.
        found: the sentence where nothing is wrong.
        values: as they are recorded.
        odd: by point what its registers, or the value, look like that a meter seldom means.
    """
    name, trouble = f"meter {meter}", list(_trouble(case, meter, found.message, values, odd))
    if not trouble or found.result != "ok":
        yield found
    yield from trouble
    if phase := unexplained_phase(case.config.data, case.store, meter, values):
        yield Finding(name, "warn", phase)


def odd_values(case: CheckContext, meter: str, values: Iterable[Value]) -> dict[str, Message]:
    """The same of recorded values, whose registers are not at hand."""
    points = {point.name: point for point in case.config.profiles[meter].points}
    return {
        value.name: sentence
        for value in values
        if (point := points.get(value.name)) is not None and (sentence := value_remark(point, value.value))
    }


def _trouble(
    case: CheckContext, meter: str, base: messages.Message, values: Sequence[Value], odd: Mapping[str, Message]
) -> Iterator[Finding]:
    name, config = f"meter {meter}", str(case.config.path)
    shown = {value.name: value for value in values}
    for sentence in dict.fromkeys(odd.values()):
        points = tuple(_shown(point, shown.get(point)) for point, mine in odd.items() if mine == sentence)
        message = Message("meter-odd-values", base=base, points=points, why=sentence, meter=meter, config=config)
        yield Finding(name, "bad" if sentence.code == IMPOSSIBLE else "warn", message)
    bad = tuple(v.name for v in values if v.value is not None and v.name not in odd and verdict(v.quality) == "bad")
    if bad:
        yield Finding(name, "warn", Message("meter-bad-values", base=base, points=bad, meter=meter, config=config))


def _shown(point: str, value: Value | None) -> str:
    """A point with its value, where that is recorded."""
    if value is None or value.value is None:
        return point
    number = f"{value.value:.7g}" if isinstance(value.value, float) else str(value.value)
    return f"{point} {number} {value.unit or ''}".rstrip()
