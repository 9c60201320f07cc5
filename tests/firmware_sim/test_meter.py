"""Register images of the three devices of the demo, and of profiles of one's own."""

from __future__ import annotations

import struct
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import pytest

from firmware_sim.meters import sunspec_map
from firmware_sim.meters.answer_faults import Fault
from firmware_sim.meters.answers import Place
from firmware_sim.meters.device import Changes
from firmware_sim.meters.identification import identify
from firmware_sim.meters.packing import Value
from firmware_sim.meters.pdu import Refused
from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec, Mismatch
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.plant.quantities import QUANTITIES, Scene
from gateway.devices.points import Profile
from gateway.devices.profile import load_profile, parse_profile
from tests.support.register_points import of_registers

PLANT = Plant(PlantSpec(seed=9))


def meter(profile: str | Profile, **spec: object) -> Meter:
    loaded = load_profile(profile) if isinstance(profile, str) else profile
    return Meter(MeterSpec("m", loaded, 1, **{"serial": "21043387", **spec}), PLANT)  # type: ignore[arg-type]


def floats(registers: tuple[int, ...], order: str = ">") -> list[float]:
    pairs = zip(registers[::2], registers[1::2], strict=True)
    return [struct.unpack(">f", struct.pack(">HH", *(p if order == ">" else p[::-1])))[0] for p in pairs]


def refusal(device: Meter, fc: int, address: int, count: int) -> int:
    with pytest.raises(Refused) as refused:
        device.read(fc, address, count, 0)
    return refused.value.code


def profile_of(points: str, head: str = "") -> Profile:
    text = f'vendor = "V"\ndevice = "D"\nsource = "S"\n{head}\n[points]\n{points}'
    return parse_profile(text, "own", "own.toml")


