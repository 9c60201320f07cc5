"""Log limiter: a bounded rate of lines of one kind, with the number of lines left out."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable

from ledger_client.http_server.token_bucket import Buckets

RATE = 1.0  # lines a second of one kind, and ten times as many at once


class Quiet(logging.Filter):
    """A filter for a logger; lines are of one kind when they have one format string."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._buckets = Buckets(RATE, clock)
        self._left_out: Counter[str] = Counter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether this line may come."""
        kind = str(record.msg)
        if self._buckets.take(kind):
            self._left_out[kind] += 1
            return False
        if left_out := self._left_out.pop(kind, 0):
            record.msg = f"{kind} (and {left_out} more of this kind before)"
        return True
