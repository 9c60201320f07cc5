"""HJ 212-2017 packets as a data logger writes and reads them: annex A for the check value, chapter 6 for the fields.

This shares nothing with the gateway's codec, so that a mistake does not cancel itself out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

HEAD_BYTES, CRC_BYTES, END = 6, 4, b"\r\n"
MOST_SEGMENT_BYTES = 1024
MOST_CP_BYTES = 950
"""Of the content between ``CP=&&`` and ``&&``; more is split (chapter 6)."""
WANTS_ANSWER, HAS_PARTS, VERSION_2017 = 1, 2, 4
"""Bits of Flag."""


class Damaged(ValueError):
    """Not a packet: its length or its check value does not fit."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet's fields as texts, in the order of the standard; None where it does not have them."""

    qn: str | None
    st: str
    cn: str
    pw: str
    mn: str
    flag: int | None
    cp: str = ""
    pnum: int | None = None
    pno: int | None = None

    def segment(self) -> bytes:
        """The data segment."""
        named = {
            "QN": self.qn, "ST": self.st, "CN": self.cn, "PW": self.pw, "MN": self.mn, "Flag": self.flag,
            "PNUM": self.pnum, "PNO": self.pno,
        }  # fmt: skip
        head = "".join(f"{name}={value};" for name, value in named.items() if value is not None)
        return f"{head}CP=&&{self.cp}&&".encode()

    def frame(self) -> bytes:
        """The whole packet with CR LF."""
        segment = self.segment()
        return b"##%04d%s%04X" % (len(segment), segment, crc(segment)) + END

    def values(self) -> dict[str, str]:
        """The content by place: ``{"DataTime": …, "a21026-Rtd": …}``."""
        pairs = (pair.partition("=") for item in self.cp.split(";") for pair in item.split(","))
        return {place: text for place, equals, text in pairs if equals}


def crc(segment: bytes) -> int:
    """The check value of annex A: the old low byte is thrown away, so that it is not the one of Modbus."""
    register = 0xFFFF
    for byte in segment:
        register = (register >> 8) ^ byte
        for _ in range(8):
            register = (register >> 1) ^ (0xA001 if register & 1 else 0)
    return register


def read(frame: bytes) -> Packet:
    """The packet of a frame, with or without CR LF. Raises ``Damaged``."""
    body = frame.removesuffix(END)
    if body[:2] != b"##" or not body[2:HEAD_BYTES].isdigit():
        raise Damaged("no ## with four digits")
    segment, given = body[HEAD_BYTES:-CRC_BYTES], body[-CRC_BYTES:]
    if int(body[2:HEAD_BYTES]) != len(segment):
        raise Damaged(f"length {body[2:HEAD_BYTES].decode()} for {len(segment)} bytes")
    if given.upper() != b"%04X" % crc(segment):
        raise Damaged(f"check value {given!r} for {crc(segment):04X}")
    head, opening, rest = segment.decode(errors="replace").partition("CP=&&")
    if not opening or not rest.endswith("&&"):
        raise Damaged("no CP=&&…&&")
    return _packet(dict(_pairs(head)), rest[:-2])


def _pairs(head: str) -> Iterator[tuple[str, str]]:
    for field in head.split(";"):
        name, equals, value = field.partition("=")
        if equals:
            yield name, value


def _packet(fields: Mapping[str, str], cp: str) -> Packet:
    def number(name: str) -> int | None:
        text = fields.get(name)
        return int(text) if text and text.isdecimal() else None

    st, cn, pw, mn = (fields.get(name, "") for name in ("ST", "CN", "PW", "MN"))
    return Packet(fields.get("QN"), st, cn, pw, mn, number("Flag"), cp, number("PNUM"), number("PNO"))


class Inbox:
    """Bytes of one connection → packets; what is damaged is passed over."""

    def __init__(self) -> None:
        self._held = b""

    def feed(self, data: bytes) -> list[Packet]:
        """The packets that are whole now."""
        self._held += data
        packets = []
        while END in self._held:
            line, _, self._held = self._held.partition(END)
            try:
                packets.append(read(line[max(0, line.rfind(b"##")) :]))
            except Damaged:
                continue
        return packets


def split(items: list[str], most_bytes: int) -> list[list[str]]:
    """Items of a content, in their order, in parts of at most so many bytes; one that is longer stands alone."""
    parts: list[list[str]] = []
    size = 0
    for item in items:
        more = len(item.encode()) + 1
        if not parts or size + more > most_bytes:
            parts.append([])
            size = 0
        parts[-1].append(item)
        size += more
    return parts
