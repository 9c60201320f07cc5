"""The shipped recorder and uplink on a real database, against one ledger that fails; counted at the ledger."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from gateway.anchoring import ledger_drivers
from gateway.anchoring.driver_notes import Notes
from gateway.anchoring.ledger_alarms import LedgerAlarms
from gateway.anchoring.reconciliation import Reconciliation
from gateway.anchoring.uplink import Uplink
from gateway.clock import Clock
from gateway.storage.database import Database
from tests.contract.stands import Stand
from tests.support.books import check_books
from tests.support.samples import Ahead, finished, recorder, site

NAME, METER, NEVER = "demo-ledger", "export-main", 10**12
STEP_S = 10  # between two polls
AT_ONCE = 50  # readings that are handed over before the writer is waited for

Trouble = Callable[[Stand], object]
SINCE = {
    "submitted": ("submitted", "included", "final", "settled"),
    "included": ("included", "final", "settled"),
    "settled": ("settled",),
}
"""The states that a batch may be in from one of them on."""


@dataclass(frozen=True, slots=True)
class Plan:
    """``trouble`` strikes so many ``times``, each time when another equal share of the batches has come to a state."""

    trouble: Trouble | None = None
    times: int = 0
    when: str = "settled"
    last_alone: bool = False
    """The last batch is sealed when all else is settled and the trouble over: what a ledger has lost that it had
    settled is noticed when it is given the next one."""


NO_TROUBLE = Plan()


class Work:
    """Batches of a new gateway, sealed and waiting for the ledger of ``stand``."""

    def __init__(self, stand: Stand, folder: Path, batches: int, plan: Plan) -> None:
        self.batches, self._stand, self._plan, self._troubles = batches, stand, plan, 0
        self.loaded = site(folder / "site")
        stand.admit(self.loaded)
        self._uplink_clock = Clock()
        self._clock = Ahead(-STEP_S * batches)  # the ledger takes nothing of the future
        self._recorder, self._anchor_ms = recorder(
            self.loaded, self._clock, secrets.token_bytes(8), seal_count=NEVER, seal_every_ms=NEVER
        )
        self._recorder.start()
        self._cut = 0
        while self._cut < batches - plan.last_alone:
            self._record()

    def _record(self) -> None:
        """One reading, which is a batch with its coverage."""
        self._recorder.put(finished(METER, self._anchor_ms + STEP_S * 1000 * self._cut, self._clock, self._cut))
        cut = self._recorder.call(lambda _: self._recorder._journal.cut())
        if self._cut % AT_ONCE == 0:
            cut.result()
        self._cut += 1
        self._clock.ahead_s += STEP_S

    def run(self, timeout_s: float, within_s: float) -> dict[str, object]:
        """Anchor everything through a driver that waits at most ``timeout_s`` for an answer, while there is trouble."""
        begun_ms, wall = self._uplink_clock.now_ms(), time.monotonic()
        try:
            asyncio.run(self._anchor(timeout_s, within_s))
        finally:
            self._recorder.stop()
        check_books(self.loaded)
        return self._counted(begun_ms) | {"seconds": time.monotonic() - wall}

    async def _anchor(self, timeout_s: float, within_s: float) -> None:
        plan = self._plan
        made, trust = self._recorder, ledger_drivers.trust_of(self.loaded)
        ledger = self._stand.make(self.loaded.gateway_id, Notes(NAME, made), timeout_s)
        reconciliation = Reconciliation(self.loaded, made, trust, self._uplink_clock, ())
        contract = self._stand.contract
        alarms = LedgerAlarms(made)
        uplink = Uplink(ledger, made, trust, self._uplink_clock, reconciliation, alarms=alarms, contract=contract)
        made.on_seal.append(partial(asyncio.get_running_loop().call_soon_threadsafe, uplink.wake))
        marks = [self.batches * (n + 1) // (plan.times + 1) for n in range(plan.times)]
        task = asyncio.create_task(uplink.run())
        look = Database(self.loaded.database, read_only=True)
        try:
            async with asyncio.timeout(within_s):
                while (states := look.anchors.states(NAME)).get("settled", 0) < self.batches:
                    assert not task.done(), task.result()
                    if marks and sum(states.get(state, 0) for state in SINCE[plan.when]) >= marks[0]:
                        del marks[0]
                        assert plan.trouble is not None
                        await asyncio.to_thread(plan.trouble, self._stand)
                        self._troubles += 1
                    elif not marks and states.get("settled", 0) == self._cut:
                        self._record()
                    await asyncio.sleep(0.01)
        finally:
            look.close()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            ledger.close()

    def _counted(self, begun_ms: int) -> dict[str, object]:
        """What the ledger's own log holds beside what was sealed, and the longest time without a new receipt."""
        held = self._stand.held(self.loaded.gateway_id)
        store = Database(self.loaded.database, read_only=True)
        sealed = {batch.batch for batch in store.batches.all()}
        settled = sorted(a.updated_ms for a in store.anchors.of() if a.state == "settled")
        store.close()
        gaps = [after - before for before, after in zip([begun_ms, *settled], settled, strict=False)]
        return {
            "batches": len(sealed),
            "submitted": self._stand.faults.heard,
            "anchored": len(set(held)),
            "duplicated": len(held) - len(set(held)),
            "missing": len(sealed - set(held)),
            "troubles": self._troubles,
            "faults": sum(self._stand.faults.struck.values()),
            "longest_stall_s": max(gaps) / 1000,
        }
