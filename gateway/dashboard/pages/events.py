"""Facts of the events page: signed events, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.messages.languages import Stored
from gateway.messages.message import Message
from gateway.records import ALARM, GATEWAY
from gateway.storage.database import Database
from ledger_client.formats.record import Event, is_commissioning_record, parse_record
from ledger_client.verification.value_words import number_text

PAGE = 40
LONGEST = 240
SENTENCES = ("text", "why", "reason")
"""Facts of events beside which a message may be signed: the same sentence as a code with its facts."""
COMMISSIONING = "commissioning"
OF_COMMISSIONING = ("identity", "profile", "by")
OF_METERS = {"meters", "grids", "stopped"}
"""Facts for each meter: too many for a line, which shows the meters' names."""


@dataclass(frozen=True, slots=True)
class Happened:
    """One event. ``raised``: of an alarm, whether it began or ended."""

    meter: str
    epoch: bytes
    seq: int
    time_ms: int
    name: str
    code: str
    raised: bool | None
    sentence: Stored
    facts: tuple[tuple[str, str | Stored], ...]

    @property
    def of_gateway(self) -> bool:
        """Whether it is an event of the gateway itself."""
        return self.meter == GATEWAY


@dataclass(frozen=True, slots=True)
class EventList:
    """A stretch of the list. ``older``: the place in front of which it goes on; ``of``: the meter that was chosen."""

    rows: tuple[Happened, ...]
    older: int | None
    newest: bool
    of: str


def events(store: Database, before: int | None, of: str) -> EventList:
    """Up to ``PAGE`` events in front of a place, of one meter or (``""``) of all. Raises StoreError."""
    found = store.records.newest_events(PAGE + 1, before, of or None)
    rows = tuple(_happened(row) for _, row in found[:PAGE])
    return EventList(rows, found[PAGE - 1][0] if len(found) > PAGE else None, before is None, of)


def _happened(row: Any) -> Happened:
    body = parse_record(row.data).body
    assert isinstance(body, Event), "the table says so"
    fields = worded(body.fields)
    if is_commissioning_record(body):  # its page shows the rest
        fields = {key: fields[key] for key in OF_COMMISSIONING if key in fields}
    is_alarm = body.name == ALARM
    sentence = fields.pop("text", "") if is_alarm else ""
    sentence = sentence if isinstance(sentence, Stored) else Stored(str(sentence))
    code = str(fields.pop("code", ""))
    raised = bool(fields.pop("raised")) if is_alarm and "raised" in fields else None
    of_meters = {table: list(fields[table]) for table in OF_METERS & fields.keys()}
    facts = tuple((key, plain(value)) for key, value in sorted((fields | of_meters).items()))
    return Happened(row.meter, row.epoch, row.seq, row.time_ms, event_name(body), code, raised, sentence, facts)


def event_name(event: Event) -> str:
    """What an event is called by: its name, but for a commissioning record, which shares that of a first identity."""
    return COMMISSIONING if is_commissioning_record(event) else event.name


def worded(fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of an event; a message is put together with the English text that it stands beside."""
    message, found = Message.from_fields(fields), dict(fields)
    key = next((key for key in SENTENCES if key in fields), None)
    if message is not None and key is not None:
        found[key] = Stored(str(fields[key]), message)
        del found["message"], found["facts"]
    return found


def plain(value: object) -> str | Stored:
    """A fact of an event in one line; a sentence as it is."""
    return value if isinstance(value, Stored) else _line(value)


def _line(value: object) -> str:
    if isinstance(value, Mapping):
        text = ", ".join(f"{key} {_line(one)}" for key, one in value.items())
    elif isinstance(value, list | tuple):
        text = ", ".join(_line(one) for one in value)
    else:
        text = number_text(value)
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
