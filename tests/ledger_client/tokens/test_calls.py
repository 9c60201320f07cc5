"""Calls: one at a time, urgent ones first, and what others are left."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from ledger_client.errors import KeyAway, TokenError
from ledger_client.messages import Message
from ledger_client.tokens.calls import Calls, Limits

PATIENCE_S = 30.0


class Queue:
    """Calls that wait behind a first one; ``order`` says in which order they came to be."""

    def __init__(self, limits: Limits) -> None:
        self.calls = Calls(Path("none.so"), limits)
        self.order: list[str] = []
        self.release = threading.Event()
        self.pool = ThreadPoolExecutor(50)
        began = threading.Event()

        def first(_module: object) -> None:
            began.set()
            self.release.wait(PATIENCE_S)

        self.first = self.pool.submit(self.calls.call, first)
        assert began.wait(PATIENCE_S)

    def add(self, name: str, *, urgent: bool) -> Future[None]:
        """Another call, which waits by the time this returns."""

        def noted(_module: object) -> None:
            self.order.append(name)

        future = self.pool.submit(self.calls.call, noted, urgent=urgent)
        waiting = self.calls._urgent if urgent else self.calls._others
        while not any(call.work is noted for call in list(waiting)):
            threading.Event().wait(0.001)
        return future


@pytest.fixture
def queue() -> Iterator[Queue]:
    made = Queue(Limits(call_s=PATIENCE_S))
    yield made
    made.release.set()
    made.pool.shutdown()
    made.calls.end()


def test_what_is_urgent_is_served_before_all_that_waited(queue: Queue) -> None:
    many = [queue.add("stranger", urgent=False) for _ in range(3)]
    many += [queue.add("receipt", urgent=True) for _ in range(3)]
    queue.calls._credit_s = -1.0  # the strangers have had their share
    queue.release.set()
    for future in many:
        future.result()
    assert queue.order == ["receipt"] * 3 + ["stranger"] * 3


def test_a_fault_in_a_call_is_its_callers_and_the_next_is_served(queue: Queue) -> None:
    queue.release.set()

    def fault(_module: object) -> None:
        raise ZeroDivisionError

    with pytest.raises(TokenError):
        queue.calls.call(fault)
    assert queue.calls.call(lambda _module: 1) == 1


def test_who_waits_behind_a_call_that_never_ends_is_refused_and_its_answer_dropped() -> None:
    queue = Queue(Limits(call_s=0.2))
    waiting = [queue.pool.submit(queue.calls.call, lambda _module: queue.order.append("late")) for _ in range(5)]
    for future in (queue.first, *waiting):
        error = future.exception(PATIENCE_S)
        assert isinstance(error, KeyAway)
        assert isinstance(error.what, Message)
        assert error.what.code == "token-silent"
    assert queue.calls.stuck() is not None
    queue.release.set()
    assert queue.calls.call(lambda _module: 1) == 1
    assert queue.calls.stuck() is None
    assert queue.order == []
    queue.pool.shutdown()
    queue.calls.end()
