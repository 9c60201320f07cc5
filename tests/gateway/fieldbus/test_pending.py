"""No question over a pending answer: another master's, or that to a void question of ours."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import Answer, Manners, Silence
from gateway.fieldbus.wire.serial_port import open_port
from gateway.fieldbus.wire.stream_link import StreamLink
from tests.gateway.fieldbus.devices import SAFETY_S, Device, Pty, addresses, answer

OURS, NEXT, THEIRS = Request(1, 3, 0, 2), Request(1, 3, 0, 3), Request(9, 3, 0, 5)
PATIENT = Manners(SAFETY_S)


@asynccontextmanager
async def opened(folder: Path, device: Device = addresses) -> AsyncIterator[tuple[Pty, StreamLink]]:
    """A link to a port with a device behind it."""
    pty = Pty(folder / "line", device)
    link = StreamLink(open_port(str(pty.link), 115200), RTU, KeyTable(0.1), lambda seen: None)
    yield pty, link
    link.close()
    pty.unplug()


def test_no_question_is_sent_while_another_master_waits_for_its_answer(tmp_path: Path) -> None:
    async def test() -> None:
        async with opened(tmp_path) as (pty, link):
            pty._write(THEIRS.frame)
            await asyncio.sleep(0.02)
            asking = asyncio.create_task(link.read([OURS], PATIENT))
            await asyncio.sleep(0.05)
            assert pty.responder.asked == []
            pty._write(answer(THEIRS))
            assert isinstance(await asking, Answer)

    asyncio.run(test())


@pytest.mark.parametrize("again", [False, True])
def test_what_nobody_answers_keeps_the_line_for_one_time_out(tmp_path: Path, again: bool) -> None:
    async def test() -> None:
        async with opened(tmp_path) as (pty, link):
            loop = asyncio.get_running_loop()
            begun = loop.time()
            pty._write(THEIRS.frame)
            await asyncio.sleep(0.02)
            asking = asyncio.create_task(link.read([OURS], Manners(0.2)))
            if again:
                loop.call_later(0.15, pty._write, THEIRS.frame)
            await asking
            assert pty.responder.asked[0][0] >= begun + 0.19

    asyncio.run(test())


def test_no_question_is_sent_behind_a_void_one_until_its_answer_came(tmp_path: Path) -> None:
    async def test() -> None:
        held: list[Request] = []

        def device(request: Request) -> list[tuple[float, bytes]]:
            held.append(request)
            return [] if request == OURS else addresses(request)

        async with opened(tmp_path, device) as (pty, link):
            asking = asyncio.create_task(link.read([OURS], PATIENT))
            async with asyncio.timeout(SAFETY_S):
                while not held:  # noqa: ASYNC110 — what is waited for happens at the other end of the wire
                    await asyncio.sleep(0.001)
            pty._write(Request(1, 3, 700, 2).frame)  # in our shape: the answers cannot be told apart
            await asyncio.sleep(0.05)
            assert not asking.done()
            pty._write(answer(OURS))
            assert isinstance(await asking, Silence)
            following = asyncio.create_task(link.read([NEXT], PATIENT))
            await asyncio.sleep(0.05)
            assert held == [OURS], "the other master's answer is still to come"
            pty._write(answer(OURS))
            assert isinstance(await following, Answer)

    asyncio.run(test())
