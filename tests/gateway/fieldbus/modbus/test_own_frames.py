"""Our own frames are nobody else's: damaged echoes, late answers, and what a paused process reads late."""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import Answer, Manners, ObservedFrame, Silence
from gateway.fieldbus.wire.serial_port import open_port
from gateway.fieldbus.wire.stream_link import StreamLink
from gateway.messages.message import Message
from tests.gateway.fieldbus.devices import Pty, answer
from tests.gateway.fieldbus.wire.test_guard import THREE, TWO, Bench, exception, reply, seen_alone


def test_a_damaged_echo_is_no_other_master_and_its_answer_none_either() -> None:
    bench = Bench(echo="on")
    noise = bytes.fromhex("63 63 63")
    outcome = bench.read(TWO, 10.0, (0.005, noise), (0.012, TWO.frame), (0.03, reply(TWO)))
    assert isinstance(outcome, Silence)
    bench.guard.receive(reply(TWO), 10.6)
    assert set(bench.kinds) <= {"noise", "echo", "late", "doubled"}


def test_a_damaged_echo_does_not_make_the_line_one_that_has_none() -> None:
    bench = Bench(echo="auto")
    damaged = TWO.frame[:4] + b"\x55" + TWO.frame[5:]
    bench.read(TWO, 10.0, (0.012, damaged), (0.03, reply(TWO)))
    outcome = bench.read(THREE, 11.0, (0.012, THREE.frame), (0.03, reply(THREE)))
    assert isinstance(outcome, Answer)
    assert bench.kinds == ["noise"]


def test_an_echo_that_was_lost_once_is_found_out_all_the_same() -> None:
    bench = Bench(echo="auto")
    assert isinstance(bench.read(TWO, 10.0, (0.03, reply(TWO))), Answer)
    four, five = Request(1, 3, 0, 4), Request(1, 3, 0, 5)
    returned = Silence("timeout", Message("answer-returned"), four)
    assert bench.read(four, 11.0, (0.012, four.frame), (0.03, reply(four))) == returned
    bench.guard.receive(reply(four), 11.1)
    assert isinstance(bench.read(five, 12.0, (0.012, five.frame), (0.03, reply(five))), Answer)
    assert "foreign" not in bench.kinds


def test_our_own_question_is_known_over_a_reopening_and_within_its_answer_life_only() -> None:
    bench = Bench()
    bench.read(TWO, 10.0)
    assert seen_alone(bench.table, [TWO.frame], 12.9) == ["echo"]
    assert seen_alone(bench.table, [TWO.frame], 13.1) == ["foreign"]
    assert seen_alone(bench.table, [Request(1, 3, 9, 2).frame], 12.9) == ["foreign"], "the same shape from elsewhere"


def test_what_a_paused_process_reads_late_came_in_time() -> None:
    bench = Bench()
    bench.read(TWO, 10.0)
    bench.guard.receive(reply(TWO), 14.0, 12.5)
    assert (bench.kinds, bench.seen[0].latency_s) == (["late"], 2.5)
    bench.guard.receive(TWO.frame, 14.1, 12.9)
    assert bench.kinds[1:] == ["echo"]
    bench.guard.receive(exception(1, 3, 2), 14.2, 12.9)
    assert bench.kinds[2:] == ["late"]
    assert bench.guard.choose([TWO], 17.0) is None, "its shape rests from when it was read"


def test_a_copy_that_a_paused_process_reads_late_is_no_fault_of_its_unit() -> None:
    bench = Bench()
    assert isinstance(bench.read(TWO, 10.0, (0.05, reply(TWO))), Answer)
    bench.guard.ask(THREE, 12.0)
    bench.guard.receive(reply(TWO), 14.0, 12.9)
    bench.guard.finish(14.0)
    assert bench.kinds == ["late"]


def test_an_answer_that_came_while_the_process_was_held_up_is_late_and_no_strangers(tmp_path: Path) -> None:
    async def test() -> None:
        seen: list[ObservedFrame] = []
        pty = Pty(tmp_path / "line", lambda request: [])
        link = StreamLink(open_port(str(pty.link), 115200), RTU, KeyTable(0.5), seen.append)
        assert isinstance(await link.read([TWO], Manners(0.02)), Silence)
        begun = asyncio.get_running_loop().time()
        os.write(pty.master, answer(TWO))
        time.sleep(0.6)  # noqa: ASYNC251 — nothing of this process turns, as when it is stopped
        await asyncio.sleep(0.01)
        assert [s.kind for s in seen] == ["late"]
        assert seen[0].latency_s is not None
        assert seen[0].latency_s < asyncio.get_running_loop().time() - begun, "not all of the time that it was held up"
        link.close()
        pty.unplug()

    asyncio.run(test())
