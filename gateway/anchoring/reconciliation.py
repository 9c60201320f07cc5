"""Reconciliation with each ledger: compares its statements before the first seal and after each refusal.

For a restored database must not seal records a second time nor use a number twice, and of two gateways under one name
one must stop. ``comparison`` says what an answer means; here it is fetched, and what follows from it is written.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from gateway.anchoring.ledger_alarms import LedgerAlarms
from gateway.anchoring.ledger_comparison import (
    Ahead,
    Another,
    Holds,
    LedgerHead,
    Lost,
    Odd,
    Rollback,
    Waiting,
    Walk,
    equivocation,
    holds,
    judge,
    older,
    resume_text,
    waiting,
)
from gateway.clock import Clock
from gateway.config.model import Config
from gateway.errors import StoreError
from gateway.evidence.sealing import Before
from gateway.messages.alarm_kinds import AlarmCode
from gateway.messages.message import Message
from gateway.process.failpoints import failpoint
from gateway.process.threads import in_thread
from gateway.recording.recorder import Recorder
from gateway.records import EQUIVOCATION, GATEWAY, ROLLBACK
from gateway.storage.database import Database
from gateway.storage.elsewhere_tables import UNKNOWN
from gateway.storage.repair_tables import Hole
from gateway.storage.rows import Batch, Conflict, Known
from gateway.storage.writer import in_turn
from ledger_client.errors import LedgerUnavailable, Refused, Unsupported
from ledger_client.formats.record import Event
from ledger_client.formats.statement import parse_statement
from ledger_client.ledgers.interface import Ledger
from ledger_client.messages import Sentence
from ledger_client.verification.trust import Trust

log = logging.getLogger("meterseal.reconcile")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Comparison:
    """What a comparison has done at a ledger.

    ``given_again``: batches that it had lost and was given again. ``broken_off``: the failure of ledger or database
    because of which not all of them were; then the ledger counts as not compared yet.
    """

    given_again: int = 0
    broken_off: LedgerUnavailable | StoreError | None = None


class Reconciliation:
    """The comparisons of one gateway's database with its ledgers. Holds the recorder's seals from the beginning until
    nothing stands against them; ``stopped``: nothing may be anchored either, because two gateways bear one name."""

    def __init__(
        self,
        config: Config,
        recorder: Recorder,
        trust: Trust,
        clock: Clock,
        conflicts: Sequence[Conflict],
        *,
        alarms: LedgerAlarms | None = None,
    ) -> None:
        """``conflicts`` are those that the database knows of already. Without ``alarms`` they are events at once."""
        self._gateway, self._database = config.gateway_id, str(config.database)
        self._recorder, self._clock = recorder, clock
        self._keys = {key.kid: key.key for key in trust.keys if (key.role, key.gateway) == ("statement", self._gateway)}
        entries = config.document.ledger
        self._waiting = Waiting(
            frozenset(entry.name for entry in entries if entry.policy == "required"),
            frozenset(entry.name for entry in entries if entry.policy == "optional"),
        )
        self._odd: dict[str, Message] = {}
        self._alarms = alarms or LedgerAlarms(recorder)
        self._held: Sentence | None = ""  # not known yet: another one may have held the seals before a reload
        self.conflicts = [*conflicts]
        """All that are known by now."""
        self._conflict: Message | None = None
        if conflicts:
            self._conflict = self._equivocal(conflicts[0])
            log.error("%s", self._conflict)
        self._hold()

    @property
    def stopped(self) -> bool:
        """Two gateways seal under this one's name: nothing may be sealed or anchored here."""
        return self._conflict is not None

    async def compare(self, ledger: Ledger) -> Comparison:
        """Ask a ledger what it holds, and do what follows from it.

        Raises:
            LedgerUnavailable: it does not answer.
            Odd: its answer cannot be built on.
            StoreError: the database cannot be read or written.
        """
        name = ledger.name
        found: Comparison | None = None
        try:
            while found is None:
                found = await self._compared(ledger)
            if found.broken_off is not None:
                return found
            self._waiting.compared.add(name)
        except Unsupported:
            await self._ask(_never_seal_lost_batches)
            self._waiting.unable.add(name)
        except (Odd, Refused) as error:
            odd = Message("odd-refuses", refusal=error.sentence) if isinstance(error, Refused) else error.sentence
            self._odd[name] = odd
            self._alarms.raise_(AlarmCode.LEDGER_ODD, name, Message("ledger-odd", ledger=name, odd=odd))
            raise Odd(odd) from None
        else:
            if self._odd.pop(name, None) is not None:
                self._alarms.clear(AlarmCode.LEDGER_ODD, name, Message("ledger-odd-cleared", ledger=name))
        finally:
            self._waiting.asked.add(name)
            self._hold()
        return found or Comparison()

    def _hold(self) -> None:
        whom = self._waiting.for_whom()
        why = self._conflict or (waiting(whom, self._odd) if whom else None)
        if why != self._held:
            self._held = why
            self._recorder.hold_seals(why)

    async def _compared(self, ledger: Ledger) -> Comparison | None:
        """One comparison; None when the database went on meanwhile, so that it has to be made again."""
        answer = await in_thread(lambda: ledger.last(self._gateway), f"compare {ledger.name}")
        last = LedgerHead(*answer) if answer else None

        def facts(store: Database) -> tuple[Before, bytes | None, int | None]:
            here = Before.of(store.batches.last(), store.anchors.known())
            return (
                here,
                store.batches.statement_at(last.batch) if last else None,
                store.anchors.last_settled(ledger.name),
            )

        here, ours, settled = await self._ask(facts)
        finding = judge(last, here, ours, settled)
        if isinstance(finding, Another):
            await self._equivocation(ledger, finding)
        elif isinstance(finding, Lost):
            return await self._give_again(ledger, finding)
        elif isinstance(finding, Ahead):
            if not await self._older(ledger, here, finding.last):
                return None
        else:
            await self._ask(partial(_drop_notes, ledger.name))
        return Comparison()

    async def _older(self, ledger: Ledger, here: Before, last: LedgerHead) -> bool:
        """The ledger holds what comes after all that is known here."""
        unsealed = await self._ask(lambda store: store.elsewhere.unsealed_before())
        walk = Walk(self._gateway, self._keys, here, last, unsealed)
        try:
            while not walk.ended:
                await in_thread(lambda: walk.take(ledger.statements(self._gateway, walk.after)), f"walk {ledger.name}")
        except Unsupported:
            return await self._go_on(ledger, here, Rollback(last, (), complete=False))
        if walk.another is not None:
            await self._equivocation(ledger, walk.another)
            return True
        return await self._go_on(ledger, here, walk.rollback())

    async def _go_on(self, ledger: Ledger, here: Before, found: Rollback) -> bool:
        """Mark what is sealed elsewhere, and let the next batch follow the ledger's last.

        The event is durable first: a process that is killed in between finds the same again and says so again.
        """
        last = found.last
        reason = resume_text(ledger.name, here.batch, last.batch)
        known = Known(last.batch, last.statement_id, ledger.name, reason, self._clock.now_ms())

        def count(store: Database) -> int:
            stretches = [(m.meter, m.stretch.epoch, m.stretch.first, m.stretch.last) for m in found.marks]
            return sum(store.elsewhere.count_in(*stretch) for stretch in stretches)

        records = await self._ask(count)
        fields = {"ledger": ledger.name, "theirs": last.batch, "statement": last.statement_id, "records": records}
        if here.batch >= 0:
            fields["ours"] = here.batch
        if not found.complete:
            fields["untold"] = await self._ask(lambda store: store.elsewhere.count_unsealed_before()) - records
        self._recorder.happened(GATEWAY, Event(ROLLBACK, fields))
        self._alarms.raise_(AlarmCode.ROLLBACK, ledger.name, older(ledger.name, here.batch, last.batch))

        def write(store: Database) -> bool:
            if Before.of(store.batches.last(), store.anchors.known())[:2] != here[:2]:
                return False
            with store.transaction():
                for mark in found.marks:
                    stretch = mark.stretch
                    store.elsewhere.add(mark.statement_id, mark.meter, stretch.epoch, stretch.first, stretch.last)
                if not found.complete:
                    store.elsewhere.never_sealed()
                store.anchors.go_on_from(known)
                failpoint("restore")
            failpoint("restored")
            return True

        return await self._ask(write)

    # — what a ledger that cannot be asked says in a refusal —

    def cannot_ask(self, ledger: str) -> bool:
        """Whether this ledger cannot tell what it holds; then its refusals are all that is heard of it."""
        return ledger in self._waiting.unable

    async def leave_out(self, ledger: str, batch: Batch, refusal: Refused) -> bool:
        """Go on from what a ledger holds that has refused this batch for it, again and again; False: stand still.

        A refusal is not signed. So only records of epochs before the present one are left out, and only batches that no
        ledger has or may be given are sealed anew; and a ledger that has taken something of this epoch knows this
        gateway as it is: then there is another one (docs/decisions/033).
        """
        found = holds(refusal)
        if found is None or not self.cannot_ask(ledger) or self.stopped:
            return False
        look, last, ours = partial(_to_leave_out, ledger, batch, found), found.last, batch.batch - 1
        left = await self._ask(look)
        if left is None:
            return False
        fields: dict[str, object] = {"ledger": ledger, "theirs": last.batch, "statement": last.statement_id}
        fields |= {"records": sum(to - first + 1 for _, _, first, to in left), "ranges": [list(hole) for hole in left]}
        self._recorder.happened(GATEWAY, Event(ROLLBACK, fields | ({"ours": ours} if ours >= 0 else {})))
        self._alarms.raise_(AlarmCode.ROLLBACK, ledger, older(ledger, ours, last.batch))
        reason = resume_text(ledger, ours, last.batch)
        known = Known(last.batch, last.statement_id, ledger, reason, self._clock.now_ms())

        def write(store: Database) -> bool:
            if look(store) != left:
                return False
            with store.transaction():
                store.batches.open_again(batch.batch)
                for hole in left:
                    store.elsewhere.add(UNKNOWN, *hole)
                if known.batch > ours:
                    store.anchors.go_on_from(known)
                failpoint("restore")
            failpoint("restored")
            return True

        done = await self._ask(write)
        self._recorder.hold_seals(self._held)  # as before; what was opened is sealed again
        return done

    async def _equivocation(self, ledger: Ledger, found: Another) -> None:
        conflict = Conflict(found.batch, ledger.name, found.statement_id, self._clock.now_ms())
        sentence = self._equivocal(conflict)
        self.conflicts.append(conflict)
        if self._conflict is None:
            self._conflict = sentence
            self._hold()
        fields = {"ledger": ledger.name, "batch": found.batch, "theirs": found.statement_id}
        ours = await self._ask(lambda store: store.batches.statement_at(found.batch))
        self._recorder.happened(GATEWAY, Event(EQUIVOCATION, fields | ({"ours": ours} if ours else {})))
        self._alarms.raise_(AlarmCode.EQUIVOCATION, ledger.name, sentence)

        def write(store: Database) -> None:
            with store.transaction():
                store.anchors.conflict(conflict)

        await self._ask(write)

    async def _give_again(self, ledger: Ledger, found: Lost) -> Comparison:
        """Offer a ledger again what it gave receipts for and does not hold: the same statements, so nothing is twice.

        What pruning has taken cannot be offered; then it refuses the next batch as well, and says so.
        """
        sentence = Message("ledger-lost-all", ledger=ledger.name, settled=found.settled)
        if found.batch >= 0:
            sentence = Message("ledger-lost-above", ledger=ledger.name, settled=found.settled, batch=found.batch)
        self._alarms.raise_(AlarmCode.LEDGER_LOST, ledger.name, sentence)
        after, given = found.batch, 0
        try:
            while batch := await self._ask(partial(_next_settled, ledger.name, after)):
                try:
                    await in_thread(partial(ledger.submit, batch.entry), f"give again {ledger.name}")
                except Refused as error:
                    log.error("ledger %s does not take batch %d again: %s", ledger.name, batch.batch, error)
                    break
                after = batch.batch
                given += 1
        except (LedgerUnavailable, StoreError) as error:
            return Comparison(given, error)
        return Comparison(given)

    def _equivocal(self, conflict: Conflict) -> Message:
        return equivocation(self._gateway, conflict, self._database)

    async def _ask(self, function: Callable[[Database], T]) -> T:
        return await in_turn(self._recorder, function)


