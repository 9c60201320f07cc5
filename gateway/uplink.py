"""Queued statements → ledgers → verified receipts: one task a ledger, in batch order, for as long as the process lives.

Reads and moves anchors through the recorder. A state is durable before the next step is taken: queued → submitted →
settled, or refused. Only a receipt that passes the verifier's own check against the trust file settles a batch.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from typing import TypeVar

from gateway.blocking import in_thread
from gateway.clock import Clock
from gateway.comparison import Odd
from gateway.errors import StoreError
from gateway.hold import station
from gateway.reconcile import Reconciliation
from gateway.recorder import Recorder
from gateway.store import Anchor, Batch, Store
from ledger_client.errors import LedgerUnavailable, Refused, VerificationError
from ledger_client.ledgers import Ledger, Pending
from ledger_client.trust import Trust
from ledger_client.verify import check_receipt

log = logging.getLogger("meterseal.uplink")
T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
REFUSED_PAUSE_S = 30.0  # a refusal is not asked about in haste: somebody has to act first


class NotOurs(Exception):
    """A receipt came that does not settle this batch: its text says why."""


def anchor(ledger: Ledger, batch: Batch, trust: Trust, *, submitted_before: bool, now_s: int) -> bytes | Pending:
    """Take one statement to one ledger and come back with its checked receipt. Blocks; raises LedgerError or NotOurs.

    What may have been submitted before is looked up first, so that a lost answer never becomes a second submission.
    """
    answer = ledger.lookup(batch.statement_id) if submitted_before else None
    if answer is None:
        station("submit")
        answer = ledger.submit(batch.entry)
        station("submitted")
    if isinstance(answer, Pending):
        return answer
    try:
        issuer, _ = check_receipt(batch.entry, answer, trust, now_s)
    except VerificationError as error:
        raise NotOurs(f"its receipt does not hold: {type(error).__name__}: {error.detail}") from None
    if issuer != ledger.name:
        raise NotOurs(
            f"its receipt is by {issuer!r}; the ledger at this address has another name than the configuration says"
        )
    return answer


class Uplink:
    """Anchors every batch on one ledger. ``run`` never ends by itself; ``wake`` tells it of a new batch."""

    def __init__(
        self,
        ledger: Ledger,
        recorder: Recorder,
        trust: Trust,
        clock: Clock,
        reconciliation: Reconciliation | None = None,
    ) -> None:
        """``reconciliation`` asks the ledger what it holds before anything is given to it; None: nobody asks."""
        self._ledger, self._recorder, self._trust, self._clock = ledger, recorder, trust, clock
        self._reconciliation = reconciliation
        self._work = asyncio.Event()
        self._failures = 0

    def wake(self) -> None:
        """There is something new to anchor."""
        self._work.set()

    async def run(self) -> None:
        """Compare; then anchor what is queued, oldest first, and wait for more."""
        await self._compare_first()
        while True:
            self._work.clear()
            if self._stopped:
                await asyncio.Event().wait()
            idle = False
            try:
                anchor_ = await self._ask(lambda store: store.next_anchor(self._ledger.name))
                idle = anchor_ is None
                pause_s = await self._take(anchor_) if anchor_ else None
            except StoreError as error:
                pause_s = self._unkept(error)
            if idle:
                await self._work.wait()
            elif pause_s is not None:
                await asyncio.sleep(pause_s)

    @property
    def _stopped(self) -> bool:
        return self._reconciliation is not None and self._reconciliation.stopped

    async def _compare_first(self) -> None:
        while not self._stopped:
            pause_s = await self._compare()
            if pause_s is None:
                return
            await asyncio.sleep(pause_s)

    async def _compare(self) -> float | None:
        """One comparison. Returns how long to wait before the next try, None when it is done."""
        if self._reconciliation is None:
            return None
        try:
            await self._reconciliation.compare(self._ledger)
        except LedgerUnavailable as error:
            return await self._unreachable(error)
        except Odd as error:
            log.error("ledger %s: %s", self._ledger.name, error)
            return REFUSED_PAUSE_S
        except StoreError as error:
            log.error("ledger %s waits for the database: %s", self._ledger.name, error)
            return self._next_pause()
        self._answers()
        return None

    async def _ask(self, function: Callable[[Store], T]) -> T:
        return await asyncio.wrap_future(self._recorder.call(function))

    async def _take(self, waiting: Anchor) -> float | None:
        """One attempt at one batch. Returns how long to wait before the next, None to go on at once."""
        batch = await self._ask(lambda store: store.batch(waiting.batch))
        assert batch is not None  # the anchor was queued in the batch's own transaction
        before = waiting.state != "queued"
        if not before:
            await self._mark(batch, "submitted")
        try:
            receipt = await in_thread(
                lambda: anchor(self._ledger, batch, self._trust, submitted_before=before, now_s=int(time.time())),
                f"uplink {self._ledger.name}",
            )
        except Refused as error:
            pause_s = await self._stuck(batch, f"refused: {error}", REFUSED_PAUSE_S)
            await self._compare()  # it may hold another batch of this number, or have lost the one before
            return pause_s
        except NotOurs as error:
            return await self._stuck(batch, str(error), self._next_pause())
        except LedgerUnavailable as error:
            return await self._unreachable(error)
        if isinstance(receipt, Pending):
            return receipt.retry_after_s
        station("settle")
        await self._mark(batch, "settled", receipt=receipt)
        station("settled")
        self._answers()
        return None

    async def _mark(self, batch: Batch, state: str, receipt: bytes | None = None, detail: str | None = None) -> None:
        now_ms = self._clock.now_ms()

        def mark(store: Store) -> None:
            with store.transaction():
                store.mark(batch.batch, self._ledger.name, state, now_ms, receipt=receipt, detail=detail)

        await self._ask(mark)

    def _answers(self) -> None:
        if self._failures:
            log.info("ledger %s answers again", self._ledger.name)
        self._failures = 0

    async def _stuck(self, batch: Batch, detail: str, pause_s: float) -> float:
        """Nothing is skipped: the batch stays first in line, and the reason stands in the status until it settles."""
        log.error("ledger %s, batch %d: %s", self._ledger.name, batch.batch, detail)
        await self._mark(batch, "refused", detail=detail)
        self._failures += 1
        return pause_s

    async def _unreachable(self, error: LedgerUnavailable) -> float:
        if self._failures == 0:
            log.warning("ledger %s cannot be reached, the queue waits: %s", self._ledger.name, error)
        self._failures += 1
        return max(self._next_pause(), error.retry_after_s or 0.0)

    def _unkept(self, error: StoreError) -> float:
        """What was done could not be noted: it is found at the ledger again when the disk is back."""
        log.error("ledger %s waits for the database: %s", self._ledger.name, error)
        self._failures += 1
        return self._next_pause()

    def _next_pause(self) -> float:
        longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2.0 ** min(self._failures, 10))
        return longest * random.uniform(0.5, 1.0)
