"""Rules where they are easily missed: entries, configurations announced again, closures, gases that are none."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from random import Random
from typing import Any

import pytest

from ledger_client.accounting.books import Books, too_dense
from ledger_client.accounting.formats.entries import Entry, parse_entry
from ledger_client.accounting.formats.plan import HOUR_MS, QUARTER_MS, parse_plan
from ledger_client.accounting.formats.refusal import AccountingError
from ledger_client.accounting.formats.regimes import parse_regime
from ledger_client.accounting.formats.rows import Row, parse_row
from ledger_client.accounting.statement import Choice, state
from ledger_client.accounting.substitution import Times, silences, substitutes
from ledger_client.formats.record import Coverage, Event, Reading, Value
from tests.ledger_client.accounting.plans import HOUR, T0, counter, node, plan_fields
from tests.ledger_client.accounting.stacks import NORMAL, stack_fields, stack_node
from tests.oracle.comparison import compare
from tests.oracle.histories import stack

POINT = "export/energy"


def entry(record: bytes, **also: Any) -> Entry:
    fields = {"kind": "register", "of": POINT, "from": T0, "to": T0, "reason": "r", "user": "u", "unit": "kWh"}
    return parse_entry({**fields, "values": {"final": 9, "initial": 0}, **also}, record)


def configured(**meter: Any) -> Event:
    return Event("configuration", {"meters": {"export": {"profile-hash": b"p" * 32, **meter}}})


@pytest.mark.parametrize(
    ("configurations", "breaks"),
    [
        ([{"ratios": {"ct": "200/5"}}, {}, {}, {}], 1),
        ([{"identity": "A"}, {}, {"identity": "A"}], 0),
        ([{"identity": "A"}, {}, {"identity": "B"}], 1),
        ([{}, {"identity": "A"}, {}], 0),
    ],
)
def test_a_configuration_breaks_the_line_once(configurations: list[Mapping[str, Any]], breaks: int) -> None:
    books = Books(parse_plan(plan_fields()))
    for n, meter in enumerate(configurations):
        books.event("gateway", configured(**meter))
        books.reading("export", "S", Reading(T0 + n, (Value("energy", n, "kWh"),)), bytes([n]))
    assert len(books.registers[POINT, "strict"].breaks) == breaks


def test_a_product_names_the_looks_at_its_ends() -> None:
    factor = {
        "series": "grid", "id": "2026", "kind": "average", "value": "0.5", "unit": "kg/kWh", "region": "CN",
        "vintage": 2026, "published": "2026-01-01", "document": "test", "confirmed": False,
    }  # fmt: skip
    grid = node("emission", POINT, method="electricity", factor="grid", factor_rule="fixed")
    books = Books(parse_plan(plan_fields(nodes={"grid": grid}, factors=[factor])))
    for n, ms in enumerate(range(-4_000, 4 * HOUR, 8_000)):
        books.reading("export", "S", Reading(T0 + ms, (Value("energy", n, "kWh"),)), n.to_bytes(32, "big"))
    books.coverage("export", Coverage(T0, T0 + 4 * HOUR, 1800, 1800, {}))
    found = state(books, Choice(b"", 0, T0, T0 + 3 * HOUR, ((0, b""), (1, b""))), bytes(32))
    (row,) = map(parse_row, found.rows)
    ((_, _, _, looks),) = row.facts["edges"]
    assert looks == [n.to_bytes(32, "big") for n in (0, 1, 1350, 1351)]


def test_a_closed_node_waits_for_no_coverage() -> None:
    closed = entry(b"c" * 32, kind="closure", of="station", values={}, to=T0)
    choice = Choice(b"", 0, T0, T0 + HOUR, ((0, b""), (1, b"")))
    assert state(Books(parse_plan(plan_fields()), [closed]), choice, bytes(32)).fields["complete"]
    with pytest.raises(AccountingError, match="T2"):
        state(Books(parse_plan(plan_fields())), choice, bytes(32))


@pytest.mark.parametrize(("due", "found"), [(60, 0), (61, 1), (120, 1)])
def test_polls_that_are_denser_than_the_plan_says_are_found(due: int, found: int) -> None:
    """Who polls twice as often and leaves the bad ones out has enough valid ones, and says so in his coverage."""
    plan = parse_plan(stack(Random(1)).plan)
    least = min(point.sample_ms for point in plan.points.values())
    books = Books(plan)
    books.coverage("stack", Coverage(T0, T0 + 60 * least, due, due // 2, {"timeout": due - due // 2}))
    assert too_dense(books.capture(T0, T0 + HOUR_MS)) == found


@pytest.mark.parametrize("terms", [[[1.0, POINT]], [[True, POINT]], [[1, {}]], [[1, POINT], [-1, POINT]], [[2, POINT]]])
def test_terms_are_whole_signs_and_points_once(terms: list[Any]) -> None:
    """A sign of 1.0 would make every sum of the node a binary fraction."""
    station = {**node("production", POINT), "terms": terms}
    with pytest.raises(AccountingError, match="P4"):
        parse_plan(plan_fields(nodes={"station": station}))


def test_a_register_beyond_64_bits_is_refused() -> None:
    books = Books(parse_plan(plan_fields()))
    for n in range(3):
        books.reading("export", "S", Reading(T0 + n * HOUR, (Value("energy", 10**30 + n, "kWh"),)), bytes([n]) * 32)
    books.coverage("export", Coverage(T0, T0 + 4 * HOUR, 1, 1, {}))
    with pytest.raises(AccountingError, match="N5"):
        state(books, Choice(b"", 0, T0, T0 + HOUR, ((0, b""), (1, b""))), bytes(32))


def test_an_hour_between_two_thresholds_counts_for_one_regime() -> None:
    """46 minutes of 60: enough of 45 minutes, not of 80 %."""
    fields = stack(Random(1)).plan
    base = {"version": "1", "edge": Decimal("0.01"), "accept": [], "density": Decimal("1.977")}
    fields |= {"interval": 3600, "from": T0, "civil": 0}
    fields["profiles"] = {
        "cn": {**base, "validity": "minutes", "minutes": 45},
        "eu": {**base, "validity": "share", "share": Decimal("0.8")},
    }
    stack_node = dict(fields["nodes"]["stack"])
    stack_node.pop("operating", None)
    stack_node.pop("threshold", None)
    fields["nodes"] = {name: {**stack_node, "profile": name} for name in ("cn", "eu")}
    for point in fields["points"].values():
        point["sample"] = 60_000
        point.pop("range", None)
    books = Books(parse_plan(fields))
    for minute in range(46):
        values = tuple(
            Value(name.partition("/")[2], Decimal("0.1"), point["unit"]) for name, point in fields["points"].items()
        )
        books.reading("stack", "S", Reading(T0 + minute * 60_000, values), b"h" * 32)
    books.coverage("stack", Coverage(T0, T0 + HOUR, 46, 46, {}))
    found = state(books, Choice(b"", 0, T0, T0 + HOUR, ((0, b""), (1, b""))), bytes(32))
    assert [(row.node, row.status) for row in map(parse_row, found.rows)] == [("cn", "valid"), ("eu", "missing")]


@pytest.mark.parametrize(("idle", "analyser", "found"), [(0, False, 2), (0, True, 0), (1, False, 0)])
def test_a_fuel_that_counts_while_its_stack_is_stopped_is_found(idle: int, analyser: bool, found: int) -> None:
    """Three hours with a signal at ``idle``; the coal counts in the last two of them."""
    fields = stack_fields()
    fields["points"]["coal/mass"] = counter("kg", max=10**6)
    stack_of = stack_node("EU-MRR", operating="stack/run", threshold=1)
    burns = {**node("emission", "coal/mass"), "method": "fuel", "compare": "stack", "profile": "EU-MRR"}
    fields["nodes"] = {"boiler": burns | {"defaults": {"NCV": 20, "CC": 26}}, "stack": stack_of}
    books = Books(parse_plan(fields))
    gas = {**NORMAL, "run": idle} if analyser else {"run": idle}
    values = tuple(Value(name, value, fields["points"][f"stack/{name}"]["unit"]) for name, value in gas.items())
    for ms in range(0, 3 * HOUR + 60_000, 10_000):
        books.reading("stack", "S", Reading(T0 + ms, values), b"h" * 32)
        books.reading("coal", "S", Reading(T0 + ms, (Value("mass", max(ms - HOUR, 0) // 10_000, "kg"),)), b"c" * 32)
    for meter in ("stack", "coal"):
        books.coverage(meter, Coverage(T0, T0 + 4 * HOUR, 1440, 1440, {}))
    made = state(books, Choice(b"", 0, T0, T0 + 3 * HOUR, ((0, b""), (1, b""))), bytes(32))
    assert made.fields["findings"].get("stopped-but-emitting", 0) == found


def test_a_profile_by_minutes_needs_no_share() -> None:
    fields = {"version": "1", "edge": Decimal("0.01"), "accept": [], "validity": "minutes", "minutes": 45}
    assert parse_regime("p", fields).minutes == 45


def missing(at: int, length: int, **facts: Any) -> Row:
    return Row("stack", at, at + length, "missing", None, {"inputs": [], "method": "cems", **facts})


def test_a_gap_of_more_than_a_day_needs_the_longer_population() -> None:
    history = stack(Random(1))
    profile = {**history.plan["profiles"]["p"], "substitution": "CN-HJ75"}
    plan = parse_plan({**history.plan, "profiles": {"p": profile}})
    times = Times((0, 2 * T0), (0, 2 * T0))

    def valid(n: int) -> Row:
        return Row("stack", T0 + n * QUARTER_MS, T0 + (n + 1) * QUARTER_MS, "valid", 5, {})

    for quarters, found in ((96, 96), (97, 0)):
        gap = [missing(T0 + n * QUARTER_MS, QUARTER_MS) for n in range(quarters)]
        rows = [*gap, *map(valid, range(quarters, 1000 + quarters))]
        history_rows = [*map(valid, range(-300, 0))]
        made = substitutes(plan, plan.nodes["stack"], rows, history_rows, [], times, rows[-1].to_ms)
        assert len(made) == found


def test_a_manual_row_of_the_time_before_the_plan_is_marked() -> None:
    plan = parse_plan(stack(Random(1)).plan)
    row = missing(T0, HOUR_MS, retrospective=True)
    times = Times((0, 2 * T0), (0, 2 * T0))
    value = entry(b"v", kind="value", of="stack", to=T0 + HOUR_MS, values={"value": 3}, unit="kg")
    (made,) = substitutes(plan, plan.nodes["stack"], [row], [], [value], times, T0 + HOUR_MS)
    assert (made.status, made.amount, made.facts) == ("manual", 3000, {"method": "entry", "retrospective": True})


def test_a_silence_is_told_in_the_statement_in_which_it_passes() -> None:
    rows = [missing(T0 + n * HOUR_MS, HOUR_MS) for n in range(130)]
    assert silences(rows[:100], []) == 0
    assert silences(rows[100:], rows[:100]) == 1
    assert silences(rows[125:], rows[:125]) == 0


def test_a_mean_at_absolute_zero_is_of_no_gas() -> None:
    """A row is missing; nothing is divided by 0."""
    history = stack(Random(3))
    unit = history.plan["points"]["stack/t"]["unit"]
    history.plan["points"]["stack/t"].pop("range", None)
    cold = Decimal("-273.15") if unit == "Cel" else 0

    def cooled(body: Reading) -> Reading:
        return Reading(body.time_ms, tuple(v._replace(value=cold) if v.name == "t" else v for v in body.values))

    history.records = [
        t._replace(body=cooled(t.body)) if isinstance(t.body, Reading) else t
        for t in history.records
        if not (isinstance(t.body, Event) and t.body.fields.get("kind") == "calibration")
    ]
    assert {row.status for row in compare(history).oracle.plain} <= {"missing", "stopped", "manual", "substituted"}
