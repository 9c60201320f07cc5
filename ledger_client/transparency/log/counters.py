"""Counters of a ledger since its start. Thread-safe."""

from __future__ import annotations

import threading
from collections import Counter


class Counts:
    """Counters by name and by what they are counted of: ``answers`` by status, ``refused`` by title, and so on."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counters: dict[str, Counter[str]] = {}
        self._seconds: dict[str, float] = {}

    def add(self, name: str, of: str = "") -> None:
        """One more."""
        with self._lock:
            self._counters.setdefault(name, Counter())[of] += 1

    def spent(self, name: str, seconds: float) -> None:
        """So much more time."""
        with self._lock:
            self._seconds[name] = self._seconds.get(name, 0.0) + seconds

    def of(self, name: str) -> dict[str, int]:
        """All counters of a name."""
        with self._lock:
            return dict(self._counters.get(name, {}))

    def seconds(self, name: str) -> float:
        """The time spent on a name."""
        with self._lock:
            return self._seconds.get(name, 0.0)
