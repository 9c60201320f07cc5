"""Routes of what the site's meters say together: `/totals`, and the hours of a plan's node."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

from pydantic import Field

from gateway.accounting.statements.stated import StatedRows
from gateway.accounting.statements.stating import FOLDER
from gateway.api.route import Call, Rest, asked_times
from gateway.api.shapes import models
from gateway.api.shapes.models import Listed, Name, Shape, Time
from gateway.api.shapes.parameters import Cursor, Instant, Limit, OneGateway, Parameters
from gateway.api.shapes.problems import Refusal
from gateway.clock import HOUR_MS
from gateway.config.model import Config
from gateway.errors import GatewayError
from gateway.local_calendar import Stretch
from gateway.messages.message import Message
from gateway.storage.database import Database
from gateway.totals.as_json import number
from gateway.totals.energy import Runs
from gateway.totals.flows import Flow
from gateway.totals.periods import MONTH, TODAY, stretch
from gateway.totals.power import Newest, power_flows, silences
from gateway.totals.reading import Energies, energies, sources_of

FRESH_S: Final = 60.0
"""Age in seconds up to which energies that were read are answered again."""
MOST_DAYS: Final = 31
_DAY_MS: Final = 24 * HOUR_MS


class OfTotals(Parameters):
    """Power now, and the energies of a period."""

    gateway: OneGateway = None
    period: Annotated[
        str,
        Field(
            max_length=20,
            description="`today`, `yesterday`, `month`, a day `2026-10-25` or a month `2026-10`.",
            json_schema_extra={"pattern": r"^(today|yesterday|month|[0-9]{4}-[0-9]{2}(-[0-9]{2})?)$"},
        ),
    ] = TODAY


class OfHours(Parameters):
    """The hours of a node that end in a time, of 31 days at most."""

    plan: Name
    node: Name
    gateway: OneGateway = None
    from_: Annotated[Instant, Field(alias="from")] = None
    to: Annotated[Instant, Field(description="… inclusive; the time now without it.")] = None
    limit: Limit = 100
    cursor: Cursor = None


class Missing(Shape):
    """What a total lacks: a meter, or a node of a plan, why, and since when."""

    name: str
    why: str
    since: Time | None = None


class FlowState(Shape):
    """One flow of the site. ``amount``: of the ``known`` of ``of`` parts; absent: nothing is known. It is the whole
    only where ``complete``. ``uncertain``: the parts whose values are, by their quality. ``statuses``: amounts of an
    account's rows."""

    flow: str
    amount: float | None = None
    complete: bool
    computed: bool
    known: int
    of: int
    missing: tuple[Missing, ...] = ()
    uncertain: tuple[str, ...] = ()
    statuses: dict[str, float] | None = None


class PeriodEnergy(Shape):
    """Energies of a period in Wh: ``readings`` of meters by the days of a time zone, or the ``accounts`` of a plan by
    its civil time."""

    model_config = models.Batch.model_config

    source: str
    period: str
    from_: Annotated[Time, Field(alias="from")]
    to: Time
    plan: str | None = None
    version: int | None = None
    timezone: str | None = None
    civil_minutes: int | None = None
    flows: tuple[FlowState, ...] = ()


class SiteTotals(Shape):
    """Power of the site now in W, as seen from the grid, and energies of a period in Wh."""

    gateway: str
    time: Time
    power: tuple[FlowState, ...]
    energy: tuple[PeriodEnergy, ...]


class Reason(Shape):
    """Why an hour is as it is."""

    code: str
    facts: dict[str, str | int]


class NodeHour(Shape):
    """An interval of a node, or a row of several. ``amount``: in thousandths of the ``unit``; absent: it has none."""

    model_config = models.Batch.model_config

    gateway: str
    plan: str
    node: str
    from_: Annotated[Time, Field(alias="from")]
    to: Time
    status: str
    unit: str
    amount_milli: int | None = None
    substitute_milli: int | None = None
    why: tuple[Reason, ...] = ()


class _Kept:
    """What is kept of a site between requests."""

    def __init__(self, folder: Path) -> None:
        self.rows, self.lock = StatedRows(folder), threading.Lock()
        self.runs: dict[str, Runs] = {}
        self.config: Config | None = None
        self.found: dict[str, tuple[float, Energies]] = {}


@lru_cache(maxsize=2)
def _kept(folder: Path) -> _Kept:
    return _Kept(folder)


