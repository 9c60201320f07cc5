"""Tasks of an epoch that begin before its stop, behind it, and behind its end."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from gateway.agent.task_group import EpochTaskGroup
from gateway.errors import StoreError
from gateway.messages.message import Message
from gateway.process.heartbeats import Heartbeats, beat


def run(work: Coroutine[Any, Any, None]) -> None:
    async def inside() -> None:
        async with asyncio.timeout(60):
            await work

    asyncio.run(inside())


def test_a_task_that_begins_behind_the_stop_is_cancelled_and_keeps_nobody() -> None:
    async def work() -> None:
        group, stop = EpochTaskGroup(Heartbeats()), asyncio.Event()
        async with group.until(stop):
            stop.set()
            late = group.begin(asyncio.Event().wait(), "late")  # type: ignore[arg-type]
        assert late.cancelled()

    run(work())


def test_behind_the_end_of_the_epoch_no_task_begins() -> None:
    async def work() -> None:
        group = EpochTaskGroup(Heartbeats())
        async with group.until(asyncio.Event()):
            pass
        with pytest.raises(StoreError, match="beginning a new epoch"):
            group.begin(asyncio.sleep(0), "too late")

    run(work())


def test_a_task_that_fails_ends_the_others_and_the_epoch() -> None:
    async def fail() -> None:
        raise OSError

    async def epoch(begun: list[asyncio.Task[None]]) -> None:
        group = EpochTaskGroup(Heartbeats())
        async with group.until(asyncio.Event()):
            begun.append(group.begin(asyncio.Event().wait(), "other"))  # type: ignore[arg-type]
            begun.append(group.begin(fail(), "fails"))
            await asyncio.Event().wait()

    async def work() -> None:
        begun: list[asyncio.Task[None]] = []
        with pytest.raises(ExceptionGroup) as caught:
            await epoch(begun)
        assert [type(error) for error in caught.value.exceptions] == [OSError]
        assert (begun[0].cancelled(), begun[1].done()) == (True, True)

    run(work())


def test_a_loop_is_watched_for_as_long_as_it_turns() -> None:
    now_s = 0.0

    async def turn(go: asyncio.Event) -> None:
        beat(5.0)
        await go.wait()

    async def work() -> None:
        nonlocal now_s
        heartbeats, go = Heartbeats(lambda: now_s), asyncio.Event()
        group = EpochTaskGroup(heartbeats)
        async with group.until(asyncio.Event()):
            task = group.begin_loop(lambda: turn(go), "line bus-1")
            await asyncio.sleep(0)
            now_s = 40.0
            assert list(heartbeats.stuck()) == [Message("loop-late", name="line bus-1", over_s=35)]
            go.set()
            await task
            assert heartbeats.stuck() == []

    run(work())
