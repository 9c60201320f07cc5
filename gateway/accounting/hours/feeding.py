"""Books from the gateway's own database: the same that a verifier keeps of the exported batches."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from gateway.records import GATEWAY
from gateway.storage.accounted import accounted
from gateway.storage.database import Database
from gateway.storage.marks import Marks
from gateway.storage.record_reader import read_body, read_reading
from ledger_client.accounting.books import CONFIGURATION, SYNCHRONISED, Books
from ledger_client.accounting.formats.plan import Plan
from ledger_client.formats.record import EXCHANGE, Coverage, Event, parse_record, record_hash

_COUNTED = (CONFIGURATION.encode(), EXCHANGE.encode())


@dataclass(slots=True)
class Fed:
    """``places``: of the readings that were fed by record hash, where they are asked for; ``unclocked``: the meters and
    intervals, by number, in which a reading was made by a clock that was not synchronised."""

    books: Books
    records: int = 0
    places: dict[bytes, int] = field(default_factory=dict)
    unclocked: set[tuple[str, int]] = field(default_factory=set)


def feed(
    books: Books,
    store: Database,
    first_id: int,
    last_id: int,
    *,
    places: bool = False,
    marked: bool = True,
    gauges: bool = True,
) -> Fed:
    """Feed the records of a stretch, ``first_id`` to ``last_id``, to books. Raises Damaged where one cannot be read.

    Args:
        places: whether to note where each reading stands.
        marked: of meters of counters alone only the readings that matter are fed, where the gateway marked them; the
            books are the same.
        gauges: whether the books are to know of gauges, too.
    """
    fed = Fed(books)
    wanted = _wanted(books.plan, Marks(store) if marked else None, gauges=gauges)
    for place, row in accounted(store, first_id, last_id, wanted):
        fed.records += 1
        if row.kind == "reading":
            reading, clock = read_reading(row)
            digest = record_hash(row.data)
            books.reading(row.meter, clock, reading, digest)
            if clock != SYNCHRONISED:
                fed.unclocked.add((row.meter, row.time_ms // books.plan.interval_ms))
            if places:
                fed.places[digest] = place
        elif row.kind == "coverage":
            body = read_body(row.kind, row.time_ms, row.data)
            assert isinstance(body, Coverage)
            books.coverage(row.meter, body)
        elif any(name in row.data for name in _COUNTED):
            event = parse_record(row.data).body
            if isinstance(event, Event) and (row.meter == GATEWAY or event.name == EXCHANGE):
                books.event(row.meter, event)
    return fed


def _wanted(plan: Plan, marks: Marks | None, *, gauges: bool) -> dict[str, int | None]:
    """Each meter of a plan, and from which place on its marked readings are enough (None: all are needed)."""
    gauged = {plan.points[name].meter for node in plan.nodes.values() for name in node.gauges.values() if gauges}
    counted: dict[str, set[str]] = {meter: set() for meter in plan.meters} if gauges else defaultdict(set)
    for node in plan.nodes.values():
        for _, name in node.terms:
            counted[plan.points[name].meter].add(plan.points[name].own_name)
    return {
        meter: None if marks is None or meter in gauged else marks.whole_from(meter, points)
        for meter, points in counted.items()
    }
