"""Registers at edges and the rows between them: statuses, breaks, and that no Wh of a total is lost (I1–I8)."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_client.accounting.counters import Line, jumps_of, node_rows
from ledger_client.accounting.formats.entries import Registers
from ledger_client.accounting.formats.plan import Plan, parse_plan
from ledger_client.accounting.formats.rows import Row
from ledger_client.accounting.registers import Register
from ledger_client.formats.checks import MAX_TIME_MS
from ledger_client.formats.senml import Quality
from tests.ledger_client.accounting.plans import HOUR, MINUTE, T0, counter, plan_fields

FLAGS = [0] * 5 + [Quality.ROLLOVER, Quality.COUNTER_RESET, Quality.CLOCK_UNSYNC, Quality.STALE]
Look = tuple[int, int | float | None, int]
"""ms since T0, register in its unit, quality."""


def stated(
    looks: Sequence[Look],
    plan: Plan | None = None,
    entries: Sequence[Registers] = (),
    hours: int = 3,
    sync: bool = True,
) -> tuple[Register, list[Row]]:
    plan = plan or parse_plan(plan_fields())
    (node,) = plan.nodes.values()
    point = plan.points["export/energy"]
    register = Register.of(plan, point, node.regime)
    for n, (ms, number, quality) in enumerate(looks):
        register.observe(T0 + ms, number, quality, point.unit_name, sync, n.to_bytes(32, "big"))
    found = node_rows(
        plan, node, [Line(1, register, jumps_of(register, entries))], T0, T0 + hours * HOUR,
        first=True, plan_ms=0, closed_ms=MAX_TIME_MS,
    )  # fmt: skip
    return register, found.rows


def every(step: int, hours: int, pace: int = 1) -> list[Look]:
    """Looks every ``step`` ms, of a register that gains ``pace`` a minute."""
    return [(ms, 1000 + pace * ms // MINUTE, 0) for ms in range(0, hours * HOUR + step + 1, step)]


def of(rows: Sequence[Row]) -> list[tuple[str, int | None]]:
    return [(row.status, row.amount) for row in rows]


def test_looks_on_the_edges_measure() -> None:
    _, rows = stated(every(HOUR // 4, 3))
    assert of(rows) == [("measured", 60_000_000)] * 3


@pytest.mark.parametrize(("step", "status"), [(17_000, "measured"), (19_000, "split"), (700_000, "split")])
def test_gaps_at_the_edges_decide(step: int, status: str) -> None:
    plan = parse_plan(plan_fields(points={"export/energy": counter(sample=step)}))
    _, rows = stated([(ms + 1, number, q) for ms, number, q in every(step, 3)], plan)
    assert {row.status for row in rows} == {status}


@pytest.mark.parametrize(("gap", "known"), [(900_000, True), (900_001, False)])
def test_an_edge_is_known_within_one_and_a_half_samples(gap: int, known: bool) -> None:
    """Read every 10 minutes; the two looks around the first hour's end are as far apart as is said."""
    plan = parse_plan(plan_fields(points={"export/energy": counter(sample=600_000)}))
    times = (0, 30 * MINUTE, 50 * MINUTE, 50 * MINUTE + gap, 90 * MINUTE, 2 * HOUR)
    _, rows = stated([(ms, 1000, 0) for ms in times], plan, hours=2)
    assert [row.to_ms - row.from_ms for row in rows] == ([HOUR, HOUR] if known else [2 * HOUR])


def test_a_clock_that_was_set_tells_no_edge_before_it() -> None:
    looks = every(10_000, 2)
    looks = [(ms + 1, n, int(Quality.CLOCK_STEP) if ms == HOUR else 0) for ms, n, _ in [(-10_000, 999, 0), *looks]]
    _, rows = stated(looks, hours=2)
    assert [row.to_ms - row.from_ms for row in rows] == [2 * HOUR]


def test_an_edge_without_looks_joins_its_hours() -> None:
    looks = [look for look in every(10_000, 4) if not 50 * MINUTE < look[0] < 70 * MINUTE]
    _, rows = stated(looks, hours=4)
    assert of(rows) == [("unallocated", 120_000_000), ("measured", 60_000_000), ("measured", 60_000_000)]
    assert rows[0].to_ms - rows[0].from_ms == 2 * HOUR


def test_a_hole_inside_an_hour_changes_nothing() -> None:
    looks = [look for look in every(10_000, 3) if not 20 * MINUTE < look[0] < 30 * MINUTE]
    assert of(stated(looks)[1]) == [("measured", 60_000_000)] * 3


