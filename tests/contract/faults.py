"""What a wire or a ledger may do to an answer, and when."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import cycle

LOST = "lost"  # it fails, and the ledger never heard
KEPT = "kept"  # it fails, and the ledger has it
LATE = "late"  # the receipt comes later
NEVER = "never"  # the ledger has it, and no answer comes
TWICE = "twice"  # the same answer, two times
GARBAGE = "garbage"  # bytes that are no receipt
OTHER = "other"  # the receipt of another statement
FAULTS = (LOST, KEPT, LATE, NEVER, TWICE, GARBAGE, OTHER)

JUNK = b"\xd2" + bytes(range(64))
"""Begins as a receipt does."""


class Faults:
    """The fate of the calls to a ledger, one after the other, and of no others. Safe from any thread.

    ``lookups``: the questions about a statement count as calls too, not only its submissions. ``heard`` counts the
    submissions that have reached the ledger, ``struck`` the faults that were taken.
    """

    def __init__(self, plan: Iterable[str] = (), *, lookups: bool = False) -> None:
        self.lookups = lookups
        self.heard = 0
        self.struck: Counter[str] = Counter()
        self._plan, self._lock = iter(plan), threading.Lock()

    def set(self, *plan: str) -> None:
        """From now on these."""
        with self._lock:
            self._plan = iter(plan)

    def take(self, *, lookup: bool = False) -> str:
        """What becomes of this call; empty: nothing goes wrong."""
        if lookup and not self.lookups:
            return ""
        with self._lock:
            fault = next(self._plan, "")
            if fault:
                self.struck[fault] += 1
            return fault

    def hear(self) -> None:
        """A submission reaches the ledger."""
        with self._lock:
            self.heard += 1


def every_second() -> Iterator[str]:
    """A fault in every second call, each kind in its turn."""
    for fault in cycle(FAULTS):
        yield ""
        yield fault
