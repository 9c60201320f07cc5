"""A gateway of one energy meter that publishes a plan, is polled for hours, and states them; and its files.

Its batches are those of ``audit_batches.Gateway``; its statement is made of books that are fed with its own records.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.entries import Entry, read_entry
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.rows import Rows
from ledger_client.accounting.statement import Choice, Statement, state
from ledger_client.formats.batch_file import BatchFile
from ledger_client.formats.record import Coverage, Event, parse_record, record_hash
from ledger_client.formats.senml import Reading, Value
from tests.support.audit_batches import BEGIN_MS, EVERY_MS, Gateway
from tests.support.evidence import METER

QUARTER_MS = 900_000
SECRET = bytes(range(32))
POINT = f"{METER}/energy"


def plan_fields(
    from_ms: int, name: str = POINT, most: int = 1000, wraps_at: int = 100_000, **also: Any
) -> dict[str, Any]:
    """A plan of one station by quarters of an hour, by one counter; edges may have gaps of 4 %."""
    profile = {"version": "1", "edge": Decimal("0.04"), "accept": [], "clauses": {"edge": "ours"}}
    point = {"kind": "counter", "unit": "kWh", "sample": EVERY_MS, "max": most, "wraps_at": wraps_at}
    return {
        "plan": "main", "v": 1, "rules": "accounting-1", "from": from_ms, "interval": 900, "civil": 480,
        "points": {name: point},
        "nodes": {"station": {"role": "production", "terms": [[1, name]], "profile": "own-test"}},
        "profiles": {"own-test": profile}, "factors": [], "site": {}, "disclosure": "full",
    } | also  # fmt: skip


@dataclass
class Accounted:
    """A gateway, what it has recorded, and what its books hold. ``files``: its batches so far; ``began_ms``: about when
    it was started."""

    folder: Path
    began_ms: int = BEGIN_MS
    gateway: Gateway = field(init=False)
    files: list[Path] = field(default_factory=list)
    rows: list[bytes] = field(default_factory=list)
    ids: list[bytes] = field(default_factory=list)
    all: list[bytes] = field(default_factory=list)
    plan: bytes = b""
    register: int = 1000
    unit: str = "kWh"
    beside: tuple[str, ...] = ()
    """Further registers of the meter, which gain as much."""

    def __post_init__(self) -> None:
        self.gateway = Gateway(self.folder, periods_ms={METER: EVERY_MS})
        self.gateway.clock.now_ms = (self.began_ms // QUARTER_MS + 1) * QUARTER_MS - 60_000
        self.rows += self.gateway.start()

    @property
    def from_ms(self) -> int:
        """The first edge behind its start."""
        return (self.gateway.clock.now_ms // QUARTER_MS + 1) * QUARTER_MS

    def publish(self, fields: Mapping[str, Any]) -> bytes:
        """An event ``plan``; its record hash."""
        self.plan = self.event("plan", **fields)
        return self.plan

    def event(self, name: str, **fields: Any) -> bytes:
        """Any event of the gateway; its record hash."""
        data = self.gateway.event(name, **fields)
        self.rows.append(data)
        return record_hash(data)

    def polls(self, count: int, *, answered: bool = True, quality: int = 0) -> None:
        """``count`` polls; the register gains 1 kWh with each."""
        gateway, chain = self.gateway, self.gateway.chains[METER]
        for _ in range(count):
            due_ms = gateway.clock.now_ms
            gateway.clock.passes(20)
            self.register += 1
            if answered:
                chain.since += 1
                names = ("energy", *self.beside)
                values = tuple(Value(name, self.register % 100_000, self.unit, quality) for name in names)
                self.rows.append(chain.add(Reading(gateway.clock.now_ms, values)))
            else:
                chain.miss()
            chain.due_ms = due_ms + 1
            gateway.clock.passes(EVERY_MS - 20)

    def seal(self) -> Path:
        """Close a batch."""
        self.rows += self.gateway.cut()
        path = self.gateway.write(self.rows)
        self.files.append(path)
        assert self.gateway.prev is not None
        self.ids.append(self.gateway.prev)
        self.all += self.rows
        self.rows = []
        return path

    def believed(self, given: list[Entry]) -> list[Entry]:
        """Of the entries those that its owner counts: all, as they are, of one who is honest."""
        return given

    def state(self, from_ms: int, to_ms: int, batches: tuple[int, int], **choice: Any) -> tuple[Statement, Path]:
        """State a period of sealed batches, sign its event, and write its rows file; the batch is not sealed yet."""
        plan_record = next(data for data in self.all if record_hash(data) == self.plan)
        record = parse_record(plan_record)
        assert isinstance(record.body, Event)
        paths = self.files[batches[0] : batches[1] + 1]
        given = [entry for path in paths for entry in entries(path)]
        books = Books(parse_plan(record.body.fields), self.believed(given))
        for path in paths:
            feed(books, path)
        first, last = ((number, self.ids[number]) for number in batches)
        chosen = Choice(self.plan, record.claims.iat * 1000, from_ms, to_ms, (first, last), **choice)
        statement = state(books, chosen, SECRET)
        self.event("period", **{**statement.fields, "entries": [entry.record for entry in given]})
        path = self.folder / f"{from_ms}.mrows"
        path.write_bytes(Rows(SECRET, statement.rows).encode())
        return statement, path


def entries(path: Path) -> list[Entry]:
    """The entries of a batch file."""
    records = [(parse_record(data), record_hash(data)) for data in BatchFile.open(path).records()]
    named = [(r.body.fields, hashed) for r, hashed in records if isinstance(r.body, Event) and r.body.name == "entry"]
    return [read_entry(fields, hashed) for fields, hashed in named]


def feed(books: Books, path: Path) -> None:
    """What a batch file says, into books."""
    for data in BatchFile.open(path).records():
        record, hashed = parse_record(data), record_hash(data)
        meter, body = record.claims.meter, record.body
        if isinstance(body, Reading):
            books.reading(meter, record.claims.clock, body, hashed)
        elif isinstance(body, Coverage):
            books.coverage(meter, body)
        else:
            books.event(meter, body)
