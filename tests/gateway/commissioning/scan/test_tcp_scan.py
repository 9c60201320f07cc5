"""Scan of TCP on real sockets: devices, converters, device servers; and each sentence of its diagnosis alone."""

from __future__ import annotations

# not quick: a scan pauses between two connections
import asyncio
import contextlib
import socket
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import replace
from typing import Any

import pytest

from benchmarks.commissioning.identified import SITUATIONS, device
from gateway.commissioning.scan.found import ScanResult, Step
from gateway.devices.profile import load_profile
from tests.gateway.commissioning.scan.networks import HOST, modbus_tcp, port_that, rtu_over_tcp, scanned, simulated

Service = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def diagnosed(result: ScanResult) -> list[str]:
    return [message.code for message in result.diagnosis]


def profiles(result: ScanResult) -> dict[int | str, str | None]:
    return {unit.address: unit.candidates[0].profile if unit.candidates else None for unit in result.units}


def run(test: Coroutine[Any, Any, ScanResult]) -> ScanResult:
    return asyncio.run(test)


def test_a_device_is_found_and_named() -> None:
    async def test() -> ScanResult:
        async with modbus_tcp({1: simulated("huawei-sun2000")}) as port:
            return await scanned(port, [1])

    result = run(test())
    (line,) = result.lines
    assert (line.type, line.host) == ("modbus-tcp", HOST)
    (unit,) = line.units
    assert (unit.address, unit.protocol, unit.identity) == (1, "modbus", "12345678")
    assert unit.best is not None
    assert unit.best.profile == "huawei-sun2000"
    assert unit.latency_ms is not None
    assert (diagnosed(result), result.complete) == ([], True)
    assert result.sent_bytes > 12 * 10
    assert ScanResult.of_json(result.as_json()).units[0].candidates == unit.candidates


def test_a_device_that_answers_under_any_unit_is_one_device() -> None:
    async def test() -> ScanResult:
        device = simulated("siemens-pac3200")
        async with modbus_tcp(dict.fromkeys(range(256), device)) as port:
            return await scanned(port)

    result = run(test())
    assert [unit.address for unit in result.units] == [1]
    assert "scan-any-unit" in [message.code for message in result.units[0].evidence]
    assert diagnosed(result) == []


def test_meters_at_1_and_201_are_two() -> None:
    async def test() -> ScanResult:
        devices = {1: simulated("chint-dtsu666"), 201: simulated("chint-dtsu666", 2)}
        async with modbus_tcp(devices) as port:
            return await scanned(port)

    assert [unit.address for unit in run(test()).units] == [1, 201]


def test_a_device_under_its_address_and_255_is_one_device() -> None:
    async def test() -> ScanResult:
        device = simulated("huawei-sun2000")
        async with modbus_tcp({1: device, 255: device}) as port:
            return await scanned(port, progress=lambda step: True)

    assert profiles(run(test())) == {1: "huawei-sun2000"}


def test_a_converter_is_swept_and_its_units_are_devices_of_their_own() -> None:
    async def test() -> ScanResult:
        behind = {7: "abb-b23", 93: "chint-dtsu666", 240: "vaisala-gmp252"}
        devices = {unit: simulated(name, unit) for unit, name in behind.items()}
        async with modbus_tcp(devices, absent="exception") as port:
            return await scanned(port)

    result = run(test())
    assert profiles(result) == {7: "abb-b23", 93: "chint-dtsu666", 240: "vaisala-gmp252"}
    assert diagnosed(result) == []


def test_rtu_on_a_tcp_socket_is_found_and_said() -> None:
    async def test() -> ScanResult:
        async with rtu_over_tcp({3: simulated("inepro-pro380")}) as port:
            return await scanned(port, [2, 3])

    result = run(test())
    assert [(line.type, line.tcp_port is not None) for line in result.lines] == [("modbus-rtu-over-tcp", True)]
    assert profiles(result) == {3: "inepro-pro380"}
    assert diagnosed(result) == ["scan-tcp-rtu"]


