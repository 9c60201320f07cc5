"""Database readers: a few threads that query and render pages, each with a connection that stays open.

Nothing that blocks may run in the event loop: that one polls the meters.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Generic, TypeVar

from gateway.dashboard.shell.page import S
from gateway.errors import GatewayError, StoreError
from gateway.messages.message import Message

T = TypeVar("T")

THREADS, MOST_WAITING = 2, 64


class Busy(GatewayError):
    """More is asked than there is time for."""


def _ending() -> Busy:
    return Busy(Message("page-ending"))


class Readers(Generic[S]):
    """The threads; ``close`` ends them.

    Args:
        opened: a connection for one thread, opened in it. Raises StoreError.
        threads: how many there are.
        name: of the threads.
    """

    def __init__(self, opened: Callable[[], S], threads: int = THREADS, name: str = "pages") -> None:
        self._opened = opened
        self._waiting: queue.Queue[tuple[Callable[[S], Any], Future[Any]] | None] = queue.Queue(MOST_WAITING)
        """Filled by the event loop, emptied by the threads; None ends one of them."""
        self._count, self._over = threads, False
        for number in range(1, threads + 1):
            threading.Thread(target=self._work, name=f"{name} {number}", daemon=True).start()

    def call(self, function: Callable[[S], T]) -> asyncio.Future[T]:
        """What ``function(store)`` gives, run in one of the threads on one state of the database; asked for at once,
        not when it is awaited. To be cancelled where nobody wants it any more.

        The future raises Busy, StoreError, and what the function raises.
        """
        future: Future[T] = Future()
        try:
            if self._over:
                raise _ending()
            self._waiting.put_nowait((function, future))
        except Busy as busy:
            future.set_exception(busy)
        except queue.Full:
            future.set_exception(Busy(Message("page-too-many")))
        return asyncio.wrap_future(future)

    def close(self) -> None:
        """End the threads when they are done with what waits; does not wait for them. Nothing more is taken."""
        self._over = True
        for _ in range(self._count):
            if self._waiting.full():
                item = self._waiting.get_nowait()
                if item is not None and item[1].set_running_or_notify_cancel():
                    item[1].set_exception(_ending())
            self._waiting.put_nowait(None)

    def _work(self) -> None:
        store: S | None = None
        while (item := self._waiting.get()) is not None:
            function, future = item
            if not future.set_running_or_notify_cancel():
                continue
            try:
                store = self._opened() if store is None else store
                with store.snapshot():
                    found = function(store)
            except BaseException as error:
                if isinstance(error, StoreError) and store is not None:  # it may have been replaced by a recovered one
                    store.close()
                    store = None
                future.set_exception(error)
            else:
                future.set_result(found)  # not within: the end of the snapshot may fail, too
        if store is not None:
            store.close()
