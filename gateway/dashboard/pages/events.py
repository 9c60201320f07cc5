"""Facts of the events page: signed events, newest first."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gateway.dashboard.shell.time.asked_range import Bounds
from gateway.dashboard.shell.time.paging import Page, Turn, page_of
from gateway.messages.languages import Stored
from gateway.messages.message import Message
from gateway.records import ALARM, GATEWAY, SENTENCES, StoredRecord, event_name
from gateway.storage.database import Database
from gateway.storage.record_tables import EVERYTHING, Within
from gateway.storage.summary_tables import SLACK_MS
from ledger_client.formats.record import Event, is_commissioning_record, parse_record
from ledger_client.verification.value_words import number_text

PAGE = 40
LONGEST = 240
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
    """A page of the list. ``of``: the meter that was chosen; ``marked``: of a moment that was jumped to, the place of
    the first event then or later."""

    page: Page[Happened]
    bounds: Bounds
    of: str
    marked: int | None


class _Events:
    """The events of one meter or of all within bounds, as a list."""

    def __init__(self, store: Database, bounds: Bounds, of: str) -> None:
        self._store, self._within, self._of = store, places_within(store, bounds), of or None

    def older(self, before: int, count: int) -> list[tuple[int, StoredRecord]]:
        within = self._within._replace(last_id=min(self._within.last_id, before - 1))
        return self._store.records.events_within(within, count, self._of)

    def newer(self, after: int, count: int) -> list[tuple[int, StoredRecord]]:
        within = self._within._replace(first_id=max(self._within.first_id, after + 1))
        return self._store.records.events_within(within, count, self._of, oldest=True)

    def number_at(self, time_ms: int) -> int:
        return self._store.summaries.place_of(time_ms)


def places_within(store: Database, bounds: Bounds) -> Within:
    """Bounds as places of the commit order and times. Raises StoreError."""
    within = EVERYTHING
    if bounds.from_ms is not None:
        first_id = store.summaries.place_of(bounds.from_ms - SLACK_MS)
        within = within._replace(first_id=first_id, from_ms=bounds.from_ms)
    if bounds.to_ms is not None:
        last_id = store.summaries.place_of(bounds.to_ms + SLACK_MS)
        within = within._replace(last_id=last_id, to_ms=bounds.to_ms)
    return within


def events(store: Database, bounds: Bounds, turn: Turn, of: str) -> EventList:
    """Up to ``PAGE`` events within bounds, of one meter or (``""``) of all. Raises StoreError."""
    page = page_of(_Events(store, bounds, of), turn, PAGE).map(lambda _, row: _happened(row))
    marked = None
    if turn.at_ms is not None:
        marked = next(
            (place for place, event in reversed(page.rows) if event.time_ms >= turn.at_ms // 1000 * 1000), None
        )
    return EventList(page, bounds, of, marked)


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
