"""An alarm's life on a clock in the test's hands: delay, deadband, people, restarts, a disk that takes nothing."""

from __future__ import annotations

import asyncio
import io
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.alarms.orders import orders
from gateway.alarms.state import CHATTERING_QUIET_MS
from gateway.anchoring.ledger_alarms import LedgerAlarms
from gateway.cli.status_view import print_status
from gateway.errors import Declined
from gateway.fieldbus.specs import Alarm
from gateway.messages.alarm_kinds import KINDS, AlarmCode
from gateway.messages.message import Message
from gateway.process.console import console
from gateway.records import GATEWAY, MissedPoll, NotRecorded, Timestamp, alarm_event
from gateway.status.collect import collect
from gateway.status.status import DashboardStatus
from gateway.storage.alarm_tables import AlarmRow
from gateway.storage.database import Database
from ledger_client.formats.senml import Reading, Value
from ledger_client.times import rfc3339_ms
from tests.support.gateways.desk import Desk

A, B, LONE = "meter-a", "meter-b", "lone"
BUS, LONE_BUS = "bus-1", "bus-2"
DELAY_S = KINDS["comms-lost"].on_delay_ms / 1000 + 0.01
CLEAR_S = KINDS["comms-lost"].off_delay_ms / 1000 + 0.01
USER = "installer"


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, {BUS: [A, B], LONE_BUS: [LONE]})
    yield made
    made.stop()


def lost(desk: Desk, meter: str = A) -> AlarmRow:
    """A meter is silent for long enough; gives its alarm."""
    desk.line("comms-lost", BUS, meter)
    desk.passes(DELAY_S)
    return next(row for row in desk.board.listed() if row.source == meter)


def test_what_does_not_last_is_no_alarm(desk: Desk) -> None:
    desk.line("comms-lost", BUS, A)
    desk.passes(DELAY_S - 1)
    desk.line("comms-lost", BUS, A, on=False)
    desk.passes(3600)
    assert (desk.notified, desk.standing(), desk.events()) == ([], [], [])


def test_what_lasts_is_raised_after_its_delay_and_names_meter_line_and_since_when(desk: Desk) -> None:
    began_ms = desk.clock.now_ms()
    desk.line("comms-lost", BUS, A)
    desk.passes(DELAY_S - 0.1)
    assert desk.notified == []
    desk.passes(0.1)
    row = desk.one()
    assert (row.source, row.line, row.since_ms, row.raised_ms) == (A, BUS, began_ms, desk.clock.now_ms())
    assert (row.active, row.severity, A in row.text, BUS in row.text) == (True, "error", True, True)
    ((meter, fields),) = desk.events()
    assert (meter, fields["since"], fields["raised"], fields["text"]) == (A, began_ms, True, row.text)
    assert desk.rows() == [row]
    desk.line("comms-lost", BUS, A, on=False)
    desk.passes(CLEAR_S)
    over = desk.one()
    assert (over.id, over.active, over.acked_ms) == (row.id, False, None)
    assert desk.raised() == [("comms-lost", True), ("comms-lost", False)]
    assert [one.active for one in desk.notified] == [True, False]


def test_silence_that_has_lasted_already_still_waits_for_company(desk: Desk) -> None:
    """A meter that is polled once a minute is known to be silent only long after its first unanswered poll."""
    began_ms = desk.clock.now_ms()
    desk.board.condition(A, "comms-lost", BUS, "", on=True, since_ms=began_ms - 60_000)
    desk.passes(1.9)
    assert desk.notified == []
    desk.passes(0.2)
    assert desk.one().since_ms == began_ms - 60_000


