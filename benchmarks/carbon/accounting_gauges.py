"""Values of gauges a second, from decoded readings to the statement: a stack of five gauges that is read every 10 s."""

from __future__ import annotations

import time
from decimal import Decimal

from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.statement import Choice, state
from ledger_client.formats.record import Coverage
from ledger_client.formats.senml import Number, Reading, Value
from tests.ledger_client.accounting.plans import HOUR, T0
from tests.ledger_client.accounting.stacks import STEP, UNITS, stack_fields

BATCHES = (0, b"first"), (1, b"last")


def run(days: int) -> dict[str, object]:
    """``days`` of one civil month; two of the gauges give binary floats, as registers of float32 do."""
    books, spent_s, values = Books(parse_plan(stack_fields("EU-MRR"))), 0.0, 0
    to_ms = T0 + days * 24 * HOUR
    for begin_ms in range(T0, to_ms, HOUR):
        readings = [_reading(time_ms, time_ms // STEP % 97) for time_ms in range(begin_ms, begin_ms + HOUR, STEP)]
        begin = time.perf_counter()
        for reading in readings:
            books.reading("stack", "S", reading, b"r" * 32)
        books.coverage("stack", Coverage(begin_ms, begin_ms + HOUR, HOUR // STEP, HOUR // STEP, {}))
        spent_s += time.perf_counter() - begin
        values += len(readings) * len(UNITS)
    begin = time.perf_counter()
    statement = state(books, Choice(b"plan", 0, T0, to_ms, BATCHES), bytes(32))
    spent_s += time.perf_counter() - begin
    assert [total[1] for total in statement.fields["totals"]] == ["valid"]
    return {"gauge_values": values, "gauge_values_per_s": values / spent_s}


def _reading(time_ms: int, step: int) -> Reading:
    shown: dict[str, Number] = {
        "c": 180.0 + step / 8,
        "Q": 100.0 + step / 16,
        "t": Decimal(1200 + step).scaleb(-1),
        "p": 101_000 + step,
        "w": Decimal(100 + step).scaleb(-3),
    }
    return Reading(time_ms, tuple(Value(letter, shown[letter], unit) for letter, unit in UNITS.items()))
