"""Progress of a feed: which recorded readings its broker has acknowledged. Event loop only.

In step: everything that becomes durable is sent live, and the mark follows the acknowledgements. Behind: only each
meter's newest is sent; what became durable up to ``tip`` is then a gap, but for the readings of ``published``.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field


@dataclass(slots=True)
class Gap:
    """All behind the record ``mark`` (None: behind the cursor) up to ``tip``, without the records of ``published``."""

    mark: str | None = None
    tip: str | None = None
    published: set[str] = field(default_factory=set)


class Progress:
    """For one feed, in the event loop. Records are named by their ids."""

    def __init__(self) -> None:
        self._order: deque[str] = deque()
        self._acknowledged: set[str] = set()
        self._last: str | None = None
        self._in_step = False
        self.mark: str | None = None
        """Everything up to this record has been published since the last gap."""
        self.gap: Gap | None = None
        """What is still to be written down of the last outage."""

    def heard(self, record: str) -> None:
        """A reading has become durable."""
        self._last = record
        if self._in_step:
            self._order.append(record)

    def acknowledged(self, record: str) -> None:
        """The broker has acknowledged a reading that was heard in step."""
        self._acknowledged.add(record)
        self._advance()

    def _advance(self) -> None:
        while self.gap is None and self._order and self._order[0] in self._acknowledged:
            self.mark = self._order.popleft()
            self._acknowledged.discard(self.mark)

    def fall_behind(self) -> None:
        """Take note that readings drop out from now on."""
        if self.gap is not None:
            self.mark = self.gap.mark
            self._acknowledged |= self.gap.published
        self._in_step, self.gap = False, None
        self._order.clear()

    def catch_up(self) -> Gap:
        """Take note that everything is sent from now on. Returns the gap of what came before, which is to be written
        down."""
        self.fall_behind()
        gap = self.gap = Gap(self.mark, self._last, self._acknowledged)
        self._acknowledged, self._in_step, self.mark = set(), True, None
        return gap

    def written(self, gap: Gap) -> None:
        """A gap has been written down."""
        if self.gap is gap:
            self.gap = None
            self._advance()