def test_a_line_is_silent_since_the_last_of_its_meters_was_heard(desk: Desk) -> None:
    """A meter that sleeps since the evening, and another that was heard until now."""
    desk.live.hear([MissedPoll(A, desk.clock.now_ms() - 40_000_000, "asleep")])
    now = Timestamp.now(desk.clock)
    desk.live.hear([NotRecorded(B, Reading(now.time_ms, (Value("x", 1, "W"),)), now, "disk-full")])
    desk.live.hear([MissedPoll(B, now.time_ms + 1000, "timeout")])
    desk.passes(2)
    desk.board.line_alarm(Alarm(BUS, None, "line-down", "no meter answers", True))
    desk.passes(DELAY_S)
    assert desk.one().since_ms == now.time_ms + 1000


def test_a_line_with_one_meter_is_that_meters_alarm(desk: Desk) -> None:
    desk.line("line-down", LONE_BUS)
    desk.passes(DELAY_S)
    assert desk.standing() == [(LONE, "line-down", LONE_BUS)]
    assert LONE in desk.one().text
    assert [meter for meter, _ in desk.events()] == [LONE]


def test_a_flapping_meter_is_one_alarm(desk: Desk) -> None:
    for _ in range(100):
        desk.line("comms-lost", BUS, A)
        desk.passes(15)
        desk.line("comms-lost", BUS, A, on=False)
        desk.passes(15)
    assert len(desk.events()) == 7  # raised and cleared three times, and raised: from then on it comes and goes
    row = desk.one()
    assert (row.active, row.times, "chattering" in row.text) == (True, 4, True)
    assert (row.message.code if row.message else None) == "alarm-chattering"
    assert len(desk.notified) == 8  # and once that it does so
    desk.passes(CHATTERING_QUIET_MS / 1000)
    assert not desk.one().active
    assert len(desk.rows()) == 1


def test_acknowledged_is_signed_with_the_users_name_and_ends_with_the_alarm(desk: Desk) -> None:
    row = lost(desk)
    done = asyncio.run(desk.board.operator.acknowledge(row.id, USER))
    assert (done.acked_by, done.acked_ms, done.active) == (USER, desk.clock.now_ms(), True)
    assert desk.events("alarm-acknowledged") == [(A, {"code": "comms-lost", "line": BUS, "user": USER})]
    assert asyncio.run(desk.board.operator.acknowledge(row.id, "another")).acked_by == USER
    assert len(desk.events("alarm-acknowledged")) == 1
    desk.line("comms-lost", BUS, A, on=False)
    desk.passes(CLEAR_S)
    assert (desk.standing(), desk.rows()) == ([], [])
    with pytest.raises(Declined) as declined:
        asyncio.run(desk.board.operator.acknowledge(row.id, USER))
    assert declined.value.message == Message("alarm-not-active", alarm=row.id)


def test_what_nobody_has_acknowledged_comes_first(desk: Desk) -> None:
    """A site with an old fault that everybody knows of, and a notice that nobody has seen."""
    old = lost(desk)
    asyncio.run(desk.board.operator.acknowledge(old.id, USER))
    desk.board.condition(GATEWAY, "clock-step", "clock", "it was set", on=True)
    assert [row.code for row in desk.board.listed()] == ["clock-step", "comms-lost"]
    desk.board.condition(GATEWAY, "clock-step", "clock", "it was set", on=False)
    desk.passes(1)
    assert [(row.code, row.active) for row in desk.board.listed()] == [("clock-step", False), ("comms-lost", True)]


def test_raised_again_before_anybody_saw_it_is_the_same_alarm(desk: Desk) -> None:
    row = lost(desk)
    asyncio.run(desk.board.operator.acknowledge(row.id, USER))
    desk.line("comms-lost", BUS, A, on=False)
    desk.passes(CLEAR_S)
    second = lost(desk)
    desk.line("comms-lost", BUS, A, on=False)
    desk.passes(CLEAR_S)
    third = lost(desk)
    assert second.id != row.id
    assert (third.id, third.times, third.acked_ms) == (second.id, 2, None)


