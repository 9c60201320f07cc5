"""Each sentence of the diagnosis of a serial line, provoked alone; none on a healthy line."""

from __future__ import annotations

import asyncio
import os
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from gateway.commissioning.scan.found import ScanResult
from gateway.commissioning.scan.serial_scan import scan_serial
from gateway.commissioning.scan.settings import ScanOptions
from gateway.fieldbus.modbus.frames import Request
from gateway.messages.languages import CATALOGUES
from gateway.messages.message import Message
from tests.gateway.commissioning.scan.lines import codes, fast, line, meter, scanned
from tests.gateway.fieldbus.devices import Device, Sent, refuse, serving
from tests.gateway.fieldbus.wire.pyserial_server import Uart, rfc2217_talk

pytestmark = pytest.mark.filterwarnings("ignore:set:DeprecationWarning")  # pyserial names its thread so
FRAMING_ERROR = bytes([255, 250, 44, 106, 8, 255, 240])
DEAF = "checks_parity = false\nlatency_ms = 5"


def test_a_healthy_line_has_none(tmp_path: Path) -> None:
    with line(tmp_path, meter(7), meter(8)) as url:
        result = scanned(url, fast(7, 8))
    assert [unit.address for unit in result.units] == [7, 8]
    assert result.diagnosis == ()


def test_echo(tmp_path: Path) -> None:
    with line(tmp_path, meter(7), keys="echo = true") as url:
        result = scanned(url, fast(7))
    assert [unit.address for unit in result.units] == [7]
    assert codes(result) == ["scan-echo"]


def test_nothing_but_echo(tmp_path: Path) -> None:
    with line(tmp_path, meter(7), keys="echo = true") as url:
        result = scanned(url, fast(1, 2))
    assert codes(result) == ["scan-only-echo"]


def test_an_echo_that_comes_behind_the_next_question_is_one_too() -> None:
    """As on a busy machine, or over a slow network: it is no frame of another master."""

    async def echoed() -> ScanResult:
        master, slave = os.openpty()
        tty.setraw(slave)
        loop = asyncio.get_running_loop()

        def late() -> None:
            loop.call_later(0.06, os.write, master, os.read(master, 256))

        loop.add_reader(master, late)
        try:
            return await scan_serial(os.ttyname(slave), fast(1, 2, 3, 4, 5), lambda _: True)
        finally:
            loop.remove_reader(master)

    assert codes(asyncio.run(echoed())) == ["scan-only-echo"]


@pytest.mark.parametrize(("parity", "asked", "way"), [("E", "O", "even"), ("O", "E", "odd")])
def test_parity_errors_name_the_other_parity(tmp_path: Path, parity: str, asked: str, way: str) -> None:
    with line(tmp_path, meter(7, keys=DEAF), parity=parity) as url:
        result = scanned(url, fast(7, parity=asked))
    assert codes(result) == ["scan-parity-errors"]
    assert f"19200 8{asked}1: try {way} parity" in result.diagnosis[0].problem


def test_two_units_of_one_address(tmp_path: Path) -> None:
    with line(tmp_path, meter(3, name="a"), meter(3, "eastron-sdm630", "latency_ms = 5.2", name="b"), meter(7)) as url:
        result = scanned(url, fast(3, 7))
    assert [unit.address for unit in result.units] == [7]
    assert codes(result) == ["scan-two-units"]
    assert "answer to 3" in result.diagnosis[0].problem


def test_several_dlt645_meters(tmp_path: Path) -> None:
    meters = [meter(f"20231122000{n}", "dlt645-single-phase", f"latency_ms = {20 + n}") for n in (1, 2)]
    with line(tmp_path, *meters, baudrate=2400, parity="E", kind="dlt645") as url:
        result = scanned(url, ScanOptions((2400,), ("E",)), stop_at="scan-every-unit")
    assert result.units == ()
    assert codes(result) == ["scan-several-meters"]


def test_nothing_at_all(tmp_path: Path) -> None:
    with line(tmp_path, meter(7)) as url:
        result = scanned(url, fast(8, 9))
    assert codes(result) == ["scan-nothing"]
    assert "termination" in result.diagnosis[0].way_out


def test_traffic_that_is_no_frame(tmp_path: Path) -> None:
    noise = '[[bus.disturb]]\nkind = "noise"\nsize = 6\nevery_ms = 120\n'
    with line(tmp_path, meter(7), noise) as url:
        result = scanned(url, fast(7))
    assert result.sent_bytes == 0
    assert codes(result) == ["scan-traffic"]


def answering(device: Device, *units: int, before: Callable[[Any], None] = lambda send: None) -> ScanResult:
    """A scan of a line that answers each question as the device says."""

    async def test() -> ScanResult:
        async with serving(rfc2217_talk(Uart(), device, before, lambda data: ([data], b""))) as server:
            url = f"rfc2217://127.0.0.1:{server.port}"
            return await scan_serial(url, ScanOptions((19200,), ("N",), units), lambda step: True)

    return asyncio.run(test())


def garbled(before: Callable[[Any], None]) -> ScanResult:
    """A scan of a line that answers every fourth question with bytes of no frame."""
    asked = 0

    def device(request: bytes) -> Sent:
        nonlocal asked
        asked += 1
        return [(0.0, b"\x15\x8a\x31")] if asked % 4 == 0 else []

    return answering(device, 1, before=before)


def test_framing_errors() -> None:
    result = garbled(lambda send: send(FRAMING_ERROR))
    assert codes(result) == ["scan-framing-errors"]


def test_bytes_of_no_frame() -> None:
    result = garbled(lambda send: None)
    assert codes(result) == ["scan-no-frame"]


def test_a_line_where_every_unit_answers_rubbish_is_no_pair_of_units_at_each_address() -> None:
    result = answering(lambda request: [(0.0, bytes((7 * request[0] + n) % 256 for n in range(7)))], 1, 2, 3, 4)
    assert codes(result) == ["scan-no-frame"]


def test_the_late_answer_to_a_question_before_is_no_second_unit() -> None:
    asked: list[int] = []

    def device(request: bytes) -> Sent:
        """Unit 2 is late once; unit 1 is damaged once, so that both are asked again."""
        unit = request[0]
        asked.append(unit)
        if asked.count(unit) > 1:
            return [(0.0, refuse(Request(unit, request[1])))]
        return [(0.0, b"\x15\x8a\x31")] if unit == 1 else [(0.56, refuse(Request(unit, request[1])))]

    result = answering(device, 2, 1)
    assert sorted(unit.address for unit in result.units if isinstance(unit.address, int)) == [1, 2]
    assert codes(result) == []


def test_reads_that_are_too_long(tmp_path: Path) -> None:
    fault = '[[fault]]\nmeter = "m7"\nkind = "exception"\ncode = 3\nabove = 20\n'
    with line(tmp_path, meter(7, "eastron-sdm630", "latency_ms = 5"), fault) as url:
        result = scanned(url, fast(7))
    assert codes(result) == ["scan-reads-too-long"]
    assert result.diagnosis[0].facts["unit"] == 7


def test_each_sentence_is_also_chinese() -> None:
    way = Message("scan-try-even")
    text = CATALOGUES["zh"].text(Message("scan-parity-errors", settings="9600 8O1", way=way))
    assert text == "以 9600 8O1 收到的每个字节都有校验错误：请尝试偶校验"
