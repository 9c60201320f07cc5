"""Modbus exceptions: what each means for the values that were asked for, with its usual causes.

Source of the codes: MODBUS Application Protocol V1.1b3, §7.
"""

from __future__ import annotations

from gateway.fieldbus.wire.framing import Refused
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality

ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE, PARITY = 1, 2, 3, 4, 8
LASTING = (ILLEGAL_FUNCTION, ILLEGAL_ADDRESS, ILLEGAL_VALUE, DEVICE_FAILURE)
"""Those that ask for a change of what is asked. The others pass: the device is busy, or a converter is."""
OF_PLACE = (ILLEGAL_ADDRESS, ILLEGAL_VALUE)
"""Those of which another cut of the reads may be free."""
OTHER_FUNCTION = {1: 2, 2: 1, 3: 4, 4: 3}
FLAGS = {
    ILLEGAL_FUNCTION: Quality.NOT_FOUND,
    ILLEGAL_ADDRESS: Quality.NOT_FOUND,
    ILLEGAL_VALUE: Quality.NOT_FOUND,
    DEVICE_FAILURE: Quality.DEVICE_FAULT,
    PARITY: Quality.DEVICE_FAULT,
}


def refused(code: int, function: int) -> Refused:
    """An exception to a read of this function."""
    flag = FLAGS.get(code, Quality.COMM_FAIL)
    return Refused(code, refusal(code, function), flag, lasting=code in LASTING, of_place=code in OF_PLACE)


def refusal(code: int, function: int) -> Message:
    """An exception with its usual causes."""
    instead = OTHER_FUNCTION.get(function, function)
    if code == ILLEGAL_FUNCTION:
        return Message("exception-function", function=function, instead=instead)
    if code == ILLEGAL_ADDRESS:
        return Message("exception-address", function=function, instead=instead)
    if code == ILLEGAL_VALUE:
        return Message("exception-count", function=function, instead=instead)
    if code == DEVICE_FAILURE:
        return Message("exception-failure", function=function, instead=instead)
    return Message("exception-other", exception=format(code, "02X"))
