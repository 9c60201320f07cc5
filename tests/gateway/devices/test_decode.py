"""Registers → values, against published frames and against words made by struct."""

from __future__ import annotations

import math
import struct
from decimal import Decimal

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from gateway.devices.decode import Decoded, configured_factor, decode, decode_points
from gateway.devices.places import REGISTERS
from gateway.devices.points import Point
from gateway.devices.profile import load_profile
from ledger_client.formats.senml import Quality
from tests.support.register_points import register_point

ABSENT = Decoded(None, Quality.DECODE_ERR)
INTEGERS = {"uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q", "int64": "q", "acc32": "I"}
FLOATS = {"float32": "f", "float64": "d"}


def point(type_: str, **keys: object) -> Point:
    kind = "scale" if type_ == "sunssf" else "gauge"
    base: dict[str, object] = {"name": "p", "fc": 2 if type_ == "bit" else 3, "address": 0, "type": type_, "kind": kind}
    return register_point(**{**base, "registers": REGISTERS.get(type_, 1), **keys})  # type: ignore[arg-type]


def words(data: bytes, order: str = "big") -> list[int]:
    """Registers of big-endian bytes."""
    registers = [int.from_bytes(data[i : i + 2], "big") for i in range(0, len(data), 2)]
    return registers if order == "big" else registers[::-1]


def number(type_: str, value: float) -> bytes:
    return struct.pack(">" + {**INTEGERS, **FLOATS}[type_], value)


# Answers that manuals and wikis print, without head and CRC, and the value that they print with them.
PUBLISHED = [
    ("eastron-sdm630", "voltage_ln_l1", "43663334", 230.20001220703125, "230.2"),  # wiki.marcluerssen.de Modbus_Meter
    ("eastron-sdm630", "voltage_ln_l2", "4367AF55", 231.68489074707031, "231.68489"),  # volkszaehler/mbmd issue 63
    ("vaisala-gmp252", "co2", "D47A43E8", 465.65997314453125, "465.65997"),  # easymanua.ls GMP252 page 120
]


@pytest.mark.parametrize(("profile", "name", "payload", "value", "printed"), PUBLISHED)
def test_published_answers_give_their_published_values(
    profile: str, name: str, payload: str, value: float, printed: str
) -> None:
    decoded = decode(load_profile(profile).point(name), words(bytes.fromhex(payload)))
    assert decoded == Decoded(value)
    assert math.isclose(value, float(printed), rel_tol=1e-7)


def test_the_zeros_of_an_unmapped_register_are_the_number_0() -> None:
    assert decode(point("float32"), [0, 0]) == Decoded(0.0)


orders = st.sampled_from(["big", "little"])


@given(st.sampled_from(sorted(INTEGERS)), orders, st.data())
def test_integers_of_every_width_and_order(type_: str, order: str, data: st.DataObject) -> None:
    bits = 16 * REGISTERS[type_]
    low = -(2 ** (bits - 1)) if type_.startswith("int") else 0
    value = data.draw(st.integers(low, low + 2**bits - 1))
    decoded = decode(point(type_, word_order=order), words(number(type_, value), order))
    assert decoded == Decoded(value)
    assert type(decoded.value) is int


@given(st.sampled_from(sorted(FLOATS)), orders, st.data())
def test_a_float_is_its_own_value_bit_for_bit(type_: str, order: str, data: st.DataObject) -> None:
    value = data.draw(st.floats(width=32 if type_ == "float32" else 64, allow_nan=False, allow_infinity=False))
    decoded = decode(point(type_, word_order=order), words(number(type_, value), order))
    assert type(decoded.value) is float
    assert number("float64", decoded.value) == number("float64", value)


@given(st.integers(-(2**31), 2**31 - 1), st.integers(-18, 18).filter(bool))
def test_a_power_of_ten_keeps_the_raw_number_as_mantissa(raw: int, scale: int) -> None:
    decoded = decode(point("int32", scale=scale), words(number("int32", raw)))
    assert isinstance(decoded.value, Decimal)
    sign, digits, exponent = decoded.value.as_tuple()
    assert (int("".join(map(str, digits))), bool(sign), exponent) == (abs(raw), raw < 0, scale)


def rounded(mantissa: int, exponent: int) -> tuple[int, int]:
    """At most 18 digits, half to even, in whole numbers."""
    beyond = max(0, len(str(mantissa)) - 18)
    kept, rest = divmod(mantissa, 10**beyond)
    half = 10**beyond // 2
    up = beyond > 0 and (rest > half or (rest == half and kept % 2 == 1))
    return kept + up, exponent + beyond


