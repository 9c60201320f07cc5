"""No flood: what has one cause is one alarm, and what is still wrong afterwards comes out then."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.alarms.grouping import simultaneous
from gateway.alarms.state import AlarmKey, AlarmState
from gateway.fieldbus.specs import Alarm
from gateway.messages.alarm_kinds import KINDS
from gateway.messages.message import Message
from tests.support.gateways.desk import Desk

DELAY_S = KINDS["line-down"].on_delay_ms / 1000 + 0.01
CLEAR_S = KINDS["site-silent"].off_delay_ms / 1000 + 0.01
TCP = [f"tcp-{n:02}" for n in range(9)]
RTU = [f"rtu-{n}" for n in range(5)]
LINES = {"rs485": RTU, **{f"line-{name}": [name] for name in TCP}}
SITE = ("gateway", "site-silent", "site")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, LINES)
    yield made
    made.stop()


def down(desk: Desk, lines: list[str], *, on: bool = True) -> None:
    for line in lines:
        desk.line("line-down", line, on=on)


def test_all_lines_at_once_are_one_alarm_of_the_gateway(desk: Desk) -> None:
    began_ms = desk.clock.now_ms()
    down(desk, list(LINES))
    for meter in RTU:
        desk.line("comms-lost", "rs485", meter)
    desk.passes(DELAY_S)
    assert desk.standing() == [SITE]
    row = desk.one()
    assert (row.since_ms, row.severity) == (began_ms, "critical")
    assert "10 of 10 lines with 14 meters" in row.text
    assert desk.raised() == [("site-silent", True)]
    desk.passes(86_400)
    down(desk, list(LINES), on=False)
    for meter in RTU:
        desk.line("comms-lost", "rs485", meter, on=False)
    desk.passes(CLEAR_S)
    assert not desk.one().active
    desk.passes(86_400)
    assert desk.raised() == [("site-silent", True), ("site-silent", False)]


def tells(desk: Desk, message: Message) -> None:
    """The worker of a line says that it is down, and why."""
    line = str(message.facts["line"])
    desk.line("line-down", line, on=False)
    desk.board.line_alarm(Alarm(line, None, "line-down", message, True))


def test_many_that_are_one_name_each_lines_own_cause(desk: Desk) -> None:
    causes = (
        Message("line-port-failed", line="rs485", where="/dev/ttyUSB0", why=Message("port-missing-none")),
        Message("line-port-failed", line="line-tcp-00", where="10.0.0.7:502", why=Message("errno-econnrefused")),
        Message("line-not-responding-host", line="line-tcp-01", where="10.0.0.8:502"),
    )
    for cause in causes:
        tells(desk, cause)
    desk.passes(DELAY_S)
    assert desk.standing() == [SITE]
    text, message = desk.one().text, desk.one().message
    assert message is not None
    assert message.facts["causes"] == causes
    assert all(message.problem in text for message in causes)
    assert ("(meter" in text, "retries" in text) == (False, False)
    assert "gateway's own network" not in text


def test_of_very_many_as_many_causes_are_named_as_lines(desk: Desk) -> None:
    for line in LINES:
        tells(desk, Message("line-not-responding-host", line=line, where="10.0.0.7:502"))
    desk.passes(DELAY_S)
    assert "and 6 more" in desk.one().text
    named = [Message("line-not-responding-host", line=line, where="10.0.0.7:502").problem for line in LINES]
    assert sum(text in desk.one().text for text in named) == 4


@pytest.mark.parametrize(
    ("hosts", "network"),
    [
        (("10.0.0.7", "10.0.0.8", "10.0.0.200"), True),
        (("10.0.0.7", "10.0.0.8", "10.0.1.9"), False),
        (("10.0.0.7", "10.0.0.8", "inverter.local"), False),
        (("10.0.0.7", "10.0.0.8", None), False),
        (("fd00::1", "fd00::2", "fd00:0:0:0:1::1"), True),
        (("fd00::1", "fd00::2", "10.0.0.8"), False),
    ],
)
def test_the_gateways_network_is_to_be_checked_only_where_all_lead_to_one_subnet(
    hosts: tuple[str | None, ...], network: bool, desk: Desk
) -> None:
    lines = list(LINES)[1:4]
    desk.hosts.update({line: host for line, host in zip(lines, hosts, strict=True) if host is not None})
    down(desk, lines)
    desk.passes(DELAY_S)
    assert ("check the gateway's own network" in desk.one().text) is network
    assert "common cause" in desk.one().text


def test_those_that_are_found_a_moment_later_grow_the_one(desk: Desk) -> None:
    lines = list(LINES)
    down(desk, lines[:6])
    desk.passes(DELAY_S)
    assert "6 of 10 lines" in desk.one().text
    down(desk, lines[6:])
    desk.passes(DELAY_S)
    assert desk.standing() == [SITE]
    assert "10 of 10 lines" in desk.one().text
    assert desk.raised() == [("site-silent", True)]
    assert desk.rows()[0].text == desk.one().text


def test_one_after_the_other_puts_the_first_two_away(desk: Desk) -> None:
    for line in list(LINES)[1:6]:
        down(desk, [line])
        desk.passes(11)
    assert desk.standing() == [SITE]
    codes = [code for code, raised in desk.raised() if raised]
    assert codes == ["line-down", "line-down", "site-silent"]


def test_what_is_still_true_comes_out_when_the_one_is_over(desk: Desk) -> None:
    down(desk, list(LINES))
    desk.passes(DELAY_S)
    down(desk, list(LINES)[2:], on=False)
    desk.passes(CLEAR_S)
    assert not desk.one().active
    desk.passes(DELAY_S)
    left = [(row.source, row.code) for row in desk.board.listed() if row.active]
    assert sorted(left) == [("gateway", "line-down"), (TCP[0], "line-down")]
    since = {row.since_ms for row in desk.board.listed()}
    assert len(since) == 1  # since they fell silent, not since the others came back


def test_one_that_somebody_has_acknowledged_stays_beside_it(desk: Desk) -> None:
    down(desk, ["line-tcp-00"])
    desk.passes(11)
    asyncio.run(desk.board.operator.acknowledge(desk.one().id, "installer"))
    began_ms = desk.clock.now_ms()
    down(desk, list(LINES)[2:])
    desk.passes(DELAY_S - 1)  # they have their own delay, however long that one has stood
    assert desk.standing() == [("tcp-00", "line-down", "line-tcp-00")]
    desk.passes(1)
    assert desk.standing() == [("tcp-00", "line-down", "line-tcp-00"), SITE]
    assert next(row for row in desk.board.listed() if row.code == "site-silent").since_ms == began_ms


def test_old_ones_stand_beside_the_new_one(desk: Desk) -> None:
    down(desk, ["line-tcp-00"])
    desk.passes(86_400)
    old = desk.one()
    down(desk, list(LINES)[3:])
    desk.passes(DELAY_S)
    assert desk.standing() == [("tcp-00", "line-down", "line-tcp-00"), SITE]
    assert [row.id for row in desk.board.listed() if row.source == "tcp-00"] == [old.id]


def test_two_lines_are_two_alarms(desk: Desk) -> None:
    down(desk, ["line-tcp-00", "line-tcp-01"])
    desk.passes(DELAY_S)
    assert len(desk.standing()) == 2


def test_a_site_is_silent_when_all_lines_are_but_those_whose_meters_sleep(desk: Desk) -> None:
    """At night the roof sleeps: the two lines that are left are all that there are."""
    awake = list(LINES)[:2]
    desk.sleeping |= LINES.keys() - set(awake)
    down(desk, awake)
    desk.passes(DELAY_S)
    assert desk.standing() == [SITE]
    assert "2 of 2 lines with 6 meters" in desk.one().text
    down(desk, awake, on=False)
    desk.passes(CLEAR_S)
    assert not desk.one().active


def test_one_line_beside_those_that_sleep_is_no_site(desk: Desk) -> None:
    desk.sleeping |= LINES.keys() - {"line-tcp-00"}
    down(desk, ["line-tcp-00"])
    desk.passes(DELAY_S)
    assert desk.standing() == [("tcp-00", "line-down", "line-tcp-00")]


def test_the_end_of_a_cable_is_one_alarm_of_its_line(desk: Desk) -> None:
    for meter in RTU[1:]:
        desk.line("comms-lost", "rs485", meter)
    desk.passes(DELAY_S)
    assert desk.standing() == [("gateway", "meters-silent", "rs485")]
    assert "4 of 5 meters" in desk.one().text
    assert all(meter in desk.one().text for meter in RTU[1:])
    down(desk, ["rs485"])
    desk.passes(DELAY_S)
    assert {code for _, code, _ in desk.standing()} == {"meters-silent", "line-down"}


def test_meters_of_a_silent_line_are_held_and_come_out_if_they_stay_silent(desk: Desk) -> None:
    down(desk, ["rs485"])
    for meter in RTU[:2]:
        desk.line("comms-lost", "rs485", meter)
    desk.passes(60)
    assert desk.standing() == [("gateway", "line-down", "rs485")]
    down(desk, ["rs485"], on=False)
    desk.passes(CLEAR_S)
    assert {(row.source, row.code, row.active) for row in desk.board.listed()} == {
        ("gateway", "line-down", False), (RTU[0], "comms-lost", True), (RTU[1], "comms-lost", True)
    }  # fmt: skip


def test_a_restart_in_the_middle_of_it_tells_nothing_new(desk: Desk) -> None:
    down(desk, list(LINES))
    desk.passes(DELAY_S)
    before = desk.one()
    desk.restart()
    desk.passes(8)
    down(desk, list(LINES))
    desk.passes(3600)
    assert (desk.one().id, desk.one().active, desk.one().since_ms) == (before.id, True, before.since_ms)
    assert desk.raised() == []
    desk.restart()
    desk.passes(3600)  # all is well again, and nobody says a word of it
    for meter in [*RTU, *TCP[:6]]:
        desk.board.answered(meter)
    desk.passes(CLEAR_S)
    assert desk.one().active  # three lines that have not been heard yet would be one alarm by themselves
    desk.board.answered(TCP[6])
    desk.passes(CLEAR_S)
    assert (desk.one().active, desk.raised()) == (False, [("site-silent", False)])


def test_which_of_many_are_one() -> None:
    def crowd(*since: int, of: int | None = 9, ripe: bool = True) -> int:
        kind, due_ms = KINDS["line-down"], 0 if ripe else 1
        states = [
            AlarmState(AlarmKey(str(n), kind.code, str(n)), kind, "", True, since_ms=ms, on_delay_until_ms=due_ms)
            for n, ms in enumerate(since)
        ]
        return len(simultaneous(states, of, now_ms=0, window_ms=60_000))

    assert crowd(0, 1, 2) == 3
    assert crowd(0, 1) == 0
    assert (crowd(0, 1, of=2), crowd(0, 1, of=None)) == (2, 0)
    assert crowd(0, of=1) == 0
    assert crowd(0, 1, 2, ripe=False) == 0
    assert crowd(0, 100_000, 120_000, 160_000) == 3
    assert crowd(0, 100_000, 200_000) == 0
