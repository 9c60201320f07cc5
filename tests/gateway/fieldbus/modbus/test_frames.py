"""Frames: round trips, lengths, and the gate that knows reads only."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU
from pymodbus.pdu import DecodePDU

from gateway.fieldbus.modbus.frames import (
    Reply,
    Request,
    Shape,
    answer_length,
    crc,
    identification_object,
    object_text,
    parse_reply,
    parse_request,
    permit,
    request_length,
)
from gateway.fieldbus.wire.errors import BadFrame, NotARead

GATEWAY = Path(__file__).parents[4] / "gateway"

registers = st.builds(
    Request, st.integers(1, 247), st.sampled_from([3, 4]), st.integers(0, 0xFFFF - 125), st.integers(1, 125)
)
bits = st.builds(
    Request, st.integers(1, 247), st.sampled_from([1, 2]), st.integers(0, 0xFFFF - 2000), st.integers(1, 2000)
)
identities = st.builds(identification_object, st.integers(1, 247), st.integers(0, 255))
requests = registers | bits | identities | st.builds(Request, st.integers(1, 247), st.just(17))


@given(requests)
def test_a_request_comes_back_from_its_frame(request: Request) -> None:
    assert parse_request(request.frame) == request
    assert request_length(request.frame) == len(request.frame)


@given(st.integers(1, 247), st.sampled_from([1, 2, 3, 4]), st.binary(min_size=0, max_size=250))
def test_a_reply_comes_back_from_its_frame(unit: int, function: int, data: bytes) -> None:
    reply = Reply(Shape(unit, function, len(data)), data)
    assert parse_reply(reply.encode()) == reply
    assert [answer_length(reply.encode()[:n]) for n in range(4)] == [None, None, None, len(data) + 5]


@given(st.integers(1, 247), st.integers(1, 0x7F), st.integers(0, 255))
def test_an_exception_comes_back_from_its_frame(unit: int, function: int, code: int) -> None:
    reply = Reply(Shape(unit, function, -1), b"", code)
    assert parse_reply(reply.encode()) == reply
    assert answer_length(reply.encode()[:2]) == 5


@given(st.integers(1, 247), st.dictionaries(st.integers(0, 255), st.binary(max_size=30), max_size=5))
def test_an_identification_answer_ends_where_its_objects_end(unit: int, objects: dict[int, bytes]) -> None:
    data = bytes([14, 4, 0x83, 0, 0, len(objects)])
    data += b"".join(bytes([number, len(text)]) + text for number, text in objects.items())
    frame = Reply(Shape(unit, 43, -1), data).encode()
    assert answer_length(frame) == len(frame)
    assert all(answer_length(frame[:n]) in (None, len(frame)) for n in range(len(frame)))
    assert parse_reply(frame).data == data


def test_an_identification_object_is_text_or_nothing() -> None:
    data = bytes([14, 4, 0x83, 0, 0, 2, 0x00, 7]) + b"Vaisala" + bytes([0x80, 10]) + b"T0610002\0 "
    assert object_text(data, 0x80) == "T0610002"
    assert object_text(data, 0x81) is None
    assert object_text(data[:10], 0x80) is None


@given(registers | bits)
def test_our_crc_and_frames_are_those_of_pymodbus(request: Request) -> None:
    framer = FramerRTU(DecodePDU(True))
    assert framer.encode(request.pdu, request.unit, 0) == request.frame


def test_bits_come_lowest_first() -> None:
    assert Request(1, 1, 0, 10).content(bytes([0b11001101, 0b10])) == (1, 0, 1, 1, 0, 0, 1, 1, 0, 1)


@pytest.mark.parametrize("function", [0, 5, 6, 7, 8, 15, 16, 20, 21, 22, 23, 24, 0x81, 0x90])
def test_the_gate_knows_reads_only(function: int) -> None:
    with pytest.raises(NotARead, match="not a read"):
        permit(bytes([function, 0, 0, 0, 1]))
    with pytest.raises(NotARead):
        Request(1, function, 0, 1).frame  # noqa: B018 - the property builds the frame
    body = bytes([1, function, 0, 0, 0, 1])
    with pytest.raises(BadFrame):
        parse_request(body + crc(body))


@pytest.mark.parametrize("pdu", [b"", b"\x03", b"\x03\0\0\0\1\0", b"\x11\0", b"\x2b\x0d\4\0", b"\x2b\x0e\4"])
def test_the_gate_knows_the_forms_of_its_reads(pdu: bytes) -> None:
    with pytest.raises(NotARead):
        permit(pdu)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("01 04 04 43 66 33 34 1B 39", "CRC wrong"),
        ("01 04 06 43 66 33 34 1B 38", "length and byte count disagree"),
        ("01 04", "length and byte count disagree"),
        ("01 63 04 43 66 33 34 1B 38", "length and byte count disagree"),
    ],
)
def test_a_reply_that_is_none_says_why_and_shows_its_bytes(text: str, problem: str) -> None:
    with pytest.raises(BadFrame, match=problem) as error:
        parse_reply(bytes.fromhex(text))
    assert text in str(error.value)


def test_no_code_of_the_gateway_calls_anything_that_writes() -> None:
    """Names of pymodbus's writing calls, and its generic ways to send, anywhere in gateway/."""
    from pymodbus.client.mixin import ModbusClientMixin

    readers = {"read_coils", "read_discrete_inputs", "read_holding_registers", "read_input_registers"}
    readers |= {"read_device_information"}
    forbidden = {
        name for name in dir(ModbusClientMixin) if not name.startswith(("_", "convert_", "DATATYPE"))
    } - readers
    assert {"write_register", "write_registers", "write_coil", "write_coils", "mask_write_register"} <= forbidden
    assert {"readwrite_registers", "execute"} <= forbidden
    used = [
        f"{path.relative_to(GATEWAY.parent)}:{node.lineno} {node.attr}"
        for path in sorted((GATEWAY / "fieldbus").rglob("*.py"))
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in forbidden
    ]
    assert used == []


