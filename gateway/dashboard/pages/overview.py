"""Facts of the overview page: gateway, lines, meters, ledgers and feeds.

``look`` copies what is in memory, in the event loop, and is cheap; ``complete`` makes rows of it in a thread, and adds
what the database holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import reduce
from operator import and_
from typing import Any

from gateway.accounting.statements.keeper import Known
from gateway.accounting.statements.retention import Retention
from gateway.config.model import Config
from gateway.dashboard.pages import values
from gateway.dashboard.pages.alarms import listed
from gateway.dashboard.pages.headline import Headline, Unwell, headline, unexplained
from gateway.dashboard.pages.ledgers import LedgerNow, ledgers, oldest_unanchored_ms
from gateway.dashboard.pages.line_load import Loads
from gateway.dashboard.pages.record_state import State, States, newest
from gateway.dashboard.pages.sparklines import Course, Sparks
from gateway.dashboard.pages.totals import SiteTotals
from gateway.errors import StoreError
from gateway.field_types import duration_text
from gateway.fieldbus.specs import FieldLine
from gateway.messages.languages import Stored
from gateway.messages.message import Message
from gateway.messages.reasons import NO_ANSWER
from gateway.recording.live_state import MeterNow
from gateway.records import NotRecorded, sentence_fields
from gateway.runtime.context import GatewayContext
from gateway.standing import Standing, standing
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.capacity.forecast import Forecast, horizon
from gateway.storage.database import Database
from gateway.storage.rows import Batch
from gateway.verdicts import VERDICT_OF, verdict, worst
from ledger_client.formats.senml import Value

FAULTS = {"timeouts": "timeout", "late": "late", "foreign": "foreign", "damaged": "damaged"}
FAULTS_OF = {
    "p1": {"missed": "timeout", "damaged-telegrams": "damaged"},
    "hj212": {"missed": "timeout", "foreign-packets": "foreign", "damaged-packets": "damaged"},
}
"""Counters of lines on which meters send by themselves, by type: nobody waits for an answer there that could be
late."""
MANY_LEFT = 10_000  # readings that a feed still has to publish: of more the page does not count them
FEW = 30  # meters: of more than these the sparklines are coarser


@dataclass(frozen=True, slots=True)
class MeterRow:
    """One meter: its newest reading in short. ``silent_ms``: for so long it has not answered."""

    name: str
    label: str
    role: str
    every_ms: int
    shown: tuple[Value, ...] = ()
    count: int = 0
    verdict: str = "missing"
    flags: int = 0
    common: int = 0
    """The quality bits that all of its values have."""
    time_ms: int | None = None
    before: bool = False
    """Its newest reading is of before the start."""
    silent_since_ms: int | None = None
    reason: str | None = None
    spark: values.Spark | None = None
    spark_of: str = ""
    standing: Standing = Standing.STARTING
    cause: str | None = None
    """Why its last poll gave no reading, a key of ``messages.reasons.CAUSES``."""
    state: State | None = None
    record: tuple[bytes, int] | None = None
    reversed: bool = False
    """Its values are shown turned."""
    limited: tuple[str, ...] = ()
    """The points that have limits, as they are shown."""
    beyond: tuple[values.Beyond, ...] = ()
    """Values outside their limits."""
    ways: Mapping[str, str] = field(default_factory=dict)
    """By point, whether a power is given to the grid or taken from it; what is shown has no sign then."""

    @property
    def late(self) -> bool:
        """What it shows is not of now."""
        return self.before or self.standing in (Standing.SILENT, Standing.ASLEEP)

    @property
    def asleep(self) -> bool:
        """Whether it may be silent at night, and is."""
        return self.standing == Standing.ASLEEP

    @property
    def unanswered(self) -> bool:
        """Whether it was asked and did not answer; else it gives no reading for another reason."""
        return self.cause in NO_ANSWER


@dataclass(frozen=True, slots=True)
class LineRow:
    """One physical line: how it stands, what it has heard in this epoch, and its meters."""

    name: str
    kind: str
    where: str
    up: bool
    load: float | None
    faults: dict[str, int]
    """Answers that did not come, came late, were for others, or were damaged, since the epoch began; of what is sent
    unasked, messages that did not come, were refused, or were damaged."""
    silent: tuple[str, ...]
    meters: tuple[MeterRow, ...] = ()


CONNECTING, CONNECTED = Message("feed-connecting"), Message("feed-connected")


@dataclass(frozen=True, slots=True)
class FeedRow:
    """One feed: its state, the readings that are pending and those published since it was made, and how many await
    backfill (``MANY_LEFT``: so many or more)."""

    name: str
    type: str
    url: str
    connected: bool
    state: Stored
    waiting: int
    published: int
    left: int = 0

    @property
    def word(self) -> str:
        """connected, waiting (for whom its state says) or away."""
        return "away" if not self.connected else "connected" if self.state.message == CONNECTED else "waiting"


@dataclass(frozen=True, slots=True)
class StatementsNow:
    """Statements of the accounting: how many are due, and when the period of the newest one ended (None: there is
    none)."""

    due: int
    stated_to_ms: int | None


def statements(known: Known) -> StatementsNow | None:
    """The statements now; None: no plan is published."""
    if not known.history.plans:
        return None
    return StatementsNow(len(known.due), max((period.to_ms for period in known.history.periods), default=None))


@dataclass(frozen=True, slots=True)
class SiteFacts:
    """All that the site page shows."""

    gateway: str
    now_ms: int
    lines: tuple[LineRow, ...]
    health: dict[str, Any]
    clock: tuple[str, int | None]
    seen: Mapping[str, Sequence[MeterNow]]
    """Copies of what is known of the meters, by line."""
    courses: Mapping[str, Course]
    """The course of each meter's first value."""
    ledgers: tuple[LedgerNow, ...] = ()
    feeds: tuple[FeedRow, ...] = ()
    alarms: tuple[AlarmRow, ...] = ()
    shelved: int = 0
    """How many active alarms are shelved."""
    horizon: Forecast | None = None
    last_batch: Batch | None = None
    oldest_unanchored_ms: int | None = None
    commit_every: str = ""
    accounts: StatementsNow | None = None
    totals: SiteTotals | None = None

    @property
    def meters(self) -> Sequence[MeterRow]:
        """Every meter, line by line."""
        return [meter for line in self.lines for meter in line.meters]

    @property
    def well(self) -> int:
        """How many meters answer."""
        return sum(m.standing == Standing.WELL for m in self.meters)

    @property
    def shared_flags(self) -> int:
        """The quality bits that everything that was read has; it is shown once."""
        read = [meter.flags for meter in self.meters if meter.time_ms is not None]
        return reduce(and_, read) if len(read) > 1 else 0

    @property
    def uncertain(self) -> int:
        """The quality bits for which every value that was read is uncertain; 0 where there is none, or a worse one."""
        return doubts_of_all(self.meters)

    @property
    def asleep(self) -> int:
        """How many meters sleep."""
        return sum(m.asleep for m in self.meters)

    @property
    def silent(self) -> int:
        """How many meters give no reading."""
        return sum(m.standing == Standing.SILENT for m in self.meters)

    @property
    def starting(self) -> int:
        """How many meters have not been read yet, with the start not long ago."""
        return sum(m.standing == Standing.STARTING for m in self.meters)

    @property
    def headline(self) -> Headline:
        """The first sentence of the site page."""
        return headline(
            [meter.standing for meter in self.meters],
            self.alarms,
            recording=not self.health["recording"],
            uncertain=bool(self.uncertain),
        )

    @property
    def unexplained(self) -> Sequence[Unwell]:
        """The meters that give no reading and that no active alarm names, by cause."""
        return unexplained(((line.name, meter) for line in self.lines for meter in line.meters), self.alarms)


