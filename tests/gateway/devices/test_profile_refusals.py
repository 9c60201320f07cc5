"""Every mistake in a profile is refused at load, with the file, the key, what is wrong and the fix."""

from __future__ import annotations

import re

import pytest

from gateway.devices.points import ProfileError
from gateway.devices.profile import parse_profile
from gateway.messages.languages import fix_in_language, in_language

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
    ("[defaults]\naddress = 3", "defaults.address: unknown key; available: "),
    ("", r"points: no points; add a \[points\] table"),
    ("points = 5", "points: no points"),
    ("[points\n", "not valid TOML, or a key written twice: .* line 5"),
    ("[points]\np = {}\np = {}", "not valid TOML, or a key written twice"),
    ("a = " + "[" * 20_000, "not valid TOML, or a key written twice: tables or arrays are nested"),
    ("a = " + "9" * 6_000, "not valid TOML, or a key written twice: a whole number has thousands of digits"),
    (
        "[points]\np = { scale = 1e999999999 }",
        "not valid TOML, or a key written twice: the number 1e999999999 is too long",
    ),
    ("max_bits = 2001", "max_bits: 2001 is not allowed; use a whole number from 1 to 2000"),
    ("max_gap = true", "max_gap: True is not allowed; use a whole number"),
    ("direct = 1", "direct: 1 is not allowed; use true or false"),
    ("pause_ms = -1", "pause_ms: -1 is not allowed"),
    ("format = 2\nlatency_ms = -1", "latency_ms: -1 is not allowed"),
    ("format = 2\nlatency_ms = '20 ms'", "latency_ms: '20 ms' is not allowed"),
    ("latency_ms = 150", "latency_ms: this key needs format 2"),
    ("answer_life_ms = 0.5", "answer_life_ms: 0.5 is not allowed"),
    ("protocol = 'm-bus'", "protocol: 'm-bus' is not allowed; use one of modbus, sunspec, dlt645, hj212"),
    ("format = 2\nsame_layout = [[3, 3]]" + POINT, "same_layout: .* is not allowed; use lists of SunSpec models"),
    ("format = 2\nsame_layout = [[3]]" + POINT, "same_layout: .* is not allowed; use lists of SunSpec models"),
    ("format = 2\nsame_layout = [[3, 0]]" + POINT, "same_layout: .* is not allowed; use a whole number from 1"),
    ("format = 2\nsame_layout = [[3, 4]]" + POINT, "same_layout: only a SunSpec device has models"),
    ("same_layout = [[3, 4]]" + POINT, "same_layout: this key needs format 2"),
    ("protocol = 'sunspec'" + POINT, "points.p.model: missing; set it at the point, or in"),
    ("readable = 5" + POINT, "readable: not a list; write readable = "),
    ("readable = [{ fc = 3, first = 9, last = 3 }]" + POINT, r"readable\[0\]: not a range; set fc, first and last"),
    ("readable = [{ fc = 3, first = 9 }]" + POINT, r"readable\[0\]: not a range"),
    ("readable = [{ fc = 3, first = 9, lsat = 9 }]" + POINT, r"readable\[0\].lsat: unknown key; did you mean 'last'"),
    (
        "step = 16\n[points]\np = { fc = 3, address = 15, type = 'string', registers = 34 }",
        "points.p.registers: the value needs a read of 64 registers, but a read holds max_registers = 50",
    ),
    ("[serial]\nparity = 'X'", "serial.parity: 'X' is not allowed; use one of N, E, O"),
    ("serial = 3", "serial: not a table; write it as a TOML table"),
    ("[not_available]\nuint8 = [0]", "not_available.uint8: unknown key; did you mean 'u?int"),
    ("identity = ['q']" + POINT, "identity: 'q' is not a point of this profile; available: p"),
    ("freshness = 'q'" + POINT, "freshness: 'q' is not a point of this profile; available: p"),
    (
        "freshness = 'q'\n[points]\nq = { fc = 3, address = 0, type = 'sunssf' }",
        "freshness: a scale register does not change",
    ),
    ("format = 3", "format: 3 is not allowed; use a whole number from 1 to 2"),
    (
        "may_sleep = true\nsleeps_below = 'p'" + POWER,
        "sleeps_below: this key needs format 2; write format = 2 at the top",
    ),
    ("format = 2\nsleeps_below = 'p'" + POWER, "sleeps_below: this device does not sleep; add may_sleep = true"),
    (
        SLEEPER + "sleeps_below = 'q'" + POWER,
        "sleeps_below: 'q' is not a point in W or kW of this profile; available: p",
    ),
    (
        SLEEPER + "sleeps_below = 'p'" + POINT,
        "sleeps_below: 'p' is not a point in W or kW of this profile; available: none",
    ),
    ("stale_after_ms = 0", "stale_after_ms: 0 is not allowed; use a whole number from 1"),
    ("[points]\n'a.first' = { fc = 3, address = 0, type = 'int16', unit = 'W' }", "points.a.first: names that end in"),
    (
        f"[points]\n{'e' * 58} = {{ fc = 3, address = 0, type = 'uint32', unit = 'kWh', kind = 'counter' }}",
        f"points.{'e' * 58}: the name of a counter has at most 57 characters; shorten it",
    ),
    ("[points]\n'a b' = {}", "points.a b: not a valid point name; use only letters"),
    (
        "volts = { fc = 3, address = 0, type = 'int16', unit = 'V' }\n[points]",
        r"volts: this point stands above \[points\]; move it below",
    ),
    (
        "[points]\ntimeout_ms = 500",
        r"points.timeout_ms: this key belongs to the whole profile, but stands below \[points\]; move timeout_ms above",
    ),
    ("[points]\np = 5", "points.p: not a table"),
    (
        "[points]\na = { fc = 4, address = 0, type = 'float32', unit = 'V' }\n"
        "b = { fc = 4, address = 1, type = 'float32', unit = 'V' }",
        r"points.b.address: the point starts at 1, inside a \(0 to 1\); check both addresses and types",
    ),
    (
        "[points]\na = { fc = 3, address = 0, type = 'string', registers = 8 }\n"
        "b = { fc = 3, address = 1, type = 'uint16', unit = 'V' }\n"
        "c = { fc = 3, address = 7, type = 'uint32', unit = 'V' }",
        r"points.c.address: the point starts at 7, inside a \(0 to 7\)",
    ),
]

