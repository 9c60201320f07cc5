"""Forecast of the time until the database is full at the present rate. Cheap: reads the newest records."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from gateway.clock import HOUR_MS, MINUTE_MS
from gateway.config.model import Config
from gateway.messages.message import Message
from gateway.storage.capacity import disk_space
from gateway.storage.capacity.disk_space import THINNING, Limits, Space
from gateway.storage.capacity.pruning import HOURS_KEPT_MS, Waits, may_go
from gateway.storage.database import Database

SPANS = (5000, 500, 50)  # records over which the rate is measured: the longest stretch of this epoch that there is
LEAST_MS = 30_000
PAGES, FRAME = 1.08, 100
"""Bytes of the database per byte of a record, and beside it: its row and its part of the indexes. Measured: 480 to 880
bytes a record of 350 to 670."""
SUMMARY_PAGES, SUMMARY_FRAME = 1.15, 25  # likewise of a summary; measured: 227 bytes of one of 174
SAMPLES = 5  # meters
RECEIPT = 700  # bytes of a batch at one ledger: the receipt, its row and its part of the indexes
KEEPS_UP_MS = 900_000
"""Age in ms of a pending batch at which its ledger counts as unreachable."""
FIRST_THINNING = min(threshold for threshold, _ in THINNING)


@dataclass(frozen=True, slots=True)
class Forecast:
    """Forecast of the space: ``seconds`` until the limit if nothing is pruned (None: not known), ``thin_seconds`` until
    fewer polls are recorded (None: never, or not known). ``for_ever``: pruning frees as much as is needed. The rate
    ``bytes_per_s`` is ``measured``, or follows from the configured periods."""

    space: Space
    bytes_per_s: float
    measured: bool
    for_ever: bool
    seconds: float | None
    thin_seconds: float | None
    message: Message

    @property
    def text(self) -> str:
        """The forecast in English."""
        return self.message.problem

    def as_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "used": self.space.used,
            "limit": self.space.limit,
            "bytes_per_s": round(self.bytes_per_s, 1),
            "measured": self.measured,
            "for_ever": self.for_ever,
            "seconds": None if self.seconds is None else round(self.seconds),
            "thin_seconds": None if self.thin_seconds is None else round(self.thin_seconds),
            "text": self.text,
        }


def horizon(config: Config, store: Database, now_ms: int, waits: Waits, *, running: bool) -> Forecast:
    """The forecast at ``now_ms`` (Unix ms); ``waits``: as pruning asks it; ``running``: a gateway runs.

    Raises StoreError.
    """
    limits = Limits.of(config)
    now = disk_space.measure(store, limits)
    measured, per_s = _rate(config, store, running=running)
    if not per_s:
        unknown = Message("horizon-rate-unknown", used_bytes=now.used, limit_bytes=now.limit)
        return Forecast(now, 0.0, False, False, None, None, unknown)
    left = max(0.0, (now.limit - now.used) / per_s)
    edge = FIRST_THINNING if limits.thin else 1.0
    thin = max(0.0, (now.limit * edge - now.used) / per_s) if limits.thin else None
    stuck = _nothing_goes(config, store, now_ms, waits)
    need = per_s * limits.keep_ms / 1000 + _hours_bytes(config, store, limits.keep_ms)
    until_pruned_s = max(0, limits.keep_ms - (now_ms - _oldest_ms(store, now_ms))) / 1000
    for_ever = stuck is None and max(need, now.used + per_s * until_pruned_s) <= now.limit * edge
    use = _use(now, per_s, measured=measured)
    keep_s, need_bytes = limits.keep_ms // 1000, round(per_s * limits.keep_ms / 1000)
    if now.share >= 1:
        message = Message("horizon-full", use=use)
    elif for_ever:
        message = Message("horizon-permanent", use=use, keep_s=keep_s, need_bytes=need_bytes, left_s=round(left))
    else:
        why = stuck or Message("horizon-need-exceeds", keep_s=keep_s, need_bytes=need_bytes)
        message = Message("horizon-left", left_s=round(left), use=use, why=(why, *_thinning(thin)))
    return Forecast(now, per_s, measured, for_ever, left, thin, message)


def bytes_a_record(store: Database) -> float:
    """Bytes of the database that one of the newest records takes; 0 if there are none."""
    sql = "SELECT avg(size) FROM (SELECT length(data) AS size FROM records ORDER BY id DESC LIMIT 500)"
    mean = store.count(sql)
    return mean * PAGES + FRAME if mean else 0.0


def _rate(config: Config, store: Database, *, running: bool) -> tuple[bool, float]:
    """(whether it was measured, bytes a second)."""
    each = bytes_a_record(store)
    last = store.batches.last()
    ledgers = len(config.document.ledger)
    batch = ((len(last.entry) if last else 500) + FRAME + RECEIPT * ledgers) * 1000 / config.document.seal.every
    records = _records_per_s(store) if running else None
    if records is None:
        coverage = len(config.meters) * 1000 / config.document.seal.every
        configured = sum(1000 / meter.every for meter in config.meters.values()) + coverage
        return False, configured * each + batch + _summaries_per_s(config, store) if each else 0.0
    return True, records * each + batch + _summaries_per_s(config, store)


def _summaries_per_s(config: Config, store: Database) -> float:
    """Bytes a second of the minutes and hours of all meters."""
    return len(config.meters) * _summary_bytes(config, store) * (1 / 60 + 1 / 3600)


def _hours_bytes(config: Config, store: Database, keep_ms: int) -> float:
    """Bytes of the hours whose records are pruned."""
    return len(config.meters) * _summary_bytes(config, store) * max(0, HOURS_KEPT_MS - keep_ms) / HOUR_MS


def _summary_bytes(config: Config, store: Database) -> float:
    """Bytes of the database that the newest minute of some meters takes, on an average; 0 if there are none."""
    sizes = []
    for meter in list(config.meters)[:SAMPLES]:
        newest = store.summaries.newest(meter, MINUTE_MS)
        if newest is not None:
            sizes.append(len(store.summaries.at(meter, MINUTE_MS, newest) or b""))
    return sum(sizes) / len(sizes) * SUMMARY_PAGES + SUMMARY_FRAME if sizes else 0.0


def _records_per_s(store: Database) -> float | None:
    """Records a second by the schedule in force; None while that is too young to measure."""
    newest = store.one("SELECT id, time_ms FROM records ORDER BY id DESC LIMIT 1")
    if newest is None:
        return None
    began_ms = store.count("SELECT anchor_ms FROM schedules ORDER BY id DESC LIMIT 1")
    for span in SPANS:
        row = store.one("SELECT id, time_ms FROM records WHERE id <= ? ORDER BY id DESC LIMIT 1", newest[0] - span)
        if row is not None and row[1] >= began_ms and newest[1] - row[1] >= LEAST_MS:
            return float((newest[0] - row[0]) * 1000 / (newest[1] - row[1]))
    return None


def _oldest_ms(store: Database, now_ms: int) -> int:
    """When the oldest batch that is there was sealed."""
    first = store.batches.first()
    return first.sealed_ms if first else now_ms


def _nothing_goes(config: Config, store: Database, now_ms: int, waits: Waits) -> Message | None:
    """Why pruning will find nothing that may go; None while it does."""
    entries = config.document.ledger
    asked = [entry.name for entry in entries if entry.policy == "required"] or [entry.name for entry in entries]
    if not asked:
        return Message("horizon-nothing-goes")
    away = list(_away(store, asked, now_ms))
    required = [entry.name for entry in entries if entry.policy == "required"]
    if not away or (not required and len(away) < len(asked)):
        batch = may_go(store, required, now_ms - config.document.store.keep)
        return waits(store, batch) if batch else None
    return Message("horizon-receipts-missing", ledgers=tuple(away))


def _away(store: Database, ledgers: list[str], now_ms: int) -> Iterator[str]:
    for ledger in ledgers:
        for waiting, batch in store.anchors.pending(ledger, 1):
            if waiting.state == "refused" or now_ms - batch.sealed_ms > KEEPS_UP_MS:
                yield ledger


def _use(now: Space, per_s: float, *, measured: bool) -> Message:
    """The space that is used, and the growth in a day."""
    day_bytes = round(per_s * 86400)
    if measured:
        return Message("horizon-use", used_bytes=now.used, limit_bytes=now.limit, day_bytes=day_bytes)
    return Message("horizon-use-configured", used_bytes=now.used, limit_bytes=now.limit, day_bytes=day_bytes)


def _thinning(thin_s: float | None) -> Iterator[Message]:
    """When fewer polls are recorded: in so many seconds; nothing where that never happens."""
    if thin_s is not None and thin_s > 0:
        yield Message("horizon-thins-in", share_percent=round(FIRST_THINNING * 100), thin_s=round(thin_s))
    elif thin_s is not None:
        yield Message("horizon-thins-already")
