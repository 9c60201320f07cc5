"""Login limits: one attempt at a time, pauses that grow for each address, and a rate for all.

An address that has logged in before is not held up by what others try. A login makes good only what was tried under
its own name: whoever has one password guesses another one no sooner.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable
from functools import partial

from gateway.dashboard.shell.users import LONGEST, NOBODY, User, Users, matches
from gateway.errors import GatewayError
from gateway.messages.message import Message
from gateway.process.threads import in_thread
from ledger_client.http_server.token_bucket import Buckets

FREE = 3
"""Failures of one address before it has to pause."""
LONGEST_PAUSE_S = 900.0
FORGET_S = 3600.0
MOST = 4096
ALL_PER_S = 0.5
MOST_WAITING = 4
KNOWN = 64


class TooOften(GatewayError):
    """Refused for now; ``wait_s``: seconds until the next attempt."""

    def __init__(self, wait_s: float) -> None:
        super().__init__(Message("login-too-often", wait_s=max(1, round(wait_s))))
        self.wait_s = wait_s


class Logins:
    """The only way to a user: name and password. ``monotonic`` is the clock in seconds. Event loop only."""

    def __init__(self, users: Users, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._users, self._now = users, monotonic
        self._failures: OrderedDict[str, dict[str, tuple[int, float]]] = OrderedDict()
        """Failed logins by address and name: their number, and the time of the last one."""
        self._known: OrderedDict[str, None] = OrderedDict()
        self._all = Buckets(ALL_PER_S, monotonic)
        self._turn = asyncio.Lock()
        self._waiting = 0

    async def attempt(self, client: str, name: str, password: str) -> User | None:
        """The user, or None for an unknown name or a wrong password; both take the same time.

        Args:
            client: the address that the attempt comes from.
            name: as typed.
            password: as typed.

        Raises:
            TooOften: the address, or all addresses together, must wait.
            ConfigError: the file of users cannot be used.
        """
        if wait := self._pause(client):
            raise TooOften(wait)
        if client not in self._known and (wait := self._all.take("all")):
            raise TooOften(wait)
        if self._waiting >= MOST_WAITING:
            raise TooOften(1)
        user = self._users.current().get(name)
        self._failed(client, name)  # until it is known better: attempts side by side all count
        self._waiting += 1
        try:
            async with self._turn:
                good = len(password) <= LONGEST and await in_thread(
                    partial(matches, password, user.hash if user else NOBODY), "password"
                )
        finally:
            self._waiting -= 1
        if user is None or not good:
            return None
        self._succeeded(client, name)
        return user

    def _pause(self, client: str) -> float:
        failures = self._failures.get(client, {}).values()
        count = sum(count for count, _ in failures)
        if count < FREE:
            return 0.0
        last = max(last for _, last in failures)
        return max(0.0, last + min(2.0 ** (count - FREE + 1), LONGEST_PAUSE_S) - self._now())

    def _failed(self, client: str, name: str) -> None:
        now = self._now()
        mine = self._failures.pop(client, {})
        if all(now - last >= FORGET_S for _, last in mine.values()):
            mine = {}
        mine[name[:LONGEST]] = mine.get(name[:LONGEST], (0, now))[0] + 1, now
        self._failures[client] = mine
        if len(self._failures) > MOST:
            self._failures.popitem(last=False)

    def _succeeded(self, client: str, name: str) -> None:
        mine = self._failures.get(client, {})
        mine.pop(name[:LONGEST], None)
        if not mine:
            self._failures.pop(client, None)
        self._known[client] = None
        self._known.move_to_end(client)
        if len(self._known) > KNOWN:
            self._known.popitem(last=False)
