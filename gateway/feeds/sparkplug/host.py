"""The primary host: who must be online before an edge node tells anything (Sparkplug 3.0 §5.4, STATE messages §6.5)."""

from __future__ import annotations

import asyncio
import json

from gateway.feeds.sparkplug.node import NAMESPACE


class PrimaryHost:
    """What the STATE messages of one host say. A message that is older than one before it says nothing."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.topic = f"{NAMESPACE}/STATE/{name}"
        self.online = asyncio.Event()
        self._newest_ms: int | None = None

    def disconnected(self) -> None:
        """On the next connection the host has to show itself again; how new its messages must be stays."""
        self.online.clear()

    def hear(self, data: bytes) -> bool:
        """Take in a STATE message; True: the host was online and is offline now."""
        try:
            state = json.loads(data)
            online, time_ms = state["online"], state["timestamp"]
        except (ValueError, LookupError, TypeError, RecursionError):
            return False
        if not isinstance(online, bool) or type(time_ms) not in (int, float):
            return False
        if self._newest_ms is not None and time_ms < self._newest_ms:
            return False
        self._newest_ms = time_ms
        was_online = self.online.is_set()
        if online:
            self.online.set()
        else:
            self.online.clear()
        return was_online and not online
