"""Another master that asks our meter in exactly our shapes: what we ask then, and that none of its answers is ours."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from gateway.devices.profile import parse_profile
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.specs import Alarm, Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import Polls, Pty, addresses, answer, meter, patient, rtu_line, running

THEIRS = 5000
"""Where the other master reads: registers that no point of ours has."""
LIFE_MS, SLOWLY_MS = 60, 200
"""With these and the time-out of the test meter, 60 ms, one shape is enough for each block (K = 1)."""
ALONE = """
vendor = "Test"
device = "Test meter"
source = "made up for this test"
timeout_ms = 60
readable = [{ fc = 4, first = 300, last = 310 }]
[points]
alone = { fc = 3, address = 100, type = "uint32", unit = "W" }
wide = { fc = 4, address = 300, type = "uint16", unit = "W" }
"""


class Beside:
    """The other master on the wire of a Pty: its question is heard by all, and so is the answer to it."""

    def __init__(self, pty: Pty) -> None:
        self.pty = pty

    def asks(self, function: int, count: int) -> None:
        question = Request(1, function, THEIRS, count)
        self.pty._write(question.frame + answer(question))

    def only_answered(self, function: int, count: int) -> None:
        self.pty._write(answer(Request(1, function, THEIRS, count)))


def whole(poll: Poll) -> bool:
    """Every point was read, on a line that is known to be shared."""
    names = {p.name for a in poll.answers for p in a.block.points}
    return names == {"a", "b", "c"} and not poll.failures and bool(poll.flags & Quality.SHARED_LINE)


def slow(link: Path, **kwargs: str) -> LineSpec:
    return rtu_line(link, meter("one", 1, SLOWLY_MS, **kwargs), life_ms=LIFE_MS)


def right(polls: Polls) -> bool:
    return set(polls.values("one")) <= {(100,), (101, 102), (300,), (900,)}


def of_block(pty: Pty, address: int) -> Request:
    """Our last question for the block that holds an address."""
    found: Request = next(r for _, r in reversed(pty.responder.asked) if r.address <= address < r.address + r.count)
    return found


@pytest.mark.parametrize("heard", ["question and answer", "only answers"])
def test_a_block_that_needs_one_shape_takes_another_whenever_somebody_else_uses_it(tmp_path: Path, heard: str) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", addresses)
        other, theirs = Beside(pty), set[tuple[int, int]]()
        async with running(slow(pty.link)) as (_, polls):
            await polls.until(lambda p: bool(p.answers), count=3)
            for _ in range(3):
                mine = of_block(pty, 101)
                for _ in range(4):  # of a frame that was not foretold the first few may be late answers to us
                    shape = mine.function, mine.count
                    other.asks(*shape) if heard == "question and answer" else other.only_answered(*shape)
                theirs.add((mine.function, mine.count))
                known = len(polls) + 1  # the poll in flight may have been planned before
                await polls.until(lambda p, known=known: polls.index(p) > known and whole(p), count=3)  # type: ignore[misc]
                mine = of_block(pty, 101)
                assert (mine.function, mine.count) not in theirs
        pty.unplug()
        assert len(theirs) == 3
        assert right(polls)

    asyncio.run(test())


def test_only_a_block_that_can_be_read_in_no_other_shape_is_missed(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", addresses)
        other = Beside(pty)
        found = parse_profile(ALONE, "alone", "alone.toml")
        spec = rtu_line(pty.link, MeterSpec("one", found, 1, SLOWLY_MS, found.select()), life_ms=LIFE_MS)
        raised: list[Alarm] = []
        async with running(patient(spec), on_alarm=raised.append) as (line, polls):
            await polls.until(lambda p: len(p.answers) == 2, count=3)
            other.asks(3, 2)
            other.asks(4, 1)
            known = len(polls) + 1
            await polls.until(lambda p: polls.index(p) > known and len(p.answers) == 1, count=3)
            (alarm,) = (a for a in raised if a.code == "not-asked")
            assert alarm.meter == "one"
            assert alarm.sentence == Message("points-not-polled", line="line", meter="one", points=("alone",))
            line.clear_shared()
            freed = len(polls)
            await polls.until(lambda p: polls.index(p) > freed and len(p.answers) == 2)
            assert [a.raised for a in raised if a.code == "not-asked"] == [True, False]
        pty.unplug()
        after = [p for p in polls[known + 1 : freed] if p.answers]
        assert {a.block.points[0].name for p in after for a in p.answers} == {"wide"}
        assert {(f.block.points[0].name, f.reason) for p in after for f in p.failures} == {("alone", "no-shape")}

    asyncio.run(test())
