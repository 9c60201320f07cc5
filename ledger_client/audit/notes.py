"""Audit notes: what is no fault, and is to be known. No I/O.

Whoever wants one note to stay unread lets a hundred others come before it. So notes of one kind about one meter are one
line, that of the heaviest with the number of the others; the lines have an order, that of their kinds, and no line is
left out. The complete notes are in the JSON, in the same order.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum, auto
from typing import Final

from ledger_client.times import span_in_words

KEPT: Final = 100_000
"""Notes that are kept word for word; further ones are counted by their line, which has the text of the heaviest."""
LONGEST: Final = 2_000
"""Characters of a note that are kept: it may repeat a long text of an event."""


class Kind(IntEnum):
    """What a note is about, in the order of the lines: first what the meters' figures depend on."""

    CONTENTS = auto()  # what is not in a meter's readings
    ASLEEP = auto()
    SERIES = auto()  # a meter that is not polled
    BY_HAND = auto()  # an exchange that no device shows
    DEVICE = auto()  # one device at two meters
    COMMISSIONED = auto()  # a commissioning record unlike the configuration
    THINNED = auto()
    CLOCK = auto()
    LOST = auto()  # an announced loss
    OTHER = auto()
    UNCONFIRMED = auto()  # a receipt that does not count


@dataclass(slots=True)
class _Line:
    """Notes of one kind about one thing."""

    heaviest: str
    most_ms: int
    count: int = 0
    sum_ms: int = 0
    texts: list[str] = field(default_factory=list)

    def add(self, text: str, weight_ms: int, *, kept: bool) -> None:
        self.count += 1
        self.sum_ms += weight_ms
        if weight_ms > self.most_ms:
            self.heaviest, self.most_ms = text, weight_ms
        if kept:
            self.texts.append(text)

    def __str__(self) -> str:
        if self.count == 1:
            return self.heaviest
        together = f", together {span_in_words(self.sum_ms)}" if self.sum_ms else ""
        return f"{self.heaviest} ({self.count - 1} more of the kind{together}: --json)"


@dataclass(slots=True)
class Notes:
    """The notes of one audit."""

    total: int = 0
    _lines: dict[tuple[Kind, str], _Line] = field(default_factory=dict)

    def add(self, text: str, kind: Kind = Kind.OTHER, about: str = "", weight_ms: int = 0) -> None:
        """Keep a note. ``about``: the meter, or what else those of one line share; "": it has a line of its own.
        ``weight_ms``: how much time it is about, where it is about some."""
        kept, text = self.total < KEPT, text[:LONGEST]
        key = kind, about or (text if kept else "")
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line(text, weight_ms)
        line.add(text, weight_ms, kept=kept)
        self.total += 1

    def texts(self) -> list[str]:
        """All of them, by line."""
        return [text for _, line in self._ordered() for text in line.texts]

    def lines(self) -> list[str]:
        """One text for each kind and what it is about."""
        return [str(line) for _, line in self._ordered()]

    def _ordered(self) -> list[tuple[tuple[Kind, str], _Line]]:
        return sorted(self._lines.items(), key=lambda item: item[0][0])
