"""Stretch of a statement: the first and last sealed batch that it cites, and the entries that count in it (T2, P9)."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from gateway.accounting.hours.feeding import Fed, feed
from gateway.accounting.plans.history import History, SignedPeriod, SignedPlan, closed_by, longest_gap_ms
from gateway.errors import GatewayError, NotYet
from gateway.messages.message import Message
from gateway.records import GATEWAY
from gateway.storage.accounted import (
    batch_ended_by,
    coverage_reaching,
    lost_between,
)
from gateway.storage.database import Database
from gateway.storage.record_tables import Within
from gateway.storage.rows import Batch
from ledger_client.accounting.books import CONFIGURATION, Books
from ledger_client.accounting.formats.entries import Entry, cited
from ledger_client.accounting.formats.plan import HOUR_MS, Node, Plan
from ledger_client.formats.record import Event, parse_record

_EVENTS = 5000
"""Events that are looked through at most for the configuration in force before a stretch: far more than a day has."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """First and last batch, both cited; the entries that count."""

    first: Batch
    last: Batch
    entries: list[Entry]


def stretch_of(
    store: Database,
    history: History,
    signed: SignedPlan,
    before: SignedPeriod | None,
    earlier: SignedPeriod | None,
    from_ms: int,
    to_ms: int,
) -> Stretch:
    """The batches and entries of a period; ``earlier``: its version before, behind which this one must not stay (T4).

    Raises:
        NotYet: the period is not over, or not sealed.
        GatewayError: its records are no longer there.
    """
    plan = signed.plan
    on_plan = history.on_plan(plan)
    last = reaching(store, plan, to_ms, closed_by(on_plan, to_ms))
    if earlier is not None and int(earlier.fields["batches"][1][0]) > last.batch:
        last = store.batches.numbered(int(earlier.fields["batches"][1][0])) or last
    about = [place for place, e in on_plan if e.from_ms <= to_ms and e.to_ms >= from_ms]
    if about and max(about) > last.last_id:
        last = _holding(store, max(about), "entry")
    first = first_batch(store, plan, closed_by(on_plan, from_ms), before, from_ms)
    if lost_between(store, first.first_id, last.last_id):
        raise GatewayError(Message("statement-records-gone", first=first.batch, last=last.batch))
    entries = cited(on_plan, plan, first.first_id, last.last_id, before.fields if before else None)
    return Stretch(first, last, entries)


def reaching(store: Database, plan: Plan, to_ms: int, closed: Collection[str]) -> Batch:
    """The batch in which the coverage of every meter of nodes that are not closed has passed a period's end by its
    longest gap; with all of them closed the newest. Raises NotYet."""
    needed: dict[str, int] = {}
    for meter, wait_ms in plan.coverage_waits(closed):
        needed[meter] = max(needed.get(meter, 0), to_ms + wait_ms)
    places = []
    for meter, time_ms in needed.items():
        place = coverage_reaching(store, meter, time_ms)
        if place is None:
            raise NotYet(Message("statement-not-covered", meter=meter, time_ms=time_ms))
        places.append(place)
    newest = store.batches.last()
    if not places and newest is not None:
        return newest
    return _holding(store, max(places, default=1 << 62), "coverage")


def _holding(store: Database, place: int, kind: str) -> Batch:
    batch = store.batches.holding(place)
    if batch is None:
        raise NotYet(Message("statement-not-sealed", kind=kind))
    return batch


def first_batch(
    store: Database, plan: Plan, closed: Collection[str], before: SignedPeriod | None, from_ms: int
) -> Batch:
    """The batch with the look in front of each node's last edge up to a period's beginning, or in front of that with
    the configuration that was in force. It is searched further and further back, up to where the statement before
    began: what knew no edge there knows none. Nodes that are ``closed`` need none.
    Raises NotYet."""
    oldest = store.batches.first()
    if oldest is None:
        raise NotYet(Message("statement-not-sealed", kind="coverage"))
    nodes = [node for node in plan.nodes.values() if node.name not in closed]
    back_ms = longest_gap_ms(plan, closed) + plan.interval_ms
    if before is None:
        return _configured(store, ended_by(store, from_ms - back_ms, oldest).first_id, oldest)
    end, earliest = reaching(store, plan, from_ms, closed), max(int(before.fields["batches"][0][0]), oldest.batch)
    while True:
        begin = ended_by(store, from_ms - back_ms, oldest)
        fed = feed(Books(plan), store, begin.first_id, end.last_id, places=True)
        looks = list(_looks(fed, nodes, from_ms))
        if all(looks) or begin.batch <= earliest:
            place = min((fed.places[look] for look in looks if look), default=begin.first_id)
            return _configured(store, place, oldest)
        back_ms *= 4


def _looks(fed: Fed, nodes: Iterable[Node], from_ms: int) -> Iterable[bytes | None]:
    """Of each term of each node the first look of the node's last known edge; None: it is not known."""
    for node in nodes:
        edge = _last_edge(fed.books, node, from_ms)
        for _, name in node.terms:
            yield fed.books.registers[name, node.regime.id].edges[edge].looks[0] if edge is not None else None


def _last_edge(books: Books, node: Node, from_ms: int) -> int | None:
    if not node.terms:
        return None
    edges = [books.registers[name, node.regime.id].edges for _, name in node.terms]
    known = set(edges[0]).intersection(*edges[1:])
    return max((n for n in known if n * books.plan.interval_ms <= from_ms), default=None)


def ended_by(store: Database, time_ms: int, oldest: Batch) -> Batch:
    """The newest batch whose readings all are of before a time; where there is none, the oldest."""
    number = batch_ended_by(store, time_ms - HOUR_MS)
    return (store.batches.numbered(number) if number is not None else None) or oldest


def _configured(store: Database, place: int, oldest: Batch) -> Batch:
    """The batch with the first part of the event ``configuration`` that is in force at a place; where there is none,
    the batch of the place."""
    for at, row in store.records.events_within(Within(last_id=place - 1), _EVENTS, GATEWAY):
        if CONFIGURATION.encode() in row.data:
            body = parse_record(row.data).body
            if isinstance(body, Event) and body.name == CONFIGURATION and body.fields.get("part", [1])[0] == 1:
                place = at
                break
    batch = store.batches.holding(max(place, oldest.first_id))
    return batch or oldest