def test_bytes_leave_through_five_places_that_all_ask_a_gate() -> None:
    """Whatever goes to a meter, from a running line or a scan. The port of a device server carries what these have
    sent, over a socket pair."""
    folders = (GATEWAY / "fieldbus", GATEWAY / "commissioning" / "scan", GATEWAY / "commissioning" / "identity")
    writes = {
        path
        for folder in folders
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and node.attr in ("write", "sendall", "send", "sock_sendall", "sendto")
        if ast.unparse(node) != "self.port.send"  # of scan_port, which is one of them
    }
    places = {
        "fieldbus/wire/stream_link.py",
        "fieldbus/modbus/tcp_link.py",
        "fieldbus/hj212/connection.py",
        "commissioning/scan/scan_port.py",
        "commissioning/scan/tcp_endpoint.py",  # one read, to hear what else speaks there
    }
    carriers = {"fieldbus/wire/device_server.py"}
    assert {str(path.relative_to(GATEWAY)) for path in writes} == places | carriers
    for place in places:
        assert "permit(" in (GATEWAY / place).read_text()


@pytest.mark.parametrize(
    ("head", "length"),
    [
        ("01 10 00 0A 00 03 06", 15),
        ("01 10 00 0A 00 03 A0 0A", 0),  # the answer to it
        ("01 0F 00 13 00 0A 02", 11),
        ("01 0F 00 13 00 0A 25 C8", 0),
        ("01 17 00 03 00 06 00 0E 00 03 06", 19),
        ("01 17 0C 00 FE 0A CD 00 01 00 03 00 0D 00 FF", 0),
        ("01 10 00 0A 00 03", None),
    ],
)
def test_a_write_tells_its_length_where_its_byte_count_is_that_of_its_quantity(head: str, length: int | None) -> None:
    assert request_length(bytes.fromhex(head)) == length
