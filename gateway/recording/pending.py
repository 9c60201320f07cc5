"""Pending records: signed and not committed, and the events that wait to be signed. What a failed commit takes back."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from gateway.clock import Clock
from gateway.recording.signer import Signer
from gateway.records import CLOCK, SCHEDULE, MeterEvent, PollResult, SignedRecord, Timestamp
from ledger_client.formats.senml import Quality, Reading

_OF_THE_EPOCH = CLOCK, SCHEDULE
"""Events of the record times and grids of one epoch: they come before all else that waits, which bears later stamps,
and mean nothing in the next epoch."""
ASKED_MS = 100
"""Longest time that a record whose sender waits for an acknowledgement is held back, to be committed with others. With
the way here and the commit it is acknowledged within 200 ms."""
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
        """Events that are not signed yet, because nothing is recorded."""
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
        """Sign an event, which is signed again if the commit fails."""
        self._add(self.signer.event(item.meter, item.event, stamp))
        self._events.append(item)

    def _add(self, signed: SignedRecord) -> None:
        self._records.append(signed)
        if self.since_ms is None:
            self.since_ms = self._clock.schedule_ms()
        if signed.token is not None and self.asked_ms is None:
            self.asked_ms = self._clock.schedule_ms()

    def sign_again(self, events: Iterable[MeterEvent]) -> None:
        """Remember events that a commit holds besides the pending ones: they wait if it fails."""
        self._events += events

    def sign_waiting(self, now: Timestamp) -> list[SignedRecord]:
        """The events that wait, signed in the order in which they may stand. They wait until ``waiting`` is cleared."""
        ordered = sorted(self.waiting, key=lambda item: not is_of_the_epoch(item))
        return [self.signer.event(item.meter, item.event, now) for item in ordered]

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
        """The disk holds everything that was signed."""
        self._events, self.position, self._keys = [], self.signer.position(), self.signer.keys

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
