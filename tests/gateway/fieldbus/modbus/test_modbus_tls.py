"""Modbus/TCP Security: against pymodbus's own server, the simulator's, and servers that are none."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.server import ModbusTlsServer
from pymodbus.simulator import DataType, SimData, SimDevice

from firmware_sim.cli.run import Simulator
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.answer_log import AnswerLog
from gateway.doctor.check import connect
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.tcp_link import TcpLink
from gateway.fieldbus.polling.open_line import tls_context
from gateway.fieldbus.wire.errors import LineDown, PortError
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.line_spec import LineSpec
from gateway.fieldbus.wire.link import Answer, Manners, Refusal
from gateway.messages.message import Message
from ledger_client.transport.access import Access
from tests.gateway.fieldbus.devices import (
    SAFETY_S,
    answer,
    free_port,
    meter,
    packet,
    running,
    serving,
    tcp_line,
    tcp_talk,
)
from tests.support.brokers.pki import Authority, Pair

PATIENT = Manners(SAFETY_S, direct=True)
MARKER = Request(1, 3, 40000, 2)

METER = """
[[bus]]
name = "inverter"
type = "modbus-tcp"
port = 0
tls = true
ca = "pki/ca.pem"
cert = "pki/device.pem"
key = "pki/device.key"
roles = ["reader"]
{more}
  [[bus.meter]]
  name = "pv"
  profile = "sunspec-inverter"
  address = 1
