"""Prometheus exposition at `/metrics`: figures of the running epoch and of its database.

What is read in the event loop is a copy of a few numbers a meter; the database is read in a thread, by a connection of
its own, and the text is made there too.
"""

from __future__ import annotations

import platform
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from math import inf
from pathlib import Path
from typing import Any, Literal

from prometheus_client import CollectorRegistry, ProcessCollector, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from gateway.accounting.statements.retention import Retention
from gateway.alarms.checks import certificate_end, certificate_files, newest_keys
from gateway.config.metrics_values import ValueSeries, value_series
from gateway.config.model import Config
from gateway.errors import StoreError
from gateway.fieldbus.wire.line_spec import MeterSpec
from gateway.messages.alarm_kinds import SEVERITIES
from gateway.process.histogram import Durations
from gateway.process.threads import in_thread
from gateway.recording.live_state import MeterNow
from gateway.records import GATEWAY
from gateway.runtime.context import GatewayContext
from gateway.status.metric_names import FIGURES, VALUE, Figure
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.capacity.forecast import horizon
from gateway.storage.database import Database
from gateway.storage.files import RESERVE
from gateway.verdicts import VERDICTS, verdict, worst
from ledger_client.errors import LedgerClientError
from ledger_client.formats.senml import Columns, Number, Reading
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import load_trust

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
STALE_AFTER = 3
"""Periods after which a value is no longer one of now."""
STRAYS = ("late", "foreign", "doubled", "damaged", "mismatched", "noise", "echo")
CLOCKS = {"S": "synchronised", "I": "informative", "U": "unknown"}
IN_FLIGHT = ("submitted", "included", "final")
KINDS = ("reading", "coverage", "event")
STOPPED_BY = ("disk-full", "disk-error")


class Sheet(Collector):
    """Figures by name, filled one by one."""

    def __init__(self) -> None:
        self._families = {figure.name: _family(figure) for figure in FIGURES}

    def put_value(self, series: ValueSeries, value: float, *labels: str) -> None:
        """One measured value."""
        if series.metric not in self._families:
            kind: Literal["gauge", "counter"] = "counter" if series.is_counter else "gauge"
            help_text = f"Newest values of the dimension {series.dimension}, in the base unit."
            self._families[series.metric] = _family(Figure(series.metric, kind, help_text, VALUE))
        self.put(series.metric, value, *labels)

    def put(self, name: str, value: float, *labels: str) -> None:
        """One series: its labels in the order of the list."""
        self._families[name].add_metric(labels, value)

    def put_one_of(self, name: str, chosen: str, known: Iterable[str], *labels: str) -> None:
        """One series for each of the ``known``: 1 for the ``chosen`` one, 0 for the others."""
        for each in known:
            self.put(name, each == chosen, *labels, each)

    def put_durations(self, name: str, durations: Durations) -> None:
        """A histogram."""
        buckets = [("+Inf" if bound == inf else str(bound), count) for bound, count in durations.up_to()]
        self._families[name].add_metric((), buckets, durations.sum_s)

    def collect(self) -> Iterator[Metric]:
        """What Prometheus gets."""
        return iter(self._families.values())


def _family(figure: Figure) -> Any:
    if figure.kind == "histogram":
        return HistogramMetricFamily(figure.name, figure.help, labels=figure.labels)
    kind = CounterMetricFamily if figure.kind == "counter" else GaugeMetricFamily
    return kind(figure.name, figure.help, labels=figure.labels)


@dataclass(frozen=True, slots=True)
class MeterFigures:
    """A copy of what is known of a meter."""

    labels: tuple[str, str]
    period_ms: int
    reading: Reading | None
    up: bool | None
    polls: Mapping[str, int]


async def exposition(site: GatewayContext, lag: Durations) -> bytes:
    """All figures in Prometheus' text format. Never fails: figures that cannot be read are left out.

    ``lag``: of the event loop.
    """
    sheet = Sheet()
    meters = [_copy(now, name, meter.period_ms) for name, meter, now in _meters(site)]
    _site(sheet, site)
    sheet.put_durations("meterseal_event_loop_lag_seconds", lag)
    for name, line in site.lines.items():
        strays = {kind: line.counters[kind] for kind in STRAYS}
        _line(sheet, name, up=line.up, busy_s=line.busy_s, silent=len(line.silent), strays=strays)
    _alarms(sheet, site.board.listed())
    for name, uplink in site.uplinks.items():
        sheet.put("meterseal_ledger_up", uplink.reached, name)
    for entry in site.config.document.feed:
        if entry.name in site.feeds.names():
            _feed(sheet, entry.name, site.feeds.facts(entry.name))
    now_ms = site.clock.now_ms()
    return await in_thread(lambda: _text(sheet, site.config, meters, now_ms), "figures")