def test_a_closed_port_is_said() -> None:
    async def test() -> ScanResult:
        with socket.socket() as bound:
            bound.bind((HOST, 0))  # bound, but nothing listens
            return await scanned(bound.getsockname()[1])

    result = run(test())
    assert (diagnosed(result), result.lines, result.sent_bytes) == (["scan-tcp-closed"], (), 0)


def test_a_port_that_ends_each_connection_is_said() -> None:
    async def test() -> ScanResult:
        async with port_that(lambda reader, writer: writer.close()) as port:
            return await scanned(port)

    assert diagnosed(run(test())) == ["scan-tcp-taken"]


def test_a_port_that_answers_nothing_is_said() -> None:
    async def test() -> ScanResult:
        async with port_that(lambda reader, writer: None) as port:
            return await scanned(port, [1])

    assert diagnosed(run(test())) == ["scan-tcp-silent"]


def test_a_converter_without_units_is_said() -> None:
    async def test() -> ScanResult:
        async with modbus_tcp({}, absent="exception") as port:
            return await scanned(port, [1, 2])

    result = run(test())
    assert diagnosed(result) == ["scan-tcp-no-units"]
    assert "0B" in str(result.diagnosis[0])


def test_a_name_without_an_address_is_said() -> None:
    async def test() -> ScanResult:
        return await scanned(502, [1], ["meter.invalid"])

    assert diagnosed(run(test())) == ["scan-tcp-no-name"]


def test_empty_addresses_of_a_network_are_not_named() -> None:
    async def test() -> ScanResult:
        async with modbus_tcp({1: simulated("huawei-sun2000")}) as port:
            return await scanned(port, [1], ["127.0.0.0/30", HOST])

    result = run(test())
    assert [line.host for line in result.lines] == [HOST]
    assert diagnosed(result) == []


def test_a_network_without_any_device_is_said_once() -> None:
    async def test() -> ScanResult:
        with socket.socket() as bound:
            bound.bind((HOST, 0))
            return await scanned(bound.getsockname()[1], [1], ["127.0.0.1", "127.0.0.2", "127.0.0.3"])

    assert diagnosed(run(test())) == ["scan-tcp-none"]


@pytest.mark.parametrize("found", [False, True], ids=["before", "behind the first unit"])
def test_a_scan_that_is_stopped_keeps_what_it_has_found(found: bool) -> None:
    units: list[Step] = []

    def progress(step: Step) -> bool:
        units.extend([step] if step.new else [])
        return bool(found and not units)

    async def test() -> ScanResult:
        async with modbus_tcp({1: simulated("huawei-sun2000"), 2: simulated("abb-b23")}) as port:
            return await scanned(port, [1, 2], progress=progress)

    result = run(test())
    assert [unit.address for unit in result.units] == [1] * found
    assert not result.complete
    assert diagnosed(result) == []


def test_progress_tells_what_is_done_and_each_unit() -> None:
    steps: list[Step] = []

    def progress(step: Step) -> bool:
        steps.append(step)
        return True

    async def test() -> ScanResult:
        async with modbus_tcp({1: simulated("huawei-sun2000")}) as port:
            return await scanned(port, [1], progress=progress)

    result = run(test())
    codes = [step.doing.code for step in steps]
    assert codes[:3] == ["scan-step-connect", "scan-step-units", "scan-step-identify"]
    assert [step.new for step in steps if step.new] == list(result.units)
    assert all(step.left_s > 0 for step in steps)


def test_a_device_whose_only_connection_is_taken_is_said() -> None:
    async def test() -> ScanResult:
        async with modbus_tcp({1: simulated("huawei-sun2000")}, most=1) as port:
            _, taken = await asyncio.open_connection(HOST, port)
            try:
                return await scanned(port, [1])
            finally:
                taken.close()

    assert diagnosed(run(test())) == ["scan-tcp-taken"]


def test_a_device_with_one_connection_or_one_question_a_connection_is_found() -> None:
    async def test() -> ScanResult:
        async with modbus_tcp({1: simulated("siemens-pac3200")}, most=1, closes=True) as port:
            return await scanned(port, [1])

    result = run(test())
    assert profiles(result) == {1: "siemens-pac3200"}
    assert diagnosed(result) == []