def test_shelved_it_leaves_the_list_and_comes_back_by_itself(desk: Desk) -> None:
    row = lost(desk)
    asyncio.run(desk.board.operator.acknowledge(row.id, USER))
    asyncio.run(desk.board.operator.shelve(row.id, USER, 3_600_000, "cable is ordered"))
    until_ms = desk.clock.now_ms() + 3_600_000
    assert (desk.standing(), [one.id for one in desk.board.shelved()]) == ([], [row.id])
    ((meter, fields),) = desk.events("alarm-shelved")
    assert (meter, fields["user"], fields["until"], fields["reason"]) == (A, USER, until_ms, "cable is ordered")
    desk.restart(away_s=1800)
    desk.line("comms-lost", BUS, A)
    desk.passes(1700)
    assert (desk.standing(), len(desk.board.shelved())) == ([], 1)
    desk.passes(101)
    back = desk.one()
    assert (back.id, back.active, back.shelved, back.acked_ms) == (row.id, True, False, None)
    ((meter, fields),) = desk.events("alarm-unshelved")
    assert (meter, "user" in fields) == (A, False)
    assert desk.notified[-1] == back


def test_the_status_says_who_has_shelved_what_in_whatever_letters(desk: Desk) -> None:
    row = lost(desk)
    asyncio.run(desk.board.operator.shelve(row.id, "x[/]y", 60_000, "[bold"))
    reader, printed = Database(desk.loaded.database, read_only=True), io.StringIO()
    pages = DashboardStatus("https://192.0.2.7:8080/", "54:5B:AB:F5")  # `:AB:` is a picture's name
    print_status(console(printed), replace(collect(desk.loaded, reader, desk.clock.now_ms()), dashboard=pages))
    reader.close()
    until = rfc3339_ms(desk.clock.now_ms() + 60_000)
    assert f"shelved by x[/]y until {until}: {row.text}" in printed.getvalue()
    assert "SHA-256 54:5B:AB:F5\n" in printed.getvalue()


def test_what_is_over_while_it_is_shelved_is_done_with(desk: Desk) -> None:
    row = lost(desk)
    asyncio.run(desk.board.operator.shelve(row.id, USER, 3_600_000, ""))
    desk.line("comms-lost", BUS, A, on=False)
    desk.passes(60)
    assert desk.raised() == [("comms-lost", True), ("comms-lost", False)]
    desk.passes(3600)
    assert (desk.board.listed(), desk.board.shelved(), desk.rows()) == ([], [], [])


def test_somebody_may_take_it_back_before(desk: Desk) -> None:
    row = lost(desk)
    with pytest.raises(Declined, match="not shelved"):
        asyncio.run(desk.board.operator.unshelve(row.id, USER))
    for wrong in (0, -1, 31 * 86_400_000):
        with pytest.raises(Declined, match="30 days"):
            asyncio.run(desk.board.operator.shelve(row.id, USER, wrong, ""))
    asyncio.run(desk.board.operator.shelve(row.id, USER, 60_000, ""))
    asyncio.run(desk.board.operator.unshelve(row.id, USER))
    assert desk.one().active
    assert desk.events("alarm-unshelved") == [(A, {"code": "comms-lost", "line": BUS, "user": USER})]


def test_a_restart_keeps_what_is_still_true_and_clears_what_is_not(desk: Desk) -> None:
    first, second = lost(desk, A), lost(desk, B)
    asyncio.run(desk.board.operator.acknowledge(first.id, USER))
    desk.restart()
    assert {row.id for row in desk.board.listed()} == {first.id, second.id}
    desk.board.answered(B)
    desk.passes(600)  # A is still being looked for: nobody knows that it answers
    desk.line("comms-lost", BUS, A)
    desk.passes(600)
    kept, cleared = sorted(desk.board.listed(), key=lambda row: row.id)
    assert (kept.active, kept.acked_by, kept.since_ms) == (True, USER, first.since_ms)
    assert (cleared.active, cleared.acked_ms) == (False, None)
    assert [(meter, fields["raised"]) for meter, fields in desk.events()] == [(B, False)]
    assert desk.rows() == desk.board.listed()


