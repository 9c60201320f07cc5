"""Many alarms acknowledged at once: those that somebody has seen, each by an event of its own, and no other."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.alarms.operator_actions import Acknowledged
from gateway.alarms.orders import orders
from gateway.errors import Declined
from gateway.messages.alarm_kinds import KINDS
from gateway.messages.message import Message
from tests.support.gateways.desk import Desk

METERS = [f"meter-{n}" for n in range(6)]
BUS, USER = "bus-1", "ines"
CLEAR_S = KINDS["value-bad"].off_delay_ms / 1000 + 0.01


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, {BUS: METERS})
    yield made
    made.stop()


def bad(desk: Desk, meter: str, point: str = "a", *, on: bool = True) -> None:
    desk.board.condition(
        meter, "value-bad", BUS, Message("counter-decreased", meter=meter, line=BUS, points=(point,)), on=on
    )
    desk.passes(KINDS["value-bad"].on_delay_ms / 1000 + 0.01 if on else CLEAR_S)


def acknowledge(desk: Desk, shown_ms: int, note: str = "", **which: object) -> Acknowledged:
    return asyncio.run(desk.board.operator.acknowledge_shown(shown_ms, USER, note, **which))  # type: ignore[arg-type]


def waiting(desk: Desk) -> set[str]:
    return {row.source for row in desk.board.listed() if not row.acknowledged}


def test_all_of_a_code_are_acknowledged_each_by_an_event_with_the_note(desk: Desk) -> None:
    for meter in METERS:
        bad(desk, meter)
    desk.board.condition("gateway", "key-end", "statement key", "it ends", on=True)
    done = acknowledge(desk, desk.board.moment(), "panel 3 is off", code="value-bad")
    assert ({row.source for row in done.rows}, done.changed, waiting(desk)) == ({*METERS}, 0, {"gateway"})
    events = desk.events("alarm-acknowledged")
    fields = {"code": "value-bad", "line": BUS, "user": USER, "note": "panel 3 is off"}
    assert sorted(events, key=lambda pair: pair[0]) == [(meter, fields) for meter in METERS]
    assert {row.acked_note for row in desk.rows() if row.acknowledged} == {"panel 3 is off"}
    desk.restart()
    assert {row.acked_note for row in desk.board.listed() if row.acknowledged} == {"panel 3 is off"}


def test_what_was_raised_since_the_list_was_seen_stays(desk: Desk) -> None:
    first, cleared, anew, grown, flapped, new = METERS
    for meter in (first, cleared, anew, grown, flapped):
        bad(desk, meter)
    shown_ms = desk.board.moment()
    bad(desk, cleared, on=False)
    bad(desk, anew, on=False)
    bad(desk, anew)  # the same number in the list, raised a second time
    desk.board.restate(grown, "value-bad", BUS, Message("counter-decreased", meter=grown, line=BUS, points=("a", "b")))
    asyncio.run(desk.board.operator.acknowledge(next(r.id for r in desk.board.listed() if r.source == flapped), "vera"))
    bad(desk, flapped, on=False)  # back to normal: its next alarm has another number
    bad(desk, flapped)
    bad(desk, new)
    numbers = [row.id for row in desk.board.listed()]
    done = acknowledge(desk, shown_ms, numbers=numbers)
    assert ({row.source for row in done.rows}, done.changed) == ({first, cleared}, 4)
    assert waiting(desk) == {anew, grown, flapped, new}
    assert {row.source for row in acknowledge(desk, shown_ms, code="value-bad").rows} == set()
    again = acknowledge(desk, desk.board.moment(), numbers=numbers)
    assert ({row.source for row in again.rows}, waiting(desk)) == ({anew, grown, flapped, new}, set())


def test_a_list_of_before_a_restart_acknowledges_nothing(desk: Desk) -> None:
    bad(desk, METERS[0])
    shown_ms = desk.board.moment()
    desk.restart()
    assert (acknowledge(desk, shown_ms, code="value-bad").rows, waiting(desk)) == ([], {METERS[0]})


def test_shelved_ones_and_those_of_others_are_left_alone_and_nobody_without_a_name_acknowledges(desk: Desk) -> None:
    mine, others, shelved = METERS[:3]
    for meter in (mine, others, shelved):
        bad(desk, meter)
    number = {row.source: row.id for row in desk.board.listed()}
    asyncio.run(desk.board.operator.acknowledge(number[others], "vera", "seen"))
    asyncio.run(desk.board.operator.shelve(number[shelved], "vera", 60_000, ""))
    acknowledge(desk, desk.board.moment(), code="value-bad")
    assert {row.source: row.acked_by for row in desk.board.listed()} == {mine: USER, others: "vera"}
    assert [row.source for row in desk.board.shelved() if not row.acknowledged] == [shelved]
    with pytest.raises(Declined):
        asyncio.run(desk.board.operator.acknowledge_shown(desk.board.moment(), "", code="value-bad"))


def test_the_order_gives_what_it_acknowledged_and_how_many_it_did_not(desk: Desk) -> None:
    bad(desk, METERS[0])
    give = orders(desk.board)

    async def talk() -> None:
        shown_ms = (await give["alarms"]({}))["shown"]
        bad(desk, METERS[1])
        order = {"shown": shown_ms, "user": USER, "code": "value-bad"}
        with pytest.raises(TypeError):
            await give["acknowledge-shown"]({**order, "note": ["signed as a list"]})
        done = await give["acknowledge-shown"](order)
        assert ([alarm["meter"] for alarm in done["alarms"]], done["changed"]) == (METERS[:1], 1)

    asyncio.run(talk())
