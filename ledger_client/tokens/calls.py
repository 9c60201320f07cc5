"""Calls to tokens, one after another on one daemon thread a module, and what happens when none comes back.

A call that a token does not answer cannot be ended: a stopped TPM blocks its thread in C for as long as it likes. So
whoever waits goes on after ``Limits.call_s``, and the answer, should it come after all, is dropped. While the thread is
stuck for that long every key of the module is away, and all who ask are refused at once.

A module that fails at once (a killed TPM: GeneralError) is reset and its keys are found anew, within the same call, so
that a power cycle that nobody noticed costs nothing. A key that is not found again is away, and tried every
``Limits.retry_s``. A module that nobody calls is asked every ``Limits.idle_s``, so that it is known to be away before
somebody needs it.

Urgent calls come first. While they come one behind the other, others get ``SHARE`` of the token's time, so that they
are served some day, and no stranger who asks and asks slows down what is urgent by more.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Final, Protocol, TypeVar

from ledger_client.errors import KeyAway, LedgerClientError, TokenError
from ledger_client.messages import Message, Sentence
from ledger_client.tokens.session import DeviceFailed, Module

_LOG = logging.getLogger("meterseal.tokens")
_T = TypeVar("_T")


SHARE: Final = 0.1
"""Of the token's time for calls that are not urgent, while there are urgent ones."""
_STREAM_S: Final = 0.05
"""So soon after an urgent call another one is expected: between two signatures of a transaction there is none."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds: how long a call may take, how often a key that is away is tried, how long a token is left unasked."""

    call_s: float = 5.0
    retry_s: float = 10.0
    idle_s: float = 4.0


STANDARD: Final = Limits()
"""What holds in service: a token that is gone is known within 9 s."""


@dataclass(frozen=True, slots=True)
class Away:
    """Since when a key does not sign (Unix milliseconds), and why."""

    since_ms: int
    why: Sentence


class Key(Protocol):
    """A key that is lost when its module is reset."""

    fault: Away | None
    """Why it is away though its module answers; set by the thread alone."""

    def find(self, module: Module) -> None:
        """Find it in its token. Raises ``DeviceFailed``, ``TokenError``, ``KeyAway``."""
        ...

    def lose(self) -> None:
        """What was found is void."""
        ...


class _Call:
    __slots__ = ("dropped", "error", "result", "returned", "urgent", "work")

    def __init__(self, work: Callable[[Module], Any], urgent: bool) -> None:
        self.work, self.urgent = work, urgent
        self.returned = threading.Lock()
        self.returned.acquire()
        self.dropped = False
        self.result: Any = None
        self.error: LedgerClientError | None = None


