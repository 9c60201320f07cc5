"""Notifications from the writer thread: durable records, unrecorded readings and missed polls.

The writer thread publishes it (recording/committer.py, recording/journal.py), one call a commit; a ``Hub`` hands it on
in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from gateway.records import Listener, News

log = logging.getLogger("meterseal.agent")


class Hub:
    """Hands the writer thread's news to listeners in the event loop, in order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.listeners: list[Listener] = []

    def tell(self, news: Sequence[News]) -> None:
        """From any thread. Does nothing after the loop has ended."""
        if self.listeners and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_on, news)

    def _hand_on(self, news: Sequence[News]) -> None:
        for listener in self.listeners:
            try:
                listener(news)
            except Exception:  # the others still get it: a feed never publishes what it did not get
                log.exception("a listener for readings has failed")
