"""Register block: one read of a Modbus device, its name, its registers by point, and its decoder."""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from gateway.devices.blocks import Raw, number
from gateway.devices.decode import RegisterDecoder
from gateway.devices.points import Point, Ratio
from gateway.messages.message import Message

BITS = (1, 2)
"""Functions that read single bits."""


@dataclass(frozen=True, slots=True)
class RegisterBlock:
    """One read: ``count`` registers (fc 1 and 2: bits) from ``address``, and the points in it, each at its offset. A
    ``Block`` (``gateway.devices.blocks``)."""

    fc: int
    address: int
    count: int
    points: tuple[Point, ...]
    offsets: tuple[int, ...]
    key: int = field(init=False, compare=False, repr=False, default_factory=number)

    @classmethod
    def over(cls, fc: int, address: int, count: int, points: Iterable[Point]) -> RegisterBlock:
        """A read with these points in it, each where its own address puts it."""
        held = tuple(points)
        return cls(fc, address, count, held, tuple(point.address - address for point in held))

    @property
    def byte_count(self) -> int:
        """The byte count that the answer must bear."""
        return byte_count(self.fc, self.count)

    @property
    def shape(self) -> tuple[int, int]:
        """Function and byte count: with the unit, all that tells this block's answer from another's."""
        return self.fc, self.byte_count

    def only(self, wanted: Container[str]) -> RegisterBlock:
        """The same read with the points of these names alone."""
        kept = [(p, offset) for p, offset in zip(self.points, self.offsets, strict=True) if p.name in wanted]
        if len(kept) == len(self.points):
            return self
        return RegisterBlock(self.fc, self.address, self.count, tuple(p for p, _ in kept), tuple(o for _, o in kept))

    def slices(self, registers: Sequence[int]) -> Iterator[tuple[Point, Sequence[int]]]:
        """Each point with its own registers (fc 1 and 2: bits, 0 or 1) out of the block's."""
        for point, offset in zip(self.points, self.offsets, strict=True):
            yield point, registers[offset : offset + point.registers]

    def label(self) -> Message:
        """What it asks for, such as ``function 4, registers 300 to 301``."""
        first, last = self.address, self.address + max(1, self.count) - 1
        model = self.points[0].model if self.points else None
        if model is not None and first == last:
            return Message("block-of-model-one", function=self.fc, model=model, first=first)
        if model is not None:
            return Message("block-of-model", function=self.fc, model=model, first=first, last=last)
        if first == last:
            if self.fc in BITS:
                return Message("block-one-bit", function=self.fc, first=first)
            return Message("block-one-register", function=self.fc, first=first)
        if self.fc in BITS:
            return Message("block-bits", function=self.fc, first=first, last=last)
        return Message("block-registers", function=self.fc, first=first, last=last)

    def decoder(self, factors: Mapping[str, Ratio]) -> RegisterDecoder:
        """What decodes its registers. ``factors``: the meter's configured ``ct`` and ``pt``."""
        return RegisterDecoder(tuple(zip(self.points, self.offsets, strict=True)), factors)

    def shown(self, raw: Raw) -> dict[str, str]:
        """The words of each point, by its name, in hexadecimal (fc 1 and 2: its bits)."""
        assert not isinstance(raw, Mapping)
        width = 1 if self.fc in BITS else 4
        return {point.name: " ".join(f"{word:0{width}X}" for word in words) for point, words in self.slices(raw)}


def byte_count(fc: int, count: int) -> int:
    """Data bytes of an answer with so many registers (fc 1 and 2: bits)."""
    return (count + 7) // 8 if fc in BITS else 2 * count
