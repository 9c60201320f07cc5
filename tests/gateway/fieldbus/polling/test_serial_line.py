"""Whole lines over real pseudo-terminals and RTU over TCP, with a raw responder at the other end."""

from __future__ import annotations

import asyncio
import gc
import os
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from gateway.clock import Clock
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.polling.line import read_once
from gateway.fieldbus.specs import Alarm
from gateway.fieldbus.wire.errors import NotARead, PortError
from gateway.fieldbus.wire.serial_port import open_port
from gateway.fieldbus.wire.stream_link import StreamLink
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import (
    SAFETY_S,
    Pty,
    Sent,
    addresses,
    answer,
    bus,
    descriptors,
    meter,
    patient,
    refuse,
    rtu_line,
    rtu_talk,
    running,
    serving,
    tcp_line,
)
from tests.support.register_points import registers_of

EXPECTED = {(100,), (101, 102), (300,)}


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


def serial(number: int, delay: float = 0.0) -> Callable[[Request], Sent]:
    """A meter whose register 900 holds its serial number, the others their address."""

    def device(request: Request) -> Sent:
        if request.address == 900:
            return [(delay, answer(request, number.to_bytes(2, "big")))]
        return [(delay, answer(request))]

    return device


def test_two_meters_are_read_on_their_schedule(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", bus({1: addresses, 2: addresses}))
        spec = rtu_line(pty.link, meter("one", 1), meter("two", 2, 150))
        async with running(spec) as (line, polls):
            await polls.until(lambda p: p.meter == "two" and bool(p.answers), count=8)
        pty.unplug()
        answered = [p for p in polls if p.answers]
        assert set(polls.values("one")) == set(polls.values("two")) == EXPECTED
        for name, period in (("one", 100), ("two", 150)):
            dues = [p.due_ms for p in polls if p.meter == name]
            assert dues == [dues[0] + k * period for k in range(len(dues))]
        assert all(p.flags == Quality.IDENTITY_UNPROVEN for p in answered)
        assert all(p.due_ms <= a.completed_ms for p in answered for a in p.answers)
        assert line.counters["answered"] == len(answered)

    run(test)


def test_a_line_that_lags_asks_behind_the_due_times_and_reports_each_of_them(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", bus({1: addresses}))
        async with running(rtu_line(pty.link, meter("one", 1, 400)), lag_ms=40) as (_, polls):
            await polls.until(lambda p: bool(p.answers), count=4)
        pty.unplug()
        assert all(p.due_ms + 40 <= a.completed_ms for p in polls for a in p.answers)
        dues = [p.due_ms for p in polls]
        assert dues == [dues[0] + k * 400 for k in range(len(dues))]

    run(test)


def test_answers_that_come_late_twice_or_damaged_are_never_booked_to_another_question(tmp_path: Path) -> None:
    """Each register holds its address and the number of the request, so that any mix-up shows."""

    async def test() -> None:
        count = 0

        def device(request: Request) -> Sent:
            nonlocal count
            count += 1
            good = answer(request)
            bad = good[:-3] + bytes([good[-3] ^ 1]) + good[-2:]
            late, twice = [(0.1, good)], [(0.0, good), (0.08, good)]
            return [[(0.0, good)], late, twice, [], [(0.0, bad)], [(0.0, good[:4]), (0.01, good[4:])]][count % 6]

        pty = Pty(tmp_path / "line", device)
        async with running(rtu_line(pty.link, meter("one", 1))) as (line, polls):
            await polls.until(lambda p: bool(p.answers), count=16)
        pty.unplug()
        assert set(polls.values("one")) == EXPECTED
        assert line.counters["late"] > 0

    run(test)


def test_a_dead_meter_is_backed_off_and_the_other_keeps_its_schedule(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", bus({1: addresses}))
        dead_one = replace(meter("dead", 7, 200), timeout_ms=190)  # a probe of it never fits beside the other's polls
        spec = rtu_line(pty.link, meter("live", 1, 200), dead_one)
        async with running(spec) as (_, polls):
            await polls.until(lambda p: p.missed == "backoff", count=5)
            await polls.until(lambda p: p.meter == "live" and bool(p.answers), count=8)
        pty.unplug()
        # a poll that a busy machine begins too late is skipped, whichever meter's it is
        dead = [p.missed for p in polls if p.meter == "dead" and p.missed != "skipped"]
        assert dead[:2] == ["timeout", "timeout"]
        assert set(dead[2:]) == {"backoff"}

    run(test)


def test_a_refused_block_leaves_the_others_their_values(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", lambda r: [(0.0, refuse(r) if r.address >= 290 else answer(r))])
        async with running(patient(rtu_line(pty.link, meter("one", 1)))) as (_, polls):
            poll = await polls.until(lambda p: bool(p.answers))
        pty.unplug()
        assert poll.missed is None
        assert [(f.reason, (f.refused and f.refused.code), registers_of(f.block).address) for f in poll.failures] == [
            ("refused", 2, 300)
        ]

    run(test)


def test_a_meter_that_only_refuses_is_asked_on(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", lambda r: [(0.0, refuse(r, 4))])
        async with running(patient(rtu_line(pty.link, meter("one", 1)))) as (_, polls):
            await polls.until(lambda p: p.missed == "refused", count=10)
        pty.unplug()
        assert {p.missed for p in polls} <= {"refused", "skipped"}

    run(test)


def test_lone_bytes_before_an_answer(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", lambda r: [(0.0, b"\0" + answer(r))])
        spec = rtu_line(pty.link, meter("one", 1, extra="leading_bytes = true"))
        async with running(spec) as (_, polls):
            await polls.until(lambda p: bool(p.answers), count=3)
        pty.unplug()
        assert set(polls.values("one")) == EXPECTED

    run(test)


@pytest.mark.parametrize("echo", ["auto", "on"])
def test_a_two_wire_adapter_that_echoes(tmp_path: Path, echo: str) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", lambda r: [(0.0, r.frame), (0.005, answer(r))])
        spec = replace(patient(rtu_line(pty.link, meter("one", 1))), echo=echo)
        async with running(spec) as (line, polls):
            await polls.until(lambda p: bool(p.answers), count=5)
        pty.unplug()
        assert set(polls.values("one")) == EXPECTED
        assert {p.missed for p in polls} <= {None, "skipped"}  # a loaded machine may skip; nothing is lost to the echo
        assert line.counters["foreign"] == line.counters["noise"] == 0

    run(test)


def test_an_adapter_that_comes_back_under_another_path_is_read_on(tmp_path: Path) -> None:
    async def test() -> None:
        device = serial(7001)
        pty = Pty(tmp_path / "line", device)
        spec = rtu_line(pty.link, meter("one", 1, identity="serial"))
        async with running(spec) as (_, polls):
            first = await polls.until(lambda p: bool(p.answers))
            old = pty.terminal
            pty.unplug()
            await polls.until(lambda p: p.missed == "line-down", count=3)
            keep = os.openpty()  # takes the number that the old terminal freed, unless another process was faster
            spare = pty = Pty(tmp_path / "line", device)
            if pty.terminal == old:  # that one has let go of it since
                pty = Pty(tmp_path / "line", device)
            assert pty.terminal != old
            before = len(polls)
            await polls.until(lambda p: bool(p.answers) and polls.index(p) >= before)
            assert pty.responder.asked[0][1].address == 900, "who it is is asked first"
        pty.unplug()
        spare.unplug()
        for descriptor in keep:
            os.close(descriptor)
        assert first.identity == "serial=7001"
        assert first.flags == 0

    run(test)


def test_two_adapters_that_change_places_give_no_value_under_the_others_name(tmp_path: Path) -> None:
    async def test() -> None:
        identities = {"one": "serial=7001"}
        pty = Pty(tmp_path / "line", serial(7002))
        spec = rtu_line(pty.link, meter("one", 1, identity="serial"))
        async with running(spec, identities=identities) as (line, polls):
            await polls.until(lambda p: p.missed == "exchanged", count=4)
            assert not any(p.answers for p in polls)
            assert all(p.flags & Quality.METER_EXCHANGED for p in polls if p.missed == "exchanged")
            line._table.lengthen(1, 0.5, Clock().monotonic())
            line.accept("one", "serial=7002")
            assert not line._table.lengthened(Clock().monotonic()), "it was the other device that was slow"
            poll = await polls.until(lambda p: bool(p.answers))
            assert poll.identity == "serial=7002"
            assert identities == {"one": "serial=7002"}
        pty.unplug()

    run(test)


def test_nothing_is_asked_until_the_answers_to_an_earlier_process_have_died_out(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", addresses)
        spec = rtu_line(pty.link, meter("one", 1), life_ms=700)
        loop, begun = asyncio.get_running_loop(), asyncio.get_running_loop().time()
        async with running(spec, used_until_ms=Clock().now_ms()) as (_, polls):
            await polls.until(lambda p: bool(p.answers))
            assert pty.responder.asked[0][0] >= begun + 0.69
            assert {p.missed for p in polls} >= {"no-shape"}
        pty.unplug()
        assert loop.time() > begun

    run(test)


def test_another_master_on_the_line_is_noticed_and_flagged(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", addresses)
        stranger = Request(9, 3, 0, 5)
        spec = rtu_line(pty.link, meter("one", 1))
        async with running(spec) as (line, polls):
            await polls.until(lambda p: bool(p.answers))
            pty._write(stranger.frame)  # so soon after the start it may be for an earlier process
            await polls.until(lambda p: bool(p.answers), count=6)
            assert not any(p.flags & Quality.SHARED_LINE for p in polls)
            pty._write(answer(stranger))
            flagged = await polls.until(lambda p: bool(p.flags & Quality.SHARED_LINE))
            assert flagged.answers
        pty.unplug()
        assert line.counters["foreign"] == 2

    run(test)


def test_opening_and_closing_leaks_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        before: list[str] = []
        for cycle in range(20):
            pty = Pty(tmp_path / "line", addresses)
            async with running(rtu_line(pty.link, meter("one", 1))) as (_, polls):
                await polls.until(lambda p: bool(p.answers))
            pty.unplug()
            if cycle == 0:
                gc.collect()  # sockets that earlier tests of this process have left
                before = descriptors()
        assert len(asyncio.all_tasks()) == 1
        assert descriptors() == before

    run(test)


def test_a_line_that_is_cancelled_closes_its_port(tmp_path: Path) -> None:
    async def test() -> None:
        from gateway.fieldbus.polling.line import Line

        pty = Pty(tmp_path / "line", addresses)
        before = descriptors()
        clock = Clock()
        seen = asyncio.Event()
        line = Line(rtu_line(pty.link, meter("one", 1)), clock, lambda poll: seen.set())
        task = asyncio.create_task(line.run(clock.now_ms()))
        await asyncio.wait_for(seen.wait(), 30)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert [d for d in descriptors() if "pts" in d] == [d for d in before if "pts" in d]
        pty.unplug()

    run(test)


def test_read_once(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", serial(7001))
        spec = rtu_line(pty.link, meter("one", 1, identity="serial"))
        (poll,) = await read_once(spec, ["one"], Clock())
        assert poll.identity == "serial=7001"
        assert len(poll.answers) == 2
        pty.unplug()
        with pytest.raises(PortError) as missing:
            await read_once(spec, ["one"], Clock())
        assert missing.value.what.code in ("port-missing", "port-missing-none")
        nobody = tcp_line(9, meter("one", 1), kind="modbus-rtu-over-tcp")
        with pytest.raises(PortError, match=r"127\.0\.0\.1:9"):
            await read_once(nobody, ["one"], Clock())

    run(test)


@pytest.mark.parametrize("function", [5, 6, 15, 16, 22, 23])
def test_a_write_raises_and_nothing_is_on_the_wire(tmp_path: Path, function: int) -> None:
    async def test() -> None:
        from gateway.fieldbus.wire.keys import KeyTable
        from gateway.fieldbus.wire.link import Manners
        from gateway.fieldbus.wire.serial_port import open_port

        pty = Pty(tmp_path / "line", addresses)
        link = StreamLink(open_port(str(pty.link), 115200), RTU, KeyTable(0.1), lambda seen: None)
        with pytest.raises(NotARead):
            await link.read([Request(1, function, 0, 1)], Manners(0.05))
        with pytest.raises(NotARead):
            await link._send(bytes([1, function, 0, 0, 0, 1, 0, 0]))
        await link.read([Request(1, 3, 0, 1)], Manners(SAFETY_S))
        assert pty.responder.raw == Request(1, 3, 0, 1).frame
        link.close()
        pty.unplug()

    run(test)


def test_rtu_over_tcp_stays_connected_over_time_outs_and_comes_back_after_a_break() -> None:
    async def test() -> None:
        count = 0

        def device(request: Request) -> Sent:
            nonlocal count
            count += 1
            return [] if count % 3 == 0 else [(0.0, answer(request))]

        async with serving(rtu_talk(device)) as server:
            spec = tcp_line(server.port, meter("one", 1), kind="modbus-rtu-over-tcp")
            async with running(spec) as (_, polls):
                await polls.until(lambda p: bool(p.answers), count=8)
                assert server.connections == 1
                await server.stop()
                await polls.until(lambda p: p.missed == "line-down", count=2)
                await server.start()
                before = len(polls)
                await polls.until(lambda p: bool(p.answers) and polls.index(p) >= before)
        assert set(polls.values("one")) == EXPECTED

    run(test)


def test_a_running_line_whose_driver_refuses_parity_is_down_and_says_why(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", bus({1: addresses}))
        open_port(str(pty.link)).close()  # nothing but the parity changes from here on
        raised: list[Alarm] = []
        spec = replace(rtu_line(pty.link, meter("one", 1)), parity="E")
        async with running(spec, on_alarm=raised.append) as (_, polls):
            await polls.until(lambda p: p.missed == "line-down")
        pty.unplug()
        assert [alarm.code for alarm in raised] == ["line-down"]
        refused = Message("port-no-parity", settings="115200 baud 8E1")
        assert raised[0].sentence == Message("line-port-failed", line="line", where=str(pty.link), why=refused)

    run(test)