def _meters(site: GatewayContext) -> Iterator[tuple[str, MeterSpec, MeterNow]]:
    """Each line's name with each of its meters; while a reload is under way one of them may not be known yet."""
    for name, line in site.lines.items():
        for meter in line.spec.meters:
            if (now := site.live.meters.get(meter.name)) is not None:
                yield name, meter, now


def _copy(now: MeterNow, line: str, period_ms: int) -> MeterFigures:
    polls = {"recorded": now.recorded, "timeout": 0, **now.missed}
    for reason, count in now.unrecorded.items():
        polls[reason] = polls.get(reason, 0) + count
    return MeterFigures((now.name, line), period_ms, now.reading, now.up, polls)


def _site(sheet: Sheet, site: GatewayContext) -> None:
    """Figures of the process."""
    built = (site.config.gateway_id, version("meterseal"), platform.python_version())
    sheet.put("meterseal_build_info", 1, *built)
    health = site.recorder.health()
    stopped = health["recording"]["reason"] if health["recording"] else ""
    sheet.put_one_of("meterseal_recording_stopped", stopped, STOPPED_BY)
    sheet.put("meterseal_recording_every_polls", health["every_poll"])
    sheet.put("meterseal_sealing_held", health["sealing"] is not None)
    sheet.put("meterseal_recorder_waiting_readings", site.recorder.waiting)
    sheet.put_durations("meterseal_commit_duration_seconds", site.recorder.commits)
    letter, error_ms = site.clock.letter()
    sheet.put_one_of("meterseal_clock_state", CLOCKS[letter], CLOCKS.values())
    if error_ms is not None:
        sheet.put("meterseal_clock_error_seconds", error_ms / 1000)


def _line(sheet: Sheet, line: str, *, up: bool, busy_s: float, silent: int, strays: Mapping[str, int]) -> None:
    sheet.put("meterseal_line_up", up, line)
    sheet.put("meterseal_line_busy_seconds_total", busy_s, line)
    sheet.put("meterseal_line_silent_meters", silent, line)
    for kind, count in strays.items():
        sheet.put("meterseal_line_stray_frames_total", count, line, kind)


def _feed(sheet: Sheet, feed: str, facts: Mapping[str, Any]) -> None:
    sheet.put("meterseal_feed_connected", facts["connected"], feed)
    sheet.put("meterseal_feed_waiting_readings", facts["waiting"], feed)
    for kind in ("live", "history"):
        sheet.put("meterseal_feed_readings_total", facts[kind], feed, kind)


def _alarms(sheet: Sheet, alarms: Iterable[AlarmRow]) -> None:
    counts = dict.fromkeys(SEVERITIES, 0)
    for alarm in alarms:
        if alarm.active:
            counts[alarm.severity] += 1
            about = ("" if alarm.source == GATEWAY else alarm.source, alarm.line)
            name = "meterseal_alarm_since_timestamp_seconds"
            sheet.put(name, alarm.since_ms / 1000, alarm.code, alarm.severity, *about)
    for severity, count in counts.items():
        sheet.put("meterseal_alarms", count, severity)


def _text(sheet: Sheet, config: Config, meters: Collection[MeterFigures], now_ms: int) -> bytes:
    for meter in meters:
        _meter(sheet, meter)
    if series := list(value_series(config)):
        _values(sheet, config, series, meters, now_ms)
    _ends(sheet, config)
    try:
        store = Database(config.database, read_only=True)
        try:
            with store.snapshot():
                _store(sheet, config, store, now_ms)
        finally:
            store.close()
    except StoreError:
        pass  # the other figures show that recording has stopped, and why
    registry = CollectorRegistry(auto_describe=False)
    registry.register(sheet)
    ProcessCollector(registry=registry)
    return generate_latest(registry)


def _ends(sheet: Sheet, config: Config) -> None:
    """When certificates and keys end."""
    for owner, key, path in certificate_files(config):
        if (end_s := certificate_end(path)) is not None:
            sheet.put("meterseal_certificate_end_timestamp_seconds", end_s, owner, key)
    try:
        trust = _trust(config.trust, config.trust.stat().st_mtime_ns, bool(config.document.ledger))
    except (OSError, LedgerClientError):
        return  # it was good at the start; the doctor reports it
    for found in newest_keys(config, trust).values():
        if found.valid_to is not None:
            owner = found.ledger or found.meter or config.gateway_id
            sheet.put("meterseal_key_end_timestamp_seconds", found.valid_to, found.role, owner)


