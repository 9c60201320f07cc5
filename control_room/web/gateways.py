"""Routes about gateways and their meters: `/gateways`, `/meters`, `/latest`."""

from __future__ import annotations

from bisect import bisect_right

from control_room.store import fleet as rows
from control_room.store import meters as meter_rows
from control_room.store.connection import Database
from control_room.store.meters import MeterRow, ReadingRow
from control_room.store.recorded import recorded
from control_room.web import fleet, models
from control_room.web.findings import findings, level_of
from control_room.web.fleet import GatewayFacts
from control_room.web.lists import text_of_message
from control_room.web.route import Call, Rest
from gateway.api.shapes.bodies import values_of
from gateway.api.shapes.models import Listed, at, time
from gateway.api.shapes.parameters import MeterPage, Page
from gateway.api.shapes.problems import Refusal
from gateway.messages.message import Message
from gateway.verdicts import worst


def gateways(call: Call[Page]) -> Rest:
    """Every gateway of the trust file or the database, by name."""
    asked, place, trusted, now_ms = call.parameters, call.place(), call.site.trusted(), call.site.now_ms()

    def rest(db: Database) -> Listed[models.Gateway]:
        names = sorted(trusted.union(rows.names(db))) if asked.gateway is None else [asked.gateway]
        begin = 0 if place is None else bisect_right(names, str(place[0]))
        shown = names[begin : begin + asked.limit]
        found = fleet.some(db, trusted, shown, now_ms)
        last = rows.last_batches(db, [one.row.id for one in found if one.row.id is not None])
        following = call.cursor(shown[-1]) if begin + asked.limit < len(names) else None
        items = tuple(gateway_of(one, last.get(one.row.id or 0), now_ms) for one in found)
        return Listed[models.Gateway](items=items, next=following)

    return rest


def gateway_of(one: GatewayFacts, last_batch: int | None, now_ms: int) -> models.Gateway:
    """A gateway as the API shows it."""
    row = one.row
    return models.Gateway(
        gateway=one.name,
        time=at(now_ms),
        listed=one.listed,
        level=level_of(one, now_ms).value,
        why=tuple(text_of_message(found.message) for found in findings(one, now_ms)),
        heard=time(row.heard_ms),
        last=time(row.newest_ms),
        online=one.online,
        version=one.version,
        clock=one.clock,  # type: ignore[arg-type]  # one of these words
        due=row.due,
        recorded=row.recorded,
        records=row.records,
        repeated=row.repeated,
        forked=row.forked,
        refused=row.refused,
        holes=row.holes,
        unproven=row.unproven,
        alarms={severity: count for severity, count in one.alarms.items() if count},
        unacknowledged=one.unacknowledged,
        last_batch=last_batch,
        oldest_unanchored=time(one.oldest_ms),
    )


def meters(call: Call[MeterPage]) -> Rest:
    """The meters of which something that holds came in, by gateway and name."""

    def rest(db: Database) -> Listed[models.Meter]:
        found, following = _page(call, db)
        newest = meter_rows.newest(db, found)
        return Listed[models.Meter](items=tuple(_meter(db, one, newest.get(one.id)) for one in found), next=following)

    return rest


def latest(call: Call[MeterPage]) -> Rest:
    """Each meter's newest reading, as recorded."""

    def rest(db: Database) -> Listed[models.Reading]:
        found, following = _page(call, db)
        newest = meter_rows.newest(db, found)
        items = (reading_of(db, one, newest[one.id]) for one in found if one.id in newest)
        return Listed[models.Reading](items=tuple(items), next=following)

    return rest


def _page(call: Call[MeterPage], db: Database) -> tuple[list[MeterRow], str | None]:
    asked, place = call.parameters, call.place()
    after = (0, "")
    if place is not None:
        match place:
            case (int(number), str(name)):
                after = number, name
            case _:
                raise Refusal(Message("cursor-invalid"))
    found = meter_rows.meters(db, asked.limit + 1, gateway=asked.gateway, meter=asked.meter, after=after)
    if not found and place is None and asked.meter is not None:
        raise Refusal(Message("meter-unknown", meter=asked.meter))
    shown = found[: asked.limit]
    more = len(found) > asked.limit
    return shown, call.cursor(shown[-1].gateway_id, shown[-1].name) if more else None


def _meter(db: Database, one: MeterRow, newest: ReadingRow | None) -> models.Meter:
    facts = one.configured or {}
    return models.Meter(
        gateway=one.gateway,
        meter=one.name,
        profile=facts.get("profile"),
        role=facts.get("role"),
        every_ms=facts.get("period"),
        reversed=reversed_(one),
        last=time(one.newest_ms),
        quality=None if newest is None else worst(value.quality for value in recorded(db, newest)),
    )


def reversed_(one: MeterRow) -> bool | None:
    """Whether a meter hangs the wrong way round; None: no configuration of its gateway came in."""
    return None if one.configured is None else bool(one.configured.get("reversed", False))


def reading_of(db: Database, one: MeterRow, row: ReadingRow) -> models.Reading:
    """A stored reading as the API shows it."""
    values = recorded(db, row)
    return models.Reading(
        gateway=one.gateway,
        meter=one.name,
        time=at(row.time_ms),
        reversed=reversed_(one),
        quality=worst(value.quality for value in values),
        record=f"{one.name}/{row.epoch.hex()}/{row.seq}",
        values=tuple(values_of(values, row.time_ms)),
    )
