"""The catalog: every profile loads, names its source, and says what the devices' documents say."""

from __future__ import annotations

import re

import pytest

from gateway.devices.decode_bcd import DataBlock
from gateway.devices.knowledge.quantities import PROFILE_PREFIX, QUANTITIES, UNITS, has_sign, one_name
from gateway.devices.places import Factor, Identifier
from gateway.devices.points import UNRECORDED, Point, Profile, Serial
from gateway.devices.profile import CATALOG, catalog, load_profile
from gateway.devices.read_plan import Limits, plan
from ledger_client.formats.senml import PRIMARY_UNITS, SECONDARY_UNITS
from tests.support.register_points import as_found, of_registers


def test_the_catalog_holds_the_three_devices_of_the_demo_plant() -> None:
    assert {"eastron-sdm630", "sunspec-inverter", "vaisala-gmp252"} <= set(catalog())


@pytest.mark.parametrize("name", catalog())
def test_every_profile_names_its_source_and_its_confidence_on_top(name: str) -> None:
    text = (CATALOG / f"{name}.toml").read_text()
    top = text.split("\n\n", 1)[0]
    assert all(line.startswith("#") for line in top.splitlines())
    assert "Source" in top
    assert "Confidence" in top


@pytest.mark.parametrize("name", catalog())
def test_every_profile_records_something_and_can_be_read(name: str) -> None:
    profile = load_profile(name)
    assert any(point.record for point in profile.points)
    if name in of_registers():
        resolved = as_found(profile)
        assert plan(resolved.points, Limits.of(resolved))


@pytest.mark.parametrize("name", [name for name in catalog() if load_profile(name).may_sleep])
def test_a_device_that_may_sleep_names_the_power_that_has_gone_by_then(name: str) -> None:
    profile = load_profile(name)
    assert profile.format == 2
    assert profile.sleeps_below is not None
    assert profile.point(profile.sleeps_below).record


@pytest.mark.parametrize("name", catalog())
def test_every_profile_with_a_power_says_which_way_it_is(name: str) -> None:
    """A device that makes power shows what it gives as positive; a meter what is taken. Powers of one direction say so
    by their names."""
    profile = load_profile(name)
    signed = [point.name for point in profile.points if has_sign(point.name)]
    makes = any(point.name == "energy_yield_total" or point.name.startswith("dc_") for point in profile.points)
    assert profile.positive == (None if not signed else "export" if makes else "import")


def test_names_of_one_quantity_lead_to_the_one_that_stands_for_all() -> None:
    other = {"active_power", "reactive_power", "apparent_power", "power_factor", "energy_import", "energy_export"}
    expected = {f"{name}_total": name for name in other} | {"current_neutral": "current_n"}
    assert {name: quantity.same_as for name, quantity in QUANTITIES.items() if quantity.same_as} == expected
    for name, same in expected.items():
        one, two = QUANTITIES[name], QUANTITIES[same]
        for fact in ("dimension", "kind", "direction", "phase"):
            assert getattr(one, fact) == getattr(two, fact)
        assert two.same_as is None
        assert (one_name(name), one_name(same)) == (same, same)
    assert one_name("x_anything") == "x_anything"


@pytest.mark.parametrize("name", catalog())
def test_every_profile_states_the_provenance_of_its_points(name: str) -> None:
    provenance = load_profile(name).provenance
    assert provenance is not None
    assert all(len(source) > 10 for source in provenance.sources.values())


@pytest.mark.parametrize("name", catalog())
def test_every_name_is_one_of_the_vocabulary_with_its_dimension_and_kind_or_begins_with_x(name: str) -> None:
    assert [
        (point.name, point.unit, point.kind)
        for point in load_profile(name).points
        if not point.name.startswith(PROFILE_PREFIX) and point.kind not in UNRECORDED
        if point.name not in QUANTITIES or not QUANTITIES[point.name].fits(point.unit, point.kind)
    ] == []


def test_the_vocabulary_is_consistent() -> None:
    assert {unit for units in UNITS.values() for unit in units} <= PRIMARY_UNITS | SECONDARY_UNITS
    for quantity in QUANTITIES.values():
        assert (quantity.unit is None) == (quantity.kind in ("status", "text"))
        if quantity.unit is not None:
            assert quantity.fits(quantity.unit, quantity.kind)
        assert quantity.phase in (None, 1) or quantity.name.endswith(f"l{quantity.phase}")
        assert quantity.direction is None or quantity.direction in quantity.name
        assert quantity.obis is None or re.fullmatch(r"[01]-0:\d+\.\d+\.\d+", quantity.obis)
    assert not [name for name in QUANTITIES if name.startswith(PROFILE_PREFIX)]