@lru_cache(1)
def _trust(path: Path, _: int, anchored: bool) -> Trust:
    """The trust file as it was at a time: the keys of a hundred meters take 20 ms to read."""
    return load_trust(path, anchored=anchored)


def _meter(sheet: Sheet, meter: MeterFigures) -> None:
    sheet.put("meterseal_poll_period_seconds", meter.period_ms / 1000, *meter.labels)
    for outcome, count in meter.polls.items():
        sheet.put("meterseal_polls_total", count, *meter.labels, outcome)
    if meter.up is not None:
        sheet.put("meterseal_meter_up", meter.up, *meter.labels)
    if meter.reading is not None:
        sheet.put("meterseal_reading_timestamp_seconds", meter.reading.time_ms / 1000, *meter.labels)
        sheet.put_one_of("meterseal_reading_quality", _worst(meter.reading), VERDICTS, *meter.labels)


def _values(
    sheet: Sheet, config: Config, series: Iterable[ValueSeries], meters: Iterable[MeterFigures], now_ms: int
) -> None:
    """The newest value of each point that has a series: none that is bad, and none of a meter that has been silent for
    more than ``STALE_AFTER`` periods."""
    fresh = {
        meter.labels[0]: (meter.labels, {value.name: value for value in meter.reading.values})
        for meter in meters
        if meter.reading is not None and now_ms - meter.reading.time_ms <= STALE_AFTER * meter.period_ms
    }
    roles = {name: meter.role for name, meter in config.meters.items()}
    for each in (each for each in series if each.meter in fresh):
        labels, values = fresh[each.meter]
        value = values.get(each.point)
        content = value.value if value is not None and verdict(value.quality) not in ("bad", "missing") else None
        if isinstance(content, Number) and not isinstance(content, bool):
            now = float(each.turned.of(content)) * each.factor
            sheet.put_value(each, now, *labels, roles[each.meter], each.turned.name, each.phase)


def _worst(reading: Reading) -> str:
    """The worst verdict among a reading's values."""
    values = reading.values
    return worst([values.quality] if isinstance(values, Columns) else (value.quality for value in values))


def _store(sheet: Sheet, config: Config, store: Database, now_ms: int) -> None:
    """Figures of the database."""
    kinds = store.records.kinds()
    for kind in KINDS:
        sheet.put("meterseal_store_records", kinds.get(kind, 0), kind)
    sheet.put("meterseal_store_unsealed_records", store.batches.waiting())
    sheet.put("meterseal_batches_total", store.batches.count())
    if (last := store.batches.last()) is not None:
        sheet.put("meterseal_last_batch_timestamp_seconds", last.sealed_ms / 1000)
    _room(sheet, config, store, now_ms)
    conflicts = [conflict.ledger for conflict in store.anchors.conflicts()]
    for ledger in (entry.name for entry in config.document.ledger):
        _ledger(sheet, store, ledger, now_ms)
        sheet.put("meterseal_ledger_conflicts", conflicts.count(ledger), ledger)
    for feed in (entry.name for entry in config.document.feed):
        sheet.put("meterseal_feed_backfill_records", store.feeds.owed(feed), feed)


def _room(sheet: Sheet, config: Config, store: Database, now_ms: int) -> None:
    found = horizon(config, store, now_ms, Retention().waits, running=True)
    sheet.put("meterseal_store_used_bytes", found.space.used)
    sheet.put("meterseal_store_limit_bytes", found.space.limit)
    seconds = inf if found.for_ever else found.seconds
    if seconds is not None:
        sheet.put("meterseal_store_horizon_seconds", seconds)
    reserve = config.data / RESERVE
    try:
        sheet.put("meterseal_store_reserve_bytes", reserve.stat().st_size)
    except OSError:
        sheet.put("meterseal_store_reserve_bytes", 0)


def _ledger(sheet: Sheet, store: Database, ledger: str, now_ms: int) -> None:
    states = store.anchors.states(ledger)
    counts = {
        "queued": states.get("queued", 0),
        "in-flight": sum(states.get(state, 0) for state in IN_FLIGHT),
        "settled": states.get("settled", 0),
        "refused": states.get("refused", 0),
    }
    for state, count in counts.items():
        sheet.put("meterseal_ledger_batches", count, ledger, state)
    oldest_ms, receipt_ms = store.anchors.oldest_unanchored_ms(ledger), store.anchors.last_receipt_ms(ledger)
    age_ms = 0 if oldest_ms is None else max(0, now_ms - oldest_ms)
    sheet.put("meterseal_ledger_unanchored_age_seconds", age_ms / 1000, ledger)
    if receipt_ms is not None:
        sheet.put("meterseal_ledger_last_receipt_timestamp_seconds", receipt_ms / 1000, ledger)
