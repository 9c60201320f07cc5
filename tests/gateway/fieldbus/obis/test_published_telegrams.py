"""Published P1 telegrams: each gets its verdict and values. Printed with ``pytest -s``."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from gateway.devices.decode_text import UNCHECKED, MessageBlock, other_unit
from gateway.devices.places import Obis
from gateway.devices.points import Point
from gateway.devices.profile import load_profile
from gateway.fieldbus.obis.p1_source import judged
from gateway.fieldbus.obis.splitter import Damaged, Splitter, Whole, check_value
from gateway.fieldbus.obis.telegrams import Telegram, time_ms
from ledger_client.formats.senml import Quality

TELEGRAMS = Path(__file__).parents[3] / "interop" / "p1"
FACTS: dict[str, tuple[str, dict[str, tuple[str, int | None, dict[str, Any]]]]] = {
    "dsmr_telegram_v2_2": ("unchecked", {
        "0-0": ("dsmr-2-electricity", None, {
            "equipment_id": "00000000000000",
            "energy_import_t1": Decimal("1.001"), "energy_import_t2": Decimal("1.001"),
            "energy_export_t1": Decimal("1.001"), "energy_export_t2": Decimal("1.001"), "tariff": 1,
            "active_power_import": Decimal("1.01"), "active_power_export": Decimal(0), "power_limit": Decimal(999),
            "switch": 1,
        }),
        "0-1": ("dsmr-gas", None, {
            "equipment_id": "000000000000", "device_type": 3, "source_time": "161107190000", "volume": Decimal("1.001"),
        }),
    }),
    "dsmr_telegram_v4_2": ("checked", {
        "0-0": ("dsmr-4-electricity", 1479067077000, {
            "equipment_id": "3960221976967177082151037881335713", "source_time": "161113205757W", "version": "42",
            "energy_import_t1": Decimal("1581.123"), "energy_import_t2": Decimal("1435.706"),
            "energy_export_t1": Decimal(0), "energy_export_t2": Decimal(0), "tariff": 2,
            "active_power_import": Decimal("2.027"), "active_power_export": Decimal(0),
            "current_l1": 0, "current_l2": 6, "current_l3": 2,
            "active_power_import_l1": Decimal("0.170"), "active_power_import_l2": Decimal("1.247"),
            "active_power_import_l3": Decimal("0.209"), "active_power_export_l1": Decimal(0),
            "active_power_export_l2": Decimal(0), "active_power_export_l3": Decimal(0),
            "power_failures": 15, "long_power_failures": 7,
        }),
        "0-1": ("dsmr-gas", 1480446000000, {
            "equipment_id": "4819243993373755377509728609491464", "device_type": 3, "source_time": "161129200000W",
            "volume": Decimal("981.443"),
        }),
    }),
    "dsmr_telegram_v5": ("checked", {
        "0-0": ("dsmr-5-electricity", 1483381202000, {
            "equipment_id": "4B384547303034303436333935353037", "source_time": "170102192002W", "version": "50",
            "energy_import_t1": Decimal("4.426"), "energy_import_t2": Decimal("2.399"),
            "energy_export_t1": Decimal("2.444"), "energy_export_t2": Decimal(0), "energy_import_total": None,
            "energy_export_total": None, "tariff": 2,
            "active_power_import": Decimal("0.244"), "active_power_export": Decimal(0),
            "voltage_ln_l1": Decimal("230.0"), "voltage_ln_l2": Decimal("230.0"), "voltage_ln_l3": Decimal("229.0"),
            "current_l1": Decimal("0.48"), "current_l2": Decimal("0.44"), "current_l3": Decimal("0.86"),
            "active_power_import_l1": Decimal("0.070"), "active_power_import_l2": Decimal("0.032"),
            "active_power_import_l3": Decimal("0.142"), "active_power_export_l1": Decimal(0),
            "active_power_export_l2": Decimal(0), "active_power_export_l3": Decimal(0),
            "power_failures": 13, "long_power_failures": 0,
        }),
        "0-1": ("dsmr-gas", 1483369805000, {
            "equipment_id": "3232323241424344313233343536373839", "device_type": 3, "source_time": "170102161005W",
            "volume": Decimal("0.107"),
        }),
        "0-2": ("dsmr-gas", None, {"equipment_id": None, "device_type": 3, "source_time": None, "volume": None}),
    }),
    "dsmr_telegram_belgium": ("checked", {
        "0-0": ("dsmr-5-electricity", 1589284449000, {
            "equipment_id": "3153414733313031303231363035", "source_time": "200512135409S",
            "energy_import_t1": Decimal("0.034"), "energy_import_t2": Decimal("15.758"),
            "energy_export_t1": Decimal(0), "energy_export_t2": Decimal("0.011"), "tariff": 1,
            "voltage_ln_l1": Decimal("234.7"), "voltage_ln_l2": Decimal("234.7"), "voltage_ln_l3": Decimal("234.7"),
            **dict.fromkeys(("active_power_import", "active_power_export"), Decimal(0)),
            **{f"active_power_{way}_l{n}": Decimal(0) for way in ("import", "export") for n in (1, 2, 3)},
            **{f"current_l{n}": Decimal(0) for n in (1, 2, 3)},
        }),
        "0-1": ("dsmr-gas-belgium", 1589283958000, {
            "equipment_id": "37464C4F32313139303333373333", "device_type": 3, "source_time": "200512134558S",
            "volume": Decimal("112.384"),
        }),
        "0-2": ("dsmr-water", 1589283958000, {
            "equipment_id": None, "device_type": 7, "source_time": "200512134558S", "volume": Decimal("872.234"),
        }),
    }),
    "dsmr_telegram_austria": ("checked", {
        "0-0": ("dsmr-5-electricity", 1665064214000, {
            "equipment_id": None, "source_time": "221006155014S", "version": "50",
            "energy_import_total": Decimal("6545.766"), "energy_import_t1": Decimal("5017.120"),
            "energy_import_t2": Decimal("1528.646"), "energy_export_total": Decimal("0.058"),
            "energy_export_t1": Decimal(0), "energy_export_t2": Decimal("0.058"),
            "active_power_import": Decimal("0.286"), "active_power_export": Decimal(0),
        }),
    }),
    "dsmr_telegram_unpadded_crc": ("checked", {
        "0-0": ("dsmr-5-electricity", 1771182323000, {
            "equipment_id": "ADC3100000158491", "source_time": "260215200523W", "version": "50",
        }),
        "0-1": ("dsmr-heat", 1771182323000, {
            "equipment_id": "621848012D2C0B0C", "device_type": 4, "source_time": "260215200523W", "heat": 240860000000,
        }),
    }),
}  # fmt: skip
"""By telegram: whether a check value vouches for it, and by channel profile, time and every value."""


def the_telegram(data: bytes) -> tuple[Whole, Telegram]:
    splitter = Splitter()
    splitter.feed(data)
    whole = splitter.take()
    assert isinstance(whole, Whole), whole
    telegram = judged(whole)
    assert isinstance(telegram, Telegram)
    assert splitter.take() is None
    assert not splitter.skipped
    return whole, telegram


@pytest.mark.parametrize("name", FACTS)
def test_each_published_telegram_gets_its_verdict_and_values(name: str) -> None:
    verdict, channels = FACTS[name]
    whole, telegram = the_telegram((TELEGRAMS / f"{name}.bin").read_bytes())
    assert ("checked" if whole.checked else "unchecked") == verdict
    assert set(telegram.channels) == set(channels)
    print(f"\n{name}: /{telegram.head}, {verdict}, {check_value(whole.text):04X}")
    for channel, (ref, label_ms, wanted) in channels.items():
        raw = dict(telegram.channels[channel])
        decoder = MessageBlock("P1", load_profile(ref).points).decoder({})
        if not whole.checked:
            raw[UNCHECKED] = ""
        split = decoder.split(raw)
        found = dict(zip((p.name for p in decoder.points), decoder.values(split, {}), strict=True))
        print(f"  {channel}", *(f"{key}={value}" for key, value in found.items()))
        assert telegram.label_ms(channel) == label_ms
        assert {key: value for key, value in found.items() if key in wanted or value is not None} == wanted
        flags = [] if whole.checked else [int(Quality.IMPLAUSIBLE)] * len(decoder.points)
        assert list(decoder.flags(split)) == flags


@pytest.mark.parametrize("name", FACTS)
def test_a_flipped_bit_is_never_taken_for_a_checked_telegram(name: str) -> None:
    data = (TELEGRAMS / f"{name}.bin").read_bytes()
    for place in range(0, data.rindex(b"!"), 7):
        splitter = Splitter()
        splitter.feed(data[:place] + bytes([data[place] ^ 1 << place % 8]) + data[place + 1 :])
        found = splitter.take() or splitter.give_up()
        if FACTS[name][0] == "checked":
            assert not isinstance(found, Whole) or not found.checked
            assert not isinstance(found, Whole) or isinstance(judged(found), Damaged | Telegram)


def test_without_its_check_value_a_telegram_of_dsmr_5_is_damaged() -> None:
    data = (TELEGRAMS / "dsmr_telegram_v5.bin").read_bytes().replace(b"!6EEE", b"!")
    splitter = Splitter()
    splitter.feed(data)
    whole = splitter.take()
    assert isinstance(whole, Whole)
    assert judged(whole) == Damaged("end")


def test_seven_bits_with_even_parity_are_the_same_telegram_and_a_wrong_one_is_damaged() -> None:
    plain = (TELEGRAMS / "dsmr_telegram_v2_2.bin").read_bytes()
    even = bytes(byte | byte.bit_count() % 2 << 7 for byte in plain)
    assert the_telegram(even) == the_telegram(plain)
    splitter = Splitter()
    splitter.feed(even[:100] + bytes([even[100] ^ 4]) + even[101:])
    assert splitter.take() == Damaged("parity")


@pytest.mark.parametrize(
    ("text", "ms"),
    [
        ("170102192002W", 1483381202000),
        ("170702192002S", 1499016002000),
        ("171029023000S", 1509237000000),
        ("171029023000W", 1509240600000),
        ("170102192002", None),
        ("171302192002W", None),
        ("١70102192002W", None),
    ],
)
def test_summer_and_winter_time_become_one_scale(text: str, ms: int | None) -> None:
    assert time_ms(text) == ms


def test_another_unit_and_a_code_that_stands_twice_are_no_value() -> None:
    data = (TELEGRAMS / "dsmr_telegram_v5.bin").read_bytes()
    text = data[: data.rindex(b"!") + 1]
    text = text.replace(b"00.244*kW)", b"00.244*kcal)").replace(b"\r\n1-0:52.7.0", b"\r\n1-0:32.7.0")
    _, telegram = the_telegram(text + b"%04X\r\n" % check_value(text))
    decoder = MessageBlock("P1", load_profile("dsmr-5-electricity").points).decoder({})
    found = dict(
        zip((p.name for p in decoder.points), decoder.values(decoder.split(telegram.channels["0-0"]), {}), strict=True)
    )
    assert [found[name] for name in ("active_power_import", "voltage_ln_l1")] == [None, None]
    assert found["voltage_ln_l3"] == Decimal("229.0")


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("000123456*Wh", "kWh", "123.456"),
        ("0000000001*Wh", "kWh", "0.001"),
        ("000000.001234*MWh", "kWh", "1.234"),
        ("01.5*GWh", "kWh", "1500000"),
        ("000000286*W", "kW", "0.286"),
        ("12.345*kW", "W", "12345"),
        ("1.2345*kVA", "VA", "1234.5"),
        ("0000.166*kVAr", "kvar", "0.166"),
        ("0000166*var", "kvar", "0.166"),
        ("123456789012345678*Wh", "kWh", "123456789012345.678"),
        ("-5*W", "kW", "-0.005"),
        ("123456", "kWh", None),
        ("123456*", "kWh", None),
        ("123456*wh", "kWh", None),
        ("123456*KWH", "kWh", None),
        ("123456*mWh", "kWh", None),
        ("123456*W", "kWh", None),
        ("123456*VAh", "kWh", None),
        ("123456*J", "kWh", None),
        ("12.345*dm3", "m3", None),
        ("12.345*m3*Wh", "kWh", None),
        ("12,345*Wh", "kWh", None),
        ("1e5*Wh", "kWh", None),
    ],
)
def test_a_value_in_another_unit_is_converted_exactly_or_is_none(text: str, unit: str, value: str | None) -> None:
    point = Point("x", Obis("1-0:1.8.0"), unit=unit)
    raw = {"1-0:1.8.0": text}
    decoder = MessageBlock("P1", (point,)).decoder({})
    (found,) = decoder.values(decoder.split(raw), {})
    assert (None if found is None else str(found)) == value
    refused = other_unit(point, raw)
    assert refused is None or value is None
    if value is None and not {",", "e"} & set(text):
        assert refused == text.partition("*")[2]
