"""Several connections to one line that listens: one that answers is kept, a newcomer's turn comes at the first question
without an answer, and two devices that both connect to it are named."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import count

import pytest

from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.polling import line as line_worker
from gateway.fieldbus.polling.line import key_table
from gateway.fieldbus.specs import Alarm
from gateway.fieldbus.wire import acceptor
from gateway.fieldbus.wire import dialed as dialed_connections
from gateway.fieldbus.wire.connections import Endpoint
from tests.gateway.fieldbus.devices import SAFETY_S, Device, Polls, Sent, bus, free_port, meter, running
from tests.gateway.fieldbus.wire.dtus import dialed, dtu, filled, redialling

A, B, HELLO = "127.0.0.2", "127.0.0.3", b"DTU 7\r\n"


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_worker, "REOPEN_S", 0.05)
    monkeypatch.setattr(line_worker, "LOOK_S", 0.02)


def dead(request: Request) -> Sent:
    """A device that never answers."""
    return []


class Alarms(list[Alarm]):
    """What a line reported of two devices."""

    def take(self, alarm: Alarm) -> None:
        if alarm.code == "two-devices":
            self.append(alarm)

    async def until(self, raised: bool) -> str:
        """The text of the alarm once it is raised, or cleared again."""
        async with asyncio.timeout(SAFETY_S):
            while not self or self[-1].raised != raised:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self[-1].text


def words(polls: Polls, since: int = 0) -> set[int]:
    """The values of all registers, from this poll on."""
    later = Polls()
    later.extend(polls[since:])
    return {word for found in later.values("one") for word in found}


@contextlib.asynccontextmanager
async def flood(port: int, host: str) -> AsyncIterator[list[int]]:
    """Connections with the right hello that nothing answers on, one after the other, each left open."""
    writers, made = list[asyncio.StreamWriter](), list[int]()

    async def go_on() -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(host, 0))
                writer.write(HELLO)
                writers.append(writer)
                made.append(len(made))
            await asyncio.sleep(0.005)

    task = asyncio.create_task(go_on())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait([task])
        for writer in writers:
            writer.transport.abort()


def test_of_two_devices_with_one_hello_the_one_that_answers_is_kept_and_both_are_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(dialed_connections, "RIVAL_S", 0.3)

    async def work() -> None:
        alarms, spec = Alarms(), dialed(port := free_port(), hello=HELLO)
        async with running(spec, on_alarm=alarms.take) as (_, polls), redialling(port, filled(1), says=HELLO, host=A):
            await polls.until(lambda poll: bool(poll.answers))
            async with redialling(port, filled(2), says=HELLO, host=B) as second:
                begun = len(polls)
                text = await alarms.until(raised=True)
                await polls.until(lambda poll: bool(poll.answers) and poll in polls[begun:], count=5)
                assert len(second) == 1, "it waits, and is not closed"
                assert "dialed" in text
                assert A in text
                assert B in text
                assert "hello of dialed" in text
                assert words(polls) == {1}
                assert {poll.missed for poll in polls[begun:] if not poll.answers} <= {"skipped"}
            await alarms.until(raised=False)

    asyncio.run(work())


def test_a_connection_that_does_not_answer_any_more_gives_way_and_one_redial_is_no_alarm() -> None:
    async def work() -> None:
        alarms, spec = Alarms(), replace(dialed(port := free_port(), hello=HELLO), timeout_ms=100)
        there = [True]

        def half_open(request: Request) -> Sent:
            return filled(1)(request) if there else []

        async with (
            running(spec, on_alarm=alarms.take) as (_, polls),
            dtu(port, half_open, says=HELLO, host=A) as old,
        ):
            await polls.until(lambda poll: bool(poll.answers))
            there.clear()
            async with dtu(port, filled(2), says=HELLO, host=B):
                begun = len(polls)
                await polls.until(lambda poll: bool(poll.answers) and poll in polls[begun:], count=3)
                async with asyncio.timeout(SAFETY_S):
                    await old
                assert words(polls, begun) == {2}
        assert not alarms

    asyncio.run(work())


@pytest.mark.parametrize("host", [A, B])
def test_a_flood_of_connections_that_say_the_hello_does_not_starve_the_line(host: str) -> None:
    """From the device's address, too, as behind a carrier's NAT. One of its meters is dead, and the other one misses
    every third question, so that turns come."""

    async def work() -> None:
        port = free_port()
        spec = replace(dialed(port, hello=HELLO), timeout_ms=60, backoff_cap_ms=100)
        spec, alarms = replace(spec, meters=(meter("one", 1), meter("two", 2))), Alarms()
        asked = count()

        def misses(request: Request) -> Sent:
            return [] if next(asked) % 3 == 2 else filled(1)(request)

        device: Device = bus({1: misses, 2: dead})
        async with running(spec, on_alarm=alarms.take) as (_, polls), redialling(port, device, says=HELLO, host=A) as a:
            await polls.until(lambda poll: bool(poll.answers))
            async with flood(port, host) as made:
                begun, before = len(polls), len(made)
                await polls.until(lambda poll: bool(poll.answers) and poll in polls[begun:], count=8)
                assert len(made) > before
                assert len(a) == 1, "what answers is never closed"
                if host == B:
                    text = await alarms.until(raised=True)
                    assert A in text
                    assert B in text

    asyncio.run(work())


def test_a_device_that_answers_as_another_meter_gives_way_to_the_known_one() -> None:
    """The known meter misses one question; the other device's turn comes, and it answers everything."""

    async def work() -> None:
        spec = replace(dialed(port := free_port(), hello=HELLO), timeout_ms=100)
        spec = replace(spec, meters=(meter("one", 1, identity="serial"),))
        misses: list[int] = []

        def known(request: Request) -> Sent:
            return [] if misses and misses.pop() else filled(1)(request)

        async with (
            running(spec) as (_, polls),
            redialling(port, known, says=HELLO, host=A),
            redialling(port, filled(2), says=HELLO, host=B),
        ):
            await polls.until(lambda poll: bool(poll.answers))
            mine = next(iter(words(polls)))
            misses.append(1)
            await polls.until(lambda poll: poll.missed == "exchanged" or (mine == 2 and not misses))
            begun = len(polls)
            await polls.until(lambda poll: bool(poll.answers) and poll in polls[begun:], count=3)
            assert words(polls) == {mine}

    asyncio.run(work())


