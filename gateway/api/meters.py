"""Routes about the gateway and its meters: `/gateways`, `/meters`, `/latest`."""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence

from starlette.responses import Response

from gateway.api.route import Call, Rest
from gateway.api.shapes import models
from gateway.api.shapes.models import Listed, time
from gateway.api.shapes.parameters import MeterPage, OfGateway
from gateway.api.shapes.problems import Refusal
from gateway.api.shapes.reading_lines import ReadingLines
from gateway.api.shapes.reading_writers import ItemsWriter
from gateway.api.shapes.route import JSON
from gateway.config.model import Config
from gateway.dashboard.pages.ledgers import LedgerNow, ledgers, oldest_unanchored_ms
from gateway.dashboard.pages.record_state import State, States, newest
from gateway.history.completeness import Completeness, completeness
from gateway.history.value_lines import lines_of
from gateway.messages.languages import Stored
from gateway.messages.message import Message
from gateway.process.loop_turns import unhurried
from gateway.recording.live_state import MeterNow
from gateway.records import NotRecorded
from gateway.standing import Standing, standing
from gateway.storage.database import Database
from gateway.verdicts import worst


def gateways(call: Call[OfGateway]) -> Rest:
    """This gateway as it stands."""
    site, config, now_ms = call.site, call.site.config, call.site.clock.now_ms()
    health = site.recorder.health()
    counts = Counter(_standing(config, now, now_ms, health["every_poll"]) for now in site.live.meters.values())
    reached = {name for name, uplink in site.uplinks.items() if uplink.reached}
    unacknowledged = sum(not alarm.acknowledged for alarm in site.board.listed())
    stopped = health["recording"]

    def rest(store: Database) -> Listed[models.Gateway]:
        last = store.batches.last()
        found = models.Gateway(
            gateway=config.gateway_id,
            time=models.at(now_ms),
            recording="stopped" if stopped else "on",
            stopped=models.Text(text=stopped["text"], **models.message_of(stopped)) if stopped else None,
            records_every=health["every_poll"],
            meters=models.MeterCounts(**{one.value: counts[one] for one in Standing}),
            unacknowledged=unacknowledged,
            last_batch=last.batch if last else None,
            oldest_unanchored=time(oldest_unanchored_ms(config, store)),
            ledgers=tuple(_ledger(one.complete(store)) for one in ledgers(config, reached)),
        )
        return Listed[models.Gateway](items=(found,))

    return rest


def _ledger(now: LedgerNow) -> models.LedgerState:
    return models.LedgerState(
        name=now.name,
        type=now.type,
        required=now.required,
        state=now.state,  # type: ignore[arg-type]  # one of these words
        settled_to=now.settled_to,
        waiting=now.waiting,
        detail=text_of(now.refused) if now.refused else None,
    )


def text_of(stored: Stored) -> models.Text:
    """A stored sentence."""
    return models.Text(text=stored.text, **(stored.message.to_fields() if stored.message else {}))


def _standing(config: Config, now: MeterNow, now_ms: int, every_poll: int) -> Standing:
    last_ms = None if now.reading is None else now.reading.time_ms
    every_ms = config.meters[now.name].every * every_poll
    return standing(last_ms, now.silent_since_ms, now.reason, every_ms, now_ms)


def meters(call: Call[MeterPage]) -> Rest:
    """The meters that are configured, by name."""
    site, config, now_ms = call.site, call.site.config, call.site.clock.now_ms()
    every_poll = site.recorder.health()["every_poll"]
    lines = {meter.name: name for name, line in site.lines.items() for meter in line.spec.meters}
    seen, following = _page(call)
    rows = [_meter(config, now, lines.get(now.name, ""), now_ms, every_poll) for now in seen]

    def rest(store: Database) -> Listed[models.Meter]:
        found = completeness(store, {row.meter: row.every_ms for row in rows}, now_ms)
        known = {one.meter: completeness_of(one) for one in found if one.to_ms is not None or one.late}
        items = (row.model_copy(update={"completeness": known.get(row.meter)}) for row in unhurried(rows))
        return Listed[models.Meter](items=tuple(items), next=following)

    return rest


