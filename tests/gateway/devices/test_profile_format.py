"""The profile file: what it says is what is loaded, it reads back the same, and every mistake is refused by name."""

from __future__ import annotations

import tomllib
from dataclasses import fields, replace
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.devices.knowledge.fingerprint import Constant, Fingerprint, Refusal, Sum
from gateway.devices.knowledge.provenance import Provenance
from gateway.devices.places import REGISTERS, Factor, Identifier, Registers
from gateway.devices.points import Point, Profile, ProfileError, Serial, Span
from gateway.devices.profile import catalog, load_profile, parse_profile
from gateway.devices.profile_text import decoding_hash, format_profile
from gateway.messages.message import Message
from ledger_client.formats.senml import PRIMARY_UNITS, SECONDARY_UNITS
from tests.support.register_points import register_point

HEAD = 'vendor = "V"\ndevice = "D"\nsource = "S"\n'
DOCS = Path(__file__).parents[3] / "docs" / "profiles.md"


def parse(text: str, head: str = HEAD) -> Profile:
    return parse_profile(head + text, "mine", "mine.toml")


def one(point: str, head: str = HEAD) -> Point:
    return parse(f"[points]\np = {{ {point} }}\n", head).points[0]


def test_every_key_of_a_file_arrives() -> None:
    profile = parse(
        """
        format = 2
        protocol = "modbus"
        default_address = 126
        max_registers = 64
        max_bits = 256
        max_gap = 16
        readable = [{ fc = 3, first = 0, last = 99 }]
        step = 2
        same_functions = true
        pause_ms = 100
        timeout_ms = 600
        connect_delay_ms = 1000
        answer_life_ms = 10000
        direct = true
        leading_bytes = true
        may_sleep = true
        sleeps_below = "power"
        identity = ["serial"]
        identity_object = 0x80
        freshness = "power"
        [serial]
        baudrate = 19200
        parity = "E"
        stopbits = 2
        [points]
        serial = { fc = 3, address = 100, type = "string", registers = 8, record = false }
        power = { fc = 4, address = 8, type = "int32", unit = "W" }
        """
    )
    assert profile == Profile(
        name="mine",
        vendor="V",
        device="D",
        source="S",
        points=(
            register_point("serial", 3, 100, "string", 8, kind="text", record=False),
            register_point("power", 4, 8, "int32", 2, unit="W"),
        ),
        format=2,
        default_address=126,
        serial=Serial(19200, "E", 2),
        max_registers=64,
        max_bits=256,
        max_gap=16,
        step=2,
        readable=(Span(3, 0, 99),),
        same_functions=True,
        pause_ms=100,
        timeout_ms=600,
        connect_delay_ms=1000,
        answer_life_ms=10000,
        direct=True,
        leading_bytes=True,
        may_sleep=True,
        sleeps_below="power",
        identity=("serial",),
        identity_object=128,
        freshness="power",
    )


def test_every_key_of_a_point_arrives() -> None:
    profile = parse(
        """
        protocol = "sunspec"
        [points.energy]
        fc = 3
        model = 103
        address = 24
        type = "acc32"
        word_order = "little"
        factor = 2.50
        scale_from = "sf"
        factor_from = ["ct", "pt"]
        unit = "Wh"
        wire_unit = "kWh"
        low = 0
        high = 1e9
        wraps_at = 1000000
        lively = true
        record = true
        sunspec = "WH"
        note = "n"
        not_available = [0]
        [points.sf]
        fc = 3
        model = 103
        address = 26
        type = "sunssf"
        not_available = [0x8000]
        [points.state]
        fc = 3
        model = 103
        address = 38
        type = "enum16"
        symbols = { 7 = "FAULT", 1 = "OFF" }
        raises = { 7 = "DEVICE_FAULT" }
        about = ["energy"]
        """
    )
    energy = register_point(
        "energy", 3, 24, "acc32", 2, "little", factor=Decimal("2.50"), scale_from="sf", factor_from=("ct", "pt"),
        unit="Wh", wire_unit="kWh", kind="counter", not_available=(0,), low=Decimal(0), high=Decimal("1e9"),
        wraps_at=Decimal(1000000), lively=True, model=103, sunspec="WH", note="n",
    )  # fmt: skip
    scale = register_point("sf", 3, 26, "sunssf", 1, kind="scale", model=103, record=False, not_available=(0x8000,))
    state = register_point(
        "state", 3, 38, "enum16", 1, kind="status", model=103, symbols=((1, "OFF"), (7, "FAULT")),
        raises=((7, "DEVICE_FAULT"),), about=("energy",),
    )  # fmt: skip
    assert profile.points == (energy, scale, state)
    assert profile.factors == {"ct", "pt"}


