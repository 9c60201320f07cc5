"""Paging both ways shows each row once, and a moment that is jumped to lies on its page."""

from __future__ import annotations

from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from gateway.dashboard.shell.time.paging import Page, Turn, page_of


@dataclass(frozen=True, slots=True)
class Numbers:
    """A list of numbers, each of the moment of its name."""

    numbers: tuple[int, ...]

    def older(self, before: int, count: int) -> list[tuple[int, int]]:
        return [(n, n) for n in reversed(self.numbers) if n < before][:count]

    def newer(self, after: int, count: int) -> list[tuple[int, int]]:
        return [(n, n) for n in self.numbers if n > after][:count]

    def number_at(self, time_ms: int) -> int:
        return next((n for n in self.numbers if n >= time_ms), (*self.numbers, -1)[-1] + 1)


def rows(page: Page[int]) -> list[int]:
    return [number for number, _ in page.rows]


@given(st.sets(st.integers(0, 60)).map(sorted).map(tuple), st.integers(1, 7), st.integers(0, 61))
def test_every_row_is_reached_once_from_any_page(numbers: tuple[int, ...], most: int, at_ms: int) -> None:
    source = Numbers(numbers)
    begun = page_of(source, Turn(at_ms=at_ms), most)
    assert len(rows(begun)) <= most
    older, page = rows(begun), begun
    while page.older is not None:
        page = page_of(source, Turn(before=page.older), most)
        older += rows(page)
    assert older == [n for n in reversed(numbers) if not older or n <= older[0]]
    at = source.number_at(at_ms)
    if at in numbers:
        assert at in rows(begun)
    newest, page = rows(begun), begun
    while page.newer is not None:
        page = page_of(source, Turn(after=page.newer), most)
        assert not set(rows(page)) & set(newest) or page.newer is None, "only the newest page is filled up"
        newest = [n for n in rows(page) if n not in newest] + newest
    assert newest == [n for n in reversed(numbers) if not newest or n >= newest[-1]]


def test_a_page_in_front_of_the_oldest_leads_back() -> None:
    source = Numbers((5, 6))
    page = page_of(source, Turn(before=3), 2)
    assert rows(page) == []
    assert page.newer is not None
    assert rows(page_of(source, Turn(after=page.newer), 2)) == [6, 5]