def test_the_energy_meter_shows_the_plant() -> None:
    state = PLANT.at(4321)
    scene = Scene(state, state.flows["grid"], (1_520_000.0, 0.0))
    reply = meter("eastron-sdm630", start_wh=(1_520_000.0, 0.0)).read(4, 0, 80, 4321)
    shown = floats(reply.registers)
    for name, place in (("voltage_ln_l1", 0), ("active_power_l3", 16), ("active_power_total", 52), ("frequency", 70)):
        expected = QUANTITIES[name].of(scene)
        assert shown[place // 2] == pytest.approx(expected, rel=1e-6)
        assert reply.values[name] == shown[place // 2]
    assert shown[36] == pytest.approx(1520 + sum(state.flows["grid"].imported_wh) / 1000)
    assert shown[18:26] == [0.0] * 8  # registers 36 to 51 are not known to the meter


def test_the_energy_meter_answers_zeros_where_it_knows_nothing_and_80_registers_at_most() -> None:
    device = meter("eastron-sdm630")
    assert device.read(3, 0x4A38, 2, 0).registers == (0, 0)  # volkszaehler/mbmd issue 63
    assert device.read(3, 35, 1, 0).registers == (0,)
    assert device.read(3, 0xFC00, 2, 0).values == {"serial_number": 21043387}
    assert refusal(device, 4, 0, 81) == 3
    assert refusal(device, 4, 0, 0) == 3
    assert refusal(device, 4, 0xFFFF, 2) == 2
    assert refusal(device, 1, 0, 1) == 1


def test_the_probe_sends_its_low_word_first_and_refuses_what_leaves_a_block() -> None:
    probe = meter("vaisala-gmp252")
    reply = probe.read(3, 0, 6, 1000)
    assert floats(reply.registers, "<")[0] == pytest.approx(PLANT.at(1000).co2_ppm, rel=1e-6)
    assert probe.read(3, 0x100, 2, 1000).values["co2_i16_x10"] == str(round(PLANT.at(1000).co2_ppm / 10) * 10)
    assert probe.read(3, 0x800, 2, 0).values == {"device_status": 0, "co2_status": 0}
    assert probe.read(3, 0x200, 8, 0).values == {}
    assert probe.read(3, 0x300, 3, 0).values == {"modbus_address": 1, "serial_speed": 2, "serial_parity": 0}
    assert [refusal(probe, 3, *read) for read in ((0, 7), (6, 1), (0xFF, 3), (0x802, 1))] == [2, 2, 2, 2]
    assert refusal(probe, 4, 0, 2) == 1


def test_only_points_wholly_inside_a_read_have_a_reading() -> None:
    reply = meter("eastron-sdm630").read(4, 1, 4, 0)
    assert list(reply.values) == ["voltage_ln_l2"]
    whole = meter("eastron-sdm630").read(4, 0, 6, 0).registers
    assert reply.registers == whole[1:5]


@pytest.mark.parametrize("base", [40000, 0, 50000])
def test_the_inverter_lays_out_the_whole_chain(base: int) -> None:
    inverter = meter("sunspec-inverter", measures="pv", sunspec_base=base, start_wh=(0.0, 8_754_250.0))
    words = inverter.read(3, base, 124, 2000).registers
    assert struct.pack(">2H", *words[:2]) == b"SunS"
    assert words[2:4] == (1, 66)
    assert struct.pack(">16H", *words[52:68]).rstrip(b"\0") == b"21043387"
    assert words[70:72] == (103, 50)
    assert words[122:124] == (0xFFFF, 0)
    assert refusal(inverter, 3, base + 123, 2) == 2
    assert refusal(inverter, 3, base, 126) == 3
    flow = PLANT.at(2000).flows["pv"]
    assert words[70 + 14] == round(-sum(flow.watts))
    assert words[70 + 13] == 0xFFFF  # V_SF = -1
    assert words[70 + 10] == round(flow.volts[0] * 10)
    assert words[70 + 24] << 16 | words[70 + 25] == round(8_754_250 + sum(flow.exported_wh))


def test_inverter_readings_are_exact_decimals_and_phases_that_it_lacks_are_none() -> None:
    values = meter("sunspec-inverter", measures="pv", sunspec_model=101).read(3, 40070, 52, 2000).values
    assert values["voltage_ln_l1"] == f"{round(PLANT.at(2000).flows['pv'].volts[0] * 10) / 10:.1f}"
    assert values["voltage_scale"] == -1
    assert values["operating_state"] == 4
    assert values["current_l2"] is values["voltage_ll_l12"] is values["voltage_ln_l3"] is None
    assert values["current_l1"] is not None


@pytest.mark.parametrize(
    ("name", "model", "length", "lacking"),
    [
        ("sunspec-inverter", 102, 50, {"current_l3", "voltage_ll_l23", "voltage_ll_l31", "voltage_ln_l3"}),
        ("sunspec-inverter-float", 113, 60, set()),
        ("sunspec-meter", 204, 105, {"voltage_ln_avg", "voltage_ln_l1", "voltage_ln_l2", "voltage_ln_l3"}),
        ("sunspec-meter-float", 213, 124, set()),
    ],
)
def test_a_sunspec_device_has_the_model_that_the_scenario_says(
    name: str, model: int, length: int, lacking: set[str]
) -> None:
    quantities = {"start_wh": (1e6, 2e6), "start_varh": (3e6, 4e6)}
    device = meter(name, sunspec_model=model, **quantities)
    reply = device.read(3, 40070, 2, 0)
    assert reply.registers == (model, length)
    values = {**device.read(3, 40072, length // 2, 0).values, **device.read(3, 40072, length, 0).values}
    empty = {name for name, value in values.items() if value is None and not name.startswith("reactive_energy_q")}
    assert empty == lacking
    assert device.unfilled == ()


def test_a_model_of_another_layout_is_refused() -> None:
    with pytest.raises(
        Mismatch, match=r"sunspec_model: no model 203 of this profile's layout; use one of .*: 103, 101"
    ):
        meter("sunspec-inverter", sunspec_model=203)


def test_points_that_the_profile_does_not_name_are_not_implemented() -> None:
    profile = profile_of(
        'w = { fc = 3, model = 103, address = 14, type = "int16", unit = "W", scale_from = "w_sf" }\n'
        'w_sf = { fc = 3, model = 103, address = 15, type = "sunssf" }',
        'protocol = "sunspec"',
    )
    words = meter(profile, measures="pv").read(3, 40070, 52, 0).registers
    assert words[14] == round(-sum(PLANT.at(0).flows["pv"].watts))
    for row in sunspec_map.MODELS[103].rows:
        if row.name not in ("W", "W_SF"):
            assert words[row.offset : row.offset + row.registers] == sunspec_map.filler(row)


def test_a_profile_of_ones_own_is_packed_as_it_says() -> None:
    profile = profile_of(
        'energy_import = { fc = 3, address = 10, type = "uint32", word_order = "little", unit = "kWh", scale = -1 }\n'
        'active_power_total = { fc = 3, address = 16, type = "int16", unit = "kW", factor = 0.1, factor_from = "ct" }\n'
        'name = { fc = 3, address = 20, type = "string", registers = 4 }\n'
        'breaker = { fc = 2, address = 3, type = "bit" }\n'
        'odd = { fc = 3, address = 18, type = "uint16", not_available = 0xFFFF, kind = "status" }',
        "max_gap = 4\nsame_functions = true",
    )
    device = meter(
        profile, start_wh=(1_520_000.0, 0.0), factors={"ct": Decimal(4)}, show={"name": "West", "breaker": 1}
    )
    reply = device.read(3, 10, 14, 0)
    assert reply.registers[:2] == (15200, 0)
    watts = sum(PLANT.at(0).flows["grid"].watts)
    assert struct.unpack(">h", struct.pack(">H", reply.registers[6])) == (round(watts / 1000 / 0.4),)
    assert reply.values["energy_import"] == "1520.0"
    assert Decimal(str(reply.values["active_power_total"])) == round(watts / 1000 / 0.4) * Decimal("0.4")
    assert reply.values["name"] == "West"
    assert reply.registers[8] == 0xFFFF
    assert device.unfilled == ("odd",)
    assert device.read(4, 10, 14, 0) == reply
    assert device.read(2, 3, 1, 0).registers == (1,)
    assert refusal(device, 3, 9, 2) == 2


@pytest.mark.parametrize(
    ("points", "spec", "key"),
    [
        ('frequency = { fc = 3, address = 0, type = "uint16", unit = "V" }', {}, "show.frequency"),
        ('x = { fc = 3, address = 0, type = "uint16", unit = "V" }', {"show": {"x": "nonsense"}}, "show.x"),
        ('frequency = { fc = 3, address = 0, type = "uint16", unit = "Hz", factor_from = "ct" }', {}, "factors"),
        ('serial_number = { fc = 3, address = 0, type = "uint32", kind = "status" }', {"serial": "AB-1"}, "serial"),
    ],
)
def test_what_cannot_be_shown_is_refused_by_name(points: str, spec: dict[str, object], key: str) -> None:
    with pytest.raises(Mismatch) as mismatch:
        meter(profile_of(points), **spec)
    assert mismatch.value.key == key
    assert mismatch.value.fix


@pytest.mark.parametrize(
    ("points", "key"),
    [
        ('w = { fc = 3, model = 103, address = 14, type = "uint32", unit = "W" }', "points.w"),
        ('w = { fc = 3, model = 777, address = 14, type = "int16", unit = "W" }', "profile"),
    ],
)
def test_a_profile_that_contradicts_sunspec_is_refused(points: str, key: str) -> None:
    with pytest.raises(Mismatch) as mismatch:
        meter(profile_of(points, 'protocol = "sunspec"'))
    assert mismatch.value.key == key


@pytest.mark.parametrize("name", of_registers())
def test_every_device_of_the_catalog_can_be_simulated_whole(name: str) -> None:
    assert meter(name, factors=dict.fromkeys(load_profile(name).factors, Decimal(40))).unfilled == ()


def test_a_sleeping_inverter_is_off_at_night_only(tmp_path: Path) -> None:
    profile = load_profile("sunspec-inverter")
    for hour, asleep in ((2.0, True), (12.0, False)):
        device = Meter(MeterSpec("m", profile, 1, "pv", sleeps=True), Plant(PlantSpec(start_hour=hour)))
        assert device.sleeps_at(1000) is asleep


OBJECTS = {0: "Vaisala", 1: "GMP252", 2: "1", 0x80: "K0710040"}


@pytest.mark.parametrize(
    ("pdu", "answer"),
    [
        ("2B0E0480", "2B0E0483000001 8008 4B30373130303430"),
        ("2B0E0100", "2B0E0183000003 0007 56616973616C61 0106 474D50323532 0201 31"),
        ("2B0E0302", "2B0E0383000002 0201 31 8008 4B30373130303430"),
        ("2B0E0177", "2B0E0183000003 0007 56616973616C61 0106 474D50323532 0201 31"),
    ],
)
def test_a_device_identifies_itself(pdu: str, answer: str) -> None:
    assert identify(bytes.fromhex(pdu), OBJECTS) == bytes.fromhex(answer)


def test_an_identification_that_is_too_long_goes_on() -> None:
    objects = dict.fromkeys(range(5), "x" * 100)
    answer = identify(bytes.fromhex("2B0E0300"), objects)
    assert answer[4:7] == bytes([0xFF, 2, 2])
    assert identify(bytes.fromhex("2B0E0302"), objects)[4:7] == bytes([0xFF, 4, 2])


@pytest.mark.parametrize(("pdu", "code"), [("2B0E0481", 2), ("2B0E0900", 3), ("2B0D0100", 1), ("2B0E01", 1)])
def test_an_identification_that_cannot_be_is_refused(pdu: str, code: int) -> None:
    with pytest.raises(Refused) as refused:
        identify(bytes.fromhex(pdu), OBJECTS)
    assert refused.value.code == code


def test_the_probe_tells_its_serial_number_by_identification_only() -> None:
    assert meter("vaisala-gmp252", serial="K0710040").objects == {
        0: "Vaisala", 1: "GMP252", 2: "1", 0x80: "K0710040",
    }  # fmt: skip
    assert meter("eastron-sdm630").objects == {}


def test_a_meter_that_is_installed_the_wrong_way_round() -> None:
    spec = MeterSpec("m", load_profile("eastron-sdm630"), 1, start_wh=(1000.0, 2000.0))
    usual, turned = (Meter(each, PLANT).read(4, 0, 76, 5000) for each in (spec, replace(spec, reversed=True)))
    before, after = usual.values, turned.values
    for name in ("active_power_total", "active_power_l1", "reactive_power_total", "power_factor_total"):
        assert after[name] == -_number(before[name]) != 0, name
    for name in ("voltage_ln_l1", "current_l1", "apparent_power_total", "frequency"):
        assert after[name] == before[name], name
    counted = {name: _number(before[name]) - at for name, at in (("energy_import", 1.0), ("energy_export", 2.0))}
    assert _number(after["energy_export"]) - 2.0 == pytest.approx(counted["energy_import"], abs=1e-3)
    assert _number(after["energy_import"]) - 1.0 == pytest.approx(counted["energy_export"], abs=1e-3)
    assert counted["energy_import"] != counted["energy_export"]


def _number(value: Value) -> float:
    assert isinstance(value, float)
    return value


class Nought(Fault):
    """Every point shows 0."""

    def value(self, cell: Place, value: Value, t_ms: int) -> Value:
        return 0


def test_a_device_renews_its_registers_every_so_often() -> None:
    slow, quick = meter("eastron-sdm630", refresh_ms=500), meter("eastron-sdm630")
    held = [slow.read(4, 0, 60, t_ms) for t_ms in (1_000, 1_001, 1_499, 1_500, 900)]
    assert held[0] == held[1] == held[2] == quick.read(4, 0, 60, 1_000)
    assert held[3] == quick.read(4, 0, 60, 1_500) != held[0]
    assert held[4] == quick.read(4, 0, 60, 500)
    assert slow.read(4, 0, 2, 1_700) == quick.read(4, 0, 2, 1_500)
    assert slow.read(4, 0, 60, 1_700, Changes([Nought()], 1_700)).registers == (0,) * 60
    assert slow.read(4, 0, 60, 1_700) == held[3]
