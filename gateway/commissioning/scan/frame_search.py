"""Frames in the bytes of a line that is scanned: any with a good check value, wherever it begins. Pure.

Unlike a line that is read, a scan searches inside noise: a device that it finds so is asked again before it counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from gateway.fieldbus.dlt645 import frames as dlt645
from gateway.fieldbus.modbus import frames as modbus
from gateway.fieldbus.modbus.frames import EXCEPTION

_SHORTEST = 5
"""Bytes of the shortest frame that is searched for; two bytes of check value behind one of content prove nothing."""


class Piece(NamedTuple):
    """A part of the bytes. ``protocol``: "modbus" or "dlt645" of a frame, "" of bytes that are none."""

    data: bytes
    protocol: str = ""

    @property
    def is_damage(self) -> bool:
        """It may be a frame that met another one: more than what stands before frames, or comes of a driver that is
        switched."""
        return not self.protocol and bool(self.data.strip(b"\x00\xfe\xff"))

    @property
    def unit(self) -> int:
        """Whom a Modbus frame is from or for."""
        return self.data[0]

    @property
    def function(self) -> int:
        """Of a Modbus frame, without the mark of an exception."""
        return self.data[1] & ~EXCEPTION

    @property
    def is_answer(self) -> bool:
        """A Modbus frame has the length of an answer."""
        return modbus.answer_length(self.data) == len(self.data)


def pieces(data: bytes) -> Iterator[Piece]:
    """The bytes cut into frames and what stands between them."""
    start = at = 0
    while at < len(data):
        found = _frame(data[at:])
        if found is None:
            at += 1
            continue
        if start < at:
            yield Piece(data[start:at])
        yield found
        start = at = at + len(found.data)
    if start < len(data):
        yield Piece(data[start:])


def _frame(head: bytes) -> Piece | None:
    length = dlt645.frame_length(head)
    if length and length <= len(head) and dlt645.intact(head[:length]):
        return Piece(head[:length], "dlt645")
    for length in (modbus.answer_length(head), modbus.request_length(head)):
        if length and _SHORTEST <= length <= len(head) and head[0] <= 247 and modbus.intact(head[:length]):
            return Piece(head[:length], "modbus")
    return None
