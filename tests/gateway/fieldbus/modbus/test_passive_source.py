"""The passive source over a real terminal and a real connection: what it hears, and that it cannot send."""

from __future__ import annotations

import asyncio
import errno
import os
import termios
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from gateway.clock import Clock
from gateway.fieldbus.modbus.frames import Request, crc
from gateway.fieldbus.modbus.passive_source import LOOK_S, PassiveFacts, PassiveKind, PassiveSource
from gateway.fieldbus.wire import serial_port
from gateway.fieldbus.wire.errors import LineDown, PortError
from gateway.fieldbus.wire.keys import Unit
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.source import Heard, Wrote
from tests.gateway.fieldbus.devices import SAFETY_S, Pty, answer, meter, refuse, rtu_line, serving

QUESTION, WHOLE = Request(1, 3, 100, 3), Request(1, 3, 90, 20)


SHORT_MS = 1


def passive(spec: LineSpec, life_ms: int = SHORT_MS) -> LineSpec:
    return replace(spec, passive=True, answer_life_ms=life_ms)


@asynccontextmanager
async def listening(spec: LineSpec, facts: PassiveFacts | None = None) -> AsyncIterator[PassiveSource]:
    kind = PassiveKind()
    source = await kind.open(spec, Clock(), kind.facts(spec) if facts is None else facts)
    if spec.answer_life_ms == SHORT_MS:
        await asyncio.sleep(1.5 * LOOK_S)  # nothing counts for an answer life after the port was last seen empty
    try:
        yield source
    finally:
        source.close()


async def heard(source: PassiveSource) -> Heard | Wrote:
    async with asyncio.timeout(SAFETY_S):
        return await source.hear()


def test_the_kernel_refuses_a_write_to_the_port(tmp_path: Path) -> None:
    async def work() -> None:
        pty = Pty(tmp_path / "line", lambda request: [])
        port = serial_port.open_to_read(str(pty.link), 115200)
        with pytest.raises(OSError, match="Bad file descriptor") as refused:
            os.write(port.fd, b"\x01")
        assert refused.value.errno == errno.EBADF
        port.close()
        pty.unplug()

    asyncio.run(work())


def test_the_port_is_raw_has_no_echo_and_its_settings(tmp_path: Path) -> None:
    async def work() -> None:
        pty = Pty(tmp_path / "line", lambda request: [])
        settings = termios.tcgetattr(pty.master)
        settings[3] |= termios.ECHO | termios.ICANON
        termios.tcsetattr(pty.master, termios.TCSANOW, settings)
        port = serial_port.open_to_read(str(pty.link), 19200, stopbits=2)
        found = termios.tcgetattr(pty.master)
        assert found[5] == termios.B19200
        assert found[2] & termios.CSTOPB
        assert not found[3] & (termios.ECHO | termios.ICANON)
        os.write(pty.master, b"\x01\x03\x0a\x0d")
        assert os.read(port.fd, 10) == b"\x01\x03\x0a\x0d"
        with pytest.raises(BlockingIOError):
            os.read(pty.master, 10)
        port.close()
        pty.unplug()

    asyncio.run(work())


def test_a_port_that_is_listened_to_is_locked(tmp_path: Path) -> None:
    async def work() -> None:
        pty = Pty(tmp_path / "line", lambda request: [])
        port = serial_port.open_to_read(str(pty.link), 115200)
        with pytest.raises(PortError):
            serial_port.open_to_read(str(pty.link), 115200)
        with pytest.raises(PortError):
            serial_port.open_port(str(pty.link), 115200)
        port.close()
        with pytest.raises(PortError, match="115200 baud 8E1"):
            serial_port.open_to_read(str(pty.link), 115200, "E")  # a pseudo-terminal has no parity
        with pytest.raises(PortError, match="1234567 baud"):
            serial_port.open_to_read(str(pty.link), 1234567)
        pty.unplug()

    asyncio.run(work())


def test_a_pair_is_the_block_that_was_asked_for_with_the_points_that_lie_wholly_in_it(tmp_path: Path) -> None:
    async def work() -> None:
        pty = Pty(tmp_path / "line", lambda request: [])
        async with listening(passive(rtu_line(pty.link, meter("one", 1), meter("two", 2)))) as source:
            for question in (WHOLE, Request(1, 3, 101, 1), Request(9, 3, 100, 3), Request(2, 3, 100, 2)):
                os.write(pty.master, question.frame + answer(question))
            whole, part = await heard(source), await heard(source)
            assert isinstance(whole, Heard)
            assert isinstance(part, Heard)
            assert (whole.unit, [p.name for p in whole.block.points], whole.refused) == (1, ["a", "b"], None)
            assert whole.block.shown(whole.raw) == {"a": "0064", "b": "0065 0066"}
            assert (part.unit, [p.name for p in part.block.points]) == (2, ["a"])  # register 101 is half of b
        pty.unplug()

    asyncio.run(work())


