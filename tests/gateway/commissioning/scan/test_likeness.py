"""Units that answer alike are one device where addresses that nobody uses answer too; eight real meters stay eight."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from gateway.commissioning.scan.found import ScanResult
from gateway.commissioning.scan.likeness import MOST_UNITS, STRAYS, Likeness
from gateway.commissioning.scan.serial_scan import scan_serial
from gateway.commissioning.scan.settings import ScanOptions, likely_units
from gateway.fieldbus.modbus.frames import Request, parse_request
from gateway.fieldbus.wire.keys import Question
from gateway.fieldbus.wire.link import Outcome
from tests.gateway.commissioning.identity.units import Held
from tests.gateway.commissioning.scan.networks import rtu_over_tcp, scanned, simulated
from tests.gateway.fieldbus.devices import Device, Pty, Sent, answer, refuse

Words = Mapping[int, int]
"""Registers of function 3 by their address."""
FEW = ScanOptions((9600,), units=(*range(1, 11), 90, *STRAYS))
HERE, THERE = 201, 5
READ = Request(HERE, 3, 100, 3)


def device(words: Words) -> Device:
    def answered(request: Request) -> Sent:
        places = range(request.address, request.address + request.count)
        if request.function != 3 or not all(place in words for place in places):
            return [(0.0, refuse(request))]
        return [(0.0, answer(request, b"".join(words[place].to_bytes(2, "big") for place in places)))]

    return answered


def requests(data: bytes) -> tuple[list[Request], bytes]:
    """The reads of a scan."""
    found = []
    if data.startswith(b"\xfe"):  # the question for a DL/T 645 meter
        return [], b""
    while len(data) >= (length := {17: 4, 43: 7}.get(data[1] if len(data) > 1 else 0, 8)):
        found.append(parse_request(data[:length]))
        data = data[length:]
    return found, data


def scan(folder: Path, line: Device, options: ScanOptions) -> ScanResult:
    async def test() -> ScanResult:
        pty = Pty(folder / "line", line, requests)
        try:
            return await scan_serial(str(pty.link), options, lambda step: True)
        finally:
            pty.unplug()

    return asyncio.run(test())


def meters(words: Mapping[int, Words], otherwise: Words | None = None) -> Device:
    """Meters by their unit, and the device that answers under all other ones."""

    def answered(request: Request) -> Sent:
        if request.unit in words:
            return device(words[request.unit])(request)
        return device(otherwise)(request) if otherwise is not None else []

    return answered


def is_any_unit(result: ScanResult) -> list[bool]:
    return ["scan-any-unit" in [message.code for message in unit.evidence] for unit in result.units]


def test_where_every_unit_answers_alike_there_is_one_device(tmp_path: Path) -> None:
    result = scan(tmp_path, meters({}, {0: 7, 1: 8}), ScanOptions((9600, 19200)))
    assert ([unit.address for unit in result.units], is_any_unit(result)) == ([1], [True])
    assert (result.complete, result.diagnosis) == (True, ())
    assert [line.baudrate for line in result.lines] == [9600]


@pytest.mark.parametrize("count", [MOST_UNITS, MOST_UNITS + 1])
def test_equal_meters_are_as_many_as_answer(tmp_path: Path, count: int) -> None:
    units = list(range(1, count + 1))
    result = scan(tmp_path, meters({unit: {0: 7} for unit in units}), FEW)
    assert ([unit.address for unit in result.units], any(is_any_unit(result))) == (units, False)


def test_meters_with_registers_of_their_own_stay_beside_a_device_that_answers_anywhere(tmp_path: Path) -> None:
    registers = {unit: {0: 500 * unit} for unit in (2, 3, 90)}
    result = scan(tmp_path, meters(registers, {0: 7}), FEW)
    assert [unit.address for unit in result.units] == [1, 2, 3, 90]
    assert is_any_unit(result) == [True, False, False, False]


def like(here: Callable[[int], Words], there: Callable[[int], Words], exact: bool = False) -> bool:
    """Whether two units are taken for one device, whose registers depend on how often they were asked."""

    async def test() -> bool:
        asked = 0

        async def ask(question: Question) -> Outcome:
            nonlocal asked
            asked += 1
            assert isinstance(question, Request)
            words = (here if question.unit == HERE else there)(asked)
            return await Held({(3, place): word for place, word in words.items()}).ask(question)

        return await Likeness(ask, HERE, [READ], [(3, 100)] if exact else []).holds(THERE)

    return asyncio.run(test())


def test_what_stands_still_and_differs_makes_two_devices() -> None:
    still: Words = {100: 21043387 % 65536, 101: 2300, 102: 9}
    assert like(lambda n: still, lambda n: still)
    assert not like(lambda n: still, lambda n: {**still, 102: 900})
    assert not like(lambda n: still, lambda n: {**still, 100: still[100] + 1}, exact=True)
    assert not like(lambda n: still, lambda n: {100: 1})
    assert like(lambda n: {**still, 102: 97 * n}, lambda n: {**still, 102: 97 * n})  # it moves
    assert like(lambda n: still, lambda n: {**still, 101: 2302})  # the last digits of a voltage
    assert like(lambda n: {**still, 102: HERE}, lambda n: {**still, 102: THERE})  # the address that was asked


def test_nobody_is_asked_first_at_a_stray_address() -> None:
    assert not {*STRAYS} & {*likely_units()}


def test_behind_a_device_server_too() -> None:
    async def test() -> ScanResult:
        async with rtu_over_tcp(dict.fromkeys(range(1, 248), simulated("vaisala-gmp252"))) as port:
            return await scanned(port)

    result = asyncio.run(test())
    assert ([unit.address for unit in result.units], is_any_unit(result)) == ([1], [True])