@pytest.mark.parametrize("type_", sorted(REGISTERS))
def test_every_type_has_its_registers_and_its_kind(type_: str) -> None:
    fc = 2 if type_ == "bit" else 3
    numeric = type_.startswith(("uint", "int", "float", "acc", "bcd"))
    unit = ', unit = "W"' if numeric else ""
    kind = {"sunssf": "scale", "acc32": "counter", "acc64": "counter"}.get(type_, "gauge" if numeric else "status")
    point = one(f'fc = {fc}, address = 1, type = "{type_}"{unit}', "format = 2\n" + HEAD)
    assert (point.registers, point.kind, point.end) == (REGISTERS[type_], kind, 1 + REGISTERS[type_])


def test_a_point_takes_the_defaults_that_it_does_not_overrule() -> None:
    profile = parse(
        """
        [defaults]
        fc = 4
        type = "float32"
        word_order = "little"
        unit = "V"
        scale = -1
        lively = true
        [not_available]
        uint16 = [0xFFFF]
        float32 = [0]
        [points]
        a = { address = 0 }
        b = { address = 2, fc = 3, type = "uint16", unit = "A", scale = 0 }
        c = { address = 3, type = "uint16", not_available = [] }
        d = { address = 4, type = "enum16" }
        """
    )
    a, b, c, d = profile.points
    assert (a.fc, a.type, a.word_order, a.unit, a.scale, a.not_available) == (4, "float32", "little", "V", -1, (0,))
    assert (b.fc, b.type, b.unit, b.scale, b.not_available) == (3, "uint16", "A", 0, (0xFFFF,))
    assert c.not_available == ()
    assert (d.unit, d.scale, d.lively, d.kind) == (None, 0, False, "status")


def code(error: ProfileError) -> str:
    assert isinstance(error.what, Message)
    return error.what.code


def test_a_negative_code_is_the_pattern_of_its_registers() -> None:
    assert one('fc = 3, address = 0, type = "int16", unit = "W", not_available = [-32768, 0x7FFF]').not_available == (
        0x8000,
        0x7FFF,
    )


def test_a_number_with_a_point_stays_exact() -> None:
    assert one('fc = 3, address = 0, type = "int16", unit = "W", factor = 0.1').factor == Decimal("0.1")


@pytest.mark.parametrize("unit", sorted(PRIMARY_UNITS | SECONDARY_UNITS))
def test_every_registered_unit_but_percent_sign_can_be_recorded(unit: str) -> None:
    text = f'fc = 3, address = 0, type = "int16", unit = "{unit}"'
    if unit == "%":
        with pytest.raises(ProfileError, match='write "/100" for percent'):
            one(text)
    else:
        assert one(text).unit == unit


def test_selection_takes_what_is_recorded_or_named_and_the_scale_it_needs() -> None:
    profile = load_profile("sunspec-inverter")
    assert [p.name for p in profile.select(("energy_export",))] == ["energy_export", "energy_export_scale"]
    default = profile.select()
    assert {p.scale_from for p in default if p.scale_from} <= {p.name for p in default}
    assert all(p.record or p.kind == "scale" for p in default)
    with pytest.raises(ProfileError, match="did you mean 'energy_export'") as refused:
        profile.select(("energy_exprt",))
    assert "energy_exprt" in refused.value.key
    assert code(refused.value) == "profile-no-such-point"


def test_a_word_and_its_parts_may_share_registers() -> None:
    profile = parse(
        "[points]\na = { fc = 3, address = 0, type = 'uint32', unit = 'V' }\n"
        "b = { fc = 3, address = 1, type = 'bits16' }\nc = { fc = 4, address = 1, type = 'uint32', unit = 'V' }"
    )
    assert len(profile.points) == 3


