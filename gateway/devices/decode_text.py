"""Message blocks: the texts of a message that a device sends unasked → values, as exactly as the text says them. Pure.

An HJ 212 value bears a flag of its own (``a21026-Flag=N``); it becomes quality bits, and one that is missing or unknown
makes its value bad, never good. Packets of 2005 need not bear flags: where such a packet has none at all, nothing is
known of its values, and they are uncertain. Source: HJ 212-2017, table 8 (flags).

A P1 value bears its unit (``001581.123*kWh``). One in a unit that differs from the point's by a power of ten, such as
``001581123*Wh``, is the same value: its decimal point is moved. One of any other unit is none. Those of a telegram
without a check value are uncertain.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from gateway.devices.blocks import Content, Raw, number
from gateway.devices.places import Factor, Obis
from gateway.devices.points import UNRECORDED, Point, Ratio
from gateway.devices.scaling import EXACT, Scales, Scaling
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality

SOURCE_FLAGS: dict[str, Quality] = {
    "N": Quality(0), "F": Quality.STOPPED, "M": Quality.MAINTENANCE, "S": Quality.MANUAL, "D": Quality.DEVICE_FAULT,
    "T": Quality.RANGE_HIGH, "C": Quality.CALIBRATING, "B": Quality.COMM_FAIL,
}  # fmt: skip
"""Flags of HJ 212: normal, out of operation, maintenance, set by hand, instrument fault, above the range, calibration,
no communication between instrument and logger."""
PACKET_FLAG = "Flag"
"""Place of the packet's own Flag, whose bits 2 to 7 are the edition of the standard (0 or no Flag: 2005)."""
UNCHECKED = "unchecked"
"""Place that a message has whose bytes no check value vouches for."""
_NUMBER = re.compile(r"[+-]?\d{1,18}(?:\.\d{1,18})?")
_BARE = ("count", "/")
"""Units that no message writes."""
_TENS = {
    f"{prefix}{written}": (base, exponent)
    for prefix, exponent in (("", 0), ("k", 3), ("M", 6), ("G", 9))
    for written, base in (
        ("W", "W"), ("Wh", "Wh"), ("VA", "VA"), ("VAh", "VAh"), ("var", "var"), ("varh", "varh"), ("VAr", "var"),
        ("VArh", "varh"), ("V", "V"), ("A", "A"), ("J", "J"),
    )
}  # fmt: skip
"""Units of P1 that differ by a power of ten alone: of what, and which."""
_MOST_DIGITS = 18
"""Of the mantissa: 64 bits hold them."""


@dataclass(frozen=True, slots=True)
class MessageBlock:
    """The messages of one kind, such as ``CN 2051``, and the points that they can hold. A ``Block``
    (``gateway.devices.blocks``)."""

    name: str
    points: tuple[Point, ...]
    key: int = field(init=False, compare=False, repr=False, default_factory=number)

    def only(self, wanted: Container[str]) -> MessageBlock:
        """The same messages with the points of these names alone."""
        return MessageBlock(self.name, tuple(point for point in self.points if point.name in wanted))

    def label(self) -> Message:
        """Its kind, such as ``CN 2051``."""
        return Message("block-message", name=self.name)

    def decoder(self, factors: Mapping[str, Ratio]) -> TextDecoder:
        """What decodes its texts. ``factors``: the meter's configured ``ct`` and ``pt``."""
        return TextDecoder(self.points, factors)

    def shown(self, raw: Raw) -> dict[str, str]:
        """The text of each point that the message holds, by its name, with its flag."""
        if not isinstance(raw, Mapping):
            return {}
        return {p.name: _shown(p, raw) for p in self.points if p.at.where in raw}


