"""Scans of serial lines of bits: who is found, at which setting, and what is never sent."""

from __future__ import annotations

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from gateway.commissioning.scan.found import FoundLine, ScanResult, Step
from gateway.commissioning.scan.serial_scan import scan_serial
from gateway.commissioning.scan.settings import ScanOptions
from gateway.fieldbus.dlt645.framing import DLT645
from gateway.fieldbus.modbus.frames import Request
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.wire.errors import PortError
from gateway.messages.message import Message
from tests.gateway.commissioning.scan.lines import codes, fast, line, meter, scanned
from tests.gateway.fieldbus.devices import Sent, free_port, refuse, serving
from tests.gateway.fieldbus.wire.pyserial_server import Uart, rfc2217_talk

pytestmark = pytest.mark.filterwarnings("ignore:set:DeprecationWarning")  # pyserial names its thread so


def found(result: ScanResult) -> dict[int | str, str | None]:
    return {unit.address: unit.best.profile if unit.best else None for unit in result.units}


def test_three_devices_of_odd_addresses_are_found_and_named(tmp_path: Path) -> None:
    """At 9600 baud an answer after 31 ms begins just when the next question does."""
    devices = (
        meter(77, "eastron-sdm630", 'latency_ms = 29\nserial = "21043387"'),
        meter(78, keys='latency_ms = 60\nserial = "K0710040"'),
        meter(201, keys="latency_ms = 5"),
    )
    with line(tmp_path, *devices, baudrate=9600, parity="E") as url:
        result = scanned(url, ScanOptions((9600,), ("E",), (77, 78, 201)))
    assert found(result) == {77: "eastron-sdm630", 78: "vaisala-gmp252", 201: "vaisala-gmp252"}
    (one,) = result.lines
    assert (one.type, one.port, one.baudrate, one.parity, one.stopbits) == ("modbus-rtu", url, 9600, "E", 1)
    assert [unit.identity for unit in one.units[:2]] == ["21043387", "K0710040"]
    assert all(unit.latency_ms is not None for unit in one.units)
    assert result.complete
    assert codes(result) == []


def test_a_device_that_answers_after_400_ms_is_known_by_its_own_unit(tmp_path: Path) -> None:
    with line(tmp_path, meter(7, keys="latency_ms = 400")) as url:
        result = scanned(url, fast(*range(6, 9)))
    assert found(result) == {7: "vaisala-gmp252"}
    assert result.units[0].latency_ms == pytest.approx(410, abs=100)
    assert codes(result) == []


def test_a_meter_of_dlt645_is_found_by_the_wildcard(tmp_path: Path) -> None:
    number = "202311220001"
    with line(tmp_path, meter(number, "dlt645-three-phase"), baudrate=2400, parity="E", kind="dlt645") as url:
        result = scanned(url, ScanOptions((2400,), ("E",)))
    assert list(found(result)) == [number]
    (one,) = result.lines
    assert (one.type, one.baudrate, one.parity) == ("dlt645", 2400, "E")
    assert one.units[0].protocol == "dlt645"
    assert codes(result) == []


def test_nothing_is_sent_where_another_master_speaks_unless_forced(tmp_path: Path) -> None:
    other = '[[bus.disturb]]\nkind = "second-master"\nunit = 9\nevery_ms = 300\n'
    with line(tmp_path, meter(7), other) as url:
        result = scanned(url, fast(7))
        assert (result.sent_bytes, result.complete, result.lines) == (0, False, ())
        assert codes(result) == ["scan-other-master"]
        forced = scanned(url, fast(7, force=True))
    assert forced.sent_bytes > 0
    assert list(found(forced)) == [7]
    assert codes(forced) == ["scan-other-master"]


def test_a_scan_that_listens_long_enough_says_whom_another_master_asks_and_sends_nothing(tmp_path: Path) -> None:
    other = '[[bus.disturb]]\nkind = "second-master"\nunit = {}\nevery_ms = {}\n'
    with line(tmp_path, meter(9), meter(17), other.format(9, 900), other.format(17, 1300)) as url:
        result = scanned(url, ScanOptions((19200,), ("N",), listen_s=4.0))
    assert (result.sent_bytes, result.complete, codes(result)) == (0, False, ["scan-other-master"])
    units = result.diagnosis[0].facts["units"]
    assert isinstance(units, tuple)
    assert [str(unit).partition(" (")[0] for unit in units] == ["9", "17"]
    assert all("(3" in str(unit) or "(4" in str(unit) for unit in units)


def test_a_master_that_was_not_heard_before_ends_the_scan(tmp_path: Path) -> None:
    other = '[[bus.disturb]]\nkind = "second-master"\nunit = 9\nevery_ms = 1200\n'
    with line(tmp_path, meter(9), other) as url:
        result = scanned(url, fast(*range(100, 201)))
    assert result.sent_bytes > 0
    assert not result.complete
    assert codes(result) == ["scan-other-master"]


def test_a_scan_that_is_stopped_keeps_what_it_has_found(tmp_path: Path) -> None:
    steps: list[Step] = []
    with line(tmp_path, meter(7), meter(8)) as url:
        result = scanned(url, fast(7, 8), steps, stop_at="scan-identifies")
    assert not result.complete
    assert [(unit.address, unit.best) for unit in result.units] == [(7, None), (8, None)]
    assert codes(result) == []
    left = [step.left_s for step in steps if step.doing.code == "scan-quick"]
    assert left == sorted(left, reverse=True)