def test_a_profile_is_found_by_catalog_name_or_by_path(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(HEAD + "[points]\np = { fc = 3, address = 0, type = 'bits16' }\n")
    assert load_profile("own.toml", tmp_path).name == "own"
    assert load_profile("./own.toml", tmp_path) == load_profile(str(tmp_path / "own.toml"))
    assert load_profile("eastron-sdm630").vendor == "Eastron"
    with pytest.raises(ProfileError, match="did you mean 'eastron-sdm630'") as refused:
        load_profile("eastron-sdm360")
    assert code(refused.value) == "profile-not-in-catalog"
    with pytest.raises(ProfileError, match="check the path") as refused:
        load_profile("missing.toml", tmp_path)
    assert refused.value.file.endswith("missing.toml")
    assert refused.value.what == Message("profile-unreadable", error=Message("errno-enoent"))


def test_a_file_that_is_no_text_or_bears_an_impossible_name_is_refused(tmp_path: Path) -> None:
    (tmp_path / "binary.toml").write_bytes(b"vendor = '\xff'")
    with pytest.raises(ProfileError) as refused:
        load_profile("binary.toml", tmp_path)
    assert refused.value.file.endswith("binary.toml")
    assert refused.value.what == Message("text-not-utf8", at_byte=10)
    (tmp_path / "my meter.toml").write_text(HEAD)
    with pytest.raises(ProfileError) as refused:
        load_profile("my meter.toml", tmp_path)
    assert refused.value.what == Message("profile-name-invalid", name="my meter")


text = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12)
decimals = st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-1000, max_value=1000)


@st.composite
def points(draw: st.DrawFn, address: int, name: str) -> Point:
    type_ = draw(st.sampled_from(["int16", "uint32", "float64", "string", "bits32", "enum16", "acc32"]))
    registers = draw(st.integers(1, 8)) if type_ == "string" else REGISTERS[type_]
    codes = st.dictionaries(st.integers(0, 31), text, max_size=3).map(lambda d: tuple(sorted(d.items())))
    note = draw(st.none() | text)
    if type_ in ("string", "bits32", "enum16"):
        kind = "text" if type_ == "string" else "status"
        symbols = draw(codes) if kind == "status" else ()
        return register_point(name, 3, address, type_, registers, kind=kind, symbols=symbols, note=note)
    low, high = sorted(draw(st.tuples(decimals, decimals)))
    kind = draw(st.sampled_from(["gauge", "counter"]))
    return register_point(
        name, draw(st.sampled_from([3, 4])), address, type_, registers, draw(st.sampled_from(["big", "little"])),
        scale=draw(st.integers(-9, 9)), factor=draw(st.none() | decimals.filter(bool)), unit="kWh", kind=kind,
        factor_from=draw(st.sampled_from([(), ("ct",), ("ct", "pt")])), low=low, high=high, note=note,
        not_available=tuple(draw(st.lists(st.integers(0, 65535), max_size=2))), lively=draw(st.booleans()),
        wraps_at=draw(st.none() | decimals.filter(lambda d: d > 0)) if kind == "counter" else None,
        record=draw(st.booleans()),
    )  # fmt: skip


@st.composite
def profiles(draw: st.DrawFn) -> Profile:
    drawn = [draw(points(10 * i, f"p{i}.x" if i % 2 else f"p{i}")) for i in range(draw(st.integers(1, 4)))]
    return Profile(
        "mine", draw(text), draw(text), draw(text), tuple(drawn), same_functions=draw(st.booleans()),
        serial=Serial(draw(st.sampled_from([2400, 9600])), draw(st.sampled_from("NEO")), draw(st.sampled_from([1, 2]))),
        readable=tuple(draw(st.lists(st.builds(Span, st.just(3), st.integers(0, 9), st.integers(9, 99)), max_size=2))),
        max_gap=draw(st.integers(0, 125)), answer_life_ms=draw(st.none() | st.integers(1, 9000)),
        identity=(drawn[0].name,), identity_object=draw(st.none() | st.integers(0, 255)),
    )  # fmt: skip


@given(profiles())
def test_a_profile_reads_back_the_same(profile: Profile) -> None:
    assert parse_profile(format_profile(profile), "mine", "mine.toml") == profile


@pytest.mark.parametrize("name", catalog())
def test_a_catalog_profile_reads_back_the_same(name: str) -> None:
    profile = load_profile(name)
    assert parse_profile(format_profile(profile), name, name) == profile


