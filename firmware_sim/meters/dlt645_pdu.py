"""DL/T 645-2007 frames from the meter's side, and its answers as faults change them. Pure.

A PDU is the control code and the data before 33H is added. DL/T 645-2007, clauses 5 and 7.1.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

READ, READ_ADDRESS = 0x11, 0x13
NO_SUCH_DATA = 0x02
_ANSWER, _REFUSED, _MORE = 0x80, 0xC0, 0xA0
_FOLLOWING, _WRITE = 0x12, 0x14
_WAKE_UP, _START, _END = 0xFE, 0x68, 0x16
_HEAD, _AROUND, _MOST = 10, 12, 200


def frame(address: str, pdu: bytes, wake_up: int = 0) -> bytes:
    """A whole frame, with so many FE before it."""
    digits = [int(address[place : place + 2], 16) for place in range(0, 12, 2)]
    body = bytes([_START, *reversed(digits), _START, pdu[0], len(pdu) - 1])
    body += bytes((byte + 0x33) % 256 for byte in pdu[1:])
    return bytes([_WAKE_UP] * wake_up) + body + bytes([sum(body) % 256, _END])


def request_length(data: bytes | bytearray) -> int | None:
    """Length of the frame that starts ``data``, with the FE before it; None: more bytes are needed to know; 0: there is
    none."""
    begin = len(data) - len(bytes(data).lstrip(bytes([_WAKE_UP])))
    rest = data[begin:]
    if any(rest[place : place + 1] not in (b"", b"\x68") for place in (0, 7)):
        return 0
    return begin + _AROUND + rest[9] if len(rest) >= _HEAD else None


def opened(data: bytes) -> tuple[str, bytes] | None:
    """Address and PDU of a whole frame; None when its checksum or end is wrong."""
    rest = data.lstrip(bytes([_WAKE_UP]))
    if request_length(rest) != len(rest) or rest[-1] != _END or sum(rest[:-2]) % 256 != rest[-2]:
        return None
    pdu = bytes([rest[8]]) + bytes((byte - 0x33) % 256 for byte in rest[_HEAD:-2])
    return "".join(f"{byte:02X}" for byte in reversed(rest[1:7])), pdu


def means(asked: str, address: str) -> bool:
    """A request to ``asked`` is for the meter of this address; AA stands for any two digits."""
    return all(asked[place : place + 2] in ("AA", address[place : place + 2]) for place in range(0, 12, 2))


def di_of(pdu: bytes) -> str | None:
    """The data identifier that a read asks for, eight hex digits, DI3 first; None: it is no read of one."""
    if pdu[0] != READ or len(pdu) != 5:
        return None
    return "".join(f"{byte:02X}" for byte in reversed(pdu[1:]))


def carried(pdu: bytes, value: bytes, *, more: bool = False) -> bytes:
    """The PDU that answers a read. ``more``: further frames would follow."""
    return bytes([pdu[0] | (_MORE if more else _ANSWER)]) + pdu[1:5] + value


def refusal(pdu: bytes, error: int) -> bytes:
    """The PDU that refuses a request."""
    return bytes([pdu[0] | _REFUSED, error])


def carried_address(address: str) -> bytes:
    """The PDU that tells the address."""
    return bytes([READ_ADDRESS | _ANSWER]) + bytes.fromhex(address)[::-1]


def error_of(pdu: bytes) -> int | None:
    """The error byte of a refusal; None: it is none."""
    return pdu[1] if pdu[0] & _REFUSED == _REFUSED and len(pdu) == 2 else None


@dataclass(frozen=True, slots=True)
class Dlt645Answer:
    """Who answers, and the PDU. See ``answer_faults.Answer``."""

    unit: str
    pdu: bytes

    def saying(self, pdu: bytes) -> Dlt645Answer:
        """The same meter's other PDU."""
        return replace(self, pdu=pdu)

    def refused(self, request: bytes, code: int) -> Dlt645Answer:
        """The refusal of the request, with this error byte."""
        return self.saying(refusal(request, code))

    def refused_another(self, request: bytes, code: int) -> Dlt645Answer:
        """The refusal of a write, or of a read where something else was asked."""
        return self.saying(bytes([(_WRITE if request[0] == READ else READ) | _REFUSED, code]))

    def from_another(self) -> Dlt645Answer:
        """Under the next address."""
        number = int(self.unit) if self.unit.isdecimal() else 0
        return replace(self, unit=f"{(number + 1) % 10**12:012}")

    def of_another_function(self) -> Dlt645Answer:
        """As a frame that follows."""
        return self.saying(bytes([_FOLLOWING | _ANSWER]) + self.pdu[1:])

    def of_another_place(self) -> Dlt645Answer:
        """Under the next identifier."""
        if len(self.pdu) < 5:
            return self
        return self.saying(self.pdu[:1] + bytes([(self.pdu[1] + 1) % 256]) + self.pdu[2:])

    def resized(self, registers: int) -> Dlt645Answer:
        """With so many bytes of value more or fewer (two a register), in a frame that is right in itself."""
        head, value = self.pdu[:5], self.pdu[5:]
        size = min(_MOST, max(0, len(value) + 2 * registers))
        return self.saying(head + value.ljust(size, b"\0")[:size])

    def miscounted(self) -> Dlt645Answer:
        """A scenario with it is refused."""
        return self
