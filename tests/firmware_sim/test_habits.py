"""The catalog in the simulator: points are filled, relations hold, devices say who they are as they do in reality."""

from __future__ import annotations

from decimal import Decimal
from itertools import pairwise

import pytest

from firmware_sim.meters.packing import Value
from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.plant.model import Plant, PlantSpec
from gateway.devices.points import Profile
from gateway.devices.profile import load_profile, parse_profile
from tests.support.register_points import of_registers

PLANT = Plant(PlantSpec())
HOUR_MS = 3_600_000
HEAD = 'format = 2\nvendor = "V"\ndevice = "D"\nsource = "S"\n'


def device(profile: Profile, measures: str = "grid", **plate: str | int) -> Meter:
    factors = dict.fromkeys(profile.factors, Decimal(2))
    spec = MeterSpec("m", profile, 1, measures, serial="21043387", plate=plate, factors=factors, start_wh=(9e5, 8e5))
    return Meter(spec, PLANT)


def values(name: str, measures: str = "grid", t_ms: int = HOUR_MS) -> dict[str, Value]:
    meter = device(load_profile(name), measures)
    found: dict[str, Value] = {}
    for point in meter.spec.profile.points:
        found |= meter.read(point.fc, point.address, point.registers, t_ms).values
    return found


def numbers(found: dict[str, Value]) -> dict[str, float]:
    return {name: float(value) for name, value in found.items() if value is not None and not isinstance(value, bytes)}


@pytest.mark.parametrize("name", of_registers())
def test_every_point_of_the_catalog_is_filled(name: str) -> None:
    assert device(load_profile(name)).unfilled == ()


@pytest.mark.parametrize(
    "name", [name for name in of_registers() if load_profile(name).protocol == "modbus" and name != "vaisala-gmp252"]
)
def test_every_recorded_point_has_a_value_at_noon(name: str) -> None:
    found = values(name, "pv" if load_profile(name).may_sleep else "grid", t_ms=2 * HOUR_MS)
    assert [point.name for point in load_profile(name).points if point.record and found[point.name] is None] == []


@pytest.mark.parametrize("name", of_registers())
def test_registers_are_taken_for_what_is_shown(name: str) -> None:
    reply = device(load_profile(name)).points(2 * HOUR_MS)
    assert reply.taken is not None
    assert reply.taken(reply.registers) == reply.values


@pytest.mark.parametrize("name", ["eastron-sdm120", "eastron-sdm230", "carlo-gavazzi-em111"])
def test_a_meter_of_one_phase_shows_l1_alone(name: str) -> None:
    texts = {"serial_number"}
    shown = numbers({key: value for key, value in values(name).items() if key not in texts})
    flow = PLANT.at(HOUR_MS).flows["grid"]
    assert shown["active_power_total"] == pytest.approx(flow.watts[0], abs=0.1)
    assert shown["voltage_ln"] * shown["current"] == pytest.approx(shown["apparent_power_total"], rel=5e-3)
    assert shown["energy_import"] == pytest.approx(900 + flow.imported_wh[0] / 1000, abs=0.1)


@pytest.mark.parametrize("name", ["huawei-sun2000", "sma-inverter"])
def test_an_inverter_counts_what_it_delivers_as_positive(name: str) -> None:
    shown = values(name, "pv")
    flow = PLANT.at(HOUR_MS).flows["pv"]
    assert float(str(shown["active_power_total"])) == pytest.approx(-sum(flow.watts), abs=1)
    assert float(str(shown["energy_yield_total"])) == pytest.approx(800 + sum(flow.exported_wh) / 1000, abs=0.01)


def test_two_tariffs_make_up_the_counter_and_gas_counts_its_flow() -> None:
    meter = numbers(values("siemens-pac3200"))
    flow = PLANT.at(HOUR_MS).flows["grid"]
    assert meter["energy_import_t1"] + meter["energy_import_t2"] == pytest.approx(900 + sum(flow.imported_wh) / 1000)
    at = [numbers(values("fox-ft2a", t_ms=second * 1000)) for second in range(3600, 3661)]
    mean = sum((a["x_flow_n"] + b["x_flow_n"]) / 2 for a, b in pairwise(at)) / 60
    assert at[-1]["x_volume_total_n"] - at[0]["x_volume_total_n"] == pytest.approx(60 * mean, rel=1e-3)


def marked(fingerprint: str) -> Meter:
    text = HEAD + "[points]\nfrequency = { fc = 3, address = 100, type = 'uint16', unit = 'Hz' }\n" + fingerprint
    return device(parse_profile(text, "marked", "marked.toml"))


def test_constants_of_a_fingerprint_hold_its_words_and_its_refusals_are_refused() -> None:
    meter = marked(
        "[fingerprint]\nconstants = [{ fc = 4, address = 7, words = [1, 2] }, { fc = 4, address = 7, words = [3, 4] }, "
        "{ fc = 3, address = 100, words = [9] }]\nrefuses = [{ fc = 3, address = 100, registers = 1 }]\n"
    )
    assert meter.reader(bytes([4, 0, 7, 0, 2]))(0, None).registers == (1, 2)  # type: ignore[misc]
    assert meter.reader(bytes([4, 0, 8, 0, 1]))(0, None).registers == (2,)  # type: ignore[misc]
    with pytest.raises(Exception, match="refused with 02"):
        meter.read(3, 100, 1, 0)
    open_ = marked("[fingerprint]\nconstants = [{ fc = 3, address = 100, words = [9] }]\n")
    assert open_.read(3, 100, 1, 0).values == {"frequency": 50}, "a point shows its value, not the constant"


@pytest.mark.parametrize(
    ("name", "objects"),
    [
        ("schneider-iem3155", {0: "Schneider Electric", 1: "A9MEM3155", 2: "001.003.002"}),
        ("siemens-pac3200", {0: "Siemens AG", 1: "SENTRON PAC3200", 2: "V2.4.7"}),
        ("vaisala-gmp252", {0: "Vaisala", 1: "GMP252", 2: "1", 0x80: "21043387"}),
        ("eastron-sdm630", {}),
    ],
)
def test_a_device_says_of_itself_what_it_says_in_reality(name: str, objects: dict[int, str]) -> None:
    meter = device(load_profile(name))
    answer = meter.otherwise(bytes([43, 14, 1, 0]))
    basic = {number: text for number, text in objects.items() if number < 3}
    body = b"".join(bytes([number, len(text)]) + text.encode() for number, text in basic.items())
    assert answer == (bytes([43, 14, 1, 0x83, 0, 0, len(basic)]) + body if basic else bytes([0xAB, 1]))
    assert meter.objects == objects


def test_only_a_device_with_a_server_id_reports_it() -> None:
    profile = load_profile("acrel-adw300")
    assert device(profile).otherwise(bytes([17])) == bytes([0x91, 1])
    assert device(profile, server_id="ADW300-4G").otherwise(bytes([17])) == bytes([17, 10]) + b"ADW300-4G\xff"


def test_a_device_that_does_not_tell_functions_apart_has_the_same_ranges_under_both() -> None:
    text = HEAD + "same_functions = true\nreadable = [{ fc = 4, first = 5, last = 9 }]\n[points]\n"
    text += "frequency = { fc = 4, address = 5, type = 'uint16', unit = 'Hz' }\n"
    meter = device(parse_profile(text, "alike", "alike.toml"))
    assert meter.read(3, 5, 5, 0).registers == meter.read(4, 5, 5, 0).registers == (50, 0, 0, 0, 0)
