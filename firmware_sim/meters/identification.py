"""What a Modbus device says of itself: Read Device Identification (function 43, type 14), Report Server ID (17). Pure.

Modbus application protocol v1.1b3, clauses 6.21 and 6.13.
"""

from __future__ import annotations

from collections.abc import Mapping

from firmware_sim.meters.pdu import ILLEGAL_ADDRESS, ILLEGAL_FUNCTION, ILLEGAL_VALUE, MAX_PDU, Refused

FUNCTION, MEI_TYPE = 43, 14
SERVER_ID, RUNNING = 17, 0xFF
_LAST = {1: 0x02, 2: 0x7F, 3: 0xFF}  # basic, regular, extended: a stream of objects up to this one
_INDIVIDUAL = 4
_CONFORMITY = 0x83  # extended, as a stream and object by object


def identify(pdu: bytes, objects: Mapping[int, str]) -> bytes:
    """The answer of a device with these objects; raises ``Refused``."""
    if len(pdu) != 4 or pdu[:2] != bytes([FUNCTION, MEI_TYPE]) or not objects:
        raise Refused(ILLEGAL_FUNCTION)
    access, first = pdu[2], pdu[3]
    if access == _INDIVIDUAL:
        if first not in objects:
            raise Refused(ILLEGAL_ADDRESS)
        return _answer(access, [(first, objects[first])])
    if access not in _LAST:
        raise Refused(ILLEGAL_VALUE)
    start = first if first in objects else 0  # an object that is not there restarts the stream
    return _answer(access, [(n, text) for n, text in sorted(objects.items()) if start <= n <= _LAST[access]])


def server_id(text: str) -> bytes:
    """The answer to Report Server ID of a device that runs: a text, in the maker's own form, and the run indicator."""
    data = text.encode("ascii", "replace")[: MAX_PDU - 3] + bytes([RUNNING])
    return bytes([SERVER_ID, len(data)]) + data


def _answer(access: int, objects: list[tuple[int, str]]) -> bytes:
    """As many objects as one PDU holds, and where the next answer would go on."""
    body, count, following = b"", 0, 0
    for number, text in objects:
        data = text.encode("ascii", "replace")[: MAX_PDU - 9]
        if 7 + len(body) + 2 + len(data) > MAX_PDU:
            following = number
            break
        body += bytes([number, len(data)]) + data
        count += 1
    more = 0xFF if following else 0
    return bytes([FUNCTION, MEI_TYPE, access, _CONFORMITY, more, following, count]) + body
