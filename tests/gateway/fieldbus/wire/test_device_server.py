"""Lines on the port of a device server, over pyserial's end of RFC 2217."""

from __future__ import annotations

import asyncio
import struct
import time
from pathlib import Path

import pytest

from gateway.config.load import load_config
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.wire.device_server import DeviceServerPort, open_port
from gateway.fieldbus.wire.errors import LineDown, PortError
from gateway.fieldbus.wire.line_spec import NETWORK_LIFE_MS, LineSpec
from gateway.fieldbus.wire.serial_port import LineErrors
from gateway.startup.line_specs import line_specs
from tests.gateway.fieldbus.devices import (
    SAFETY_S,
    Sent,
    addresses,
    answer,
    bus,
    descriptors,
    free_port,
    meter,
    patient,
    rtu_talk,
    running,
    serving,
)
from tests.gateway.fieldbus.wire.pyserial_server import Uart, rfc2217_talk

IAC = 255
MODEM_STATE = bytes([IAC, 250, 44, 107, 4, IAC, 240])
"""IAC SB COM-PORT-OPTION NOTIFY-MODEMSTATE: a state of other lines, which is no error of a byte."""
PARITY_ERROR = bytes([IAC, 250, 44, 106, 4, IAC, 240])


def remote_line(port: int, unit: int = 1) -> LineSpec:
    spec = LineSpec(
        "line", "modbus-rtu", (meter("one", unit),), host="127.0.0.1", tcp_port=port, rfc2217=True,
        baudrate=2400, parity="E", answer_life_ms=300,
    )  # fmt: skip
    return patient(spec)


def all_ones(request: Request) -> Sent:
    """Registers whose bytes telnet doubles."""
    return [(0.0, answer(request, struct.pack(">H", 0xFFFF) * request.count))]


def test_a_meter_behind_a_device_server_is_read_at_the_settings_of_the_bus() -> None:
    async def test() -> None:
        uart = Uart()
        async with serving(rfc2217_talk(uart, bus({1: all_ones}))) as server:
            async with running(remote_line(server.port)) as (_, polls):
                await polls.until(lambda p: bool(p.answers), count=3)
            assert {word for words in polls.values("one") for word in words} == {0xFFFF}
            assert set(uart.was) == {(2400, 8, "E", 1)}

    asyncio.run(test())


def test_a_connection_that_ends_is_made_again() -> None:
    async def test() -> None:
        talk = rfc2217_talk(Uart(), bus({1: addresses}))
        async with serving(talk) as server, running(remote_line(server.port)) as (line, polls):
            await polls.until(lambda p: bool(p.answers))
            await server.stop()
            await polls.until(lambda p: p.missed == "line-down")
            assert not line.up
            await server.start()
            known = len(polls)
            await polls.until(lambda p: p in polls[known:] and bool(p.answers))
            assert line.up

    asyncio.run(test())


def test_nobody_and_somebody_else_are_told_apart() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        with pytest.raises(LineDown, match="refused"):
            await loop.run_in_executor(None, open_port, "127.0.0.1", free_port(), 9600)

        async def hangs_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.close()

        for talk in (rtu_talk(addresses, lambda data: ([], b"")), hangs_up):
            async with serving(talk) as server:
                with pytest.raises(LineDown) as other:
                    await loop.run_in_executor(None, open_port, "127.0.0.1", server.port, 9600)
            assert "RFC 2217" in other.value.problem
            assert "one client" in other.value.way_out

    asyncio.run(test())


def test_settings_that_the_server_does_not_do_are_refused_and_others_go_on() -> None:
    async def test() -> None:
        loop, uart = asyncio.get_running_loop(), Uart(speeds=(9600, 19200, 115200))
        async with serving(rfc2217_talk(uart, addresses)) as server:
            port = await loop.run_in_executor(None, DeviceServerPort, "127.0.0.1", server.port, 9600)
            with pytest.raises(PortError, match="1200 baud 8N1"):
                await loop.run_in_executor(None, port.change, 1200, "N", 1)
            await loop.run_in_executor(None, port.change, 19200, "E", 2)
            assert uart.settings == (19200, 8, "E", 2)
            assert port.port().char_s == pytest.approx(12 / 19200)
            port.close()

    asyncio.run(test())


def test_each_line_state_that_the_server_reports_counts() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()

        def before(send: object) -> None:
            assert callable(send)
            send(PARITY_ERROR + MODEM_STATE + PARITY_ERROR)

        async with serving(rfc2217_talk(Uart(), addresses, before)) as server:
            port = await loop.run_in_executor(None, DeviceServerPort, "127.0.0.1", server.port, 9600)
            fd, request = port.port().fd, Request(1, 3, 0, 1).frame
            assert port.errors == LineErrors()
            await loop.sock_sendall(port._ours, request)
            async with asyncio.timeout(SAFETY_S):
                assert await loop.sock_recv(port._ours, 64)
            assert fd == port._ours.fileno()
            assert port.errors == LineErrors(parity=2)
            port.close()

    asyncio.run(test())


def test_telnet_that_is_none_ends_the_line_without_a_traceback(caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()

        def before(send: object) -> None:
            assert callable(send)
            send(bytes([IAC, 240]))  # the end of a subnegotiation that has not begun

        async with serving(rfc2217_talk(Uart(), addresses, before)) as server:
            port = await loop.run_in_executor(None, DeviceServerPort, "127.0.0.1", server.port, 9600)
            await loop.sock_sendall(port._ours, Request(1, 3, 0, 1).frame)
            async with asyncio.timeout(SAFETY_S):
                while await loop.sock_recv(port._ours, 64):
                    pass
            port.close()

    asyncio.run(test())
    assert "not understood" in caplog.text


def test_a_closed_port_leaves_nothing_open() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        async with serving(rfc2217_talk(Uart(), addresses)) as server:
            before = descriptors()
            port = await loop.run_in_executor(None, open_port, "127.0.0.1", server.port, 9600)
            assert len(descriptors()) > len(before)
            port.close()

            def released() -> bool:
                end = time.monotonic() + SAFETY_S
                while len(descriptors()) > len(before) and time.monotonic() < end:
                    time.sleep(0.02)
                return len(descriptors()) <= len(before)

            assert await loop.run_in_executor(None, released)

    asyncio.run(test())


def test_in_a_configuration_it_is_a_port_on_the_network(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_text(
        '[gateway]\nid = "g"\n'
        '[[bus]]\nname = "b"\ntype = "dlt645"\nport = "rfc2217://[::1]:2217"\n'
        '[[bus.meter]]\nname = "m"\nprofile = "dlt645-single-phase"\naddress = "202311220001"\n'
    )
    (spec,) = line_specs(load_config(path))
    assert (spec.port, spec.host, spec.tcp_port, spec.rfc2217) == (None, "::1", 2217, True)
    assert (spec.baudrate, spec.parity) == (2400, "E")
    assert spec.where == "rfc2217://[::1]:2217"
    assert spec.bridged
    assert spec.answer_life_of(spec.meters[0]) == NETWORK_LIFE_MS