class TextDecoder:
    """The points of one kind of message, prepared once. A ``Decoder`` (``gateway.devices.blocks``)."""

    def __init__(self, points: Sequence[Point], factors: Mapping[str, Ratio]) -> None:
        """``factors``: the meter's configured ``ct`` and ``pt``."""
        self.points = tuple(point for point in points if point.kind not in UNRECORDED)
        self.lines: tuple[int, ...] = ()
        self._forms = [(point.kind, Scaling(point, factors)) for point in self.points]
        self._flags = [_flag_place(point) for point in self.points]

    def split(self, raw: Mapping[str, str]) -> tuple[tuple[str | None, ...], tuple[int, ...]]:
        """The text of each point, None where the message has none, and the source's quality bits for each."""
        texts = tuple(_text_of(point, raw) for point in self.points)
        if UNCHECKED in raw:
            return texts, (int(Quality.IMPLAUSIBLE),) * len(texts)
        silent = not _flags_demanded(raw)
        return texts, tuple(0 if place is None else _quality(raw.get(place), silent) for place in self._flags)

    def scales(
        self, split: tuple[tuple[str | None, ...], tuple[int, ...]]
    ) -> dict[tuple[int | None, str], int | Fraction]:
        """None: no text scales others."""
        return {}

    def values(self, split: tuple[tuple[str | None, ...], tuple[int, ...]], scales: Scales) -> list[Content]:
        """A value or None for each of ``points``."""
        return [_value(kind, scaling, text) for (kind, scaling), text in zip(self._forms, split[0], strict=True)]

    def faults(self, split: tuple[tuple[str | None, ...], tuple[int, ...]], scales: Scales) -> list[str]:
        """None: there are no signal lines."""
        return []

    def flags(self, split: tuple[tuple[str | None, ...], tuple[int, ...]]) -> Sequence[int]:
        """The source's own quality bits of each point."""
        return split[1] if any(split[1]) else ()


def other_unit(point: Point, raw: Mapping[str, str]) -> str | None:
    """The unit of a P1 value that is not the point's and cannot be converted, for which it is none; ``""``: it bears
    no unit. None: its unit is right, or there is no value."""
    text = raw.get(point.at.where)
    if not text or not isinstance(point.at, Obis):
        return None
    unit = text.partition("*")[2]
    return unit if _moved(point, unit) is None else None


def _text_of(point: Point, raw: Mapping[str, str]) -> str | None:
    """What stands at a point's place, in the unit that its profile says; None: nothing, or it has another unit."""
    text = raw.get(point.at.where)
    if text is None or not isinstance(point.at, Obis):
        return text
    number, _, unit = text.partition("*")
    places = _moved(point, unit)
    if not places or not _NUMBER.fullmatch(number) or not number.isascii():
        return None if places is None else number
    return f"{EXACT.scaleb(Decimal(number), Decimal(places)):f}"


def _moved(point: Point, unit: str) -> int | None:
    """By how many places the decimal point of a value in that unit is moved; None: the unit is of something else."""
    wanted = (point.wire_unit or point.unit or "") if point.kind in ("gauge", "counter") else ""
    if unit == ("" if wanted in _BARE else wanted):
        return 0
    (base, exponent), (other, other_exponent) = _TENS.get(wanted, ("", 0)), _TENS.get(unit, (None, 0))
    return other_exponent - exponent if base == other else None


def _value(kind: str, scaling: Scaling, text: str | None) -> Content:
    if text is None:
        return None
    if kind == "text":
        return text if text and text.isprintable() else None
    if not _NUMBER.fullmatch(text) or not text.isascii():
        return None
    found = Decimal(text)
    if kind == "status":
        return int(found) if "." not in text else None
    if not found:
        found = found.copy_abs()
    if len(found.as_tuple().digits) > _MOST_DIGITS:
        return None
    return scaling.content(found if "." in text else int(found))


def _flag_place(point: Point) -> str | None:
    """Where the flag of a measured value stands; what is no measured value has none."""
    at = point.at
    return f"{at.factor}-Flag" if isinstance(at, Factor) and at.suffix and point.kind in ("gauge", "counter") else None


def _flags_demanded(raw: Mapping[str, str]) -> bool:
    """Whether every value of the message is to bear a flag: some do, or its edition is not that of 2005."""
    edition = raw.get(PACKET_FLAG, "0")
    return (edition.isdecimal() and int(edition) >> 2 > 0) or any(place.endswith("-Flag") for place in raw)


def _quality(flag: str | None, silent: bool) -> int:
    """The bits of a flag. ``silent``: the message bears none at all and need not."""
    if silent:
        return int(Quality.IMPLAUSIBLE)
    return int(SOURCE_FLAGS.get(flag or "", Quality.DECODE_ERR))


def _shown(point: Point, raw: Mapping[str, str]) -> str:
    flag = raw.get(_flag_place(point) or "")
    return raw[point.at.where] if flag is None else f"{raw[point.at.where]} {flag}"
