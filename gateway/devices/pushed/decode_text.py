"""Texts of a pushed message → values. Pure, and decoding only.

A number is what its text says: an exact decimal, with as many digits behind the point as were sent. A text that is no
number gives none, for that value alone. How good a value is, the sender says itself: HJ 212-2017, table 5 (data flags).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import NamedTuple

from gateway.devices.blocks import Content
from gateway.devices.places import Factor, Obis
from gateway.devices.points import UNRECORDED, Point
from gateway.devices.scaling import DIGITS, EXACT, Scales, shortest
from ledger_client.formats.senml import Quality

EDITION, OLD = "edition", "2005"
"""A place beside those of the message: HJ/T 212-2005, whose loggers send no data flags."""
FLAG = "Flag"
_NUMBER = re.compile(r"[+-]?([0-9]{1,18}(\.[0-9]{0,18})?|\.[0-9]{1,18})")
FLAGS: Mapping[str, int] = {
    "N": 0,
    "F": int(Quality.STOPPED),
    "M": int(Quality.MAINTENANCE),
    "S": int(Quality.MANUAL),
    "D": int(Quality.DEVICE_FAULT),
    "C": int(Quality.CALIBRATING),
    "T": int(Quality.RANGE_HIGH),
    "B": int(Quality.COMM_FAIL),
}
"""Quality by data flag. None, or another one, is DECODE_ERR: nobody has said that the value is normal."""


class Texts(NamedTuple):
    """What a message holds for each point of a decoder: its text, and the quality that its flag says."""

    texts: tuple[str | None, ...]
    flags: tuple[int, ...]


class TextDecoder:
    """The points of one kind of message. ``points`` are those that have a value; ``lines`` is empty."""

    def __init__(self, points: Sequence[Point]) -> None:
        self.points = tuple(point for point in points if point.kind not in UNRECORDED)
        self.lines: tuple[int, ...] = ()
        self._places = [place_of(point) for point in self.points]
        self._flagged = [_flag_of(point) for point in self.points]

    def split(self, raw: Mapping[str, str]) -> Texts:
        """The texts and qualities of the points."""
        unsaid = _unsaid(raw)
        flags = (0 if place is None else FLAGS.get(raw.get(place, ""), unsaid) for place in self._flagged)
        return Texts(tuple(map(raw.get, self._places)), tuple(flags))

    def scales(self, split: Texts) -> dict[tuple[int | None, str], int | Fraction]:
        """None: texts say their whole numbers."""
        return {}

    def faults(self, split: Texts, scales: Scales) -> list[str]:
        """None: no analogue signal is read."""
        return []

    def values(self, split: Texts, scales: Scales) -> list[Content]:
        """A value or None for each of ``points``."""
        return [_value(point, text) for point, text in zip(self.points, split.texts, strict=True)]

    def flags(self, split: Texts) -> Sequence[int]:
        """What the sender says of each value."""
        return split.flags


def place_of(point: Point) -> str:
    """Where a point stands in a message, such as ``a21026-Rtd``."""
    assert isinstance(point.at, Factor | Obis), f"{point.name} stands in no message"
    return point.at.where


def _flag_of(point: Point) -> str | None:
    """Where the data flag of a point stands; None: items such as DataTime have none."""
    return f"{point.at.code}-{FLAG}" if isinstance(point.at, Factor) and point.at.suffix else None


def _unsaid(raw: Mapping[str, str]) -> int:
    """Of a value without a data flag, or with an unknown one."""
    if raw.get(EDITION) == OLD and not any(place.endswith(f"-{FLAG}") for place in raw):
        return int(Quality.IMPLAUSIBLE)
    return int(Quality.DECODE_ERR)


def _value(point: Point, text: str | None) -> Content:
    if text is None:
        return None
    if point.kind == "text":
        return text if text and text.isprintable() else None
    if _NUMBER.fullmatch(text) is None:
        return None
    number = EXACT.scaleb(Decimal(text), point.scale)
    if point.factor is not None:
        return shortest(DIGITS.multiply(number, Decimal(str(point.factor))))
    if len(number.as_tuple().digits) > DIGITS.prec:
        number = DIGITS.plus(number)
    return number if number.as_tuple().exponent else int(number)
