"""Message block: one kind of message that a device pushes, its points by their places, and its decoder."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from gateway.devices.blocks import Raw, number
from gateway.devices.points import Point, Ratio
from gateway.devices.pushed.decode_text import TextDecoder, place_of
from gateway.messages.message import Message


@dataclass(frozen=True, slots=True)
class MessageBlock:
    """One kind of message: HJ 212's data of one command (``kind`` "2011"). A ``Block``."""

    kind: str
    points: tuple[Point, ...]
    key: int = field(init=False, compare=False, repr=False, default_factory=number)

    def only(self, wanted: Container[str]) -> MessageBlock:
        """The same message with the points of these names alone."""
        kept = tuple(point for point in self.points if point.name in wanted)
        return self if len(kept) == len(self.points) else MessageBlock(self.kind, kept)

    def label(self) -> Message:
        """Its name, such as ``CN 2051``."""
        return Message("block-command", command=self.kind)

    def decoder(self, factors: Mapping[str, Ratio]) -> TextDecoder:
        """What decodes its texts; no message leaves a ratio to be configured."""
        return TextDecoder(self.points)

    def shown(self, raw: Raw) -> dict[str, str]:
        """The text of each point that the message holds, by its name."""
        assert isinstance(raw, Mapping)
        return {point.name: raw[place] for point in self.points if (place := place_of(point)) in raw}