def totals(call: Call[OfTotals]) -> Rest:
    """Power of the site now, and its energies in a period."""
    site, config, now_ms, period = call.site, call.site.config, call.site.clock.now_ms(), call.parameters.period
    every_poll = site.recorder.health()["every_poll"]
    newest = {now.name: Newest.of(now) for now in site.live.meters.values()}
    known = site.keeper.look()
    try:
        stretch(period, now_ms, config.zone)
    except GatewayError as error:
        raise Refusal(Message("parameter-invalid", name="period", why=str(error.problem))) from None

    def rest(store: Database) -> SiteTotals:
        sources, kept = sources_of(config), _kept(config.data / FOLDER)
        with kept.lock:
            at_s, found = kept.found.get(period, (0.0, Energies()))
            if kept.config is not config or time.monotonic() - at_s > FRESH_S:
                silent = silences(sources, newest, every_poll, now_ms)
                runs = kept.runs if period in (TODAY, MONTH) else {}
                found = energies(config, store, known, kept.rows, now_ms, period=period, silent=silent, kept=runs)
                kept.config, kept.found = config, {period: (time.monotonic(), found)}
        power = power_flows(sources, newest, every_poll, now_ms)
        return SiteTotals(
            gateway=config.gateway_id,
            time=models.at(now_ms),
            power=_flows(power),
            energy=tuple(_energies(config, period, found)),
        )

    return rest


def _energies(config: Config, period: str, found: Energies) -> list[PeriodEnergy]:
    if not found.accounts:
        span = found.periods[period]
        return [_period("readings", period, span, found.readings[period], timezone=str(config.zone))]
    return [
        _period(
            "accounts", period, one.periods[period], one.flows[period],
            plan=one.plan, version=one.version, civil_minutes=one.civil_min,
        )
        for one in found.accounts
    ]  # fmt: skip


def _period(source: str, period: str, span: Stretch, flows: Mapping[str, Flow], **facts: str | int) -> PeriodEnergy:
    times = {"from_": models.at(span[0]), "to": models.at(span[1])}
    return PeriodEnergy(source=source, period=period, flows=_flows(flows), **times, **facts)  # type: ignore[arg-type]


def _flows(flows: Mapping[str, Flow]) -> tuple[FlowState, ...]:
    return tuple(_flow(name, flow) for name, flow in flows.items())


def _flow(name: str, flow: Flow) -> FlowState:
    known = {status: number(amount) for status, amount in flow.statuses if amount is not None}
    return FlowState(
        flow=name,
        amount=number(flow.amount),
        complete=flow.complete,
        computed=flow.computed,
        known=flow.known,
        of=flow.of,
        uncertain=flow.uncertain,
        missing=tuple(Missing(name=one.of, why=one.why, since=models.time(one.since_ms)) for one in flow.missing),
        statuses=known or None,  # type: ignore[arg-type]  # each has an amount
    )


def hours(call: Call[OfHours]) -> Rest:
    """The hours of a node, as the page Energy shows them: of statements, and behind them of what is recorded."""
    asked, config, now_ms = call.parameters, call.site.config, call.site.clock.now_ms()
    from_ms, to_ms = asked_times(call, now_ms)
    to_ms = now_ms if to_ms is None else to_ms
    from_ms = to_ms - _DAY_MS if from_ms is None else from_ms
    if not from_ms < to_ms <= from_ms + MOST_DAYS * _DAY_MS:
        why = Message("hours-stretch", days=MOST_DAYS)
        raise Refusal(Message("parameter-invalid", name="from", why=why.problem))
    place = call.place()
    if place is not None and (len(place) != 1 or not isinstance(place[0], int)):
        raise Refusal(Message("cursor-invalid"))
    known = call.site.keeper.look()

    def rest(store: Database) -> Listed[NodeHour]:
        from gateway.totals.accounts import hours_of_node  # most sites have no plan
        from ledger_client.accounting.tables.stated import base_unit

        plans = known.history.of_plan(asked.plan)
        if not plans or asked.node not in plans[-1].plan.nodes:
            raise Refusal(Message("node-unknown", plan=asked.plan, node=asked.node))
        after_ms = from_ms if place is None else int(place[0])
        rows = _kept(config.data / FOLDER).rows
        try:
            found = hours_of_node(known, rows, plans[-1], asked.node, (from_ms, to_ms))
        except GatewayError as error:
            raise Refusal(Message("rows-missing", why=error.sentence)) from None
        ending = [hour for hour in found if max(from_ms, after_ms) < hour.to_ms <= to_ms]
        shown, unit = ending[: asked.limit], base_unit(plans[-1].plan, asked.node)
        items = tuple(
            NodeHour(
                gateway=config.gateway_id,
                plan=asked.plan,
                node=asked.node,
                from_=models.at(hour.from_ms),
                to=models.at(hour.to_ms),
                status=hour.status,
                unit=unit,
                amount_milli=hour.amount,
                substitute_milli=hour.beside.amount if hour.beside is not None else None,
                why=tuple(Reason(code=why.code, facts=dict(why.facts)) for why in hour.why),
            )
            for hour in shown
        )
        following = call.cursor(shown[-1].to_ms) if len(ending) > len(shown) else None
        return Listed[NodeHour](items=items, next=following)

    return rest
