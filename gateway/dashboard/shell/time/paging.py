"""Paging through a list both ways, and to a moment of it. Pure; the list itself is a ``Source``.

What a list holds has numbers that rise with time, and a page is named by the number at its edge: what is added or
pruned meanwhile moves nothing from one page to another.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Generic, Protocol, TypeVar

T = TypeVar("T", covariant=True)
U = TypeVar("U")
V = TypeVar("V")
_END: Final = 1 << 62


class Source(Protocol[T]):
    """A list whose rows have numbers."""

    def older(self, before: int, count: int) -> Sequence[tuple[int, T]]:
        """Up to ``count`` in front of a number, newest first."""

    def newer(self, after: int, count: int) -> Sequence[tuple[int, T]]:
        """Up to ``count`` behind a number, oldest first."""

    def number_at(self, time_ms: int) -> int:
        """The first number that is not of before a moment, or one behind the last."""


@dataclass(frozen=True, slots=True)
class Turn:
    """Which page: the one in front of a number, behind one, around a moment, or (all None) the newest."""

    before: int | None = None
    after: int | None = None
    at_ms: int | None = None

    @classmethod
    def of(cls, query: Mapping[str, str], at_ms: int | None) -> Turn:
        """The page that an address asks for; a number that is none is not there."""
        return cls(number_of(query.get("before")), number_of(query.get("after")), at_ms)


@dataclass(frozen=True, slots=True)
class Page(Generic[U]):
    """Rows with their numbers, newest first. ``older``: the number in front of which the list goes on, ``newer``: the
    one behind which it does; None: it ends here."""

    rows: tuple[tuple[int, U], ...]
    older: int | None
    newer: int | None

    def map(self, made: Callable[[int, U], V]) -> Page[V]:
        """The same page of what is made of its rows."""
        return Page(tuple((number, made(number, row)) for number, row in self.rows), self.older, self.newer)


def page_of(source: Source[U], turn: Turn, most: int) -> Page[U]:
    """A page of up to ``most`` rows; around a moment half of them are older."""
    if turn.at_ms is not None:
        at = source.number_at(turn.at_ms)
        half = (most + 1) // 2
        return _page([*source.newer(at - 1, half + 1)], [*source.older(at, most + 1)], half, most)
    if turn.after is not None and len(newer := source.newer(turn.after, most + 1)) > most:
        return _page([*newer], [*source.older(turn.after + 1, 1)], most, most)
    before = _END if turn.after is not None or turn.before is None else turn.before
    return _page([*source.newer(before - 1, 1)], [*source.older(before, most + 1)], 0, most)


def _page(newer: list[tuple[int, U]], older: list[tuple[int, U]], of_newer: int, most: int) -> Page[U]:
    """The first ``of_newer`` of what is newer, the rest of what is older; a list that goes on has one row more."""
    kept = newer[:of_newer]
    rows = [*reversed(kept), *older[: most - len(kept)]]
    more_newer, more_older = len(newer) > len(kept), len(older) > most - len(kept)
    top = rows[0][0] if rows else newer[0][0] - 1 if newer else 0
    return Page(tuple(rows), rows[-1][0] if rows and more_older else None, top if more_newer else None)


def number_of(text: str | None) -> int | None:
    """A number that came with an address; None where it is none."""
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 16 else None
