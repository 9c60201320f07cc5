"""DL/T 645 meters on their wires: a pseudo-terminal, a device server, and a DTU that dials; and scenarios of them.

Frames are taken apart here by the rules of the standard alone, not by the simulator's codec.
"""

from __future__ import annotations

import asyncio
import json
import os
import tty
from decimal import Decimal
from pathlib import Path

import pytest

from firmware_sim.cli.run import Simulator
from firmware_sim.errors import ScenarioError
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from tests.firmware_sim.test_dlt645 import A, B, frame, opened, read

PATIENCE_S = 20
PROFILE = """
format = 2
vendor = "Test"
device = "Meter"
source = "made up for this test"
protocol = "dlt645"
[points]
energy_import = { di = "0001FF00", part = 1, format = "XXXXXX.XX", unit = "kWh", kind = "counter" }
voltage_ln_l1 = { di = "0201FF00", part = 1, format = "XXX.X", unit = "V" }
my_own = { di = "0F000000", format = "XXX.X", unit = "V" }
"""

SCENARIO = """
[[bus]]
name = "line"
type = "dlt645"
emulate = false
{bus}
  [[bus.meter]]
  name = "import"
  profile = "meter.toml"
  address = "123456789012"
  energy_import_kwh = 1234.5
  latency_ms = 0
  [[bus.meter]]
  name = "other"
  profile = "meter.toml"
  address = "680000000068"
  latency_ms = 0
{faults}
"""


def scenario(folder: Path, bus: str, faults: str = "") -> Path:
    (folder / "meter.toml").write_text(PROFILE)
    path = folder / "plant.toml"
    path.write_text(SCENARIO.format(bus=bus, faults=faults))
    return path


def simulator(folder: Path, bus: str, faults: str = "") -> Simulator:
    log = AnswerLog(folder / "answers.jsonl")
    return Simulator(load_scenario(scenario(folder, bus, faults)), folder=folder, log=log)


def logged(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in (folder / "answers.jsonl").read_text().splitlines()]


async def one_frame(reader: asyncio.StreamReader) -> bytes:
    head = b""
    while not head.endswith(b"\x68"):
        head += await reader.readexactly(1)
    rest = await reader.readexactly(9)
    return b"\x68" + rest + await reader.readexactly(rest[8] + 2)


def test_two_meters_behind_a_device_server(tmp_path: Path) -> None:
    async def test() -> None:
        site = simulator(tmp_path, "port = 0\npreamble = 7")
        await site.open()
        at = site.ready()["lines"]["line"]
        assert at["type"] == "dlt645"
        async with asyncio.timeout(PATIENCE_S):
            reader, writer = await asyncio.open_connection(at["host"], at["port"])
            for address in (A, B):
                request = read(address, "00010000")
                for piece in (request[:7], request[7:]):
                    writer.write(piece)
                    await writer.drain()
                assert opened(await one_frame(reader))[:2] == (address, 0x91)
            writer.write(frame("AAAAAAAA9012", 0x11, bytes.fromhex("00010000")[::-1]))
            assert opened(await one_frame(reader))[0] == A
            writer.write(read("000000000001", "00010000") + read(A, "02010100"))
            assert opened(await one_frame(reader))[2][3::-1].hex() == "02010100", "another address is nobody here"
        writer.close()
        site.close()

        assert site.warnings == [f"meter {name}: it does not have: my_own" for name in ("import", "other")]

    asyncio.run(test())
    first, *_ = logged(tmp_path)
    assert (first["meter"], first["unit"], first["control"], first["di"]) == ("import", A, 0x11, "00010000")
    assert str(first["answer"]).startswith("fe" * 7 + "68")
    values = first["values"]
    assert isinstance(values, dict)
    assert Decimal(values["energy_import"]) >= Decimal("1234.5")