def _meter(config: Config, now: MeterNow, line: str, now_ms: int, every_poll: int) -> models.Meter:
    meter, reading = config.meters[now.name], now.known
    return models.Meter(
        gateway=config.gateway_id,
        meter=now.name,
        label=meter.label or None,
        line=line,
        profile=config.profiles[now.name].name,
        role=meter.role,
        every_ms=meter.every,
        reversed=meter.reversed,
        standing=_standing(config, now, now_ms, every_poll).value,
        last=time(reading.time_ms) if reading else None,
        quality=worst(value.quality for value in reading.values) if reading else None,
        silent_since=time(now.silent_since_ms),
        cause=now.cause,
    )


def completeness_of(one: Completeness) -> models.Completeness:
    """How complete a meter's records are, as the API shows it."""
    windows = tuple(
        models.Window(
            hours=window.hours,
            from_=models.at(window.from_ms),
            to=models.at(window.to_ms),
            due=window.due,
            recorded=window.recorded,
            asleep=window.asleep,
            share=window.share,
        )
        for window in one.windows
    )
    gap = None if one.gap is None else models.Stretch(from_=models.at(one.gap[0]), to=models.at(one.gap[1]))
    return models.Completeness(late=one.late, windows=windows, gap=gap)


def _page(call: Call[MeterPage]) -> tuple[Sequence[MeterNow], str | None]:
    """Copies of what is known of the meters of a page, and the cursor of the next one. Raises Refusal."""
    parameters, known = call.parameters, call.site.live.meters
    configured = call.site.config.meters
    names = sorted(name for name in known if name in configured)
    if parameters.meter is not None:
        if parameters.meter not in names:
            raise Refusal(Message("meter-unknown", meter=parameters.meter))
        names = [parameters.meter]
    place = call.place()
    if place is not None:
        names = [name for name in names if name > str(place[0])]
    shown = names[: parameters.limit]
    following = call.cursor(shown[-1]) if len(names) > len(shown) else None
    return [known[name].copy() for name in shown], following


def latest(call: Call[MeterPage]) -> Rest:
    """Each meter's newest reading, as recorded; nothing of a meter that has none."""
    site, config, now_ms = call.site, call.site.config, call.site.clock.now_ms()
    every_poll = site.recorder.health()["every_poll"]
    seen, following = _page(call)

    def rest(store: Database) -> Response:
        states, file = States(store), io.BytesIO()
        writer = ItemsWriter(
            file, lambda one: (config.gateway_id, config.meters[one.meter].reversed), lambda: following
        )
        for now in unhurried(seen):
            if now.known is not None:
                writer.write(_latest(config, now, states, now_ms, every_poll))
        writer.end()
        return Response(file.getvalue(), media_type=JSON)

    return rest


def _latest(config: Config, now: MeterNow, states: States, now_ms: int, every_poll: int) -> ReadingLines:
    reading = now.known
    assert reading is not None, "asked for those that have one"
    meter, state, name, clock = config.meters[now.name], State("not-recorded"), None, ""
    if now.newest is None:
        name = now.earlier.record if now.earlier is not None else None
    else:
        clock = now.newest.stamp.clock
        name = None if isinstance(now.newest, NotRecorded) else (now.newest.row.epoch, now.newest.row.seq)
    if name is not None:
        state = states.of(now.name, *name)
        if now.newest is not None:
            state = newest(state, now_ms - reading.time_ms, meter.every * every_poll)
    record = "" if name is None else f"{now.name}/{name[0].hex()}/{name[1]}"
    return lines_of(now.name, reading, reading.time_ms, record, clock)._replace(state=state.word)