def doubts_of_all(meters: Iterable[MeterRow]) -> int:
    """The quality bits for which every value that was read is uncertain; 0 where there is none, or a worse one."""
    read = [meter.common for meter in meters if meter.time_ms is not None]
    common = reduce(and_, read) if read else 0
    doubts = sum(flag for flag, found in VERDICT_OF.items() if flag & common and found == "uncertain")
    return doubts if verdict(common) == "uncertain" else 0


def look(site: GatewayContext, loads: Loads, sparks: Sparks) -> SiteFacts:
    """What the gateway knows without its database. In the event loop."""
    known = site.live.meters
    reached = {name for name, uplink in site.uplinks.items() if uplink.reached}  # during a reload one may be missing
    return SiteFacts(
        gateway=site.config.gateway_id,
        now_ms=site.clock.now_ms(),
        lines=tuple(line_row(line, loads, name) for name, line in site.lines.items()),
        health=site.recorder.health(),
        clock=site.clock.letter(),
        seen={name: [known[meter.name].copy() for meter in line.spec.meters] for name, line in site.lines.items()},
        courses={name: sparks.of(name) for name in known},
        ledgers=ledgers(site.config, reached),
        feeds=tuple(_feeds(site)),
        alarms=listed(site.board),
        shelved=sum(alarm.active for alarm in site.board.shelved()),
        commit_every=duration_text(site.config.document.store.commit_every),
    )