def test_on_a_pseudo_terminal(tmp_path: Path) -> None:
    async def test() -> None:
        site = simulator(tmp_path, 'port = "line"')
        await site.open()
        loop = asyncio.get_running_loop()
        fd = os.open(tmp_path / "line", os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(fd)
        heard, got = loop.create_future(), bytearray()

        def take() -> None:
            got.extend(os.read(fd, 4096))
            if got.endswith(b"\x16") and not heard.done():
                heard.set_result(None)

        loop.add_reader(fd, take)
        os.write(fd, b"\x16\x68\x00" + read(A, "0201FF00"))  # noise first: silence ends it
        await asyncio.sleep(0.1)
        os.write(fd, read(A, "0201FF00"))
        async with asyncio.timeout(PATIENCE_S):
            await heard
        loop.remove_reader(fd)
        os.close(fd)
        site.close()
        address, control, data = opened(bytes(got))
        assert (address, control, len(data)) == (A, 0x91, 10)

    asyncio.run(test())


def test_a_dtu_dials_says_hello_and_dials_again(tmp_path: Path) -> None:
    async def test() -> None:
        calls: asyncio.Queue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.Queue()
        server = await asyncio.start_server(lambda r, w: calls.put_nowait((r, w)), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        keys = 'hello = "IMEI:861234"\nheartbeat = "hex:fe02"\nheartbeat_ms = 30\nredial_ms = 20'
        site = simulator(tmp_path, f'dial = "127.0.0.1:{port}"\n{keys}')
        await site.open()
        assert site.ready()["lines"]["line"] == {"type": "dlt645", "dials": f"127.0.0.1:{port}"}
        async with asyncio.timeout(PATIENCE_S):
            for _ in range(2):
                reader, writer = await calls.get()
                assert await reader.readexactly(11) == b"IMEI:861234"
                assert await reader.readexactly(4) == b"\xfe\x02\xfe\x02"
                writer.write(read(B, "00010000"))
                assert opened(await one_frame(reader))[0] == B
                writer.close()
        site.close()
        server.close()

    asyncio.run(test())


@pytest.mark.parametrize(
    ("bus", "faults", "key", "what"),
    [
        ("", "", "bus[0]", "a line has a port or dials"),
        ('port = 0\ndial = "a:1"', "", "bus[0]", "a line has a port or dials"),
        ('dial = "nowhere"', "", "bus[0].dial", "not allowed"),
        ('dial = "a:1"\nhello = "hex:0g"', "", "bus[0]", "hexadecimal"),
        ("port = 0", '[[fault]]\nmeter = "other"\nkind = "wrong-byte-count"', "fault[0].kind", "use truncated"),
        ("port = 0", '[[fault]]\nmeter = "other"\nkind = "stale-label"', "fault[0].kind", "hj212"),
    ],
)
def test_a_scenario_that_cannot_be_is_refused(tmp_path: Path, bus: str, faults: str, key: str, what: str) -> None:
    with pytest.raises(ScenarioError) as refused:
        load_scenario(scenario(tmp_path, bus, faults))
    assert refused.value.key == key
    assert what in str(refused.value)


@pytest.mark.parametrize(
    ("line", "other", "key", "what"),
    [
        ('address = "680000000068"', 'address = "68000000006"', "bus[0].meter[1].address", "not allowed"),
        ('address = "680000000068"', 'address = "123456789012"', "bus[0].meter[1].address", "already used"),
        ('profile = "meter.toml"', 'profile = "eastron-sdm630"', "bus[0].meter[0].profile", "does not speak dlt645"),
    ],
)
def test_a_meter_that_cannot_be_is_refused(tmp_path: Path, line: str, other: str, key: str, what: str) -> None:
    path = scenario(tmp_path, "port = 0")
    path.write_text(path.read_text().replace(line, other, 1))
    with pytest.raises(ScenarioError) as refused:
        load_scenario(path)
    assert refused.value.key == key
    assert what in str(refused.value)
