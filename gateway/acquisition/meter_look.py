"""Look at a meter: what one poll gave, value by value with the frames on the wire, for somebody beside its display.

Nothing is judged or recorded; a value is what would be recorded, ratios included. It passes over the control socket as
bytes.
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Any

from gateway.devices.blocks import Content, contents
from gateway.errors import GatewayError
from gateway.fieldbus.diagnosis import block_failed, no_values
from gateway.fieldbus.dialects import frames
from gateway.fieldbus.specs import BlockAnswer, Poll
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.messages.languages import sentence_in
from gateway.messages.message import Message
from gateway.records import sentence_fields
from ledger_client.errors import LedgerClientError
from ledger_client.formats import cbor
from ledger_client.messages import Sentence


@dataclass(frozen=True, slots=True)
class PointLook:
    """One point: its value in ``unit`` (SenML, "" without one; None: there is none), the question and its answer as
    they were on the wire (empty where the meter sends unasked), and when the answer was complete in Unix ms."""

    point: str
    unit: str
    value: Content
    request: bytes
    answer: bytes
    at_ms: int


@dataclass(frozen=True, slots=True)
class Look:
    """One poll of a meter. ``identity`` as the device tells it, None where it does not; ``flags``: quality bits of all
    values; ``failures``: what was not answered, and why, with the way out where there is no value at all."""

    meter: str
    identity: str | None
    flags: int
    points: tuple[PointLook, ...]
    failures: tuple[Sentence, ...]

    def encode(self) -> str:
        """It as text, for the control socket. The inverse of ``decode``."""
        points = [[p.point, p.unit, p.value, p.request, p.answer, p.at_ms] for p in self.points]
        failures = [sentence_fields(sentence) for sentence in self.failures]
        facts = {"meter": self.meter, "flags": self.flags, "points": points, "failures": failures}
        return b64encode(cbor.encode(facts | ({} if self.identity is None else {"identity": self.identity}))).decode()

    @classmethod
    def decode(cls, text: str) -> Look:
        """A look that the gateway has encoded. Raises GatewayError: another version's."""
        try:
            facts: dict[str, Any] = cbor.decode(b64decode(text, validate=True))
            return cls(
                facts["meter"],
                facts.get("identity"),
                facts["flags"],
                tuple(PointLook(*point) for point in facts["points"]),
                tuple(sentence_in(fields, fields["text"]) for fields in facts["failures"]),
            )
        except (LedgerClientError, ValueError, LookupError, TypeError, AttributeError):
            raise GatewayError(Message("look-unreadable")) from None


def look_of(line: LineSpec, poll: Poll) -> Look:
    """What a poll of one meter of this line gave."""
    spec = next(meter for meter in line.meters if meter.name == poll.meter)
    values = contents(((answer.block, answer.raw) for answer in poll.answers), spec.factors)
    answers = {point.name: (point, answer) for answer in poll.answers for point in answer.block.points}
    return Look(
        meter=poll.meter,
        identity=poll.identity,
        flags=poll.flags,
        points=tuple(
            PointLook(name, point.unit or "", values[name], *_frames(line, answer), answer.completed_ms)
            for name, (point, answer) in answers.items()
            if name in values
        ),
        failures=tuple(map(block_failed, poll.failures)) if poll.answers else (no_values(line, spec, poll),),
    )


def _frames(line: LineSpec, answer: BlockAnswer) -> tuple[bytes, bytes]:
    return (b"", b"") if answer.answer is None else frames(line.type, answer.answer)
