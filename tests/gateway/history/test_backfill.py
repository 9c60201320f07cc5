"""The companion that makes missing summaries from the records: one that cannot be read costs its own meter's only."""

from __future__ import annotations

# not quick: a meter that fails is tried again
import asyncio
from pathlib import Path

from gateway.clock import HOUR_MS
from gateway.history.backfill import Backfill
from gateway.storage.database import Database
from tests.support.gateways.desk import Desk
from tests.support.samples import finished

HOURS = 3


def test_a_record_that_cannot_be_read_costs_the_other_meters_nothing(tmp_path: Path) -> None:
    async def work() -> tuple[int | None, int | None]:
        desk = Desk(tmp_path, {"bus-1": ["meter-a", "meter-b"]})
        try:
            for _ in range(HOURS + 1):
                for meter in ("meter-a", "meter-b"):
                    desk.recorder.put(finished(meter, desk.clock.schedule_ms(), desk.clock))
                await asyncio.wrap_future(desk.recorder.call(lambda _: None))
                desk.machine.passes(HOUR_MS / 1000)
            await asyncio.wrap_future(desk.recorder.call(_harm))
            async with asyncio.timeout(60):
                await Backfill(desk.loaded, desk.clock, desk.recorder).run()
            store = Database(desk.loaded.database, read_only=True)
            found = [store.summaries.newest(meter, HOUR_MS) for meter in ("meter-a", "meter-b")]
            store.close()
            return found[0], found[1]
        finally:
            desk.stop()

    broken, whole = asyncio.run(work())
    assert broken is None
    assert whole is not None


def _harm(store: Database) -> None:
    """No summaries, and what the disk gives back of one meter's readings is no record."""
    with store.transaction():
        store.run("DELETE FROM summaries")
        for (trigger,) in store.all("SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'records'"):
            store.run(f"DROP TRIGGER {trigger}")
        store.run("UPDATE records SET data = x'00' WHERE meter = 'meter-a' AND kind = 'reading'")
