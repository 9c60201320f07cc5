"""A device that closes its TCP connection behind each answer gives its readings."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Awaitable, Callable
from typing import Literal

import pytest

from gateway.fieldbus.modbus.frames import Request, parse_request
from gateway.fieldbus.modbus.tcp_link import TcpLink
from gateway.fieldbus.wire.connections import Connections, Habit
from gateway.fieldbus.wire.errors import LineDown
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import Answer, Manners, Outcome, Silence
from gateway.messages.message import Message
from tests.gateway.fieldbus.devices import SAFETY_S, Server, answer, meter, packet, patient, running, serving, tcp_line
from tests.gateway.fieldbus.polling.test_meter_state import Meter

Talk = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
KINDS = ("modbus-tcp", "modbus-rtu-over-tcp")
MANNERS = Manners(SAFETY_S)


def closing(kind: str, asked: list[Request], *, after_s: float = 0.0, how: Literal["close", "reset"] = "close") -> Talk:
    """A device that answers one question, every register holding its own address, and closes the connection."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        data = await reader.readexactly(8 if kind == "modbus-rtu-over-tcp" else 12)
        if kind == "modbus-tcp":
            request = Request(data[6], data[7], *struct.unpack(">HH", data[8:12]))
            reply = packet(int.from_bytes(data[:2], "big"), answer(request))
        else:
            request = parse_request(data)
            reply = answer(request)
        asked.append(request)
        writer.write(reply)
        await asyncio.sleep(after_s)
        if how == "reset":
            writer.transport.abort()

    return talk


@pytest.mark.parametrize(
    ("kind", "after_s", "extra"), [(KINDS[0], 0.0, "direct = true"), (KINDS[0], 0.02, ""), (KINDS[1], 0.02, "")]
)
def test_a_device_that_closes_tcp_behind_each_answer_gives_a_reading_at_every_poll(
    kind: str, after_s: float, extra: str
) -> None:
    async def test() -> None:
        asked: list[Request] = []
        async with serving(closing(kind, asked, after_s=after_s)) as server:
            spec = tcp_line(server.port, meter("one", 1, 400, identity="serial", extra=extra), kind=kind, life_ms=100)
            async with running(patient(spec)) as (line, polls):
                await polls.until(lambda p: p.meter == "one", count=5)
        made = [(p.missed, p.failures) for p in polls if p.missed != "skipped"]  # a busy machine is late for some
        assert made == [(None, ())] * len(made)
        assert set(polls.values("one")) == {(100,), (101, 102), (300,)}
        assert sum(r.address == 900 for r in asked) == 1, "who it is was read less than a minute ago"
        assert line.endpoint.connections.habit.one_question
        assert len(asked) == server.connections, "each question that was answered had a connection of its own"

    asyncio.run(test())


async def _link(server: Server, connections: Connections, table: KeyTable | None = None) -> TcpLink:
    link = TcpLink("127.0.0.1", server.port, table or KeyTable(10.0), lambda seen: None, connections=connections)
    await link.connect()
    return link


def _variants(address: int) -> list[Request]:
    return [Request(1, 3, address, 2 + i) for i in range(6)]


def test_a_question_that_met_the_close_counts_as_asked() -> None:
    async def test() -> None:
        asked: list[Request] = []
        async with serving(closing("modbus-tcp", asked, after_s=0.05)) as server:
            table, connections = KeyTable(10.0), Connections()
            link = await _link(server, connections, table)
            first = await link.read([Request(1, 3, 10, 20)], MANNERS)
            second = await link.read(_variants(100), MANNERS)
            now = asyncio.get_running_loop().time()
            lost, put_again = Request(1, 3, 100, 2), Request(1, 3, 100, 3)
            assert isinstance(first, Answer)
            assert isinstance(second, Answer)
            assert second.question == put_again, "in another shape"
            assert table.young(lost.key, now)
            assert table.burnt(1, now), "an exception that comes now may be meant for the one that was lost"
            assert connections.transaction == 3
            await link.read([Request(1, 3, 200, 30)], MANNERS)
            third = await link.read([lost], MANNERS)
            assert isinstance(third, Silence)
            assert third.reason == "no-shape"
            link.close()
            again = await _link(server, connections, table)
            await again.read([Request(1, 3, 200, 40)], MANNERS)
            assert connections.transaction > 4, "transaction ids outlive the link"
            again.close()

    asyncio.run(test())


def test_the_reason_is_the_close_where_no_other_shape_is_left() -> None:
    async def test() -> None:
        async with serving(closing("modbus-tcp", [], after_s=0.05)) as server:
            link = await _link(server, Connections())
            await link.read([Request(1, 3, 10, 20)], MANNERS)
            outcome = await link.read([Request(1, 3, 100, 2)], MANNERS)
            assert isinstance(outcome, Silence)
            assert outcome.reason == "no-shape"
            assert isinstance(outcome.detail, Message)
            assert outcome.detail.code == "poll-no-shape-lost"
            link.close()

    asyncio.run(test())


