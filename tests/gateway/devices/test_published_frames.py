"""Published frames and registers of devices of the catalog: each profile gives the value that was printed beside them.

The frames pass the gateway's own parsers, the registers the profile's own points: a test that the map is right, as far
as what others have published goes.
"""

from __future__ import annotations

from decimal import Decimal

import pytest

from gateway.devices.blocks import Content
from gateway.devices.profile import load_profile
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.modbus.frames import Request, parse_reply, parse_request
from tests.support.register_points import of_registers

D = Decimal
RTU: dict[str, tuple[str, str, str, dict[str, Content]]] = {
    # profile: (source, question, answer, value of each point as printed)
    "eastron-sdm630": (
        "Eastron SDM630 Modbus protocol V1.8, page 20", "01 04 00 00 00 02 71 CB", "01 04 04 43 66 33 34 1B 38",
        {"voltage_ln_l1": 230.2},
    ),
    "eastron-sdm120": (
        "Eastron SDM120M RTU protocol V2.5, page 3", "01 04 00 00 00 02 71 CB", "01 04 04 43 66 33 34 1B 38",
        {"voltage_ln": 230.2},
    ),
    "eastron-sdm230": (
        "Eastron SDM230Modbus protocol V1.1, page 17", "01 04 00 00 00 02 71 CB", "01 04 04 43 66 33 34 1B 38",
        {"voltage_ln": 230.2},
    ),
    "abb-b23": (
        "ABB A43/A44 user manual 2CMC48001M0201 rev. C, page 168", "05 03 50 00 00 24 55 55",
        "05 03 48 00 00 00 00 00 0D 12 90 00 00 00 00 00 03 12 09 00 00 00 00 00 0A 00 86 00 00 00 00 00 04 17 05"
        "00 00 00 00 00 01 2B 18 00 00 00 00 00 02 EB ED 00 00 00 00 00 0E A7 FE 00 00 00 00 00 03 DB 92"
        "00 00 00 00 00 0A CC 6C 2F 9F",
        {"energy_import": D("8567.20"), "energy_export": D("2012.25")},
    ),
    "carlo-gavazzi-em111": (
        "ioBroker/ioBroker.modbus issue 286 (ET112)", "01 03 00 00 00 02 C4 0B", "01 03 04 09 1B 00 00 89 A8",
        {"voltage_ln": D("233.1")},
    ),
    "acrel-adl3000": (
        "wooni005/adl3000_mqtt, commit 9c449b53, adl3000_modbus_mqtt.py: the answer, and that it begins at 0x61; the"
        " values by U·I = S and P / S of each phase", "01 03 00 61 00 17 54 1A",
        "01 03 2E 09 58 09 54 09 5B 00 59 00 9B 00 77 00 9A 01 13 00 E7 02 95 00 0E FF 9C 00 3F FF EA 00 D6 01 74 01 1F"
        "03 69 00 48 00 49 00 50 00 63 01 F4 3A 15",
        {"voltage_ln_l1": D("239.2"), "voltage_ln_l2": D("238.8"), "voltage_ln_l3": D("239.5"), "current_l1": D("0.89"),
         "current_l2": D("1.55"), "current_l3": D("1.19"), "active_power_l1": 154, "active_power_total": 661,
         "reactive_power_l2": -100, "apparent_power_total": 873, "power_factor_total": D("0.99"),
         "frequency": D("50.0")},
    ),
    "vaisala-gmp252": (
        "Vaisala M211897EN-D, page 118", "F0 03 00 00 00 02 D1 2A", "F0 03 04 D4 7A 43 E8 33 AB", {"co2": 465.65997},
    ),
    "epluse-ee872": (
        "E+E EE074 manual, page 8: a probe with the same map", "E9 03 03 EA 00 02 F2 93", "E9 03 04 A1 06 41 D7 21 CE",
        {"temperature": 26.953624},
    ),
}  # fmt: skip


def decoded(profile: str, fc: int, address: int, registers: tuple[int, ...]) -> dict[str, Content]:
    """Every point that stands as a whole in these registers, by the profile's own decoder, without transformers."""
    loaded = load_profile(profile)
    functions = {3, 4} if loaded.same_functions else {fc}
    end = address + len(registers)
    inside = [p for p in loaded.points if p.fc in functions and address <= p.address and p.end <= end]
    decoder = RegisterBlock.over(fc, address, len(registers), inside).decoder({"ct": D(1), "pt": D(1)})
    split = decoder.split(registers)
    return dict(zip([p.name for p in decoder.points], decoder.values(split, decoder.scales(split)), strict=True))


def agrees(value: Content, printed: Content) -> bool:
    """A float agrees within one of the last digit that was printed (some cut, some round); all else is equal."""
    if isinstance(printed, float):
        digits = len(str(printed).partition(".")[2])
        return isinstance(value, float) and abs(value - printed) < 10**-digits
    return value == printed and type(value) is type(printed)