def test_what_only_a_start_can_find_ends_with_the_next_and_still_wants_to_be_seen(desk: Desk) -> None:
    desk.board.condition(GATEWAY, "ledger-lost", "ledger x", "it has lost data", on=True)
    assert desk.one().active
    desk.restart()
    assert (desk.one().active, desk.one().acked_ms) == (False, None)
    assert desk.raised() == [("ledger-lost", False)]


def test_what_a_look_found_waits_for_the_next_look(desk: Desk) -> None:
    found = {(GATEWAY, "ledger x"): ("no receipt", desk.clock.now_ms() - 4_000_000)}
    desk.board.set_conditions("anchor-overdue", found)
    desk.board.condition(GATEWAY, "ledger-refused", "ledger x", "refused", on=True)
    assert desk.standing() == [(GATEWAY, "anchor-overdue", "ledger x"), (GATEWAY, "ledger-refused", "ledger x")]
    desk.restart()
    desk.passes(86_400)
    assert all(row.active for row in desk.board.listed())
    desk.board.set_conditions("anchor-overdue", {})
    desk.board.confirm("ledger-refused", [(GATEWAY, "ledger x")])
    assert [row.code for row in desk.board.listed() if row.active] == ["ledger-refused"]
    desk.board.confirm("ledger-refused", [])  # it is known again: the uplink says when it is over
    assert [row.code for row in desk.board.listed() if row.active] == ["ledger-refused"]


def test_a_meter_that_is_taken_out_takes_its_alarm_along(desk: Desk) -> None:
    lost(desk, A)
    desk.live.change([B, LONE])
    desk.board.reconfigure({BUS: {B: 1000}, LONE_BUS: {LONE: 1000}})
    desk.board.tick()
    assert not desk.one().active
    meter, fields = desk.events()[-1]
    assert (meter, fields["meter"], fields["raised"]) == (GATEWAY, A, False)


def test_a_line_that_is_opened_anew_has_to_find_again_what_is_wrong(desk: Desk) -> None:
    row = lost(desk, A)
    desk.line("comms-lost", BUS, B)
    desk.board.line_replaced(BUS)
    desk.passes(3600)
    assert desk.standing() == [(A, "comms-lost", BUS)]
    desk.board.answered(A)
    desk.passes(CLEAR_S)
    assert (desk.one().id, desk.one().active) == (row.id, False)


def test_a_notice_is_over_at_once_and_stands_until_somebody_has_seen_it(desk: Desk) -> None:
    desk.board.notice(GATEWAY, "configuration-changed", "configuration", "another one")
    row = desk.one()
    assert (row.active, row.severity) == (False, "notice")
    assert desk.raised() == [("configuration-changed", True), ("configuration-changed", False)]
    asyncio.run(desk.board.operator.acknowledge(row.id, USER))
    assert desk.standing() == []


def test_a_message_is_signed_with_its_code_beside_its_english(desk: Desk) -> None:
    message = Message("line-not-responding-host", line=LONE_BUS, where="10.0.0.7:502")
    desk.board.line_alarm(Alarm(LONE_BUS, None, "line-down", message, True))
    desk.passes(DELAY_S)
    _, fields = desk.events()[-1]
    assert fields["text"] == str(Message("alarm-of-meter", what=message, meter=LONE))
    facts = {"line": LONE_BUS, "where": "10.0.0.7:502"}
    what = {"message": "line-not-responding-host", "facts": facts}
    assert (fields["message"], fields["facts"]) == ("alarm-of-meter", {"meter": LONE, "what": what})
    row = desk.one()
    assert (row.text, row.message) == (fields["text"], Message("alarm-of-meter", what=message, meter=LONE))
    assert desk.rows() == [row]
    assert AlarmRow.from_json(row.as_json()) == row


