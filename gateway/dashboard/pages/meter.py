"""Facts of the meter page."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, replace
from datetime import UTC, tzinfo

from gateway.accounting.plans import exchange
from gateway.accounting.plans.falls import Fallen, fallen
from gateway.accounting.plans.plan_draft import recorded_counters
from gateway.commissioning.record.as_recorded import differences
from gateway.commissioning.record.configured import place_of
from gateway.commissioning.record.content import Setting
from gateway.commissioning.record.in_force import InForce, in_force
from gateway.config.bus import Meter
from gateway.config.limits import Limit
from gateway.config.model import Configured
from gateway.dashboard.figures.figures_page import NodeFigures
from gateway.dashboard.pages import charts
from gateway.dashboard.pages import overview as site_view
from gateway.dashboard.pages.charts import Chart, Quantity
from gateway.dashboard.pages.line_load import Loads
from gateway.dashboard.pages.overview import LineRow, MeterRow
from gateway.dashboard.pages.record_state import State, States, newest
from gateway.dashboard.pages.registers import RawBlock, raw
from gateway.dashboard.pages.values import beyond, turns
from gateway.dashboard.shell.chart_steps import HOUR
from gateway.dashboard.shell.page import NotFound
from gateway.devices.knowledge.direction import Turned
from gateway.devices.points import Point
from gateway.devices.turned_values import shown
from gateway.fieldbus.specs import has_number
from gateway.messages.message import Message
from gateway.records import StoredRecord
from gateway.runtime.context import GatewayContext
from gateway.standing import Standing
from gateway.storage.database import Database
from ledger_client.formats.record import Coverage, parse_record, record_hash
from ledger_client.formats.senml import Reading, Value

CHAIN, COVERED = 12, 12
STATED_WITHIN_MS = 60 * 86_400_000
"""Time after an exchange in which its registers can be stated on the page: past the statement of its month."""


@dataclass(frozen=True, slots=True)
class Link:
    """One record of a meter's chain: its hash, and that of the record before it, which it names."""

    kind: str
    epoch: bytes
    seq: int
    time_ms: int
    hash: bytes
    prev: bytes | None
    state: State


@dataclass(frozen=True, slots=True)
class Picked:
    """What a visitor wants to see of the meter's course; a span of None is the usual one."""

    quantity: Quantity
    span: str | None


@dataclass(frozen=True, slots=True)
class Counter:
    """A counter of a plan, whose registers an exchange leaves to be stated; ``last``: what the old device showed last,
    ``first`` the new one first; "" where it is not known."""

    name: str
    unit: str
    last: str
    first: str = ""


@dataclass(frozen=True, slots=True)
class Commissioned:
    """The commissioning record in force, and what of the meter differs from it."""

    found: InForce
    differences: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class MeterFacts:
    """All that a meter's page shows. ``values`` are those of its newest reading as the page shows them."""

    name: str
    label: str
    role: str
    vendor: str
    device: str
    address: int | str
    sends: bool
    """Whether it is not asked."""
    every_ms: int
    every: str
    line: LineRow
    row: MeterRow
    identity: str | None
    recorded: tuple[Point, ...]
    """Its counters that are recorded."""
    symbols: Mapping[str, Point]
    """The status points: what their codes and bits are called."""
    stranger: str | None
    numberless: bool
    """Whether the device that answers has no number that can be read, so that an exchange of it is signed by hand."""
    configured: tuple[Meter, Configured]
    place: Mapping[str, Setting]
    """Where it is reached, as commissioning records write it."""
    values: tuple[Value, ...]
    turned: Mapping[str, Turned]
    """What its points are shown as; without an entry as they are recorded."""
    limits: Mapping[str, Limit]
    """By recorded point."""
    raw: tuple[RawBlock, ...]
    quantities: tuple[Quantity, ...]
    picked: Picked | None
    chart: Chart | None = None
    coverage: tuple[Coverage, ...] = ()
    chain: tuple[Link, ...] = ()
    counters: tuple[Counter, ...] = ()
    """Counters of an exchange that waits to be accepted, or whose registers nobody has stated."""
    exchanged_ms: int | None = None
    """When that was, once it is accepted: the first reading of the new device."""
    fall: Fallen | None = None
    """Fall of the counters of a numberless meter of which no exchange is recorded."""
    figures: tuple[tuple[str, int, NodeFigures], ...] = ()
    """The running month: plan, its civil time in minutes from UTC, and each node that the meter measures."""
    commissioned: Commissioned | None = None


def look(site: GatewayContext, loads: Loads, name: str, quantity: str | None, span: str | None) -> MeterFacts:
    """What the gateway knows of a meter without its database. Event loop only.

    Args:
        site: the gateway.
        loads: loads of its lines.
        name: of the meter.
        quantity: the point to be drawn, as the address names it; None or unknown: the usual one.
        span: of the chart, a key of ``SPANS``; None or unknown: the usual one.

    Raises:
        NotFound: there is no such meter.
    """
    meter = site.config.meters.get(name)
    if meter is None:
        raise NotFound(Message("page-no-meter", meter=name))
    profile, line = site.config.profiles[name], site.line_of(name)
    turned = turns(meter, profile)
    found = charts.quantities(meter, profile)
    chosen = next((q for q in found if q.point == quantity), found[0] if found else None)
    reading = site.live.meters[name].known
    return MeterFacts(
        name=name,
        label=meter.label,
        role=meter.role,
        vendor=profile.vendor,
        device=profile.device,
        address=meter.address,
        sends=profile.protocol in ("hj212", "obis"),
        every_ms=meter.every,
        every=site.config.periods[name],
        line=site_view.line_row(line, loads, line.spec.name),
        row=site_view.meter_row(
            site.config, site.live.meters[name], site.clock.now_ms(), every_poll=site.recorder.health()["every_poll"]
        ),
        identity=line.identity(name),
        recorded=tuple(recorded_counters(site.config, meter)),
        symbols={point.name: point for point in profile.points if point.symbols},
        stranger=line.stranger(name),
        numberless=not has_number(line, name),
        values=shown(reading.values, turned) if reading else (),
        turned=turned,
        limits=site.config.limits.get(name, {}),
        configured=(meter, site.config.configured[name]),
        place=place_of(site.config, name),
        raw=raw(line.last_answered(name)),
        quantities=tuple(found),
        picked=Picked(chosen, span if span in charts.SPANS else None) if chosen else None,
    )