def test_obis_codes_are_those_of_the_phase_and_of_the_direction() -> None:
    """Value group C of IEC 62056-61: 21 to 36 are L1, 41 to 56 L2, 61 to 76 L3; 90 is the sum of the currents, 91 the
    neutral conductor; of each twenty, 1 is taken and 2 given active, 3 and 4 reactive, 10 given apparent."""
    phases = {n: phase for phase, low in ((1, 21), (2, 41), (3, 61)) for n in range(low, low + 16)}
    directions = {1: "import", 2: "export", 3: "import", 4: "export", 10: "export"}
    wrong = []
    for quantity in QUANTITIES.values():
        if quantity.obis is None or not quantity.obis.startswith("1-0:"):
            continue
        group = int(quantity.obis[4:].split(".")[0])
        phase = phases.get(group)
        direction = directions.get(group - 20 * (phase or 0))
        if phase != quantity.phase or (direction is not None and direction != quantity.direction):
            wrong.append(quantity.name)
        if quantity.dimension == "current" and phase is None and group not in (90, 91):
            wrong.append(quantity.name)
    assert wrong == []


def at(profile: Profile, name: str) -> tuple[int, int, str, str | None, str]:
    point = profile.point(name)
    return point.fc, point.address, point.type, point.unit, point.kind


def test_eastron_sdm630() -> None:
    profile = load_profile("eastron-sdm630")
    assert len(profile.points) == 53  # 52 of volkszaehler/mbmd and the serial number
    assert (profile.max_registers, profile.step, profile.pause_ms, profile.leading_bytes) == (80, 2, 100, True)
    assert profile.serial == Serial(9600, "N", 1)
    assert at(profile, "voltage_ln_l1") == (4, 0x0000, "float32", "V", "gauge")
    assert at(profile, "active_power_total") == (4, 0x0034, "float32", "W", "gauge")
    assert at(profile, "power_factor_total") == (4, 0x003E, "float32", "/", "gauge")
    assert at(profile, "phase_angle_total") == (4, 0x0042, "float32", "deg", "gauge")
    assert at(profile, "energy_import") == (4, 0x0048, "float32", "kWh", "counter")
    assert at(profile, "thd_voltage_avg") == (4, 0x00F8, "float32", "/100", "gauge")
    assert at(profile, "reactive_energy_sum_l3") == (4, 0x017C, "float32", "kvarh", "counter")
    assert at(profile, "serial_number") == (3, 0xFC00, "uint32", None, "status")
    assert profile.identity == ("serial_number",)
    assert {p.word_order for p in profile.points} == {"big"}
    assert [(b.fc, b.address, b.count) for b in plan(profile.select(), Limits.of(profile, request_cost=130))] == [
        (4, 0, 80)  # what it records by default is the one read of esphome PR 8032
    ]


def test_vaisala_gmp252() -> None:
    profile = load_profile("vaisala-gmp252")
    assert (profile.default_address, profile.serial) == (240, Serial(19200, "N", 2))
    assert at(profile, "co2") == (3, 0, "float32", "ppm", "gauge")
    assert at(profile, "temperature") == (3, 4, "float32", "Cel", "gauge")
    assert {p.word_order for p in profile.points} == {"little"}
    assert profile.point("co2_i16").not_available == (0,)
    assert (profile.identity, profile.identity_object) == ((), 0x80)


TYPES = {
    "uint16": 0xFFFF, "int16": 0x8000, "enum16": 0xFFFF, "bits32": 0xFFFFFFFF, "acc32": 0, "sunssf": 0x8000,
}  # fmt: skip


def test_sunspec_inverter() -> None:
    profile = load_profile("sunspec-inverter")
    assert profile.protocol == "sunspec"
    assert {p.fc for p in profile.points} == {3}
    for point in profile.points:
        assert point.not_available == (() if point.type == "string" else (TYPES[point.type],))
    assert profile.identity == ("manufacturer", "device_model", "serial_number")
    energy = profile.point("energy_export")
    assert (energy.model, energy.address, energy.type, energy.scale_from) == (103, 24, "acc32", "energy_export_scale")
    assert dict(profile.point("operating_state").symbols)[4] == "MPPT"


@pytest.mark.parametrize(
    ("name", "layout", "length"),
    [
        ("sunspec-inverter", (103, 101, 102), 50),
        ("sunspec-inverter-float", (113, 111, 112), 60),
        ("sunspec-meter", (203, 201, 202, 204), 105),
        ("sunspec-meter-float", (213, 211, 212, 214), 124),
    ],
)
def test_sunspec_points_tile_their_models(name: str, layout: tuple[int, ...], length: int) -> None:
    """Without a hole from the first register behind ID and L to the last, but for the pad of model 1."""
    profile = load_profile(name)
    assert profile.same_layout == (layout,)
    for model, holes, end in ((1, {67}, 68), (layout[0], set(), 2 + length)):
        _tile([p for p in profile.points if p.model == model], holes, end)
    assert {p.model for p in profile.points} == {1, layout[0]}


