"""Modbus TCP: against pymodbus's own server, and against sockets that answer what they should not."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from pymodbus.pdu.device import ModbusDeviceIdentification
from pymodbus.server import ModbusTcpServer
from pymodbus.simulator import DataType, SimData, SimDevice

from gateway.fieldbus.modbus.exceptions import refused
from gateway.fieldbus.modbus.frames import Reply, Request, Shape, identification_object, object_text
from gateway.fieldbus.modbus.tcp_link import TcpLink
from gateway.fieldbus.wire.errors import LineDown, NotARead
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import Answer, Manners, ObservedFrame, Outcome, Refusal, Silence
from tests.gateway.fieldbus.devices import (
    SAFETY_S,
    Sent,
    Server,
    answer,
    descriptors,
    free_port,
    meter,
    packet,
    refuse,
    running,
    serving,
    tcp_line,
    tcp_talk,
)

DIRECT, BRIDGED = Manners(0.1, direct=True), Manners(0.1)
PATIENT = Manners(SAFETY_S, direct=True)  # of a read that is answered, however busy the machine is
READ = Request(1, 3, 100, 2)


def run(test: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(test())


async def ask(
    device: Callable[[int, Request], Sent], *requests: Request, manners: Manners = DIRECT
) -> tuple[list[Outcome], list[ObservedFrame], Server]:
    """Read the requests one after the other over one link to a device; what came of each, and what was seen."""
    seen: list[ObservedFrame] = []
    async with serving(tcp_talk(device)) as server:
        link = TcpLink("127.0.0.1", server.port, KeyTable(10.0), seen.append)
        await link.connect()
        outcomes = [await link.read([request], manners) for request in requests]
        link.close()
    return outcomes, seen, server


def right(tid: int, request: Request) -> Sent:
    return [(0.0, packet(tid, answer(request)))]


def test_registers_and_bits_of_pymodbus_own_server() -> None:
    async def test() -> None:
        port = free_port()
        blocks = (
            [SimData(0, count=32, values=[True, False] * 16, datatype=DataType.BITS)],
            [SimData(0, count=32, values=[False, True] * 16, datatype=DataType.BITS)],
            [SimData(0, count=200, values=0x1234, datatype=DataType.REGISTERS)],
            [SimData(0, count=200, values=0x5678, datatype=DataType.REGISTERS)],
        )
        server = ModbusTcpServer(SimDevice(id=1, simdata=blocks), address=("127.0.0.1", port))
        await server.serve_forever(background=True)
        link = TcpLink("127.0.0.1", port, KeyTable(10.0), lambda seen: None)
        await link.connect()
        found = [await link.read([Request(1, function, 0, 10)], PATIENT) for function in (3, 4)]
        assert [o.raw() for o in found if isinstance(o, Answer)] == [(0x1234,) * 10, (0x5678,) * 10]
        outcome = await link.read([Request(1, 3, 500, 2)], PATIENT)
        assert outcome == Refusal(Request(1, 3, 500, 2), refused(2, 3))
        found = [await link.read([Request(1, 1, 0, count)], PATIENT) for count in (3, 16)]
        assert [len(o.raw()) for o in found if isinstance(o, Answer)] == [3, 16]
        link.close()
        await server.shutdown()  # type: ignore[no-untyped-call]

    run(test)


def test_the_identification_of_pymodbus_own_server() -> None:
    async def test() -> None:
        port, names_given = free_port(), {"VendorName": "Vendor", "ProductCode": "N27400"}
        names = ModbusDeviceIdentification(info_name=names_given)  # type: ignore[no-untyped-call]
        device = SimDevice(id=1, simdata=[SimData(0, count=1, datatype=DataType.REGISTERS)])
        server = ModbusTcpServer(device, address=("127.0.0.1", port), identity=names)
        await server.serve_forever(background=True)
        link = TcpLink("127.0.0.1", port, KeyTable(10.0), lambda seen: None)
        await link.connect()
        for number, text in ((0, "Vendor"), (1, "N27400")):
            outcome = await link.read([identification_object(1, number)], PATIENT)
            assert isinstance(outcome, Answer)
            assert object_text(outcome.data, number) == text
        link.close()
        await server.shutdown()  # type: ignore[no-untyped-call]

    run(test)


def tid_zero(tid: int, request: Request) -> Sent:
    return [(0.0, packet(0, answer(request)))]


def body(frame: bytes) -> Callable[[int, Request], Sent]:
    return lambda tid, request: [(0.0, packet(tid, frame))]


@pytest.mark.parametrize(
    "device",
    [
        body(answer(Request(1, 3, 0, 1))),
        body(answer(Request(1, 3, 0, 3))),
        body(answer(Request(1, 4, 0, 2))),
        body(answer(Request(2, 3, 0, 2))),
        body(refuse(Request(1, 4, 0, 2))),
        body(Reply(Shape(1, 3, 3), b"abc").encode()),
        body(b"\x01\x03\x06" + b"abcd" + b"\0\0"),
        body(b"\x01\x03\x02" + b"abcd" + b"\0\0"),
        tid_zero,
        lambda tid, request: [(0.0, packet(tid + 1, answer(request)))],
        lambda tid, request: [(0.0, b"\0\0\0\7" + packet(tid, answer(request))[4:])],
        lambda tid, request: [(0.0, packet(tid, answer(request))[:9])],
        lambda tid, request: [(0.0, b"HTTP/1.1 400 Bad Request\r\n\r\n")],
        lambda tid, request: [],
    ],
    ids=[
        "short", "long", "other function", "other unit", "exception of another function", "odd byte count",
        "byte count too large", "byte count too small", "transaction 0", "other transaction", "other protocol",
        "broken off", "no Modbus", "nothing",
    ],
)  # fmt: skip
@pytest.mark.parametrize("manners", [DIRECT, BRIDGED], ids=["direct", "bridged"])
def test_what_is_not_the_answer_is_never_taken_for_it(
    device: Callable[[int, Request], Sent], manners: Manners, caplog: pytest.LogCaptureFixture
) -> None:
    async def test() -> None:
        outcomes, _, _ = await ask(device, READ, manners=manners)
        assert isinstance(outcomes[0], Silence)
        assert outcomes[0].reason == "timeout"

    with caplog.at_level(logging.WARNING):
        run(test)
    assert caplog.records == []


def test_an_answer_in_pieces_and_one_behind_an_old_one_are_taken() -> None:
    async def test() -> None:
        def pieces(tid: int, request: Request) -> Sent:
            whole = packet(tid, answer(request))
            return [(0.005 * i, whole[i : i + 1]) for i in range(len(whole))]

        def behind(tid: int, request: Request) -> Sent:
            return [(0.0, packet(tid - 1, answer(request, b"old!")) + packet(tid, answer(request)))]

        for device in (pieces, behind):
            outcomes, seen, _ = await ask(device, READ)
            assert isinstance(outcomes[0], Answer)
            assert outcomes[0].raw() == (100, 101)
        assert [s.kind for s in seen] == ["late"]

    run(test)


def test_more_old_answers_than_are_read_at_once_stand_before_the_right_one() -> None:
    async def test() -> None:
        def flood(tid: int, request: Request) -> Sent:
            return [(0.0, 500 * packet(tid + 1, answer(request, b"old!")) + packet(tid, answer(request)))]

        outcomes, seen, _ = await ask(flood, READ, manners=Manners(SAFETY_S, direct=True))
        assert isinstance(outcomes[0], Answer)
        assert outcomes[0].raw() == (100, 101)
        assert [s.kind for s in seen] == 500 * ["late"]

    run(test)


def test_each_read_has_its_own_time_out_whatever_the_one_before_had() -> None:
    """A longer one after a shorter one, whose end it outlives, and a shorter one after a longer one."""

    async def test() -> None:
        def device(tid: int, request: Request) -> Sent:
            delay = {100: 0.0, 200: 0.2}.get(request.address)
            return [] if delay is None else [(delay, packet(tid, answer(request)))]

        async with serving(tcp_talk(device)) as server:
            link = TcpLink("127.0.0.1", server.port, KeyTable(10.0), lambda seen: None)
            await link.connect()
            outcomes = [
                await link.read([Request(1, 3, address, 2)], Manners(timeout_s, direct=True))
                for address, timeout_s in ((100, 0.1), (200, SAFETY_S), (300, 0.05))
            ]
            link.close()
        assert [type(o) for o in outcomes] == [Answer, Answer, Silence]
        assert server.connections == 1

    run(test)


def test_behind_a_converter_a_second_answer_in_its_own_segment_makes_the_first_void() -> None:
    async def test() -> None:
        seen: list[ObservedFrame] = []
        second = asyncio.Event()

        def twice(tid: int, request: Request) -> Sent:
            return [(0.0, packet(tid, answer(request))), (0.02, packet(tid, answer(request, b"else")))]

        def witness(what: ObservedFrame) -> None:
            seen.append(what)
            second.set()

        async with serving(tcp_talk(twice)) as server:
            link = TcpLink("127.0.0.1", server.port, KeyTable(10.0), witness)
            await link.connect()
            outcome = await link.read([READ], BRIDGED)
            await second.wait()
            assert [s.kind for s in seen] == ["doubled"]
            if isinstance(outcome, Answer):
                assert link.voided == {outcome.number}
            link.close()

    run(test)


def test_a_connection_that_is_given_up_while_the_device_gets_its_rest_is_closed() -> None:
    async def test() -> None:
        gone = asyncio.Event()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.read(100)
            gone.set()

        async with serving(listen) as server, asyncio.timeout(SAFETY_S):
            link = TcpLink("127.0.0.1", server.port, KeyTable(10.0), lambda seen: None, delay_s=2 * SAFETY_S)
            opening = asyncio.create_task(link.connect())
            while link.generation == 0:  # noqa: ASYNC110  # its only other sign is that it returns
                await asyncio.sleep(0)
            opening.cancel()
            with pytest.raises(asyncio.CancelledError):
                await opening
            await gone.wait()
            assert link._connection is None

    run(test)


def test_a_late_answer_of_the_device_itself_is_told_by_its_transaction() -> None:
    async def test() -> None:
        calls = 0

        def device(tid: int, request: Request) -> Sent:
            nonlocal calls
            calls += 1
            return [(0.15 if calls == 1 else 0.07, packet(tid, answer(request)))]

        outcomes, seen, _ = await ask(device, READ, Request(1, 3, 200, 2))
        assert isinstance(outcomes[0], Silence)
        assert isinstance(outcomes[1], Answer)
        assert outcomes[1].raw() == (200, 201)
        assert [s.kind for s in seen] == ["late"]

    run(test)


def test_a_converter_with_the_hole_inside_is_not_believed() -> None:
    """It gives each question the serial answer to the one before, under the newest transaction id."""

    async def test() -> None:
        last: list[Request] = []

        def converter(tid: int, request: Request) -> Sent:
            last.append(request)
            return [(0.0, packet(tid, answer(last[-2])))] if len(last) > 1 else []

        seen: list[ObservedFrame] = []
        async with serving(tcp_talk(converter)) as server:
            link = TcpLink("127.0.0.1", server.port, KeyTable(10.0), seen.append)
            await link.connect()
            for address in (100, 200, 300):
                variants = [Request(1, 3, address, 2 + i) for i in range(4)]
                outcome = await link.read(variants, BRIDGED)
                assert isinstance(outcome, Silence), "an answer of another shape"
            link.close()
        assert [s.kind for s in seen] == ["late", "late"]

    run(test)


def test_on_a_bridged_line_no_shape_comes_twice_within_its_answer_life() -> None:
    async def test() -> None:
        outcomes, _, _ = await ask(right, READ, READ, Request(2, 3, 100, 2), manners=BRIDGED)
        assert [type(o) for o in outcomes] == [Answer, Silence, Answer]
        assert isinstance(outcomes[1], Silence)
        assert outcomes[1].reason == "no-shape"

    run(test)


def test_two_answers_to_one_question_void_each_other_behind_a_converter() -> None:
    async def test() -> None:
        def twice(tid: int, request: Request) -> Sent:
            return [(0.0, packet(tid, answer(request)) + packet(tid, answer(request, b"else")))]

        outcomes, _, _ = await ask(twice, READ, manners=BRIDGED)
        assert isinstance(outcomes[0], Silence)

    run(test)


@pytest.mark.parametrize("code", [0x0A, 0x0B])
def test_a_gateway_that_got_no_answer_is_a_time_out_unless_the_device_itself_says_it(code: int) -> None:
    async def test() -> None:
        def device(tid: int, request: Request) -> Sent:
            return [(0.0, packet(tid, refuse(request, code)))]

        outcomes, _, _ = await ask(device, READ, manners=BRIDGED)
        assert isinstance(outcomes[0], Silence)
        outcomes, _, _ = await ask(device, READ, manners=DIRECT)
        assert outcomes[0] == Refusal(READ, refused(code, 3))

    run(test)


def test_after_two_time_outs_in_a_row_or_a_broken_answer_the_connection_is_a_new_one() -> None:
    async def test() -> None:
        _, _, server = await ask(lambda tid, request: [], READ, READ)
        assert server.connections == 1
        _, _, server = await ask(lambda tid, request: [], READ, READ, READ)
        assert server.connections == 2
        _, _, server = await ask(lambda tid, request: [(0.0, packet(tid, answer(request))[:9])], READ, READ)
        assert server.connections == 2
        _, _, server = await ask(right, READ, READ, READ)
        assert server.connections == 1

    run(test)


def test_a_cancelled_read_leaves_nothing_for_the_next() -> None:
    async def test() -> None:
        asked = asyncio.Event()

        def slow(tid: int, request: Request) -> Sent:
            asked.set()
            whole = packet(tid, answer(request))
            return [(0.0, whole[:9]), (0.05, whole[9:])]

        async with serving(tcp_talk(slow)) as server:
            link = TcpLink("127.0.0.1", server.port, KeyTable(10.0), lambda seen: None)
            await link.connect()
            task = asyncio.create_task(link.read([READ], DIRECT))
            await asked.wait()
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            outcome = await link.read([Request(1, 3, 200, 2)], PATIENT)
            assert isinstance(outcome, Answer)
            assert outcome.raw() == (200, 201)
            assert server.connections == 2
            link.close()

    run(test)


def test_an_idle_connection_that_the_device_closed_is_opened_again() -> None:
    async def test() -> None:
        async with serving(tcp_talk(right)) as server:
            link = TcpLink("127.0.0.1", server.port, KeyTable(10.0), lambda seen: None)
            await link.connect()
            await server.stop()
            await server.start()
            outcome = await link.read([READ], PATIENT)
            assert isinstance(outcome, Answer)
            assert link.generation == 2
            link.close()

    run(test)


def test_a_connection_that_breaks_in_mid_read_ends_the_read_at_once() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readexactly(12)
            writer.close()

        async with serving(hang_up) as server:
            link = TcpLink("127.0.0.1", server.port, KeyTable(10.0), lambda seen: None)
            await link.connect()
            begun = loop.time()
            with pytest.raises(LineDown, match="closed the connection"):
                await link.read([READ], Manners(25.0, direct=True))
            assert loop.time() - begun < 20
            link.close()
        with pytest.raises(LineDown, match="Connection refused"):
            await TcpLink("127.0.0.1", server.port, KeyTable(10.0), lambda seen: None).connect()

    run(test)


@pytest.mark.parametrize("function", [5, 6, 15, 16, 22, 23])
def test_a_write_raises_and_nothing_is_on_the_wire(function: int) -> None:
    async def test() -> None:
        heard = bytearray()

        async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            while data := await reader.read(100):
                heard.extend(data)

        async with serving(listen) as server:
            link = TcpLink("127.0.0.1", server.port, KeyTable(10.0), lambda seen: None)
            await link.connect()
            with pytest.raises(NotARead):
                await link.read([Request(1, function, 0, 1)], DIRECT)
            assert link._connection is not None
            with pytest.raises(NotARead):
                link._connection.send(packet(1, bytes([1, function, 0, 0, 0, 1, 0, 0])))
            link.close()
        assert heard == b""

    run(test)


def test_a_whole_line_over_modbus_tcp_and_no_leak_over_twenty_cycles() -> None:
    async def test() -> None:
        before = descriptors()
        async with serving(tcp_talk(right)) as server:
            for cycle in range(20):
                async with running(tcp_line(server.port, meter("one", 1, extra="direct = true"))) as (_, polls):
                    await polls.until(lambda p: bool(p.answers), count=2 if cycle else 5)
                assert set(polls.values("one")) == {(100,), (101, 102), (300,)}
        assert len(asyncio.all_tasks()) == 1
        assert descriptors() == before

    run(test)


def test_a_line_waits_for_an_endpoint_that_is_not_there_yet() -> None:
    async def test() -> None:
        server = Server(tcp_talk(right))
        server.port = free_port()
        async with running(tcp_line(server.port, meter("one", 1))) as (_, polls):
            await polls.until(lambda p: p.missed == "line-down", count=3)
            await server.start()
            await polls.until(lambda p: bool(p.answers))
        await server.stop()

    run(test)


def test_an_identification_object_is_the_identity_of_a_meter_without_a_serial_register() -> None:
    async def test() -> None:
        def device(tid: int, request: Request) -> Sent:
            if request.function != 43:
                return right(tid, request)
            data = bytes([14, 4, 0x83, 0, 0, 1, 0x80, 6]) + b"N27400"
            return [(0.0, packet(tid, Reply(Shape(1, 43, -1), data).encode()))]

        async with serving(tcp_talk(device)) as server:
            spec = tcp_line(server.port, meter("one", 1, extra="identity_object = 0x80"))
            async with running(spec) as (_, polls):
                poll = await polls.until(lambda p: bool(p.answers))
        assert poll.identity == "object 0x80=N27400"
        assert poll.flags == 0

    run(test)
