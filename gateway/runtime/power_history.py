"""Power history of devices that may sleep: the last and greatest power, and the start of their silence.

A start looks at the newest rows; older ones are read beside the recording gateway. Until then the greatest is too small
at most, which calls no device asleep that is not.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path

from gateway.clock import HOUR_MS, MINUTE_MS
from gateway.config.bus import Meter
from gateway.config.model import Config
from gateway.devices.points import Profile
from gateway.errors import Damaged
from gateway.fieldbus.polling.sleep import NOTHING, PowerRecord
from gateway.history.aggregates import Aggregate
from gateway.history.rollup import kept_spans, resume
from gateway.process.background import BackgroundTask
from gateway.process.threads import in_thread
from gateway.records import MissedPoll, News, NotRecorded, SignedRecord
from gateway.storage.database import Database
from gateway.storage.record_reader import read_body
from gateway.storage.summary_tables import Summaries
from gateway.verdicts import verdict
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Number, Reading

log = logging.getLogger("meterseal.agent")

RECENT_MS = 48 * HOUR_MS
"""Newest rows that are looked at before the start."""
MONTH_MS = 30 * 24 * HOUR_MS
PAUSE_S = 0.2
BACK_MS = 24 * HOUR_MS
"""How far back it is looked for since when a device is silent: one that is silent for longer does not sleep."""
UNANSWERED = frozenset({"timeout", "backoff", "line-down", "asleep"})
"""Reasons of coverage for which the device did not answer; the others are the gateway's."""


def sleep_point(meter: Meter, profile: Profile) -> str | None:
    """The recorded point that goes to nearly nothing when this device falls asleep, None: there is none."""
    name = profile.sleeps_below
    if name is None:
        return None
    return name if (name in meter.points if meter.points else profile.point(name).record) else None


def sleepers(config: Config) -> dict[str, str | None]:
    """The meters that may sleep, each with its ``sleep_point``."""
    return {
        name: sleep_point(meter, config.profiles[name])
        for name, meter in config.meters.items()
        if config.profiles[name].may_sleep
    }


def recall(summaries: Summaries, meter: str, point: str | None) -> PowerRecord:
    """What the newest records and rows of a meter tell; of those that cannot be read, nothing. Raises StoreError."""
    try:
        return _recalled(summaries, meter, point)
    except Damaged as error:
        log.warning("%s: its power of before cannot be read: %s", meter, error)
        return NOTHING


def _recalled(summaries: Summaries, meter: str, point: str | None) -> PowerRecord:
    last, silent_since_ms = _newest(summaries, meter, point)
    if point is None:
        return PowerRecord(silent_since_ms=silent_since_ms)
    greatest = max((p for body in resume(summaries, meter)[1] if (p := _good(body, point)) is not None), default=None)
    for span_ms, back_ms in ((MINUTE_MS, 2 * HOUR_MS), (HOUR_MS, RECENT_MS)):
        newest_ms = summaries.newest(meter, span_ms)
        if newest_ms is not None:
            found = greatest_of(
                kept_spans(summaries, meter, span_ms, newest_ms - back_ms, newest_ms + 1, {point}), point
            )
            greatest = _greater(greatest, found)
    return PowerRecord(last, greatest, silent_since_ms)


def greatest_of(spans: Iterable[Aggregate], point: str) -> float | None:
    """The greatest size of a point's values, those of spans with bad ones left out."""
    greatest: float | None = None
    for span in spans:
        figures = span.points.get(point)
        if figures is None or figures.low is None or figures.high is None or verdict(figures.value_bits) == "bad":
            continue
        greatest = _greater(greatest, max(abs(float(figures.low)), abs(float(figures.high))))
    return greatest


def _greater(one: float | None, other: float | None) -> float | None:
    return max((size for size in (one, other) if size is not None), default=None)


def _newest(summaries: Summaries, meter: str, point: str | None) -> tuple[float | None, int | None]:
    """The last power, and since when the meter is silent, as far as ``BACK_MS`` before the last record tell."""
    silent_ms: int | None = None
    latest_ms: int | None = None
    for kind, time_ms, data in summaries.story_back(meter):
        latest_ms = latest_ms or time_ms
        if time_ms < latest_ms - BACK_MS:
            break
        body = read_body(kind, time_ms, data)
        if isinstance(body, Reading):
            if silent_ms is not None:
                silent_ms = max(silent_ms, body.time_ms + 1)
            return _power(body, point), silent_ms
        if isinstance(body, Coverage) and UNANSWERED & body.missed.keys():
            silent_ms = body.to_ms if "stopped" in body.missed else body.from_ms
    return None, silent_ms


