"""K: how many shapes a block needs, and that the plan of a meter has them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.points import Span
from gateway.devices.profile import load_profile
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.read_variants import read_plan, shapes_needed
from gateway.fieldbus.wire.dialect import ReadPlan
from gateway.fieldbus.wire.keys import KeyTable, needed
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from tests.support.register_points import registers_of


def line(profile: str, period_ms: int, kind: str = "modbus-rtu", meters: int = 1) -> LineSpec:
    found = load_profile(profile)
    specs = tuple(MeterSpec(f"m{i}", found, i + 1, period_ms, found.select()) for i in range(meters))
    return LineSpec("line", kind, specs, port="/dev/null", host="127.0.0.1")


@given(
    st.integers(100, 20_000),
    st.integers(10, 2_000),
    st.integers(50, 30_000),
    st.lists(st.floats(0, 0.249), max_size=40),
)
def test_with_k_shapes_no_poll_has_to_wait(life: int, timeout: int, period: int, lateness: list[float]) -> None:
    """Polls start a quarter of a period late, and use up their time-out; there is always a shape that is old enough."""
    k = needed(life / 1000, timeout / 1000, period / 1000)
    table, free = KeyTable(life / 1000), 0.0
    requests = [Request(1, 3, 0, 1 + i) for i in range(k)]
    for number, late in enumerate([0.0, *lateness]):
        jitter = late * period / 1000 if period < life + timeout else 0.0
        now = max(free, number * period / 1000 + jitter)
        if now >= (number + 1) * period / 1000:
            continue  # overdue: skipped
        request = table.choose(requests, now)
        assert request is not None
        free = now + timeout / 1000
        table.silent(request.key, free)


@pytest.mark.parametrize(("period", "k"), [(10_000, 1), (3_500, 1), (3_499, 2), (1_000, 4), (500, 8)])
def test_k_of_a_serial_meter(period: int, k: int) -> None:
    spec = line("eastron-sdm630", period)
    assert shapes_needed(spec, spec.meters[0]) == k


def test_every_block_of_a_meter_has_k_shapes_and_no_two_share_one() -> None:
    spec = line("eastron-sdm630", 1_000)
    meter = spec.meters[0]
    plan = read_plan(spec, meter, meter.profile, meter.points)
    shapes = [r.key for block in (*plan.blocks, *plan.identity) for r in block.questions]
    assert len(set(shapes)) == len(shapes)
    assert [len(block.questions) for block in plan.blocks] == [plan.k] * len(plan.blocks)
    wanted = {p.name for p in meter.points}
    for number in range(plan.k):
        read = {p.name for block in plan.blocks for p in block.variants[number].points}
        assert read == wanted


def shapes(plan: ReadPlan) -> list[list[tuple[int, int]]]:
    return [[r.key[1:] for r in block.again] for block in (*plan.blocks, *plan.identity)]


@pytest.mark.parametrize("period", [500, 1_000, 60_000])
def test_shapes_that_another_master_uses_are_replaced_one_after_the_other(period: int) -> None:
    """It takes the first shape of each block, again and again; K others are found every time."""
    spec = line("eastron-sdm630", period)
    meter = spec.meters[0]
    avoid: frozenset[tuple[int, int]] = frozenset()
    usual = read_plan(spec, meter, meter.profile, meter.points)
    for _ in range(5):
        avoid |= {r.key[1:] for block in read_plan(spec, meter, meter.profile, meter.points, avoid=avoid).blocks
                  for r in block.questions[:1]}  # fmt: skip
        plan = read_plan(spec, meter, meter.profile, meter.points, avoid=avoid)
        assert plan.avoid == avoid
        found = [shape for block in shapes(plan) for shape in block]
        assert len(set(found)) == len(found), "no shape twice"
        assert avoid.isdisjoint(found)
        assert all(len(block.questions) == plan.k + 1 for block in plan.blocks), "one is kept in hand"
        assert {p.name for b in plan.blocks for p in b.block.points} == {p.name for p in meter.points}
        assert all(b.again[0] not in b.questions for b in plan.blocks if b.spare)
    assert read_plan(spec, meter, meter.profile, meter.points) == usual, "a line of our own is read as ever"


def test_identity_is_read_in_another_shape_as_well_where_there_is_one() -> None:
    spec = line("eastron-sdm630", 60_000)
    meter = spec.meters[0]
    (only,) = read_plan(spec, meter, meter.profile, meter.points).identity
    avoid = frozenset({only.questions[0].key[1:]})
    assert read_plan(spec, meter, meter.profile, meter.points, avoid=avoid).identity[0].questions == only.questions, (
        "there is no other: it stands, and is not asked"
    )
    first = registers_of(only.block).address
    wider = replace(meter.profile, readable=(Span(3, first, first + 5),))
    (block,) = read_plan(spec, meter, wider, meter.points, avoid=avoid).identity
    assert block.block == only.block
    assert [registers_of(r).count for r in block.variants] == [4, 6]


def test_a_device_that_speaks_modbus_tcp_itself_needs_one_shape_and_two_units_never_do() -> None:
    spec = line("sunspec-inverter", 1_000, "modbus-tcp")
    assert shapes_needed(spec, spec.meters[0]) > 1
    direct = replace(spec, meters=(replace(spec.meters[0], profile=replace(spec.meters[0].profile, direct=True)),))
    assert shapes_needed(direct, direct.meters[0]) == 1
    two = replace(direct, meters=(direct.meters[0], replace(direct.meters[0], name="other", address=2)))
    assert shapes_needed(two, two.meters[0]) > 1
