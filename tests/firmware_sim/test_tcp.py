"""Modbus TCP: bare sockets, and pymodbus as a client that is not ours, which walks the SunSpec chain."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from pymodbus.client import AsyncModbusTcpClient

from firmware_sim.meters import pdu as frames
from firmware_sim.meters import sunspec_map
from tests.firmware_sim.sim_bench import PATIENCE_S, Bench, running, scenario

READ = bytes.fromhex("03 9C40 0002")  # the SunSpec marker
MARKER = bytes.fromhex("03 04 53756E53")


def connected(bench: Bench) -> socket.socket:
    client = socket.create_connection(bench.tcp, PATIENCE_S)
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def receive(client: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size and (more := client.recv(size - len(data))):
        data += more
    return data


def test_pipelined_requests_are_all_answered_in_order(tmp_path: Path) -> None:
    with running(scenario(tmp_path)) as bench, connected(bench) as client:
        client.sendall(b"".join(frames.tcp(number, 1, READ) for number in range(50)))
        expected = b"".join(frames.tcp(number, 1, MARKER) for number in range(50))
        assert receive(client, len(expected)) == expected
        assert len(bench.log()) == 50


def test_a_request_may_come_byte_by_byte(tmp_path: Path) -> None:
    with running(scenario(tmp_path)) as bench, connected(bench) as client:
        for byte in frames.tcp(7, 1, READ):
            client.sendall(bytes([byte]))
        assert receive(client, 13) == frames.tcp(7, 1, MARKER)


def test_frames_of_another_protocol_are_passed_over(tmp_path: Path) -> None:
    with running(scenario(tmp_path)) as bench, connected(bench) as client:
        foreign = struct.pack(">HHHB", 1, 7, 6, 1) + READ
        client.sendall(foreign + frames.tcp(2, 1, READ))
        assert receive(client, 13) == frames.tcp(2, 1, MARKER)
        assert len(bench.log()) == 1


@pytest.mark.parametrize("length", [0, 1, 255, 65535])
def test_a_length_that_cannot_be_ends_the_connection(tmp_path: Path, length: int) -> None:
    with running(scenario(tmp_path)) as bench:
        with connected(bench) as client:
            client.sendall(struct.pack(">HHHB", 1, 0, length, 1) + READ)
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""
        with connected(bench) as client:
            client.sendall(frames.tcp(2, 1, READ))
            assert receive(client, 13) == frames.tcp(2, 1, MARKER)


def test_an_unknown_unit_is_silence(tmp_path: Path) -> None:
    with running(scenario(tmp_path)) as bench, connected(bench) as client:
        client.sendall(frames.tcp(1, 99, READ) + frames.tcp(2, 1, READ))
        assert receive(client, 13) == frames.tcp(2, 1, MARKER)


def test_an_unknown_unit_is_an_exception_where_the_scenario_says_so(tmp_path: Path) -> None:
    path = scenario(tmp_path, tcp='unknown_unit = "exception"')
    with running(path) as bench, connected(bench) as client:
        client.sendall(frames.tcp(1, 99, READ))
        assert receive(client, 9) == frames.tcp(1, 99, bytes([0x83, 0x0B]))


def test_a_converter_tells_late_that_a_unit_is_not_there(tmp_path: Path) -> None:
    path = scenario(tmp_path, tcp='unknown_unit = "exception"\nunknown_after_ms = 30')
    with running(path) as bench, connected(bench) as client:
        client.sendall(frames.tcp(1, 99, READ) + frames.tcp(2, 1, READ))
        assert receive(client, 13) == frames.tcp(2, 1, MARKER)
        assert receive(client, 9) == frames.tcp(1, 99, bytes([0x83, 0x0B]))


def test_a_device_that_takes_one_connection_closes_the_second(tmp_path: Path) -> None:
    with running(scenario(tmp_path, tcp="connections = 1")) as bench:
        with connected(bench) as client:
            client.sendall(frames.tcp(1, 1, READ))
            assert receive(client, 13) == frames.tcp(1, 1, MARKER)
            with connected(bench) as second, suppress(ConnectionResetError):
                assert second.recv(1) == b""
            client.sendall(frames.tcp(2, 1, READ))
            assert receive(client, 13) == frames.tcp(2, 1, MARKER)
        assert len(bench.log()) == 2


@pytest.mark.parametrize(
    ("pdu", "code"),
    [("03 9C40 007E", 3), ("03 9C3F 0002", 2), ("06 9C40 0001", 1), ("03 9C40", 3), ("04 9C40 0002", 1)],
)
def test_what_cannot_be_read_is_refused(tmp_path: Path, pdu: str, code: int) -> None:
    request = bytes.fromhex(pdu)
    with running(scenario(tmp_path)) as bench, connected(bench) as client:
        client.sendall(frames.tcp(1, 1, request))
        assert receive(client, 9) == frames.tcp(1, 1, bytes([request[0] | 0x80, code]))


def test_late_answers_keep_their_own_transaction(tmp_path: Path) -> None:
    late = '[[fault]]\nmeter = "pv-inverter"\nkind = "late"\ndelay_ms = 50\nevery = 2'
    with running(scenario(tmp_path, faults=late)) as bench, connected(bench) as client:
        client.sendall(b"".join(frames.tcp(number, 1, READ) for number in (1, 2, 3)))
        assert [frames.mbap(receive(client, 13)).transaction for _ in range(3)] == [1, 3, 2]
        assert [e["faults"] for e in bench.log()] == [[], [], ["late"]]


def test_a_converter_with_a_late_answer_inside(tmp_path: Path) -> None:
    shifted = '[[fault]]\nmeter = "pv-inverter"\nkind = "shifted"'
    with running(scenario(tmp_path, faults=shifted)) as bench, connected(bench) as client:
        client.sendall(frames.tcp(1, 1, READ) + frames.tcp(2, 1, bytes.fromhex("03 9C42 0002")))
        assert receive(client, 26) == frames.tcp(1, 1, MARKER) + frames.tcp(2, 1, MARKER)
        assert [e["values"] for e in bench.log()] == [{}, {}]


def test_an_answer_split_at_every_byte_is_one_answer(tmp_path: Path) -> None:
    split = '[[fault]]\nmeter = "pv-inverter"\nkind = "split"\ngap_ms = 0.2'
    with running(scenario(tmp_path, faults=split)) as bench, connected(bench) as client:
        client.sendall(frames.tcp(1, 1, READ))
        assert receive(client, 13) == frames.tcp(1, 1, MARKER)
        assert len(bench.log()) == 1


def test_pymodbus_walks_the_sunspec_chain(tmp_path: Path) -> None:
    async def walk(host: str, port: int) -> dict[int, list[int]]:
        client = AsyncModbusTcpClient(host, port=port, timeout=5, retries=0)
        assert await client.connect()

        async def read(address: int, count: int) -> list[int]:
            answer: Any = await client.read_holding_registers(address, count=count, device_id=1)
            assert not answer.isError()
            return list(answer.registers)

        try:
            assert await read(40000, 2) == list(sunspec_map.MARKER)
            models, address = {}, 40002
            while (head := await read(address, 2))[0] != sunspec_map.END_ID:
                models[head[0]] = await read(address, 2 + head[1])
                address += 2 + head[1]
            assert head == [sunspec_map.END_ID, 0]
            return models
        finally:
            client.close()

    with running(scenario(tmp_path)) as bench:
        models = asyncio.run(walk(*bench.tcp))
        entries = {e["address"]: e["values"] for e in bench.log() if e["values"]}
    assert list(models) == [1, 103]
    text = AsyncModbusTcpClient.convert_from_registers(models[1][50:66], AsyncModbusTcpClient.DATATYPE.STRING)
    assert str(text).rstrip("\0") == entries[40002]["serial_number"] == "PV15-000713"
    power = AsyncModbusTcpClient.convert_from_registers(models[103][14:15], AsyncModbusTcpClient.DATATYPE.INT16)
    assert power == entries[40070]["active_power"]
    assert models[103][12] == round(float(entries[40070]["voltage_ln_l3"]) * 10)
    assert models[103][24] << 16 | models[103][25] == entries[40070]["energy_export"] >= 8_754_250
