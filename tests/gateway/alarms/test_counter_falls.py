"""Counters that fall on several meters of one line: one alarm, and each meter's chain still holds its fall."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.messages.alarm_kinds import KINDS
from gateway.messages.message import Message
from tests.support.gateways.desk import Desk

METERS = [f"meter-{n}" for n in range(5)]
BUS, LINE = "bus-1", ("gateway", "counter-back", "bus-1")
CLEAR_S = KINDS["counter-back"].off_delay_ms / 1000 + 0.01


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, {BUS: METERS, "bus-2": ["other"]})
    yield made
    made.stop()


def falls(desk: Desk, meter: str, line: str = BUS) -> None:
    back = Message("counter-decreased", meter=meter, line=line, points=("energy_import",))
    desk.board.notice(meter, "counter-back", line, back)


def named(desk: Desk) -> set[str]:
    (row,) = (row for row in desk.board.listed() if row.source == "gateway")
    assert row.message is not None
    return {*row.message.facts["meters"]}  # type: ignore[misc]


def test_three_of_a_line_within_a_minute_are_one_alarm_and_each_has_its_event(desk: Desk) -> None:
    for meter in METERS[:2]:
        falls(desk, meter)
        desk.passes(20)
    falls(desk, "other", "bus-2")
    assert desk.standing() == [
        (METERS[0], "counter-back", BUS),
        (METERS[1], "counter-back", BUS),
        ("other", "counter-back", "bus-2"),
    ]
    falls(desk, METERS[2])
    assert desk.standing() == [("other", "counter-back", "bus-2"), LINE]
    assert named(desk) == {*METERS[:3]}
    desk.passes(300)
    falls(desk, METERS[3])  # the same storm
    assert named(desk) == {*METERS[:4]}
    raised = [meter for meter, fields in desk.events() if fields["raised"]]
    assert sorted(raised) == sorted([*METERS[:4], "other", "gateway"]), "a fall without its event hides an exchange"
    desk.passes(CLEAR_S)
    assert [row.active for row in desk.board.listed()] == [False, False]
    falls(desk, METERS[4])
    assert (METERS[4], "counter-back", BUS) in desk.standing()


def test_two_or_three_over_more_than_a_minute_are_alarms_of_their_own(desk: Desk) -> None:
    for meter in METERS[:3]:
        falls(desk, meter)
        desk.passes(31)
    assert [source for source, _, _ in desk.standing()] == METERS[:3]


def test_one_more_behind_an_acknowledged_alarm_raises_it_again(desk: Desk) -> None:
    for meter in METERS[:3]:
        falls(desk, meter)
    number = desk.one().id
    asyncio.run(desk.board.operator.acknowledge(number, "ines"))
    falls(desk, METERS[3])
    assert (desk.one().id, desk.one().acknowledged, desk.one().times, named(desk)) == (number, False, 2, {*METERS[:4]})
    asyncio.run(desk.board.operator.acknowledge(number, "ines"))
    falls(desk, METERS[0])  # a second time
    assert (desk.one().acknowledged, desk.one().times) == (False, 3)


def test_what_nobody_has_acknowledged_of_before_is_not_taken_away(desk: Desk) -> None:
    falls(desk, METERS[0])
    desk.passes(CLEAR_S)
    for meter in METERS[:3]:
        falls(desk, meter)
    assert desk.standing() == [(METERS[0], "counter-back", BUS), LINE]
    assert {row.source: row.times for row in desk.board.listed()} == {METERS[0]: 2, "gateway": 1}
    assert named(desk) == {*METERS[:3]}
