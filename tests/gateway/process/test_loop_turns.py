"""Threads that work between two turns of the event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

from gateway.process.loop_turns import between_turns, watched_loop


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


def test_turns_without_an_end_hold_up_no_thread_for_ever() -> None:
    async def turn() -> bool:
        return asked().wait(60.0)

    with asyncio.Runner(loop_factory=watched_loop) as runner:
        assert runner.run(turn())


def test_without_a_watched_loop_nobody_waits() -> None:
    async def turn() -> bool:
        return asked(lambda: between_turns(most_s=3600.0)).wait(60.0)

    assert asyncio.run(turn())
