"""The short form of the dlt645-truth experiment; the benchmark of that name runs it at length."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.gateway.fieldbus.dlt645.truth import LIVES, Book, run

LINES, POLLS = 4, 100
TIMEOUTS_MS = 40, 120, 400
"""The longer ones where a busy machine is slower than the lines."""


def lines(folder: Path, timeout_ms: int, *, armed: bool, lives: float) -> list[Book]:
    async def at_once() -> list[Book]:
        runs = (run(folder, POLLS, seed=seed, armed=armed, timeout_ms=timeout_ms, lives=lives) for seed in range(LINES))
        return await asyncio.gather(*runs)

    folder.mkdir()
    return asyncio.run(at_once())


def test_no_value_is_booked_to_the_wrong_question_and_few_good_ones_are_lost(tmp_path: Path) -> None:
    taken = offered = 0
    for timeout_ms in TIMEOUTS_MS:
        books = lines(tmp_path / str(timeout_ms), timeout_ms, armed=True, lives=LIVES + 1.3)
        assert [book.made for book in books] == [POLLS] * LINES
        assert sum(book.timeouts for book in books) > LINES
        assert sum(book.wrong for book in books) == 0
        taken, offered = sum(book.taken for book in books), sum(book.offered for book in books)
        if taken >= 0.7 * offered:
            break
    assert taken >= 0.7 * offered


def test_with_the_guard_off_and_asked_too_soon_the_same_lines_are_wrong(tmp_path: Path) -> None:
    runs = (lines(tmp_path / str(ms), ms, armed=False, lives=1.5) for ms in TIMEOUTS_MS)
    assert any(book.wrong for books in runs for book in books)