"""


@pytest.fixture
def ca(tmp_path: Path) -> Authority:
    return Authority(tmp_path / "pki")


def client(ca: Authority, pair: Pair) -> ssl.SSLContext:
    return Access(ca=ca.ca, cert=pair.cert, key=pair.key).tls_context()


def link(port: int, tls: ssl.SSLContext | None, host: str = "127.0.0.1") -> TcpLink:
    return TcpLink(host, port, KeyTable(10.0), lambda seen: None, tls=tls)


@asynccontextmanager
async def simulated(folder: Path, more: str = "") -> AsyncIterator[int]:
    """The port of a device of the simulator that answers readers."""
    path = folder / "plant.toml"
    path.write_text(METER.format(more=more))
    log = AnswerLog(folder / "answers.jsonl")
    simulator = Simulator(load_scenario(path), folder=folder, log=log)
    await simulator.open()
    try:
        yield int(simulator.ready()["lines"]["inverter"]["port"])
    finally:
        simulator.close()
        log.close()


def test_registers_of_pymodbus_own_server(ca: Authority) -> None:
    device, pair = ca.issue("device"), ca.issue("gateway", role="reader")
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(device.cert, device.key)
    server_tls.load_verify_locations(ca.ca)
    server_tls.verify_mode = ssl.CERT_REQUIRED

    async def test() -> None:
        port = free_port()
        words = SimDevice(id=1, simdata=[SimData(0, count=50, values=0x1234, datatype=DataType.REGISTERS)])
        server = ModbusTlsServer(words, framer=FramerType.SOCKET, address=("127.0.0.1", port), sslctx=server_tls)
        await server.serve_forever(background=True)
        for host in ("127.0.0.1", "localhost"):
            asked = link(port, client(ca, pair), host)
            await asked.connect()
            found = await asked.read([Request(1, 3, 0, 10)], PATIENT)
            assert isinstance(found, Answer)
            assert found.raw() == (0x1234,) * 10
            asked.close()
        await server.shutdown()  # type: ignore[no-untyped-call]

    asyncio.run(test())


def test_a_device_answers_the_role_that_it_knows_and_no_other(ca: Authority, tmp_path: Path) -> None:
    ca.issue("device")
    roles = {role: ca.issue(f"gateway-{role}", role=role) for role in ("reader", "painter", "")}

    async def test() -> None:
        async with simulated(tmp_path) as port:
            for role, pair in roles.items():
                asked = link(port, client(ca, pair))
                await asked.connect()
                found = await asked.read([MARKER], PATIENT)
                assert isinstance(found, Answer if role == "reader" else Refusal), role
                if isinstance(found, Refusal):
                    assert found.refused.code == 1
                asked.close()

    asyncio.run(test())


def test_a_device_that_closes_behind_each_answer_is_asked_on_new_connections(ca: Authority, tmp_path: Path) -> None:
    ca.issue("device")
    pair = ca.issue("gateway", role="reader")

    async def test() -> None:
        async with simulated(tmp_path, "closes_behind_answer = true") as port:
            asked = link(port, client(ca, pair))
            await asked.connect()
            found = [await asked.read([Request(1, 3, 40000, 2 + n)], PATIENT) for n in range(4)]
            assert [type(one) for one in found] == [Answer] * 4
            assert (asked.generation, asked.renewals) == (1, 3)
            asked.close()

    asyncio.run(test())


async def down(port: int, tls: ssl.SSLContext, host: str = "127.0.0.1") -> LineDown:
    """Why a device cannot be read."""
    asked = link(port, tls, host)
    try:
        await asked.connect()
        raise AssertionError(await asked.read([MARKER], PATIENT))
    except LineDown as error:
        return error
    finally:
        asked.close()


def code(down: LineDown) -> str | None:
    return down.message.code if down.message else None


def test_a_device_with_another_name_or_signer_is_not_asked(ca: Authority, tmp_path: Path) -> None:
    ca.issue("device", address="127.0.0.2", host="other.example")
    pair, stranger = ca.issue("gateway", role="reader"), Authority(tmp_path / "strangers")

    async def test() -> None:
        async with simulated(tmp_path) as port:
            assert "IP address mismatch" in str(await down(port, client(ca, pair)))
            assert "Hostname mismatch" in str(await down(port, client(ca, pair), "localhost"))
            assert code(await down(port, client(stranger, pair))) == "device-certificate"
        assert (tmp_path / "answers.jsonl").read_text() == ""

    asyncio.run(test())


def test_a_gateway_whose_signer_the_device_does_not_know_is_told(ca: Authority, tmp_path: Path) -> None:
    ca.issue("device")
    stranger = Authority(tmp_path / "strangers").issue("gateway", role="reader")

    async def test() -> None:
        async with simulated(tmp_path) as port:
            assert code(await down(port, client(ca, stranger))) == "device-tls-ended"

    asyncio.run(test())


def test_old_versions_of_tls_are_not_spoken(ca: Authority) -> None:
    device, pair = ca.issue("device"), ca.issue("gateway")
    old = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    old.load_cert_chain(device.cert, device.key)
    old.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.minimum_version = old.maximum_version = ssl.TLSVersion.TLSv1_1

    async def test() -> None:
        server = await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0, ssl=old)
        port = server.sockets[0].getsockname()[1]
        problem = await down(port, client(ca, pair))
        assert code(problem) in ("device-no-tls", "device-tls"), problem
        server.close()

    asyncio.run(test())


def test_a_device_that_speaks_no_tls_is_named(ca: Authority) -> None:
    pair = ca.issue("gateway")

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.close()

    async def test() -> None:
        async with serving(hang_up) as server:
            assert code(await down(server.port, client(ca, pair))) == "device-no-tls"

    asyncio.run(test())


def test_a_plain_master_gets_nothing_of_a_device_with_tls(ca: Authority, tmp_path: Path) -> None:
    ca.issue("device")

    async def test() -> None:
        async with simulated(tmp_path) as port:
            plain = link(port, None)
            await plain.connect()
            with pytest.raises(LineDown):
                await plain.read([MARKER], PATIENT)
            plain.close()
        assert (tmp_path / "answers.jsonl").read_text() == ""

    asyncio.run(test())


def test_the_doctor_makes_the_handshake(ca: Authority, tmp_path: Path) -> None:
    ca.issue("device")
    context, stranger = client(ca, ca.issue("gateway")), Authority(tmp_path / "strangers")

    async def test() -> None:
        async with simulated(tmp_path) as port:
            assert await asyncio.to_thread(connect, "127.0.0.1", port, context) is None
            problem = await asyncio.to_thread(connect, "127.0.0.1", port, client(stranger, ca.issue("other")))
            assert isinstance(problem, Message)
            assert problem.code == "device-certificate"

    asyncio.run(test())


def spec_of(port: int, ca: Authority, pair: Pair) -> LineSpec:
    plain = tcp_line(port, meter("m", 1))
    return LineSpec(
        "line", plain.type, plain.meters, host=plain.host, tcp_port=port, ca=ca.ca, cert=pair.cert, key=pair.key
    )


def test_a_line_reads_over_tls_and_takes_a_renewed_certificate_when_it_opens(ca: Authority, tmp_path: Path) -> None:
    device, pair = ca.issue("device"), ca.issue("gateway", role="reader")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(device.cert, device.key)

    async def test() -> None:
        talk = tcp_talk(lambda tid, request: [(0.0, packet(tid, answer(request)))])
        server = await asyncio.start_server(talk, "127.0.0.1", 0, ssl=context)
        port = server.sockets[0].getsockname()[1]
        async with running(spec_of(port, ca, pair)) as (_, polls):
            poll = await polls.until(lambda poll: poll.missed is None)
            assert {point.name for one in poll.answers for point in one.block.points} >= {"a", "b", "c"}
        server.close()

    asyncio.run(test())
    spec = spec_of(1, ca, pair)
    before = tls_context(spec)
    assert before is not None
    pair.key.write_bytes(device.key.read_bytes())
    with pytest.raises(PortError, match="key"):
        tls_context(spec)
    pair.cert.write_bytes(device.cert.read_bytes())
    assert tls_context(spec) is not None
