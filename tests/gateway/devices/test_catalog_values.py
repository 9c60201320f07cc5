"""Values of devices of the catalog, where more than a power of ten stands between register and value."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction

import pytest

from gateway.devices.blocks import Content
from gateway.devices.knowledge.provenance import SUPPORTED
from gateway.devices.points import Ratio
from gateway.devices.profile import catalog, load_profile
from gateway.devices.register_block import RegisterBlock


def words(value: float) -> tuple[int, int]:
    high, low = struct.unpack(">HH", struct.pack(">f", value))
    return high, low


def values(profile: str, registers: Mapping[int, tuple[int, ...]], **factors: Ratio) -> dict[str, Content]:
    """The points that stand as a whole in these registers, by their address; scales come from all of them."""
    loaded = load_profile(profile)
    decoders = []
    scales: dict[tuple[int | None, str], int | Fraction] = {}
    for address, held in registers.items():
        end = address + len(held)
        inside = [p for p in loaded.points if p.fc in (3, 4) and address <= p.address and p.end <= end]
        decoder = RegisterBlock.over(inside[0].fc, address, len(held), inside).decoder(factors)
        split = decoder.split(held)
        scales |= decoder.scales(split)
        decoders.append((decoder, split))
    return {
        point.name: value
        for decoder, split in decoders
        for point, value in zip(decoder.points, decoder.values(split, scales), strict=True)
    }


@pytest.mark.parametrize(("ct", "pt"), [(1, 10), (40, 10), (40, 1000)])
def test_a_dtsu666_multiplies_by_its_own_ratios(ct: int, pt: int) -> None:
    """Chint DTSU666 manual, page 7: U·UrAt·0.1·0.1 V, I·IrAt·0.001 A, P·UrAt·0.1·IrAt·0.1 W."""
    found = values(
        "chint-dtsu666",
        {6: (ct, pt), 0x2006: words(2310.0), 0x200C: words(1500.0), 0x2012: words(3465.0), 0x2044: words(4998.0),
         0x101E: words(12.5)},
    )  # fmt: skip
    assert found == {
        "voltage_ln_l1": pytest.approx(231.0 * pt / 10), "current_l1": pytest.approx(1.5 * ct),
        "active_power_total": pytest.approx(346.5 * ct * pt / 10), "frequency": pytest.approx(49.98),
        "energy_import": pytest.approx(12.5 * ct * pt / 10),
    }  # fmt: skip


def test_an_adl3000_multiplies_by_the_configured_ratios() -> None:
    """Acrel ADL3000-E manual, page 14: register · PT · CT · 0.01 kWh."""
    ratios = {"ct": Decimal(40), "pt": Decimal(10)}
    assert values("acrel-adl3000", {10: (1, 0x86A0)}, **ratios) == {"energy_import": Decimal("400000.00")}
    assert values("acrel-adl3000", {119: (500,)}, **ratios) == {"frequency": Decimal("50.0")}


def test_a_dtsd1352_multiplies_by_its_own_ratios() -> None:
    """Acrel DTSD1352 instruction V3.1, pages 14 to 18: U·PT·0.1 V, I·CT·0.01 A, P·PT·CT·0.001 kW, E·PT·CT·0.01 kWh."""
    found = values(
        "acrel-dtsd1352",
        {0x8D: (10, 40), 10: (1, 0x86A0), 0x61: (2310,), 0x64: (150,), 0x77: (5002,), 0x16A: (0xFFFF, 0xFC18),
         0x17F: (0xFC19,)},
    )  # fmt: skip
    assert found == {
        "energy_import": 400000, "voltage_ln_l1": 2310, "current_l1": 60, "frequency": Decimal("50.02"),
        "active_power_total": -400000, "power_factor_total": Decimal("-0.999"),
    }  # fmt: skip


def test_a_serial_number_of_one_character_a_register() -> None:
    assert values("carlo-gavazzi-em340", {0x5000: tuple(b"KZ1234A")}) == {"serial_number": "KZ1234A"}


@pytest.mark.parametrize(
    ("word", "read"), [(0x7FFFFFFF, None), (2331, Decimal("233.1")), (0xFFFFF000, Decimal("-409.6"))]
)
def test_a_carlo_gavazzi_sends_the_low_word_first(word: int, read: Decimal | None) -> None:
    assert values("carlo-gavazzi-em340", {0x28: (word & 0xFFFF, word >> 16)}) == {"active_power_total": read}


def test_export_of_a_meter_without_it_is_no_value() -> None:
    assert values("abb-b23", {0x5004: (0xFFFF,) * 4}) == {"energy_export": None}


def test_units_of_the_wire_are_recorded_in_those_of_senml() -> None:
    low_first = {at: words(value)[::-1] for at, value in ((2, 6.5), (6, 3600.0))}
    assert values("suto-s430", low_first) == {"pressure": 650000.0, "flow": 1.0}
    assert values("epluse-ee872", {0x4B0: words(1013.25)[::-1]}) == {"pressure": 1013.25}
    assert values("inepro-pro380", {0x5012: words(0.175)})["active_power_total"] == pytest.approx(175.0)


def test_an_analyser_that_does_not_measure_has_no_value() -> None:
    assert values("sick-marsic300", {1000: (0, 0)}) == {"so2": None}
    assert load_profile("sick-marsic300").ask == load_profile("airoptic-gaseye").ask == ("word_order",)


@pytest.mark.parametrize("name", catalog())
def test_every_profile_says_how_well_its_points_are_supported(name: str) -> None:
    profile = load_profile(name)
    assert profile.provenance is not None
    for point in profile.points:
        if profile.provenance.grade(point.name) == "seen":
            assert len(profile.provenance.sources) >= 2


def test_what_is_recorded_without_support_is_known() -> None:
    """A new one is a decision: `meterseal check` warns of each of these."""
    unsupported: dict[str, list[str]] = {}
    for name in catalog():
        profile = load_profile(name)
        grade = profile.provenance.grade if profile.provenance else lambda _: "open"
        found = [p.name for p in profile.select() if p.kind != "scale" and grade(p.name) not in SUPPORTED]
        if found:
            unsupported[name] = sorted(found)
    assert unsupported == {
        "airoptic-gaseye": ["process_pressure", "process_temperature", "x_gas101"],  # units as set on the device
        "carlo-gavazzi-em111": ["current"],  # sources contradict each other
        "carlo-gavazzi-em24": ["energy_import"],  # sources contradict each other
        "fox-ft2a": ["temperature", "x_flow_n", "x_volume_total_n"],  # units as set on the device
        "sick-marsic300": ["ch4", "co", "co2", "h2o", "nh3", "no", "no2", "nox", "o2", "so2", "voc"],  # units as set
        "siemens-mass6000": ["density", "sensor_temperature", "volume_flow", "x_total_1"],  # word order assumed
        "teledyne-100e": ["o2_concentration"],
    }  # fmt: skip
