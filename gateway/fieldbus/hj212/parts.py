"""Parts of split messages: whose they are, and which points none of them holds once all were heard. Pure.

Each part is recorded by itself, as a logger may wait for its answer before it sends the next one.
"""

from __future__ import annotations

from collections import OrderedDict

SPLIT_AT_ONCE = 4
"""Split messages of one station and command that are kept apart at a time; the oldest is forgotten."""


class _Split:
    def __init__(self) -> None:
        self.heard, self.held = set[int](), set[str]()
        self.completing: int | None = None


class Parts:
    """The split messages of one kind of data of one station."""

    def __init__(self) -> None:
        self._splits: OrderedDict[tuple[str, int], _Split] = OrderedDict()

    def label(self, label: str, part: int, parts: int) -> str:
        """The time that the message of a part bears. A part without one has that of the newest message of as many
        parts, as some loggers say it in the first part only."""
        if label or part == 1:
            return label
        return next((known for known, of in reversed(self._splits) if of == parts), "")

    def missing(
        self, label: str, part: int, parts: int, held: frozenset[str], points: frozenset[str]
    ) -> frozenset[str]:
        """The points that no part of the message holds, where this part is the one that makes it complete (the same
        again at its repetition); else none.

        Args:
            label: the time that the message bears, by which its parts belong together.
            held: those of ``points`` that this part holds.
        """
        if parts == 1:
            return points - held
        split = self._splits.setdefault((label, parts), _Split())
        self._splits.move_to_end((label, parts))
        if len(self._splits) > SPLIT_AT_ONCE:
            self._splits.popitem(last=False)
        split.heard.add(part)
        split.held |= held
        if split.completing is None and len(split.heard) == parts:
            split.completing = part
        return points - split.held if split.completing == part else frozenset()
