r"""Splitter of P1: whole telegrams out of a stream of bytes, in bounded memory. Pure.

    /ISk5\2MT382-1000 CR LF CR LF … !6EEE CR LF

A telegram begins with ``/`` and three letters, and ends with the line that begins with ``!``. Where another begins
before it has ended, it is damaged: no value may hold a ``/``. However the stream is cut, the result is the same.

A line of 7 data bits and even parity is read as one of 8 data bits, so the parity is here: where a telegram bears it,
every byte must fit. Source: DSMR P1 companion standard; IEC 62056-21, 6.2 for the form.
"""

from __future__ import annotations

import re
from typing import NamedTuple

LONGEST = 8192
"""Bytes of a telegram at most; the longest text message that a meter may show fills some 2 KB."""
_BEGIN = re.compile(rb"/[A-Za-z]{3}")
_BEGIN_BYTES = 4
_END = re.compile(rb"(?<=\n)!([^\r\n/]{0,8})\r\n")
_CHECK = re.compile(rb"[0-9A-Fa-f]{1,4}")
_SEVEN_BITS = bytes(byte & 0x7F for byte in range(256))
_ODD = bytes(byte for byte in range(256) if byte.bit_count() % 2)


def _shifted(register: int) -> int:
    for _ in range(8):
        register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register


_SHIFTED = tuple(map(_shifted, range(256)))


def check_value(telegram: bytes) -> int:
    """CRC-16/ARC of what stands from ``/`` to ``!``, both included."""
    register = 0
    for byte in telegram:
        register = register >> 8 ^ _SHIFTED[(register ^ byte) & 0xFF]
    return register


class Whole(NamedTuple):
    """A telegram up to its ``!``. ``checked``: it bears a check value, which is right."""

    text: bytes
    checked: bool


class Damaged(NamedTuple):
    """A telegram that is none: ``crc``, ``parity``, ``end`` (what stands behind ``!`` is no check value), ``unended``
    or ``length``."""

    reason: str


class Splitter:
    """The telegrams of one port: ``feed``, then ``take`` until there is none. ``skipped`` counts bytes that are part of
    no telegram."""

    def __init__(self) -> None:
        self._raw, self._text = bytearray(), bytearray()
        self._begun = False
        self.skipped = 0

    @property
    def pending(self) -> bool:
        """A telegram has begun and not ended."""
        return self._begun

    def feed(self, data: bytes) -> None:
        """Hold the next bytes of the stream."""
        self._raw += data
        self._text += data.translate(_SEVEN_BITS)

    def give_up(self) -> Damaged | None:
        """No more of what has begun is waited for; None: nothing had begun."""
        begun = self._begun
        self._drop(len(self._raw))
        return Damaged("unended") if begun else None

    def take(self) -> Whole | Damaged | None:
        """The next telegram that is whole or known to be damaged; None: more bytes are needed."""
        if not self._begun and not self._found():
            return None
        end = _END.search(self._text, 0, LONGEST)
        again = _BEGIN.search(self._text, _BEGIN_BYTES, LONGEST if end is None else end.start())
        if again is not None:
            self._drop(again.start())
            return Damaged("unended")
        if end is None:
            if len(self._text) < LONGEST:
                return None
            self._drop(_BEGIN_BYTES)
            return Damaged("length")
        raw, text = bytes(self._raw[: end.end()]), bytes(self._text[: end.start() + 1])
        given = bytes(end[1])  # before the buffer moves
        self._drop(end.end(), skipped=False)
        if raw.translate(None, _ODD) != raw and not raw.isascii():
            return Damaged("parity")
        if not given:
            return Whole(text, checked=False)
        if not _CHECK.fullmatch(given):
            return Damaged("end")
        return Whole(text, checked=True) if int(given, 16) == check_value(text) else Damaged("crc")

    def _found(self) -> bool:
        """Skip what stands before the next telegram."""
        begin = _BEGIN.search(self._text)
        if begin is None:
            self._drop(max(0, len(self._text) - _BEGIN_BYTES + 1))
            return False
        self._drop(begin.start())
        self._begun = True
        return True

    def _drop(self, size: int, *, skipped: bool = True) -> None:
        self.skipped += size if skipped else 0
        del self._raw[:size], self._text[:size]
        self._begun = False
