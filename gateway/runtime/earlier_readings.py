"""Earlier readings: the last ones of meters that this process has not read yet, and since when these are silent.

Asked beside the recording gateway, after the lines were started: no reading waits for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path

from gateway.process.background import BackgroundTask
from gateway.process.threads import in_thread
from gateway.recording.live_state import Earlier
from gateway.runtime.context import GatewayContext
from gateway.runtime.power_history import UNANSWERED
from gateway.storage.database import Database
from gateway.storage.record_reader import read_body
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Reading


class EarlierReadings(BackgroundTask):
    """Gives the live state each meter's last reading from before this epoch. Event loop only."""

    def __init__(self, site: GatewayContext) -> None:
        self._site = site
        self._asked: set[str] = set()
        self._more = asyncio.Event()

    def reloaded(self) -> None:
        """Meters may have come."""
        self._more.set()

    async def run(self) -> None:
        """Ask for each meter once, until cancelled. Raises StoreError."""
        while True:
            self._more.clear()
            meters, path = self._site.live.meters.keys() - self._asked, self._site.config.database
            if meters:
                found = await in_thread(partial(_read, path, meters), "earlier readings")
                self._site.live.recall(found)
                self._asked |= meters
            await self._more.wait()


def _read(path: Path, meters: Collection[str]) -> Mapping[str, Earlier]:
    store = Database(path, read_only=True)
    try:
        return {name: found for name in meters if (found := earlier(store, name)) is not None}
    finally:
        store.close()


def earlier(store: Database, meter: str) -> Earlier | None:
    """The last reading of a meter, and since when it has not answered; None: it was never read. Raises StoreError;
    Damaged where a record cannot be read."""
    row = store.records.newest(meter, "reading")
    if row is None:
        return None
    reading = read_body(row.kind, row.time_ms, row.data)
    assert isinstance(reading, Reading)
    return Earlier(reading, (row.epoch, row.seq), _silent_since(store, meter, row.time_ms, row.epoch, row.seq))


def _silent_since(store: Database, meter: str, read_ms: int, epoch: bytes, seq: int) -> int | None:
    """The beginning of the first time that coverage records count as unanswered behind the last reading."""
    place = store.records.place(meter, epoch, seq)
    for row in store.records.coverage_from(meter, place or 0):
        body = read_body(row.kind, row.time_ms, row.data)
        if isinstance(body, Coverage) and UNANSWERED & body.missed.keys():
            return max(read_ms, body.to_ms if "stopped" in body.missed else body.from_ms)
    return None
