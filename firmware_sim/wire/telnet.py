"""Telnet with the COM port control option, from the server's side. Pure: bytes in, data and orders out.

RFC 854 (commands), RFC 856 (binary), RFC 858 (suppress go ahead), RFC 2217 (COM-PORT-OPTION).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum

SE, SB, WILL, WONT, DO, DONT, IAC = 240, 250, 251, 252, 253, 254, 255
BINARY, SUPPRESS_GO_AHEAD, COM_PORT = 0, 3, 44
_TAKEN = (BINARY, SUPPRESS_GO_AHEAD, COM_PORT)
_LONGEST_ORDER = 256
"""A subnegotiation that is longer is no order of RFC 2217; its rest is dropped."""


class Order(IntEnum):
    """Orders of the client (RFC 2217, section 3); the server's answer to each is 100 more."""

    SIGNATURE = 0
    SET_BAUDRATE = 1
    SET_DATASIZE = 2
    SET_PARITY = 3
    SET_STOPSIZE = 4
    SET_CONTROL = 5
    NOTIFY_LINESTATE = 6
    NOTIFY_MODEMSTATE = 7
    FLOWCONTROL_SUSPEND = 8
    FLOWCONTROL_RESUME = 9
    SET_LINESTATE_MASK = 10
    SET_MODEMSTATE_MASK = 11
    PURGE_DATA = 12


@dataclass(slots=True)
class Telnet:
    """One connection. ``outgoing`` holds what the option negotiation has to say; whoever sends it clears it."""

    outgoing: bytearray = field(default_factory=bytearray)
    _command: int | None = None
    _is_escaped: bool = False
    _inner: bytearray | None = None
    _ours: set[int] = field(default_factory=set)
    _theirs: set[int] = field(default_factory=set)

    def greet(self) -> None:
        """Offer and ask for what a line needs, without waiting to be asked."""
        for option in _TAKEN:
            self._ours.add(option)
            self._theirs.add(option)
            self.outgoing += bytes([IAC, WILL, option, IAC, DO, option])

    def feed(self, received: bytes) -> Iterator[bytes | tuple[int, bytes]]:
        """Data of the line, and orders as number and value, in their order."""
        data = bytearray()
        for byte in received:
            if self._command is not None:
                self._negotiate(self._command, byte)
                self._command = None
            elif self._is_escaped:
                self._is_escaped = False
                if byte in (WILL, WONT, DO, DONT):
                    self._command = byte
                elif byte == SB:
                    self._inner = bytearray()
                elif byte == SE:
                    inner, self._inner = self._inner, None
                    if inner and inner[0] == COM_PORT and len(inner) > 1:
                        if data:
                            yield bytes(data)
                            data.clear()
                        yield inner[1], bytes(inner[2:])
                elif byte == IAC:
                    self._add(byte, data)
            elif byte == IAC:
                self._is_escaped = True
            else:
                self._add(byte, data)
        if data:
            yield bytes(data)

    def _add(self, byte: int, data: bytearray) -> None:
        if self._inner is None:
            data.append(byte)
        elif len(self._inner) < _LONGEST_ORDER:
            self._inner.append(byte)

    def _negotiate(self, command: int, option: int) -> None:
        """Answer a change of state only, so that no answer is answered (RFC 854, general considerations)."""
        held, yes, no = (self._ours, WILL, WONT) if command in (DO, DONT) else (self._theirs, DO, DONT)
        if command in (DO, WILL) and option not in held:
            taken = option in _TAKEN
            self.outgoing += bytes([IAC, yes if taken else no, option])
            if taken:
                held.add(option)
        elif command in (DONT, WONT) and option in held:
            held.discard(option)
            self.outgoing += bytes([IAC, no, option])


def escaped(data: bytes) -> bytes:
    """Data of the line as it goes through Telnet."""
    return data.replace(b"\xff", b"\xff\xff")


def answer(order: int, value: bytes) -> bytes:
    """The server's answer to an order, or its notice."""
    return bytes([IAC, SB, COM_PORT, order + 100]) + escaped(value) + bytes([IAC, SE])