@pytest.mark.parametrize(
    ("factor", "raw", "value"),
    [
        ("0.0002777777777777778", 4294967295, "1193046.47083333343"),  # m3/h -> m3/s, as docs/profiles.md has it
        ("0.2777777777777777778", 4294967295, "1193046470.83333333"),  # MJ -> kWh
        ("1.00000000000000001", 5, "5.00000000000000005"),
        ("1.00000000000000001", 50, "50.0000000000000005"),
        ("1.0000000000000001", 105, "105.000000000000010"),  # …0105 is halfway between two: to the even one
        ("1.0000000000000001", 115, "115.000000000000012"),
        ("3", 2**64 - 1, "55340232221128654800"),
        ("-3", 2**64 - 1, "-55340232221128654800"),
    ],
)
def test_no_value_is_thrown_away_for_its_digits(factor: str, raw: int, value: str) -> None:
    decoded = decode(point("uint64", factor=Decimal(factor)), words(number("uint64", raw)))
    assert decoded == Decoded(Decimal(value))
    assert decoded.quality == 0


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-18, 18))
def test_a_power_of_ten_alone_keeps_all_64_bits(raw: int, scale: int) -> None:
    assert decode(point("int64", scale=scale), words(number("int64", raw))) == Decoded(Decimal(raw).scaleb(scale))


@given(st.integers(0, 2**64 - 2), st.integers(1, 10**18 - 1), st.integers(-20, 3))
def test_rounding_lets_no_counter_fall(raw: int, digits: int, power: int) -> None:
    counter = point("uint64", factor=Decimal((0, tuple(map(int, str(digits))), power)), kind="counter", unit="kWh")
    before, after = (decode(counter, words(number("uint64", stand))).value for stand in (raw, raw + 1))
    assert isinstance(before, int | Decimal)
    assert isinstance(after, int | Decimal)
    assert before <= after


@given(st.integers(0, 2**64 - 1), st.integers(1, 10**18 - 1), st.integers(-20, 3))
def test_any_other_factor_gives_the_product_to_18_digits_with_the_shortest_mantissa(
    raw: int, digits: int, power: int
) -> None:
    assume(str(digits).rstrip("0") != "1")
    factor = Decimal((0, tuple(map(int, str(digits))), power))
    decoded = decode(point("uint64", factor=factor), words(number("uint64", raw)))
    mantissa, exponent = rounded(raw * digits, power)
    while mantissa and mantissa % 10 == 0:
        mantissa, exponent = mantissa // 10, exponent + 1
    if mantissa == 0 or exponent == 0:
        assert decoded == Decoded(mantissa)
        assert type(decoded.value) is int
    else:
        assert isinstance(decoded.value, Decimal)
        assert decoded.value.as_tuple() == Decimal((0, tuple(map(int, str(mantissa))), exponent)).as_tuple()


@pytest.mark.parametrize(
    ("keys", "raw", "value"),
    [
        ({"scale": -1}, 2302, Decimal("230.2")),
        ({"scale": -2}, 23000, Decimal("230.00")),
        ({"scale": 3}, 42, Decimal("42E+3")),
        ({"factor": Decimal("0.25")}, 10, Decimal("2.5")),
        ({"factor": Decimal("0.5")}, 10, 5),
        ({"factor": Decimal("7")}, 0, 0),
        ({"factor": Decimal("1.0")}, 17, 17),
        ({"factor": Decimal("0.010")}, 1700, Decimal("17.00")),
        ({"factor": Decimal("-1")}, 17, -17),
        ({"scale": 1, "factor": Decimal("0.1")}, 17, 17),
    ],
)
def test_scales_by_example(keys: dict[str, object], raw: int, value: Decimal | int) -> None:
    decoded = decode(point("uint16", **keys), [raw]).value
    assert repr(decoded) == repr(value)


def test_a_scaled_float_is_the_product_in_binary64() -> None:
    raw = struct.unpack(">f", bytes.fromhex("45100CCD"))[0]
    assert decode(point("float32", scale=-1), words(bytes.fromhex("45100CCD"))) == Decoded(raw * 0.1)
    assert decode(point("float32", factor=Decimal("1000")), words(bytes.fromhex("45100CCD"))) == Decoded(raw * 1000.0)


@pytest.mark.parametrize("payload", ["7FC00000", "FFC00000", "7F800001", "7F800000", "FF800000"])
def test_nan_and_infinity_are_never_values(payload: str) -> None:
    assert decode(point("float32"), words(bytes.fromhex(payload))) == ABSENT


