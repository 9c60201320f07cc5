"""Live state: the newest reading and the missed polls of every meter, in memory. Event loop only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from gateway.records import MissedPoll, News, NotRecorded, SignedRecord
from ledger_client.formats.senml import Reading


@dataclass(frozen=True, slots=True)
class Earlier:
    """The last reading of before this epoch: its record (epoch, seq), and since when the meter has not answered, a
    record time in ms; None: it was answering when the epoch before ended."""

    reading: Reading
    record: tuple[bytes, int]
    silent_since_ms: int | None = None


@dataclass(slots=True)
class MeterNow:
    """One meter. Times are record times in ms; ``missed`` counts this epoch's polls without an answer, by reason."""

    name: str
    newest: SignedRecord | NotRecorded | None = None
    recorded: int = 0
    missed: Counter[str] = field(default_factory=Counter)
    unrecorded: Counter[str] = field(default_factory=Counter)
    """The same of polls that were answered while nothing could be recorded."""
    silent_since_ms: int | None = None
    """Due time of the first of the polls in a row that went without an answer; None: the last one was answered."""
    reason: str | None = None
    """Why the last one gave no reading, as coverage counts it."""
    cause: str | None = None
    """The same as what is to be done about it asks, a key of ``messages.reasons.CAUSES``."""
    fell_silent_ms: int | None = None
    """Due time of the first poll that went without an answer when it fell silent last."""
    earlier: Earlier | None = None
    """Its last reading of before; None while it is not known, and once there is one of this epoch."""

    @property
    def reading(self) -> Reading | None:
        """The newest reading of this epoch, recorded or not."""
        if isinstance(self.newest, NotRecorded):
            return self.newest.reading
        body = self.newest.body if self.newest else None
        return body if isinstance(body, Reading) else None

    @property
    def known(self) -> Reading | None:
        """The newest reading, also of before this epoch."""
        return self.reading or (self.earlier.reading if self.earlier is not None else None)

    @property
    def up(self) -> bool | None:
        """Whether its last poll was answered, or it sleeps as it may; None: it was not polled in this epoch."""
        if not (self.recorded or any(self.missed.values()) or any(self.unrecorded.values())):
            return None
        return self.silent_since_ms is None or self.reason == "asleep"

    @property
    def silence(self) -> dict[str, Any] | None:
        """Since when and why it gives no reading, as plain data; None: its last poll gave one."""
        if self.silent_since_ms is None:
            return None
        return {"since": self.silent_since_ms, "reason": self.reason, "cause": self.cause}

    def copy(self) -> MeterNow:
        """A copy for another thread."""
        return replace(self, missed=self.missed.copy(), unrecorded=self.unrecorded.copy())


class Live:
    """Every meter's newest. A listener of the hub; read it in the event loop only."""

    def __init__(self, meters: Iterable[str]) -> None:
        self.meters = {name: MeterNow(name) for name in meters}

    def change(self, meters: Iterable[str]) -> None:
        """Another configuration: what is known of meters that stay is kept."""
        self.meters = {name: self.meters.get(name) or MeterNow(name) for name in meters}

    def hear(self, news: Sequence[News]) -> None:
        """Take in what has happened."""
        for item in news:
            now = self.meters.get(item.row.meter if isinstance(item, SignedRecord) else item.meter)
            if now is None:  # the gateway itself, or a meter that is no more
                continue
            if isinstance(item, MissedPoll):
                self._missed(now, item)
            elif isinstance(item, NotRecorded):
                now.unrecorded[item.reason] += 1
                self._answered(now, item, item.reading)
            elif isinstance(item.body, Reading):
                now.recorded += 1
                self._answered(now, item, item.body)

    def recall(self, found: Mapping[str, Earlier]) -> None:
        """Take what is known of before this epoch, by meter; nothing of those that have been read meanwhile."""
        for name, earlier in found.items():
            now = self.meters.get(name)
            if now is not None and now.newest is None:
                now.earlier = earlier
                if now.silent_since_ms is not None and earlier.silent_since_ms is not None:
                    now.silent_since_ms = now.fell_silent_ms = earlier.silent_since_ms

    def _missed(self, now: MeterNow, item: MissedPoll) -> None:
        now.missed[item.reason] += 1
        now.reason, now.cause = item.reason, item.cause or item.reason
        if now.silent_since_ms is None:
            before_ms = now.earlier.silent_since_ms if now.earlier is not None else None
            now.silent_since_ms = now.fell_silent_ms = item.due_ms if before_ms is None else before_ms

    def _answered(self, now: MeterNow, item: SignedRecord | NotRecorded, reading: Reading) -> None:
        now.newest, now.earlier = item, None
        if now.silent_since_ms is not None and reading.time_ms >= now.silent_since_ms:  # it may be of before: a record
            now.silent_since_ms = now.reason = now.cause = None  # is told when it is durable, a miss at once
