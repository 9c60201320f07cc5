"""Turns of the event loop, and threads that work only between them.

All threads of a process share one interpreter. The event loop gives it away at each system call, and a turn in which a
hundred meters are due has hundreds: beside a thread that computes, each of them waits for it. So a thread whose work
can wait asks here, between two pieces of it, whether a turn is under way, and sleeps until it is over: until the loop
has nothing to do and waits itself.
"""

from __future__ import annotations

import asyncio
import selectors
import threading
import time
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Final, TypeVar

T = TypeVar("T")

MOST_S: Final = 0.05
"""Seconds that a thread waits at most: turns without a pause between them may not hold it up for ever."""

_under_way = False
_waiting: Final = deque[threading.Lock]()
"""Locked by a thread that waits, unlocked at the end of the turn."""


class _Selector(selectors.DefaultSelector):
    """Where the loop waits between two turns."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, Any]]:
        """Wait; that is the end of one turn, and the beginning of the next. Where something is to be done at once, the
        turn goes on."""
        global _under_way
        if timeout is None or timeout > 0:
            _under_way = False
            _let_go()
        try:
            return super().select(timeout)
        finally:
            _under_way = True

    def close(self) -> None:
        """The loop has ended."""
        global _under_way
        _under_way = False
        _let_go()
        super().close()


def watched_loop() -> asyncio.AbstractEventLoop:
    """A new event loop whose turns ``between_turns`` knows: the one of a process that reads meters."""
    return asyncio.SelectorEventLoop(_Selector())


def between_turns(most_s: float = MOST_S) -> None:
    """Return between two turns of the watched loop, or after ``most_s`` seconds; at once without such a loop. For other
    threads than the loop's own."""
    if _under_way:
        until_s = time.monotonic() + most_s
        while _under_way and (rest_s := until_s - time.monotonic()) > 0:
            turn = threading.Lock()
            turn.acquire()
            _waiting.append(turn)
            if _under_way:  # else the turn may have ended before this thread was seen to wait
                turn.acquire(timeout=rest_s)


def unhurried(items: Iterable[T]) -> Iterator[T]:
    """The items, each given ``between_turns``: for work that goes item by item."""
    for item in items:
        between_turns()
        yield item


def _let_go() -> None:
    while _waiting:
        _waiting.popleft().release()
