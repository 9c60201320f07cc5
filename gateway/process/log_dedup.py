"""Log deduplication: a repeated event is logged at once, then every ten minutes with its count.

Two events are the same when they differ in numbers only. Changes of state (alarms, which have a ``code``) are always
logged, so that the last line about one is true.
"""

from __future__ import annotations

import copy
import logging
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

WINDOW_S = 600.0
MOST = 500
"""Different events that are remembered."""
_NUMBERS = re.compile(r"\d+")


@dataclass(slots=True)
class _Run:
    """The same event within one window: the last that was held back, and how many were."""

    since_s: float
    last: logging.LogRecord | None = None
    count: int = 0


class Repeats(logging.Filter):
    """Filter of repeated events: held back within the window, then logged once with their count. Any thread."""

    def __init__(self, handler: logging.Handler, monotonic: Callable[[], float] = time.monotonic) -> None:
        super().__init__()
        self._handler, self._now, self._turn = handler, monotonic, threading.Lock()
        self._runs: OrderedDict[tuple[str, int, str], _Run] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether to log this one now."""
        if record.levelno <= logging.DEBUG or hasattr(record, "code"):
            return True
        try:
            text = record.getMessage()
        except Exception:  # a faulty log call, which the handler reports
            return True
        key = (record.name, record.levelno, _NUMBERS.sub("#", text))
        with self._turn:
            return self._is_new(key, record, self._now())

    def flush(self) -> None:
        """Log all that is held back, at the end of the process."""
        with self._turn:
            now = self._now()
            while self._runs:
                self._log(self._runs.popitem(last=False)[1], now)

    def _is_new(self, key: tuple[str, int, str], record: logging.LogRecord, now: float) -> bool:
        self._log_what_is_over(now)
        run = self._runs.get(key)
        if run is None:
            if len(self._runs) >= MOST:
                self._log(self._runs.popitem(last=False)[1], now)
            self._runs[key] = _Run(now)
            return True
        run.last, run.count = record, run.count + 1
        return False

    def _log_what_is_over(self, now: float) -> None:
        """The oldest window is the first, and one that held something back goes on as a new one."""
        while self._runs:
            key, run = next(iter(self._runs.items()))
            if now - run.since_s < WINDOW_S:
                return
            del self._runs[key]
            if run.count:
                self._log(run, now)
                self._runs[key] = _Run(now)

    def _log(self, run: _Run, now: float) -> None:
        if run.last is None:
            return
        summary = copy.copy(run.last)
        minutes = max(1, round((now - run.since_s) / 60))
        summary.msg, summary.args = f"{run.last.getMessage()} ({run.count} more times in {minutes} min)", None
        self._handler.acquire()
        try:
            self._handler.emit(summary)
        finally:
            self._handler.release()
