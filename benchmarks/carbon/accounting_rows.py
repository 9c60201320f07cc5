"""A year of a site by its hours, from decoded looks to the tree of each month: rows a second, and the memory it takes.

A process of its own: METERS MONTHS. Every meter is a node, and is read every quarter of an hour, beside the edges, so
that each row has two registers between two looks each. What makes the looks is not timed; the rest is, in seconds of
one core, with the collector of garbage as the commands have it.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from decimal import Decimal
from hashlib import sha256

from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.civil_time import month_ms
from ledger_client.accounting.formats.plan import Plan, parse_plan
from ledger_client.accounting.statement import Choice, state
from ledger_client.collector import seldom
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Reading, Value
from tests.ledger_client.accounting.plans import HOUR, QUARTER, counter, node, plan_fields
from tests.support.gateways.weight import peak_mb

YEAR, CIVIL_MIN = 2026, 480
BATCHES = (0, b"first"), (1, b"last")
SECRET = bytes(range(32))
Look = tuple[str, Reading, bytes]


def run(meters: int, months: int) -> dict[str, object]:
    """In a process of its own."""
    command = [sys.executable, "-m", "benchmarks.carbon.accounting_rows", str(meters), str(months)]
    found: dict[str, object] = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
    return found


def plan_of(meters: int) -> Plan:
    """A node for each meter."""
    names = [f"meter-{n:03}" for n in range(meters)]
    return parse_plan(plan_fields(
        points={f"{name}/energy": counter(sample=QUARTER) for name in names},
        nodes={f"station-{name}": node("production", f"{name}/energy") for name in names},
        civil=CIVIL_MIN,
        **{"from": month_ms(YEAR, 1, CIVIL_MIN)},
    ))  # fmt: skip


def looks(plan: Plan, from_ms: int, to_ms: int) -> Iterator[list[Look]]:
    """Looks of all meters from before a time to behind another, by quarters."""
    meters = sorted(plan.meters)
    for begin_ms in range(from_ms - QUARTER, to_ms + QUARTER, QUARTER):
        shown = begin_ms // QUARTER * 25
        yield [
            (meter, _reading(begin_ms + 1234 + 7 * n, shown + n), sha256(f"{begin_ms} {meter}".encode()).digest())
            for n, meter in enumerate(meters)
        ]


def _reading(time_ms: int, shown: int) -> Reading:
    return Reading(time_ms, (Value("energy", Decimal(shown).scaleb(-1), "kWh"),))


def measure(meters: int, months: int) -> dict[str, object]:
    """The statement of each month, made of books of its own as from its batches."""
    plan, spent_s, rows, looked = plan_of(meters), 0.0, 0, 0
    before: bytes | None = None
    for month in range(1, months + 1):
        from_ms, to_ms = month_ms(YEAR, month, CIVIL_MIN), month_ms(YEAR, month + 1, CIVIL_MIN)
        books = Books(plan)
        for portion in looks(plan, from_ms, to_ms):
            begin = time.process_time()
            for meter, reading, record in portion:
                books.reading(meter, "S", reading, record)
            spent_s += time.process_time() - begin
            looked += len(portion)
        begin = time.process_time()
        for begin_ms in range(from_ms, to_ms + HOUR, HOUR):
            for meter in plan.meters:
                books.coverage(meter, Coverage(begin_ms, begin_ms + HOUR, 4, 4, {}))
        choice = Choice(b"plan", 0, from_ms, to_ms, BATCHES, before)
        statement = state(books, choice, SECRET)
        spent_s += time.process_time() - begin
        assert statement.fields["complete"]
        rows, before = rows + len(statement.rows), b"statement"
    return {
        "intervals": rows, "intervals_s": spent_s, "intervals_per_s": rows / spent_s, "looks": looked,
        "peak_mb": peak_mb(),
    }  # fmt: skip


if __name__ == "__main__":
    with seldom():
        print(json.dumps(measure(*map(int, sys.argv[1:]))))
