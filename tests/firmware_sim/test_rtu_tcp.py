"""RTU over TCP: a device server with a serial line behind it, bare sockets in front."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import pytest

from firmware_sim.cli.run import Simulator
from firmware_sim.errors import WireError
from firmware_sim.meters import pdu
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from firmware_sim.wire.rtu_tcp_server import RtuTcpBus

SERVER = """
[[bus]]
name = "server"
type = "modbus-rtu-over-tcp"
port = {port}
emulate = false
  [[bus.meter]]
  name = "export-main"
  profile = "eastron-sdm630"
  address = 1
"""
QUESTION = pdu.rtu(1, bytes.fromhex("0400000006"))
SIZE = 17


def test_a_device_server_gives_an_old_answer_to_the_next_connection(tmp_path: Path) -> None:
    async def test() -> None:
        path = tmp_path / "plant.toml"
        path.write_text(SERVER.format(port=0))
        simulator = Simulator(load_scenario(path), folder=tmp_path, log=AnswerLog())
        await simulator.open()
        at = simulator.ready()["lines"]["server"]
        assert at["type"] == "modbus-rtu-over-tcp"
        bus = simulator._buses[0][1]
        assert isinstance(bus, RtuTcpBus)
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(at["host"], at["port"])
            for piece in (QUESTION[:3], QUESTION[3:]):
                writer.write(piece)
                await writer.drain()
            answer = await reader.readexactly(SIZE)
            assert pdu.rtu(1, answer[1:-2]) == answer
            writer.close()
            for _ in range(1000):
                await asyncio.sleep(0)  # until the server has noticed
            assert bus.connections == []
            bus.put(b"late")
            reader, writer = await asyncio.open_connection(at["host"], at["port"])
            assert await reader.readexactly(4) == b"late"
            writer.write(QUESTION)
            assert (await reader.readexactly(SIZE))[:3] == bytes([1, 4, 12])
            simulator.close()
            assert await reader.read() == b"", "hung up"
            writer.close()

    asyncio.run(test())


def test_an_address_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        path = tmp_path / "plant.toml"
        path.write_text(SERVER.format(port=taken.getsockname()[1]))
        simulator = Simulator(load_scenario(path), folder=tmp_path, log=AnswerLog())
        with pytest.raises(WireError, match="--port server=0"):
            asyncio.run(simulator.open())
