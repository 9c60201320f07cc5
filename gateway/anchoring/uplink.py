"""Uplink: queued statements → ledger → verified receipts; one task per ledger, in batch order.

Reads and moves anchors through the writer. A state is durable before the next step is taken: queued → submitted →
settled, or refused; on a chain submitted → included → final → settled, and back to submitted when the chain has dropped
it. ``settling`` says what settles a batch. A ledger that answers later has up to ``IN_FLIGHT`` batches on their way:
they are submitted in order, nothing behind one that it refuses, and each is asked about when its driver said.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Any, TypeVar

from gateway.anchoring import refusals
from gateway.anchoring.ledger_alarms import LedgerAlarms
from gateway.anchoring.ledger_comparison import Odd
from gateway.anchoring.reconciliation import Reconciliation
from gateway.clock import Clock
from gateway.config.ledger import Contract
from gateway.errors import GatewayError, StoreError
from gateway.evidence.settlement import NotOurs, demand_settled
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.process.failpoints import failpoint
from gateway.process.heartbeats import beat
from gateway.process.threads import in_thread
from gateway.storage.database import Database
from gateway.storage.rows import Batch
from gateway.storage.writer import Writer, in_turn
from ledger_client.backoff import growing_s
from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.ledgers.interface import Ledger, Pending
from ledger_client.messages import Sentence
from ledger_client.verification.trust import Trust

log = logging.getLogger("meterseal.uplink")
T = TypeVar("T")

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
IN_FLIGHT = 64
"""Batches that a ledger may have taken and not yet settled."""


@dataclass(slots=True)
class _Flight:
    """A batch that is not settled: its durable state, when it is asked about next, how often it was refused."""

    state: str
    due_s: float = 0.0
    refusals: int = 0
    held: object = None
    """What its ledger said in its last refusal that it holds."""


@dataclass(frozen=True, slots=True)
class _Mark:
    batch: int
    state: str
    receipt: bytes | None = None
    detail: Sentence | None = None


@dataclass(frozen=True, slots=True)
class _Rest:
    """How long to wait (None: until there is work), and whether a new batch ends the wait."""

    pause_s: float | None
    wakes: bool = True


class _SealedAnew(Exception):
    """What is on its way to the ledger is no batch any more: the records are sealed anew."""


class Uplink:
    """Anchors every batch on one ledger. ``run`` never ends by itself; ``wake`` tells it of a new batch."""

    def __init__(
        self,
        ledger: Ledger,
        writer: Writer,
        trust: Trust,
        clock: Clock,
        reconciliation: Reconciliation | None = None,
        *,
        alarms: LedgerAlarms | None = None,
        contract: Contract | None = None,
    ) -> None:
        """``reconciliation`` asks the ledger what it holds before anything is given to it; None: nobody asks.
        ``contract``: where the ledger lives, if it is one on a chain."""
        self._ledger, self._writer, self._trust, self._clock = ledger, writer, trust, clock
        self._reconciliation, self._contract = reconciliation, contract
        self._alarms = alarms or LedgerAlarms(None)
        self._log = logging.LoggerAdapter(log, {"ledger": ledger.name})
        self._work = asyncio.Event()
        self._flights: dict[int, _Flight] = {}
        self._unwritten: list[_Mark] = []
        self._in_question = True  # what the ledger was known to hold: everything is asked about in order
        self._failures = 0

    @property
    def reached(self) -> bool:
        """The last attempt to reach the ledger has succeeded, or there was none yet."""
        return self._failures == 0

    def wake(self) -> None:
        """There is something new to anchor."""
        self._work.set()

    async def run(self) -> None:
        """Compare; then anchor what is queued, oldest first, and wait for more."""
        self._forget()
        await self._compare_first()
        while True:
            self._work.clear()
            if self._stopped:
                beat(inf)
                await asyncio.Event().wait()
            await self._wait(await self._round())

    async def drain(self, within_s: float) -> None:
        """Anchor what is queued, for at most so long. Raises GatewayError when the ledger refuses a batch."""
        deadline = _now_s() + within_s
        while _now_s() < deadline:
            rest = await self._round()
            refused = await self._ask(lambda store: store.anchors.first_refused(self._ledger.name))
            if refused is not None:
                raise GatewayError(
                    Message("ledger-refused", ledger=self._ledger.name, batch=refused.batch, why=refused.sentence)
                )
            if rest.pause_s is None:
                return
            await asyncio.sleep(min(rest.pause_s, max(0.0, deadline - _now_s())))

    @property
    def _stopped(self) -> bool:
        return self._reconciliation is not None and self._reconciliation.stopped

    async def _wait(self, rest: _Rest) -> None:
        beat(inf if rest.pause_s is None else rest.pause_s)
        if rest.wakes:
            try:
                async with asyncio.timeout(rest.pause_s):
                    await self._work.wait()
            except TimeoutError:
                pass
        elif rest.pause_s is not None:
            await asyncio.sleep(rest.pause_s)

    # — what the ledger holds —

    async def _compare_first(self) -> None:
        while not self._stopped:
            pause, _ = await self._compare()
            if pause is None:
                return
            beat(pause)
            await asyncio.sleep(pause)

    async def _compare(self) -> tuple[float | None, int]:
        """One comparison: how long to wait before the next try, None when it is done; and how many batches that the
        ledger had lost it was given again."""
        given_again = 0
        if self._reconciliation is None:
            return None, given_again
        try:
            comparison = await self._reconciliation.compare(self._ledger)
            given_again = comparison.given_again
            if comparison.broken_off is not None:
                raise comparison.broken_off
        except LedgerUnavailable as error:
            return self._unreachable(error), given_again
        except Odd as error:
            self._log.error("ledger %s: %s", self._ledger.name, error)
            return refusals.FIRST_PAUSE_S, given_again
        except StoreError as error:
            self._log.error("ledger %s waits for the database: %s", self._ledger.name, error)
            return self._next_pause(), given_again
        self._answers()
        return None, given_again

    # — batch by batch —

    async def _round(self) -> _Rest:
        """Ask about every batch on its way whose time has come, and submit what follows. Never raises."""
        try:
            return await self._go_through()
        except _SealedAnew:
            self._forget()
            return _Rest(0.0)
        except StoreError as error:
            self._forget()  # what was done and not noted is found at the ledger again when the disk is back
            self._log.error("ledger %s waits for the database: %s", self._ledger.name, error)
            self._failures += 1
            return _Rest(self._next_pause(), wakes=False)

    def _forget(self) -> None:
        self._flights.clear()
        self._unwritten.clear()
        self._in_question = True

    async def _go_through(self) -> _Rest:
        open_ = await self._ask(lambda store: store.anchors.pending(self._ledger.name, IN_FLIGHT))
        flights = self._flights = {a.batch: self._flights.get(a.batch) or _Flight(a.state) for a, _ in open_}
        in_order = True  # nothing is submitted behind a batch that the ledger does not take
        asked, self._in_question = self._in_question, False
        try:
            for _, batch in open_:
                flight = flights[batch.batch]
                if flight.due_s <= _now_s() and (in_order or flight.state != "queued") and not self._stopped:
                    await self._attempt(batch, flight, may_submit=in_order, may_repeat=asked or batch is open_[0][1])
                if self._in_question:
                    break
                in_order = in_order and flight.state not in ("queued", "refused")
        except LedgerUnavailable as error:
            await self._write()
            return _Rest(self._unreachable(error), wakes=False)
        await self._write()
        if any(flight.state == "settled" for flight in flights.values()):
            return _Rest(0.0)
        dues = [flight.due_s for flight in flights.values() if flight.state != "queued"]
        return _Rest(max(0.0, min(dues) - _now_s()) if dues else None)

    async def _attempt(self, batch: Batch, flight: _Flight, *, may_submit: bool, may_repeat: bool) -> None:
        """One question about one batch. Raises LedgerUnavailable, StoreError.

        ``may_repeat``: it may be submitted again, all before it having been asked about in this round.
        """
        was_refused = flight.state == "refused"
        try:
            answer = await self._offer(batch, flight, may_submit=may_submit, may_repeat=may_repeat)
        except Refused as error:
            if not may_submit:  # as a consequence: what is refused before it comes first
                flight.due_s = _now_s() + LONGEST_PAUSE_S
                return
            await self._refused(batch, flight, error)
            return
        except NotOurs as error:
            flight.refusals += 1
            await self._refuse(batch, flight, error.sentence, refusals.doubt_s(flight.refusals))
            return
        self._answers()
        if answer is None and may_submit:  # none before it is refused
            self._question_all()
        elif answer is None:
            flight.due_s = _now_s() + LONGEST_PAUSE_S
        elif isinstance(answer, Pending):
            flight.due_s = _now_s() + answer.retry_after_s
            if answer.state != flight.state:
                await self._mark(batch, flight, answer.state)
        else:
            failpoint("settle")
            self._note(batch, flight, "settled", receipt=answer)
        if was_refused and flight.state != "refused":
            name = self._ledger.name
            self._alarms.clear(
                AlarmCode.LEDGER_REFUSED, name, Message("ledger-refused-cleared", ledger=name, batch=batch.batch)
            )
            self._question_all()  # what has changed for this one may have changed for those behind it

    async def _refused(self, batch: Batch, flight: _Flight, error: Refused) -> None:
        """The ledger's own no: an alarm; and where it may have lost something, or this database, that is mended."""
        flight.refusals += 1
        detail = Message("batch-refused", refusal=refusals.refusal(error))
        before, flight.held = flight.held, error.more.get("held")
        await self._refuse(batch, flight, detail, refusals.pause_s(error, flight.refusals))
        # it may hold another batch of this number, or have lost the one before
        _, given_again = await self._compare()
        if given_again:
            flight.due_s = _now_s() + refusals.doubt_s(flight.refusals)
        elif self._reconciliation is not None and flight.held and self._reconciliation.cannot_ask(self._ledger.name):
            if before != flight.held:  # once is not believed: no one has signed it
                flight.due_s = _now_s() + refusals.FIRST_PAUSE_S
            elif await self._reconciliation.leave_out(self._ledger.name, batch, error):
                name = self._ledger.name
                self._alarms.clear(AlarmCode.LEDGER_REFUSED, name, Message("ledger-refused-left-out", ledger=name))
                raise _SealedAnew

    def _question_all(self) -> None:
        """A ledger that has dropped one batch may have dropped those before it, which go first."""
        self._in_question = True
        for flight in self._flights.values():
            flight.due_s = 0.0

    async def _offer(
        self, batch: Batch, flight: _Flight, *, may_submit: bool, may_repeat: bool
    ) -> bytes | Pending | None:
        """What the ledger says of a batch; None: it does not hold it, and it is not its turn.

        What may have been submitted before is looked up first, so that a lost answer never becomes a second submission.
        """
        if flight.state != "queued":
            answer = await self._call(lambda: self._ledger.lookup(batch.statement_id), batch)
            if answer is not None or not (may_submit and may_repeat):
                return answer
            if flight.state in ("included", "final"):
                self._log.warning("ledger %s has dropped batch %d: submitted again", self._ledger.name, batch.batch)
        if flight.state not in ("submitted", "refused"):
            await self._mark(batch, flight, "submitted")
        return await self._call(lambda: self._submit(batch), batch)

    def _submit(self, batch: Batch) -> bytes | Pending:
        failpoint("submit")
        answer = self._ledger.submit(batch.entry)
        failpoint("submitted")
        return answer

    async def _call(self, ask: Callable[[], bytes | Pending | None], batch: Batch) -> bytes | Pending | None:
        """An answer of the ledger, checked. Raises LedgerError, NotOurs."""
        name = self._ledger.name

        def checked() -> bytes | Pending | None:
            answer = ask()
            if isinstance(answer, bytes):
                demand_settled(batch.entry, answer, name, self._trust, int(time.time()), self._contract)
            return answer

        return await in_thread(checked, f"uplink {name}")

    async def _refuse(self, batch: Batch, flight: _Flight, detail: Sentence, again_s: float) -> None:
        """Nothing is skipped: the batch stays first in line, and the reason stands in the status until it is taken."""
        flight.due_s = _now_s() + again_s
        sentence = Message("ledger-refused", ledger=self._ledger.name, batch=batch.batch, why=detail)
        self._alarms.raise_(AlarmCode.LEDGER_REFUSED, self._ledger.name, sentence)
        await self._mark(batch, flight, "refused", detail=detail)

    # — what becomes durable —

    async def _ask(self, function: Callable[[Database], T]) -> T:
        return await in_turn(self._writer, function)

    def _note(self, batch: Batch, flight: _Flight, state: str, **more: Any) -> None:
        """Move a batch to a state, durable with the next ``_write``: before anything else is done for the ledger."""
        flight.state = state
        self._unwritten.append(_Mark(batch.batch, state, **more))

    async def _mark(self, batch: Batch, flight: _Flight, state: str, **more: Any) -> None:
        self._note(batch, flight, state, **more)
        await self._write()

    async def _write(self) -> None:
        if not self._unwritten:
            return
        marks, self._unwritten, now_ms = self._unwritten, [], self._clock.now_ms()

        def write(store: Database) -> bool:
            with store.transaction():
                moved = [
                    store.anchors.mark(m.batch, self._ledger.name, m.state, now_ms, receipt=m.receipt, detail=m.detail)
                    for m in marks
                ]
            return all(done or mark.state != "submitted" for done, mark in zip(moved, marks, strict=True))

        if not await self._ask(write):
            raise _SealedAnew
        if any(mark.state == "settled" for mark in marks):
            failpoint("settled")

    # — when it does not answer —

    def _answers(self) -> None:
        if self._failures:
            self._log.info("ledger %s answers again", self._ledger.name)
        self._failures = 0

    def _unreachable(self, error: LedgerUnavailable) -> float:
        if self._failures == 0:
            self._log.warning("ledger %s cannot be reached, the queue waits: %s", self._ledger.name, error)
        self._failures += 1
        return max(self._next_pause(), error.retry_after_s or 0.0)

    def _next_pause(self) -> float:
        return growing_s(FIRST_PAUSE_S, LONGEST_PAUSE_S, self._failures)


def _now_s() -> float:
    return asyncio.get_running_loop().time()
