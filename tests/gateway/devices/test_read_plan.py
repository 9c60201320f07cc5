"""Block reads: nothing split, nothing beyond the limits, the least time there is; and the shapes of a block."""

from __future__ import annotations

# not quick: plans by chance, 4 s of CPU
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.devices.points import Point, Profile, ProfileError, Span
from gateway.devices.profile import load_profile
from gateway.devices.read_plan import (
    Limits,
    bits_per_char,
    plan,
    resolve,
    resolve_profile,
    shape_sets,
    silence_ms,
    variants,
    wire_time_ms,
)
from gateway.devices.register_block import RegisterBlock
from gateway.messages.message import Message
from tests.support.register_points import of_registers, register_point


def word(address: int, registers: int = 1, fc: int = 4) -> Point:
    type_ = "string" if fc > 2 else "bit"
    return register_point(
        f"p{fc}.{address}.{registers}", fc, address, type_, registers, kind="text" if fc > 2 else "status"
    )


def profile(points: Sequence[Point], **keys: object) -> Profile:
    return Profile("test", "V", "D", "S", tuple(points), **keys)  # type: ignore[arg-type]


def names(blocks: Sequence[RegisterBlock]) -> list[str]:
    return sorted(p.name for block in blocks for p in block.points)


def cost(blocks: Sequence[RegisterBlock], limits: Limits) -> float:
    return sum(limits.cost(block.fc, block.count) for block in blocks)