POINTS = [
    (WATT + "adress = 3", "adress: unknown key; did you mean 'address'"),
    ("fc = 6, address = 0, type = 'int16', unit = 'W'", "fc: 6 is not allowed; use a whole number from 1 to 4"),
    ("fc = 3, address = 65536, type = 'int16', unit = 'W'", "address: 65536 is not allowed; .* 0 to 65535"),
    ("fc = 3, address = -1, type = 'int16', unit = 'W'", "address: -1 is not allowed"),
    ("fc = 3, address = '40001', type = 'int16', unit = 'W'", "address: '40001' is not allowed"),
    (
        "fc = 3, address = 65535, type = 'int32', unit = 'W'",
        "address: the point ends at 65536; check its address and type",
    ),
    ("fc = 3, address = 0, type = 'float16', unit = 'W'", "type: 'float16' is not allowed; use one of uint16"),
    ("fc = 3, address = 0, unit = 'W'", "type: missing; set it at the point, or in"),
    ("address = 0, type = 'int16', unit = 'W'", "fc: missing"),
    ("fc = 3, type = 'int16', unit = 'W'", "address: missing"),
    (TEXT, "registers: missing; set how many registers"),
    (
        TEXT + "registers = 100",
        "registers: the value needs a read of 100 registers, but a read holds max_registers = 50; raise max_registers",
    ),
    (WATT + "registers = 2", "registers: type int16 fills 1 register; remove registers"),
    ("fc = 3, address = 0, type = 'bit'", "type: type bit cannot be read by fc 3; use fc 1 or 2"),
    ("fc = 2, address = 0, type = 'int16', unit = 'W'", "type: type int16 cannot be read by fc 2; use fc 1 or 2"),
    (WATT + "model = 103", "model: only a SunSpec device has models"),
    (INT16, "unit: missing; set a SenML unit; a ratio is"),
    (INT16 + "unit = 'furlong'", "unit: 'furlong' is not in the SenML unit registries"),
    (INT16 + "unit = 'kwh'", "unit: 'kwh' is not in the SenML unit registries; did you mean 'kWh'"),
    (INT16 + "unit = 'degC'", "unit: 'degC' is not allowed; write \"Cel\" for degrees Celsius"),
    (INT16 + "unit = '%'", "unit: '%' is not allowed; write \"/100\" for percent, .* in SenML"),
    (TEXT + "registers = 2, unit = 'W'", "unit: a text has no unit; remove unit"),
    (TEXT + "registers = 2, wire_unit = 'W'", "unit: a text has no unit"),
    (TEXT + "registers = 2, kind = 'counter', unit = 'W'", "kind: type string cannot be a counter"),
    (WATT + "kind = 'meter'", "kind: 'meter' is not allowed; use one of gauge, counter"),
    (WATT + "word_order = 'middle'", "word_order: 'middle' is not allowed; use one of big, little"),
    (WATT + "scale = 1.5", "scale: 1.5 is not allowed; use a whole number from -18 to 18"),
    (WATT + "factor = 0", "factor: 0 is not allowed; use a number other than 0"),
    (WATT + "factor = nan", "factor: NaN is not allowed; use a number"),
    (WATT + "factor = '2'", "factor: '2' is not allowed"),
    (WATT + "factor = 1.0123456789012345678", "factor: more than 18 digits"),
    (WATT + "factor = 1e99", "factor: more than 18 digits, or outside"),
    (BITS16 + "scale = 1", "scale: a status is not scaled"),
    (WATT + "scale_from = 'sf'", "scale_from: 'sf' is not a scale register of the same model; add a point of type"),
    (WATT + "factor_from = 'vt'", "factor_from: 'vt' is not allowed; use one of ct, pt"),
    (WATT + "not_available = [0x8000_0000]", "not_available: 0x80000000 does not fit into 16 bits; use the raw"),
    (WATT + "not_available = [-32769]", "not_available: -0x8001 does not fit into 16 bits"),
    (TEXT + "registers = 2, not_available = [0]", "not_available: type string has no codes; remove it"),
    (WATT + "low = 5, high = 4", "low: 5 is above high = 4; swap them"),
    (BITS16 + "low = 5", "low: a status has no range"),
    (WATT + "wraps_at = 100", "wraps_at: only a counter wraps"),
    (WATT + "kind = 'counter', wraps_at = -1", "wraps_at: only a counter wraps, at a number above 0"),
    (WATT + "max_per_hour = 5", "max_per_hour: only a counter grows"),
    (WATT + "kind = 'counter', max_per_hour = -5", "max_per_hour: only a counter grows, by a number above 0"),
    (BITS16 + "lively = true", "lively: a status may stay unchanged"),
    (WATT + "symbols = { 1 = 'ON' }", "symbols: a gauge has no codes"),
    (BITS16 + "symbols = { 16 = 'ON' }", "symbols: type bits16 has bits 0 to 15"),
    (BITS16 + "symbols = { one = 'ON' }", "symbols: .* is not allowed; write each code as a whole number"),
    (BITS16 + "symbols = { 1 = 'A', 0x1 = 'B' }", "symbols: .* is not allowed; list each code once"),
    (BITS16 + "symbols = 'ON'", "symbols: 'ON' is not allowed; use a table of codes"),
    (BITS16 + "raises = { 1 = 'DEVICE_FALT' }", "raises.1: 'DEVICE_FALT' is not a flag .* did you mean 'DEVICE_FAULT'"),
    (BITS16 + "about = ['co2']", "about: 'co2' is not another point of this profile"),
]


