"""What the decoder records, beside arithmetic in fractions that shares nothing with it."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from gateway.devices.blocks import Content
from gateway.devices.decode import decode, decode_points
from gateway.devices.points import Point
from gateway.devices.profile import load_profile, parse_profile
from tests.support.register_points import of_registers

HEAD = 'format = 2\nvendor = "V"\ndevice = "D"\nsource = "S"\nmax_gap = 9\n[defaults]\nfc = 3\n[points]\n'
WORDS = {
    "uint16": 1, "int16": 1, "uint32": 2, "int32": 2, "uint48": 3, "int48": 3, "uint64": 4, "int64": 4, "bcd16": 1,
    "bcd32": 2, "bcd48": 3, "bcd64": 4,
}  # fmt: skip
ORDERS = st.sampled_from(["big", "little"])
FRACTIONS = st.fractions(max_denominator=10**6).map(lambda f: Fraction(f.numerator % 10**9 - 10**8, f.denominator))
OWN_UNITS = {
    "m3/h": ("m3/s", Fraction(1, 3600), Fraction(0)),
    "MJ": ("kWh", Fraction(1, 1) / Fraction(18, 5), Fraction(0)),
    "degF": ("Cel", Fraction(5, 9), -32 * Fraction(5, 9)),
    "K": ("Cel", Fraction(1), Fraction("-273.15")),
    "bar": ("hPa", Fraction(1000), Fraction(0)),
}


def point_of(**keys: Any) -> Point:
    body = ", ".join(f"{key} = {toml(value)}" for key, value in {"address": 0, "kind": "gauge", **keys}.items())
    (point,) = parse_profile(f"{HEAD}p = {{ {body} }}", "own", "own.toml").points
    return point


def toml(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)


def decimal_text(value: Fraction) -> str:
    return f"{value.numerator}/{value.denominator}"


def on_the_wire(data: bytes, byte_order: str, word_order: str) -> list[int]:
    """The registers of a value whose bytes are ``data``, highest first."""
    words = [data[n : n + 2] for n in range(0, len(data), 2)]
    words = [word[::-1] for word in words] if byte_order == "little" else words
    words = words[::-1] if word_order == "little" else words
    return [word[0] * 256 + word[1] for word in words]


def raw_number(type_: str, pattern: int, bits: tuple[int, int] | None) -> int | None:
    size = 16 * WORDS[type_]
    if bits:
        return sum(((pattern >> bit) & 1) << (bit - bits[0]) for bit in range(bits[0], bits[1] + 1))
    if type_.startswith("bcd"):
        digits = [(pattern >> shift) & 15 for shift in range(0, size, 4)]
        return None if max(digits) > 9 else sum(digit * 10**place for place, digit in enumerate(digits))
    return pattern - 2**size if type_.startswith("int") and pattern >> (size - 1) else pattern


def in_18_digits(value: Fraction) -> Fraction:
    """Rounded half to even."""
    if value == 0:
        return value
    places = 18
    while abs(value) * Fraction(10) ** places >= 10**18:
        places -= 1
    while abs(value) * Fraction(10) ** places < 10**17:
        places += 1
    return Fraction(round(value * Fraction(10) ** places)) / Fraction(10) ** places


def is_ten_to_some_power(value: Fraction) -> bool:
    return value in {Fraction(10) ** k for k in range(-60, 60)}


def as_fraction(value: Content) -> Fraction | None:
    assert not isinstance(value, str)
    return None if value is None else Fraction(value)


def pattern_of(type_: str, data: st.DataObject) -> int:
    size = 16 * WORDS[type_]
    if type_.startswith("bcd") and data.draw(st.integers(0, 9)):
        return int(str(data.draw(st.integers(0, 10 ** (size // 4) - 1))), 16)
    return data.draw(st.integers(0, 2**size - 1))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_integers_and_packed_decimals_are_one_rational_number(data: st.DataObject) -> None:
    type_ = data.draw(st.sampled_from(sorted(WORDS)))
    pattern, byte_order, word_order = pattern_of(type_, data), data.draw(ORDERS), data.draw(ORDERS)
    keys: dict[str, Any] = {"type": type_, "byte_order": byte_order, "word_order": word_order}
    bits = None
    if not type_.startswith("bcd") and data.draw(st.booleans()):
        low = data.draw(st.integers(0, 16 * WORDS[type_] - 1))
        bits = low, data.draw(st.integers(low, 16 * WORDS[type_] - 1))
        keys["bits"] = list(bits)
    times, plus = Fraction(1), Fraction(0)
    if data.draw(st.booleans()):
        keys["scale"] = data.draw(st.integers(-18, 18))
        times *= Fraction(10) ** keys["scale"]
    if data.draw(st.booleans()):
        factor = data.draw(FRACTIONS.filter(bool))
        keys["factor"], times = decimal_text(factor), times * factor
    unit = data.draw(st.sampled_from([None, *OWN_UNITS]))
    keys["unit"] = "V"
    if unit:
        keys["from_unit"], (keys["unit"], size, plus) = unit, OWN_UNITS[unit]
        times *= size
    if data.draw(st.booleans()):
        offset = data.draw(FRACTIONS)
        keys["offset"], plus = decimal_text(offset), plus + offset
    raw = raw_number(type_, pattern, bits)
    wire = on_the_wire(pattern.to_bytes(2 * WORDS[type_], "big"), byte_order, word_order)
    decoded = as_fraction(decode(point_of(**keys), wire).value)
    if raw is None:
        assert decoded is None
    elif is_ten_to_some_power(times) and not plus:
        assert decoded == raw * times
    else:
        assert decoded == in_18_digits(raw * times + plus)


@settings(max_examples=150, deadline=None)
@given(
    st.integers(0, 65535), st.integers(0, 65535), st.integers(-20, 20), st.integers(0, 65535), st.integers(0, 15),
    st.sampled_from(["uint32", "bcd32"]), st.integers(0, 99_999_999), st.integers(-18, 0),
)  # fmt: skip
@example(0, 1, 0, 0, 0, "uint32", 1, 0)
@example(1, 1, 19, 0, 0, "uint32", 1, 0)
def test_ratios_exponents_and_signs_of_registers_multiply_exactly(
    ct: int, pt: int, power: int, flags: int, bit: int, type_: str, number: int, scale: int
) -> None:
    text = f"""
