"""Polls out of another master's pairs: newest values, what was not asked, who the meter is, and what it wrote."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.fieldbus.listening.cut_blocks import MOST_CUTS
from gateway.fieldbus.listening.listen_line import ListenLine
from gateway.fieldbus.listening.pairs import Pairs
from gateway.fieldbus.listening.recognition import Recognition
from gateway.fieldbus.listening.sources import PASSIVE, source_kind
from gateway.fieldbus.modbus.frames import Request, crc
from gateway.fieldbus.modbus.passive import UNANSWERED
from gateway.fieldbus.modbus.passive_source import Blocks, PassiveFacts, overheard_points
from gateway.fieldbus.specs import Alarm, Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.fieldbus.wire.source import Heard
from ledger_client.formats.record import Event
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import SAFETY_S, Polls, Pty, answer, meter, rtu_line
from tests.support.announced import check_shape

AB, A, C, SERIAL = Request(1, 3, 100, 3), Request(1, 3, 100, 1), Request(1, 3, 300, 1), Request(1, 3, 900, 1)


class Heap:
    """Pairs of one meter, and what is heard of it."""

    def __init__(self, *, identity: str = "", known: str | None = None) -> None:
        spec = meter("one", 1, identity=identity)
        self.blocks = Blocks(overheard_points(spec))
        self.pairs = Pairs(
            LineSpec("line", "modbus-rtu", (spec,), port="/dev/null", passive=True),
            spec,
            Recognition(("serial",) if identity else (), known),
        )
        self.at_ms = 1_000

    def hear(self, question: Request, *registers: int) -> None:
        """An exchange; without registers it was not answered."""
        self.at_ms += 10
        refused = None if registers else UNANSWERED
        self.pairs.take(Heard(1, self.blocks.of(question), registers, self.at_ms, refused=refused))

    def poll(self) -> Poll:
        poll = self.pairs.poll(0)
        assert poll is not None
        return poll


def held(poll: Poll) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in poll.answers:
        shown = one.block.shown(one.raw)
        assert not shown.keys() & found.keys(), "its blocks share no point"
        found |= shown
    return found


def failed(poll: Poll) -> dict[str, int]:
    return {point.name: failure.flag for failure in poll.failures for point in failure.block.points}


def test_a_master_that_asks_otherwise_each_time_takes_bounded_memory() -> None:
    heap = Heap()
    for first in range(100):
        for count in (101 - first, 103 - first):
            heap.hear(Request(1, 3, first, count), *range(first, first + count))
            assert held(heap.poll())
            assert len(heap.pairs._cut) <= MOST_CUTS


def test_a_point_comes_from_the_newest_pair_that_holds_it() -> None:
    heap = Heap()
    heap.hear(AB, 1, 2, 3)
    heap.hear(C, 4)
    heap.hear(AB, 5, 6, 7)
    heap.hear(A, 8)
    poll = heap.poll()
    assert held(poll) == {"a": "0008", "b": "0006 0007", "c": "0004"}
    assert failed(poll) == {}
    assert [one.completed_ms for one in poll.answers] == [1020, 1030, 1040]
    assert heap.pairs.poll(0) is None


def test_what_was_not_asked_and_what_was_not_answered_are_told_apart() -> None:
    heap = Heap()
    heap.hear(A, 1)
    heap.hear(C)
    assert failed(heap.poll()) == {"b": Quality.NOT_ASKED, "c": Quality.COMM_FAIL}
    heap.hear(C)
    assert heap.pairs.poll(0) is None, "nothing was answered"


def test_a_point_that_was_answered_before_it_was_not_has_its_value() -> None:
    heap = Heap()
    heap.hear(C, 4)
    heap.hear(C)
    assert held(heap.poll()) == {"c": "0004"}


def test_the_same_points_are_the_same_block() -> None:
    heap = Heap()
    keys = set()
    for _ in range(3):
        heap.hear(AB, 1, 2, 3)
        heap.hear(A, 8)
        poll = heap.poll()
        keys.add((*(one.block.key for one in poll.answers), *(one.block.key for one in poll.failures)))
    assert len(keys) == 1


def test_without_its_identity_a_meter_is_unproven() -> None:
    heap = Heap(identity="serial")
    heap.hear(A, 1)
    assert heap.poll().flags == Quality.IDENTITY_UNPROVEN


def test_an_identity_that_the_other_master_reads_proves_the_meter_for_an_hour() -> None:
    heap = Heap(identity="serial")
    heap.hear(A, 1)
    heap.hear(SERIAL, 77)
    poll = heap.poll()
    assert (poll.flags, poll.identity) == (0, "serial=77")
    assert held(poll) == {"a": "0001"}, "it is no value of the poll"
    heap.at_ms += 3_000_000
    heap.hear(A, 1)
    assert heap.poll().flags == 0
    heap.at_ms += 700_000
    heap.hear(A, 1)
    assert heap.poll().flags == Quality.IDENTITY_UNPROVEN


def test_another_identity_is_another_meter_until_it_is_accepted() -> None:
    heap = Heap(identity="serial", known="serial=77")
    heap.hear(A, 1)
    heap.hear(SERIAL, 78)
    poll = heap.poll()
    assert (poll.missed, poll.flags, poll.answers) == ("exchanged", Quality.METER_EXCHANGED, ())
    heap.hear(A, 1)
    assert heap.poll().missed == "exchanged", "nothing says that the known one is back"
    assert heap.pairs.known.stranger == "serial=78"
    heap.pairs.known.accept("serial=78")
    heap.hear(A, 1)
    heap.hear(SERIAL, 78)
    poll = heap.poll()
    assert (poll.missed, poll.identity, held(poll)) == (None, "serial=78", {"a": "0001"})


def frames() -> Iterator[bytes]:
    body = bytes.fromhex("01 06 00 10 00 03")
    while True:
        yield AB.frame + answer(AB)
        yield SERIAL.frame + answer(SERIAL)
        yield 2 * (body + crc(body))


@pytest.fixture
def spec(tmp_path: Path) -> LineSpec:
    one: MeterSpec = meter("one", 1, 200, identity="serial")
    return replace(rtu_line(tmp_path / "line", one), passive=True)


def test_a_line_gives_a_poll_for_each_period_and_tells_of_writes(spec: LineSpec) -> None:
    async def work() -> None:
        pty = Pty(Path(str(spec.port)), lambda request: [])
        polls, alarms, events, clock = Polls(), list[Alarm](), list[tuple[str, Event]](), Clock()
        kind = source_kind(spec)
        assert kind is PASSIVE
        line = ListenLine(
            spec, kind, clock, polls.take, on_alarm=alarms.append, happened=lambda m, event: events.append((m, event))
        )
        running = asyncio.create_task(line.run(clock.schedule_ms()))
        stream = frames()

        async def speak() -> None:
            while True:
                os.write(pty.master, next(stream))
                await asyncio.sleep(0.01)

        speaking = asyncio.create_task(speak())
        poll = await polls.until(lambda poll: poll.identity is not None and {"a", "b"} == held(poll).keys())
        assert failed(poll) == {"c": Quality.NOT_ASKED}
        assert poll.flags == 0
        await polls.until(lambda poll: poll.due_ms > 0)
        speaking.cancel()
        await polls.until(lambda poll: poll.missed == "timeout")
        line.request_stop()
        async with asyncio.timeout(SAFETY_S):
            await running
        pty.unplug()
        assert line.identity("one") == "serial=900"
        (event,) = events
        check_shape(event[1])
        assert event == ("one", Event("write-seen", {"unit": 1, "function": 6, "address": 16, "more": 0}))
        assert ("write-seen", "one", True) in [(alarm.code, alarm.meter, alarm.raised) for alarm in alarms]
        due = [poll.due_ms for poll in polls]
        assert due == [due[0] + 200 * n for n in range(len(due))], "each due poll once"

    asyncio.run(work())


async def speak_of(pty: Pty, question: Request) -> None:
    while True:
        os.write(pty.master, question.frame + answer(question))
        await asyncio.sleep(0.05)


def test_a_meter_whose_answers_have_no_certain_question_is_named_and_is_not_silent(spec: LineSpec) -> None:
    """Each answer is that to the question before."""

    async def work() -> None:
        pty = Pty(Path(str(spec.port)), lambda request: [])
        polls, alarms, clock = Polls(), list[Alarm](), Clock()
        line = ListenLine(replace(spec, answer_life_ms=2_000), PASSIVE, clock, polls.take, on_alarm=alarms.append)
        running = asyncio.create_task(line.run(clock.schedule_ms()))

        async def speak() -> None:
            assert isinstance(line.facts, PassiveFacts)
            while line.facts.since is None:  # noqa: ASYNC110
                await asyncio.sleep(0.005)
            os.write(pty.master, A.frame)
            while True:
                for question, before in ((C, A), (A, C)):
                    os.write(pty.master, question.frame + answer(before))
                    await asyncio.sleep(0.01)

        speaking = asyncio.create_task(speak())
        poll = await polls.until(lambda poll: poll.missed == "no-shape")
        assert poll.cause == "no-shape-overheard"
        for _ in range(3):
            await polls.until(lambda poll: poll.missed == "no-shape")
        speaking.cancel()
        assert [(a.code, a.meter, a.raised) for a in alarms] == [("answers-doubtful", "one", True)]
        assert line.silent == []
        assert line.up
        speaking = asyncio.create_task(speak_of(pty, AB))  # of another length
        await polls.until(lambda poll: {"a", "b"} == held(poll).keys())
        speaking.cancel()
        assert [(a.code, a.raised) for a in alarms][1:] == [("answers-doubtful", False)]
        line.request_stop()
        async with asyncio.timeout(SAFETY_S):
            await running
        pty.unplug()

    asyncio.run(work())