def test_a_finders_event_is_taken_back_as_its_message(desk: Desk) -> None:
    message = Message("ledger-lost-all", ledger="x", settled=4)
    desk.board.happened(GATEWAY, alarm_event("ledger-lost", "ledger x", message, raised=True))
    (state,) = desk.board._store.states.values()
    assert state.sentence == message
    event = alarm_event("ledger-lost", "ledger x", "as it was", raised=True)
    assert event.fields.keys() == {"code", "line", "raised", "text"}


def test_without_a_disk_the_list_goes_on_and_is_written_later(desk: Desk) -> None:
    desk.settle()
    away = desk.loaded.database.with_name("away.db")
    desk.recorder.call(lambda store: store._db.close()).result(timeout=30)
    desk.loaded.database.rename(away)
    row = lost(desk)  # its event meets the disk
    desk.recorder.call(lambda _: None).result(timeout=30)
    desk.board.tick()
    assert desk.recorder.trouble is not None
    assert {one.code for one in desk.board.listed()} == {"comms-lost", "recording-stopped"}
    stopped = next(one for one in desk.board.listed() if one.code == "recording-stopped")
    assert ("disk-error" in stopped.text, stopped.severity) == (True, "critical")
    done = asyncio.run(desk.board.operator.acknowledge(row.id, USER))
    assert done.acked_by == USER
    away.rename(desk.loaded.database)
    for _ in range(10):
        desk.passes(5)
        desk.recorder.call(lambda _: None).exception(timeout=30)
    assert desk.recorder.trouble is None
    assert [one.code for one in desk.rows()] == ["recording-stopped", "comms-lost"]
    assert [fields["user"] for _, fields in desk.events("alarm-acknowledged")] == [USER]
    stopped = next(one for one in desk.board.listed() if one.code == "recording-stopped")
    assert not stopped.active
    expected = {("comms-lost", True), ("recording-stopped", True), ("recording-stopped", False)}
    assert (set(desk.raised()), len(desk.raised())) == (expected, 3)


def test_one_who_listens_and_fails_costs_nobody_else(desk: Desk) -> None:
    def fails(_: AlarmRow) -> None:
        raise ValueError("a page was closed")

    desk.board.listeners.insert(0, fails)
    lost(desk)
    assert len(desk.notified) == 1


def test_orders_give_the_list_and_take_the_acts(desk: Desk) -> None:
    row, give = lost(desk), orders(desk.board)

    async def talk() -> None:
        (alarm,) = (await give["alarms"]({}))["alarms"]
        assert (alarm["id"], alarm["meter"], alarm["line"], alarm["since"]) == (row.id, A, BUS, row.since_ms)
        assert (await give["acknowledge"]({"id": row.id, "user": USER}))["acknowledged_by"] == USER
        shelved = await give["shelve"]({"id": row.id, "user": USER, "for_ms": 60_000, "reason": "known"})
        assert (shelved["shelved_by"], shelved["shelved_why"]) == (USER, "known")
        assert [one["id"] for one in (await give["alarms"]({}))["shelved"]] == [row.id]
        await give["unshelve"]({"id": row.id, "user": USER})
        for bad in ({"id": row.id, "user": ""}, {"id": row.id, "user": "x" * 200}, {"id": row.id, "user": 7}):
            with pytest.raises(Declined, match="name is missing"):
                await give["acknowledge"](bad)

    asyncio.run(talk())


def test_what_a_ledger_did_before_it_was_taken_out_is_told_again_when_it_is_back(desk: Desk) -> None:
    alarms = LedgerAlarms(desk.board)
    for kept in ({"a"}, set[str](), {"a"}):
        alarms.reconfigure(kept)
        desk.board.reconfigure_ledgers({f"ledger {name}" for name in kept})
        desk.passes(1)
        if kept:
            alarms.raise_(AlarmCode.LEDGER_ODD, "a", Message("ledger-lost-all", ledger="a", settled=1))
            desk.passes(1)
            assert desk.one().active
        else:
            assert not desk.one().active
