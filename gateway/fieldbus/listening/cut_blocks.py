"""Cut blocks: those points of a block that were heard or missed, as the same block every time.

What is prepared for a block (its decoder) is found by its key, so the same points must not be cut anew.
"""

from __future__ import annotations

from collections.abc import Callable, Set
from functools import partial

from gateway.devices.blocks import Block

MOST_CUTS = 64
"""Choices of points that are kept of one meter; whoever is heard may hold other ones each time."""


class CutBlocks:
    """The cut blocks of one meter."""

    def __init__(self) -> None:
        self._kept: dict[tuple[int, frozenset[str]], Block] = {}

    def __len__(self) -> int:
        """How many are kept."""
        return len(self._kept)

    def only(self, block: Block, names: Set[str]) -> Block:
        """The points of these names."""
        return self.kept(block.key, names, partial(block.only, names))

    def kept(self, key: int, names: Set[str], make: Callable[[], Block]) -> Block:
        """The block that was made for these before; else ``make`` makes it."""
        known = key, frozenset(names)
        if known not in self._kept:
            if len(self._kept) >= MOST_CUTS:
                self._kept.clear()
            self._kept[known] = make()
        return self._kept[known]
