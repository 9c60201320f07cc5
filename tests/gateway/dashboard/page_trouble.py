"""Every page of a site in trouble, made from a real database and facts of what can be wrong; no process is needed."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC
from fractions import Fraction
from typing import Any

from gateway.accounting.statements.retention import Retention
from gateway.clock import HOUR_MS
from gateway.config.model import Config
from gateway.dashboard.pages import alarms, batches, events, meter, record
from gateway.dashboard.pages import overview as site_view
from gateway.dashboard.pages.diagnosis import Diagnosis
from gateway.dashboard.pages.ledgers import LedgerNow
from gateway.dashboard.pages.line_load import Loads
from gateway.dashboard.pages.meter_list import meter_list
from gateway.dashboard.pages.overview import FeedRow, MeterRow, SiteFacts
from gateway.dashboard.pages.record_state import State
from gateway.dashboard.pages.sparklines import Sparks
from gateway.dashboard.pages.totals import Column, SiteTotals
from gateway.dashboard.render.html import HTML
from gateway.dashboard.shell.html import Visitor
from gateway.dashboard.shell.time.asked_range import Bounds
from gateway.dashboard.shell.time.paging import Turn
from gateway.doctor.check import Finding
from gateway.history.completeness import Completeness, Window
from gateway.messages.alarm_kinds import KINDS
from gateway.messages.languages import Stored
from gateway.messages.message import Message
from gateway.standing import Standing
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.capacity.forecast import horizon
from gateway.storage.database import Database
from gateway.totals.flows import Flow, Lack
from gateway.totals.periods import PERIODS
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Quality, Value
from tests.support.epochs import epoch
from tests.support.register_points import register_point

MIN = 60_000
Page = Callable[[Visitor], str]
LONG = "a-very-long-name-without-any-blank-in-it-" + "x" * 23
VALUES = (
    Value("active_power_total", -23274.73046875, "W", int(Quality.CLOCK_UNSYNC)),
    Value("energy_export", 4821, "kWh", int(Quality.CLOCK_UNSYNC | Quality.COUNTER_RESET | Quality.SHARED_LINE)),
    Value("voltage_l1", None, "V", int(Quality.CLOCK_UNSYNC | Quality.NOT_FOUND)),
    Value("co2", 2210.4, "ppm", int(Quality.CLOCK_UNSYNC | Quality.FROZEN)),
    Value("state", 5, None, int(Quality.CLOCK_UNSYNC)),
    Value("events_1", 5, None, int(Quality.CLOCK_UNSYNC | Quality.DEVICE_FAULT)),
)
SYMBOLS = {
    "state": register_point("state", 3, 0, "u16", 1, symbols=((5, "throttled by the grid operator"),)),
    "events_1": register_point(
        "events_1", 3, 1, "bits16", 1, symbols=((0, "ground fault"), (2, "the grid is disconnected"))
    ),
}


@asynccontextmanager
async def trouble(loaded: Config) -> AsyncIterator[dict[str, Page]]:
    """The pages by what they show, each to be made for a visitor."""
    async with epoch(loaded) as running:
        store = Database(loaded.database, read_only=True)
        now_ms = running.clock.now_ms()
        common = {
            "brand": "yunnan-hydro-07",
            "here": "site",
            "alarm_count": 7,
            "meters": tuple(loaded.meters),
            "reversed": (),
            "labels": {"export-main": LONG},
        }

        def made(template: str, **facts: Any) -> Page:
            return lambda visitor: _whole(HTML.page(f"{template}.html", visitor, now_ms, UTC, **{**common, **facts}))

        loads = Loads(running.lines, running.clock)
        look = site_view.look(running, loads, Sparks(running.in_force))
        well = site_view.complete(look, loaded, store)
        facts = meter.look(running, loads, "export-main", None, "1h")
        whole = meter.complete(facts, store, now_ms)
        row, place = store.records.newest("export-main", "reading"), store.records.newest("export-main", "coverage")
        assert row is not None
        assert place is not None
        name = row.meter, row.epoch.hex(), str(row.seq)
        bad = replace(whole, row=_lost(whole.row, now_ms), values=VALUES, symbols=SYMBOLS, coverage=_coverage(now_ms))
        listed = batches.batches(store, Bounds(), Turn(), "demo-ledger was not asked yet what it holds")
        yield {
            "site": _site_page(made, replace(_site(well, loaded, store, now_ms), totals=totals(now_ms)), {}),
            "site, filtered": _site_page(made, _site(well, loaded, store, now_ms), {"find": "x", "state": "silent"}),
            "site, totals by plan": _site_page(made, replace(well, totals=totals(now_ms, "plant")), {}),
            "site, totals pending": _site_page(made, replace(well, totals=pending(now_ms)), {}),
            "site, clock unknown": _site_page(made, _clock(well, now_ms), {}),
            "site, over": _site_page(made, replace(well, alarms=_alarms(now_ms)[-1:]), {}),
            "meter, silent": made("meter", meter=bad),
            "meter, exchanged": made(
                "meter",
                meter=replace(
                    bad, stranger="serial_number=4711", identity="serial_number=21043387", numberless=False
                ),
            ),
            "meter, not recorded": made(
                "meter", meter=replace(bad, row=replace(bad.row, state=State("not-recorded"), standing=Standing.WELL))
            ),
            "alarms": made("alarms", here="alarms", alarms=_alarm_facts(now_ms)),
            "completeness": made("completeness", rows=_incomplete(now_ms)),
            "diagnosis": made("diagnosis", here="diagnosis", diagnosis=_diagnosis(now_ms)),
            "batches": made("batches", here="batches", list=replace(listed, page=listed.page.map(_refused_row))),
            "batch": made("batch", here="batches", row=_refused(batches.batch(store, 0))),
            "events": made("events", here="events", list=_happened(events.events(store, Bounds(), Turn(), ""))),
            "record": made("record", here="batches", record=record.record(store, *name, whole=False)),
            "configuration": made(
                "configuration", here="diagnosis", path=str(loaded.path), preview=_preview(),
                trial=(), stuck="", reverted="export-main has answered nothing",
            ),
            "problem": made("problem", status=503, problem="the database cannot be read", way_out="`meterseal doctor`"),
            "login": made("login", problem="the password is wrong", next="/"),
        }  # fmt: skip
        store.close()


def _whole(html: str) -> str:
    """The page with its sheet in it, for a browser that has no server."""
    sheet = HTML.static("style.css")
    assert sheet is not None
    html = re.sub(r"<script.*?</script>", "", html)
    return re.sub(r'<link rel="stylesheet"[^>]*>', lambda _: f"<style>{sheet[0].decode()}</style>", html)


def _lost(row: MeterRow, now_ms: int) -> MeterRow:
    flags = int(Quality.CLOCK_UNSYNC | Quality.COUNTER_RESET | Quality.FROZEN)
    silent = replace(row, standing=Standing.SILENT, silent_since_ms=now_ms - 7 * MIN, reason="timeout", cause="timeout")
    silent = replace(silent, flags=flags, verdict="bad")
    return replace(silent, time_ms=now_ms - 8 * MIN, shown=VALUES[:2], state=State("recorded"))


def _coverage(now_ms: int) -> tuple[Coverage, ...]:
    missed = {"timeout": 17, "no-shape": 3, "crc": 2, "stopped": 400, "line-down": 31}
    return (
        Coverage(now_ms - 60 * MIN, now_ms, 460, 7, missed),
        Coverage(now_ms - 120 * MIN, now_ms - 60 * MIN, 4, 4, {}),
    )


def totals(now_ms: int, plan: str = "") -> SiteTotals:
    """Totals of every flow, some of which lack parts; by the readings of meters, or by a plan."""
    lacks = Lack("pv-2", "silent", now_ms - 30 * MIN), Lack(LONG, "begins-late")
    statuses = (("measured", Fraction(1_000_000)), ("unknown", None)) if plan else ()
    power = {
        "generation": Flow(Fraction(24_300), 4, lacks),
        "consumption": Flow(Fraction(61_234), 3, computed=True, uncertain=(LONG,)),
        "import": Flow(Fraction(0), 1),
        "export": Flow(Fraction(1_234_567), 1),
        "charge": Flow(None, 1, (Lack("battery", "no-sign"),)),
        "discharge": Flow(None, 1, (Lack("battery", "no-sign"),)),
    }
    energy = {name: replace(flow, statuses=statuses) for name, flow in power.items()}
    column = Column(plan, 3, UTC, dict.fromkeys(PERIODS, energy))
    return SiteTotals(power, (column,), now_ms, False, None, UTC)


def pending(now_ms: int) -> SiteTotals:
    """Totals of a gateway that has just started: nothing was read yet, and the energies are being read."""
    power = {name: Flow(None, 1, (Lack("pv", "no-reading"),)) for name in ("generation", "consumption")}
    return SiteTotals(power, (), 0, True, Message("figures-rows-missing", folder="x", from_ms=0, to_ms=now_ms), UTC)


def _site(well: SiteFacts, loaded: Config, store: Database, now_ms: int) -> SiteFacts:
    first, *others = well.lines
    lost = tuple(_lost(one, now_ms) for one in first.meters)
    asleep = [
        replace(one, standing=Standing.ASLEEP, silent_since_ms=now_ms - 400 * MIN, time_ms=now_ms - 401 * MIN)
        for one in (meter for line in others for meter in line.meters)
    ]
    unread = MeterRow(LONG, "并网关口表 Grid connection point of the second plant", "generation", 10_000)
    shaky = MeterRow(
        "shaky", "", "emission", 10_000, VALUES[:2], 6, "uncertain", int(Quality.SHARED_LINE), 0, now_ms - 2000,
        state=State("not-recorded"), record=None, spark=lost[0].spark, spark_of="co2",
    )  # fmt: skip
    shaky = replace(shaky, state=State("anchored", 3, ("demo-ledger", LONG)))
    lines = (
        replace(
            first, up=False, meters=lost, silent=tuple(one.name for one in lost), where="/dev/serial/by-id/" + LONG
        ),
        *(replace(line, meters=(*asleep, shaky, unread)) for line in others[:1]),
    )
    return replace(
        well,
        lines=lines,
        alarms=_alarms(now_ms),
        clock=("U", None),
        health=well.health | {"recording": {"reason": "disk-full", "problem": "no room", "way_out": "free space"}},
        horizon=horizon(loaded, store, now_ms, Retention().waits, running=True),
        oldest_unanchored_ms=now_ms - 90_000 * MIN,
        ledgers=(
            LedgerNow("demo-ledger", "http", f"https://{LONG}.example/", True, False, 3, now_ms - 90 * MIN, 412,
                      Stored("no")),
            LedgerNow("chain", "evm", "http://127.0.0.1:8545", False, False, None, None, 12),
        ),
        feeds=(
            FeedRow("scada", "json", f"mqtts://{LONG}:8883", False, Stored("the broker is not reachable"), 500, 3,
                    10_000),
            FeedRow("ems", "sparkplug", "mqtt://10.0.0.9", True, Stored("connected, waits for primary host ems"), 0, 0,
                    17),
        ),
    )  # fmt: skip


def _site_page(made: Callable[..., Page], site: SiteFacts, query: Mapping[str, str]) -> Page:
    return made("site", many_left=10_000, site=site, listed=meter_list(site.lines, query))


def _clock(well: SiteFacts, now_ms: int) -> SiteFacts:
    flag = int(Quality.CLOCK_UNSYNC)
    doubtful = {"common": flag, "flags": flag, "verdict": "uncertain", "standing": Standing.WELL, "time_ms": now_ms}
    rows = tuple(
        replace(line, meters=tuple(replace(one, **doubtful) for one in line.meters))  # type: ignore[arg-type]
        for line in well.lines
    )
    return replace(well, lines=rows, alarms=(), clock=("I", None), health=well.health | {"every_poll": 10})


def _alarms(now_ms: int) -> tuple[AlarmRow, ...]:
    standing = [
        AlarmRow(n, "export-main" if n % 3 == 0 else "gateway", code, "rs485-1" if n % 2 else "ledger demo-ledger",
                 f"export-main on rs485-1: {KINDS[code].meaning} ({LONG})", now_ms - n * 17 * MIN, now_ms - n * MIN)
        for n, code in enumerate(("recording-stopped", "meter-exchanged", "line-down", "clock", "clock-step"), 1)
    ]  # fmt: skip
    over = replace(standing[2], id=90, cleared_ms=now_ms - MIN, times=4)
    return (*standing[:3], replace(standing[3], acked_ms=now_ms - MIN, acked_by="ines"), standing[4], over)


def _alarm_facts(now_ms: int) -> alarms.AlarmFacts:
    standing = _alarms(now_ms)
    shelved = replace(standing[1], id=91, shelved_until_ms=now_ms + 480 * MIN, shelved_by="ines", shelved_why=LONG)
    past = replace(standing[2], id=92, cleared_ms=now_ms - 3000 * MIN, acked_ms=now_ms, acked_by="ines")
    return alarms.AlarmFacts(standing, (shelved,), now_ms, frozenset(), (past, replace(past, id=93, code="clock-step")))


def _incomplete(now_ms: int) -> tuple[Completeness, ...]:
    to_ms = now_ms - now_ms % HOUR_MS
    hours = ((24, True, 8640, 8639, 0), (168, True, 60480, 1, 50000), (720, False, 1, 1, 0), (720, True, 5, 0, 5))
    windows = [Window(h, to_ms - h * HOUR_MS, to_ms, whole, *polls) for h, whole, *polls in hours]
    gap, since_ms = (now_ms - 90 * HOUR_MS, now_ms - HOUR_MS), to_ms - 200 * HOUR_MS
    return (
        Completeness("new", None, None, False, (), None),
        Completeness("export-main", since_ms, to_ms, True, tuple(windows[:3]), gap),
        Completeness("pv-inverter", since_ms, to_ms, False, (windows[3], *windows[1:3]), None),
    )


def _diagnosis(now_ms: int) -> Diagnosis:
    results: tuple[Any, ...] = ("bad", "warn", "ok")
    look = "do `meterseal doctor CONFIG`"
    findings = (
        Finding(f"line {LONG}", result, Message("check-error", problem=f"{result}: {LONG}", way_out=look))
        for result in results
    )
    return Diagnosis(tuple(findings), False, now_ms)


def _refused(row: batches.BatchRow) -> batches.BatchRow:
    states = ("refused", "queued", "submitted", "settled")
    first = row.anchors[0]
    return replace(
        row, anchors=tuple(replace(first, state=state, detail=Stored(f"{LONG} says no")) for state in states)
    )


def _refused_row(_: int, row: batches.BatchRow) -> batches.BatchRow:
    return _refused(row)


def _happened(found: events.EventList) -> events.EventList:
    facts = (("identity", "serial_number=4711"), ("old", "serial_number=21043387"), ("reason", LONG))
    both = tuple(
        replace(
            found.page.rows[0][1],
            name="alarm",
            code="line-down",
            raised=raised,
            sentence=Stored(f"it is so: {LONG}"),
            facts=facts,
        )
        for raised in (True, False)
    )
    rows = (*((1 << 40, one) for one in both), *found.page.rows)
    return replace(found, page=replace(found.page, rows=rows))


def _preview() -> dict[str, Any]:
    changes = [("-", "bus rs485-1, meter export-main, every = 10s"), ("+", f"bus rs485-1, meter {LONG}, every = 7s")]
    lines = [{"sign": sign, "text": text} for sign, text in changes]
    return {"nothing": False, "changes_said": lines, "opened": ["rs485-1"], "closed": [], "fingerprint": "00"}
