"""Nodes of a site together: what falls below zero, what balances, what is implausible, what a statement shows; numbers
as they are; and polls that are missed at the ends of an hour."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

import pytest

from ledger_client.accounting.books import Books
from ledger_client.accounting.formats.plan import parse_plan
from ledger_client.accounting.formats.rows import Row, mantissa, parse_row, tree
from ledger_client.accounting.statement import Choice, Statement, state
from ledger_client.formats.record import Coverage, Reading, Value
from tests.ledger_client.accounting.plans import HOUR, MINUTE, T0, counter, node, plan_fields

BATCHES = ((0, b"0" * 32), (0, b"0" * 32))
SECRET = bytes(range(32))
POINT = "export/energy"


def stated(
    registers: Mapping[str, Callable[[int], float | Decimal]],
    hours: int = 2,
    polled: Callable[[int], bool] = lambda ms: True,
    **plan: Any,
) -> Statement:
    """Registers by point as functions of ms since T0, read every 10 s, 4 s behind each full one, where ``polled``."""
    books = Books(parse_plan(plan_fields(**plan)))
    for ms in range(-10_000, hours * HOUR + MINUTE, 10_000):
        if polled(ms):
            for number, (point, register) in enumerate(registers.items()):
                meter, _, name = point.partition("/")
                value = Value(name, register(ms + 4_000), plan["points"][point]["unit"] if "points" in plan else "kWh")
                record = number.to_bytes(2, "big") + (ms + HOUR).to_bytes(30, "big")
                books.reading(meter, "S", Reading(T0 + ms + 4_000, (value,)), record)
    for point in registers:
        books.coverage(point.partition("/")[0], Coverage(T0, T0 + hours * HOUR + MINUTE, 1, 1, {}))
    return state(books, Choice(b"p" * 32, 0, T0, T0 + hours * HOUR, BATCHES), SECRET)


def rows(statement: Statement, name: str = "station") -> list[Row]:
    return [row for row in map(parse_row, statement.rows) if row.node == name]


def of(statement: Statement, name: str = "station") -> list[tuple[str, int | None]]:
    return [(row.status, row.amount) for row in rows(statement, name)]


def rising(kw: int, start: int = 1000) -> Callable[[int], Decimal]:
    """A register in kWh that gains so many kW from T0 on; ``start`` at T0."""
    return lambda ms: start + Decimal(kw * ms) / HOUR


# ---- polls that are missed


def around(*edges: int) -> Callable[[int], bool]:
    """All polls but the one before each of these times (ms since T0)."""
    return lambda ms: ms + 10_000 not in edges


@pytest.mark.parametrize(
    ("missed", "status"), [((), "measured"), ((HOUR,), "measured"), ((HOUR, 2 * HOUR), "split")]
)  # fmt: skip
def test_a_missed_poll_at_one_end_of_an_hour_leaves_it_measured(missed: tuple[int, ...], status: str) -> None:
    """At 10 s: gaps of 20 and 10 s are within 36 s, two of 20 s are not."""
    found = stated({POINT: rising(36)}, 3, around(*missed))
    assert of(found)[1] == (status, 36_000_000)


def test_ten_minutes_without_readings_inside_of_an_hour_change_nothing() -> None:
    whole = stated({POINT: rising(36)}, 2)
    holed = stated({POINT: rising(36)}, 2, lambda ms: not 20 * MINUTE <= ms < 30 * MINUTE)
    assert (holed.rows, holed.fields["rows"]) == (whole.rows, whole.fields["rows"])


def test_over_a_full_hour_both_hours_are_one_stretch() -> None:
    found = stated({POINT: rising(36)}, 3, lambda ms: not -5 * MINUTE <= ms - HOUR < 5 * MINUTE)
    assert of(found) == [("unallocated", 72_000_000), ("measured", 36_000_000)]
    assert found.fields["totals"] == [
        ["station", "measured", Decimal("36000.000")], ["station", "unallocated", Decimal("72000.000")],
    ]  # fmt: skip


# ---- numbers


@pytest.mark.parametrize(
    ("register", "unit", "milli"),
    [
        (Decimal("1000.0000005"), "kWh", 1_000_000_000), (Decimal("1000.0000015"), "kWh", 1_000_000_002),
        (Decimal("0.0000035"), "kWh", 4), (0.0000035, "kWh", 3), (2**53 + 1, "Wh", (2**53 + 1) * 1000), (5, "J", 1),
        (9, "J", 2),
    ],
)  # fmt: skip
def test_a_register_is_taken_exactly_and_rounded_once(register: Any, unit: str, milli: int) -> None:
    """Half to even in thousandths of a Wh; a float is what it is in binary, an integer has all of its digits."""
    found = stated({POINT: lambda _: register}, 1, points={POINT: counter(unit)})
    assert mantissa(rows(found)[0].facts["edges"][0][1]) == milli


# ---- nodes together

LINE = {"grid/import": counter(), "grid/export": counter()}


def test_what_falls_below_zero_goes_to_the_node_below() -> None:
    """Takes 30 kW up to the last reading of the first hour, gives 18 kW from the first one of the second on."""
    nodes = {
        "load": node("consumption", "grid/import", "-grid/export", below="feed"),
        "feed": node("export"),
    }
    registers = {
        "grid/import": lambda ms: Decimal(1000) + Decimal(30 * min(ms, HOUR - 6_000)) / HOUR,
        "grid/export": lambda ms: Decimal(1000) + Decimal(18 * max(0, ms - HOUR - 4_000)) / HOUR,
    }
    found = stated(registers, 2, points=LINE, nodes=nodes)
    assert of(found, "load") == [("measured", 29_950_000), ("measured", 0)]
    assert of(found, "feed") == [("measured", 0), ("measured", 17_980_000)]
    assert [row.facts.get("reason") for row in rows(found, "load")] == [None, "below"]
    assert [row.facts for row in rows(found, "feed")] == [row.facts for row in rows(found, "load")]


def test_without_a_node_below_a_negative_amount_stays_and_is_implausible() -> None:
    nodes = {"load": node("consumption", "grid/import", "-grid/export")}
    found = stated({"grid/import": rising(1), "grid/export": rising(3)}, 1, points=LINE, nodes=nodes)
    assert of(found, "load") == [("implausible", -2_000_000)]


@pytest.mark.parametrize(
    ("most", "capacity", "kw", "status"),
    [
        (30, 10**9, 33, "measured"), (30, 10**9, 34, "implausible"),
        (1000, 30_000, 33, "measured"), (1000, 30_000, 34, "implausible"),
    ],
)  # fmt: skip
def test_more_than_a_point_or_a_node_can_is_implausible(most: int, capacity: int, kw: int, status: str) -> None:
    """From a tenth above on."""
    nodes = {"station": node("production", POINT, capacity=capacity)}
    found = stated({POINT: rising(kw)}, 1, points={POINT: counter(max=most)}, nodes=nodes)
    assert of(found) == [(status, kw * 1_000_000)]


@pytest.mark.parametrize(("used", "found"), [(100, {}), (101, {}), (102, {"unbalanced": 1})])
def test_a_site_balances_within_its_uncertainty(used: int, found: dict[str, int]) -> None:
    """100 kW come in, each meter is good to 1 %: √(1² + 1.01²) = 1.42 kWh an hour."""
    doubt: dict[str, Any] = {"u": Decimal("0.01"), "u_source": "certificate"}
    points = {"grid/import": counter(**doubt), "load/energy": counter(**doubt)}
    nodes = {"grid": node("import", "grid/import"), "load": node("consumption", "load/energy")}
    registers = {"grid/import": rising(100), "load/energy": rising(used)}
    statement = stated(registers, 1, points=points, nodes=nodes, site={"balanced": True})
    assert statement.fields["findings"] == found
    unasked = stated(registers, 1, points=points, nodes=nodes)
    assert unasked.fields["findings"] == {}


def test_the_uncertainty_of_a_sum_is_in_quadrature_and_rounded_up() -> None:
    """3 % of 100 and 4 % of 100 are 5 of 200; of a difference of the two nothing is left to divide by."""
    points = {
        "a/energy": counter(u=Decimal("0.03"), u_source="x"),
        "b/energy": counter(u=Decimal("0.04"), u_source="x"),
    }
    registers = {"a/energy": rising(100), "b/energy": rising(100)}
    both = stated(registers, 1, points=points, nodes={"sum": node("import", *points)})
    assert both.fields["totals"][-1] == ["sum", "u", Decimal("0.025000")]
    left = stated(registers, 1, points=points, nodes={"rest": node("import", "a/energy", "-b/energy")})
    assert [total[1] for total in left.fields["totals"]] == ["measured"]
    third = {"a/energy": counter(u=Decimal("0.0333333"), u_source="x")}
    one = stated({"a/energy": rising(100)}, 1, points=third, nodes={"sum": node("import", "a/energy")})
    assert one.fields["totals"][-1] == ["sum", "u", Decimal("0.033334")]


def test_a_plan_may_keep_totals_out_of_the_statement() -> None:
    shown, hidden = stated({POINT: rising(36)}), stated({POINT: rising(36)}, disclosure="root")
    assert "totals" not in hidden.fields
    assert hidden.fields["rows"] == shown.fields["rows"] == [2, tree(SECRET, shown.rows).root]
