"""Raw content of a meter's last poll, for comparison with its display and its manual."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.fieldbus.specs import Poll
from gateway.messages.message import Message


@dataclass(frozen=True, slots=True)
class RawPoint:
    """One point: where it stands, and what stands there."""

    name: str
    where: str
    shown: str


@dataclass(frozen=True, slots=True)
class RawBlock:
    """One read that was answered."""

    label: Message
    completed_ms: int
    points: tuple[RawPoint, ...]


def raw(poll: Poll | None) -> tuple[RawBlock, ...]:
    """The answered blocks of a poll."""
    blocks = []
    for answer in () if poll is None else poll.answers:
        shown = answer.block.shown(answer.raw)
        points = tuple(RawPoint(p.name, p.at.where, shown.get(p.name, "")) for p in answer.block.points)
        blocks.append(RawBlock(answer.block.label(), answer.completed_ms, points))
    return tuple(blocks)
