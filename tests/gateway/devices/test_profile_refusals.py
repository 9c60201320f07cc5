"""Every mistake in a profile is refused at load, with the file, the key, what is wrong and the way out."""

from __future__ import annotations

import re

import pytest

from gateway.devices.points import ProfileError
from gateway.devices.profile import parse_profile

HEAD = 'vendor = "V"\ndevice = "D"\nsource = "S"\nmax_registers = 50\n'
WATT = "fc = 3, address = 0, type = 'int16', unit = 'W', "
INT16 = "fc = 3, address = 0, type = 'int16', "
BITS16 = "fc = 3, address = 0, type = 'bits16', "
TEXT = "fc = 3, address = 0, type = 'string', "
POINT = "\n[points]\np = { " + BITS16.rstrip(", ") + " }"
POWER = "\n[points]\np = { " + WATT.rstrip(", ") + " }"
SLEEPER = "format = 2\nmay_sleep = true\n"

FILES = [
    ("maxregisters = 3", "maxregisters: unknown key; did you mean 'max_registers'"),
    ("[defualts]\nfc = 3", "defualts: unknown key; did you mean 'defaults'"),
    ("[defaults]\naddress = 3", "defaults.address: unknown key; known are"),
    ("", r"points: there are none; add a \[points\] table"),
    ("points = 5", "points: there are none"),
    ("[points\n", "not TOML, or a key written twice: .* line 5"),
    ("[points]\np = {}\np = {}", "not TOML, or a key written twice"),
    ("a = " + "[" * 20_000, "not TOML, or a key written twice: tables or arrays stand inside of one another"),
    ("a = " + "9" * 6_000, "not TOML, or a key written twice: a whole number has thousands of digits"),
    ("[points]\np = { scale = 1e999999999 }", "not TOML, or a key written twice: the number 1e999999999 is too long"),
    ("max_bits = 2001", "max_bits: 2001 will not do; give a whole number from 1 to 2000"),
    ("max_gap = true", "max_gap: True will not do; give a whole number"),
    ("direct = 1", "direct: 1 will not do; give true or false"),
    ("pause_ms = -1", "pause_ms: -1 will not do"),
    ("format = 2\nlatency_ms = -1", "latency_ms: -1 will not do"),
    ("format = 2\nlatency_ms = '20 ms'", "latency_ms: '20 ms' will not do"),
    ("latency_ms = 150", "latency_ms: a key of format 2"),
    ("answer_life_ms = 0.5", "answer_life_ms: 0.5 will not do"),
    ("protocol = 'dlt645'", "protocol: 'dlt645' will not do; give one of modbus, sunspec"),
    ("protocol = 'sunspec'" + POINT, "points.p.model: missing; give it at the point, or in"),
    ("readable = 5" + POINT, "readable: this is not a list; write readable = "),
    ("readable = [{ fc = 3, first = 9, last = 3 }]" + POINT, r"readable\[0\]: not a range; give fc, first and last"),
    ("readable = [{ fc = 3, first = 9 }]" + POINT, r"readable\[0\]: not a range"),
    ("readable = [{ fc = 3, first = 9, lsat = 9 }]" + POINT, r"readable\[0\].lsat: unknown key; did you mean 'last'"),
    (
        "step = 16\n[points]\np = { fc = 3, address = 15, type = 'string', registers = 34 }",
        "points.p.registers: the value needs a read of 64 registers, a read holds max_registers = 50",
    ),
    ("[serial]\nparity = 'X'", "serial.parity: 'X' will not do; give one of N, E, O"),
    ("serial = 3", "serial: this is not a table; write it as a TOML table"),
    ("[not_available]\nuint8 = [0]", "not_available.uint8: unknown key; did you mean 'u?int"),
    ("identity = ['q']" + POINT, "identity: 'q' is no point of this profile; known are p"),
    ("freshness = 'q'" + POINT, "freshness: 'q' is no point of this profile; known are p"),
    (
        "freshness = 'q'\n[points]\nq = { fc = 3, address = 0, type = 'sunssf' }",
        "freshness: a scale register does not move",
    ),
    ("format = 3", "format: 3 will not do; give a whole number from 1 to 2"),
    ("may_sleep = true\nsleeps_below = 'p'" + POWER, "sleeps_below: a key of format 2; write format = 2 at the top"),
    ("format = 2\nsleeps_below = 'p'" + POWER, "sleeps_below: this device never sleeps; add may_sleep = true"),
    (SLEEPER + "sleeps_below = 'q'" + POWER, "sleeps_below: 'q' is no point in W or kW of this profile; known are p"),
    (
        SLEEPER + "sleeps_below = 'p'" + POINT,
        "sleeps_below: 'p' is no point in W or kW of this profile; known are none",
    ),
    ("stale_after_ms = 0", "stale_after_ms: 0 will not do; give a whole number from 1"),
    ("[points]\n'a.first' = { fc = 3, address = 0, type = 'int16', unit = 'W' }", "points.a.first: names that end in"),
    (
        f"[points]\n{'e' * 58} = {{ fc = 3, address = 0, type = 'uint32', unit = 'kWh', kind = 'counter' }}",
        f"points.{'e' * 58}: a counter's name has at most 57 letters; shorten it",
    ),
    ("[points]\n'a b' = {}", "points.a b: this cannot be a point's name; use letters"),
    (
        "volts = { fc = 3, address = 0, type = 'int16', unit = 'V' }\n[points]",
        r"volts: this is a point, and it stands above \[points\]; move it below",
    ),
    (
        "[points]\ntimeout_ms = 500",
        r"points.timeout_ms: this is a key of the whole profile, and it stands below \[points\]; move timeout_ms above",
    ),
    ("[points]\np = 5", "points.p: this is not a table"),
    (
        "[points]\na = { fc = 4, address = 0, type = 'float32', unit = 'V' }\n"
        "b = { fc = 4, address = 1, type = 'float32', unit = 'V' }",
        r"points.b.address: it starts at 1, inside a \(0 to 1\); check both addresses and types",
    ),
    (
        "[points]\na = { fc = 3, address = 0, type = 'string', registers = 8 }\n"
        "b = { fc = 3, address = 1, type = 'uint16', unit = 'V' }\n"
        "c = { fc = 3, address = 7, type = 'uint32', unit = 'V' }",
        r"points.c.address: it starts at 7, inside a \(0 to 7\)",
    ),
]