def test_a_reset_at_once_behind_a_whole_answer_is_its_close() -> None:
    async def test() -> None:
        asked: list[Request] = []
        async with serving(closing("modbus-tcp", asked, after_s=0.02, how="reset")) as server:
            link = await _link(server, Connections())
            outcomes: list[Outcome] = [await link.read(_variants(place), MANNERS) for place in (100, 200, 300)]
            assert [type(o) for o in outcomes] == [Answer] * 3
            assert (link.generation, link.renewals) == (1, 2)
            link.close()

    asyncio.run(test())


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("share", "words"), [(0, "without an answer"), (7, "in the middle of an answer")])
def test_a_close_without_a_whole_answer_is_a_fault_as_before(kind: str, share: int, words: str) -> None:
    async def test() -> None:
        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            data = await reader.read(100)
            frame = answer(parse_request(data) if kind == KINDS[1] else Request(1, 3, *struct.unpack(">HH", data[8:])))
            writer.write((frame if kind == KINDS[1] else packet(int.from_bytes(data[:2], "big"), frame))[:share])

        async with serving(talk) as server, running(tcp_line(server.port, meter("one", 1), kind=kind)) as (_, polls):
            poll = await polls.until(lambda p: p.missed == "line-down")
            assert words in str(poll.detail)

    asyncio.run(test())


def test_a_device_that_takes_no_other_connection_is_down_for_that_reason() -> None:
    async def test() -> None:
        server = Server(closing("modbus-tcp", [], after_s=0.01))
        await server.start()
        link = await _link(server, Connections())
        await link.read([Request(1, 3, 10, 20)], MANNERS)
        await server.stop()
        with pytest.raises(LineDown) as down:
            await link.read(_variants(100), MANNERS)
        assert down.value.message is not None
        assert down.value.message.code == "device-closed-for-good"
        link.close()

    asyncio.run(test())


def test_one_question_a_connection_is_learned_in_two_and_unlearned_after_three_on_one() -> None:
    habits: list[Habit] = []
    connections = Connections(on_change=habits.append)

    def connection(*, answers: int, at: float, closes: bool = True) -> None:
        connections.opened(0.004)
        for number in range(answers):
            connections.answered(at + number)
        if closes:
            connections.ended(at + answers - 1 + 0.002, orderly=True, met=False)

    connection(answers=1, at=0.0)
    connection(answers=2, at=10.0)
    connection(answers=1, at=20.0)
    assert not connections.habit.one_question, "it kept one in between"
    assert connections.end_due is None
    connection(answers=1, at=30.0)
    assert habits == [Habit(one_question=True, connect_s=0.004)]
    connection(answers=1, at=40.0, closes=False)
    assert connections.end_due == pytest.approx(40.2), "its end is waited for before another question"
    for number in (1, 2, 3):
        connections.answered(40.0 + number)
    assert habits[1:] == [Habit()]


@pytest.mark.parametrize(
    ("orderly", "after_s", "answers", "behind"),
    [(True, 30.0, 1, True), (False, 0.3, 1, True), (False, 30.0, 1, False), (True, 0.1, 0, False)],
)
def test_an_end_is_behind_an_answer_if_it_is_orderly_or_comes_at_once(
    orderly: bool, after_s: float, answers: int, behind: bool
) -> None:
    connections = Connections()
    connections.opened(0.0)
    for _ in range(answers):
        connections.answered(100.0)
    connections.ended(100.0 + after_s, orderly=orderly, met=False)
    connections.ended(200.0, orderly=not orderly, met=True)
    assert connections.behind_answer is behind


def test_behind_an_end_long_after_an_answer_another_device_may_stand() -> None:
    for after_s, same in ((0.002, True), (0.5, True), (0.6, False)):
        connections = Connections()
        connections.opened(0.0)
        connections.answered(100.0)
        assert not connections.same_device, "it has not ended"
        connections.ended(100.0 + after_s, orderly=True, met=False)
        assert connections.same_device is same
    known = Connections(Habit(one_question=True))
    known.opened(0.0)
    known.answered(100.0)
    known.ended(101.5, orderly=True, met=False)
    assert known.same_device, "that is how this one ends them"


def test_who_it_is_counts_for_a_minute_over_connections_that_the_device_closed() -> None:
    one = Meter()
    one.poll()
    assert one.link.addresses == [900, 100, 300]
    for _ in range(59):
        one.link.renewals += 1
        assert one.poll().poll.answers
        assert one.link.addresses == [100, 300]
    one.link.renewals += 1
    one.link.serial = 7002
    assert one.poll(2.0).poll.missed == "exchanged"
    assert one.link.addresses == [900], "after a minute it is read again"


def test_a_poll_that_waited_over_that_minute_asks_who_it_is_before_it_counts() -> None:
    one = Meter(meter("one", 1, 600_000, identity="serial"))
    until = one.clock.now + 70.0
    one.link.young = lambda request: until if request.address == 300 and one.clock.now < until else None
    turn = one.turn()
    assert asyncio.run(turn.run()) == until
    one.clock.now, one.link.renewals, one.link.serial = until, 1, 7002
    attempt = asyncio.run(turn.run())
    assert not isinstance(attempt, float)
    assert attempt.poll.answers == ()
    assert attempt.poll.missed == "exchanged"
