"""Route `/readings`: recorded readings, gateway by gateway and meter by meter, each in the order of time.

A list is read in steps within a day, each on a state of the database of its own: none holds a transaction for long, and
none looks into more than a partition or two.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import urlencode

from starlette.responses import Response

from control_room.store import meters as rows
from control_room.store.connection import Database
from control_room.store.meters import MeterRow, ReadingRow
from control_room.store.recorded import recorded
from control_room.web.gateways import reversed_
from control_room.web.route import Call, demand_gateway
from gateway.api.shapes.parameters import ReadingPage
from gateway.api.shapes.portions import MOST, TooMany
from gateway.api.shapes.problems import Refusal
from gateway.api.shapes.reading_lines import Line, ReadingLines, quality_of
from gateway.api.shapes.reading_lists import PORTION, ReadingList
from gateway.api.shapes.reading_writers import MEDIA, PLAIN, ItemsWriter, MakeWriter
from gateway.errors import GatewayError
from gateway.local_calendar import instant_of
from gateway.messages.message import Message

AGAIN_S: Final = 2
DAY_MS: Final = 86_400_000
FOR_EVER_MS: Final = 32_503_680_000_000
"""The year 3000."""
NOWHERE: Final = (-1, 0, 0)
"""Before every reading of a meter."""


class Place(NamedTuple):
    """Behind which reading a list goes on: number of its gateway and name of its meter, time, number of the epoch, and
    its own number."""

    gateway: int
    meter: str
    time_ms: int
    epoch: int
    seq: int


class Row(NamedTuple):
    """A reading, and whose it is."""

    meter: MeterRow
    reading: ReadingRow
    db: Database


class Walk:
    """The readings that are asked for, ``most`` of them at most (``gateway.api.shapes.reading_lists``)."""

    def __init__(self, asked: ReadingPage, from_ms: int, to_ms: int, place: Place | None) -> None:
        self._asked, self._to_ms = asked, to_ms
        self._from_ms = self._at_ms = from_ms
        self._points = None if asked.points is None else frozenset(asked.points.split(","))
        self._left = asked.limit + 1  # the last of which only says that there is more
        self._meter: MeterRow | None = None
        self._after: tuple[int, int, int] = NOWHERE
        self._behind: tuple[int, str] = (0, "")
        self._begin = place
        self._between = True
        """The day in which the list stands is over: the next one that has a reading is to be found."""
        self.over = False
        self.place: Place | None = None
        """Of the last reading."""
        self.more = False
        """Whether one follows that the list has no room for."""

    def begin(self, store: Database) -> None:
        """Find the meter that the list begins with. Raises Refusal: there is none of this name."""
        asked, place = self._asked, self._begin
        if place is None:
            self._next_meter(store)
            if self._meter is None and asked.meter is not None:
                raise Refusal(Message("meter-unknown", meter=asked.meter))
            return
        self._behind = place.gateway, place.meter
        found = rows.meters(store, 1, gateway=asked.gateway, meter=place.meter, after=(place.gateway, ""))
        exact = [one for one in found if (one.gateway_id, one.name) == self._behind]
        if not exact or asked.meter not in (None, place.meter):
            raise Refusal(Message("cursor-invalid"))
        self._turn_to(exact[0])
        self._after, self._at_ms = (place.time_ms, place.epoch, place.seq), max(self._from_ms, place.time_ms)
        self._between = False

    def take(self, store: Database, most: int) -> Sequence[Row]:
        """Up to so many further readings, of one meter."""
        if self._meter is None:
            self.over = True
            return ()
        if self._between:
            first_ms = rows.first_ms(store, self._meter.id, self._at_ms, self._to_ms)
            if first_ms is None:
                self._next_meter(store)
                self.over = self._meter is None
                return ()
            self._at_ms, self._between = first_ms, False
        most = min(most, self._left)
        end_ms = min(self._to_ms, self._at_ms + DAY_MS)
        found = rows.readings(store, self._meter.id, self._at_ms, end_ms, self._after, most)
        if len(found) < most:
            self._at_ms, self._between = end_ms, True
        self._left -= len(found)
        if not self._left:
            self.more = self.over = True
            found.pop()
        if found:
            self._after = found[-1].time_ms, found[-1].epoch_id, found[-1].seq
            self.place = Place(self._meter.gateway_id, self._meter.name, *self._after)
        return [Row(self._meter, reading, store) for reading in found]

    def lines(self, row: Row) -> ReadingLines | None:
        """The wanted values; None: it has none of the points."""
        reading, meter = row.reading, row.meter.name
        record, time_ms = f"{meter}/{reading.epoch.hex()}/{reading.seq}", reading.time_ms
        lines = [
            Line(time_ms + offset, meter, name, value, unit, *quality_of(bits), record, "")
            for name, value, unit, bits, offset in recorded(row.db, reading)
            if self._points is None or name in self._points
        ]
        self.current = row.meter
        return ReadingLines(time_ms, meter, record, "", lines) if lines or self._points is None else None

    def of(self, _: ReadingLines) -> tuple[str, bool | None]:
        """The gateway of the reading whose lines were made last, and whether its meter hangs the wrong way round."""
        return self.current.gateway, reversed_(self.current)

    def _next_meter(self, store: Database) -> None:
        found = rows.meters(store, 1, gateway=self._asked.gateway, meter=self._asked.meter, after=self._behind)
        self._meter = None
        if found:
            self._behind = found[0].gateway_id, found[0].name
            self._turn_to(found[0])

    def _turn_to(self, meter: MeterRow) -> None:
        self._meter, self._after, self._at_ms, self._between = meter, NOWHERE, self._from_ms, True


async def readings(call: Call[ReadingPage]) -> Response:
    """Recorded readings, written portion by portion. Raises Refusal."""
    assert call.portions is not None
    asked = call.parameters
    if asked.format != "json" and asked.gateway is None:
        raise Refusal(Message("parameter-missing", name="gateway"))
    times, place = _times(call), _place(call)
    walk = Walk(asked, *times, place)
    headers: dict[str, str] = {}
    trusted = call.site.trusted()

    def prepare(store: Database) -> MakeWriter:
        demand_gateway(store, trusted, asked.gateway)
        if asked.format == "json":
            return lambda file: ItemsWriter(file, walk.of, lambda: _following(call, walk))
        ahead = Walk(asked, *times, place)  # the lines have no place for it
        ahead.begin(store)
        while not ahead.over:
            ahead.take(store, PORTION)
        if cursor := _following(call, ahead):
            query = asked.model_dump(mode="json", by_alias=True, exclude_none=True) | {"cursor": cursor}
            headers["Link"] = f'<{call.path}?{urlencode(query)}>; rel="next"'
        return PLAIN[asked.format]

    try:
        return await call.portions.answer(ReadingList(walk, asked.format, prepare, headers), call.holds)
    except TooMany:
        raise Refusal(Message("lists-too-many", most=MOST), {"Retry-After": str(AGAIN_S)}) from None


def _following(call: Call[ReadingPage], walk: Walk) -> str | None:
    return call.cursor(*walk.place) if walk.more and walk.place is not None else None


def _place(call: Call[ReadingPage]) -> Place | None:
    match call.place():
        case None:
            return None
        case (int(gateway), str(meter), int(time_ms), int(epoch), int(seq)) if (
            0 <= time_ms <= FOR_EVER_MS and max(abs(gateway), abs(epoch)) < 1 << 31
        ):
            return Place(gateway, meter, time_ms, epoch, seq)
    raise Refusal(Message("cursor-invalid"))


def _times(call: Call[ReadingPage]) -> tuple[int, int]:
    """The times that are asked for. Raises Refusal."""
    asked, now_ms, found = call.parameters, call.site.now_ms(), []
    for name, text, default in (("from", asked.from_, 0), ("to", asked.to, FOR_EVER_MS)):
        try:
            ms = default if text is None else instant_of(text, now_ms)
        except GatewayError as error:
            raise Refusal(Message("parameter-invalid", name=name, why=error.sentence)) from None
        found.append(min(max(ms, 0), FOR_EVER_MS))
    return found[0], found[1]


LISTS: Final[Mapping[str, Mapping[str, Any]]] = {
    MEDIA["jsonl"]: {"type": "string"},
    MEDIA["csv"].partition(";")[0]: {"type": "string"},
}
"""Schemas of the answers that are no JSON document."""