POINTS = [
    (WATT + "adress = 3", "adress: unknown key; did you mean 'address'"),
    ("fc = 6, address = 0, type = 'int16', unit = 'W'", "fc: 6 will not do; give a whole number from 1 to 4"),
    ("fc = 3, address = 65536, type = 'int16', unit = 'W'", "address: 65536 will not do; .* 0 to 65535"),
    ("fc = 3, address = -1, type = 'int16', unit = 'W'", "address: -1 will not do"),
    ("fc = 3, address = '40001', type = 'int16', unit = 'W'", "address: '40001' will not do"),
    ("fc = 3, address = 65535, type = 'int32', unit = 'W'", "address: the point reaches to 65536; registers end"),
    ("fc = 3, address = 0, type = 'float16', unit = 'W'", "type: 'float16' will not do; give one of uint16"),
    ("fc = 3, address = 0, unit = 'W'", "type: missing; give it at the point, or in"),
    ("address = 0, type = 'int16', unit = 'W'", "fc: missing"),
    ("fc = 3, type = 'int16', unit = 'W'", "address: missing"),
    (TEXT, "registers: missing; say how many registers"),
    (
        TEXT + "registers = 100",
        "registers: the value needs a read of 100 registers, a read holds max_registers = 50; a value is",
    ),
    (WATT + "registers = 2", "registers: type int16 fills 1; leave registers out"),
    ("fc = 3, address = 0, type = 'bit'", "type: type bit by fc 3; fc 1 and 2 read"),
    ("fc = 2, address = 0, type = 'int16', unit = 'W'", "type: type int16 by fc 2; fc 1 and 2 read"),
    (WATT + "model = 103", "model: only a SunSpec device has models"),
    (INT16, "unit: missing; give a SenML unit; a ratio is"),
    (INT16 + "unit = 'furlong'", "unit: 'furlong' is not in the SenML unit registries"),
    (INT16 + "unit = 'kwh'", "unit: 'kwh' is not in the SenML unit registries; did you mean 'kWh'"),
    (INT16 + "unit = 'degC'", "unit: 'degC' will not do; degrees Celsius are \"Cel\""),
    (INT16 + "unit = '%'", "unit: '%' will not do; in SenML .* percent is \"/100\""),
    (TEXT + "registers = 2, unit = 'W'", "unit: a text has no unit; leave unit out"),
    (TEXT + "registers = 2, wire_unit = 'W'", "unit: a text has no unit"),
    (TEXT + "registers = 2, kind = 'counter', unit = 'W'", "kind: type string is no counter"),
    (WATT + "kind = 'meter'", "kind: 'meter' will not do; give one of gauge, counter"),
    (WATT + "word_order = 'middle'", "word_order: 'middle' will not do; give one of big, little"),
    (WATT + "scale = 1.5", "scale: 1.5 will not do; give a whole number from -18 to 18"),
    (WATT + "factor = 0", "factor: 0 will not do; give a number other than 0"),
    (WATT + "factor = nan", "factor: NaN will not do; give a number"),
    (WATT + "factor = '2'", "factor: '2' will not do"),
    (WATT + "factor = 1.0123456789012345678", "factor: more than 18 digits"),
    (WATT + "factor = 1e99", "factor: more than 18 digits, or beyond"),
    (BITS16 + "scale = 1", "scale: a status is not scaled"),
    (WATT + "scale_from = 'sf'", "scale_from: 'sf' is no scale register of the same model; add a point of type"),
    (WATT + "factor_from = 'vt'", "factor_from: 'vt' will not do; give one of ct, pt"),
    (WATT + "not_available = [0x8000_0000]", "not_available: 0x80000000 does not fit into 16 bits; give the raw"),
    (WATT + "not_available = [-32769]", "not_available: -0x8001 does not fit into 16 bits"),
    (TEXT + "registers = 2, not_available = [0]", "not_available: type string has no codes; leave it out"),
    (WATT + "low = 5, high = 4", "low: 5 is above high = 4; swap them"),
    (BITS16 + "low = 5", "low: a status has no range"),
    (WATT + "wraps_at = 100", "wraps_at: only a counter wraps"),
    (WATT + "kind = 'counter', wraps_at = -1", "wraps_at: only a counter wraps, at a number above 0"),
    (WATT + "max_per_hour = 5", "max_per_hour: only a counter grows"),
    (WATT + "kind = 'counter', max_per_hour = -5", "max_per_hour: only a counter grows, and by more than 0"),
    (BITS16 + "lively = true", "lively: a status may rest for ever"),
    (WATT + "symbols = { 1 = 'ON' }", "symbols: a gauge has no codes"),
    (BITS16 + "symbols = { 16 = 'ON' }", "symbols: type bits16 has bits 0 to 15"),
    (BITS16 + "symbols = { one = 'ON' }", "symbols: .* will not do; write each code as a whole number"),
    (BITS16 + "symbols = { 1 = 'A', 0x1 = 'B' }", "symbols: .* will not do; write each code once"),
    (BITS16 + "symbols = 'ON'", "symbols: 'ON' will not do; give a table of codes"),
    (BITS16 + "raises = { 1 = 'DEVICE_FALT' }", "raises.1: 'DEVICE_FALT' is no flag .* did you mean 'DEVICE_FAULT'"),
    (BITS16 + "about = ['co2']", "about: 'co2' is no other point of this profile"),
]


