"""Collection of the status: reads the database, and what the running gateway reports of itself."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from gateway.access_files import fingerprint
from gateway.accounting.statements.retention import Retention
from gateway.anchoring.ledger_comparison import equivocation
from gateway.commissioning.record.reversed_phase import unexplained_phase
from gateway.config.model import Config
from gateway.errors import ConfigError, StoreError
from gateway.messages.languages import sentence_in
from gateway.messages.message import Message
from gateway.process import control_socket, instance_lock
from gateway.standing import standing
from gateway.status.listeners import ListenerStatus
from gateway.status.readings import parsed_body, recorded_values
from gateway.status.status import (
    ClosingLine,
    DashboardStatus,
    FeedStatus,
    LedgerStatus,
    MeterStatus,
    Recording,
    Restored,
    Status,
    Totals,
)
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.capacity.forecast import Forecast, horizon
from gateway.storage.database import Database
from gateway.storage.recovery import repair_report
from gateway.verdicts import worst
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Quality
from ledger_client.messages import Sentence
from ledger_client.transport.access import AccessError

Health = Mapping[str, Any]
"""Answer of the running gateway to the order ``health``."""
Feeds = Mapping[str, Mapping[str, Any] | None]
"""Its answer about each feed, by the feed's name; None: no answer."""


def ask(config: Config) -> tuple[Health | None, Feeds]:
    """Health and feeds as the running gateway reports them; (None, {}) if it does not answer."""
    health = control_socket.ask(config.data, "health")
    if health is None:
        return None, {}
    return health, {x.name: control_socket.ask(config.data, f"feed {x.name}") for x in config.document.feed}


def collect(
    config: Config, store: Database, now_ms: int, health: Health | None = None, feeds: Feeds | None = None
) -> Status:
    """The status now.

    ``health`` and ``feeds`` (by name) are what the running gateway reports (``ask``), since it cannot write everything
    down on a full disk. Raises StoreError; Damaged where a record does not hold.
    """
    pid = instance_lock.running(config.data)
    now_ms = max(
        now_ms, store.records.latest_ms()
    )  # the system's clock may be behind record times, which wait for it then
    return Status(
        gateway=config.gateway_id,
        now_ms=now_ms,
        pid=pid,
        recording=_recording(store, health or {}),
        totals=Totals(**store.totals()),
        unsealed=store.batches.waiting(),
        last_batch=store.batches.last(),
        forecast=_forecast(config, store, now_ms, running=pid is not None),
        meters=[_meter(config, store, name, now_ms, health or {}) for name in config.meters],
        closing=[
            ClosingLine(x["line"], x["connect_ms"], sentence_in(x, x["text"]))
            for x in (health or {}).get("closing", ())
        ],
        ledgers=[_ledger(store, entry.name, entry.policy) for entry in config.document.ledger],
        feeds=_feeds(config, store, feeds or {}),
        asked_feeds=bool(feeds),
        alarms=_alarms(store, health or {}) if pid is not None else [],
        shelved=[row for row in store.alarms.open() if row.shelved],
        conflicts=[equivocation(config.gateway_id, found, str(config.database)) for found in store.anchors.conflicts()],
        repairs=_repairs(store),
        restored=_restored(store),
        dashboard=_dashboard(config),
        listening=[ListenerStatus.of(*line) for line in (health or {}).get("listening", {}).items()],
        commissioning=[sentence_in(x, x["text"]) for x in (health or {}).get("commissioning", ())],
    )


def _recording(store: Database, health: Health) -> Recording:
    stopped, waits = health.get("recording") or {}, health.get("sealing")
    if waits is not None:
        waits = sentence_in(health.get("sealing_said") or {}, waits)
    return Recording(
        stopped_reason=stopped.get("reason"),
        stopped=sentence_in(stopped, stopped["text"]) if stopped else None,
        every_poll=health.get("every_poll", 1),
        sealing_waits=waits,
        waiting_since_ms=None if waits is None else store.epochs.began_ms(),
    )


