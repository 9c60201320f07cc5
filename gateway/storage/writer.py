"""Writer interface: how other rooms have the writer thread run something on the database; and one without a thread."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future
from math import inf
from typing import Protocol, TypeVar

from gateway.errors import Superseded
from gateway.process.heartbeats import beat
from gateway.storage.database import Database

T = TypeVar("T")


def answer(future: Future[T], function: Callable[[Database], T], store: Database) -> None:
    try:
        future.set_result(function(store))
    except Exception as error:
        future.set_exception(error)
        if isinstance(error, Superseded):  # writing has ended, whoever called
            raise


class Writer(Protocol):
    """Who writes the database: whoever else wants something written or read calls it, from whatever thread."""

    def call(self, function: Callable[[Database], T]) -> Future[T]:
        """Run ``function(store)`` in its turn; it makes its own transaction."""
        ...


class Direct:
    """The writer of a database that no recorder is at work on: what is called runs at once, one after the other."""

    def __init__(self, store: Database) -> None:
        self._store, self._turn = store, threading.Lock()

    def call(self, function: Callable[[Database], T]) -> Future[T]:
        """Run ``function(store)`` now."""
        future: Future[T] = Future()
        with self._turn:
            answer(future, function, self._store)
        return future


async def in_turn(writer: Writer, function: Callable[[Database], T]) -> T:
    """Run ``function(database)`` in the writer's turn and wait for it, in the event loop.

    The calling task has no deadline meanwhile: whether the writer is at work is watched by itself.
    """
    beat(inf)
    result = await asyncio.wrap_future(writer.call(function))
    beat()
    return result
