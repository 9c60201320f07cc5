"""Blocks: what a device is asked, or tells unasked, as a whole, and how its content becomes values.

Every protocol has a block and a decoder of its own; what stands above them (polls, readings, pages) knows no other.
"""

from __future__ import annotations

import itertools
from collections.abc import Container, Iterable, Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any, Protocol

from gateway.devices.points import Point, Ratio
from gateway.devices.scaling import Scales
from gateway.messages.message import Message

Raw = Sequence[int] | bytes | Mapping[str, str]
"""What an answer or a message holds: registers (functions 1 and 2: bits); the value bytes behind an identifier; or the
text at each place of a message that was pushed."""
Split = Any
"""A decoder's own form of a block's content, taken apart once."""
Content = int | float | Decimal | str | bool | None
"""What stands at a point's place; None: nothing that is a value."""

number = itertools.count(1).__next__
"""The next block's number (``Block.key``)."""


class Block(Protocol):
    """What is asked or heard as a whole. Frozen; equal blocks compare equal."""

    @property
    def key(self) -> int:
        """Its number among all blocks of this process, by which what is prepared for it is found. No two blocks bear
        one, not even equal ones."""

    @property
    def points(self) -> tuple[Point, ...]:
        """All points that it holds, in its order."""

    def only(self, wanted: Container[str]) -> Block:
        """The same, with the points of these names alone."""

    def label(self) -> Message:
        """Its name for people, such as ``function 4, registers 300 to 301``."""

    def decoder(self, factors: Mapping[str, Ratio]) -> Decoder:
        """What decodes its content. ``factors``: the meter's configured ``ct`` and ``pt``."""

    def shown(self, raw: Raw) -> dict[str, str]:
        """What stands at each point's place, by its name: words or bytes in hexadecimal, or the text."""


class Decoder(Protocol):
    """Decodes the content of one block, prepared once. Pure."""

    points: tuple[Point, ...]
    """Those that have a value, in the block's order: scale points have none of their own."""
    lines: tuple[int, ...]
    """Places among ``points`` of those that are read from an analogue signal."""

    def split(self, raw: Any) -> Split:
        """What stands at the points' places, for the methods below; empty if the content is too short."""

    def scales(self, split: Split) -> dict[tuple[int | None, str], int | Fraction]:
        """The block's scale points, those that hold a scale."""

    def values(self, split: Split, scales: Scales) -> list[Content]:
        """A value or None for each of ``points``; ``scales`` are those of the whole poll."""

    def faults(self, split: Split, scales: Scales) -> list[str]:
        """Names of the points whose signal no sound sensor sends."""

    def flags(self, split: Split) -> Sequence[int]:
        """The source's own quality bits for each of ``points``; ``()`` where it says nothing."""


def contents(read: Iterable[tuple[Block, Raw]], factors: Mapping[str, Ratio]) -> dict[str, Content]:
    """What the blocks of one poll hold, by point; scale points scale the others and are not in it.

    Args:
        read: the blocks that answered, each with what it held.
        factors: the meter's configured ``ct`` and ``pt``.
    """
    parts = [(decoder, decoder.split(raw)) for decoder, raw in ((b.decoder(factors), raw) for b, raw in read)]
    scales = {key: scale for decoder, split in parts for key, scale in decoder.scales(split).items()}
    return {
        point.name: value
        for decoder, split in parts
        for point, value in zip(decoder.points, decoder.values(split, scales), strict=True)
    }