def complete(facts: MeterFacts, store: Database, now_ms: int, zone: tzinfo = UTC) -> MeterFacts:
    """The same with the facts of the database, its chart by the calendar of a zone. Raises StoreError."""
    states = States(store)
    row, values = facts.row, facts.values
    if row.time_ms is None:  # neither read since the start nor recalled yet: the newest that is kept
        row, values = _kept(row, store.records.newest(facts.name, "reading"), facts.limits, facts.turned)
        values = shown(values, facts.turned)
    if row.record is not None and row.time_ms is not None:
        state = states.of(facts.name, *row.record)
        row = replace(row, state=state if row.late else newest(state, now_ms - row.time_ms, row.every_ms))
    picked = facts.picked
    fall = _fall(facts, store, now_ms)
    counters, exchanged_ms = _exchange(facts, store, now_ms, fall)
    return replace(
        facts,
        counters=counters,
        exchanged_ms=exchanged_ms,
        fall=fall,
        row=row,
        values=values,
        chart=_chart(store, facts.name, picked, now_ms, zone) if picked else None,
        coverage=tuple(_coverage(store, facts.name)),
        chain=tuple(_link(place, row, states) for place, row in store.records.chain(facts.name, CHAIN)),
        commissioned=_commissioned(facts, store),
    )


def _commissioned(facts: MeterFacts, store: Database) -> Commissioned | None:
    """How the meter stands to its commissioning record; None: it has none."""
    found = in_force(store, facts.name)
    if found is None:
        return None
    return Commissioned(
        found, differences(found.record, *facts.configured, facts.stranger or facts.identity, facts.place)
    )


def _fall(facts: MeterFacts, store: Database, now_ms: int) -> Fallen | None:
    """The fall of a numberless meter's counters, as long as it may be signed as an exchange."""
    found = fallen(store, facts.name, {point.name for point in facts.recorded}) if facts.numberless else None
    if found is None or found.time_ms < now_ms - STATED_WITHIN_MS:
        return None
    stated = exchange.stated_behind(store, found.time_ms - 1)
    return found if any(f"{facts.name}/{point}" not in stated for point in found.points) else None


def _exchange(
    facts: MeterFacts, store: Database, now_ms: int, fall: Fallen | None
) -> tuple[tuple[Counter, ...], int | None]:
    """The counters whose registers are to be stated, and when the device was exchanged (None: it is not accepted)."""
    found = None if facts.stranger or fall else exchange.exchanged(store, facts.name)
    if found is not None and found.time_ms < now_ms - STATED_WITHIN_MS:
        found = None
    wanted = exchange.planned_counters(store, facts.name)
    if found is not None and (wanted := wanted - found.stated):
        return _counters(facts, wanted, found.last, found.first), found.time_ms
    if not facts.stranger and not facts.numberless:
        return (), None
    wanted, last, first = exchange.planned_counters(store, facts.name), exchange.shown(store, facts.name), {}
    if fall is not None:
        last, first = exchange.numbers_of(fall.last), exchange.numbers_of(fall.first)
    return _counters(facts, wanted, last, first), None


def _counters(facts: MeterFacts, wanted: Set[str], last: exchange.Shown, first: exchange.Shown) -> tuple[Counter, ...]:
    return tuple(
        Counter(point.name, point.unit or "", str(last.get(point.name, "")), str(first.get(point.name, "")))
        for point in facts.recorded
        if f"{facts.name}/{point.name}" in wanted
    )


def _chart(store: Database, meter: str, picked: Picked, now_ms: int, zone: tzinfo) -> Chart:
    return charts.chart(store, meter, picked.quantity, picked.span or _usual(store, meter, now_ms), now_ms, zone)


def _usual(store: Database, meter: str, now_ms: int) -> str:
    """A day; an hour while the meter is newer than three."""
    first_ms = store.records.first_ms(meter)
    return "1h" if first_ms is None or now_ms - first_ms < 3 * HOUR else charts.USUAL


def _kept(
    row: MeterRow, found: StoredRecord | None, limits: Mapping[str, Limit], turned_as: Mapping[str, Turned]
) -> tuple[MeterRow, tuple[Value, ...]]:
    body = parse_record(found.data).body if found else None
    if found is None or not isinstance(body, Reading):
        return row, ()
    place, outside = (found.epoch, found.seq), beyond(body, limits, turned_as)
    row = replace(row, time_ms=body.time_ms, record=place, standing=Standing.SILENT, beyond=outside)
    return row, tuple(body.values)


def _coverage(store: Database, meter: str) -> list[Coverage]:
    bodies = [parse_record(row.data).body for row in store.records.coverage(meter, COVERED)]
    return [body for body in bodies if isinstance(body, Coverage)]


def _link(place: int, row: StoredRecord, states: States) -> Link:
    claims = parse_record(row.data).claims
    return Link(row.kind, row.epoch, row.seq, row.time_ms, record_hash(row.data), claims.prev, states.at(place))
