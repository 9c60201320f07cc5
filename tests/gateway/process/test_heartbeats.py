"""A loop turns while it keeps to its own longest wait; the shipped loops say what theirs is."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from math import inf
from pathlib import Path

from gateway.clock import Clock
from gateway.errors import StoreError
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.polling.line import Line
from gateway.fieldbus.polling.poll import READ_MORE_S
from gateway.messages.message import Message
from gateway.process.heartbeats import GRACE_S, Heartbeat, Heartbeats, beat
from gateway.process.threads import in_thread
from gateway.recording.recorder import COMMIT_WITHIN_S
from gateway.records import MeterEvent
from gateway.storage.database import Database
from ledger_client.formats.record import Event
from tests.gateway.fieldbus.devices import SAFETY_S, Sent, meter, serving, tcp_line, tcp_talk
from tests.support.samples import Hands, Machine, finished, recorder, site


class Time:
    """A monotonic clock that a test moves."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_a_pulse_is_late_after_its_wait_and_the_grace() -> None:
    time = Time()
    pulse = Heartbeat("line rs485-1", time)
    pulse.beat(300)
    time.now += 300 + GRACE_S
    assert pulse.stuck() is None
    time.now += 5
    assert pulse.stuck() == Message("loop-late", name="line rs485-1", over_s=round(GRACE_S + 5))
    pulse.beat(inf)
    time.now += 1e9
    assert pulse.stuck() is None
    pulse.beat()
    time.now += GRACE_S + 1
    assert pulse.stuck() is not None


def test_loops_are_watched_while_they_run_and_others_are_asked() -> None:
    time = Time()
    pulses = Heartbeats(time)

    async def scenario() -> None:
        go_on = asyncio.Event()

        async def work() -> None:
            beat(5)
            await go_on.wait()

        task = asyncio.create_task(pulses.of("loop", work))
        await asyncio.sleep(0)
        assert pulses.stuck() == []
        time.now += 5 + GRACE_S + 1
        assert list(map(str, pulses.stuck())) == ["loop is 11 s late"]
        pulses.ask("writer", lambda: "writer: hangs")
        assert len(pulses.stuck()) == 2
        go_on.set()
        await task
        assert list(map(str, pulses.stuck())) == ["writer: hangs"]
        beat(1)  # of nobody who is watched

    asyncio.run(scenario())


def test_a_blocking_call_may_take_as_long_as_its_loop_says() -> None:
    time, answered = Time(), threading.Event()
    pulses = Heartbeats(time)

    def call() -> None:
        assert answered.wait(60)

    async def scenario() -> None:
        task = asyncio.create_task(pulses.of("uplink", lambda: in_thread(call, "a question"), call_s=260))
        await asyncio.sleep(0)
        time.now += 260 + GRACE_S
        assert pulses.stuck() == []
        time.now += 1
        assert list(map(str, pulses.stuck())) == ["uplink is 11 s late"]
        answered.set()
        await task

    asyncio.run(scenario())


def test_a_line_turns_for_as_long_as_its_meter_may_be_silent() -> None:
    time = Time()
    pulses = Heartbeats(time)

    async def scenario() -> None:
        asked = asyncio.Event()

        def mute(_: int, __: Request) -> Sent:
            asked.set()
            return []

        async with serving(tcp_talk(mute)) as server:
            spec = tcp_line(server.port, replace(meter("mute", 1), timeout_ms=60_000))
            clock = Clock()
            line = Line(spec, clock, lambda _: None)
            task = asyncio.create_task(pulses.of("line", lambda: line.run(clock.now_ms())))
            async with asyncio.timeout(SAFETY_S):
                await asked.wait()
            time.now += 3 * 60 + GRACE_S  # it may have to wait for another's answer before, and behind it
            assert pulses.stuck() == []
            time.now += READ_MORE_S + 1
            assert list(map(str, pulses.stuck())) == ["line is 11 s late"]
            task.cancel()
            await asyncio.wait([task])

    asyncio.run(scenario())


def test_a_writer_that_hangs_does_not_turn_unless_an_alarm_of_the_disk_stands(tmp_path: Path) -> None:
    machine, hang = Machine(), threading.Event()
    made, anchor_ms = recorder(site(tmp_path / "site"), machine.clock())
    assert made.stuck() is None  # it has not begun
    made.start()
    hung = threading.Event()

    def hangs(_: Database) -> None:
        hung.set()
        assert hang.wait(60)

    waits = made.call(hangs)
    assert hung.wait(60)
    machine.passes(COMMIT_WITHIN_S + GRACE_S)
    assert made.stuck() is None
    machine.passes(1)
    assert str(made.stuck()) == f"recorder is {GRACE_S + 1:.0f} s late"
    made._journal._committer.trouble = StoreError("the disk is gone")
    assert made.stuck() is None
    made._journal._committer.trouble = None
    hang.set()
    waits.result(timeout=60)
    made.put(finished("export-main", anchor_ms, machine.clock()))
    made.call(lambda _: None).result(timeout=60)
    assert made.stuck() is None
    made.stop()
    assert made.stuck() is None


def test_records_that_wait_too_long_for_their_commit_are_no_turning(tmp_path: Path) -> None:
    hands = Hands(site(tmp_path / "site"))
    hands.journal.happened(MeterEvent("gateway", Event("test", {})))
    assert hands.journal.uncommitted_s() == 0
    hands.machine.passes(COMMIT_WITHIN_S + 1 + hands.journal.rules.commit_every_ms / 1000)
    assert hands.journal.uncommitted_s() == COMMIT_WITHIN_S + 1
    hands.journal.keep_time()
    assert hands.journal.uncommitted_s() == 0
    hands.end()
