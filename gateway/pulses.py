"""Which loops of the process turn, and which are stuck. Pure: the monotonic time comes in as an argument.

Every loop says at each round how long it may be until its next one, which is the longest wait that it is about to
begin: a pause, a read with its time-out, a question to a ledger. A loop whose next round is later than that, and than
``GRACE_S`` more for a machine under load, does not turn. One that waits for work says so, and turns until it comes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

GRACE_S = 10.0


@dataclass(slots=True)
class Pulse:
    """One loop. Its own thread or task calls ``beat``; anybody may ask."""

    name: str
    monotonic: Callable[[], float]
    turned_at: float
    within_s: float = 0.0

    def beat(self, within_s: float = 0.0) -> None:
        """A round begins; the next one does within so many seconds (infinite: when there is work)."""
        self.turned_at, self.within_s = self.monotonic(), within_s

    @contextmanager
    def for_as_long_as(self, within_s: float) -> Iterator[None]:
        """A round that holds one longer wait; after it the loop goes on at once."""
        self.beat(within_s)
        try:
            yield
        finally:
            self.beat()

    def stuck_s(self) -> float:
        """For how many seconds it has been over its time; 0: it turns."""
        over_s = self.monotonic() - self.turned_at - self.within_s - GRACE_S
        return 0.0 if math.isinf(self.within_s) else max(0.0, over_s)
