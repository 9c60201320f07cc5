"""Answers to a logger, and the gate that lets nothing else out: 9013 to a notice, 9014 to data that are durable.

    ##0087 QN=<the packet's>;ST=91;CN=9014;PW=<the packet's>;MN=<the packet's>;Flag=4;CP=&&&& 3240 CR LF

Source: HJ 212-2017, tables C.11 and C.14.
"""

from __future__ import annotations

import re

from gateway.fieldbus.hj212.packets import Packet, frame
from gateway.fieldbus.wire.errors import NotARead
from gateway.messages.message import Message

NOTICE_HEARD, DATA_RECORDED = "9013", "9014"
_PERMITTED = re.compile(
    rb"(QN=[0-9A-Za-z]{0,24};)?ST=91;CN=901[34];PW=[!-%'-:<>-~]{0,32};MN=[!-%'-:<>-~]{1,24};Flag=4;CP=&&&&"
)


def answer(packet: Packet, cn: str) -> bytes:
    """The whole packet that answers a packet: its own QN, PW and MN, nothing of ours."""
    number = "" if packet.qn is None else f"QN={packet.qn};"
    text = f"{number}ST=91;CN={cn};PW={packet.pw or ''};MN={packet.mn};Flag=4;CP=&&&&"
    return permit(frame(text.encode("ascii")))


def permit(data: bytes) -> bytes:
    """Exactly these bytes, if they are one 9013 or one 9014. Raises NotARead: nothing else is ever sent."""
    segment = data[6:-6]
    if _PERMITTED.fullmatch(segment) is None or data != frame(segment):
        raise NotARead(Message("hj212-not-an-answer", packet=data[:80].decode("ascii", "backslashreplace")))
    return data