def _to_leave_out(ledger: str, batch: Batch, found: Holds, store: Database) -> list[Hole] | None:
    """Which numbers that the ledger holds are not to be sealed again; None where nothing may be left out, or where that
    would help nothing."""
    if store.batches.statement_at(batch.batch) != batch.statement_id or not store.batches.may_open_again(
        batch.batch, ledger
    ):
        return None
    if any(epoch == store.epochs.newest() for _, epoch in found.numbers):
        return None
    stretches = (
        (meter, epoch, store.batches.unanchored(batch.batch, meter, epoch, last))
        for (meter, epoch), last in sorted(found.numbers.items())
    )
    left = [(meter, epoch, *stretch) for meter, epoch, stretch in stretches if stretch is not None]
    follows = parse_statement(batch.entry).statement.prev == found.last.statement_id
    return left if (follows and left) or found.last.batch >= batch.batch else None


def _never_seal_lost_batches(store: Database) -> None:
    """A ledger that cannot tell may hold a batch that was lost with a damaged database."""
    if store.elsewhere.count_lost_batches():
        with store.transaction():
            store.elsewhere.never_seal_lost_batches()


def _drop_notes(ledger: str, store: Database) -> None:
    """What was given to the ledger again needs no notes any more, now that it holds all that it gave receipts for."""
    with store.transaction():
        store.anchors.drop_settled_notes(ledger)


def _next_settled(ledger: str, after: int, store: Database) -> Batch | None:
    return store.anchors.next_settled(ledger, after)
