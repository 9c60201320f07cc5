"""A meter that speaks unasked: what it may leave out of its messages, without end."""

from __future__ import annotations

from itertools import combinations

from gateway.devices.decode_text import MessageBlock
from gateway.devices.places import Factor
from gateway.devices.points import Point, Profile
from gateway.fieldbus.listening.cut_blocks import MOST_CUTS
from gateway.fieldbus.listening.listened_meter import ListenedMeter
from gateway.fieldbus.wire.line_spec import MeterSpec
from gateway.fieldbus.wire.source import Heard

POINTS = tuple(Point(f"p{n}", Factor(f"a{n}", "Rtd")) for n in range(9))
BLOCK = MessageBlock("CN 2011", POINTS)
PROFILE = Profile("p", "v", "d", "s", POINTS, protocol="hj212", cn="2011")


def test_a_sender_that_leaves_out_other_points_each_time_takes_bounded_memory() -> None:
    meter = ListenedMeter(MeterSpec("stack", PROFILE, "A1", 60_000, POINTS))
    choices = [names for n in range(1, 5) for names in combinations(POINTS, n)]
    assert len(choices) > 3 * MOST_CUTS
    for chosen in choices:
        poll = meter.poll(Heard("A1", BLOCK, {point.at.where: "1" for point in chosen}, 1_000), 1_000)
        assert poll.answers[0].block.points == chosen
        assert len(meter._cut) <= MOST_CUTS
