"""The dsmr-parser library of PyPI as a judge of our simulator's telegrams, and of what we read in published ones."""

from __future__ import annotations

import json
import os
import subprocess
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.meters.p1_meter import P1Meter, P1Spec, PassedOn
from firmware_sim.plant.model import Plant, PlantSpec
from gateway.devices.blocks import contents
from gateway.devices.decode_text import MessageBlock
from gateway.devices.profile import load_profile
from gateway.fieldbus.obis.p1_source import judged
from gateway.fieldbus.obis.splitter import Damaged, Splitter, Whole
from gateway.fieldbus.obis.telegrams import Telegram

HERE = Path(__file__).parent
NAMES = {
    "ELECTRICITY_USED_TARIFF_1": ("energy_import_t1", "kWh"), "ELECTRICITY_USED_TARIFF_2": ("energy_import_t2", "kWh"),
    "ELECTRICITY_DELIVERED_TARIFF_1": ("energy_export_t1", "kWh"),
    "ELECTRICITY_DELIVERED_TARIFF_2": ("energy_export_t2", "kWh"),
    "CURRENT_ELECTRICITY_USAGE": ("active_power_import", "kW"),
    "CURRENT_ELECTRICITY_DELIVERY": ("active_power_export", "kW"),
    **{f"INSTANTANEOUS_VOLTAGE_L{n}": (f"voltage_ln_l{n}", "V") for n in (1, 2, 3)},
    **{f"INSTANTANEOUS_CURRENT_L{n}": (f"current_l{n}", "A") for n in (1, 2, 3)},
    **{f"INSTANTANEOUS_ACTIVE_POWER_L{n}_POSITIVE": (f"active_power_import_l{n}", "kW") for n in (1, 2, 3)},
    **{f"INSTANTANEOUS_ACTIVE_POWER_L{n}_NEGATIVE": (f"active_power_export_l{n}", "kW") for n in (1, 2, 3)},
}  # fmt: skip
"""Of the library its name of a quantity: our point, and its unit."""


def theirs(edition: int | str, path: Path) -> dict[str, Any]:
    python = Path(os.environ.get("METERSEAL_DSMR_PYTHON", HERE.parents[2] / ".venv-dsmr" / "bin" / "python"))
    assert python.exists(), "scripts/test sets up the environment of the judge"
    command = [str(python), str(HERE / "foreign_reader.py"), str(edition), str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def ours(data: bytes) -> Telegram | Damaged:
    splitter = Splitter()
    splitter.feed(data)
    found = splitter.take()
    assert found is not None
    return judged(found) if isinstance(found, Whole) else found


def compared(edition: int, path: Path, specification: str = "") -> int:
    """How many values both read, all alike."""
    read, telegram = theirs(specification or edition, path), ours(path.read_bytes())
    assert isinstance(telegram, Telegram)
    profile = load_profile(f"dsmr-{edition}-electricity")
    found = contents([(MessageBlock("P1", profile.points), telegram.channels["0-0"])], {})
    both = {key: place for key, place in NAMES.items() if key in read}
    for key, (point, unit) in both.items():
        assert (Decimal(read[key][0]), read[key][1]) == (found[point], unit), key
    ours_only = {point for point, value in found.items() if value is not None} & {place for place, _ in NAMES.values()}
    assert ours_only == {place for place, _ in both.values()}, "they read what we read"
    if edition > 2:
        assert telegram.label_ms("0-0") == _moment(read["P1_MESSAGE_TIMESTAMP"][0])
    return len(both)


def _moment(text: str) -> int:
    return round(datetime.fromisoformat(text).timestamp() * 1000)


@pytest.mark.parametrize(("name", "edition"), [("v2_2", 2), ("v4_2", 4), ("v5", 5)])
def test_published_telegrams_are_read_alike(name: str, edition: int) -> None:
    assert compared(edition, HERE / f"dsmr_telegram_{name}.bin") >= 6


def test_a_published_telegram_of_belgium_is_read_alike() -> None:
    assert compared(5, HERE / "dsmr_telegram_belgium.bin", "belgium") >= 18


@pytest.mark.parametrize("edition", [2, 4, 5])
@pytest.mark.parametrize("unix_ms", [1_483_381_202_000, 1_499_016_002_000])
def test_simulated_telegrams_are_read_alike(tmp_path: Path, edition: int, unix_ms: int) -> None:
    spec = P1Spec(edition, "E1", start_wh=(12e6, 3e6), passed_on=(PassedOn(1, "gas", "G7", 981.443),))
    data = P1Meter(spec, Plant(PlantSpec()), lambda t_ms: unix_ms + t_ms).telegram(60_000)
    (tmp_path / "telegram").write_bytes(data)
    assert compared(edition, tmp_path / "telegram") >= 6
    telegram = ours(data)
    assert isinstance(telegram, Telegram)
    gas = contents([(MessageBlock("P1", load_profile("dsmr-gas").points), telegram.channels["0-1"])], {})
    volume = gas["volume"]
    assert isinstance(volume, Decimal)
    assert Decimal("981.443") <= volume < Decimal(982)


def test_a_simulated_telegram_of_belgium_is_read_alike_and_its_gas_by_its_own_profile(tmp_path: Path) -> None:
    gas = (PassedOn(1, "gas", "G7", 981.443), PassedOn(2, "water", "W2", 7.0))
    spec = P1Spec(5, "E1", start_wh=(12e6, 3e6), passed_on=gas, country="be")
    data = P1Meter(spec, Plant(PlantSpec()), lambda t_ms: 1_483_381_202_000 + t_ms).telegram(60_000)
    (tmp_path / "telegram").write_bytes(data)
    assert compared(5, tmp_path / "telegram", "belgium") >= 6
    telegram = ours(data)
    assert isinstance(telegram, Telegram)
    found = contents([(MessageBlock("P1", load_profile("dsmr-gas-belgium").points), telegram.channels["0-1"])], {})
    assert found["volume"] == Decimal("981.443")
    assert (found["equipment_id"], telegram.names_version) == ("4737", True)
    assert telegram.label_ms("0-1") == telegram.label_ms("0-2") is not None


def test_a_simulated_telegram_of_austria_says_the_same_in_watt_hours() -> None:
    read = []
    for country in ("nl", "at"):
        spec = P1Spec(5, "E1", start_wh=(12_345_678, 3e6), country=country)
        data = P1Meter(spec, Plant(PlantSpec()), lambda t_ms: 1_483_381_202_000 + t_ms).telegram(0)
        assert (b"*kWh" in data, b"*Wh" in data) == (country == "nl", country == "at")
        telegram = ours(data)
        assert isinstance(telegram, Telegram)
        profile = load_profile("dsmr-5-electricity")
        read.append(contents([(MessageBlock("P1", profile.points), telegram.channels["0-0"])], {}))
    dutch, austrian = read
    assert austrian["energy_import_t1"] == dutch["energy_import_t1"] == Decimal("12345.678")
    assert austrian["energy_import_total"] == Decimal("12345.678")
    powers = [float(found["active_power_export"]) for found in read]  # type: ignore[arg-type]
    assert abs(powers[0] - powers[1]) <= 0.001


def test_both_refuse_a_damaged_one(tmp_path: Path) -> None:
    data = (HERE / "dsmr_telegram_v5.bin").read_bytes().replace(b"000004.426", b"000009.426")
    (tmp_path / "telegram").write_bytes(data)
    assert theirs(5, tmp_path / "telegram") == {"refused": "InvalidChecksumError"}
    assert ours(data) == Damaged("crc")