def test_a_device_that_needs_long_for_an_answer_is_found() -> None:
    async def test() -> ScanResult:
        async with modbus_tcp({1: simulated("siemens-pac3200", latency_ms=150)}) as port:
            return await scanned(port, [1])

    (unit,) = run(test()).units
    assert (unit.candidates[0].profile, unit.candidates[0].confidence) == ("siemens-pac3200", 0.95)
    assert unit.latency_ms is not None
    assert unit.latency_ms >= 150


@pytest.mark.parametrize("speaks", [bytes(range(256)), b"\0\1\0\0\0\3\1\x83"])
def test_a_port_that_speaks_something_else_answers_no_modbus(speaks: bytes) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(300):
            writer.write(speaks)

    async def test() -> ScanResult:
        async with port_that(answer) as port:
            return await scanned(port, [1])

    result = run(test())
    assert (result.lines, diagnosed(result)) == ((), ["scan-tcp-no-modbus"])


async def echoes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A loop of the line behind a device server."""
    while data := await reader.read(300):
        writer.write(data)


@pytest.mark.parametrize(
    ("first", "behind", "code", "names"),
    [
        (b"", b"HTTP/1.1 400 Bad Request\r\nServer: nginx\r\n\r\n", "scan-tcp-web", "'HTTP/1.1 400 Bad Request'"),
        (
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"Invalid SSH identification string.\r\n",
            "scan-tcp-ssh",
            "'SSH-2.0-OpenSSH_9.2'",
        ),
        (b"", b"\x15\x03\x01\0\x02\x02\x46", "scan-tcp-tls", "15 03 01 00 02 02 46"),
        (b"220 mail.example ready\r\n", b"", "scan-tcp-mail", "'220 mail.example ready'"),
    ],
)
def test_a_known_service_is_named_by_what_it_sends_before_it_ends_the_connection(
    first: bytes, behind: bytes, code: str, names: str
) -> None:
    async def service(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        if await reader.read(300):
            writer.write(behind)
        writer.close()

    async def test() -> ScanResult:
        async with port_that(service) as port:
            return await scanned(port, [1])

    result = run(test())
    assert diagnosed(result) == [code]
    assert names in str(result.diagnosis[0])


async def welcomes(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A service that nobody knows."""
    writer.write(b"welcome\r\n")
    while await reader.read(300):
        pass


@pytest.mark.parametrize("service", [welcomes, echoes])
def test_a_port_that_answers_something_else_is_not_called_silent(service: Service) -> None:
    async def test() -> ScanResult:
        async with port_that(service) as port:
            return await scanned(port, [1, 2])

    result = run(test())
    assert (result.lines, diagnosed(result)) == ((), ["scan-tcp-no-modbus"])


def test_at_most_32_connections_are_open_at_once_one_to_each_address() -> None:
    open_ones: list[str] = []
    most, twice = [0], set[str]()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        address = writer.get_extra_info("sockname")[0]
        twice.update([address] if address in open_ones else [])
        open_ones.append(address)
        most[0] = max(most[0], len(open_ones))
        with contextlib.suppress(ConnectionError):
            while await reader.read(300):
                pass
        open_ones.remove(address)
        writer.close()

    async def test() -> ScanResult:
        async with port_that(hold, "0.0.0.0") as port:
            return await scanned(port, [1], [f"127.0.3.{n}" for n in range(1, 41)])

    result = run(test())
    assert 16 < most[0] <= 32
    assert twice == set()
    assert diagnosed(result) == ["scan-tcp-silent"] * 40


def test_what_is_wrong_with_the_answers_of_a_unit_is_among_the_diagnosis() -> None:
    profile = load_profile("janitza-umg96rm-e")

    async def test() -> ScanResult:
        short = device(replace(profile, max_registers=30), SITUATIONS[0], 1)
        async with modbus_tcp({7: short}) as port:
            return await scanned(port, [7])

    result = run(test())
    assert diagnosed(result) == ["scan-reads-too-long"]
    assert [result.diagnosis[0].facts[fact] for fact in ("unit", "n", "refused")] == [7, 26, 52]
