"""Routes of lists, newest first: `/batches`, `/alarms`, `/events`."""

from __future__ import annotations

from gateway.api.meters import text_of
from gateway.api.route import Call, Rest, asked_times
from gateway.api.shapes import models
from gateway.api.shapes.bodies import event_of
from gateway.api.shapes.models import Listed, time
from gateway.api.shapes.parameters import AlarmPage, EventPage, Page
from gateway.api.shapes.problems import Refusal
from gateway.dashboard.pages.batches import vouched
from gateway.dashboard.pages.events import places_within
from gateway.dashboard.shell.time.asked_range import Bounds
from gateway.messages.message import Message
from gateway.process.loop_turns import unhurried
from gateway.records import GATEWAY
from gateway.status.readings import parsed_body
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database
from gateway.storage.record_tables import EVERYTHING
from gateway.storage.rows import Batch
from ledger_client.formats.record import Event
from ledger_client.formats.statement import parse_statement


def batches(call: Call[Page]) -> Rest:
    """Sealed batches and what the ledgers have done with them."""
    gateway, limit, before = call.site.config.gateway_id, call.parameters.limit, _before(call)

    def rest(store: Database) -> Listed[models.Batch]:
        found = store.batches.newest(limit + 1, before)
        following = call.cursor(found[limit - 1].batch) if len(found) > limit else None
        return Listed[models.Batch](
            items=tuple(_batch(gateway, store, b) for b in unhurried(found[:limit])), next=following
        )

    return rest


def _before(call: Call[Page] | Call[EventPage] | Call[AlarmPage]) -> int | None:
    """The number in front of which a page goes on."""
    place = call.place()
    if place is None:
        return None
    if len(place) != 1 or not isinstance(place[0], int):
        raise Refusal(Message("cursor-invalid"))
    return place[0]


def _batch(gateway: str, store: Database, batch: Batch) -> models.Batch:
    statement = parse_statement(batch.entry).statement
    return models.Batch(
        gateway=gateway,
        batch=batch.batch,
        sealed=models.at(batch.sealed_ms),
        from_=models.at(statement.from_ms),
        to=models.at(statement.to_ms),
        size=batch.size,
        root=statement.root.hex(),
        statement=batch.statement_id.hex(),
        resume=statement.resume,
        meters=tuple(statement.meters),
        anchors=tuple(
            models.Vouched(
                ledger=one.ledger,
                state=one.state,
                since=models.at(one.since_ms),
                receipt=time(None if one.receipt_s is None else one.receipt_s * 1000),
                place=one.place or None,
                detail=text_of(one.detail) if one.detail else None,
            )
            for one in map(vouched, store.anchors.of(batch.batch))
        ),
    )


def alarms(call: Call[AlarmPage]) -> Rest:
    """Alarms: those that are open, or all that are kept."""
    asked, gateway, before = call.parameters, call.site.config.gateway_id, _before(call)
    open_ = {row.id: row for row in (*call.site.board.listed(), *call.site.board.shelved())}

    known_sources = {GATEWAY, *call.site.config.meters}

    def rest(store: Database) -> Listed[models.Alarm]:
        kept = store.alarms.before(before, asked.limit + 1, asked.meter) if asked.state == "all" else []
        known = {row.id: row for row in kept} | open_  # memory has them as they are, also while nothing can be written
        rows = [row for row in known.values() if before is None or row.id < before]
        if asked.meter is not None:
            rows = [row for row in rows if row.source == asked.meter]
            if not rows and before is None and asked.meter not in known_sources:
                raise Refusal(Message("meter-unknown", meter=asked.meter))
        rows.sort(key=lambda row: -row.id)
        following = call.cursor(rows[asked.limit - 1].id) if len(rows) > asked.limit else None
        return Listed[models.Alarm](
            items=tuple(alarm_of(gateway, row) for row in unhurried(rows[: asked.limit])), next=following
        )

    return rest


def alarm_of(gateway: str, row: AlarmRow) -> models.Alarm:
    """An alarm as the API shows it."""
    facts = row.as_json()
    times = ("since", "raised", "cleared", "acknowledged", "shelved_until")
    return models.Alarm(gateway=gateway, active=row.active, **facts | {key: time(facts[key]) for key in times})


def events(call: Call[EventPage]) -> Rest:
    """Signed events of [from, to), of all or of one meter (or `gateway`)."""
    asked, gateway, before, whole = call.parameters, call.site.config.gateway_id, _before(call), call.opens("readings")
    bounds = Bounds(*asked_times(call, call.site.clock.now_ms()))
    known = asked.meter is None or asked.meter == GATEWAY or asked.meter in call.site.config.meters

    def rest(store: Database) -> Listed[models.Event]:
        within = places_within(store, bounds)
        if before is not None:
            within = within._replace(last_id=min(within.last_id, before - 1))
        found = store.records.events_within(within, asked.limit + 1, asked.meter)
        if asked.meter is not None and before is None and not (found or known or _has_events(store, asked.meter)):
            raise Refusal(Message("meter-unknown", meter=asked.meter))
        following = call.cursor(found[asked.limit - 1][0]) if len(found) > asked.limit else None
        items = []
        for _, row in unhurried(found[: asked.limit]):
            body = parsed_body(row)
            assert isinstance(body, Event), "the table says so"
            items.append(event_of(gateway, row.meter, row.time_ms, row.id, body, fields=whole))
        return Listed[models.Event](items=tuple(items), next=following)

    return rest


def _has_events(store: Database, meter: str) -> bool:
    return bool(store.records.events_within(EVERYTHING, 1, meter))