class Calls:
    """The thread of one module."""

    def __init__(self, module: Path, limits: Limits) -> None:
        self._module = Module(module)
        self._limits = limits
        self._lock = threading.Lock()
        self._bell: SimpleQueue[None] = SimpleQueue()  # wakes a thread in a fifth of the time that a Condition takes
        self._sleeping = False
        self._urgent: deque[_Call] = deque()
        self._others: deque[_Call] = deque()
        self._credit_s = 0.0
        self._urgent_at = -_STREAM_S
        self._keys: list[Key] = []
        self._busy_since: float | None = None
        self._given_up = False
        self._retry_at: float | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name=f"token {module.name}", daemon=True)
        self._thread.start()

    def _wake(self) -> None:
        """Called with the lock held."""
        if self._sleeping:
            self._sleeping = False
            self._bell.put(None)

    def add(self, key: Key) -> None:
        """Have a key that was found be found again from now on."""
        with self._lock:
            self._keys.append(key)

    def remove(self, key: Key) -> None:
        """Have a key be looked for no more."""
        with self._lock:
            self._keys.remove(key)

    def end(self) -> None:
        """Give the token back and end the thread; one that waits for a silent token is left alone."""
        with self._lock:
            self._ended = True
            self._wake()
        if self.stuck() is None:
            self._thread.join(self._limits.call_s)

    def seek(self, key: Key, why: Sentence) -> None:
        """Have a key be away until it is found anew."""
        with self._lock:
            key.fault = key.fault or Away(_now_ms(), why)
            self._retry_at = self._retry_at or time.monotonic()
            self._wake()

    def stuck(self) -> Away | None:
        """Since when the thread waits for its token, if that is longer than a call may take, or somebody gave up."""
        since = self._busy_since
        for_s = 0.0 if since is None else time.monotonic() - since
        if since is None or (for_s < self._limits.call_s and not self._given_up):
            return None
        return Away(_now_ms() - round(for_s * 1000), self._silent())

    def call(self, work: Callable[[Module], _T], *, urgent: bool = True) -> _T:
        """What ``work`` gives for the module, on its thread. Raises ``KeyAway`` after ``call_s`` at most, and what
        ``work`` raises, its ``DeviceFailed`` as ``KeyAway``."""
        call = _Call(work, urgent)
        with self._lock:
            (self._urgent if urgent else self._others).append(call)
            self._wake()
        if not call.returned.acquire(timeout=self._limits.call_s):
            self._give_up(call)
        if call.error is not None:
            raise call.error
        return call.result  # type: ignore[no-any-return]

    def _give_up(self, call: _Call) -> None:
        """Wait no more. Raises ``KeyAway``, unless the answer has come this moment."""
        with self._lock:
            if call.returned.acquire(blocking=False):
                return
            call.dropped = True
            since = self._busy_since
            if since is None or time.monotonic() - since < self._limits.call_s / 2:
                raise KeyAway(Message("token-busy", limit_s=_whole(self._limits.call_s)))
            self._given_up = True
            self._refuse_all(self._silent())
        raise KeyAway(self._silent())

    def _silent(self) -> Message:
        return Message("token-silent", limit_s=_whole(self._limits.call_s))

    def _refuse_all(self, why: Sentence) -> None:
        """Let nobody wait who is not served yet; called with the lock held."""
        for call in (*self._urgent, *self._others):
            call.error = KeyAway(why)
            call.returned.release()
        self._urgent.clear()
        self._others.clear()

    def _run(self) -> None:
        idle_at = time.monotonic() + self._limits.idle_s
        call: _Call | None = None
        began = 0.0
        while True:
            with self._lock:  # once a call: others wait while this thread computes
                now = time.monotonic()
                if call is not None:
                    self._account(call, now, now - began)
                self._given_up = False
                if self._ended:
                    self._busy_since = None
                    break
                call, due_at = self._next(now, idle_at)
                self._sleeping = call is None and (due_at is None or due_at > now)
                self._busy_since = None if self._sleeping else now
            if self._sleeping:
                with suppress(Empty):
                    self._bell.get(timeout=None if due_at is None else due_at - now)
                continue
            began = now
            if call is not None:
                self._answer(call)
            elif self._retry_at is not None:
                self._restore()
            else:
                self._ask()
            idle_at = time.monotonic() + self._limits.idle_s
        self._module.close()

    def _next(self, now: float, idle_at: float) -> tuple[_Call | None, float | None]:
        """The next call, or when to look again, to try again or to ask; called with the lock held."""
        _skip_dropped(self._urgent)
        _skip_dropped(self._others)
        quiet_at = self._urgent_at + _STREAM_S
        if self._others and (self._credit_s > 0 or (not self._urgent and now >= quiet_at)):
            return self._others.popleft(), None
        if self._urgent:
            return self._urgent.popleft(), None
        later_at = self._retry_at if self._retry_at is not None else idle_at if self._keys else None
        if later_at is not None and later_at <= now:
            return None, later_at
        due = [at for at in (later_at, quiet_at if self._others else None) if at is not None]
        return None, min(due) if due else None

    def _account(self, call: _Call, now: float, spent_s: float) -> None:
        """Whose turn it is next follows from the time that calls took; called with the lock held."""
        if call.urgent:
            self._urgent_at = now
            self._credit_s = self._credit_s + SHARE * spent_s if self._others else min(self._credit_s, 0.0)
        else:
            self._credit_s = self._credit_s - spent_s if now - spent_s < self._urgent_at + _STREAM_S else 0.0

    def _answer(self, call: _Call) -> None:
        try:
            try:
                call.result = call.work(self._module)
            except DeviceFailed:
                self._restore()
                if not call.dropped:
                    call.result = call.work(self._module)
        except DeviceFailed as error:
            call.error = KeyAway(error.what)
        except LedgerClientError as error:
            call.error = error
        except Exception as error:  # a fault of ours or of the library: the thread goes on for the others
            _LOG.exception("a call to a token failed")
            call.error = TokenError(Message("token-failed", error=type(error).__name__))
        call.returned.release()

    def _ask(self) -> None:
        """See whether the token is there still."""
        try:
            self._module.ask()
        except DeviceFailed:
            self._restore()

    def _restore(self) -> None:
        """Reset the module and find every key anew; what is not found is away, and tried again later."""
        with self._lock:
            keys = list(self._keys)
        for key in keys:
            key.lose()
        faults: dict[int, Sentence] = {}
        try:
            self._module.reset()
        except DeviceFailed as error:
            faults = dict.fromkeys(range(len(keys)), error.what)
        for at, key in enumerate(keys):
            try:
                if at not in faults:
                    key.find(self._module)
            except (DeviceFailed, LedgerClientError) as error:
                faults[at] = error.what
        now_ms = _now_ms()
        with self._lock:
            for at, key in enumerate(keys):
                since_ms = now_ms if key.fault is None else key.fault.since_ms
                key.fault = Away(since_ms, faults[at]) if at in faults else None
            self._retry_at = time.monotonic() + self._limits.retry_s if faults else None


def _skip_dropped(waiting: deque[_Call]) -> None:
    while waiting and waiting[0].dropped:
        waiting.popleft()


def _whole(seconds: float) -> int:
    return max(1, round(seconds))


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