def _power(reading: Reading, point: str | None) -> float | None:
    contents = (value.value for value in reading.values if value.name == point)
    return next((abs(float(n)) for n in contents if isinstance(n, Number) and not isinstance(n, bool)), None)


def _good(body: Reading | Coverage, point: str | None) -> float | None:
    """The power of a reading whose quality is not bad."""
    if not isinstance(body, Reading) or any(v.name == point and verdict(v.quality) == "bad" for v in body.values):
        return None
    return _power(body, point)


class PowerHistory(BackgroundTask):
    """The power of every device that may sleep. A listener of the hub; ``record`` is what lines ask."""

    def __init__(self, config: Config, store: Database) -> None:
        """``store`` is read here and not kept. Raises StoreError."""
        self._config, self._points = config, sleepers(config)
        self._known = {name: recall(store.summaries, name, point) for name, point in self._points.items()}
        self._shallow = set(self._points)
        self._more = asyncio.Event()

    def record(self, meter: str) -> PowerRecord:
        """What is known of a meter's power now."""
        return self._known.get(meter, NOTHING)

    def unknown(self, config: Config) -> dict[str, str | None]:
        """The devices of another configuration of which ``recall`` has still to be asked."""
        return {name: point for name, point in sleepers(config).items() if self._points.get(name, "") != point}

    def change(self, config: Config, found: Mapping[str, PowerRecord]) -> None:
        """Another configuration, with what ``recall`` gives of its ``unknown`` devices."""
        self._config, self._points = config, sleepers(config)
        self._known = {name: found.get(name) or self.record(name) for name in self._points}
        self._shallow = (self._shallow | found.keys()) & self._points.keys()
        self._more.set()

    def hear(self, news: Sequence[News]) -> None:
        """What has happened, in the event loop."""
        for item in news:
            meter = item.row.meter if isinstance(item, SignedRecord) else item.meter
            known = self._known.get(meter)
            if known is None:
                continue
            if isinstance(item, MissedPoll):
                if item.reason in UNANSWERED and known.silent_since_ms is None:
                    self._known[meter] = known._replace(silent_since_ms=item.due_ms)
            elif isinstance(body := item.reading if isinstance(item, NotRecorded) else item.body, Reading):
                self._known[meter] = self._answered(known, meter, body)

    def _answered(self, known: PowerRecord, meter: str, reading: Reading) -> PowerRecord:
        point, since_ms = self._points[meter], known.silent_since_ms
        if (
            since_ms is not None and reading.time_ms >= since_ms
        ):  # the news of a record comes when it is durable, that of a miss at once
            since_ms = None
        power = _power(reading, point)
        greatest = _greater(known.greatest, _good(reading, point))
        return PowerRecord(known.last if power is None else power, greatest, since_ms)

    async def run(self) -> None:
        """Read the older rows of each device, a month at a time, until cancelled."""
        while True:
            self._more.clear()
            while self._shallow:
                meter = min(self._shallow)
                try:
                    await self._deepen(meter)
                except Damaged as error:  # that will not be better the next time
                    log.warning("%s: its greatest power of before cannot be read: %s", meter, error)
                self._shallow.discard(meter)
            await self._more.wait()

    async def _deepen(self, meter: str) -> None:
        path, point, before_ms = self._config.database, self._points.get(meter), 1 << 53
        while point is not None and (step := await in_thread(partial(_month, path, meter, point, before_ms), "power")):
            before_ms, greatest = step
            if meter in self._known:
                known = self._known[meter]
                self._known[meter] = known._replace(greatest=_greater(known.greatest, greatest))
            await asyncio.sleep(PAUSE_S)


def _month(path: Path, meter: str, point: str, before_ms: int) -> tuple[int, float | None] | None:
    """The greatest power in the newest month of hours before a moment, and where that month begins; None: there is
    nothing so old. Raises StoreError."""
    store = Database(path, read_only=True)
    try:
        oldest_ms, newest_ms = store.summaries.oldest(meter, HOUR_MS), store.summaries.newest(meter, HOUR_MS)
        if oldest_ms is None or newest_ms is None or before_ms <= oldest_ms:
            return None
        end_ms = min(before_ms, newest_ms + 1)
        spans = kept_spans(store.summaries, meter, HOUR_MS, end_ms - MONTH_MS, end_ms, {point})
        return end_ms - MONTH_MS, greatest_of(spans, point)
    finally:
        store.close()