@pytest.mark.parametrize(
    ("name", "digest"),
    [
        ("dlt645-single-phase", "fd3d385b1b0d8de21bf3245a71ba36664192f9a68fe494eae30b154f436109ac"),
        ("dlt645-three-phase", "b03205c580411e3d6bfa2e2d5b9fe3a2e375cf1a8be787e13d40ca96062cdf11"),
        ("dsmr-2-electricity", "ca2594cfe2256dbd924a31fb380f4768813b0489a9664e30a3d6d136aaec5875"),
        ("dsmr-4-electricity", "173137e0cba7238906f104dc6b405384864c1e4d42da443b69d665a0070b387b"),
        ("dsmr-5-electricity", "7439cb41b2984e008e20f1942feb80115a063e64b66ea24f9d86baf9e6f48b13"),
        ("dsmr-gas", "c740d9a747cb0f16cdc530802d39ccf2d0f451437a78078e6a116c0a4817ecd2"),
        ("dsmr-heat", "98fa028409f0edab24d651114ec0f52f42635d9288cf6880a0123fd76870882e"),
        ("dsmr-water", "c740d9a747cb0f16cdc530802d39ccf2d0f451437a78078e6a116c0a4817ecd2"),
        ("hj212-cems-day", "82582968726604d00d3e382083cb3caf78e432590f116055d69476b21ddce440"),
        ("hj212-cems-hour", "e01ba7d1f69bc3564c4a40e9e78cc5b95bdfb026015fb5a451b07ba6b5d10c60"),
        ("hj212-cems-minute", "1787c22b97da9e05f370bc05cde17764ff249ee4343527c290d5def81a185fb5"),
        ("hj212-cems-realtime", "6efe5bc69be9a7aaefed233de1c005e5632a3864484b9f37e24568520a05ca6a"),
        ("eastron-sdm630", "c957198f520c4a4fa0ede7e1c251429ff6bf0039085e6b34faf7c5f0940eddfb"),
        ("sunspec-inverter", "c73ddf1e219735418bea02cd4df1f009b39541a598fb7ede0c536c4b6572e719"),
        ("vaisala-gmp252", "0e86d20ffee07bfa03ae642b77163af9288350014e4242207193fa2eabffcbeb"),
    ],
)
def test_the_hash_of_what_was_recorded_stays(name: str, digest: str) -> None:
    assert decoding_hash(load_profile(name)).hex() == digest


def test_the_documented_example_loads() -> None:
    example = next(block for block in DOCS.read_text().split("```toml\n")[1:] if "[points]" in block).split("```")[0]
    profile = parse(example, head="")
    assert profile.point("energy").factor_from == ("ct", "pt")
    assert set(tomllib.loads(example)["points"]) == {p.name for p in profile.points}


@pytest.mark.parametrize("protocol", ["dlt645", "hj212"])
def test_the_documented_example_of_a_protocol_loads(protocol: str) -> None:
    (example,) = (b for b in DOCS.read_text().split("```toml\n")[1:] if f'protocol = "{protocol}"' in b.split("```")[0])
    profile = parse(example.split("```")[0], head="")
    assert profile.protocol == protocol
    assert parse_profile(format_profile(profile), "mine", "mine.toml") == profile
    assert decoding_hash(profile) != decoding_hash(replace(profile, points=profile.points[:-1]))


DOCUMENTED = (
    Profile, Point, Registers, Identifier, Factor, Serial, Provenance, Fingerprint, Constant, Refusal, Sum,
)  # fmt: skip


def test_every_key_is_documented() -> None:
    documented = DOCS.read_text()
    keys = {f.name for table in DOCUMENTED for f in fields(table)} - {
        "name",
        "points",
        "at",
        "parts",
        "kind_unsaid",
        "word_order_unsaid",
    }
    assert [key for key in sorted(keys) if f"`{key}`" not in documented and f"`[{key}]`" not in documented] == []


def test_the_documented_refusal_is_what_is_said() -> None:
    shown = DOCS.read_text().split("```text\n")[-1].split("\n```")[0]
    with pytest.raises(ProfileError) as caught:
        parse_profile(
            HEAD + "[points]\nco2 = { fc = 3, address = 0, type = 'int16', unit = '%' }",
            "flue-gas",
            "profiles/flue-gas.toml",
        )
    assert str(caught.value) == shown
