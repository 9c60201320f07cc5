"""Plans, entries and statements that this gateway has signed, from its own events in the database."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from gateway.messages.message import Message
from gateway.records import StoredRecord
from gateway.storage.accounted import gateway_events
from gateway.storage.database import Database
from ledger_client.accounting.formats import words
from ledger_client.formats.checks import MAX_TIME_MS
from ledger_client.formats.record import Event, parse_record, record_hash
from ledger_client.messages import Sentence

if TYPE_CHECKING:
    from ledger_client.accounting.formats.entries import Entry
    from ledger_client.accounting.formats.plan import Plan

_NAMES = tuple(name.encode() for name in (words.PLAN, words.ENTRY, words.PERIOD))


@dataclass(frozen=True, slots=True)
class SignedPlan:
    """A plan, the hash of its record, when it was signed (ms)."""

    plan: Plan
    record: bytes
    iat_ms: int


@dataclass(frozen=True, slots=True)
class SignedPeriod:
    """A statement: the fields of its event, the hash of its record, and its name (``gateway/EPOCH/NUMBER``)."""

    fields: Mapping[str, Any]
    record: bytes
    name: str

    @property
    def from_ms(self) -> int:
        """Where its period begins."""
        return int(self.fields["from"])

    @property
    def to_ms(self) -> int:
        """Where its period ends."""
        return int(self.fields["to"])


@dataclass(frozen=True, slots=True)
class Refused:
    """A plan or an entry that was signed and is none by these rules: the name of its event, the hash of its record, and
    why. It counts for nothing; publish or enter another one."""

    name: str
    record: bytes
    why: Sentence


@dataclass(slots=True)
class History:
    """All of them in the order of their signing; ``entries`` with their places in the commit order. ``read_to``: the
    place up to which events have been read. Owned by one thread."""

    plans: list[SignedPlan] = field(default_factory=list)
    entries: list[tuple[int, Entry]] = field(default_factory=list)
    periods: list[SignedPeriod] = field(default_factory=list)
    refused: list[Refused] = field(default_factory=list)
    read_to: int = 0

    @property
    def names(self) -> list[str]:
        """The names of plans, in the order of their first ones."""
        return list(dict.fromkeys(signed.plan.name for signed in self.plans))

    @property
    def notes(self) -> list[Message]:
        """What was signed and counts for nothing, and why."""
        return [Message("signed-refused", event=one.name, record=one.record.hex(), why=one.why) for one in self.refused]

    def of_plan(self, name: str) -> list[SignedPlan]:
        """The plans of a name, in the order in which they follow each other."""
        return [signed for signed in self.plans if signed.plan.name == name]

    def ruled(self, name: str) -> list[tuple[SignedPlan, int, int]]:
        """The plans of a name, each with the beginning and end of its rule in ms; the last one has no end (P2)."""
        plans = self.of_plan(name)
        begins = [
            signed.plan.rules_from_ms(signed.iat_ms) if place else signed.plan.from_ms
            for place, signed in enumerate(plans)
        ]
        ends = (min(begins[place:], default=MAX_TIME_MS) for place in range(1, len(plans) + 1))
        return list(zip(plans, begins, ends, strict=True))

    def on_plan(self, plan: Plan) -> list[tuple[int, Entry]]:
        """The entries on a plan, with their places (P9)."""
        return [(place, entry) for place, entry in self.entries if plan.concerns(entry.of)]

    def stated(self, name: str) -> list[SignedPeriod]:
        """The statements of plans of a name that count: of each period the highest version, in order of time (T4)."""
        records = {signed.record for signed in self.of_plan(name)}
        newest: dict[tuple[int, int], SignedPeriod] = {}
        for period in self.periods:
            if period.fields["plan"] in records:
                newest[period.from_ms, period.to_ms] = period
        return [newest[key] for key in sorted(newest)]

    def unstated_ms(self, name: str) -> int | None:
        """From when on the time of a plan's name is not stated; None: no plan has it, or all nodes of its newest one
        were closed by then."""
        plans = self.of_plan(name)
        if not plans:
            return None
        from_ms = max((period.to_ms for period in self.stated(name)), default=plans[0].plan.from_ms)
        closed = closed_by(self.entries, from_ms)
        measuring = {node.name for node in plans[-1].plan.nodes.values() if node.terms or node.inputs}
        return None if measuring and measuring <= closed else from_ms

    def copy(self) -> History:
        """A copy for other threads, which does not change any more."""
        return History(list(self.plans), list(self.entries), list(self.periods), list(self.refused), self.read_to)

    def read_on(self, store: Database) -> None:
        """Take in what has been signed since the last call. Raises AccountingError for a plan of other rules than this
        program knows: what it needs of the records is not known."""
        for place, row in gateway_events(store, self.read_to):
            if any(name in row.data for name in _NAMES):
                self._take(place, row)
            self.read_to = place

    def _take(self, place: int, row: StoredRecord) -> None:
        record, digest = parse_record(row.data), record_hash(row.data)
        body = record.body
        if not isinstance(body, Event):
            return
        if body.name == words.PERIOD:
            self.periods.append(SignedPeriod(body.fields, digest, row.id))
        elif body.name in (words.PLAN, words.ENTRY):
            from ledger_client.accounting.formats.refusal import AccountingError  # most sites have no plan

            try:
                self._take_in(place, body, digest, record.claims.iat * 1000)
            except AccountingError as error:
                if body.name == words.PLAN and body.fields.get("rules") != words.RULES:
                    raise
                self.refused.append(Refused(body.name, digest, error.sentence))

    def _take_in(self, place: int, body: Event, digest: bytes, iat_ms: int) -> None:
        if body.name == words.PLAN:
            from ledger_client.accounting.formats.plan import parse_plan

            self.plans.append(SignedPlan(parse_plan(body.fields), digest, iat_ms))
        else:
            from ledger_client.accounting.formats.entries import read_entry

            self.entries.append((place, read_entry(body.fields, digest)))


def closed_by(entries: Iterable[tuple[int, Entry]], time_ms: int) -> set[str]:
    """The nodes that were closed up to a time, by an entry that counts (P9)."""
    closures = [entry for _, entry in entries if entry.kind == "closure"]
    if not closures:
        return set()
    from ledger_client.accounting.formats.standings import judged

    return {entry.of for entry in judged(closures).counting if entry.from_ms <= time_ms}


def longest_gap_ms(plan: Plan, closed: Collection[str] = ()) -> int:
    """The longest gap around a known edge of nodes that are not closed (I2)."""
    return max((wait_ms for _, wait_ms in plan.coverage_waits(closed)), default=0)


def history_of(store: Database) -> History:
    """What the database holds. Raises AccountingError for a plan of other rules than this program knows."""
    found = History()
    found.read_on(store)
    return found
