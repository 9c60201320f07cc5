"""Learning what a device does not answer: only what it lacks is left out, and one that is starting teaches nothing."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.points import Point, Span
from gateway.devices.read_plan import Limits, plan
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.modbus.learned_limits import BLIND_GROUPS, RETRY_S, Cuts
from gateway.fieldbus.modbus.read_variants import read_plan
from gateway.fieldbus.wire.framing import Refused
from tests.gateway.fieldbus.devices import meter, tcp_line
from tests.support.register_points import register_point


def points(*places: tuple[int, int]) -> list[Point]:
    kinds = {1: "uint16", 2: "uint32", 4: "uint64"}
    return [register_point(f"p{address}_{size}", 3, address, kinds[size], size, unit="W") for address, size in places]


LIMITS = Limits(max_registers=125, readable=(Span(3, 0, 200),))


class Device:
    """Refuses a read over a register that it lacks, and any that is longer than it allows."""

    def __init__(self, lacks: set[int], longest: int = 125) -> None:
        self.lacks, self.longest = lacks, longest

    def refusal(self, block: RegisterBlock) -> Refused | None:
        if block.count > self.longest:
            return refused(3, 3)
        return refused(2, 3) if self.lacks & set(range(block.address, block.address + block.count)) else None


def poll(cuts: Cuts, device: Device, now: float = 0.0) -> tuple[bool, list[RegisterBlock]]:
    """One poll: whether the reads changed, and the blocks that answered."""
    blocks = [block for group in cuts.groups for block in plan(group, LIMITS)]
    codes = [(block, block, device.refusal(block)) for block in blocks]
    return cuts.note(codes, now), [block for block, _, code in codes if code is None]


places = st.sets(st.integers(0, 60), min_size=1, max_size=20)


@given(places, st.sets(st.integers(0, 60), max_size=6), st.integers(1, 125))
def test_in_the_end_every_point_that_the_device_has_is_read(starts: set[int], lacks: set[int], longest: int) -> None:
    planned = points(*((start, 1) for start in sorted(starts)))
    known = {p.name for p in planned if p.address not in lacks}
    cuts, device = Cuts(planned), Device(lacks, longest)
    for _ in range(300):
        changed, answered = poll(cuts, device)
    assert not changed
    read = {point.name for block in answered for point in block.points}
    if read:
        assert read == known
        assert set(cuts.holes) == {p.name for p in planned} - known
    else:  # not a single part of the first few answers: it is not the expected device, or does not work yet
        assert cuts.holes == {}


def test_two_missing_registers_in_one_read_are_found() -> None:
    planned = points(*((a, 1) for a in range(16)))
    cuts, device = Cuts(planned), Device({2, 9})
    for _ in range(60):
        changed, answered = poll(cuts, device)
    assert not changed
    assert set(cuts.holes) == {"p2_1", "p9_1"}
    assert len(answered) <= 8


def test_one_missing_register_costs_three_polls_a_halving_and_then_only_itself() -> None:
    planned = points(*((a, 1) for a in range(16)))
    cuts, device = Cuts(planned), Device({5})
    for _ in range(3 * 5 + 1 + 3 * 5):  # found once, put together again for a trial, and cut for good
        poll(cuts, device)
    changed, answered = poll(cuts, device)
    assert not changed
    assert len({point.name for block in answered for point in block.points}) == 15
    assert [p.name for p in cuts.missing()] == ["p5_1"]


def test_a_device_that_refuses_all_while_it_starts_is_read_as_before_afterwards() -> None:
    cuts, device = Cuts(points(*((a, 1) for a in range(16)))), Device(set(range(16)))
    for _ in range(50):
        poll(cuts, device)
    assert len(cuts.groups) == BLIND_GROUPS
    assert cuts.holes == {}
    device.lacks = set()
    assert sum(len(block.points) for block in poll(cuts, device)[1]) == 16
    _, answered = poll(cuts, device)
    assert [len(block.points) for block in answered] == [16]
    device.longest = 15
    for _ in range(5):
        _, answered = poll(cuts, device)
    assert [len(block.points) for block in answered] == [8, 8], "now that it is known to answer, it is believed"


def test_a_hole_is_tried_again_after_a_day() -> None:
    cuts, device = Cuts(points((0, 1), (100, 1))), Device({100})
    for _ in range(10):
        poll(cuts, device, now=50.0)
    assert cuts.holes == {"p100_1": 50.0 + RETRY_S}
    assert not cuts.retry(50.0 + RETRY_S - 1)
    device.lacks = set()
    assert cuts.retry(50.0 + RETRY_S)
    _, answered = poll(cuts, device, now=50.0 + RETRY_S)
    assert {point.name for block in answered for point in block.points} == {"p0_1", "p100_1"}


def test_an_exception_now_and_then_changes_nothing() -> None:
    planned = points((0, 1), (100, 1))
    cuts = Cuts(planned)
    for turn in range(30):
        changed, _ = poll(cuts, Device({100} if turn % 3 else set()))
        assert not changed


def test_a_variant_that_is_refused_is_asked_no_more_and_another_takes_its_place() -> None:
    spec = meter("one", 1, 100)
    line = dataclasses.replace(tcp_line(502, spec), answer_life_ms=300)
    points_left = [p for p in spec.points if p.name != "c"]
    cuts = Cuts(points_left)
    before = read_plan(line, spec, spec.profile, points_left, cuts=cuts).blocks[0]
    planned, longer = before.variants[0], before.variants[1]
    for _ in range(3):
        changed = cuts.note([(planned, planned, None)], 0.0) or cuts.note([(planned, longer, refused(3, 3))], 0.0)
    assert changed
    after = read_plan(line, spec, spec.profile, points_left, cuts=cuts).blocks[0]
    assert longer not in after.variants
    assert len(after.variants) == len(before.variants)
    assert after.block == planned


def test_while_nothing_answers_no_variant_is_refused_for_good() -> None:
    spec = meter("one", 1, 100)
    line = tcp_line(502, spec)
    planned = [p for p in spec.points if p.name != "c"]
    cuts = Cuts(planned)
    variants = read_plan(line, spec, spec.profile, planned, cuts=cuts).blocks[0].variants
    for turn in range(20):
        cuts.note([(variants[0], variants[1 + turn % (len(variants) - 1)], refused(2, 3))], 0.0)
    assert cuts.banned == set()
