"""Routes of what was recorded: `/readings`, a list of any length, and `/series`, its summaries by minute and hour."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import IO, Final
from urllib.parse import urlencode

from starlette.responses import Response

from gateway.api.recorded import Recorded
from gateway.api.route import Call, Rest, asked_times
from gateway.api.shapes import models
from gateway.api.shapes.models import Listed
from gateway.api.shapes.parameters import ReadingPage, SeriesPage
from gateway.api.shapes.portions import TooMany
from gateway.api.shapes.problems import Refusal
from gateway.api.shapes.reading_lines import ReadingLines
from gateway.api.shapes.reading_lists import ReadingList
from gateway.api.shapes.reading_writers import MEDIA, PLAIN, ItemsWriter, MakeWriter
from gateway.clock import HOUR_MS, MINUTE_MS
from gateway.errors import GatewayError, Pruned
from gateway.history.aggregates import Aggregate, PointStats
from gateway.history.point_columns import demand_points
from gateway.history.series import Spans
from gateway.history.value_lines import FOR_EVER_MS, Walk, Wanted
from gateway.messages.message import Message
from gateway.process.loop_turns import unhurried
from gateway.records import StoredRecord
from gateway.storage.database import Database
from gateway.verdicts import verdict

AGAIN_S: Final = 2
SPANS: Final = {"minute": MINUTE_MS, "hour": HOUR_MS}


async def readings(call: Call[ReadingPage]) -> Response:
    """Recorded readings in the order of commits, written portion by portion. Raises Refusal."""
    assert call.portions is not None
    try:
        return await call.portions.answer(_list(call), call.holds)
    except TooMany as error:
        raise _refusal(error, {"Retry-After": str(AGAIN_S)}) from None
    except Pruned as error:
        raise _refusal(error) from None


def _refusal(error: GatewayError, headers: Mapping[str, str] | None = None) -> Refusal:
    """An error whose message is one of the API's."""
    assert isinstance(error.message, Message)
    return Refusal(error.message, headers)


def _list(call: Call[ReadingPage]) -> ReadingList[Database, StoredRecord]:
    asked, config = call.parameters, call.site.config
    from_ms, to_ms = _times(call)
    points = _points(asked.points)
    meters = None if asked.meter is None else (asked.meter,)
    place = call.place()
    if place is not None and (len(place) != 2 or not all(isinstance(one, int) for one in place)):
        raise Refusal(Message("cursor-invalid"))
    wanted = Wanted(meters, from_ms, to_ms, None if points is None else frozenset(points))
    walk = Walk(wanted) if place is None else Walk(wanted, int(place[0]), int(place[1]))
    following: list[str] = []
    headers: dict[str, str] = {}

    def prepare(store: Database) -> MakeWriter:
        _demand(call, store, asked.meter, points)
        walk.begin(store)
        assert walk.place is not None
        ends = store.readings.places(meters, walk.place, walk.last, (from_ms, to_ms), asked.limit, 2)
        if ends:
            walk.last = ends[0]
        if len(ends) > 1:
            following.append(call.cursor(ends[0], walk.pruned_to))
            query = asked.model_dump(mode="json", by_alias=True, exclude_none=True) | {"cursor": following[0]}
            headers["Link"] = f'<{call.path}?{urlencode(query)}>; rel="next"'
        if asked.format != "json":
            return PLAIN[asked.format]
        gateway = config.gateway_id
        reversed_ = frozenset(name for name, meter in config.meters.items() if meter.reversed)
        return partial(_items, lambda reading: (gateway, reading.meter in reversed_), following)

    return ReadingList(Recorded(walk), asked.format, prepare, headers)


def _items(
    of: Callable[[ReadingLines], tuple[str, bool | None]], following: Sequence[str], file: IO[bytes]
) -> ItemsWriter:
    return ItemsWriter(file, of, lambda: following[0] if following else None)


def _times(call: Call[ReadingPage] | Call[SeriesPage]) -> tuple[int, int]:
    """The times that are asked for. Raises Refusal."""
    from_ms, to_ms = asked_times(call, call.site.clock.now_ms())
    return from_ms or 0, FOR_EVER_MS if to_ms is None else to_ms


def _points(text: str | None) -> tuple[str, ...] | None:
    return None if text is None else tuple(dict.fromkeys(text.split(",")))


def _demand(
    call: Call[ReadingPage] | Call[SeriesPage], store: Database, meter: str | None, points: tuple[str, ...] | None
) -> None:
    """Raises Refusal: a meter or a point that there never was."""
    config = call.site.config
    if meter is not None and meter not in config.meters and store.records.newest(meter, "reading") is None:
        raise Refusal(Message("meter-unknown", meter=meter))
    try:
        demand_points(config, store, tuple(config.meters) if meter is None else (meter,), points)
    except GatewayError as error:
        raise _refusal(error) from None


def series(call: Call[SeriesPage]) -> Rest:
    """Summaries of one meter by minute or hour, as charts have them."""
    asked, config = call.parameters, call.site.config
    from_ms, to_ms = _times(call)
    points, span_ms, place = _points(asked.points), SPANS[asked.by], call.place()
    if place is not None and (len(place) != 1 or not isinstance(place[0], int)):
        raise Refusal(Message("cursor-invalid"))
    gateway, meter = config.gateway_id, config.meters.get(asked.meter)
    turned = meter is not None and meter.reversed

    def rest(store: Database) -> Listed[models.Step]:
        _demand(call, store, asked.meter, points)
        begin_ms = from_ms if place is None else int(place[0])
        oldest_ms, newest_ms = (end(asked.meter, span_ms) for end in (store.summaries.oldest, store.summaries.newest))
        if place is not None and oldest_ms is not None and begin_ms < oldest_ms:
            raise Refusal(Message("readings-pruned"))
        spans = Spans(store, asked.meter, points)
        begin_ms = max(begin_ms, oldest_ms or 0)
        found = []
        for span in spans.minutes(begin_ms, to_ms) if span_ms == MINUTE_MS else spans.hours(begin_ms, to_ms):
            found.append(span)
            if len(found) > asked.limit:
                break
        items = tuple(
            _step(gateway, asked.meter, turned, span, span_ms, points, span.start_ms <= (newest_ms or -1))
            for span in unhurried(found[: asked.limit])
        )
        following = call.cursor(found[-1].start_ms) if len(found) > asked.limit else None
        return Listed[models.Step](items=items, next=following)

    return rest


def _step(
    gateway: str,
    meter: str,
    turned: bool,
    span: Aggregate,
    span_ms: int,
    points: Collection[str] | None,
    complete: bool,
) -> models.Step:
    return models.Step(
        gateway=gateway,
        meter=meter,
        from_=models.at(span.start_ms),
        to=models.at(span.start_ms + span_ms),
        reversed=turned,
        complete=complete,
        readings=span.readings,
        missed=dict(span.missed),
        points=tuple(_summary(*one) for one in sorted(span.points.items()) if points is None or one[0] in points),
    )


def _summary(name: str, figures: PointStats) -> models.Summary:
    return models.Summary(
        point=name,
        unit=figures.unit,
        count=figures.count,
        first=figures.first,
        last=figures.last,
        low=figures.low,
        high=figures.high,
        mean=figures.mean,
        quality=verdict(figures.bits),
        bits=figures.bits,
    )


LISTS: Final = {MEDIA["jsonl"]: {"type": "string"}, MEDIA["csv"].partition(";")[0]: {"type": "string"}}
"""Schemas of the answers of `/readings` that are no JSON document."""
