"""A receiver over a real recorder and a real web server, on a clock in the test's hands: once, again, together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gateway.alarms.notification.pacing import MOST_AN_HOUR
from gateway.alarms.notification.receiver import Receiver
from gateway.config.notify import NotifyEntry
from gateway.messages.message import Message
from gateway.storage.alarm_tables import AlarmRow
from tests.gateway.alarms.notification.rig import Hook, hook
from tests.support.gateways.contexts import InForce, context
from tests.support.gateways.desk import Desk

A, B, BUS = "meter-a", "meter-b", "bus-1"
AFTER_S, HOUR_S = 120, 3600


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    made = Desk(tmp_path, {BUS: [A, B]})
    yield made
    made.stop()


@pytest.fixture
def server() -> Iterator[Hook]:
    with hook() as running:
        yield running


class Notified:
    """One receiver of a desk."""

    def __init__(self, desk: Desk, server: Hook, **more: Any) -> None:
        self.desk, self.server = desk, server
        self.entry = NotifyEntry.model_validate({"name": "duty", "type": "webhook", "url": server.url, **more})
        self.start()

    def start(self) -> None:
        desk = self.desk

        async def begin() -> Receiver:
            site = context(InForce(desk.loaded), desk.clock, desk.recorder, desk.live, desk.board)
            made = Receiver(site, self.entry)
            await made.begin()
            return made

        self.receiver = asyncio.run(begin())

    def restart(self) -> None:
        """The gateway is restarted."""
        self.receiver.close()
        self.desk.restart()
        self.start()

    def passes(self, seconds: float) -> list[str]:
        """Time passes, and the receiver does all that is due; gives what alarms came in messages meanwhile."""
        before = len(self.server.posted)
        self.desk.passes(seconds)

        async def work() -> None:
            while await self.receiver.turn() <= 0:
                pass

        asyncio.run(work())
        return [
            " ".join(f"{one['change']} {one['code']} {one['meter']}" for one in posted.json["alarms"])
            for posted in self.server.posted[before:]
        ]

    def alarm(self, code: str = "meter-refuses", meter: str = A, *, on: bool = True) -> AlarmRow | None:
        """A condition begins or ends, and the delays of its kind are over."""
        self.desk.board.condition(meter, code, BUS, Message("feed-closed"), on=on)
        self.desk.passes(5.1)
        return next((row for row in self.desk.board.listed() if (row.source, row.code) == (meter, code)), None)


def test_an_alarm_is_sent_once_and_no_restart_repeats_it(desk: Desk, server: Hook) -> None:
    case = Notified(desk, server)
    case.alarm()
    assert case.passes(60) == []
    case.restart()
    assert case.passes(50) == []
    assert case.passes(10) == [f"raised meter-refuses {A}"]
    for _ in range(2):
        case.restart()
        assert case.passes(HOUR_S) == []
    case.alarm(on=False)
    assert (case.passes(20), case.passes(10)) == ([], [f"cleared meter-refuses {A}"])
    case.restart()
    assert case.passes(HOUR_S) == []
    assert case.receiver.facts()["waiting"] == 0


def test_a_repetition_is_the_same_message_and_what_was_due_meanwhile_leaves_together(desk: Desk, server: Hook) -> None:
    case = Notified(desk, server)
    server.always = 503
    case.alarm()
    case.passes(AFTER_S)
    facts = case.receiver.facts()
    assert (facts["failing"], facts["message"], facts["waiting"]) == (True, "notify-status", 1)
    case.alarm("meter-exchanged")
    case.passes(AFTER_S)
    case.alarm("counter-back", B)
    case.alarm(on=False)
    case.passes(AFTER_S)
    case.restart()
    assert (case.receiver.facts()["failing"], case.receiver.facts()["message"]) == (True, "notify-undelivered")
    case.passes(1)
    bodies, repeated = {one.body for one in server.posted}, len(server.posted)
    assert (len(bodies), repeated >= 4) == (1, True)
    server.always = 200
    assert case.passes(600) == [
        f"raised meter-refuses {A}",
        f"raised meter-exchanged {A} raised counter-back {B} cleared meter-refuses {A}",
    ]
    assert server.posted[repeated].body in bodies
    assert (case.receiver.facts()["failing"], case.receiver.facts()["waiting"]) == (False, 0)
    case.restart()
    assert case.passes(HOUR_S) == []


def test_a_message_that_is_refused_lets_others_pass_and_is_given_up_after_a_day(desk: Desk, server: Hook) -> None:
    case = Notified(desk, server)
    server.faults = [400]
    case.alarm()
    assert case.passes(AFTER_S) == [f"raised meter-refuses {A}"]
    case.alarm("meter-exchanged")
    server.faults = [400]
    found = case.passes(AFTER_S)
    assert found == [f"raised meter-refuses {A}", f"raised meter-exchanged {A}"]
    server.always = 413
    for _ in range(24):
        case.passes(HOUR_S)
    assert case.receiver.facts()["waiting"] == 0
    server.always = 200
    case.restart()
    assert case.receiver.facts()["failing"]
    assert case.passes(HOUR_S) == []


def test_beyond_twenty_an_hour_a_digest_collects_what_is_due(desk: Desk, server: Hook) -> None:
    case = Notified(desk, server, cleared=False)
    for _ in range(MOST_AN_HOUR + 3):
        case.alarm("ratio-differs")
        case.passes(AFTER_S)
        case.alarm("ratio-differs", on=False)
        desk.board.operator._store.states.clear()  # the next one is an alarm of its own, and does not chatter
    types = [one.json["type"] for one in server.posted]
    assert types[:MOST_AN_HOUR] == ["alarms"] * MOST_AN_HOUR
    assert (types[MOST_AN_HOUR:], len(server.posted)) == ([], MOST_AN_HOUR)
    case.passes(600)
    digest = server.posted[-1].json
    assert (digest["type"], len(digest["alarms"]), len(server.posted)) == ("digest", 3, MOST_AN_HOUR + 1)


def test_what_is_shelved_is_not_sent_and_an_escalation_only_if_nobody_acknowledged(desk: Desk, server: Hook) -> None:
    case = Notified(desk, server, unacknowledged=True)
    shelved, seen = case.alarm(), case.alarm("meter-exchanged")
    assert shelved is not None
    assert seen is not None
    asyncio.run(desk.board.operator.shelve(shelved.id, "ines", HOUR_S * 1000, ""))
    asyncio.run(desk.board.operator.acknowledge(seen.id, "ines"))
    assert case.passes(AFTER_S) == []
    assert case.passes(HOUR_S) == [f"raised meter-refuses {A}"]


def test_without_a_disk_it_is_sent_all_the_same(desk: Desk, server: Hook) -> None:
    case = Notified(desk, server)
    desk.settle()
    away = desk.loaded.database.with_name("away.db")
    desk.recorder.call(lambda store: store._db.close()).result(timeout=30)
    desk.loaded.database.rename(away)
    case.alarm()
    desk.recorder.call(lambda _: None).result(timeout=30)
    desk.board.tick()
    assert case.passes(AFTER_S) == [f"raised recording-stopped None raised meter-refuses {A}"]
    assert case.passes(HOUR_S) == []
    away.rename(desk.loaded.database)
