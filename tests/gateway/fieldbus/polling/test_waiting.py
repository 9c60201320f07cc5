"""Blocks that have one shape between them: each waits until the other's has rested, and nobody waits with it."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.devices.profile import parse_profile
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.read_variants import read_plan
from gateway.fieldbus.polling.line import read_once
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from tests.gateway.fieldbus.devices import Pty, Sent, addresses, answer, bus, meter, patient, rtu_line, running
from tests.support.register_points import registers_of

LIFE_MS = 300
APART = """
vendor = "Test"
device = "Far apart"
source = "made up for this test"
timeout_ms = 60
max_registers = 2
identity = [{identity}]
[defaults]
fc = 3
type = "uint32"
[points]
serial = {{ address = 900, kind = "status", record = false }}
first = {{ address = 100, unit = "W" }}
second = {{ address = 300, unit = "W" }}
"""


def apart(period_ms: int, *, identity: str = "") -> MeterSpec:
    """A meter whose two points and serial number can only be asked in one shape."""
    found = parse_profile(APART.format(identity=identity), "apart", "apart.toml")
    return MeterSpec("apart", found, 1, period_ms, found.select())


def both(poll: Poll) -> bool:
    return len(poll.answers) == 2


def held(polls: list[Poll], period_ms: int) -> bool:
    """Every due poll of one meter is there once, in order."""
    dues = [poll.due_ms for poll in polls]
    return dues == [dues[0] + k * period_ms for k in range(len(dues))]


def test_there_is_one_shape_for_all() -> None:
    spec = apart(1000, identity='"serial"')
    plan = read_plan(rtu_line(Path("/dev/null"), spec, life_ms=LIFE_MS), spec, spec.profile, spec.points)
    assert {r.key for block in (*plan.blocks, *plan.identity) for r in block.questions} == {(1, 3, 4)}
    assert len(plan.blocks) == 2


def test_each_poll_has_both_values_and_another_meter_is_asked_meanwhile(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", bus({1: addresses, 2: addresses}))
        spec = rtu_line(pty.link, apart(1200), meter("other", 2), life_ms=LIFE_MS)
        async with running(spec) as (_, polls):
            await polls.until(lambda p: p.meter == "apart", count=3)
        pty.unplug()
        mine = [poll for poll in polls if poll.meter == "apart"]
        assert all(both(p) and not p.failures for p in mine[:3])
        assert set(polls.values("apart")) == {(100, 101), (300, 301)}
        assert held(mine, 1200)
        assert held([p for p in polls if p.meter == "other"], 100)
        units = [r.unit for _, r in pty.responder.asked]
        mine_at = [n for n, unit in enumerate(units) if unit == 1]
        assert all(b - a > 1 for a, b in pairwise(mine_at)), "the other one has the line in between"
        asked = [at for at, r in pty.responder.asked if r.unit == 1]
        assert all(b - a >= LIFE_MS / 1000 for a, b in pairwise(asked))

    asyncio.run(test())


def test_who_it_is_may_take_the_same_shape_too(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", addresses)
        spec = rtu_line(pty.link, apart(1200, identity='"serial"'), life_ms=LIFE_MS)
        async with running(spec) as (_, polls):
            await polls.until(both, count=2)
        pty.unplug()
        assert [both(poll) for poll in polls[:2]] == [True, True]
        assert [r.address for _, r in pty.responder.asked[:3]] == [900, 100, 300]
        assert polls[0].identity == "serial=58983301"

    asyncio.run(test())


def test_where_the_period_is_too_short_they_take_turns(tmp_path: Path) -> None:
    """`meterseal check` refuses such a site; what only the wire shows can still come to it."""

    async def test() -> None:
        pty = Pty(tmp_path / "line", addresses)
        async with running(patient(rtu_line(pty.link, apart(200), life_ms=LIFE_MS))) as (_, polls):
            await polls.until(lambda p: bool(p.answers), count=8)
        pty.unplug()
        answered = [registers_of(a.block).address for p in polls for a in p.answers]
        assert {answered.count(100), answered.count(300)} <= {3, 4, 5}
        assert held(polls, 200)
        assert {f.reason for p in polls for f in p.failures if p.missed != "stopped"} == {"no-shape"}

    asyncio.run(test())


def test_it_goes_unanswered_and_the_poll_ends_with_what_it_has(tmp_path: Path) -> None:
    async def test() -> None:
        def device(request: Request) -> Sent:
            return [] if request.address == 300 else [(0.0, answer(request))]

        pty = Pty(tmp_path / "line", device)
        async with running(rtu_line(pty.link, apart(900), life_ms=LIFE_MS)) as (_, polls):
            poll = await polls.until(lambda p: bool(p.answers))
        pty.unplug()
        assert [(registers_of(f.block).address, f.reason, str(f.detail)) for f in poll.failures] == [
            (300, "timeout", "no answer")
        ]

    asyncio.run(test())


@pytest.mark.parametrize("end", ["unplugged", "stopped"])
def test_a_line_that_ends_ends_the_poll_that_waits(tmp_path: Path, end: str) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", bus({1: addresses, 2: addresses}))
        spec = rtu_line(pty.link, apart(20_000), meter("other", 2), life_ms=10_000)
        async with running(spec) as (line, polls):
            await polls.until(lambda p: any(r.unit == 1 for _, r in pty.responder.asked))
            known = len(polls)
            await polls.until(lambda p: polls.index(p) >= known)  # the line is free again, so the other one waits
            if end == "unplugged":
                pty.unplug()
            else:
                line.request_stop()
            poll = await polls.until(lambda p: p.meter == "apart")
        pty.unplug()
        assert [registers_of(a.block).address for a in poll.answers] == [100]
        reason = "line-down" if end == "unplugged" else "stopped"
        assert [(registers_of(f.block).address, f.reason) for f in poll.failures] == [(300, reason)]

    asyncio.run(test())


def test_one_read_by_hand_waits_too(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", addresses)
        (poll,) = await read_once(rtu_line(pty.link, apart(800), life_ms=LIFE_MS), ["apart"], Clock())
        pty.unplug()
        assert both(poll)

    asyncio.run(test())


def restarted(link: Path) -> LineSpec:
    return rtu_line(link, meter("one", 1, 2000), life_ms=400)


def test_a_first_poll_waits_for_the_answers_to_an_earlier_process_to_die_out(tmp_path: Path) -> None:
    async def test() -> None:
        pty = Pty(tmp_path / "line", addresses)
        begun = asyncio.get_running_loop().time()
        async with running(restarted(pty.link), used_until_ms=Clock().now_ms()) as (_, polls):
            await polls.until(lambda p: True)
        pty.unplug()
        assert both(polls[0])
        assert pty.responder.asked[0][0] >= begun + 0.39

    asyncio.run(test())