def test_a_register_goes_round() -> None:
    plan = parse_plan(plan_fields(points={"export/energy": counter(wraps_at=10_000)}))
    looks = [(ms, (9_970 + ms // MINUTE) % 10_000, 0) for ms in range(0, 3 * HOUR + 1, 10_000)]
    looks = [(ms, n, int(Quality.ROLLOVER) if ms == 30 * MINUTE else 0) for ms, n, _ in looks]
    _, rows = stated(looks, plan)
    assert of(rows) == [("measured", 60_000_000)] * 3
    assert rows[0].facts["jumps"][0][1] == "wrap"


def test_a_wrap_that_would_hide_a_reset_is_unknown() -> None:
    plan = parse_plan(plan_fields(points={"export/energy": counter(wraps_at=10_000)}))
    looks = [(0, 5000, 0), (30 * MINUTE, 0, int(Quality.ROLLOVER)), (HOUR, 30, 0)]
    _, rows = stated(looks, plan, hours=1)
    assert of(rows) == [("unknown", 30_000_000)]


@pytest.mark.parametrize(("wraps_at", "jump"), [(11_001, "wrap"), (11_000, "unknown")])
def test_a_register_that_may_have_gone_round_twice_is_unknown(wraps_at: int, jump: str) -> None:
    """Nobody looks for ten hours, in which it counts at most 11,000 kWh: 1.1 × `max` × time."""
    plan = parse_plan(plan_fields(points={"export/energy": counter(wraps_at=wraps_at)}))
    looks = [(0, wraps_at - 10, 0), (10 * HOUR, 15, int(Quality.ROLLOVER)), (11 * HOUR, 20, 0)]
    register, rows = stated(looks, plan, hours=11)
    assert [broken.wrap for broken in register.breaks] == [wraps_at * 1_000_000 if jump == "wrap" else None]
    assert [(row.facts["jumps"][0][1], row.amount) for row in rows if "jumps" in row.facts] == [
        (jump, 25_000_000 if jump == "wrap" else 0)
    ]


def test_a_fall_without_an_entry_is_unknown_and_counts_nothing() -> None:
    _, rows = stated([(0, 5000, 0), (30 * MINUTE, 10, 0), (HOUR, 40, 0)], hours=1)
    assert of(rows) == [("unknown", 30_000_000)]


def test_an_exchange_with_its_registers_is_bridged() -> None:
    entry = Registers(T0 + 20 * MINUTE, 5_020_000_000 // 1, 3_000_000, b"e" * 32)
    looks = [(0, 5000, 0), (30 * MINUTE, 13, int(Quality.METER_EXCHANGED)), (HOUR, 40, 0)]
    _, rows = stated(looks, entries=[entry], hours=1)
    assert of(rows) == [("bridged", (20 + 37) * 1_000_000)]


def test_an_unsynchronised_look_tells_no_edge() -> None:
    plan = parse_plan(plan_fields())
    _, rows = stated(every(HOUR // 4, 3), plan, sync=False)
    assert rows == []


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from(["J", "Wh", "kWh"]),
    st.lists(
        st.tuples(
            st.integers(1, 40), st.integers(0, 90), st.booleans(),
            st.sampled_from(FLAGS),
        ),
        min_size=2, max_size=60,
    ),
)  # fmt: skip
def test_nothing_of_the_total_is_lost(unit: str, steps: list[tuple[int, int, bool, int]]) -> None:
    """I8: Σ rows = R(last edge) − R(first) + Σ jumps, whatever happened between."""
    plan = parse_plan(plan_fields(points={"export/energy": counter(unit, sample=600_000, wraps_at=5000)}))
    ms, number, looks = 0, 100, list[Look]()
    for minutes, rise, falls, quality in steps:
        ms += minutes * 5 * MINUTE
        number = max(0, number - rise * 40) if falls else (number + rise) % 5000
        looks.append((ms, number + (0.25 if rise % 3 else 0), int(quality)))
    register, rows = stated(looks, plan, hours=ms // HOUR + 1)
    if not rows:
        return
    first, last = rows[0].from_ms // HOUR, rows[-1].to_ms // HOUR
    line = register.edges[last].value - register.edges[first].value
    jumps = sum(j.amount for j in jumps_of(register, ()) if rows[0].from_ms < j.time_ms <= rows[-1].to_ms)
    assert sum(row.amount or 0 for row in rows) == line + jumps
    assert all(a.to_ms == b.from_ms for a, b in pairwise(rows))
    assert Fraction(rows[0].amount or 0).denominator == 1