def _tile(points: list[Point], holes: set[int], end: int) -> None:
    covered = [address for p in points for address in range(p.address, p.end)]
    assert sorted(covered) == sorted(set(range(2, end)) - holes)


def test_sunspec_meters_count_both_ways_and_in_quadrants() -> None:
    whole, floats = load_profile("sunspec-meter"), load_profile("sunspec-meter-float")
    assert {p.name for p in floats.points} == {p.name for p in whole.points if p.type != "sunssf"}
    assert at(whole, "energy_export") == (3, 38, "acc32", "Wh", "counter")
    assert at(whole, "energy_import") == (3, 46, "acc32", "Wh", "counter")
    assert at(whole, "reactive_energy_q4_l3") == (3, 102, "acc32", "varh", "counter")
    assert at(whole, "power_factor_l1") == (3, 34, "int16", "/100", "gauge")
    assert at(floats, "energy_import") == (3, 68, "float32", "Wh", "counter")
    assert at(floats, "power_factor_l1") == (3, 54, "float32", "/", "gauge")
    assert not any(p.record for p in floats.points if p.name.startswith("power_factor")), "ratio or percent: not known"


FORMATS = {
    "0000": "XXXXXX.XX", "0001": "XXXXXX.XX", "0002": "XXXXXX.XX", "0003": "XXXXXX.XX", "0004": "XXXXXX.XX",
    "0005": "XXXXXX.XX", "0006": "XXXXXX.XX", "0007": "XXXXXX.XX", "0008": "XXXXXX.XX", "0201": "XXX.X",
    "0202": "XXX.XXX", "0203": "XX.XXXX", "0204": "XX.XXXX", "0205": "XX.XXXX", "0206": "X.XXX",
}  # fmt: skip
"""Formats of DL/T 645-2007, annex A, by the first half of the identifier."""
SIGNED = {"0000", "0003", "0004", "0202", "0203", "0204", "0205", "0206"}


@pytest.mark.parametrize("name", ["dlt645-three-phase", "dlt645-single-phase"])
def test_dlt645_points_have_the_formats_of_the_standard(name: str) -> None:
    profile = load_profile(name)
    assert profile.serial == Serial(2400, "E", 1)
    assert [profile.point(who).at.where for who in profile.identity] == ["04000402", "04000401"]
    for point in profile.points:
        at = point.at
        assert isinstance(at, Identifier)
        assert at.format == FORMATS.get(at.di[:4], at.format)
        assert at.signed == (at.di[:4] in SIGNED or at.di == "02800007")
        assert (point.kind == "counter") == (point.unit in ("kWh", "kvarh") and not at.signed), point.name
    blocks = {p.at.di for p in profile.select() if isinstance(p.at, Identifier)}
    assert {"0001FF00", "0002FF00", "04000101", "04000102", "04000503"} <= blocks
    assert not {di[:4] for di in blocks if "FF" in di} & {di[:4] for di in blocks if "FF" not in di}, "asked twice"


def test_dlt645_tariffs_stand_behind_the_total() -> None:
    profile = load_profile("dlt645-three-phase")
    names = ["energy_import", *(f"energy_import_t{n}" for n in (1, 2, 3, 4))]
    decoder = DataBlock("0001FF00", tuple(profile.point(name) for name in names)).decoder({})
    split = decoder.split(bytes.fromhex("60010000 10000000 20000000 30000000 00010000"))
    assert list(map(str, decoder.values(split, {}))) == ["1.60", "0.10", "0.20", "0.30", "1.00"]


@pytest.mark.parametrize(
    ("name", "cn", "suffixes"),
    [
        ("hj212-cems-realtime", "2011", {"", "Rtd", "ZsRtd"}),
        ("hj212-cems-minute", "2051", {"", "Avg", "Min", "Max", "Cou", "ZsAvg", "ZsMin", "ZsMax"}),
        ("hj212-cems-hour", "2061", {"", "Avg", "Min", "Max", "Cou", "ZsAvg", "ZsMin", "ZsMax"}),
        ("hj212-cems-day", "2031", {"", "Avg", "Min", "Max", "Cou", "ZsAvg", "ZsMin", "ZsMax"}),
    ],
)
def test_hj212_points_are_those_of_their_command(name: str, cn: str, suffixes: set[str]) -> None:
    profile = load_profile(name)
    assert (profile.cn, profile.freshness) == (cn, "source_time")
    time = profile.point("source_time")
    assert (time.at.where, time.kind, time.record) == ("DataTime", "text", True)
    assert {p.at.suffix for p in profile.points if isinstance(p.at, Factor)} == suffixes
    assert not any(p.kind == "counter" for p in profile.points), "an amount is that of its period"
    assert {(p.unit, p.scale) for p in profile.points if p.at.where.startswith("a21026") and p.unit != "kg"} == {
        ("ug/m3", 3)
    }
