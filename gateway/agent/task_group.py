"""Task group of one epoch: its tasks end together, and the loops among them are watched."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from math import inf
from typing import Any

from gateway.errors import StoreError
from gateway.messages.message import Message
from gateway.process.heartbeats import Heartbeats


class EpochTaskGroup:
    """Every task of one epoch. A task that fails ends the epoch (``asyncio.TaskGroup``). Event loop only."""

    def __init__(self, heartbeats: Heartbeats) -> None:
        self._heartbeats, self._group, self._stop = heartbeats, asyncio.TaskGroup(), asyncio.Event()

    @asynccontextmanager
    async def until(self, stop: asyncio.Event) -> AsyncIterator[None]:
        """Open the group; leaving the block waits for every task. ``stop``: set when the epoch is to end."""
        self._stop = stop
        async with self._group:
            yield

    def begin(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None]:
        """Begin a task. Behind the stop it is cancelled at once: a change that was under way must not keep the process.

        Raises StoreError when the epoch has ended by itself, for another one that begins by what is in force.
        """
        try:
            task = self._group.create_task(work, name=name)
        except RuntimeError:
            work.close()
            raise StoreError(Message("gateway-begins-epoch")) from None
        if self._stop.is_set():
            task.cancel()
        return task

    def begin_loop(
        self, work: Callable[[], Coroutine[Any, Any, None]], name: str, *, call_s: float = inf
    ) -> asyncio.Task[None]:
        """Begin a task whose heartbeat is watched; ``call_s``: the longest of its blocking calls. Raises StoreError."""
        return self.begin(self._heartbeats.of(name, work, call_s=call_s), name)
