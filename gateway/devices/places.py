"""Places of points: where a value stands in what a device says, and the form that it has there. One kind a protocol.

What asks about a point of any protocol (counters, metrics, plans) asks its place: ``form``, ``signed``, ``room``,
``words``, ``exponent``, ``last_place``, and for people ``where`` and ``type``. Pure.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import Decimal
from functools import lru_cache
from typing import ClassVar, Literal

from ledger_client.formats.senml import Number

REGISTERS = {
    "uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "uint64": 4, "int64": 4, "float32": 2, "float64": 4,
    "uint48": 3, "int48": 3, "bcd16": 1, "bcd32": 2, "bcd48": 3, "bcd64": 4,
    "bits16": 1, "bits32": 2, "enum16": 1, "enum32": 2, "acc32": 2, "acc64": 4, "sunssf": 1, "bit": 1,
}  # fmt: skip
"""Registers that a value of each type fills; a ``bit`` (fc 1 and 2) fills one bit, a ``string`` what its point says."""
TYPES = (*REGISTERS, "string")
SUM = "sum"
"""The type of a point that is a sum: its registers are those of its parts and all between them."""

Form = Literal["whole", "real", "text", "switch", "flags", "code", "exponent"]
"""What a value is before it is scaled: a whole number, any number, a text, on or off, bits that each mean something,
the number of a state, a SunSpec exponent."""
_FORMS: tuple[tuple[str, Form], ...] = (
    ("float", "real"), (SUM, "real"), ("string", "text"), ("bits", "flags"), ("bit", "switch"), ("enum", "code"),
    ("sunssf", "exponent"),
)  # fmt: skip
_FORM: dict[str, Form] = {
    type_: next((form for start, form in _FORMS if type_.startswith(start)), "whole") for type_ in (*TYPES, SUM)
}
_SIGNED = ("int16", "int32", "int48", "int64", "sunssf")


@dataclass(frozen=True, slots=True)
class Registers:
    """Registers of a Modbus or SunSpec device: ``registers`` of them from ``address``, read as ``type``.

    ``address`` counts from 0 as on the wire; in a SunSpec profile it is the offset from the ID register of ``model``.
    For fc 1 and 2 addresses and ``registers`` count bits. ``bits``: the first and the last bit of those that count.
    ``chars``: which bytes of a register are characters of a text.
    """

    fc: int
    address: int
    type: str
    registers: int
    word_order: str = "big"
    byte_order: str = "big"
    bits: tuple[int, int] | None = None
    chars: str = "two"
    model: int | None = None

    @property
    def end(self) -> int:
        """First address behind it."""
        return self.address + self.registers

    @property
    def where(self) -> str:
        """The place in signs that every language has."""
        return f"fc {self.fc}, {self.address} (0x{self.address:04X})"

    @property
    def form(self) -> Form:
        """What the registers say."""
        return _FORM.get(self.type, "whole")

    @property
    def signed(self) -> bool:
        """It may be below 0."""
        return self.type in _SIGNED and not self.bits

    @property
    def words(self) -> int:
        """How many words the device may renew one after the other: between two of them a value can be torn."""
        return self.registers

    @property
    def room(self) -> int | None:
        """How many numbers an unsigned place has before it starts again at 0; None: not known, or signed."""
        if self.bits:
            return 1 << self.bits[1] - self.bits[0] + 1
        if self.type.startswith("bcd"):
            return int(10 ** (4 * self.registers))
        return 1 << 16 * self.registers if self.type.startswith(("uint", "acc")) else None

    @property
    def exponent(self) -> int:
        """The power of ten of its last digit."""
        return 0

    def last_place(self, value: Number) -> float:
        """What one step of the raw number is worth, seen from the value: of an IEEE number the gap to the next one."""
        if isinstance(value, float):
            return math.ldexp(1.0, math.frexp(value)[1] - (24 if self.registers == 2 else 53))
        return last_digit(value)


_FORMAT = re.compile(
    r"(?P<before>(?:--)*)"
    r"(?:(?P<digits>X+(?:\.X+)?)|(?P<number>N+)|(?P<clock>(?:YY|MM|DD|WW|hh|mm|ss)+)|(?P<bits>(?:HH)+)|(?P<chars>A+))"
    r"(?P<after>(?:--)*)"
)


@dataclass(frozen=True, slots=True)
class Identifier:
    """A value of DL/T 645: behind the data identifier ``di`` (8 hexadecimal digits, DI3 first), in ``format``.

    ``part``: the place among the values of a block identifier, from 1; 0: the identifier holds this value alone.
    ``format`` has a sign for each digit, the highest first: ``XXXXXX.XX`` a number, ``NNNNNNNNNNNN`` digits that are a
    name, ``YYMMDDWW`` or ``hhmmss`` a clock, ``HHHH`` bits; and ``A`` for each character of a text. ``--`` is a byte of
    something else, before or behind: ``XX.XXXX----------`` is a demand without its time.
    """

    di: str
    format: str
    part: int = 0
    signed: bool = False
    words: ClassVar[int] = 1

    @property
    def where(self) -> str:
        """The place in signs that every language has."""
        return f"{self.di}/{self.part}" if self.part else self.di

    @property
    def type(self) -> str:
        """How it is written there."""
        return self.format

    @property
    def form(self) -> Form:
        """What its bytes say."""
        found = _written(self.format)
        return "whole" if found["digits"] else "flags" if found["bits"] else "text"

    @property
    def is_ascii(self) -> bool:
        """Its bytes are characters."""
        return bool(_written(self.format)["chars"])

    @property
    def field(self) -> tuple[int, int]:
        """Its first byte of an item, and the first one behind it; the lowest comes first."""
        found = _written(self.format)
        digits = "".join(found[key] for key in ("digits", "number", "clock", "bits")).replace(".", "")
        first = len(found["before"]) // 2
        return first, first + len(found["chars"]) + (len(digits) + 1) // 2

    @property
    def size(self) -> int:
        """Bytes of one item."""
        return self.field[1] + len(_written(self.format)["after"]) // 2

    @property
    def room(self) -> int | None:
        """How many numbers its digits have; None where the first bit is the sign."""
        return None if self.signed else int(10 ** self.format.count("X"))

    @property
    def exponent(self) -> int:
        """The power of ten of its last digit."""
        return -len(_written(self.format)["digits"].partition(".")[2])

    def last_place(self, value: Number) -> float:
        """What its last digit is worth."""
        return last_digit(value)


def is_format(text: str) -> bool:
    """Whether it is the format of an ``Identifier``."""
    return _FORMAT.fullmatch(text) is not None


@lru_cache(256)
def _written(text: str) -> dict[str, str]:
    found = _FORMAT.fullmatch(text)
    assert found, f"{text} is no format"
    return {key: part or "" for key, part in found.groupdict().items()}


@dataclass(frozen=True, slots=True)
class Factor:
    """A value of an HJ 212 message: the factor's ``code``, such as ``a21026``, and ``suffix``, such as ``Rtd``; ""
    for an item that stands alone, such as DataTime. Capitals of a factor's code mean nothing."""

    code: str
    suffix: str = ""

    type: ClassVar[str] = "text"
    form: ClassVar[Form] = "real"
    signed: ClassVar[bool] = True
    words: ClassVar[int] = 1
    room: ClassVar[int | None] = None
    exponent: ClassVar[int] = 0

    @property
    def where(self) -> str:
        """Its name in a message."""
        return f"{self.factor}-{self.suffix}" if self.suffix else self.code

    @property
    def factor(self) -> str:
        """The code in small letters, as messages are read."""
        return self.code.lower()

    def last_place(self, value: Number) -> float:
        """What its last digit is worth."""
        return last_digit(value)


@dataclass(frozen=True, slots=True)
class Obis:
    """A value of a P1 message by its OBIS code (IEC 62056-61), such as ``1-0:1.8.1``; of a meter that another passes on
    with ``n`` for its channel, such as ``0-n:24.2.1``. ``group``: which of the values in brackets behind the code, from
    1; 0: the last, or only one."""

    code: str
    group: int = 0

    type: ClassVar[str] = "text"
    form: ClassVar[Form] = "real"
    signed: ClassVar[bool] = True
    words: ClassVar[int] = 1
    room: ClassVar[int | None] = None
    exponent: ClassVar[int] = 0

    @property
    def where(self) -> str:
        """Its name in a message."""
        return f"{self.code}/{self.group}" if self.group else self.code

    def last_place(self, value: Number) -> float:
        """What its last digit is worth."""
        return last_digit(value)


Place = Registers | Identifier | Factor | Obis


def last_digit(value: Number) -> float:
    """What the last digit of a decimal number is worth."""
    exponent = value.as_tuple().exponent if isinstance(value, Decimal) else 0
    return 10.0**exponent if isinstance(exponent, int) else 1.0
