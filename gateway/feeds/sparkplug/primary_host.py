"""Primary host: must be online before an edge node publishes (Sparkplug 3.0 §5.4, STATE messages §6.5)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable

from gateway.feeds.sparkplug.node import NAMESPACE
from gateway.feeds.sparkplug.payload import LONGEST

LAST_MS = 253_402_300_799_999
"""The end of the year 9999."""
AHEAD_MS = 86_400_000
"""A host's clock may be so far ahead of this gateway's."""


class PrimaryHost:
    """What the STATE messages of one host say. A message that is older than one before it says nothing, unless that one
    is of a time that cannot have come: else a single message would make the host unheard until then."""

    def __init__(self, name: str, now_ms: Callable[[], int]) -> None:
        self.name, self._now_ms = name, now_ms
        self.topic = f"{NAMESPACE}/STATE/{name}"
        self.online = asyncio.Event()
        self._newest_ms: float | None = None

    def disconnected(self) -> None:
        """On the next connection the host has to show itself again; how new its messages must be stays."""
        self.online.clear()

    def hear(self, data: bytes) -> bool:
        """Take in a STATE message; True: the host was online and is offline now."""
        if len(data) > LONGEST:
            return False
        try:
            state = json.loads(data)
            online, time_ms = state["online"], state["timestamp"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return False
        if not isinstance(online, bool) or type(time_ms) not in (int, float) or not 0 <= time_ms <= LAST_MS:
            return False
        newest_ms = self._newest_ms
        if newest_ms is not None and time_ms < newest_ms <= self._now_ms() + AHEAD_MS:
            return False
        self._newest_ms = time_ms
        was_online = self.online.is_set()
        if online:
            self.online.set()
        else:
            self.online.clear()
        return was_online and not online
