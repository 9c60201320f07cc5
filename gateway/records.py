"""Facts that pass between rooms: polls, events and timestamps on their way to the writer; records once durable.

The names of the gateway's own events stand here too (docs/evidence.cddl).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from gateway.clock import Clock
from gateway.messages.message import Message
from ledger_client.formats.record import Body, Event, is_commissioning_record
from ledger_client.formats.senml import Reading
from ledger_client.messages import Sentence

GATEWAY = "gateway"
"""The owner of the gateway's own events, in place of a meter (docs/formats.md)."""

START, STOP = "start", "stop"
"""The two ends of an epoch."""
ALARM = "alarm"
"""Of a meter, or of the gateway where a whole line is meant; ``raised`` true and later false."""
CLOCK = "clock"
"""Record times are corrected; in an epoch of an unknown clock, when it really was."""
CONFIGURATION = "configuration"
"""What is configured: ``at`` the start of an epoch, at a change, or as the first record behind a cut of another day."""
KEYS = "keys"
"""A key that takes the place of another one (``before``), or is new to the gateway."""
ROLLBACK, EQUIVOCATION = "rollback", "equivocation"
"""A ledger holds batches that this database does not; or another batch under a number that was sealed here."""
DATA_CHANGED = "data-changed"
"""Of a meter: a message with the ``label`` and ``part`` of one that is recorded holds something else; both are."""
RATIO_DIFFERS = "ratio-differs"
"""Of a meter: ``ratios`` set in it that are not those of the configuration, by name of the scale point the value
``configured`` and the one ``read``; none in it: they agree again."""
SCHEDULE = "schedule"
"""New grids that belong to no other event, or found no room in it."""
COMMISSIONING = "commissioning"
"""What a commissioning record is called on pages and by the API."""
SENTENCES = ("text", "why", "reason")
"""Facts of events beside which a message may be signed: the same sentence as a code with its facts."""


def event_name(event: Event) -> str:
    """What an event is called by: its name, but for a commissioning record, which shares that of a first identity."""
    return COMMISSIONING if is_commissioning_record(event) else event.name


class Timestamp(NamedTuple):
    """When something was known: wall clock in ms, ms since the epoch began, the clock's letter and error bound (ms)."""

    time_ms: int
    up_ms: int
    clock: str
    error_ms: int | None

    @staticmethod
    def now(clock: Clock) -> Timestamp:
        """Now, by the gateway's clock."""
        letter, error_ms = clock.letter()
        return Timestamp(clock.now_ms(), clock.up_ms(), letter, error_ms)


class Token(NamedTuple):
    """By what a message that a meter sent unasked is known when it is sent again: its own label (its time, say), which
    part of it this is, and the SHA-256 of what it holds."""

    label: str
    part: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class PollResult:
    """One due poll that is over: a reading with its timestamp, or the reason why there is none. With both it is no
    record, and only the breaks in the reading count. ``token``: of a message whose sender waits until it is
    recorded; the news of its end bears it. ``cause``: the reason, where a page or alarm
    needs a finer one (``messages.reasons``)."""

    meter: str
    due_ms: int
    reading: Reading | None
    stamp: Timestamp | None
    reason: str | None = None
    token: Token | None = None
    cause: str = ""


@dataclass(frozen=True, slots=True)
class MeterEvent:
    """An event of one meter, or of the gateway under the name ``GATEWAY``; ``stamp`` None: now."""

    meter: str
    event: Event
    stamp: Timestamp | None = None


def sentence_fields(sentence: Sentence, key: str = "text") -> dict[str, Any]:
    """A sentence as fields of a signed event: its English under ``key``, and a message also by its code and facts."""
    return {key: str(sentence), **(sentence.to_fields() if isinstance(sentence, Message) else {})}


def alarm_event(code: str, line: str, sentence: Sentence, *, raised: bool) -> Event:
    """An event `alarm` of what is raised or cleared; ``line``: the line, ledger or part that it is about."""
    return Event(ALARM, {"code": code, "line": line, "raised": raised, **sentence_fields(sentence)})


class StoredRecord(NamedTuple):
    """One signed record in the order of the table's columns; ``data`` is the evidence, the rest finds it."""

    meter: str
    epoch: bytes
    seq: int
    kind: str
    time_ms: int
    data: bytes

    @property
    def id(self) -> str:
        """The record's public name, ``<meter>/<epoch hex>/<seq>``."""
        return f"{self.meter}/{self.epoch.hex()}/{self.seq}"


@dataclass(frozen=True, slots=True)
class SignedRecord:
    """A signed record: a reading, a coverage record or an event. It is announced only once its row is durable; not
    before may a message with a ``token`` be acknowledged to its sender."""

    row: StoredRecord
    body: Body
    stamp: Timestamp
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class NotRecorded:
    """A reading that is neither kept nor signed, since recording is stopped: ``reason`` disk-full or disk-error. A
    message with a ``token`` is not acknowledged, so its sender sends it again."""

    meter: str
    reading: Reading
    stamp: Timestamp
    reason: str
    token: Token | None = None


@dataclass(frozen=True, slots=True)
class MissedPoll:
    """A due poll without an answer: its due time among record times, in ms, and the reason that coverage counts. With a
    ``token`` it is a message that found no room in front of the disk. ``cause``: as of ``PollResult``; "": the reason.
    """

    meter: str
    due_ms: int
    reason: str
    token: Token | None = None
    cause: str = ""


News = SignedRecord | NotRecorded | MissedPoll
Listener = Callable[[Sequence[News]], None]
