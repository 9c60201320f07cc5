"""Heartbeats of the process's loops: which are running and which are stuck. The clock is an argument.

Every loop says at each round how long it may be until its next one, which is the longest wait that it is about to
begin: a pause, a read with its time-out, a question to a ledger. A loop that is later than that by more than
``GRACE_S``, the margin for a machine under load, is stuck. One that waits for work is never late.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from math import inf
from typing import Any

from gateway.messages.message import Message
from ledger_client.messages import Sentence

GRACE_S = 10.0


class Heartbeat:
    """Heartbeat of one loop. Its own thread or task calls ``beat``, any thread ``stuck``.

    ``call_s``: the longest that a blocking call of its takes, time-outs included (``gateway.process.threads``).
    """

    __slots__ = ("_monotonic", "_until", "call_s", "name")

    def __init__(self, name: str, monotonic: Callable[[], float] = time.monotonic, *, call_s: float = inf) -> None:
        self.name, self.call_s, self._monotonic = name, call_s, monotonic
        self._until = monotonic()

    def beat(self, within_s: float = 0.0) -> None:
        """A round begins and ends within ``within_s`` seconds (``inf``: when there is work)."""
        self._until = self._monotonic() + within_s

    def stuck(self) -> Message | None:
        """Whole seconds by which its round is late, beyond the grace; None: it runs."""
        over_s = self._monotonic() - self._until
        return Message("loop-late", name=self.name, over_s=round(over_s)) if over_s > GRACE_S else None


_current: ContextVar[Heartbeat | None] = ContextVar("pulse", default=None)


def beat(within_s: float = 0.0) -> None:
    """Heartbeat of the loop in which this is called; nothing where it is not watched."""
    if (pulse := _current.get()) is not None:
        pulse.beat(within_s)


def calling() -> None:
    """Heartbeat before a blocking call of the loop in which this is called."""
    if (pulse := _current.get()) is not None:
        pulse.beat(pulse.call_s)


class Heartbeats:
    """Heartbeats of the loops of one epoch, by name, with other checks. Event loop; ``stuck`` on any thread."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._checks: dict[str, Callable[[], Sentence | None]] = {}

    def ask(self, name: str, check: Callable[[], Sentence | None]) -> None:
        """Another check: it returns what is stuck, or None."""
        self._checks[name] = check

    async def of(self, name: str, work: Callable[[], Coroutine[Any, Any, None]], *, call_s: float = inf) -> None:
        """Work of one loop, watched until it ends. ``call_s``: the longest of its blocking calls, in seconds."""
        pulse = Heartbeat(name, self._monotonic, call_s=call_s)
        self.ask(name, pulse.stuck)
        _current.set(pulse)  # of this task, and of what it awaits
        try:
            await work()
        finally:
            if self._checks.get(name) == pulse.stuck:  # else another of that name has begun
                del self._checks[name]

    def stuck(self) -> list[Sentence]:
        """What is stuck; empty: all loops run."""
        return [sentence for check in list(self._checks.values()) if (sentence := check())]
