"""The short form of the fieldbus-truth experiment; the benchmark of that name runs it at length."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateway.clock import Clock
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.specs import BlockAnswer, Poll
from tests.gateway.fieldbus.truth import Book, profile, run

LINES, POLLS, TIMEOUT_MS, PERIOD_MS = 4, 300, 20, 50
SLOWER = 1, 3, 10
"""How many times as long all times are: more than once where a busy machine is slower than the lines."""


async def lines(folder: Path, factor: int, *, armed: bool) -> Book:
    times = {"timeout_ms": factor * TIMEOUT_MS, "period_ms": factor * PERIOD_MS}
    books = await asyncio.gather(*(run(folder, POLLS, seed=seed, armed=armed, **times) for seed in range(LINES)))
    total = Book(0.0)
    for book in books:
        total.polls += book.polls
        total.timeouts += book.timeouts
        total.values += book.values
        total.wrong += book.wrong
        total.offered += book.offered
    return total


def test_no_value_is_booked_to_the_wrong_question_and_few_good_ones_are_lost(tmp_path: Path) -> None:
    book = Book(0.0)
    for factor in SLOWER:
        book = asyncio.run(lines(tmp_path, factor, armed=True))
        assert book.polls >= LINES * POLLS
        assert book.wrong == 0
        if book.timeouts > 20 and book.values >= 0.7 * book.offered:
            break
    assert book.timeouts > 20
    assert book.values / book.offered >= 0.7


def test_with_the_guard_off_the_same_lines_are_wrong(tmp_path: Path) -> None:
    assert any(asyncio.run(lines(tmp_path, factor, armed=False)).wrong for factor in SLOWER)


def test_an_answer_to_a_question_that_no_device_has_heard_yet_is_wrong() -> None:
    """Without the guard that happens: the older answer is taken before the question has arrived."""
    clock, book, points = Clock(), Book(0.02), profile(1).select()
    block = RegisterBlock(3, 1000, 4, points, (0, 1, 2, 3))
    book.judge(3, Poll("u3", 0, (BlockAnswer(block, (1, 2, 3, 4), clock.now_ms() + 60_000),)), clock)
    assert book.values == book.wrong == 4
