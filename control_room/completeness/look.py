"""One look at one batch: what it lacks, or that it is proven.

1. Whether records are there is asked of ``ranges``, under a lock that a portion waits for; so no record slips in
   between the question and the hole that is made of the answer.
2. Everything else is read without a lock. A batch is leased meanwhile (``store.statements``), and whoever looks at it
   a second time comes to the same: the same holes, the same file, the same state.
3. A batch is ``open`` while records lack, or do not give the root; ``complete`` when they do, and it waits for
   receipts; ``proven`` when it is in the archive. What is to be seen of it stands in ``why``; a proven batch may have
   a ``why`` too, where it is the gateway's history that does not hold.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from typing import Final, NamedTuple

from control_room.archive.files import Archive
from control_room.completeness import verdict
from control_room.completeness.verdict import Fault, Whole
from control_room.errors import ArchiveOther
from control_room.store import holes, statements
from control_room.store.connection import Database
from control_room.store.names import Names
from control_room.store.spans import Span
from control_room.store.statements import BatchRow, Key, Outcome
from gateway.messages.message import Message
from ledger_client.errors import EncodeError
from ledger_client.formats.record import GATEWAY_ITSELF, parse_record
from ledger_client.formats.statement import parse_statement, read_statement
from ledger_client.verification.trust import Trust

GRACE_MS: Final = 3_000
"""A statement may come in before records that another receiver holds: so long nothing is missing."""
SOON_MS: Final = 10_000
MOST_RANGES: Final = 20_000
"""Of one statement: a gateway of a thousand meters may start twenty times in a batch."""
LATER_MS: Final = 3_600_000
_UNKNOWN_CLOCK: Final = "U"
_RESTART: Final = "control-batch-restart"


class Context(NamedTuple):
    """With what batches are looked at. ``meters``: (gateway, meter) of the trust file; ``lease_ms``: until when the
    batches are leased."""

    db: Database
    archive: Archive
    trust: Trust
    meters: frozenset[tuple[str, str]]
    now_ms: int
    lease_ms: int


class Look:
    """One look at one batch."""

    def __init__(self, context: Context, key: Key) -> None:
        self._db, self._archive, self._trust = context.db, context.archive, context.trust
        self._meters, self._now_ms, self._lease_ms = context.meters, context.now_ms, context.lease_ms
        self._key = key
        self._row: BatchRow = statements.read(self._db, key)
        self._signed = read_statement(self._row.entry)
        self._state = self._row.state
        self._spans: list[Span] = []
        self._note: Fault | None = None
        self._look_ms: int | None = None
        self._unsure = False

    def run(self) -> bool:
        """Look; whether the batch is newly proven."""
        try:
            if self._row.state == "proven":
                self._see_proven()
                return False
            return self._prove()
        except Fault as fault:
            self._finish(Outcome(self._state, fault.message, fault.alarm, self._look_ms, unsure=self._unsure))
            return False

    def _prove(self) -> bool:
        signed = self._signed
        if not self._row.counted:
            self._see_neighbours()
        verdict.demand_statement(signed, self._trust)
        others, before = statements.beside(self._db, self._key)
        self._note = verdict.alone(others)
        self._spans = self._stated()
        self._demand_there()
        if self._state == "open":
            self._demand_root()
            self._state = "complete"
        verdict.demand_follows(signed, before)
        self._note = self._note or self._left_out()
        until = self._vouched()
        self._demand_timely(until)
        file = self._keep(until)
        with self._db.transaction():
            statements.archived(self._db, self._spans)
            return self._finish(self._proven(file))

    def _see_proven(self) -> None:
        """What is to be seen of a batch that is proven, and receipts that came later."""
        others, before = statements.beside(self._db, self._key)
        try:
            verdict.demand_follows(self._signed, before)
            self._spans = self._stated()
            self._note = verdict.forked(others) or self._left_out() or self._seen_before()
        except Fault as fault:
            self._note = fault
        if self._row.file is not None:
            self._archive.grow(self._row.file, self._row.receipts, self._row.anchors)
        self._finish(self._proven(None))

    def _proven(self, file: str | None) -> Outcome:
        note = self._note
        message, alarm = (None, None) if note is None else (note.message, note.alarm)
        return Outcome("proven", message, alarm, self._look_ms, file, self._unsure)

    def _finish(self, outcome: Outcome) -> bool:
        return statements.finish(self._db, self._key, self._lease_ms, outcome, self._now_ms)

    # — records —

    def _stated(self) -> list[Span]:
        """The numbers that the statement counts. Raises Fault where it counts a meter that can have no records here:
        no number is made for a name that a gateway may have made up."""
        gateway, meters = self._signed.statement.gateway, self._signed.statement.meters
        for meter in sorted(meters):
            if meter != GATEWAY_ITSELF and (gateway, meter) not in self._meters:
                raise Fault(Message("control-batch-unknown-meter", meter=meter), verdict.BATCH_DIFFERS)
        if (n := sum(map(len, meters.values()))) > MOST_RANGES:
            raise Fault(Message("control-batch-ranges", n=n, most=MOST_RANGES), verdict.BATCH_DIFFERS)
        owners = {(gateway, meter, r.epoch) for meter, ranges in meters.items() for r in ranges}
        chains = self._db.kept(Names).chains(owners)
        return [
            Span(chains[gateway, meter, r.epoch], meter, r.first, r.last)
            for meter, ranges in sorted(meters.items())
            for r in ranges
        ]

    def _see_neighbours(self) -> None:
        """The first look at a statement: which batches are missing between it and those that are there."""
        with self._db.transaction():
            filled = holes.between(self._db, self._key, self._now_ms)
            statements.look_beside(self._db, self._key, self._now_ms, unsure=filled)

    def _demand_there(self) -> None:
        """Every record that the statement counts is there, and no other statement counts it. Raises Fault."""
        db, now_ms = self._db, self._now_ms
        young = now_ms < self._row.arrived_ms + GRACE_MS
        with db.transaction():
            statements.lock(db, self._spans)
            twice = None if self._row.counted else statements.counted_before(db, self._spans)
            if twice is None and not self._row.counted:
                statements.count(db, self._key, self._spans)
            n, first = holes.missing(db, self._spans)
            if first is None:
                holes.close(db, self._key, now_ms, places=False)
            elif not young and twice is None:
                holes.follow(db, self._key, self._spans, now_ms)
        if twice is not None:
            raise Fault(Message("control-batch-twice", record=_record(*twice)), verdict.BATCH_DIFFERS)
        if first is not None:
            self._look_ms = self._row.arrived_ms + GRACE_MS if young else now_ms + LATER_MS
            what = Message("control-batch-lacks", n=n, first=_record(*first))
            raise Fault(what, None if young else verdict.RECORDS_MISSING)

    def _demand_root(self) -> None:
        """The records in the order of their places give the root. Raises Fault; their places are asked for then."""
        whole = Whole()
        with closing(self._records()) as rows:
            for _, time_ms, data in rows:
                whole.add(time_ms, data)
        try:
            verdict.demand_whole(self._signed.statement, whole)
        except Fault:
            self._ask_for_places()
            raise
        holes.close(self._db, self._key, self._now_ms, places=True)

    def _ask_for_places(self) -> None:
        self._state, self._look_ms = "open", self._now_ms + LATER_MS
        with self._db.transaction():
            holes.ask_for_places(self._db, self._key, self._spans, self._now_ms)

    def _records(self) -> Generator[tuple[int, int, bytes]]:
        statement = self._signed.statement
        return statements.records(self._db, self._spans, statement.from_ms, statement.to_ms)

    def _left_out(self) -> Fault | None:
        """Records before those of this batch that no statement counts. What may be in a batch that is not there, or was
        before the first one, is not left out."""
        statement = self._signed.statement
        fault = self._numbers_left_out() or self._restart()
        if fault is None:
            return None
        sure = statements.all_counted_below(self._db, self._key.gateway, statement.batch)
        if sure is not True:
            self._unsure = True
            self._look_ms = self._now_ms + SOON_MS if sure is None else self._look_ms
            return None
        return fault

    def _numbers_left_out(self) -> Fault | None:
        stretches = statements.not_following(self._db, self._spans)
        if not stretches:
            return None
        statement = self._signed.statement
        earliest = [parse_statement(entry).statement for entry in statements.first_known(self._db, self._key.gateway)]
        begun = {r.epoch for known in earliest for ranges in known.meters.values() for r in ranges}
        if any(known.batch == statement.batch for known in earliest):
            return None
        for meter, epoch, first, below in stretches:
            if below is not None or epoch not in begun:
                before = 0 if below is None else below + 1
                return verdict.left_out(statement, f"{_record(meter, epoch, before)}–{first - 1}")
        return None

    def _restart(self) -> Fault | None:
        """A meter's first record of an epoch names another one before it than the last that a statement counts: its
        gateway left out the end of an epoch. After an announced loss any meter may go on from an older one, whose
        records had been put back; that is left to an audit."""
        for meter, epoch, data, before, whole in statements.beginnings(self._db, self._spans):
            if whole and parse_record(data).claims.prev not in before:
                if self._resumed():
                    return None
                what = Message("control-batch-restart", record=_record(meter, epoch, 0))
                return Fault(what, verdict.NUMBERS_LEFT_OUT)
        return None

    def _resumed(self) -> bool:
        """Whether a statement until this one says that it goes on after a loss."""
        entries = statements.maybe_resumed(self._db, self._key.gateway, self._signed.statement.batch)
        return any(parse_statement(entry).statement.resume is not None for entry in entries)

    def _seen_before(self) -> Fault | None:
        """What was found of a restart stays found, also once the records that showed it have gone."""
        why = self._row.why
        return Fault(why, self._row.alarm) if why is not None and why.code == _RESTART else None

    # — receipts, and what follows —

    def _vouched(self) -> int:
        row = self._row
        try:
            return verdict.vouched(
                self._signed, row.receipts, self._trust, self._now_ms // 1000, row.arrived_ms // 1000
            )
        except Fault as fault:
            if fault.alarm is None:
                self._look_ms = row.arrived_ms + verdict.patience_s(self._trust) * 1000
            elif fault.alarm == verdict.RECEIPTS_WRONG:
                self._look_ms = self._now_ms + LATER_MS  # one of the future may have come into its time
            if self._note is not None and fault.alarm is None:
                raise Fault(self._note.message, self._note.alarm) from None
            raise

    def _demand_timely(self, until: int) -> None:
        """No record of a known clock was held back. Nothing is parsed unless one may have been."""
        most_s = self._trust.max_delay_s
        if most_s is None or until * 1000 - self._signed.statement.from_ms <= most_s * 1000:
            return
        oldest_ms: int | None = None
        with closing(self._records()) as rows:
            for _, time_ms, data in rows:
                known = parse_record(data).claims.clock != _UNKNOWN_CLOCK
                if known and (oldest_ms is None or time_ms < oldest_ms):
                    oldest_ms = time_ms
        if oldest_ms is not None:
            verdict.demand_timely(oldest_ms, until, self._trust)

    def _keep(self, until: int) -> str:
        """Write the batch into the archive; its name there. Raises Fault where it does not hold after all."""
        signed, row = self._signed, self._row
        meters = {span.chain.meter: span.meter for span in self._spans}

        def judged(rows: Iterator[tuple[int, int, bytes]]) -> Iterator[bytes]:
            kids = set()
            for meter, _, data in rows:
                kids.add((meter, verdict.kid_of(data)))
                yield data
            verdict.demand_keys(row.gateway, ((meters[meter], kid) for meter, kid in kids), self._trust, until)

        try:
            with closing(self._records()) as rows:
                return self._archive.keep(signed, judged(rows), row.receipts, row.anchors)
        except ArchiveOther as error:
            raise Fault(error.sentence, verdict.BATCH_FORKED) from None
        except EncodeError:  # the gateway has sent its records again, with other places, since they gave the root
            self._ask_for_places()
            raise verdict.wrong_root(signed.statement) from None


def _record(meter: str, epoch: bytes, seq: int) -> str:
    return f"{meter}/{epoch.hex()}/{seq}"
