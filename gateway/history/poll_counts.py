"""Polls counted by the hour from coverage records, in the background, behind the commits that hold them.

Beside the recording gateway: a thread reads what is new on a connection of its own, once a minute, and hands the writer
a few rows for one small transaction, in its turn. What the database holds of a meter for the last ``KEPT_MS`` is
counted at the first start, a portion at a time.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from gateway.clock import HOUR_MS, Clock
from gateway.config.model import Config
from gateway.errors import Damaged, StoreError
from gateway.history.poll_hours import HourCount, Readings
from gateway.process.background import BackgroundTask
from gateway.process.threads import in_thread
from gateway.records import CLOCK, GATEWAY
from gateway.storage.database import Database
from gateway.storage.poll_tables import Counted, Polls
from gateway.storage.record_reader import read_body
from gateway.storage.summary_tables import SLACK_MS
from gateway.storage.writer import Writer
from ledger_client.formats.record import Coverage, Event, parse_record
from ledger_client.formats.senml import Reading

log = logging.getLogger("meterseal.agent")

KEPT_MS = 31 * 24 * HOUR_MS
MANY, MANY_READINGS = 200, 5_000
"""Coverage records, or events, and readings of one meter, that are read at once; of all meters ``PORTION`` of both."""
PORTION = 2_000
EVERY_S, PAUSE_S, BEGIN_S = 60.0, 0.5, 5.0
SPREAD = "schedule"
"""The events behind one that had no room for all meters."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was counted of one meter, to be written in one transaction; ``counted``: how far, where that has changed;
    ``more``: there is more to count; ``records``: so many were looked at."""

    meter: str
    hours: Mapping[int, Polls]
    counted: Counted | None
    more: bool = False
    records: int = 0


def count_meter(store: Database, meter: str, now_ms: int, *, series: bool, span_ms: int = HOUR_MS) -> Step | None:
    """Count the next coverage records of a meter; None: there is none. Raises StoreError."""
    polls, before = store.polls, store.polls.counted_of(meter)
    oldest_ms = _oldest(now_ms, span_ms)
    place = before.last_id if before is not None else store.summaries.place_of(oldest_ms - SLACK_MS) - 1
    rows = polls.coverage_behind(meter, place, MANY)
    if not rows:
        return None
    if before is None:
        place, first = polls.coverage_before(meter, rows[0][0]), _coverage(*rows[0][1:])
        before = Counted(place, first.from_ms, first.from_ms, first.from_ms - 1)
    count = HourCount(polls.grids(meter), before, series, oldest_ms, span_ms)
    looked_at = 0

    def readings(behind: int, before: int) -> Readings:
        nonlocal looked_at
        found = _readings(store, meter, behind, before, series=series)
        looked_at += len(found.times_ms)
        return found

    done = 0
    for at, time_ms, data in rows:
        count.cover(_coverage(time_ms, data), partial(readings, place, at))
        place, done = at, done + 1
        if looked_at >= MANY_READINGS:
            break
    count.end()
    return Step(meter, count.hours, count.counted(place), done < len(rows) or done == MANY, done + looked_at)


def _coverage(time_ms: int, data: bytes) -> Coverage:
    body = read_body("coverage", time_ms, data)
    assert isinstance(body, Coverage), "it was asked for"
    return body


def _oldest(now_ms: int, span_ms: int) -> int:
    return now_ms - KEPT_MS - (now_ms - KEPT_MS) % span_ms


def _readings(store: Database, meter: str, behind: int, before: int, *, series: bool) -> Readings:
    if not series:
        return Readings(sorted(store.polls.times_between(meter, behind, before)))
    bodies = [
        read_body("reading", time_ms, data) for time_ms, data in store.polls.readings_between(meter, behind, before)
    ]
    moments = [body.time_ms for body in bodies if isinstance(body, Reading) and not body.late]
    return Readings(sorted(body.time_ms for body in bodies if isinstance(body, Reading)), moments)


def count_clock(store: Database, now_ms: int, span_ms: int = HOUR_MS) -> list[Step]:
    """Count what ``clock`` events say was due before the epochs that they date; the gateway's own step is the last.
    Nothing: there is no new event. Raises StoreError."""
    before, oldest_ms = store.polls.counted_of(GATEWAY), _oldest(now_ms, span_ms)
    place = before.last_id if before is not None else store.summaries.place_of(oldest_ms - SLACK_MS) - 1
    rows = store.polls.events_behind(GATEWAY, place, MANY)
    if not rows:
        return []
    steps = list[Step]()
    for _, row in rows:
        body = parse_record(row.data).body
        if isinstance(body, Event) and (stopped := body.fields.get("stopped")) and body.name in (CLOCK, SPREAD):
            began_ms = body.fields.get("began") or _began(store, row.epoch)
            steps += _dated(store, row.epoch, began_ms, stopped, oldest_ms, span_ms)
    return [*steps, Step(GATEWAY, {}, Counted(rows[-1][0], 0, 0, 0), len(rows) == MANY)]


def _began(store: Database, epoch: bytes) -> int:
    """When an epoch began that a clock event dates: further meters stand in events behind that."""
    rows = (row for row in store.records.events_of(GATEWAY) if row.epoch == epoch)
    bodies = (body for row in rows if isinstance(body := parse_record(row.data).body, Event))
    return max((body.fields.get("began", 0) for body in bodies if body.name == CLOCK), default=0)


def _dated(
    store: Database, epoch: bytes, began_ms: int, stopped: Mapping[str, int], oldest_ms: int, span_ms: int
) -> Iterator[Step]:
    for meter, polls in stopped.items():
        row = store.polls.first_coverage(meter, epoch)
        body = read_body("coverage", *row) if row is not None else None
        if polls and isinstance(body, Coverage) and body.from_ms < began_ms:
            count = HourCount(store.polls.grids(meter, epoch), Counted(0, 0, 0, 0), False, oldest_ms, span_ms)
            count.stopped(body.from_ms, began_ms, polls)
            yield Step(meter, count.hours, None)


def write(store: Database, steps: list[Step], before_ms: int) -> None:
    """Write what was counted, in one transaction, and drop the hours that are too old. Raises StoreError."""
    with store.transaction():
        for step in steps:
            store.polls.add(step.meter, step.hours, step.counted)
            store.polls.drop(step.meter, before_ms)


class PollCounts(BackgroundTask):
    """The companion that does it."""

    def __init__(self, config: Config, clock: Clock, writer: Writer) -> None:
        self._config, self._clock, self._writer = config, clock, writer
        self._unreadable, self._waiting = set[str](), list[str]()

    async def run(self) -> None:
        """Count what is new, until cancelled."""
        await asyncio.sleep(BEGIN_S)
        while True:
            more = False
            with suppress(StoreError):  # the recorder meets the same and says so
                more = await self.count()
            await asyncio.sleep(PAUSE_S if more else EVERY_S)

    async def count(self) -> bool:
        """Count a portion; whether there is more. Raises StoreError."""
        steps = await in_thread(self._steps, "polls by the hour")
        if steps:
            before_ms = self._clock.now_ms() - KEPT_MS - HOUR_MS
            await asyncio.wrap_future(self._writer.call(partial(write, steps=steps, before_ms=before_ms)))
        return bool(self._waiting) or any(step.more for step in steps)

    def _steps(self) -> list[Step]:
        """A portion of the meters that wait; all do, where none does."""
        now_ms, steps, looked_at = self._clock.now_ms(), list[Step](), 0
        self._waiting = self._waiting or [*self._config.meters]
        store = Database(self._config.database, read_only=True)
        try:
            while self._waiting and looked_at < PORTION:
                if (step := self._step(store, self._waiting.pop(), now_ms)) is not None:
                    steps, looked_at = [*steps, step], looked_at + step.records
            with store.snapshot():
                steps += count_clock(store, now_ms)
        finally:
            store.close()
        return steps

    def _step(self, store: Database, meter: str, now_ms: int) -> Step | None:
        configured = self._config.configured.get(meter)
        if configured is None or meter in self._unreadable:
            return None
        try:
            with store.snapshot():
                return count_meter(store, meter, now_ms, series=configured.series)
        except Damaged as error:  # that will not be better the next time
            self._unreadable.add(meter)
            log.warning("%s: cannot count its polls by the hour: %s", meter, error)
            return None
