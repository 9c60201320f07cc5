"""Watch over the intervals of plans as they end: which node has lost one, and since when a stack is not measured.

Each interval is looked at once, some minutes after its end, with the records of that time alone; a month of records is
never read again. What a process before this one has looked at is told by when it ended.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from gateway.accounting.feeding import feed
from gateway.accounting.history import History, SignedPlan
from gateway.accounting.stretch import ended_by, longest_gap_ms
from gateway.storage.database import Database
from gateway.storage.registers.accounted import last_before_epoch_ms
from ledger_client.accounting.assembly import counted, gauged
from ledger_client.accounting.books import Books
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import HOUR_MS, Node, Plan
from ledger_client.accounting.formats.rows import Row

SILENT_MS: Final = 96 * HOUR_MS
"""A stack without a valid reference for so long is told: a day before the authority has to be informed (H6)."""
_LATE_MS: Final = 120_000
"""So long after the last look of an interval its records are in the database."""
_LONGEST_MS, _BACK_MS = 48 * HOUR_MS, 6 * HOUR_MS
"""Most time of one look ahead, and of one look back for the last valid reference of a stack."""
_NEWEST: Final = 1 << 62
_LOST: Final = (words.UNALLOCATED, words.UNKNOWN, words.MISSING)


class Lost(NamedTuple):
    """Time of a node that has no measured amount: ``status`` unallocated, unknown or missing. ``goes_on``: also the
    newest interval has none."""

    plan: str
    node: str
    from_ms: int
    to_ms: int
    status: str
    goes_on: bool


class Silent(NamedTuple):
    """A measured emission without a valid reference since then, or longer."""

    plan: str
    node: str
    since_ms: int


@dataclass(slots=True)
class _Seen:
    """How far a plan was looked at: of ``lost`` up to ``to_ms``, and what it was told of up to ``told_ms``; by stack
    the end of its last valid reference, or how far back none was found."""

    signed: SignedPlan
    to_ms: int
    told_ms: int
    lost: dict[str, Lost] = field(default_factory=dict)
    valid_ms: dict[str, int] = field(default_factory=dict)
    searched_ms: dict[str, int] = field(default_factory=dict)


class Watch:
    """Owned by one thread at a time."""

    def __init__(self) -> None:
        self._seen: dict[str, _Seen] = {}
        self._before_ms: int | None = None
        self._begun = False

    def look(self, store: Database, history: History, now_ms: int) -> Iterator[Lost]:
        """What is lost: everything that goes on, and once what has been lost since the last look. Raises StoreError,
        LedgerClientError."""
        if not self._begun:  # the epoch is young: little is walked over
            self._before_ms, self._begun = last_before_epoch_ms(store, store.epochs.newest()), True
        for name in history.names:
            seen = self._of(history, name, now_ms)
            plan = seen.signed.plan
            over_ms = (now_ms - wait_ms(plan)) // plan.interval_ms * plan.interval_ms
            ended: list[Lost] = []
            if over_ms > seen.to_ms:
                ended = self._go_on(store, history, seen, over_ms)
            yield from ended
            yield from seen.lost.values()
            self._search_back(store, history, seen)

    def _of(self, history: History, name: str, now_ms: int) -> _Seen:
        """The plan of a name that rules what has just ended, from where the one before, or the process before this one,
        has left it."""
        signed = _ruling(history.of_plan(name), now_ms)
        seen = self._seen.get(name)
        if seen is None or seen.signed.record != signed.record:
            plan, rules_ms = signed.plan, signed.plan.rules_from_ms(signed.iat_ms)
            last_ms = rules_ms if self._before_ms is None else self._before_ms - wait_ms(plan)
            told_ms = last_ms // plan.interval_ms * plan.interval_ms
            told_ms = max(rules_ms, told_ms if seen is None else seen.to_ms)
            seen = self._seen[name] = _Seen(signed, max(rules_ms, told_ms - plan.interval_ms), told_ms)
        return seen

    def _go_on(self, store: Database, history: History, seen: _Seen, to_ms: int) -> list[Lost]:
        """Look at the intervals up to ``to_ms``; gives what was lost in them and is over."""
        from_ms, name = max(seen.to_ms, to_ms - _LONGEST_MS), seen.signed.plan.name
        books, ended = _books(store, history, seen.signed.plan, from_ms), list[Lost]()
        for node in seen.signed.plan.nodes.values():
            rows, is_open = _rows(books, node, from_ms, to_ms, seen.signed.iat_ms)
            closed_ms = books.closed_ms(node.name)
            for row in rows:
                if row.status in (words.VALID, words.STOPPED):
                    seen.valid_ms[node.name] = row.to_ms
            if closed_ms is not None and closed_ms <= to_ms:
                seen.valid_ms[node.name] = to_ms  # it is not measured any more, and nobody is informed
            rows = [row for row in rows if row.node == node.name]
            lost = [row for row in rows if row.status in _LOST]
            before = seen.lost.pop(node.name, None)
            goes_on = is_open or bool(lost and lost[-1] is rows[-1] and lost[-1].status == words.MISSING)
            if goes_on:
                begin_ms = lost[0].from_ms if lost else from_ms if not rows else rows[-1].to_ms
                status = lost[-1].status if lost and not is_open else words.UNALLOCATED
                seen.lost[node.name] = before or Lost(name, node.name, begin_ms, to_ms, status, goes_on=True)
            else:
                new = [row for row in lost if row.to_ms > seen.told_ms]
                ended += (Lost(name, node.name, *run, goes_on=False) for run in _runs(new))
        seen.to_ms, seen.told_ms = to_ms, max(to_ms, seen.told_ms)
        return ended

    def _search_back(self, store: Database, history: History, seen: _Seen) -> None:
        """Look further back for the last valid reference of each stack of which none is known."""
        plan = seen.signed.plan
        for node in _stacks(plan):
            begin_ms = seen.searched_ms.get(node.name, seen.to_ms)
            if node.name in seen.valid_ms or seen.to_ms - begin_ms >= SILENT_MS or begin_ms <= plan.from_ms:
                continue
            from_ms = max(plan.from_ms, begin_ms - _BACK_MS)
            books = _books(store, history, plan, from_ms, begin_ms)
            rows, _ = _rows(books, node, from_ms, begin_ms, seen.signed.iat_ms)
            valid = [row.to_ms for row in rows if row.status != words.MISSING]
            if valid:
                seen.valid_ms[node.name] = valid[-1]
            seen.searched_ms[node.name] = from_ms

    def silent(self) -> list[Silent] | None:
        """The stacks that are silent for ``SILENT_MS`` or longer; None: it is not known yet of each."""
        found = []
        for name, seen in self._seen.items():
            plan = seen.signed.plan
            for node in _stacks(plan):
                back_ms = seen.searched_ms.get(node.name, seen.to_ms)
                since_ms = seen.valid_ms.get(node.name, back_ms)
                if seen.to_ms - since_ms >= SILENT_MS:
                    found.append(Silent(name, node.name, since_ms))
                elif node.name not in seen.valid_ms and back_ms > plan.from_ms:
                    return None
        return found


def _ruling(plans: list[SignedPlan], now_ms: int) -> SignedPlan:
    """The newest plan of which an interval can be looked at."""
    for signed in plans[:0:-1]:
        if signed.plan.rules_from_ms(signed.iat_ms) + wait_ms(signed.plan) + signed.plan.interval_ms <= now_ms:
            return signed
    return plans[0]


def wait_ms(plan: Plan) -> int:
    """How long after its end an interval is looked at."""
    return longest_gap_ms(plan) + _LATE_MS


def _runs(rows: Iterable[Row]) -> list[tuple[int, int, str]]:
    """From, to and worst status of rows that follow each other."""
    runs: list[tuple[int, int, str]] = []
    for row in rows:
        if runs and runs[-1][1] == row.from_ms:
            begin_ms, _, before = runs.pop()
            runs.append((begin_ms, row.to_ms, max(before, row.status, key=words.RANK.__getitem__)))
        else:
            runs.append((row.from_ms, row.to_ms, row.status))
    return runs


def _stacks(plan: Plan) -> list[Node]:
    return [node for node in plan.nodes.values() if node.method == words.CEMS]


def _rows(books: Books, node: Node, from_ms: int, to_ms: int, plan_ms: int) -> tuple[list[Row], bool]:
    """The rows of a node, without substitutes, and whether its register at the end is not known."""
    if node.of_counters:
        stated = counted(books, node, from_ms, to_ms, first=False, plan_ms=plan_ms)
        return stated.rows, stated.open
    closed_ms = books.closed_ms(node.name)
    if node.method == words.CEMS and (closed_ms is None or closed_ms > from_ms):
        return gauged(books, node, from_ms, to_ms, plan_ms), False
    return [], False


def _books(store: Database, history: History, plan: Plan, from_ms: int, to_ms: int | None = None) -> Books:
    """Books of the records around a time; without an end up to the newest record."""
    oldest, newest, last_id = store.batches.first(), store.batches.last(), _NEWEST
    entries = [entry for _, entry in history.on_plan(plan)]
    first_id = 1 if oldest is None else ended_by(store, from_ms - plan.interval_ms, oldest).first_id
    if to_ms is not None and oldest is not None:
        last = ended_by(store, to_ms + 2 * HOUR_MS, oldest)
        last_id = _NEWEST if last == newest else last.last_id
    return feed(Books(plan, entries), store, first_id, last_id).books
