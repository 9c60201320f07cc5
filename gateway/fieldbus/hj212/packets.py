"""Packets of HJ 212: check value, fields of the data segment, items of its CP. Pure.

    ##0101 QN=…;ST=31;CN=2011;PW=…;MN=…;Flag=5;CP=&&DataTime=…;a21026-Rtd=1.9,a21026-Flag=N&& 1C80 CR LF

Source: HJ 212-2017, chapter 6 and annex A; HJ/T 212-2005 for packets without QN or Flag.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import NamedTuple

from gateway.fieldbus.hj212.old_codes import current
from gateway.messages.message import Message

ANSWER_WANTED, IN_PARTS = 1, 2
"""Bits 0 and 1 of Flag."""
EDITIONS = {0: 2005, 1: 2017}
"""Editions by bits 2 to 7 of Flag. 2 is that of 2025, whose values may be encrypted."""
_BEGIN, _END = b"CP=&&", b"&&"
_FORMS = {
    "QN": re.compile(r"[0-9A-Za-z]{0,24}"),
    "ST": re.compile(r"[0-9A-Za-z]{1,4}"),
    "CN": re.compile(r"[0-9]{4}"),
    "PW": re.compile(r"[!-%'-:<>-~]{0,32}"),
    "MN": re.compile(r"[!-%'-:<>-~]{1,24}"),
    "Flag": re.compile(r"[0-9]{1,3}"),
    "PNUM": re.compile(r"[0-9]{1,4}"),
    "PNO": re.compile(r"[0-9]{1,4}"),
}
"""What each field may hold; none of it could end the field in an answer that repeats it."""
_DEMANDED = ("ST", "CN", "MN")
_SEPARATED = re.compile(r"([;,])")


def _shifted(register: int) -> int:
    for _ in range(8):
        register = register >> 1 ^ (0xA001 if register & 1 else 0)
    return register


_SHIFTED = tuple(map(_shifted, range(256)))


def check_value(segment: bytes) -> int:
    """The check value of a data segment (annex A).

    Not that of Modbus: before each byte the register loses its low byte (``register >> 8 ^ byte``).
    """
    register = 0xFFFF
    for byte in segment:
        register = _SHIFTED[register >> 8 ^ byte]
    return register


def frame(segment: bytes) -> bytes:
    """A data segment as a whole packet."""
    return b"##%04d%b%04X\r\n" % (len(segment), segment, check_value(segment))


@dataclass(frozen=True, slots=True)
class Packet:
    """What a data segment says.

    ``places`` are the items of CP as texts, by names such as ``a21026-Rtd`` (codes of 2005 by those of 2017). ``part``
    of ``parts``: 1 of 1 where the message is not split. ``flag``, ``pw``, ``qn``: None where it has none. ``digest``:
    SHA-256 of what it reports, the same for a repetition, which may have another QN.
    """

    qn: str | None
    st: str
    cn: str
    pw: str | None
    mn: str
    flag: int | None
    part: int
    parts: int
    places: Mapping[str, str]
    digest: bytes

    @property
    def label(self) -> str:
        """The time that it bears, as its text has it; ``""`` where it bears none."""
        return self.places.get("DataTime", "")

    @property
    def wants_answer(self) -> bool:
        """The sender waits for an answer."""
        return bool((self.flag or 0) & ANSWER_WANTED)

    @property
    def edition(self) -> int | None:
        """The standard's edition that its Flag names (2005 without one); None: an unknown one."""
        return EDITIONS.get((self.flag or 0) >> 2)


class NotAPacket(NamedTuple):
    """A data segment that says nothing, though its check value is right: why, and the sender that it names."""

    why: Message
    mn: str | None


def parse(segment: bytes) -> Packet | NotAPacket:
    """The packet of a data segment; or why it is none."""
    head, begin, rest = segment.partition(_BEGIN)
    if not begin or not rest.endswith(_END) or head[-1:] not in (b"", b";"):
        return NotAPacket(Message("hj212-no-cp"), None)
    fields: dict[str, str] = {}
    if (why := _fields(head.decode("ascii", "backslashreplace"), fields)) is not None:
        return NotAPacket(why, fields.get("MN"))
    flag = int(fields["Flag"]) if "Flag" in fields else None
    parts, part = int(fields.get("PNUM", 1)), int(fields.get("PNO", 1))
    if parts <= 1:
        parts = part = 1
    cp = rest[: -len(_END)]
    return Packet(
        qn=fields.get("QN"),
        st=fields["ST"],
        cn=fields["CN"],
        pw=fields.get("PW"),
        mn=fields["MN"],
        flag=flag,
        part=part,
        parts=parts,
        places=_places(cp.decode("utf-8", "backslashreplace")),
        digest=sha256(f"{fields['CN']};{parts};{part};".encode() + cp).digest(),
    )


def _fields(head: str, fields: dict[str, str]) -> Message | None:
    """Read what stands before CP into ``fields``; why that is not to be understood. Unknown fields are passed over."""
    for piece in head.split(";"):
        name, _, value = (text.strip() for text in piece.partition("="))
        if (form := _FORMS.get(name)) is None:
            continue
        if name in fields:
            return Message("hj212-field-twice", field=name)
        if not form.fullmatch(value):
            return Message("hj212-field-form", field=name, value="…" if name == "PW" else value)
        fields[name] = value
    if missing := [name for name in _DEMANDED if name not in fields]:
        return Message("hj212-field-missing", field=missing[0])
    if int(fields.get("Flag", 0)) & IN_PARTS and not fields.keys() >= {"PNUM", "PNO"}:
        return Message("hj212-field-missing", field="PNUM" if "PNUM" not in fields else "PNO")
    parts = int(fields.get("PNUM", 1))
    if parts > 1 and not 1 <= int(fields.get("PNO", 0)) <= parts:
        return Message("hj212-part-form", part=fields.get("PNO", ""), parts=parts)
    return None


def _places(cp: str) -> dict[str, str]:
    """The texts of CP by their places.

    A text without ``=`` belongs to the value before it (a decimal comma is no number then), and a place that occurs
    with two values holds both: neither is taken for a number.
    """
    places: dict[str, str] = {}
    pieces = ["", *_SEPARATED.split(cp)]
    name = None
    for separator, piece in zip(pieces[::2], pieces[1::2], strict=True):
        text = piece.strip()
        if "=" in text:
            name, text = (side.strip() for side in text.split("=", 1))
            name = current(name)
            there = places.setdefault(name, text)
            if text not in there.split(" | "):
                places[name] = f"{there} | {text}"
        elif text and name is not None:
            places[name] += separator + text
        elif text:
            places.setdefault(text, "")
    return places
