"""Facts of the list of a meter's records: those of any time, those at the edges of one, and the way to a single one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from urllib.parse import urlencode

from gateway.config.model import Config
from gateway.dashboard.pages.events import places_within
from gateway.dashboard.pages.record_state import State, States
from gateway.dashboard.pages.values import headline
from gateway.dashboard.shell.page import NotFound
from gateway.dashboard.shell.time.asked_range import Bounds, stamp
from gateway.dashboard.shell.time.paging import Page, Turn, page_of
from gateway.messages.message import Message
from gateway.records import GATEWAY, StoredRecord, event_name
from gateway.storage.database import Database
from gateway.storage.record_reader import read_body, read_reading
from gateway.storage.record_tables import Within
from gateway.storage.summary_tables import SLACK_MS
from ledger_client.formats.record import Coverage, Event, parse_record
from ledger_client.formats.senml import Value

PAGE = 40
SHOWN = 2
"""Values of a reading in its line."""


@dataclass(frozen=True, slots=True)
class RecordRow:
    """One record: some values of a reading as recorded, the counts of a coverage record, or the name of an event.
    ``provable``: its bundle can be made now."""

    row: StoredRecord
    state: State
    provable: bool
    values: tuple[Value, ...] = ()
    quality: int = 0
    """All bits of the reading, of every value."""
    covered: Coverage | None = None
    event: str = ""


@dataclass(frozen=True, slots=True)
class RecordList:
    """Records of a meter. ``point``: the one whose values are shown (``""``: the most important ones); ``edges``: they
    are the readings on either side of both bounds; ``marked``: the reading nearest to a moment that was jumped to;
    ``late``: the meter sends by itself, and what it delivers late stands where it came in, outside its own time."""

    meter: str
    label: str
    page: Page[RecordRow]
    bounds: Bounds
    point: str
    edges: bool
    marked: int | None
    late: bool


@dataclass(frozen=True, slots=True)
class Wanted:
    """What an address asks for: ``one``: the record itself if there is but one reading."""

    meter: str
    bounds: Bounds
    turn: Turn
    point: str
    edges: bool
    one: bool

    @classmethod
    def of(cls, meter: str, query: Mapping[str, str], bounds: Bounds) -> Wanted:
        """The wish of an address; edges need both bounds."""
        edges = "edges" in query and bounds.from_ms is not None and bounds.to_ms is not None
        turn = Turn.of(query, bounds.at_ms)
        return cls(meter, bounds, turn, query.get("point", ""), edges, "one" in query)


class _Kept:
    """The records of a meter within bounds, as a list."""

    def __init__(self, store: Database, meter: str, bounds: Bounds) -> None:
        self._store, self._meter, self._within = store, meter, places_within(store, bounds)

    def older(self, before: int, count: int) -> list[tuple[int, StoredRecord]]:
        within = self._within._replace(last_id=min(self._within.last_id, before - 1))
        return self._store.records.within(self._meter, within, count)

    def newer(self, after: int, count: int) -> list[tuple[int, StoredRecord]]:
        within = self._within._replace(first_id=max(self._within.first_id, after + 1))
        return self._store.records.within(self._meter, within, count, oldest=True)

    def number_at(self, time_ms: int) -> int:
        return self._store.summaries.place_of(time_ms)


def records(store: Database, config: Config, wanted: Wanted) -> RecordList:
    """Up to ``PAGE`` records of a meter, newest first.

    Raises:
        NotFound: there is no such meter in the configuration, nor a record of it.
        StoreError: the database cannot be read.
    """
    name = wanted.meter
    meter = config.meters.get(name)
    if meter is None and name != GATEWAY and not store.records.chain(name, 1):
        raise NotFound(Message("page-no-meter", meter=name))
    if wanted.edges:
        rows = Page(tuple(_at_edges(store, wanted)), None, None)
    else:
        rows = page_of(_Kept(store, name, wanted.bounds), wanted.turn, PAGE)
    important = headline(meter, config.profiles[name]) if meter is not None else ()
    lines = _Lines(store, (wanted.point,) if wanted.point else important)
    page = rows.map(lines.line)
    label, late = (meter.label, config.profiles[name].protocol == "hj212") if meter is not None else ("", False)
    marked = _nearest(page, wanted.turn)
    return RecordList(name, label, page, wanted.bounds, wanted.point, wanted.edges, marked, late)


def single(store: Database, wanted: Wanted) -> str | None:
    """The address of the record where there is but one reading within bounds. Raises StoreError."""
    within = places_within(store, wanted.bounds)
    found = store.records.within(wanted.meter, within, 2, kind="reading") if wanted.one else []
    return record_address(found[0][1]) if len(found) == 1 else None


def record_address(row: StoredRecord) -> str:
    """Where the page of a record is."""
    return f"/meters/{row.meter}/records/{row.epoch.hex()}/{row.seq}"


def records_address(meter: str, from_ms: int, to_ms: int, point: str = "", **marks: str) -> str:
    """Where the list of a meter's records of some time is."""
    query = {"from": stamp(from_ms), "to": stamp(to_ms), **({"point": point} if point else {}), **marks}
    return f"/meters/{meter}/records?{urlencode(query, safe=':')}"


def _at_edges(store: Database, wanted: Wanted) -> list[tuple[int, StoredRecord]]:
    """The last reading in front of each bound and the first one from it on, newest first."""
    found: dict[int, StoredRecord] = {}
    for ms in (wanted.bounds.from_ms or 0, wanted.bounds.to_ms or 0):
        before = Within(last_id=store.summaries.place_of(ms + SLACK_MS), to_ms=ms)
        behind = Within(first_id=store.summaries.place_of(ms - SLACK_MS), from_ms=ms)
        found |= store.records.within(wanted.meter, before, 1, kind="reading")
        found |= store.records.within(wanted.meter, behind, 1, kind="reading", oldest=True)
    return sorted(found.items(), reverse=True)


def _nearest(page: Page[RecordRow], turn: Turn) -> int | None:
    at_ms = turn.at_ms
    if at_ms is None:
        return None
    readings = [(abs(line.row.time_ms - at_ms), place) for place, line in page.rows if line.row.kind == "reading"]
    return min(readings)[1] if readings else None


class _Lines:
    """Makes lines of records; what batches hold them is looked up once."""

    def __init__(self, store: Database, points: Sequence[str]) -> None:
        self._store, self._points, self._states = store, points, States(store)
        self._whole: dict[int, bool] = {}

    def line(self, place: int, row: StoredRecord) -> RecordRow:
        """The line of one record."""
        state = self._states.at(place)
        made = RecordRow(row, state, state.word == "anchored" and self._is_whole(state.batch or 0))
        if row.kind == "reading":
            return self._reading(made)
        if row.kind == "coverage":
            body = read_body(row.kind, row.time_ms, row.data)
            return replace(made, covered=body if isinstance(body, Coverage) else None)
        event = parse_record(row.data).body
        return replace(made, event=event_name(event) if isinstance(event, Event) else "")

    def _reading(self, made: RecordRow) -> RecordRow:
        reading, _ = read_reading(made.row)
        quality = 0
        for value in reading.values:
            quality |= value.quality
        by_name = {value.name: value for value in reading.values}
        some = [by_name[name] for name in self._points if name in by_name] or list(reading.values)
        return replace(made, values=tuple(some[:SHOWN]), quality=quality)

    def _is_whole(self, batch: int) -> bool:
        if batch not in self._whole:
            self._whole[batch] = self._store.batches.is_whole(batch)
        return self._whole[batch]
