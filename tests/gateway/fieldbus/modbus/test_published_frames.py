"""Every Modbus frame that somebody published, byte for byte in both directions, and the pairs as exchanges."""

from __future__ import annotations

import struct

import pytest

from gateway.devices.decode import decode
from gateway.fieldbus.modbus.frames import Request, Shape, crc, intact, parse_reply, parse_request
from gateway.fieldbus.modbus.rtu_framing import RTU
from gateway.fieldbus.wire.guard import Guard
from gateway.fieldbus.wire.keys import KeyTable
from gateway.fieldbus.wire.link import Answer
from tests.support.register_points import register_point

MBMD = "github volkszaehler/mbmd issue 63"
REQUESTS = {
    # id: (frame, unit, function, address, count, source)
    "mb01": ("01 04 00 00 00 02 71 CB", 1, 4, 0x0000, 2, "wiki.marcluerssen.de Modbus_Meter (SDM630); mbmd issue 63"),
    "mb03": ("01 04 00 08 00 02 F0 09", 1, 4, 0x0008, 2, MBMD),
    "mb06": ("01 03 4A 38 00 02 53 DE", 1, 3, 0x4A38, 2, MBMD),
    "mb08": ("01 03 00 23 00 01 75 C0", 1, 3, 0x0023, 1, MBMD),
    "mb11": ("01 04 00 00 00 50 F0 36", 1, 4, 0x0000, 80, "github esphome/esphome PR 8032"),
    "mb13": ("F0 03 00 00 00 02 D1 2A", 240, 3, 0x0000, 2, "easymanua.ls vaisala gmp252 p120 (M211897EN-D)"),
}
REPLIES = {
    # id: (frame, unit, function, registers, word order of a float or None, published value, source)
    "mb02": ("01 04 04 43 66 33 34 1B 38", 1, 4, (0x4366, 0x3334), "big", 230.2, "wiki.marcluerssen.de Modbus_Meter"),
    "mb05": ("01 04 04 43 67 AF 55 E2 10", 1, 4, (0x4367, 0xAF55), "big", 231.68, MBMD),
    "mb07": ("01 03 04 00 00 00 00 FA 33", 1, 3, (0, 0), "big", 0.0, MBMD),
    "mb09": ("01 03 02 00 00 B8 44", 1, 3, (0,), None, 0, MBMD),
    "mb14": ("F0 03 04 D4 7A 43 E8 33 AB", 240, 3, (0xD47A, 0x43E8), "little", 465.65997, "easymanua.ls gmp252 p120"),
}
EXCHANGES = [("mb01", "mb02"), ("mb03", "mb05"), ("mb06", "mb07"), ("mb08", "mb09"), ("mb13", "mb14")]


def value(registers: tuple[int, ...], order: str | None) -> object:
    kind, count = ("float32", 2) if order else ("uint16", 1)
    return decode(register_point("p", 3, 0, kind, count, word_order=order or "big"), registers).value


@pytest.mark.parametrize("row", REQUESTS)
def test_a_published_request(row: str) -> None:
    text, unit, function, address, count, _ = REQUESTS[row]
    frame = bytes.fromhex(text)
    request = Request(unit, function, address, count)
    assert intact(frame)
    assert crc(frame[:-2]) == frame[-2:]
    assert request.frame == frame
    assert parse_request(frame) == request


@pytest.mark.parametrize("row", REPLIES)
def test_a_published_reply(row: str) -> None:
    text, unit, function, registers, order, published, _ = REPLIES[row]
    frame = bytes.fromhex(text)
    reply = parse_reply(frame)
    assert reply.shape == Shape(unit, function, 2 * len(registers))
    assert struct.unpack(f">{len(registers)}H", reply.data) == registers
    assert reply.encode() == frame
    assert value(registers, order) == pytest.approx(published, abs=0.005 if row != "mb14" else 0.000005)


@pytest.mark.parametrize(("question", "answer"), EXCHANGES)
def test_a_published_exchange(question: str, answer: str) -> None:
    request = parse_request(bytes.fromhex(REQUESTS[question][0]))
    guard = Guard(RTU, KeyTable(3.0), 0.004, lambda seen: pytest.fail(f"{seen}"))
    guard.ask(request, 0.0)
    guard.sent(0.01)
    for place, byte in enumerate(bytes.fromhex(REPLIES[answer][0])):
        assert not guard.decided
        guard.receive(bytes([byte]), 0.02 + place / 1000)
    outcome = guard.finish(0.04)
    assert isinstance(outcome, Answer)
    assert outcome.raw() == REPLIES[answer][3]
