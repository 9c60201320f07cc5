"""What has just happened: polls and events on their way to the writer; records once they are durable, polls that are
none, and why.

The writer thread tells it (commits.py, journal.py), one call a commit; a ``Hub`` hands it on in the event loop.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from gateway.rows import Row
from ledger_client.record import Body, Event
from ledger_client.senml import Reading

log = logging.getLogger("meterseal.agent")


class Stamp(NamedTuple):
    """When something was known: wall clock in ms, ms since the epoch began, the clock's letter and error bound."""

    time_ms: int
    up_ms: int
    clock: str
    error_ms: int | None


@dataclass(frozen=True, slots=True)
class Finished:
    """One due poll that is over: a reading with its stamp, or the reason why there is none."""

    meter: str
    due_ms: int
    reading: Reading | None
    stamp: Stamp | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Happened:
    """An event of one meter, or of the gateway itself under its own name, and when it was told (None: now)."""

    meter: str
    event: Event
    stamp: Stamp | None = None


@dataclass(frozen=True, slots=True)
class Signed:
    """A signed record: a reading, a coverage record or an event. It is news only once its row is durable."""

    row: Row
    body: Body
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class NotRecorded:
    """A reading that is not kept and not signed, for recording is stopped for this reason (disk-full, disk-error)."""

    meter: str
    reading: Reading
    stamp: Stamp
    reason: str


@dataclass(frozen=True, slots=True)
class Missed:
    """A due poll without an answer: its due time among record times, in ms, and the reason that coverage counts."""

    meter: str
    due_ms: int
    reason: str


News = Signed | NotRecorded | Missed
Listener = Callable[[Sequence[News]], None]


class Hub:
    """Hands the writer thread's news to listeners in the event loop, in order."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self.listeners: list[Listener] = []

    def tell(self, news: Sequence[News]) -> None:
        """From any thread. After the loop has ended nobody listens any more."""
        if self.listeners and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._hand_on, news)

    def _hand_on(self, news: Sequence[News]) -> None:
        for listener in self.listeners:
            try:
                listener(news)
            except Exception:  # the others hear it all the same: what a feed does not hear is told to nobody, ever
                log.exception("whoever is told of readings has failed")