def test_questions_of_one_kind_are_one_block(tmp_path: Path) -> None:
    async def work() -> None:
        pty = Pty(tmp_path / "line", lambda request: [])
        async with listening(passive(rtu_line(pty.link, meter("one", 1)))) as source:
            for reply in (answer(QUESTION), refuse(QUESTION), answer(QUESTION)):
                os.write(pty.master, QUESTION.frame + reply)
            found = [await heard(source) for _ in range(3)]
            assert all(isinstance(one, Heard) for one in found)
            assert len({one.block.key for one in found if isinstance(one, Heard)}) == 1
            codes = [one.refused.code if one.refused else None for one in found if isinstance(one, Heard)]
            assert codes == [None, 2, None]
        pty.unplug()

    asyncio.run(work())


def test_a_write_is_told(tmp_path: Path) -> None:
    async def work() -> None:
        pty = Pty(tmp_path / "line", lambda request: [])
        async with listening(passive(rtu_line(pty.link, meter("one", 1)))) as source:
            body = bytes.fromhex("01 06 00 10 00 03")
            os.write(pty.master, QUESTION.frame + answer(QUESTION) + 2 * (body + crc(body)))
            assert isinstance(await heard(source), Heard)
            wrote = await heard(source)
            assert isinstance(wrote, Wrote)
            assert wrote[:3] == (1, 6, 16)
        pty.unplug()

    asyncio.run(work())


def test_a_connection_is_only_read_and_not_shut_down() -> None:
    got: list[bytes] = []
    over = asyncio.Event()

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        reading = asyncio.create_task(reader.read())
        for question in (QUESTION, WHOLE):
            writer.write(question.frame + answer(question))
            await writer.drain()
        done, _ = await asyncio.wait([reading, asyncio.create_task(over.wait())], return_when="FIRST_COMPLETED")
        got.append(b"closed" if reading in done else b"open")
        got.append(await reading)

    async def work() -> None:
        async with serving(talk) as server:
            spec = LineSpec("line", "modbus-rtu-over-tcp", (meter("one", 1),), host="127.0.0.1", tcp_port=server.port)
            spec = passive(spec)
            async with listening(spec) as source:
                found = [await heard(source), await heard(source)]
                assert [len(one.block.points) for one in found if isinstance(one, Heard)] == [2, 2]
                over.set()
                async with asyncio.timeout(SAFETY_S):
                    while not got:  # noqa: ASYNC110
                        await asyncio.sleep(0.005)
            async with asyncio.timeout(SAFETY_S):
                while len(got) < 2:  # noqa: ASYNC110
                    await asyncio.sleep(0.005)
        assert got == [b"open", b""]

    asyncio.run(work())


def test_what_was_asked_while_nobody_listened_may_still_be_answered(tmp_path: Path) -> None:
    async def work() -> None:
        pty = Pty(tmp_path / "line", lambda request: [])
        spec = passive(rtu_line(pty.link, meter("one", 1)), life_ms=60_000)
        facts = PassiveKind().facts(spec)
        async with listening(spec, facts) as source:
            os.write(pty.master, QUESTION.frame + answer(QUESTION))
            first = await heard(source)
            pty.unplug()
            with pytest.raises(LineDown):
                await heard(source)
        pty = Pty(tmp_path / "line", lambda request: [])
        spec = replace(spec, meters=(meter("renamed", 1),))
        async with listening(spec, facts) as source:
            os.write(pty.master, QUESTION.frame + answer(QUESTION))
            second = await heard(source)
        pty.unplug()
        assert facts.points == {"renamed": ("a", "b", "c")}
        assert isinstance(first, Heard)
        assert isinstance(second, Heard)
        assert first.refused is not None
        assert second.refused is not None

    asyncio.run(work())


def test_points_that_are_never_asked_for_are_named_after_a_minute(tmp_path: Path) -> None:
    async def work() -> None:
        pty = Pty(tmp_path / "line", lambda request: [])
        spec = passive(rtu_line(pty.link, meter("one", 1)))
        facts = PassiveKind().facts(spec)
        async with listening(spec, facts) as source:
            os.write(pty.master, QUESTION.frame + answer(QUESTION))
            await heard(source)
            assert facts.as_json()["never_asked"] == {}
            assert facts.since is not None
            facts.since -= 61
            assert facts.as_json()["never_asked"] == {"one": ["c"]}
        pty.unplug()

    asyncio.run(work())


@pytest.mark.parametrize("again", [True, False], ids=["opened again", "process begun again"])
def test_who_owed_an_answer_when_nobody_listened_owes_it_still(tmp_path: Path, again: bool) -> None:
    async def work() -> None:
        pty = Pty(tmp_path / "line", lambda request: [])
        spec = passive(rtu_line(pty.link, meter("one", 1), meter("two", 2)), life_ms=2_000)
        facts = PassiveKind().facts(spec)
        if again:
            async with listening(spec, facts) as source:
                os.write(pty.master, QUESTION.frame + QUESTION.frame + answer(QUESTION))
                for _ in range(2):
                    await heard(source)
        else:
            facts.doubted.add(1)
        taken: set[Unit] = set()
        async with listening(spec, facts) as source:
            while 2 not in taken:
                for question in (QUESTION, WHOLE, Request(2, 3, 100, 3)):
                    os.write(pty.master, question.frame + answer(question))
                    found = await heard(source)
                    assert isinstance(found, Heard)
                    taken |= {found.unit} if found.refused is None else set()
                await asyncio.sleep(0.02)
        pty.unplug()
        assert taken == {2}

    asyncio.run(work())
