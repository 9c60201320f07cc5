"""Threads that work between two turns of the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from gateway.process.loop_turns import between_turns, unhurried, watched_loop


def asked(within: Callable[[], None] = between_turns) -> threading.Event:
    """A thread that asks; the event is set when it has its answer."""
    answered = threading.Event()

    def ask() -> None:
        within()
        answered.set()

    threading.Thread(target=ask, daemon=True).start()
    return answered


def test_a_thread_waits_for_the_end_of_a_turn() -> None:
    async def turn() -> tuple[bool, bool]:
        answered = asked(lambda: between_turns(most_s=60.0))
        early = answered.wait(0.03)  # the turn goes on
        return early, await asyncio.to_thread(answered.wait, 30.0)

    with asyncio.Runner(loop_factory=watched_loop) as runner:
        assert runner.run(turn()) == (False, True)


def test_a_turn_goes_on_while_the_loop_has_something_to_do_at_once() -> None:
    async def turns() -> tuple[bool, bool]:
        answered = asked(lambda: between_turns(most_s=60.0))
        for _ in range(5_000):
            await asyncio.sleep(0)
        return answered.is_set(), await asyncio.to_thread(answered.wait, 30.0)

    with asyncio.Runner(loop_factory=watched_loop) as runner:
        assert runner.run(turns()) == (False, True)


def test_items_are_taken_one_by_one_between_turns() -> None:
    taken = list[int]()

    def take() -> None:
        for item in unhurried(iter(range(3))):
            taken.append(item)

    async def turn() -> list[int]:
        ended = asked(take)
        early = list(taken) if not ended.wait(0.01) else [-1]
        await asyncio.to_thread(ended.wait, 30.0)
        return [*early, *taken]

    with asyncio.Runner(loop_factory=watched_loop) as runner:
        assert runner.run(turn()) == [0, 1, 2]


def test_turns_without_an_end_hold_up_no_thread_for_ever() -> None:
    async def turn() -> bool:
        return asked().wait(60.0)

    with asyncio.Runner(loop_factory=watched_loop) as runner:
        assert runner.run(turn())


def test_without_a_watched_loop_nobody_waits() -> None:
    async def turn() -> bool:
        return asked(lambda: between_turns(most_s=3600.0)).wait(60.0)

    assert asyncio.run(turn())