def refuse(text: str, message: str) -> None:
    """``message`` is a pattern of the problem without its file, a semicolon, and the way out."""
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, "mine", "mine.toml")
    said = f"{caught.value.problem}; {caught.value.way_out}"
    assert re.match(f"mine.toml: {message}", said), said
    assert caught.value.way_out
    assert str(caught.value).startswith("mine.toml: ")


@pytest.mark.parametrize(("text", "message"), FILES)
def test_a_file_is_refused_with_file_key_and_way_out(text: str, message: str) -> None:
    refuse(HEAD + text, message)


@pytest.mark.parametrize(("text", "message"), POINTS)
def test_a_point_is_refused_with_file_key_and_way_out(text: str, message: str) -> None:
    refuse(f"{HEAD}[points]\np = {{ {text.rstrip(', ')} }}", f"points.p.{message}")


@pytest.mark.parametrize("key", ["vendor", "device", "source"])
def test_a_profile_without_its_origin_is_refused(key: str) -> None:
    head = "".join(f"{line}\n" for line in HEAD.splitlines() if not line.startswith(key))
    refuse(head + POINT, f"{key}: missing; every profile names its vendor, its device and its source")


def test_a_scale_of_another_model_or_a_second_scale_is_refused() -> None:
    sunspec = HEAD + "protocol = 'sunspec'\n[points]\nsf = { fc = 3, model = 2, address = 2, type = 'sunssf' }\n"
    refuse(sunspec + f"p = {{ {WATT} model = 1, scale_from = 'sf' }}", "points.p.scale_from: 'sf' is no scale register")
    both = f"p = {{ {WATT} model = 2, scale_from = 'sf', scale = 1 }}"
    refuse(sunspec + both, "points.p.scale: the scale comes from scale_from already; leave one of them out")
