"""Values into registers, against published frames byte for byte, and the reading that the log promises."""

from __future__ import annotations

import struct
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from firmware_sim.meters import pdu
from firmware_sim.meters.packing import Cell, Value, pack, packer
from firmware_sim.meters.register_map import cell_of
from gateway.devices.profile import catalog, load_profile


def cell(type_: str, registers: int, **more: object) -> Cell:
    return Cell("x", 3, 0, registers, type_, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("cell", "value", "words"),
    [
        (cell("float32", 2), 230.20001, "4366 3334"),  # SDM630, 230.2 V: 01 04 04 43 66 33 34 1B 38
        (cell("float32", 2), 231.68489, "4367 af55"),  # SDM630: 01 04 04 43 67 AF 55 E2 10
        (cell("float32", 2, word_order="little"), 465.65997, "d47a 43e8"),  # GMP252: F0 03 04 D4 7A 43 E8 33 AB
        (cell("float64", 4), 1.5, "3ff8 0000 0000 0000"),
        (cell("float64", 4, word_order="little"), 1.5, "0000 0000 0000 3ff8"),
        (cell("uint32", 2), 0x01020304, "0102 0304"),
        (cell("int32", 2, word_order="little"), -2, "fffe ffff"),
        (cell("int64", 4), -1, "ffff ffff ffff ffff"),
        (cell("acc64", 4), 2**40, "0000 0100 0000 0000"),
        (cell("int16", 1, exponent=-1), 230.2, "08fe"),
        (cell("int16", 1, exponent=1), 4656.6, "01d2"),
        (cell("uint16", 1, factor=Decimal("0.05")), 50.0, "03e8"),
        (cell("sunssf", 1), -2, "fffe"),
        (cell("enum16", 1), 4, "0004"),
        (cell("string", 3), "PV15", "5056 3135 0000"),
        (cell("string", 2), "longer", "6c6f 6e67"),
    ],
)
def test_registers_are_packed_as_published(cell: Cell, value: Value, words: str) -> None:
    assert " ".join(f"{w:04x}" for w in pack(cell, value).words) == words


@pytest.mark.parametrize(
    ("cell", "value", "reading"),
    [
        (cell("float32", 2), 230.2, 230.1999969482422),
        (cell("float32", 2, exponent=-1), 12.0, 12.0),
        (cell("uint16", 1), 7.4, 7),
        (cell("uint16", 1, exponent=-2), 50.019, "50.02"),
        (cell("uint16", 1, exponent=3), 5000.0, "5000"),
        (cell("int32", 2, factor=Decimal("0.25"), exponent=1), 20.0, "20.0"),
        (cell("string", 4), "PV15", "PV15"),
        (cell("string", 4), "", None),
        (cell("float32", 2, absent=(0x7FC0, 0)), None, None),
        (cell("uint16", 1), None, 0),  # a device without a code for it: the reader cannot tell
        (cell("uint16", 1, absent=(0xFFFF,), not_available=(0xFFFF,)), None, None),
        (cell("acc32", 2, not_available=(0,)), 0, None),
    ],
)
def test_the_reading_is_what_a_reader_should_decode(cell: Cell, value: Value, reading: Value) -> None:
    assert pack(cell, value).reading == reading


@pytest.mark.parametrize(
    ("type_", "value"), [("uint16", 70_000), ("uint16", -1), ("int16", 40_000), ("int16", float("nan"))]
)
def test_what_does_not_fit_is_not_available(type_: str, value: float) -> None:
    packed = pack(cell(type_, 1, absent=(0xFFFF,), not_available=(0xFFFF,)), value)
    assert packed.words == (0xFFFF,)
    assert packed.reading is None


def test_registers_without_a_name_hold_what_is_fixed() -> None:
    assert pack(Cell(None, 3, 0, 2, "uint16", absent=(0x5375, 0x6E53)), None).words == (0x5375, 0x6E53)


@given(st.floats(-(2.0**100), 2.0**100, width=32), st.sampled_from(["big", "little"]))
def test_a_float32_reads_back_as_itself(value: float, order: str) -> None:
    packed = pack(cell("float32", 2, word_order=order), value)
    words = packed.words if order == "big" else packed.words[::-1]
    assert struct.unpack(">f", struct.pack(">HH", *words)) == (value,)
    assert packed.reading == value


PUBLISHED = [  # both ways: the request, the answer's PDU and the whole answer
    ("010400000002 71CB", "04044366 3334", "010404436633341B38"),
    ("F00300000002 D12A", "0304D47A43E8", "F00304D47A43E833AB"),
    ("01034A380002 53DE", "030400000000", "01030400000000FA33"),
    ("010300230001 75C0", "03020000", "0103020000B844"),
]


@pytest.mark.parametrize(("request_hex", "pdu_hex", "answer_hex"), PUBLISHED)
def test_published_frames_have_their_checksums(request_hex: str, pdu_hex: str, answer_hex: str) -> None:
    request, answer = bytes.fromhex(request_hex), bytes.fromhex(answer_hex)
    assert pdu.crc(request[:-2]) == request[-2:]
    assert pdu.request_length(request) == len(request)
    assert pdu.rtu(answer[0], bytes.fromhex(pdu_hex)) == answer
    read = pdu.read_of(request[1:-2])
    assert read == pdu.Read(request[1], int.from_bytes(request[2:4], "big"), int.from_bytes(request[4:6], "big"))


def test_bits_are_packed_low_bit_first() -> None:
    assert pdu.answer(2, (1, 0, 1, 1, 0, 0, 0, 0, 1)) == bytes([2, 2, 0b00001101, 1])
    assert pdu.answer(4, (0x4366, 0x3334)) == bytes.fromhex("040443663334")
    assert pdu.exception(3, 2) == bytes.fromhex("8302")


@pytest.mark.parametrize(
    ("data", "length"),
    [("01", None), ("0103", 8), ("0110", None), ("01100000000204", 13), ("0117000000010000000102", 15), ("0163", 0)],
)
def test_requests_end_by_their_length(data: str, length: int | None) -> None:
    assert pdu.request_length(bytes.fromhex(data)) == length


VALUES: tuple[Value, ...] = (
    None, 0, -0.0, 1, 65_535, -32_768, 2**31, 2**48, 230.20001, -4656.65, 0.125, 1e-9, 3.3e38, 3.5e38, -1e300,
    float("nan"), float("inf"), Fraction(7, 3), "PV15",
)  # fmt: skip


def test_a_cell_that_is_packed_again_and_again_is_packed_the_same() -> None:
    profiles = [profile for profile in map(load_profile, catalog()) if profile.protocol == "modbus"]
    points = [point for profile in profiles for point in profile.points if not point.sum and not point.bits]
    cells = {cell_of(point, Fraction(1)) for point in points}
    cells |= {cell("uint16", 1), cell("int32", 2, absent=(0, 0), not_available=(2**31, 65_535))}
    assert len(cells) > 500
    for each in cells:
        again = packer(each)
        for value in VALUES:
            if isinstance(value, str) == (each.type == "string") or value is None:
                assert repr(again(value)) == repr(pack(each, value)), (each, value)
