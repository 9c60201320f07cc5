"""In-flight window of a connection: as many messages as its broker acknowledges within a second.

A larger window would only fill the queues between here and the broker, in which the newest reading waits behind older
ones; a smaller one would wait for round trips. The broker's Receive Maximum (MQTT 5 §3.2.2.3.3) is never passed.
"""

from __future__ import annotations

FIRST, LEAST, MOST = 20, 2, 200
MEASURED_S = 1.0


class Window:
    """The window of one connection. Times are monotonic seconds."""

    def __init__(self) -> None:
        self.size = FIRST
        self._most = MOST
        self._count = 0
        self._full_since: float | None = None
        """Since when messages wait for it; None: it has room, and acknowledgements show nothing about the broker."""

    def limit(self, receive_maximum: int) -> None:
        """What the broker takes at once, by its own word."""
        self._most = max(1, min(MOST, receive_maximum))
        self.size = min(self.size, self._most)

    def full(self, now: float) -> None:
        """A message waits for the window."""
        if self._full_since is None:
            self._full_since, self._count = now, 0

    def acknowledged(self, now: float) -> None:
        """The broker has taken a message."""
        self._count += 1
        if self._full_since is not None and now - self._full_since >= MEASURED_S:
            self.size = min(self._most, max(LEAST, self._count))
            self._full_since = None