def test_a_meter_that_tells_no_serial_number_gives_no_poll_over_two_connections() -> None:
    """Its first block is answered by one device, the second, after a time-out, would be by the other."""

    async def work() -> None:
        spec = replace(dialed(port := free_port(), hello=HELLO), timeout_ms=100)

        def only_a(request: Request) -> Sent:
            return filled(1)(request) if request.address < 200 else []

        async with running(spec) as (_, polls), dtu(port, only_a, says=HELLO, host=A):
            await polls.until(lambda poll: bool(poll.answers))
            async with dtu(port, filled(2), says=HELLO, host=B):
                await polls.until(lambda poll: bool(poll.answers) and not poll.failures)
        for poll in polls:
            one = Polls()
            one.append(poll)
            assert len(words(one)) <= 1, poll

    asyncio.run(work())


def test_connections_that_do_not_say_whose_they_are_do_not_keep_a_device_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(acceptor, "MOST_UNKNOWN", 3)

    async def work() -> None:
        spec = dialed(port := free_port(), hello=HELLO)
        async with running(spec, endpoint=Endpoint(key_table(spec))) as (_, polls):
            silent = []
            for _ in range(4):
                async with asyncio.timeout(SAFETY_S):
                    while True:
                        with contextlib.suppress(OSError):
                            silent.append(await asyncio.open_connection("127.0.0.1", port, local_addr=(B, 0)))
                            break
                        await asyncio.sleep(0.01)
            async with dtu(port, filled(1), says=HELLO, host=A):
                await polls.until(lambda poll: bool(poll.answers))
            for _, writer in silent:
                writer.close()

    asyncio.run(work())
