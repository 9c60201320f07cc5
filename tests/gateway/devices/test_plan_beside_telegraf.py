"""Our plans beside those of Telegraf's `max_insert`, by its rule: never more time on the bus, over TCP never more
requests."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.devices.points import Point
from gateway.devices.profile import load_profile
from gateway.devices.read_plan import Limits, plan, wire_time_ms
from gateway.devices.register_block import RegisterBlock
from tests.gateway.devices.test_read_plan import cost, layouts, profile
from tests.support.register_points import as_found, of_registers, register_point

FILL = 50
"""Telegraf's default for optimization_max_register_fill."""


def max_insert(points: Sequence[Point], fill: int, longest: int) -> list[tuple[int, int, int]]:
    """(function, address, count) of each request: sorted by address, the longer field first, then in one pass joined as
    long as the hole is at most ``fill`` and the request at most ``longest``."""
    requests: list[tuple[int, int, int]] = []
    for fc in sorted({p.fc for p in points}):
        first, end = -1, -1
        for point in sorted((p for p in points if p.fc == fc), key=lambda p: (p.address, -p.registers)):
            reach = max(end, point.end)
            if first >= 0 and point.address - end <= fill and reach - first <= longest:
                end = reach
                continue
            if first >= 0:
                requests.append((fc, first, end - first))
            first, end = point.address, point.end
        requests.append((fc, first, end - first))
    return requests


def test_the_rule_by_example() -> None:
    device = profile([register_point(f"p{a}", 3, a, "uint16", 1, unit="W") for a in (0, 51, 103, 104, 126, 300)])
    assert max_insert(device.points, FILL, 125) == [(3, 0, 52), (3, 103, 24), (3, 300, 1)]
    assert max_insert(device.points, 0, 125) == [(3, a, n) for a, n in ((0, 1), (51, 1), (103, 2), (126, 1), (300, 1))]
    assert max_insert(device.points[2:5], FILL, 20) == [(3, 103, 2), (3, 126, 1)]


def as_blocks(requests: Sequence[tuple[int, int, int]]) -> list[RegisterBlock]:
    return [RegisterBlock.over(fc, address, count, ()) for fc, address, count in requests]


lines = st.sampled_from([(9600, 10, 20.0), (9600, 11, 150.0), (2400, 11, 20.0), (115200, 10, 5.0)])
"""Baud rate, bits a character, what the device needs in ms."""


@settings(max_examples=300)
@given(layouts(40), st.sampled_from([0, 2, 10, 50, 125]), st.sampled_from([8, 20, 60, 125]), lines)
def test_on_a_serial_line_no_plan_of_max_insert_is_quicker(
    points: list[Point], gap: int, longest: int, wire: tuple[int, int, float]
) -> None:
    device = profile(points, max_gap=gap, max_registers=longest)
    baudrate, bits, latency_ms = wire
    empty_ms, one_ms = wire_time_ms(0, baudrate, bits), 2 * bits * 1000 / baudrate
    limits = Limits.of(device, request_cost=empty_ms + latency_ms, register_cost=one_ms)
    theirs = as_blocks(max_insert(points, min(FILL, gap), longest))
    ours = plan(points, limits)
    assert cost(ours, limits) <= cost(theirs, limits) + 1e-6
    on_the_wire = [sum(wire_time_ms(b.count, baudrate, bits) + latency_ms for b in reads) for reads in (ours, theirs)]
    assert on_the_wire[0] <= on_the_wire[1] + 1e-6


@settings(max_examples=300)
@given(layouts(40), st.sampled_from([0, 2, 10, 50, 125]), st.sampled_from([8, 20, 60, 125]))
def test_over_tcp_no_plan_of_max_insert_has_fewer_requests(points: list[Point], gap: int, longest: int) -> None:
    device = profile(points, max_gap=gap, max_registers=longest)
    ours = plan(points, Limits.over_tcp(device))
    theirs = max_insert(points, min(FILL, gap), longest)
    assert len(ours) <= len(theirs)
    if len(ours) == len(theirs):
        assert sum(b.count for b in ours) <= sum(count for _, _, count in theirs)


def test_a_device_full_of_wide_holes_is_still_read_in_the_fewest_requests() -> None:
    """Twelve stretches, each a full read with two wide holes in it: cutting at a hole saves registers, not requests."""
    addresses = [a for n in range(12) for a in (*range(n * 300, n * 300 + 24), n * 300 + 74, n * 300 + 124)]
    device = profile([register_point(f"p{a}", 3, a, "uint16", 1, unit="W") for a in addresses], max_gap=FILL)
    assert len(plan(device.points, Limits.over_tcp(device))) == 12 == len(max_insert(device.points, FILL, 125))


@pytest.mark.parametrize("name", of_registers())
@pytest.mark.parametrize("every", [False, True], ids=["selected", "all"])
def test_the_catalog(name: str, every: bool) -> None:
    device = load_profile(name)
    device = replace(as_found(device), readable=())
    points = device.points if every else device.select()
    theirs = as_blocks(max_insert(points, min(FILL, device.max_gap), device.max_registers))
    limits = Limits.of(device, request_cost=wire_time_ms(0, 9600, 10) + 20 + device.pause_ms, register_cost=2.083)
    assert cost(plan(points, limits), limits) <= cost(theirs, limits) + 1e-6
    assert len(plan(points, Limits.over_tcp(device))) <= len(theirs)
