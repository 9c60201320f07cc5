"""Blocking calls, awaited: each in a daemon thread that never delays the exit of the process."""

from __future__ import annotations

import asyncio
import ctypes
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from typing import TypeVar

from gateway.process.heartbeats import beat, calling

T = TypeVar("T")


async def in_thread(function: Callable[[], T], name: str) -> T:
    """Result of a blocking call that runs in a daemon thread of the given name."""
    calling()
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # from here on the waiter may go, but the answer still has a place to go to

    def work() -> None:
        try:
            future.set_result(function())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=work, name=name, daemon=True).start()
    answer = await asyncio.wrap_future(future)
    beat()
    return answer


_M_ARENA_MAX = -8  # malloc.h, mallopt(3)


def share_heap() -> None:
    """Call it before there are threads. Where the C library knows no such thing, nothing is done."""
    with suppress(AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 1)


def trim_heap() -> None:
    """Give back to the system what the start has freed. Where the C library knows no such thing, nothing is done."""
    with suppress(AttributeError):
        ctypes.CDLL(None).malloc_trim(0)
