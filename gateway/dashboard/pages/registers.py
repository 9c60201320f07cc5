"""Raw registers of a meter's last poll, for comparison with its display and its manual."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.fieldbus.specs import Poll


@dataclass(frozen=True, slots=True)
class RawPoint:
    """One point: where it stands, and its words (fc 1 and 2: its bits)."""

    name: str
    address: int
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class RawBlock:
    """One read that was answered."""

    fc: int
    address: int
    count: int
    completed_ms: int
    points: tuple[RawPoint, ...]

    @property
    def width(self) -> int:
        """Hexadecimal digits of a word."""
        return 1 if self.fc in (1, 2) else 4


def raw(poll: Poll | None) -> tuple[RawBlock, ...]:
    """The answered blocks of a poll."""
    if poll is None:
        return ()
    return tuple(
        RawBlock(
            answer.block.fc,
            answer.block.address,
            answer.block.count,
            answer.completed_ms,
            tuple(
                RawPoint(
                    point.name,
                    answer.block.address + offset,
                    tuple(words),
                )
                for (point, offset), (_, words) in zip(
                    answer.block.points, answer.block.slices(answer.raw), strict=True
                )
            ),
        )
        for answer in poll.answers
    )