def _feeds(site: GatewayContext) -> Iterator[FeedRow]:
    """Every feed that is configured; while a reload is under way one may not be there yet."""
    nothing = {"connected": False, "waiting": 0, "live": 0, "history": 0, **sentence_fields(CONNECTING, "state")}
    for entry in site.config.document.feed:
        now = site.feeds.facts(entry.name) if entry.name in site.feeds.names() else nothing
        published, state = now["live"] + now["history"], Stored(now["state"], Message.from_fields(now))
        yield FeedRow(entry.name, entry.type, entry.url, now["connected"], state, now["waiting"], published)


def line_row(line: FieldLine, loads: Loads, name: str) -> LineRow:
    """One line as it stands, without its meters. In the event loop."""
    counters = line.counters
    return LineRow(
        name=name,
        kind=line.spec.type,
        where=line.spec.where,
        up=line.up,
        load=loads.of(name),
        faults={name: counters[kind] for name, kind in FAULTS_OF.get(line.spec.type, FAULTS).items()},
        silent=tuple(line.silent),
    )


def meter_row(config: Config, now: MeterNow, now_ms: int, course: Course = (), every_poll: int = 1) -> MeterRow:
    """One meter in short. ``every_poll``: of its polls every so many-th is recorded."""
    name, meter, reading = now.name, config.meters[now.name], now.known
    every_ms = meter.every * every_poll
    last_ms = None if now.reading is None else now.reading.time_ms
    row = MeterRow(
        name,
        meter.label,
        meter.role,
        every_ms,
        silent_since_ms=now.silent_since_ms,
        reason=now.reason,
        cause=now.cause,
        standing=standing(last_ms, now.silent_since_ms, now.reason, every_ms, now_ms),
        reversed=meter.reversed,
    )
    if reading is None:
        return row
    profile = config.profiles[name]
    points = values.headline(meter, profile)
    flags = 0
    for value in reading.values:
        flags |= value.quality
    limits = config.limits.get(name, {})
    turned_as = values.turns(meter, profile)
    shown, ways = values.with_ways(values.by_name(reading, points, turned_as), profile.positive)
    return replace(
        row,
        limited=tuple(turned_as[point].name if point in turned_as else point for point in limits),
        beyond=values.beyond(reading, limits, turned_as) if limits else (),
        shown=shown,
        ways=ways,
        count=len(reading.values),
        verdict=worst(value.quality for value in reading.values),
        flags=flags,
        common=reduce(and_, (value.quality for value in reading.values)) if reading.values else 0,
        time_ms=reading.time_ms,
        before=now.reading is None,
        spark=values.spark(course, 40 if len(config.meters) <= FEW else 16),
        spark_of=values.shown_as(meter, profile.point(points[0])).name if points else "",
        state=_state(now),
        record=_record(now),
    )


def _record(now: MeterNow) -> tuple[bytes, int] | None:
    """Epoch and number of what is shown; None: it is not recorded."""
    if now.newest is None:
        return now.earlier.record if now.earlier is not None else None
    return None if isinstance(now.newest, NotRecorded) else (now.newest.row.epoch, now.newest.row.seq)


def _state(now: MeterNow) -> State:
    if isinstance(now.newest, NotRecorded):
        return State("not-recorded", reason=now.newest.reason)
    return State("recorded")


def complete(facts: SiteFacts, config: Config, store: Database) -> SiteFacts:
    """The same with the facts of the database: states, ledgers, the last batch, the horizon. Raises StoreError."""
    states, now_ms, every_poll = States(store), facts.now_ms, facts.health["every_poll"]
    rows = {
        line: [meter_row(config, now, now_ms, facts.courses[now.name], every_poll) for now in seen]
        for line, seen in facts.seen.items()
    }
    return replace(
        facts,
        lines=tuple(
            replace(line, meters=tuple(_settled(row, states, now_ms) for row in rows[line.name]))
            for line in facts.lines
        ),
        ledgers=tuple(ledger.complete(store) for ledger in facts.ledgers),
        feeds=tuple(replace(feed, left=store.feeds.owed(feed.name, MANY_LEFT)) for feed in facts.feeds),
        last_batch=store.batches.last(),
        horizon=_horizon(config, store, now_ms),
        oldest_unanchored_ms=oldest_unanchored_ms(config, store),
    )


def _settled(meter: MeterRow, states: States, now_ms: int) -> MeterRow:
    if meter.record is None or meter.time_ms is None:
        return meter
    state = states.of(meter.name, *meter.record)
    return replace(meter, state=state if meter.late else newest(state, now_ms - meter.time_ms, meter.every_ms))


def _horizon(config: Config, store: Database, now_ms: int) -> Forecast | None:
    """None where disk or database cannot be read, for which there are alarms."""
    try:
        return horizon(config, store, now_ms, Retention().waits, running=True)
    except StoreError:
        return None
