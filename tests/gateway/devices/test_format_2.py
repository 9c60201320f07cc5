"""Format 2: what register maps say and format 1 cannot, by published examples and by arithmetic of its own."""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest

from gateway.acquisition.ratios import Ratios
from gateway.acquisition.validation import judge
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.devices.decode import RegisterDecoder, decode, decode_points
from gateway.devices.points import Profile, ProfileError
from gateway.devices.profile import parse_profile
from gateway.devices.profile_text import format_profile
from gateway.errors import ConfigError
from gateway.messages.message import Message
from ledger_client.formats.senml import Quality

HEAD = 'format = 2\nvendor = "V"\ndevice = "D"\nsource = "S"\nmax_gap = 4\n[defaults]\nfc = 3\n[points]\n'


def parse(points: str) -> Profile:
    return parse_profile(HEAD + points, "mine", "mine.toml")


def read(points: str, registers: Sequence[int]) -> dict[str, object]:
    profile = parse(points)
    assert parse_profile(format_profile(profile), "mine", "mine.toml") == profile
    found = decode_points([(p, registers[p.address : p.end]) for p in profile.points])
    return {name: decoded.value for name, decoded in found.items()}


FLOW = 'p = { address = 0, type = "uint16", scale = -3, unit = "m3/s", span = { from = [4, 20], to = [0, 250]'
ONE = "p = { address = 0, "


@pytest.mark.parametrize(
    ("points", "registers", "value"),
    [
        (FLOW + ", fault = [3.6, 21] } }", [12000], 125),
        (FLOW + ", fault = [3.6, 21] } }", [3599], None),
        (FLOW + ", fault = [3.6, 21] } }", [21001], None),
        (ONE + 'type = "float32", unit = "V", byte_order = "little" }', [0x6643, 0x3433], 230.20001220703125),
        (ONE + 'type = "float32", unit = "V", byte_order = "little", word_order = "little" }', [0x3433, 0x6643],
         230.20001220703125),
        (ONE + 'type = "bcd32", unit = "kWh", kind = "counter", scale = -2 }', [0x1234, 0x5678], Decimal("123456.78")),
        (ONE + 'type = "bcd32", unit = "kWh", kind = "counter" }', [0x12A4, 0x5678], None),
        (ONE + 'type = "uint48", unit = "V" }', [1, 2, 3], 2**32 + 2 * 2**16 + 3),
        (ONE + 'type = "int48", unit = "V" }', [0xFFFF, 0xFFFF, 0xFFFE], -2),
        (ONE + 'type = "uint16", unit = "V", bits = [4, 7] }', [0xABCD], 0xC),
        (ONE + 'type = "uint16", unit = "Cel", scale = -1, offset = -40 }', [652], Decimal("25.2")),
        (ONE + 'type = "uint16", unit = "m3/s", factor = "1/3600" }', [3600], 1),
        (ONE + 'type = "uint32", unit = "m3/s", from_unit = "m3/h" }', [0, 1], Decimal("0.000277777777777777778")),
        (ONE + 'type = "uint16", unit = "Cel", from_unit = "degF" }', [212], 100),
        (ONE + 'type = "string", registers = 2, chars = "low" }', [0x0041, 0x0042], "AB"),
        (ONE + 'type = "string", registers = 2, byte_order = "little" }', [0x4241, 0x4443], "ABCD"),
    ],
)  # fmt: skip
def test_the_profile_says_what_a_register_map_says(points: str, registers: list[int], value: object) -> None:
    assert read(points, registers)["p"] == value


RATIOS = """
ct = { address = 0, type = "uint16", kind = "scale" }
"""
SCALED = """
ratio = { address = 0, type = "uint16", kind = "scale" }
places = { address = 1, type = "int16", kind = "scale" }
negative = { address = 2, type = "uint16", kind = "scale", bits = [0, 0] }
power = { address = 3, type = "uint16", unit = "W",factor_from = "ratio", scale_from = "places", sign_from = "negative"}
"""
SUM = """
high = { address = 0, type = "bcd32", kind = "part", scale = 3 }
low = { address = 2, type = "uint16", kind = "part" }
energy = { sum = ["high", "low"], unit = "kWh", kind = "counter", wraps_at = 100000000000 }
"""


def test_ratios_exponents_and_signs_come_from_the_meters_own_registers() -> None:
    assert read(SCALED, [40, 0xFFFF, 3, 25])["power"] == -100
    assert read(SCALED, [0, 0, 0, 25])["power"] is None
    assert read(SCALED, [40, 19, 0, 25])["power"] is None