def test_a_product_beyond_binary64_is_no_value() -> None:
    assert decode(point("float64", scale=18), words(number("float64", 1e300))) == ABSENT


@given(st.sampled_from(["uint16", "int16", "uint32", "int64", "float32", "bits32", "enum16"]), orders, st.data())
def test_a_code_for_no_value_is_a_flag_and_nothing_else(type_: str, order: str, data: st.DataObject) -> None:
    pattern = data.draw(st.integers(0, 2 ** (16 * REGISTERS[type_]) - 1))
    registers = words(pattern.to_bytes(2 * REGISTERS[type_], "big"), order)
    assert decode(point(type_, word_order=order, not_available=(5, pattern)), registers) == ABSENT


@given(st.integers(0, 65535), st.integers(0, 65535))
def test_only_that_code_is_none(pattern: int, code: int) -> None:
    expected = ABSENT if pattern == code else Decoded(pattern)
    assert decode(point("uint16", not_available=(code,)), [pattern]) == expected


def test_bits_codes_and_single_bits() -> None:
    assert decode(point("bits16"), [0x8001]) == Decoded(0x8001)
    assert decode(point("bits32"), [0x8000, 1]) == Decoded(0x80000001)
    assert decode(point("enum16"), [7]) == Decoded(7)
    assert decode(point("bit"), [1]) == Decoded(True)
    assert decode(point("bit"), [0]) == Decoded(False)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"SN-0042\0", "SN-0042"),
        (b"SN 0042   \0\0", "SN 0042"),
        (b"AB\0\0old!", "AB"),
        ("Zähler\0".encode() + b"\0", "Zähler"),
        (b"\0\0\0\0", None),
        (b"    ", None),
        (b"\0ABC", None),
        (b"\xff\xff\xff\xff", None),
        (b"A\x1b[2J", None),
    ],
)
def test_texts(data: bytes, text: str | None) -> None:
    padded = data + b"\0" * (len(data) % 2)
    decoded = decode(point("string", registers=len(padded) // 2), words(padded))
    assert decoded == (Decoded(text) if text else ABSENT)


@given(st.integers(0, 12))
def test_a_wrong_number_of_registers_is_no_value(count: int) -> None:
    assume(count != 2)
    assert decode(point("float32"), [0] * count) == ABSENT


@pytest.mark.parametrize("exponent", range(-10, 11))
def test_a_sunspec_value_is_scaled_by_its_register(exponent: int) -> None:
    scaled = point("int16", scale_from="sf")
    assert decode(point("sunssf"), [exponent & 0xFFFF]) == Decoded(exponent)
    value = decode(scaled, [0xFFFF], scale=exponent).value
    assert value == Decimal(-1).scaleb(exponent)
    assert isinstance(value, int if exponent == 0 else Decimal)


def test_a_sunspec_value_without_a_usable_scale_is_no_value() -> None:
    assert decode(point("sunssf", not_available=(0x8000,)), [0x8000]) == ABSENT
    assert decode(point("sunssf"), [11]) == ABSENT
    assert decode(point("int16", scale_from="sf"), [100], scale=None) == ABSENT


def test_scale_registers_scale_the_points_of_their_own_model_and_stay_out_of_the_result() -> None:
    read = [
        (point("uint16", name="a", scale_from="sf", model=103), [1234]),
        (point("uint16", name="b", scale_from="sf", model=1), [1234]),
        (point("sunssf", name="sf", model=103), [0xFFFE]),
    ]
    assert decode_points(read) == {"a": Decoded(Decimal("12.34")), "b": ABSENT}


def test_configured_factors_multiply_exactly() -> None:
    energy = point("uint32", scale=-2, factor_from=("ct", "pt"))
    factors = {"ct": Decimal("2.5"), "pt": Decimal(40)}
    assert configured_factor(energy, factors) == 100
    assert decode_points([(energy, [0, 12345])], factors) == {"p": Decoded(12345)}
    assert decode_points([(energy, [0, 12345])], {**factors, "pt": Decimal(3)}) == {"p": Decoded(Decimal("925.875"))}


def test_a_factor_that_nobody_configured_makes_no_value() -> None:
    energy = point("uint32", factor_from=("ct", "pt"))
    assert configured_factor(energy, {"ct": Decimal(5)}) is None
    assert decode_points([(energy, [0, 12345])], {"ct": Decimal(5)}) == {"p": ABSENT}
    assert configured_factor(point("uint16"), {"ct": Decimal(5)}) is None
