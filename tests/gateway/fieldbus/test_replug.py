"""Lines that go away and come back."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

from gateway.fieldbus.modbus.frames import parse_request
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import Pty, answer, meter, rtu_line, running, serving, tcp_line
from tests.gateway.fieldbus.replug import STEADY, identified, run


def test_forty_returns_leave_nothing_behind_and_each_begins_with_who_it_is(tmp_path: Path) -> None:
    """In 20 lines side by side. The memory is judged by the long form: two rounds are too few to tell."""
    kinds = ("modbus-rtu", "modbus-rtu-over-tcp")
    figures = asyncio.run(run(tmp_path, cycles=STEADY, lines=20, kinds=kinds))
    assert figures.cycles == STEADY
    assert figures.unasked == figures.missing_alarms == 0
    assert figures.descriptors[1] <= figures.descriptors[0], "what a closed connection still held before may be gone"
    assert figures.tasks[0] == figures.tasks[1]


def test_two_adapters_that_change_places_give_no_value_under_the_others_name(tmp_path: Path) -> None:
    async def test() -> None:
        devices = [identified(7001, []), identified(7002, [])]
        links = [tmp_path / "a", tmp_path / "b"]
        plugged = [Pty(link, device) for link, device in zip(links, devices, strict=True)]
        async with AsyncExitStack() as stack:
            polls = []
            for name, link in zip("ab", links, strict=True):
                spec = rtu_line(link, meter(name, 1, identity="serial"))
                polls.append((await stack.enter_async_context(running(spec)))[1])
            for each, number in zip(polls, ("7001", "7002"), strict=True):
                poll = await each.until(lambda p: bool(p.answers))
                assert poll.identity == f"serial={number}"
            for pty, each in zip(plugged, polls, strict=True):
                pty.unplug()
                await each.until(lambda p: p.missed == "line-down")
                each.clear()
            swapped = [Pty(link, device) for link, device in zip(links, reversed(devices), strict=True)]
            for each in polls:
                await each.until(lambda p: p.missed == "exchanged", count=3)
                assert not any(p.answers for p in each)
                assert all(p.flags & Quality.METER_EXCHANGED for p in each if p.missed == "exchanged")
        for pty in swapped:
            pty.unplug()

    asyncio.run(test())


def test_an_old_answer_that_a_device_server_gives_to_the_next_connection_is_late(tmp_path: Path) -> None:
    """It keeps an answer over a break, and delivers it behind the first question that comes after; every register
    holds the number of the question that it answers."""

    async def test() -> None:
        asked, stale, kept = 0, set[int](), b""

        async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            nonlocal asked, kept
            while data := await reader.readexactly(8):
                asked += 1
                request = parse_request(data)
                frame = answer(request, asked.to_bytes(2, "big") * request.count)
                if not stale and asked > 6:
                    stale.add(asked)
                    kept = frame
                    return
                old, kept = kept, b""
                writer.write(old + frame)

        async with serving(talk) as server:
            spec = tcp_line(server.port, meter("one", 1, 200), kind="modbus-rtu-over-tcp", life_ms=1000)
            async with running(spec) as (line, polls):
                await polls.until(lambda p: bool(stale))
                before = len(polls)
                await polls.until(lambda p: bool(p.answers) and polls.index(p) >= before, count=2)
        assert server.connections >= 2
        assert len(stale) == 1
        assert stale.isdisjoint(word for poll in polls for a in poll.answers for word in a.raw)
        assert line.counters["late"] + line.counters["foreign"] >= 1

    asyncio.run(test())
