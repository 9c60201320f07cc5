"""HTTP intake: waiting statements go to the ledger in groups, in worker threads."""

from __future__ import annotations

import asyncio
from collections import deque

from starlette.concurrency import run_in_threadpool

from ledger_client.transparency.ledger.service import Service, Submitted

WORKERS = 3  # at once: one waits for the disk, the others check signatures meanwhile
MOST = 32  # statements a turn, so that a worker that has much to check keeps nobody long


class Intake:
    """The way from requests to the ledger, of one event loop."""

    def __init__(self, ledger: Service) -> None:
        self._ledger = ledger
        self._waiting: deque[tuple[bytes, asyncio.Future[Submitted]]] = deque()
        self._workers: set[asyncio.Task[None]] = set()

    async def submit(self, data: bytes) -> Submitted:
        """See ``Service.submit``."""
        future: asyncio.Future[Submitted] = asyncio.get_running_loop().create_future()
        self._waiting.append((data, future))
        if len(self._workers) < WORKERS:
            task = asyncio.create_task(self._work(), name="intake")
            self._workers.add(task)
            task.add_done_callback(self._workers.discard)
        return await future

    async def _work(self) -> None:
        while self._waiting:
            turn = [self._waiting.popleft() for _ in range(min(MOST, len(self._waiting)))]
            outcomes = await run_in_threadpool(self._ledger.submit_all, [data for data, _ in turn])
            for (_, future), outcome in zip(turn, outcomes, strict=True):
                error = outcome.exception()
                if future.cancelled():  # whoever asked is gone
                    continue
                if error is None:
                    future.set_result(outcome.result())
                else:
                    future.set_exception(error)