def refuse(text: str, message: str) -> None:
    """``message`` is a pattern of the problem without its file, a semicolon, and the fix."""
    with pytest.raises(ProfileError) as caught:
        parse_profile(text, "mine", "mine.toml")
    refusal = f"{caught.value.problem}; {caught.value.way_out}"
    assert re.match(f"mine.toml: {message}", refusal), refusal
    assert caught.value.way_out
    assert str(caught.value).startswith("mine.toml: ")
    chinese = in_language(caught.value.sentence, "zh"), fix_in_language(caught.value.sentence, "zh")
    assert all(re.search("[\u4e00-\u9fff]", text) for text in chinese), chinese


@pytest.mark.parametrize(("text", "message"), FILES)
def test_a_file_is_refused_with_file_key_and_fix(text: str, message: str) -> None:
    refuse(HEAD + text, message)


@pytest.mark.parametrize(("text", "message"), POINTS)
def test_a_point_is_refused_with_file_key_and_fix(text: str, message: str) -> None:
    refuse(f"{HEAD}[points]\np = {{ {text.rstrip(', ')} }}", f"points.p.{message}")


@pytest.mark.parametrize("key", ["vendor", "device", "source"])
def test_a_profile_without_its_origin_is_refused(key: str) -> None:
    head = "".join(f"{line}\n" for line in HEAD.splitlines() if not line.startswith(key))
    refuse(head + POINT, f"{key}: missing; name the vendor, the device and the source")


@pytest.mark.parametrize("layout", ["[4, 3]", "[3, 4], [5, 6]", "[3, 1]"])
def test_points_name_the_first_model_of_a_layout_and_no_other(layout: str) -> None:
    points = f"[points]\np = {{ {WATT} model = 3 }}\nq = {{ {WATT} model = 1 }}\n"
    head = HEAD + f"format = 2\nprotocol = 'sunspec'\nsame_layout = [{layout}]\n"
    refuse(head + points, "same_layout: the points name another model than")


def test_a_scale_of_another_model_or_a_second_scale_is_refused() -> None:
    sunspec = HEAD + "protocol = 'sunspec'\n[points]\nsf = { fc = 3, model = 2, address = 2, type = 'sunssf' }\n"
    refuse(
        sunspec + f"p = {{ {WATT} model = 1, scale_from = 'sf' }}", "points.p.scale_from: 'sf' is not a scale register"
    )
    both = f"p = {{ {WATT} model = 2, scale_from = 'sf', scale = 1 }}"
    refuse(sunspec + both, "points.p.scale: scale_from already sets the scale; remove one of them")