def test_a_sum_adds_its_parts_of_one_block() -> None:
    assert read(SUM, [0x1234, 0x5678, 901]) == {"energy": 12345678901}
    assert read(SUM, [0x123A, 0x5678, 901]) == {"energy": None}


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (FLOW.replace("[4, 20]", "[20, 4]") + ", fault = false } }", "write two different numbers in from"),
        (FLOW + " } }", "add the limits beyond which the signal is faulty"),
        (FLOW + ", fault = false }, offset = 1 }", "span already defines the whole line"),
        (ONE + 'type = "uint16", unit = "V", bits = [4, 16] }', "[4, 16] is not within bits 0 to 15"),
        (ONE + 'type = "uint16", unit = "V", chars = "low" }', "has no characters"),
        (ONE + 'type = "uint16", unit = "kWh" }', 'write kind = "counter" if the value only grows'),
        (ONE + 'type = "uint16", unit = "m3/h" }', 'write unit = "m3/s", from_unit = "m3/h"'),
        (ONE + 'type = "uint16", unit = "m3", kind = "counter", from_unit = "Nm3" }', 'name the point "p_n"'),
        (ONE + 'type = "uint16", unit = "V", factor = "1/0" }', "use a number, or a fraction"),
        (ONE + 'type = "uint16", unit = "V", factor_from = ["q"] }', "is not a scale point of the same model"),
        (RATIOS, "is the ratio set in gateway.toml"),
        (SUM.replace(", wraps_at = 100000000000", ""), "the registers of a sum do not show"),
        (SUM.replace("address = 2", "address = 9"), "no single read can cover 0 to 9"),
    ],
)
def test_what_does_not_go_together_is_refused_with_its_fix(points: str, message: str) -> None:
    with pytest.raises(ProfileError, match=re.escape(message)):
        parse(points)


def test_a_file_of_format_1_knows_no_key_of_format_2() -> None:
    with pytest.raises(ProfileError, match="this key needs format 2"):
        parse_profile(HEAD.replace("format = 2", "") + ONE + 'type = "uint16", unit = "V", bits = [0, 1] }', "m", "m")


def test_a_changed_ratio_is_told_with_the_values_that_it_is_about() -> None:
    ratios = Ratios(parse(SCALED).points)
    ratios.see({(None, "ratio"): Fraction(40), (None, "negative"): Fraction(0)}, 0)
    assert (ratios.changes, ratios.affected) == ({}, [])
    ratios.see({(None, "ratio"): Fraction(50), (None, "negative"): Fraction(1)}, 1000)
    assert ratios.changes == {"ratio": {"before": "40", "now": "50"}}
    assert ratios.affected == ["power"]
    ratios.see({(None, "ratio"): Fraction(50)}, 2000)
    assert ratios.affected == []


@pytest.mark.parametrize(("raw", "flags"), [(12000, 0), (3700, Quality.RANGE_LOW), (20600, Quality.RANGE_HIGH)])
def test_a_signal_outside_of_its_range_is_kept_and_flagged(raw: int, flags: int) -> None:
    (point,) = parse(FLOW + ", range = [3.8, 20.5], fault = [3.6, 21] } }").points
    judged = judge(point, decode(point, [raw]).value, 0)
    assert judged.value is not None
    assert judged.flags == flags


def test_a_broken_signal_is_a_fault_of_the_device() -> None:
    (point,) = parse(FLOW + ", fault = [3.6, 21] } }").points
    decoder = RegisterDecoder([(point, 0)])
    assert decoder.faults(decoder.split([3599]), {}) == ["p"]
    assert decoder.faults(decoder.split([3600]), {}) == []
    assert judge(point, None, 0, flags=int(Quality.DEVICE_FAULT)).flags == Quality.DEVICE_FAULT


@pytest.mark.parametrize(("ratio", "refused"), [('"200/5"', False), ("40", False), ('"5/0"', True), ("-1", True)])
def test_a_transformer_ratio_is_a_number_or_a_fraction(tmp_path: Path, ratio: str, refused: bool) -> None:
    meter = ONE + 'type = "uint16", unit = "W", factor_from = "ct" }'
    if refused:
        with pytest.raises(ConfigError, match="ratio above 0"):
            configured(tmp_path, meter, ratio)
    else:
        assert configured(tmp_path, meter, ratio).meters["m"].factors == {"ct": 40}


def test_a_ratio_under_a_profile_that_does_not_multiply_by_it_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as refused:
        configured(tmp_path, ONE + 'type = "uint16", unit = "W" }', "40")
    assert refused.value.key.endswith(", ct")
    assert refused.value.what == Message("config-ratio-unused", profile="own", factor="ct")


def configured(folder: Path, points: str, ratio: str) -> Config:
    (folder / "own.toml").write_text(HEAD + points)
    bus = '[gateway]\nid = "g"\n[[bus]]\nname = "b"\ntype = "modbus-tcp"\nhost = "127.0.0.1"\n'
    meter = f'[[bus.meter]]\nname = "m"\naddress = 1\nprofile = "own.toml"\nct = {ratio}\n'
    (folder / "gateway.toml").write_text(bus + meter)
    return load_config(folder / "gateway.toml")
