"""DTUs that dial in: their own texts are no frames, one listening socket serves several lines."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace
from ipaddress import ip_network

import pytest

from gateway.clock import Clock
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.polling import line as line_worker
from gateway.fieldbus.polling.line import key_table, read_once
from gateway.fieldbus.specs import Alarm
from gateway.fieldbus.wire import acceptor
from gateway.fieldbus.wire.acceptor import Acceptors
from gateway.fieldbus.wire.connections import Endpoint
from gateway.fieldbus.wire.errors import PortError
from gateway.fieldbus.wire.listener import listening_socket
from gateway.messages.message import Message
from tests.gateway.fieldbus.devices import (
    SAFETY_S,
    Sent,
    answer,
    free_port,
    meter,
    running,
)  # fmt: skip
from tests.gateway.fieldbus.wire.dtus import dialed, dtu, filled


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_worker, "REOPEN_S", 0.05)


def test_a_device_that_dials_in_is_polled_and_its_dtu_s_texts_are_no_frames() -> None:
    async def work() -> None:
        spec = dialed(port := free_port(), hello=b"DTU 7\r\n", heartbeat=b"\xfe\xfe")

        def device(request: Request) -> Sent:
            return [(0.0, b"\xfe\xfe" + answer(request)), (0.02, b"\xfe\xfe")]

        async with running(spec) as (line, polls), dtu(port, device, says=b"DTU 7\r\n\xfe\xfe"):
            await polls.until(lambda poll: bool(poll.answers) and not poll.failures, count=5)
            assert not line.counters["noise"]
            assert (100,) in polls.values("one") or (100, 101) in polls.values("one")

    asyncio.run(work())


def test_another_device_that_takes_the_line_over_right_behind_an_answer_gives_no_value() -> None:
    """Its connection takes the place of one that ended behind a whole answer, as a device's own next one does."""

    async def work() -> None:
        spec = dialed(port := free_port())
        spec = replace(spec, meters=(meter("one", 1, identity="serial"),))
        async with contextlib.AsyncExitStack() as others, running(spec) as (_, polls):
            async with dtu(port, filled(1)):
                first = await polls.until(lambda poll: bool(poll.answers))
                await others.enter_async_context(dtu(port, filled(2)))
            poll = await polls.until(lambda poll: poll.missed == "exchanged")
            assert poll.identity == first.identity
            assert {word for words in polls.values("one") for word in words} == {1}

    asyncio.run(work())


def test_lines_of_one_address_share_it_and_a_connection_is_the_line_s_whose_hello_it_begins_with() -> None:
    async def work() -> None:
        port, acceptors = free_port(), Acceptors()
        specs = [dialed(port, "first", hello=b"AAA"), dialed(port, "second", hello=b"AAAB")]
        ends = [Endpoint(key_table(spec), acceptors=acceptors) for spec in specs]
        async with (
            running(specs[0], endpoint=ends[0]) as (_, first),
            running(specs[1], endpoint=ends[1]) as (_, second),
            dtu(port, filled(2), says=b"AAAB"),
            dtu(port, filled(1), says=b"AAA\x01"),
        ):
            await first.until(lambda poll: bool(poll.answers))
            await second.until(lambda poll: bool(poll.answers))
            assert {word for words in first.values("one") for word in words} == {1}
            assert {word for words in second.values("one") for word in words} == {2}
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"ABC")
            with contextlib.suppress(ConnectionResetError):
                assert await reader.read() == b"", "nobody's is closed"
            writer.close()

    asyncio.run(work())


def test_a_connection_that_does_not_say_whose_it_is_is_closed_and_a_hello_that_begins_a_longer_one_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(acceptor, "HELLO_S", 0.3)
    monkeypatch.setattr(acceptor, "MOST_UNKNOWN", 3)

    async def work() -> None:
        port, acceptors = free_port(), Acceptors()
        specs = [dialed(port, "first", hello=b"AAA"), dialed(port, "second", hello=b"AAAB")]
        ends = [Endpoint(key_table(spec), acceptors=acceptors) for spec in specs]
        async with (
            running(specs[0], endpoint=ends[0]) as (_, first),
            running(specs[1], endpoint=ends[1]),
            dtu(port, filled(1), says=b"AAA"),
        ):
            await first.until(lambda poll: bool(poll.answers))
            silent = [await asyncio.open_connection("127.0.0.1", port) for _ in range(5)]
            async with asyncio.timeout(SAFETY_S):
                assert [await reader.read() for reader, _ in silent] == [b""] * 5
            for _, writer in silent:
                writer.close()

    asyncio.run(work())


def test_a_connection_from_another_network_is_refused() -> None:
    async def work() -> None:
        spec = replace(dialed(port := free_port()), networks=(ip_network("10.20.0.0/16"),))
        async with running(spec) as (_, polls), dtu(port) as talking:
            async with asyncio.timeout(SAFETY_S):
                await talking
            await polls.until(lambda poll: poll.missed == "line-down")

    asyncio.run(work())


def test_while_nobody_has_connected_the_line_is_down_and_says_why() -> None:
    async def work() -> None:
        alarms: list[Alarm] = []
        spec = dialed(port := free_port())
        async with running(spec, on_alarm=alarms.append) as (_, polls):
            await polls.until(lambda poll: poll.missed == "line-down")
            nobody = Message("listen-nobody")
            where = f"127.0.0.1:{port}"
            assert alarms[0].sentence == Message("line-nobody-connects", line="dialed", where=where, why=nobody)
            assert "cable" not in alarms[0].text
            async with dtu(port):
                await polls.until(lambda poll: bool(poll.answers))
                assert [(alarm.code, alarm.raised) for alarm in alarms] == [("line-down", True), ("line-down", False)]
            await polls.until(lambda poll: poll.missed == "line-down" and poll in polls[-1:])
            async with dtu(port, filled(3)):
                await polls.until(lambda poll: bool(poll.answers) and set(polls.values("one")[-1]) == {3})

    asyncio.run(work())


def test_with_the_last_line_of_an_address_its_socket_is_closed_and_another_may_listen() -> None:
    async def work() -> None:
        spec = dialed(port := free_port())
        async with running(spec) as (_, polls), dtu(port):
            await polls.until(lambda poll: bool(poll.answers))
            with pytest.raises(PortError, match="another process listens there"):
                listening_socket("127.0.0.1", port)
        listening_socket("127.0.0.1", port).close()

    asyncio.run(work())


def test_one_read_waits_for_the_device_to_connect() -> None:
    async def work() -> None:
        spec = dialed(port := free_port())
        reading = asyncio.create_task(read_once(spec, ["one"], Clock()))
        async with dtu(port):
            (poll,) = await reading
        assert poll.answers

    asyncio.run(work())
