"""Backfill of missing summaries from the records, after an upgrade or a recovery. Background task.

Beside the recording gateway, from the newest hours to the oldest, a little at a time, whenever it starts: what has its
rows is left alone. Hours whose records are pruned stay as they are.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial

from gateway.clock import HOUR_MS, MINUTE_MS, Clock
from gateway.config.model import Config
from gateway.errors import Damaged
from gateway.history.aggregates import Aggregate
from gateway.history.rollup import Forms, Open
from gateway.process.background import BackgroundTask
from gateway.process.threads import in_thread
from gateway.storage.capacity.pruning import HOURS_KEPT_MS
from gateway.storage.database import Database
from gateway.storage.record_reader import read_body
from gateway.storage.summary_tables import SLACK_MS, Summaries
from gateway.storage.writer import Writer

log = logging.getLogger("meterseal.agent")

MANY = 2_000  # records that are read at once
PAUSE_S = 0.5

Found = list[tuple[int, Aggregate]]


def rebuild(summaries: Summaries, meter: str, from_ms: int, to_ms: int) -> Found:
    """The minutes and hours of [from_ms, to_ms), whole hours, as the records say: (how long, span), folded. One that no
    later record has completed is not among them. Raises StoreError."""
    opened, found = Open(floor_ms=from_ms), Found()
    stretch = summaries.place_of(from_ms - SLACK_MS), summaries.place_of(to_ms + SLACK_MS)
    for kind, time_ms, data in summaries.story(meter, *stretch):
        for span_ms, span in opened.feed(read_body(kind, time_ms, data)):
            if span.start_ms < to_ms:
                found.append((span_ms, span))
    newest_ms = summaries.newest_before(meter, 1 << 53, 0)
    if newest_ms is not None and newest_ms >= to_ms:
        found += opened.close(to_ms)
    return found


def put(store: Database, meter: str, found: Found) -> None:
    """Keep what was rebuilt, in one transaction. Raises StoreError."""
    forms = Forms(store.summaries)
    with store.transaction():
        store.summaries.put([forms.row(meter, *one) for one in found])


def first_hour(summaries: Summaries, meter: str, now_ms: int) -> int:
    """The first hour from which on a meter has its summaries, or will have them without a rebuild."""
    rows = summaries.oldest(meter, HOUR_MS), summaries.oldest(meter, MINUTE_MS)
    first_ms = min(now_ms, min((at for at in rows if at is not None), default=now_ms))
    return first_ms - first_ms % HOUR_MS


def rebuild_before(summaries: Summaries, meter: str, before_ms: int, oldest_ms: int) -> tuple[int, Found] | None:
    """Some of the newest hours before this one of which there are records: where they begin, and their spans. None if
    there are none, or only such as are older than ``oldest_ms``. Raises StoreError."""
    newest_ms = summaries.newest_before(meter, before_ms, SLACK_MS)
    if newest_ms is None or newest_ms < oldest_ms:
        return None
    earliest_ms = summaries.time_back(meter, newest_ms, MANY, SLACK_MS)
    from_ms = min(newest_ms - newest_ms % HOUR_MS, earliest_ms + HOUR_MS - earliest_ms % HOUR_MS)
    return from_ms, rebuild(summaries, meter, from_ms, before_ms)


class Backfill(BackgroundTask):
    """The companion that does it."""

    def __init__(self, config: Config, clock: Clock, writer: Writer) -> None:
        self._config, self._clock, self._writer = config, clock, writer

    async def run(self) -> None:
        """Run until every meter has the minutes and hours of its records."""
        for meter in self._config.meters:
            try:
                await self._rebuild(meter)
            except Damaged as error:  # that will not be better the next time
                log.warning("%s: cannot build summaries of its older records: %s", meter, error)

    async def _rebuild(self, meter: str) -> None:
        before_ms: int | None = None
        rows = 0
        while step := await in_thread(partial(self._step, meter, before_ms), "summaries"):
            before_ms, found = step
            await asyncio.wrap_future(self._writer.call(partial(put, meter=meter, found=found)))
            rows += len(found)
            await asyncio.sleep(PAUSE_S)
        if rows:
            log.info("%s: built %d summaries from its records", meter, rows)

    def _step(self, meter: str, before_ms: int | None) -> tuple[int, Found] | None:
        now_ms = self._clock.now_ms()
        store = Database(self._config.database, read_only=True)
        try:
            if before_ms is None:
                before_ms = first_hour(store.summaries, meter, now_ms)
            return rebuild_before(store.summaries, meter, before_ms, now_ms - HOURS_KEPT_MS)
        finally:
            store.close()