@st.composite
def layouts(draw: st.DrawFn, most: int = 12) -> list[Point]:
    """Points of one or two tables, some side by side, some with holes between, some inside others."""
    points: list[Point] = []
    for fc in draw(st.sampled_from([(4,), (3, 4)])):
        address = draw(st.integers(0, 3))
        for _ in range(draw(st.integers(1, most // 2))):
            registers = draw(st.integers(1, 4))
            points.append(word(address, registers, fc))
            if draw(st.booleans()) and registers > 1:
                points.append(word(address + 1, registers - 1, fc))
            address += registers + draw(st.sampled_from([0, 0, 1, 2, 5, 30]))
    return draw(st.permutations(points))


limits_of = st.builds(
    Limits,
    max_registers=st.sampled_from([6, 7, 10, 20, 125]),
    max_gap=st.sampled_from([0, 1, 2, 5, 30]),
    request_cost=st.sampled_from([0.5, 3.0, 20.0, 130.0]),
    register_cost=st.sampled_from([0.0, 1.0, 2.1]),
    step=st.sampled_from([1, 2]),
    readable=st.sampled_from([(), (Span(4, 0, 12),), (Span(4, 5, 40), Span(3, 0, 200))]),
)


@given(layouts(), limits_of)
def test_a_plan_covers_every_point_once_and_keeps_every_limit(points: list[Point], limits: Limits) -> None:
    blocks = plan(points, limits)
    assert names(blocks) == sorted(p.name for p in points)
    for block in blocks:
        assert 1 <= block.count <= limits.max_registers
        assert block.address % limits.step == block.count % limits.step == 0
        for point, offset in zip(block.points, block.offsets, strict=True):
            assert point.fc == block.fc
            assert point.address == block.address + offset
            assert offset >= 0
            assert offset + point.registers <= block.count
        assert_no_hole_that_is_not_allowed(block, limits)


def assert_no_hole_that_is_not_allowed(block: RegisterBlock, limits: Limits) -> None:
    needed = {address for p in block.points for address in range(p.address, p.end)}
    hole: list[int] = []
    for address in range(min(needed), max(needed) + 2):
        if address not in needed:
            hole.append(address)
            continue
        inside = any(s.fc == block.fc and s.first <= hole[0] and hole[-1] <= s.last for s in limits.readable if hole)
        assert len(hole) <= limits.max_gap or inside
        hole = []


def partitions(points: list[Point]) -> Iterator[list[list[Point]]]:
    """Every way to put points into groups."""
    if not points:
        yield []
        return
    first, rest = points[0], points[1:]
    for size in range(len(rest) + 1):
        for others in combinations(rest, size):
            remaining = [p for p in rest if p not in others]
            for groups in partitions(remaining):
                yield [[first, *others], *groups]


def brute_force(points: list[Point], limits: Limits) -> float:
    """The least cost over every grouping of the points that keeps the limits."""

    def group_cost(group: list[Point]) -> float | None:
        if len({p.fc for p in group}) > 1:
            return None
        first = min(p.address for p in group) // limits.step * limits.step
        count = -(-max(p.end for p in group) // limits.step) * limits.step - first
        block = RegisterBlock.over(group[0].fc, first, count, group)
        if count > limits.max_registers:
            return None
        try:
            assert_no_hole_that_is_not_allowed(block, limits)
        except AssertionError:
            return None
        return limits.cost(block.fc, count)

    best = float("inf")
    for groups in partitions(points):
        costs = [group_cost(group) for group in groups]
        if None not in costs:
            best = min(best, sum(c for c in costs if c is not None))
    return best


@settings(max_examples=150)
@given(layouts(6), limits_of)
def test_no_grouping_of_the_points_costs_less(points: list[Point], limits: Limits) -> None:
    few = points[:7]
    assert cost(plan(few, limits), limits) == pytest.approx(brute_force(few, limits))


def test_a_dear_request_reads_over_the_hole_and_dear_registers_do_not() -> None:
    points = [word(0, 2), word(10, 2)]
    blocks = plan(points, Limits(max_gap=8, request_cost=20, register_cost=2))
    assert [(b.address, b.count) for b in blocks] == [(0, 12)]
    blocks = plan(points, Limits(max_gap=8, request_cost=10, register_cost=2))
    assert [(b.address, b.count) for b in blocks] == [(0, 2), (10, 2)]
    blocks = plan(points, Limits(max_gap=7, request_cost=20, register_cost=2))
    assert len(blocks) == 2


def test_a_known_stretch_may_be_read_over_whatever_the_gap() -> None:
    points = [word(0, 2), word(50, 2)]
    assert len(plan(points, Limits(request_cost=1000))) == 2
    assert len(plan(points, Limits(request_cost=1000, readable=(Span(4, 0, 60),)))) == 1
    assert len(plan(points, Limits(request_cost=1000, readable=(Span(3, 0, 60),)))) == 2


def test_the_address_of_another_table_is_another_register() -> None:
    assert [(b.fc, b.address) for b in plan([word(0, fc=3), word(0, fc=4), word(1, fc=3)], Limits())] == [
        (3, 0),
        (4, 0),
    ]


def test_bits_count_as_bits() -> None:
    points = [word(1000 + i, 1, 2) for i in range(300)]
    (block,) = plan(points, Limits(max_registers=10))
    assert (block.count, block.byte_count, block.shape) == (300, 38, (2, 38))
    assert len(plan(points, Limits(max_bits=256))) == 2


def test_a_value_that_fits_into_no_read_is_refused() -> None:
    with pytest.raises(ProfileError, match="raise max_registers") as refused:
        plan([word(0, 8)], Limits(max_registers=4))
    assert "points.p4.0.8: registers" in refused.value.problem
    assert refused.value.what == Message("profile-read-too-long", registers=8)


def test_a_block_gives_each_point_its_own_registers() -> None:
    (block,) = plan([word(10, 2), word(13, 1), word(11, 1)], Limits(max_gap=1))
    assert {p.address: tuple(r) for p, r in block.slices((1, 2, 3, 4))} == {10: (1, 2), 11: (2,), 13: (4,)}


shaped = st.builds(
    profile,
    layouts(),
    max_registers=st.sampled_from([6, 7, 10, 125]),
    max_gap=st.sampled_from([0, 2, 30]),
    step=st.sampled_from([1, 2]),
    same_functions=st.booleans(),
    readable=st.sampled_from([(), (Span(4, 0, 60),)]),
)


@given(shaped, st.integers(1, 5))
def test_variants_are_distinct_shapes_of_the_same_points_within_the_limits(device: Profile, k: int) -> None:
    limits = Limits.of(device, variants=k)
    blocks = plan(device.points, limits)
    assert names(blocks) == sorted(p.name for p in device.points)
    known = {(s.fc, address) for s in limits.readable for address in range(s.first, s.last + 1)}
    for block in blocks:
        shapes = variants(block, k, device)
        assert shapes[0] == block
        assert len({s.shape for s in shapes}) == len(shapes) <= k
        for other in shapes:
            assert other.count <= device.max_registers
            assert other.points == block.points
            assert all(p.address == other.address + n for p, n in zip(other.points, other.offsets, strict=True))
            assert other.fc == block.fc or device.same_functions
            assert all((other.fc, address) in known for address in range(other.address, other.address + other.count))


@given(shaped, st.integers(1, 4))
def test_no_two_blocks_of_a_unit_share_a_shape(device: Profile, k: int) -> None:
    limits = Limits.of(device, variants=k)
    blocks = plan(device.points, limits)
    sets = shape_sets(blocks, k, limits)
    shapes = [variant.shape for found in sets for variant in found]
    assert len(shapes) == len(set(shapes))
    assert all(len(found) <= k for found in sets)
    for block, found in zip(blocks, sets, strict=True):
        assert all(v.points and set(v.points) == set(block.points) for v in found)


def lacking(blocks: Sequence[RegisterBlock], limits: Limits) -> int:
    return sum(limits.variants - len(found) for found in shape_sets(blocks, limits.variants, limits))


@settings(max_examples=150)
@given(layouts(), limits_of, st.integers(2, 9))
def test_no_shorter_reads_would_have_more_of_the_shapes_that_are_needed(
    points: list[Point], limits: Limits, k: int
) -> None:
    limits = replace(limits, variants=k)
    chosen = plan(points, limits)
    for most in range(1, limits.max_registers + 1):
        try:
            shorter = plan(points, replace(limits, max_registers=most, variants=1))
        except ProfileError:
            continue
        assert lacking(chosen, limits) <= lacking(shorter, limits)


avoided = st.frozensets(st.tuples(st.sampled_from([3, 4]), st.integers(1, 12).map(lambda count: 2 * count)), max_size=9)


@given(shaped, st.integers(1, 4), avoided)
def test_shapes_to_avoid_are_in_no_variant_and_all_else_holds_of_the_others(
    device: Profile, k: int, avoid: frozenset[tuple[int, int]]
) -> None:
    limits = replace(Limits.of(device, variants=k), avoid=avoid)
    blocks = plan(device.points, limits)
    assert names(blocks) == sorted(p.name for p in device.points)
    sets = shape_sets(blocks, k, limits)
    shapes = [variant.shape for found in sets for variant in found]
    assert len(shapes) == len(set(shapes))
    assert avoid.isdisjoint(shapes)
    known = {(s.fc, address) for s in limits.readable for address in range(s.first, s.last + 1)}
    for block, found in zip(blocks, sets, strict=True):
        for other in found:
            assert other.count <= device.max_registers
            assert other.address % device.step == other.count % device.step == 0
            assert other.points == block.points
            for point, offset in zip(other.points, other.offsets, strict=True):
                assert point.address == other.address + offset
                assert 0 <= offset <= other.count - point.registers, "no value is split"
            assert other.fc == block.fc or device.same_functions
            assert all((other.fc, address) in known for address in range(other.address, other.address + other.count))


@settings(max_examples=30)  # all shapes that a block could be read by are looked for in each
@given(shaped, st.integers(1, 4), avoided)
def test_shapes_to_avoid_that_no_read_has_change_nothing(
    device: Profile, k: int, avoid: frozenset[tuple[int, int]]
) -> None:
    limits = Limits.of(device, variants=k)
    without = plan(device.points, limits)
    used = {v.shape for found in shape_sets(without, 1000, limits) for v in found}
    elsewhere = replace(limits, avoid=frozenset(avoid - used))
    assert plan(device.points, elsewhere) == without
    assert shape_sets(without, k, elsewhere) == shape_sets(without, k, limits)


@settings(max_examples=150)
@given(layouts(), limits_of, st.integers(1, 4), avoided)
def test_no_shorter_reads_would_have_more_shapes_that_are_not_to_be_avoided(
    points: list[Point], limits: Limits, k: int, avoid: frozenset[tuple[int, int]]
) -> None:
    limits = replace(limits, variants=k)
    usual = plan(points, limits)
    if all(block.shape not in avoid for block in usual) and k == 1:
        assert plan(points, replace(limits, avoid=avoid)) == usual
        return
    limits = replace(limits, avoid=avoid)
    chosen = plan(points, limits)
    for most in range(1, limits.max_registers + 1):
        try:
            shorter = plan(points, replace(limits, max_registers=most, variants=1, avoid=frozenset()))
        except ProfileError:
            continue
        assert lacking(chosen, limits) <= lacking(shorter, limits)


def test_a_full_read_whose_shape_is_to_be_avoided_is_cut() -> None:
    device = load_profile("eastron-sdm630")
    limits = Limits.of(device, request_cost=130)
    (full,) = plan(device.select(), limits)
    limits = replace(limits, avoid=frozenset({full.shape}))
    assert shape_sets((full,), 1, limits) == ((),)
    cut = plan(device.select(), limits)
    assert names(cut) == names((full,))
    assert [len(found) for found in shape_sets(cut, 1, limits)] == [1, 1]
    assert plan(device.select(), replace(limits, avoid=frozenset({(3, 160), (4, 4)}))) == (full,)


def test_shapes_are_shared_out_so_that_every_block_gets_one() -> None:
    """The second block can only be 2 registers, so the first, that could be 2 or 3, must be 3."""
    device = profile([word(0, 2), word(2, 1), word(10, 2)])
    limits = Limits.of(device)
    first, second = RegisterBlock.over(4, 0, 2, [word(0, 2)]), RegisterBlock.over(4, 10, 2, [word(10, 2)])
    assert [[b.count for b in found] for found in shape_sets((first, second), 1, limits)] == [[3], [2]]
    assert [[b.count for b in found] for found in shape_sets((first, second), 2, limits)] == [[3], [2]]


def test_a_block_grows_by_whole_values_behind_itself_then_before_itself() -> None:
    device = profile([word(0, 2), word(2, 2), word(4, 2), word(6, 2)], max_registers=8)
    (block,) = plan([word(2, 2)], Limits.of(device))
    assert [(b.address, b.count) for b in variants(block, 9, device)] == [(2, 2), (2, 4), (2, 6), (0, 8)]


@pytest.mark.parametrize("name", of_registers())
def test_no_variant_of_a_catalog_profile_begins_or_ends_inside_a_value(name: str) -> None:
    device = load_profile(name)
    device = resolve_profile(device, {1: 40002, 103: 40070}) if name == "sunspec-inverter" else device
    twin = {4: 3, 2: 1} if device.same_functions else {}
    inside = {(twin.get(p.fc, p.fc), address) for p in device.points for address in range(p.address + 1, p.end)}
    for block in plan(device.select(), Limits.of(device, variants=3)):
        for v in variants(block, 20, device)[1:]:
            fc = twin.get(v.fc, v.fc)
            assert not {(fc, v.address), (fc, v.address + v.count)} & inside, (v.address, v.count)


def test_the_other_function_is_a_shape_of_its_own_where_it_aliases() -> None:
    device = profile([word(0, 2), word(2, 1)], same_functions=True)
    (block,) = plan([word(0, 2)], Limits.of(device))
    assert [v.shape for v in variants(block, 9, device)] == [(4, 4), (3, 4), (4, 6), (3, 6)]


def test_bits_grow_by_whole_bytes() -> None:
    device = profile([word(i, 1, 2) for i in range(32)])
    (block,) = plan(device.points[:5], Limits.of(device))
    assert [v.shape for v in variants(block, 9, device)] == [(2, 1), (2, 2), (2, 3), (2, 4)]


def test_with_variants_asked_for_a_full_read_is_cut_shorter() -> None:
    device = load_profile("eastron-sdm630")
    (full,) = plan(device.select(), Limits.of(device, request_cost=130))
    assert full.count == device.max_registers
    assert len(variants(full, 3, device)) == 1
    limits = Limits.of(device, request_cost=130, variants=3)
    cut = plan(device.select(), limits)
    assert len(cut) == 2
    assert [len(found) for found in shape_sets(cut, 3, limits)] == [3, 3]


def test_sunspec_points_get_absolute_addresses_and_those_of_absent_models_are_left_out() -> None:
    device = load_profile("sunspec-inverter")
    resolved = resolve(device.points, {103: 40070})
    assert {p.model for p in resolved} == {103}
    assert {p.name: p.address for p in resolved}["active_power"] == 40084
    both = resolve_profile(device, {1: 40002, 103: 40070})
    assert both.point("serial_number").address == 40052
    assert [(b.address, b.count) for b in plan(both.select(), Limits.of(both))] == [(40072, 40)]


# t = (8 + 5 + 2N) · bits / baud + 2 · t3.5, t3.5 = 3.5 · 11 bits / baud up to 19200 baud, else 1.750 ms. For N = 2 at
# 9600 8N1: 17 · 10 / 9600 = 17.71 ms on the wire, 2 · 4.010 ms of silence, 25.73 ms.
WIRE_TIMES = [
    (1200, "N", 2, 205.83), (2400, "E", 125, 1237.50), (9600, "N", 2, 25.73), (9600, "N", 80, 188.23),
    (9600, "E", 2, 27.50), (9600, "E", 80, 206.25), (19200, "N", 40, 52.45), (19200, "E", 125, 154.69),
    (38400, "N", 2, 7.93), (115200, "E", 125, 28.61),
]  # fmt: skip


@pytest.mark.parametrize(("baudrate", "parity", "registers", "ms"), WIRE_TIMES)
def test_wire_time(baudrate: int, parity: str, registers: int, ms: float) -> None:
    assert wire_time_ms(registers, baudrate, bits_per_char(parity, 1)) == pytest.approx(ms, abs=0.006)


def test_silence_and_characters() -> None:
    assert silence_ms(9600) == pytest.approx(4.010, abs=0.001)
    assert silence_ms(19200) == pytest.approx(2.005, abs=0.001)
    assert silence_ms(38400) == 1.75
    assert [bits_per_char(*line) for line in (("N", 1), ("E", 1), ("N", 2), ("O", 2))] == [10, 11, 11, 12]
