"""The shipped recorder and uplink on a real database, against one ledger that fails; counted at the ledger."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from gateway import agent
from gateway.alarms import LedgerAlarms
from gateway.clock import Clock
from gateway.notes import Notes
from gateway.reconcile import Reconciliation
from gateway.store import Store
from gateway.uplink import Uplink
from tests.contract.stands import Stand
from tests.gateway.books import check_books
from tests.gateway.samples import believe, finished, recorder, site

METER, NEVER = "export-main", 10**12
AT_ONCE = 50  # readings that are handed over before the writer is waited for

Trouble = Callable[[Stand], object]


class Work:
    """So many batches of a new gateway, sealed and waiting for the ledger of ``stand``."""

    def __init__(self, stand: Stand, folder: Path, batches: int) -> None:
        self.batches, self._stand = batches, stand
        self.loaded = site(folder / "site")
        believe(stand.place.folder, self.loaded)
        self._clock = Clock()
        self._recorder, anchor_ms = recorder(
            self.loaded, self._clock, secrets.token_bytes(8), seal_count=NEVER, seal_every_ms=NEVER
        )
        self._recorder.start()
        for number in range(batches):
            self._recorder.put(finished(METER, anchor_ms + 10_000 * number, self._clock, number))
            cut = self._recorder.call(lambda _: self._recorder._journal.cut())
            if number % AT_ONCE == 0:
                cut.result()

    def run(self, timeout_s: float, within_s: float, trouble: Trouble | None, times: int) -> dict[str, object]:
        """Anchor everything through a driver that waits at most ``timeout_s`` for an answer.

        ``trouble`` strikes so many ``times`` while that goes on, each time after an equal share of the batches.
        """
        begun_ms, wall = self._clock.now_ms(), time.monotonic()
        try:
            asyncio.run(self._anchor(timeout_s, within_s, trouble, times))
        finally:
            self._recorder.stop()
        check_books(self.loaded)
        return self._counted(begun_ms) | {"seconds": time.monotonic() - wall}

    async def _anchor(self, timeout_s: float, within_s: float, trouble: Trouble | None, times: int) -> None:
        made, trust = self._recorder, agent.trust_of(self.loaded)
        ledger = self._stand.make(Notes(self._stand.place.name, made), timeout_s)
        reconciliation = Reconciliation(self.loaded, made, trust, self._clock, ())
        uplink = Uplink(ledger, made, trust, self._clock, reconciliation, alarms=LedgerAlarms(made))
        made.on_seal.append(partial(asyncio.get_running_loop().call_soon_threadsafe, uplink.wake))
        marks = [self.batches * (n + 1) // (times + 1) for n in range(times)] if trouble else []
        task = asyncio.create_task(uplink.run())
        look = Store(self.loaded.database, read_only=True)
        try:
            async with asyncio.timeout(within_s):
                while (settled := look.count_receipts()) < self.batches:
                    assert not task.done(), task.result()
                    if trouble is not None and marks and settled >= marks[0]:
                        del marks[0]
                        await asyncio.to_thread(trouble, self._stand)
                    await asyncio.sleep(0.02)
        finally:
            look.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            ledger.close()

    def _counted(self, begun_ms: int) -> dict[str, object]:
        """What the ledger's own log holds beside what was sealed, and the longest time without a new receipt."""
        held = self._stand.place.held_of(self.loaded.gateway_id)
        store = Store(self.loaded.database, read_only=True)
        sealed = {batch.batch for batch in store.batches()}
        settled = sorted(a.updated_ms for a in store.anchors() if a.state == "settled")
        store.close()
        gaps = [after - before for before, after in zip([begun_ms, *settled], settled, strict=False)]
        return {
            "batches": len(sealed),
            "submitted": self._stand.faults.heard,
            "anchored": len(set(held)),
            "duplicated": len(held) - len(set(held)),
            "missing": len(sealed - set(held)),
            "faults": sum(self._stand.faults.struck.values()),
            "longest_stall_s": max(gaps) / 1000,
        }
