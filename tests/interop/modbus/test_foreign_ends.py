"""Our lines beside implementations that are not ours: libmodbus answers, mbpoll asks at the same time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterable
from pathlib import Path

import pytest

from gateway.devices.blocks import Raw
from gateway.fieldbus.specs import Poll
from gateway.fieldbus.wire.line_spec import LineSpec
from ledger_client.formats.senml import Quality
from tests.gateway.fieldbus.devices import rtu_line, running, tcp_line
from tests.interop.modbus.ends import OTHER, UNIT, Mbpoll, Wire, answered, build, content, meter, right, server
from tests.support.register_points import registers_of, words_of

LATENCY_MS = 5


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("libmodbus"))


@contextlib.asynccontextmanager
async def wire(folder: Path, program: Path) -> AsyncIterator[Wire]:
    """A serial line with ends for us (0), for mbpoll (1), and for libmodbus as a unit (2)."""
    line = Wire(folder, 3)
    try:
        async with server(program, "rtu", line.ends[2], UNIT, LATENCY_MS):
            yield line
    finally:
        line.close()


def ours_on(line: Wire) -> LineSpec:
    """Our end of the line."""
    return rtu_line(line.ends[0], meter(UNIT), life_ms=150)


def slowly_on(line: Wire) -> LineSpec:
    """Our end of the line, polled more slowly than answer life and time-out together."""
    return rtu_line(line.ends[0], meter(UNIT, period_ms=300), life_ms=150)


def mbpoll_rtu(line: Wire, unit: int, address: int, count: int) -> Mbpoll:
    """mbpoll at its end of the line, reading holding registers."""
    how = ("-m", "rtu", "-b", 115200, "-P", "none", "-t", 4, "-o", 0.05)
    return Mbpoll(*how, "-a", unit, "-r", address, "-c", count, line.ends[1])


def shared_and_answered(poll: Poll) -> bool:
    """Every block was answered, on a line that is known to be shared."""
    return bool(poll.flags & Quality.SHARED_LINE) and answered(poll)


def wrong(polls: Iterable[Poll]) -> list[Raw]:
    """Registers that are not those of the addresses that they are booked to."""
    read = [(registers_of(a.block), words_of(a.raw)) for poll in polls for a in poll.answers]
    return [words for block, words in read if not right(block, words)]


@pytest.mark.parametrize("extra", ["", "direct = true"], ids=["bridged", "direct"])
def test_a_libmodbus_server_over_tcp_with_mbpoll_at_the_same_endpoint(program: Path, extra: str) -> None:
    async def test() -> None:
        async with server(program, "tcp") as port:
            other = Mbpoll("-m", "tcp", "-p", port, "-t", 4, "-a", UNIT, "-r", 500, "-c", 7, "127.0.0.1")
            async with other, running(tcp_line(int(port), meter(UNIT, extra=extra))) as (_, polls):
                await polls.until(answered, count=20)
                await other.until(7 * 20)
        assert wrong(polls) == []
        assert {p.missed for p in polls if p.missed} <= {"skipped"}
        assert all(value == content(3, address) for address, value in other.values)

    asyncio.run(test())


def test_a_libmodbus_server_on_a_serial_line(program: Path, tmp_path: Path) -> None:
    async def test() -> None:
        async with wire(tmp_path, program) as line, running(ours_on(line)) as (ours, polls):
            await polls.until(answered, count=20)
        assert wrong(polls) == []
        assert {p.missed for p in polls if p.missed} <= {"skipped"}
        assert not any(p.flags & Quality.SHARED_LINE for p in polls)
        assert ours.counters["foreign"] == ours.counters["noise"] == ours.counters["damaged"] == 0

    asyncio.run(test())


@pytest.mark.parametrize(
    ("unit", "address", "count"),
    [(OTHER, 0, 5), (UNIT, 500, 29), (UNIT, 500, 3)],
    ids=["another unit", "our unit, another shape", "our unit, our own shape"],
)
def test_mbpoll_as_second_master_is_noticed_and_nothing_of_its_is_ours(
    program: Path, tmp_path: Path, unit: int, address: int, count: int
) -> None:
    async def test() -> None:
        async with wire(tmp_path, program) as line, running(ours_on(line)) as (ours, polls):
            await polls.until(answered, count=10)
            assert not any(p.flags & Quality.SHARED_LINE for p in polls)
            async with mbpoll_rtu(line, unit, address, count):
                await polls.until(lambda p: bool(p.answers) and bool(p.flags & Quality.SHARED_LINE), count=20)
        assert ours.counters["foreign"] > 0
        assert wrong(polls) == []

    asyncio.run(test())


def test_mbpoll_that_asks_in_the_only_shape_that_we_need_moves_us_to_another_each_time(
    program: Path, tmp_path: Path
) -> None:
    """Slow polls: one shape of each block is enough, and mbpoll takes it; then that which we ask in its place."""

    async def test() -> None:
        async with wire(tmp_path, program) as line, running(slowly_on(line)) as (ours, polls):
            await polls.until(answered, count=3)
            count, taken = 3, set[int]()
            for hop in range(1, 4):
                taken.add(count)
                async with mbpoll_rtu(line, UNIT, 500, count):
                    last = await polls.until(shared_and_answered, count=4 * hop)
                count = next(registers_of(a.block).count for a in last.answers if registers_of(a.block).fc == 3)
                assert count not in taken
        assert ours.counters["foreign"] > 0
        assert wrong(polls) == []

    asyncio.run(test())