primary = {{ address = 0, type = "uint16", kind = "scale" }}
secondary = {{ address = 1, type = "uint16", kind = "scale", scale = -2 }}
places = {{ address = 2, type = "int16", kind = "scale" }}
negative = {{ address = 3, type = "uint16", kind = "scale", bits = [{bit}, {bit}] }}
p = {{ address = 4, type = "{type_}", unit = "W", scale = {scale}, factor_from = ["primary", "secondary"],
      scale_from = "places", sign_from = "negative" }}
""".replace(",\n     ", ",")
    points = parse_profile(HEAD + text, "own", "own.toml").points
    pattern = int(str(number), 16) if type_ == "bcd32" else number
    registers = [ct, pt, power % 65536, flags, pattern >> 16, pattern & 0xFFFF]
    decoded = decode_points([(p, registers[p.address : p.end]) for p in points])["p"].value
    times = ct * Fraction(pt, 100) * Fraction(10) ** power * Fraction(10) ** scale
    value = (-number if flags >> bit & 1 else number) * times
    if not ct or not pt or abs(power) > 18:
        assert decoded is None
    else:
        assert as_fraction(decoded) == (value if is_ten_to_some_power(times) else in_18_digits(value))


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([("float32", ">f", 4), ("float64", ">d", 8)]),
    st.binary(min_size=8, max_size=8), ORDERS, ORDERS, st.integers(-6, 6), FRACTIONS.filter(bool), FRACTIONS,
)  # fmt: skip
def test_a_float_goes_through_the_steps_exactly_and_is_rounded_once(
    kind: tuple[str, str, int],
    data: bytes,
    byte_order: str,
    word_order: str,
    scale: int,
    factor: Fraction,
    offset: Fraction,
) -> None:
    type_, form, size = kind
    (raw,) = struct.unpack(form, data[:size])
    orders = {"type": type_, "unit": "V", "byte_order": byte_order, "word_order": word_order}
    wire = on_the_wire(data[:size], byte_order, word_order)
    plain = decode(point_of(**orders), wire).value
    point = point_of(**orders, scale=scale, factor=decimal_text(factor), offset=decimal_text(offset or Fraction(1)))
    decoded = decode(point, wire).value
    if not math.isfinite(raw):
        assert plain is decoded is None
        return
    assert plain == raw
    exact = Fraction(raw) * Fraction(10) ** scale * factor + (offset or 1)
    assume(abs(exact) < 10**300)
    assert isinstance(decoded, float)
    assert decoded == exact.numerator / exact.denominator  # Python divides integers correctly rounded


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 65535), st.integers(-1000, 1000), st.integers(-1000, 1000), st.integers(0, 12_000))
def test_a_signal_lies_on_the_line_through_its_two_points(raw: int, first: int, last: int, low: int) -> None:
    span = f"{{ from = [{Decimal(low) / 1000}, 20], to = [{first}, {last}], fault = [3.6, 21] }}"
    text = f'{HEAD}p = {{ address = 0, type = "uint16", scale = -3, unit = "m3/s", span = {span} }}'
    (point,) = parse_profile(text, "own", "own.toml").points
    decoded = as_fraction(decode(point, [raw]).value)
    share = Fraction(raw - low, 20_000 - low)
    assert decoded == (in_18_digits(first + share * (last - first)) if 3600 <= raw <= 21_000 else None)


@pytest.mark.parametrize(
    ("byte_order", "word_order", "registers"),
    [
        ("big", "big", [0x42F6, 0xE979]),  # ABCD
        ("little", "big", [0xF642, 0x79E9]),  # BADC
        ("big", "little", [0xE979, 0x42F6]),  # CDAB
        ("little", "little", [0x79E9, 0xF642]),  # DCBA
    ],
)
def test_the_four_orders_of_a_float(byte_order: str, word_order: str, registers: list[int]) -> None:
    """123.456 is 42F6E979 in IEEE 754."""
    point = point_of(type="float32", unit="V", byte_order=byte_order, word_order=word_order)
    assert decode(point, registers).value == pytest.approx(123.456, rel=1e-7)
    assert on_the_wire(bytes.fromhex("42F6E979"), byte_order, word_order) == registers


@pytest.mark.parametrize(
    ("keys", "registers", "value"),
    [
        ({"type": "bcd16"}, [0x1234], 1234),
        ({"type": "bcd48"}, [0x0012, 0x3456, 0x7890], 1234567890),
        ({"type": "bcd64"}, [0x9999, 0x9999, 0x9999, 0x9999], 9_999_999_999_999_999),
        ({"type": "bcd32", "byte_order": "little", "word_order": "little"}, [0x7856, 0x3412], 12345678),
        ({"type": "bcd16", "not_available": [0xFFFF]}, [0xFFFF], None),
        ({"type": "uint16", "byte_order": "little", "not_available": [0x8000]}, [0x0080], None),
        ({"type": "uint64", "word_order": "little"}, [0xFFFF] * 4, 2**64 - 1),
        ({"type": "uint64", "scale": -3, "byte_order": "little"}, [0xFFFF] * 4, Decimal("18446744073709551.615")),
        ({"type": "int16", "factor": "1/3"}, [0xFFFF], Decimal("-0.333333333333333333")),
    ],
)
def test_examples_to_check_by_hand(keys: dict[str, Any], registers: list[int], value: object) -> None:
    assert decode(point_of(unit="V", **keys), registers).value == value


FORMS = {
    "uint16": "H", "int16": "h", "uint32": "I", "int32": "i", "uint64": "Q", "int64": "q", "float32": "f",
    "float64": "d", "bits16": "H", "bits32": "I", "enum16": "H", "enum32": "I", "acc32": "I", "acc64": "Q",
}  # fmt: skip


def as_format_1_says(point: Point, words: Sequence[int], exponent: int) -> Content:
    """The value of a point with nothing but word order, type, codes and a power of ten."""
    ordered = words if point.word_order == "big" or point.type == "string" else words[::-1]
    data = struct.pack(f">{len(ordered)}H", *ordered)
    if point.type == "string":
        text = data.split(b"\0")[0].decode("ascii").rstrip()
        return text or None
    if int(data.hex(), 16) in point.not_available:
        return None
    (raw,) = struct.unpack(f">{FORMS[point.type]}", data)
    scale = point.scale + (exponent if point.scale_from else 0)
    if isinstance(raw, float):
        return raw * float(Decimal(10) ** scale) if math.isfinite(raw) else None
    return Decimal(raw).scaleb(scale) if scale else int(raw)


def says_what_format_1_says(point: Point) -> bool:
    """Whether ``as_format_1_says`` knows all that the point says."""
    known = point.type in FORMS or point.type == "string"
    return known and not (point.factor or point.factor_from or point.from_unit or point.chars != "two")


@pytest.mark.parametrize("name", of_registers())
def test_every_catalog_point_is_read_as_before(name: str) -> None:
    profile, chance = load_profile(name), random.Random(name)
    plain = [p for p in profile.points if p.kind != "scale" and says_what_format_1_says(p)]
    assert plain
    for point in plain:
        looks = [[chance.randrange(0x20, 0x7F) * 257 for _ in range(point.registers)]]
        if point.type != "string":
            looks += [[chance.randrange(65536) for _ in range(point.registers)] for _ in range(20)]
            looks += [[0] * point.registers, [0xFFFF] * point.registers, [0x8000] + [0] * (point.registers - 1)]
        for words in looks:
            exponent = chance.randrange(-3, 4)
            value = decode(point, words, scale=exponent).value
            expected = as_format_1_says(point, words, exponent)
            assert (value, type(value)) == (expected, type(expected)), (point.name, words)
