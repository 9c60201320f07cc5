"""The short form of the fieldbus-truth experiment; the benchmark of that name runs it at length."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.gateway.fieldbus.truth import Book, run

LINES, POLLS = 4, 300


async def lines(folder: Path, armed: bool) -> Book:
    books = await asyncio.gather(*(run(folder, POLLS, seed=seed, armed=armed) for seed in range(LINES)))
    total = Book(0.0)
    for book in books:
        total.polls += book.polls
        total.timeouts += book.timeouts
        total.values += book.values
        total.wrong += book.wrong
        total.offered += book.offered
    return total


def test_no_value_is_booked_to_the_wrong_question_and_few_good_ones_are_lost(tmp_path: Path) -> None:
    book = asyncio.run(lines(tmp_path, armed=True))
    assert book.polls >= LINES * POLLS
    assert book.timeouts > 20
    assert book.wrong == 0
    assert book.values / book.offered >= 0.7


def test_with_the_guard_off_the_same_lines_are_wrong(tmp_path: Path) -> None:
    book = asyncio.run(lines(tmp_path, armed=False))
    assert book.wrong > 0
