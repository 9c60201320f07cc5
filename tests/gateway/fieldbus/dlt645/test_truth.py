"""The short form of the dlt645-truth experiment; the benchmark of that name runs it at length."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.gateway.fieldbus.dlt645.truth import LIVES, Book, run

LINES, POLLS, TIMEOUT_MS = 4, 100, 40


async def lines(folder: Path, *, armed: bool, lives: float, first: int = 0) -> list[Book]:
    seeds = range(first, first + LINES)
    running = [run(folder, POLLS, seed=seed, armed=armed, timeout_ms=TIMEOUT_MS, lives=lives) for seed in seeds]
    return await asyncio.gather(*running)


def test_no_value_is_booked_to_the_wrong_question_and_few_good_ones_are_lost(tmp_path: Path) -> None:
    books = asyncio.run(lines(tmp_path, armed=True, lives=LIVES + 1.3))
    assert [book.made for book in books] == [POLLS] * LINES
    assert sum(book.timeouts for book in books) > LINES
    assert sum(book.wrong for book in books) == 0
    assert sum(book.taken for book in books) >= 0.7 * sum(book.offered for book in books)


def test_with_the_guard_off_and_asked_too_soon_the_same_lines_are_wrong(tmp_path: Path) -> None:
    """Sooner or later: a busy machine asks so late that few answers meet the next question."""
    runs = (asyncio.run(lines(tmp_path, armed=False, lives=1.5, first=LINES * n)) for n in range(8))
    assert any(book.wrong for books in runs for book in books)
