"""Dialects: how the meters of each type of bus are asked."""

from __future__ import annotations

from gateway.fieldbus.dlt645.dialect import OVER_DLT645
from gateway.fieldbus.modbus.dialect import OVER_ASCII, OVER_RTU, OVER_TCP
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.wire.dialect import Dialect
from gateway.fieldbus.wire.link import Answer

TRANSACTION_BYTES = 2
DIALECTS: dict[str, Dialect] = {
    "modbus-rtu": OVER_RTU,
    "modbus-rtu-over-tcp": OVER_RTU,
    "modbus-tcp": OVER_TCP,
    "modbus-ascii": OVER_ASCII,
    "dlt645": OVER_DLT645,
}


def frames(type_: str, answer: Answer) -> tuple[bytes, bytes]:
    """A question and its answer as they were on the wire of this type of bus."""
    framing, question = DIALECTS[type_].framing, answer.question
    if framing is not None:
        return framing.sent(question), answer.frame
    assert isinstance(question, Request)
    return answer.frame[:TRANSACTION_BYTES] + question.mbap, answer.frame  # an answer bears its question's transaction