@pytest.mark.parametrize("profile", RTU)
def test_a_published_exchange_decodes_to_the_published_value(profile: str) -> None:
    _, question, answer, printed = RTU[profile]
    request, reply = parse_request(bytes.fromhex(question)), parse_reply(bytes.fromhex(answer))
    assert reply.shape == request.key
    found = decoded(profile, request.function, request.address, request.content(reply.data))
    assert set(found) >= set(printed)
    assert [name for name, value in printed.items() if not agrees(found[name], value)] == []


def test_a_published_packet_of_an_inverter() -> None:
    """wlcrs/huawei_solar issue 498: a SUN2000 of one phase, on a grid of 50 Hz. Points in the packet's order."""
    packet = bytes.fromhex(
        "002A 0000 006B 7B 03 68 00000000 08E5 0000 0000 0470 0002 0000 00000813 00000000 00000000 00001770 000001E5"
        "FFFFFFFE 03E8 1385 2710 0110 0BB8 0200 0000 66B1CC94 FFFFFFFF 000001F2 00000000 00000000 0000 FFFFFFFD"
        "00003BCA 0018D73A 001A7C0E 66B2AC46 00000004 00000A7B"
    )
    request = Request(0x7B, 3, 32064, 52)
    header, length = request.answer_mbap
    assert (packet[2:9], len(packet)) == (header, length)
    found = decoded("huawei-sun2000", 3, 32064, request.content(packet[9:]))
    assert found == {
        "dc_input_power": 0, "voltage_ll_l12": D("227.7"), "voltage_ln_l1": D("113.6"), "voltage_ln_l2": D("0.2"),
        "voltage_ln_l3": D("0.0"), "current_l1": D("2.067"), "current_l2": D("0.000"), "current_l3": D("0.000"),
        "active_power_peak_day": 6000, "active_power_total": 485, "reactive_power_total": -2,
        "power_factor_total": D("1.000"), "frequency": D("49.97"), "efficiency": D("100.00"),
        "internal_temperature": D("27.2"), "device_status": 0x0200, "energy_yield_total": D("16279.62"),
        "energy_yield_day": D("26.83"),
    }  # fmt: skip


def test_published_registers_of_an_inverter() -> None:
    """wlcrs/huawei-solar-lib, commit 873c1b3b, tests/conftest.py and test_huawei_solar.py: at night."""
    head = (21333, 20018, 12336, 12333, 13131, 21580, 11596, 12544, *[0] * 7, 18518, 13104, 12849, 13874, 12592, 14389)
    found = decoded("huawei-sun2000", 3, 30000, (*head, *[0] * 4))
    assert found == {"device_model": "SUN2000-3KTL-L1", "serial_number": "HV3021621085"}
    assert decoded("huawei-sun2000", 3, 32089, (40960,)) == {"device_status": 0xA000}
    assert decoded("huawei-sun2000", 3, 32106, (0, 20734)) == {"energy_yield_total": D("207.34")}
    assert decoded("huawei-sun2000", 3, 32114, (0, 65)) == {"energy_yield_day": D("0.65")}


def test_published_registers_of_a_pro380() -> None:
    """majorcs/inepro380-homeassistant-integration, commit 47c8a41b, tests/fixtures/device_snapshot.json; its
    test_decoder.py prints the serial number and the frequency."""
    assert decoded("inepro-pro380", 3, 0x4000, (0x2209, 0x1039)) == {"serial_number": 22091039}
    block = bytes.fromhex(
        "00000000 436A4CCD 43696666 436A6666 4247EB85 00000000 4081999A BFCF5C29 C009999A 3E333333 3F666666 BE6D9168"
        "BEFBE76D BF11A9FC BE79DB23 BE841893 BD872B02 3FE374BC"
    )
    found = decoded("inepro-pro380", 3, 0x5000, Request(1, 3, 0x5000, len(block) // 2).content(block))
    assert agrees(found["frequency"], 49.98)
    assert agrees(found["voltage_ln_l1"], 234.3)
    parts = [found[f"active_power_{phase}"] for phase in ("l1", "l2", "l3")]
    assert agrees(found["active_power_total"], 175.0)
    assert all(isinstance(part, float) for part in parts)
    assert sum(part for part in parts if isinstance(part, float)) == pytest.approx(175.0, abs=3)


def test_a_published_energy_of_an_acuvim() -> None:
    """Acuvim II manual, page 205: 0x0A9D4089 is 17807783.3 kWh."""
    assert decoded("accuenergy-acuvim-ii", 3, 0x4048, (0x0A9D, 0x4089)) == {"energy_import": D("17807783.3")}


def test_a_published_energy_of_a_pm5560() -> None:
    """se.com FAQ FA237865: 89550842 from register 3204 (counted from 1) on is 89550.842 kWh."""
    registers = (0, 0, 89550842 >> 16, 89550842 & 0xFFFF)
    assert decoded("schneider-pm5560", 3, 3203, registers) == {"energy_import": D("89550.842")}


def test_twelve_devices_have_published_values() -> None:
    named = {*RTU, "huawei-sun2000", "inepro-pro380", "accuenergy-acuvim-ii", "schneider-pm5560"}
    assert len(named) == 12
    assert named <= set(of_registers())
