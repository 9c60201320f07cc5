"""Splitter of HJ 212: whole packets out of a stream of bytes, in bounded memory. Pure.

A packet ends where its length says so, never at a CR LF: its content may hold one, and the last one may be lacking.
Where no packet ends there, it is damaged, and the ``##`` with four digits behind the next CR LF is tried. However the
stream is cut, the result is the same.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from gateway.fieldbus.hj212.packets import check_value

HEAD, CRC = 6, 4
"""Bytes before the data segment (``##`` and its length), and of the check value behind it."""
LONGEST = HEAD + 9999 + CRC + 2
"""Bytes of the longest packet that a length of four digits can announce, so of what is held at most. The standard ends
at 1024; loggers with many factors pass over that."""
KEPT = 120
"""Bytes of a damaged packet that are shown."""
_HEAD = re.compile(rb"##(\d{4})")
_MAY_BE_HEAD = re.compile(rb"#?|##\d{0,3}")
_CRC = re.compile(rb"[0-9A-Fa-f]{4}")
_AGAIN = re.compile(rb"\r\n(?=##\d{4})")
_AGAIN_BYTES = 8


class Whole(NamedTuple):
    """The data segment of a packet whose length and check value are right."""

    segment: bytes


class Damaged(NamedTuple):
    """Bytes that are no packet: ``begin`` shows the first of them.

    ``reason``: ``crc``, ``length`` (no packet ends where its length says so), ``noise`` (no packet begins there), or
    ``unended``. The figures are the packet's own and those found, where there are any: of a wrong length by the next
    CR LF.
    """

    reason: str
    begin: bytes
    length_given: int | None = None
    length_found: int | None = None
    crc_given: str | None = None
    crc_found: str | None = None


class Splitter:
    """The packets of one connection: ``feed``, then ``take`` until there is none."""

    def __init__(self) -> None:
        self._held = bytearray()
        self._lost = False
        """Between damage and the next packet: what comes is passed over."""

    @property
    def pending(self) -> bool:
        """A packet has begun and not ended, or its beginning is looked for."""
        return self._lost or bool(self._held)

    def feed(self, data: bytes) -> None:
        """Hold the next bytes of the stream."""
        self._held += data

    def give_up(self) -> Damaged | None:
        """No more of what has begun is waited for; ``take`` then goes on behind it. None: nothing had begun."""
        if self._lost:
            self.forget()
        if not self._held:
            return None
        head = _HEAD.match(self._held)
        damaged = self._damaged("unended", int(head[1]) if head else None)
        if not self._found_again():  # what comes next begins anew
            self.forget()
        return damaged

    def forget(self) -> None:
        """Nothing of what is held will ever be whole."""
        self._held.clear()
        self._lost = False

    def take(self) -> Whole | Damaged | None:
        """The next packet that is whole or known to be damaged; None: more bytes are needed."""
        held = self._held
        if self._lost and not self._found_again():
            return None
        while held.startswith((b"\r", b"\n")):
            del held[:1]
        if (head := _HEAD.match(held)) is None:
            return None if _MAY_BE_HEAD.fullmatch(held) else self._at_line_end("noise", None)
        length = int(head[1])
        end = HEAD + length
        if len(held) < end + CRC:
            return None
        segment, given = bytes(held[HEAD:end]), bytes(held[end : end + CRC])
        found = f"{check_value(segment):04X}" if _CRC.fullmatch(given) else ""
        if found.encode() == given.upper():
            del held[: end + CRC]
            return Whole(segment)
        if len(held) < end + CRC + 2:
            return None
        if not found or held[end + CRC : end + CRC + 2] != b"\r\n":
            return self._at_line_end("length", length)
        begin = bytes(held[: min(KEPT, end + CRC)])
        del held[: end + CRC + 2]
        return Damaged("crc", begin, length, length, given.decode(), found)

    def _found_again(self) -> bool:
        if (again := _AGAIN.search(self._held)) is None:
            del self._held[:-_AGAIN_BYTES]
            return False
        del self._held[: again.end()]
        self._lost = False
        return True

    def _at_line_end(self, reason: str, length: int | None) -> Damaged | None:
        """Damage, once its line has ended, as its figures are taken from that; or when it is too long for a packet."""
        ended = self._held.find(b"\r\n", 0, LONGEST) >= 0 or len(self._held) >= LONGEST
        return self._damaged(reason, length) if ended else None

    def _damaged(self, reason: str, length: int | None) -> Damaged:
        """What is held, up to its first CR LF, is no packet."""
        held = self._held
        line_end = held.find(b"\r\n", 0, LONGEST)
        begin = bytes(held[: KEPT if line_end < 0 else min(KEPT, line_end)])
        line = bytes(held[HEAD:line_end]) if line_end >= 0 and length is not None else None
        del held[: line_end if line_end >= 0 else LONGEST - 1]
        self._lost = True
        if line is None:
            return Damaged(reason, begin, length)
        if _CRC.fullmatch(line[-CRC:]) is None:
            return Damaged(reason, begin, length, len(line))
        segment = line[:-CRC]
        return Damaged(reason, begin, length, len(segment), line[-CRC:].decode(), f"{check_value(segment):04X}")
