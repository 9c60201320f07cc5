"""An epoch in the test's own process: every part is real, its lines lead where the site says, or a test polls."""

from __future__ import annotations

# not quick: the tasks of an epoch sleep on the test's loop
import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from gateway.agent.epoch import Epoch
from gateway.anchoring.ledger_drivers import trust_of
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.recording.coverage import CoverageCounter
from gateway.runtime.context import GatewayContext
from gateway.startup.line_plan import line_plans
from gateway.startup.line_specs import line_specs
from gateway.startup.preflight import Ready
from gateway.storage.database import Database


def made(loaded: Config, store: Database) -> Epoch:
    """An epoch that has not begun; with it the store ends."""
    specs = line_specs(loaded)
    ready = Ready(loaded, load_keys(loaded), trust_of(loaded), specs, line_plans(specs))
    return Epoch(ready, store)


@asynccontextmanager
async def running(loaded: Config, store: Callable[[Path], Database] = Database) -> AsyncIterator[Epoch]:
    """A running epoch whose control socket listens; it ends in order with the block."""
    loaded.data.mkdir(exist_ok=True)
    found = made(loaded, store(loaded.database))
    stop = asyncio.Event()
    task = asyncio.create_task(found.run(stop, ()))
    await asyncio.sleep(0)  # its first step opens the socket: a command in another thread must find it
    try:
        yield found
    finally:
        stop.set()
        with suppress(asyncio.CancelledError):
            await task


@asynccontextmanager
async def epoch(loaded: Config) -> AsyncIterator[GatewayContext]:
    """The site of one."""
    async with running(loaded) as found:
        yield found.site


async def due_ms(of: GatewayContext, meter: str) -> int:
    """When the next poll of a meter is due that its schedule knows of."""
    tallies = of.recorder._journal._accounting.counters

    def look(_: Database) -> int:
        tally = tallies[meter]  # there as soon as the writer's thread has begun the epoch
        assert isinstance(tally, CoverageCounter)
        return tally.next_due_ms

    return await asyncio.wrap_future(of.recorder.call(look))


async def until(found: Callable[[], object]) -> None:
    """Let the loop turn until ``found()`` is true; fails after a minute."""
    async with asyncio.timeout(60):
        while not found():  # noqa: ASYNC110 — what is waited for happens in other threads
            await asyncio.sleep(0.01)