ENERGY = "di = '00010000', format = 'XXXXXX.XX', unit = 'kWh', kind = 'counter', "
DLT645 = HEAD.replace("max_registers = 50\n", "") + "format = 2\nprotocol = 'dlt645'\n"
HJ212 = DLT645.replace("dlt645", "hj212") + "cn = '2051'\n"
ELSEWHERE = [
    (DLT645, "fc = 3, " + ENERGY, 'fc: points of protocol "dlt645" do not have this key; .* di, format, part, signed'),
    (DLT645, "code = 'a01011', " + ENERGY, 'code: points of protocol "dlt645" do not have this key; those of "hj212"'),
    (HJ212, "code = 'a01011', di = '00010000'", 'di: points of protocol "hj212" do not have this key'),
    (HJ212, "code = 'a01011', not_available = [0]", 'not_available: points of protocol "hj212" do not have this'),
    (HEAD, WATT + "di = '00010000'", 'di: only points of protocol "dlt645" have this key; set protocol'),
    (DLT645, "format = 'XX.XX', unit = 'V'", "di: missing"),
    (DLT645, "di = '00010000', unit = 'V'", "format: missing"),
    (HJ212, "suffix = 'Rtd', unit = 'V'", "code: missing"),
    (DLT645, ENERGY.replace("00010000", "0001000"), "di: '0001000' is not allowed; use the data identifier as 8"),
    (DLT645, ENERGY.replace("XXXXXX.XX", "XXXXXX,XX"), "format: 'XXXXXX,XX' is not allowed; use X for a digit"),
    (DLT645, ENERGY + "part = 1", 'part: "00010000" holds several values if one of its bytes is FF'),
    (DLT645, ENERGY.replace("00010000", "0001FF00"), 'part: "0001FF00" holds several values if one of its bytes'),
    (DLT645, "di = '04000102', format = 'hhmmss', signed = true", 'signed: format "hhmmss" has no digits'),
    (DLT645, "di = '04000102', format = 'hhmmss', kind = 'gauge', unit = 's'", "kind: type hhmmss cannot be a gauge"),
    (DLT645, "di = '04000402', format = 'XXXX', kind = 'text'", "format: digits with X are a number; use N"),
    (DLT645, "di = '04000503', format = 'HHHH', symbols = { 16 = 'A' }", "symbols: type HHHH has bits 0 to 15"),
    (DLT645, "di = '00010000', format = 'XXXXXX.XX', unit = 'kWh'", 'kind: missing; write kind = "counter"'),
    (
        DLT645,
        "di = '00010000', format = 'XX', unit = 'W', factor_from = ['ratio']",
        "factor_from: .*'ratio'.* is not allowed",
    ),
    (HJ212, "code = 'a-1', suffix = 'Rtd', unit = 'V'", "code: 'a-1' is not allowed; use letters and digits"),
    (HJ212, "code = 'a01011', suffix = 'Rtd', kind = 'part'", "kind: 'part' is not allowed"),
]


@pytest.mark.parametrize(("head", "text", "message"), ELSEWHERE)
def test_a_point_has_the_keys_of_its_protocol(head: str, text: str, message: str) -> None:
    refuse(f"{head}[points]\np = {{ {text.rstrip(', ')} }}", f"points.p.{message}")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (DLT645 + "max_gap = 1" + POINT, 'max_gap: a device of protocol "dlt645" has no registers'),
        (DLT645 + "cn = '2011'" + POINT, 'cn: a profile of protocol "hj212" stands for'),
        (HJ212.replace("cn = '2051'", "") + POINT, 'cn: a profile of protocol "hj212" stands for'),
        (HJ212.replace("2051", "205") + POINT, "cn: '205' is not allowed; use four digits"),
        (DLT645.replace("format = 2", "") + POINT, "format: this key needs format 2"),
        (
            f"{DLT645}[points]\np = {{ {ENERGY.rstrip(', ')} }}\nq = {{ {ENERGY.rstrip(', ')} }}",
            "points.q: p stands at 00010000, too",
        ),
        (
            f"{DLT645}[points]\np = {{ di = '01010000', format = 'XX.XXXX----------', unit = 'kW' }}\n"
            "q = { di = '01010000', format = '--YYMMDDhhmm' }",
            "points.q.format: a value of 01010000 has 6 bytes here, and 8 at p",
        ),
    ],
)
def test_a_profile_has_the_keys_of_its_protocol(text: str, message: str) -> None:
    refuse(text, message)
