"""Pending records: signed and not committed, and the events that wait to be signed. What a failed commit takes back.

Events wait for the disk, or for the statement key (recording/statement_key.py). Those that wait for the key are kept in
the database, too, by the next commit after each change: the next start signs them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import inf
from typing import Any, Final

from gateway.clock import Clock
from gateway.recording.signer import Signer
from gateway.recording.statement_key import MOST_WAITING
from gateway.records import CLOCK, GATEWAY, SCHEDULE, STOP, MeterEvent, PollResult, SignedRecord, Timestamp
from ledger_client.errors import KeyAway
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Quality, Reading

_OF_THE_EPOCH = CLOCK, SCHEDULE
"""Events of the record times and grids of one epoch: they come before all else that waits, which bears later stamps,
and mean nothing in the next epoch."""
ASKED_MS = 100
"""Longest time that a record whose sender waits for an acknowledgement is held back, to be committed with others. With
the way here and the commit it is acknowledged within 200 ms."""
LEFT_OUT: Final = "events-left-out"
"""An event of the gateway: so many ``events`` found no room while its key was away, from ``since`` on (ms)."""
_BREAKS = int(Quality.ROLLOVER | Quality.COUNTER_RESET | Quality.METER_EXCHANGED)
"""A counter goes on from elsewhere: it stands once, with the first value behind it."""


def is_of_the_epoch(event: MeterEvent) -> bool:
    """Whether an event means nothing in the next epoch."""
    return event.event.name in _OF_THE_EPOCH


class Pending:
    """Records in the order of their chains. ``take`` gives them to a commit, which ends with ``committed`` or ``undo``.

    Writer thread only, but for ``since_ms``, which any thread may read.
    """

    def __init__(self, signer: Signer, clock: Clock) -> None:
        self.signer, self._clock = signer, clock
        self.position: Mapping[str, Any] = signer.position()
        """Where each chain stood with the last commit: next number, hash of the last record."""
        self._keys = signer.keys
        """What signed then."""
        self.waiting: list[MeterEvent] = []
        """Events that are not signed yet, because nothing is recorded, or because the statement key is away."""
        self._saved: Sequence[MeterEvent] = ()
        """Those of them that the database holds."""
        self.since_ms: int | None = None
        """When the oldest pending record was signed, by the schedule's clock; None: none is pending."""
        self.asked_ms: int | None = None
        """The same of the oldest one whose sender waits for an acknowledgement."""
        self._breaks: dict[str, dict[str, int]] = {}  # by meter and point, in no record yet
        self._records: list[SignedRecord] = []
        self._events: list[MeterEvent] = []  # signed, and to be signed again should the commit fail

    def __len__(self) -> int:
        return len(self._records)

    def reading(self, poll: PollResult, reading: Reading, stamp: Timestamp) -> None:
        """Sign a reading, with the breaks of its counters that stand in no record yet."""
        if breaks := self._breaks.get(poll.meter):
            reading = _with_breaks(reading, breaks)
        self._add(self.signer.reading(poll.meter, reading, stamp, poll.token))

    def left_out(self, meter: str, reading: Reading) -> None:
        """A reading is no record, or was not committed: what it says of breaks stands on the next record of each point,
        once."""
        for value in reading.values:
            if value.quality & _BREAKS:
                breaks = self._breaks.setdefault(meter, {})
                breaks[value.name] = breaks.get(value.name, 0) | value.quality & _BREAKS

    def event(self, item: MeterEvent, stamp: Timestamp) -> None:
        """Sign an event, which is signed again if the commit fails. Raises KeyAway."""
        self._add(self.signer.event(item.meter, item.event, stamp))
        self._events.append(item)

    def wait(self, item: MeterEvent) -> None:
        """Keep an event of the gateway until its key is back; the commit that keeps it in the database is due as if it
        were signed. Behind ``MOST_WAITING`` events it is only counted."""
        if self.since_ms is None:
            self.since_ms = self._clock.schedule_ms()
        last = self.waiting[-1] if self.waiting else None
        if last is not None and last.event.name == LEFT_OUT:
            facts = last.event.fields
            self.waiting[-1] = MeterEvent(GATEWAY, Event(LEFT_OUT, {**facts, "events": facts["events"] + 1}))
        elif len(self.waiting) >= MOST_WAITING:
            self.waiting.append(MeterEvent(GATEWAY, Event(LEFT_OUT, {"events": 1, "since": self._clock.now_ms()})))
        else:
            self.waiting.append(item)

    def found(self, kept: Sequence[MeterEvent]) -> None:
        """Take over the events that an earlier epoch has kept in the database."""
        self.waiting, self._saved = list(kept), tuple(kept)

    def to_save(self) -> tuple[Sequence[MeterEvent], Sequence[MeterEvent]] | None:
        """What the database holds of the events that wait for the key, and what it should; None: it holds them."""
        waiting = self._awaiting_key()
        return None if list(self._saved) == waiting else (self._saved, waiting)

    def _awaiting_key(self) -> list[MeterEvent]:
        return [item for item in self.waiting if item.meter == GATEWAY and not is_of_the_epoch(item)]

    def _add(self, signed: SignedRecord) -> None:
        self._records.append(signed)
        if self.since_ms is None:
            self.since_ms = self._clock.schedule_ms()
        if signed.token is not None and self.asked_ms is None:
            self.asked_ms = self._clock.schedule_ms()

    def sign_again(self, events: Iterable[MeterEvent]) -> None:
        """Remember events that a commit holds besides the pending ones: they wait if it fails."""
        self._events += events

    def sign_waiting(self, now: Timestamp, *, within_s: float = inf) -> list[SignedRecord]:
        """The events that wait, signed in the order in which they may stand, as far as their keys are at hand. They
        wait again if the commit fails; those of a key that is away go on waiting.

        Args:
            now: the time that they bear.
            within_s: how long to sign; what is left waits for the next time.

        Raises:
            KeyAway: an event of this epoch's times or grids cannot be signed, without which nothing may follow.
        """
        signed: list[SignedRecord] = []
        done: list[MeterEvent] = []
        left: list[MeterEvent] = []
        until_s = self._clock.monotonic() + within_s
        for item in sorted(self.waiting, key=lambda item: not is_of_the_epoch(item)):
            try:
                if item.meter == GATEWAY and (left or self._clock.monotonic() > until_s):
                    left.append(item)
                    continue
                signed.append(self.signer.event(item.meter, item.event, now))
                done.append(item)
            except KeyAway:
                if is_of_the_epoch(item):
                    raise
                left.append(item)
        self.waiting = left
        self.sign_again(done)
        return signed

    def sign_last(self, items: Sequence[MeterEvent], now: Timestamp) -> list[SignedRecord]:
        """Events behind all others; they wait where their key is away, but for the end of the epoch: then it has none.
        A commit that fails forgets them."""
        signed = []
        for item in items:
            try:
                if self.waiting:
                    self.waiting.append(item)
                else:
                    signed.append(self.signer.event(item.meter, item.event, now))
            except KeyAway:
                self.waiting.append(item)
        self.waiting = [item for item in self.waiting if item.event.name != STOP]
        return signed

    def take(self) -> list[SignedRecord]:
        """What is pending, for one commit."""
        records, self._records, self.since_ms, self.asked_ms = self._records, [], None, None
        return records

    def __iter__(self) -> Iterator[SignedRecord]:
        return iter(self._records)

    def due_ms(self, commit_every_ms: int) -> int | None:
        """When what is pending is to be committed, by the schedule's clock; None: nothing is pending. Any thread may
        ask."""
        since_ms, asked_ms = self.since_ms, self.asked_ms
        if since_ms is None:
            return None
        due_ms = since_ms + commit_every_ms
        return due_ms if asked_ms is None else min(due_ms, asked_ms + ASKED_MS)

    def committed(self) -> None:
        """The disk holds everything that was signed, and what waits for the key."""
        self._events, self.position, self._keys = [], self.signer.position(), self.signer.keys
        self._saved = tuple(self._awaiting_key())

    def undo(self) -> None:
        """The disk holds nothing signed since the last commit: the numbers are given again, by the keys of then, and
        the events wait."""
        self.signer.rewind(self.position)
        self.signer.sign_with(self._keys)
        self.waiting, self._events = [*self._events, *self.waiting], []


def breaks_alone(reading: Reading) -> Reading | None:
    """The values of a reading that have a break; None: none has."""
    values = tuple(value for value in reading.values if value.quality & _BREAKS)
    return Reading(reading.time_ms, values) if values else None


def _with_breaks(reading: Reading, breaks: dict[str, int]) -> Reading:
    """The reading with these bits at its points; they are taken out of ``breaks``."""
    values = tuple(v._replace(quality=v.quality | breaks.pop(v.name, 0)) for v in reading.values)
    return Reading(reading.time_ms, values)