def test_the_time_that_is_left_rises_by_no_more_than_a_tenth(tmp_path: Path) -> None:
    steps: list[Step] = []
    with line(tmp_path, *(meter(unit) for unit in (1, 77, 78))) as url:
        result = scanned(url, ScanOptions((19200,), ("N",)), steps)
    assert list(found(result)) == [1, 77, 78]
    left = [step.left_s for step in steps]
    assert [(before, after) for before, after in pairwise(left) if after > 1.1 * before + 0.1] == []


def test_each_device_is_told_of_when_it_is_known(tmp_path: Path) -> None:
    steps: list[Step] = []
    with line(tmp_path, meter(7)) as url:
        scanned(url, fast(7), steps)
    assert [step.new.address for step in steps if step.new is not None] == [7]


@pytest.mark.parametrize("units", [(), (1,)])
def test_nothing_but_reads_leaves(units: tuple[int, ...]) -> None:
    """The whole quick pass, and the identification of a device that refuses everything."""
    sent: list[bytes] = []

    def cut(data: bytes) -> tuple[list[bytes], bytes]:
        lengths, found = {17: 4, 43: 7}, []
        while data:
            length = 16 if data[:1] == b"\xfe" else lengths.get(data[1], 8)
            found.append(data[:length])
            data = data[length:]
        return found, b""

    def device(frame: bytes) -> Sent:
        sent.append(frame)
        return [(0.0, refuse(Request(1, frame[1])))] if frame[0] == 1 else []

    async def test() -> ScanResult:
        async with serving(rfc2217_talk(Uart(), device, cut=cut)) as server:
            url, quick = f"rfc2217://127.0.0.1:{server.port}", not units
            options = ScanOptions((9600,), ("E",), units)
            return await scan_serial(url, options, lambda s: not quick or s.doing.code != "scan-every-unit")

    result = asyncio.run(test())
    assert [unit.address for unit in result.units] == [1]
    assert sum(map(len, sent)) == result.sent_bytes
    assert {DLT645.permit(f) if f[:1] == b"\xfe" else RTU.permit(f) for f in sent} == set(sent)
    assert any(f[:1] == b"\xfe" for f in sent) == (not units)


def test_settings_that_a_device_server_does_not_do_are_left_out() -> None:
    async def test() -> ScanResult:
        def device(request: object) -> Sent:
            return []

        uart = Uart(speeds=(9600,))
        async with serving(rfc2217_talk(uart, device, cut=lambda data: ([], b""))) as server:
            options = ScanOptions((9600, 57600), ("N",), (1,))
            return await scan_serial(f"rfc2217://127.0.0.1:{server.port}", options, lambda step: True)

    result = asyncio.run(test())
    assert result.complete
    assert codes(result) == ["scan-nothing", "scan-not-set"]
    assert "57600 8N1" in result.diagnosis[1].problem


def test_a_line_that_is_lost_gives_what_was_found() -> None:
    async def test() -> ScanResult:
        def device(request: object) -> Sent:
            request = request if hasattr(request, "unit") else None
            return [(0.0, refuse(request))] if request is not None and request.unit == 1 else []  # type: ignore[arg-type]

        async with serving(rfc2217_talk(Uart(), device)) as server:

            def progress(step: Step) -> bool:
                if step.doing.code == "scan-identifies":
                    lost.append(asyncio.get_running_loop().create_task(server.stop()))
                return True

            lost: list[asyncio.Task[None]] = []
            url = f"rfc2217://127.0.0.1:{server.port}"
            return await scan_serial(url, ScanOptions((19200,), ("N",), (1,)), progress)

    result = asyncio.run(test())
    assert not result.complete
    assert codes(result) == ["scan-line-lost"]
    assert [unit.address for unit in result.units] == [1]


def test_what_cannot_be_opened_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "meters.txt"
    file.write_text("no port")
    with pytest.raises(PortError, match="not a serial port"):
        scanned(str(file), fast(1))
    with pytest.raises(PortError, match="rfc2217://HOST:PORT"):
        scanned("rfc2217://127.0.0.1", fast(1))
    with pytest.raises(PortError) as caught:
        scanned(nobody := f"rfc2217://127.0.0.1:{free_port()}", fast(1))
    refused = Message("errno-econnrefused")
    assert (caught.value.where, caught.value.what) == (nobody, Message("scan-no-device-server", why=refused))
    assert "its address and port" in str(caught.value)


def test_a_pseudo_terminal_is_scanned_without_parity(tmp_path: Path) -> None:
    steps: list[Step] = []
    wire = 'port = "line"\ngarbles = true'
    with line(tmp_path, meter(7), meter(9), wire=wire) as name:
        result = scanned(str(tmp_path / name), ScanOptions((9600, 19200), units=(7, 9)), steps)
    listened = [step.doing.facts["settings"] for step in steps if step.doing.code == "scan-listens"]
    assert listened == ["9600 8N1", "19200 8N1"]
    assert list(found(result)) == [7, 9]
    assert isinstance(result.lines[0], FoundLine)
    assert result.lines[0].baudrate == 19200