def _forecast(config: Config, store: Database, now_ms: int, *, running: bool) -> Forecast | None:
    """The forecast; None if the disk cannot be measured, which other problems report."""
    try:
        return horizon(config, store, now_ms, Retention().waits, running=running)
    except StoreError:
        return None


def _alarms(store: Database, health: Health) -> list[AlarmRow]:
    """The active alarms that are not shelved: as the running gateway reports them, else as stored."""
    if "alarms" in health:
        return [AlarmRow.from_json(facts) for facts in health["alarms"]]
    return [row for row in store.alarms.open() if row.active and not row.shelved]


def _meter(config: Config, store: Database, name: str, now_ms: int, health: Health) -> MeterStatus:
    every_ms, silence = config.meters[name].every, health.get("silences", {}).get(name, {})
    since_ms, reason, recorded_ms = silence.get("since"), silence.get("reason"), every_ms * health.get("every_poll", 1)
    rows, covered = store.records.readings(name, 1), store.records.newest(name, "coverage")
    values, body = [v.value for v in recorded_values(rows)], parsed_body(covered) if covered else None
    return MeterStatus(
        name=name,
        every_ms=every_ms,
        last_ms=rows[0].time_ms if rows else None,
        age_s=(now_ms - rows[0].time_ms) // 1000 if rows else None,
        values=len(values),
        verdict=worst(value.quality for value in values),
        missed=dict(body.missed) if isinstance(body, Coverage) else {},
        not_asked=[value.name for value in values if value.quality & Quality.NOT_ASKED],
        record=rows[0].id if rows else None,
        reversed=config.meters[name].reversed,
        reversed_phase=unexplained_phase(config.data, store, name, values),
        standing=standing(rows[0].time_ms if rows else None, since_ms, reason, recorded_ms, now_ms),
        cause=silence.get("cause"),
    )


def _ledger(store: Database, name: str, policy: str) -> LedgerStatus:
    states, refused = store.anchors.states(name), store.anchors.first_refused(name)
    settled = states.pop("settled", 0)
    return LedgerStatus(name, policy, settled, states, refused is not None, refused.sentence if refused else None)


def _feeds(config: Config, store: Database, reported: Feeds) -> list[FeedStatus]:
    """Each configured feed."""
    nothing: Mapping[str, Any] = {"connected": False, "waiting": 0, "live": 0, "history": 0}
    found = []
    for entry in config.document.feed:
        known = {**nothing, **(reported.get(entry.name) or {})}
        found.append(
            FeedStatus(
                name=entry.name,
                type=entry.type,
                url=entry.url,
                connected=known["connected"],
                state=sentence_in(known, known["state"]) if "state" in known else Message("feed-state-unknown"),
                waiting=known["waiting"],
                live=known["live"],
                history=known["history"],
                left=store.feeds.owed(entry.name),
            )
        )
    return found


def _repairs(store: Database) -> list[Sentence]:
    """What was recovered of damaged databases, and what was lost."""
    found: list[Sentence] = [repair_report.message(repair) for repair in store.repairs.all()]
    _, unknown = store.elsewhere.count() if found else (0, 0)
    if unknown and store.anchors.known() is None:
        found.append(Message("status-unsealed-permanently", n=unknown))
    return found


def _restored(store: Database) -> Restored | None:
    known = store.anchors.known()
    if known is None:
        return None
    sealed, unknown = store.elsewhere.count()
    return Restored(known.batch, known.ledger, known.found_ms, known.reason, sealed, unknown)


def _dashboard(config: Config) -> DashboardStatus | None:
    web = config.document.web
    if web is None:
        return None
    found = None
    with suppress(ConfigError, AccessError):  # `meterseal check` reports what is wrong with it
        cert = web.access(config.path.parent).cert
        found = fingerprint(cert) if cert is not None else None
    return DashboardStatus(web.url, found)
