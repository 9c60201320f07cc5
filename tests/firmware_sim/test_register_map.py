"""``meterseal-sim map``: whoever knows nothing but its rows reads the right values; and plants by their name."""

from __future__ import annotations

import csv
import io
import re
import struct
import tomllib
from collections import Counter
from decimal import Decimal
from fnmatch import fnmatch
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner

from firmware_sim.cli.app import main
from firmware_sim.meters.packing import Value
from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.scenario.load import load_scenario
from firmware_sim.scenario.shipped import plants
from gateway.devices.profile import catalog, load_profile

ROOT = Path(__file__).resolve().parents[2]


def printed(*words: object, code: int = 0) -> str:
    result = CliRunner().invoke(main, ["map", *map(str, words)])
    assert result.exit_code == code, result.output
    return result.output


def rows_of(*words: object) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(printed(*words, "--csv"))))


def decoded(row: dict[str, str], words: tuple[int, ...]) -> Fraction | float | str | None:
    """What a client makes of registers by a row of the map alone."""
    type_, _, more = row["type"].partition(" ")
    if type_ == "bit":
        return Fraction(words[0])
    if "bytes swapped" in row["order"]:
        words = tuple(word >> 8 | (word & 0xFF) << 8 for word in words)
    words = words[::-1] if row["order"].startswith("little") else words
    data = b"".join(word.to_bytes(2, "big") for word in words)
    if type_ == "string":
        data = data[1::2] if "low byte" in row["order"] else data[::2] if "high byte" in row["order"] else data
        return data.rstrip(b"\0 ").decode()
    if type_.startswith("float"):
        raw: Fraction | float = struct.unpack(">f" if len(data) == 4 else ">d", data)[0]
        return raw * float(row["scale"]) + float(row["offset"])
    if type_.startswith("bcd"):
        raw = Fraction(int(data.hex())) if data.hex().isdecimal() else Fraction(-1)
    else:
        number = int.from_bytes(data, "big", signed=type_.startswith(("int", "sunssf")))
        if found := re.match(r"bits? (\d+)-?(\d*)", more):
            low, high = int(found[1]), int(found[2] or found[1])
            number = number >> low & (1 << high - low + 1) - 1
        raw = Fraction(number)
    return raw * Fraction(row["scale"]) + Fraction(row["offset"]) if row["scale"] else None


def agrees(found: Fraction | float | str | None, value: Value) -> bool:
    if isinstance(found, float):
        return value is None or found == pytest.approx(float(value))
    if isinstance(found, str) or found is None:
        return found == value or value is None
    return abs(found) == pytest.approx(abs(float(Fraction(str(value)))), rel=1e-12)


def test_a_client_reads_right_values_by_the_rows_alone() -> None:
    """Of every Modbus device of the catalog, each point by itself."""
    plant = Plant(PlantSpec(hydro_kw=0))
    seen = Counter[str]()
    for name in catalog():
        profile = load_profile(name)
        if profile.protocol not in ("modbus", "sunspec"):
            continue
        factors = dict.fromkeys(profile.factors, Decimal(1))
        meter = Meter(MeterSpec("x", profile, profile.default_address, serial="1", factors=factors), plant)
        rows = rows_of(name)
        for row in rows:
            count = int(row["count"])
            if count > profile.max_registers:
                continue
            reply = meter.read(int(row["function"]), int(row["address"]), count, 7_000)
            value = reply.values.get(row["point"])
            if value is not None:
                assert agrees(decoded(row, reply.registers), value), (name, row, reply)
                seen[row["type"].partition(" ")[0]] += 1
        of_sums = {part.name for point in profile.points for part, _ in point.parts}
        assert {row["point"] for row in rows} == {p.name for p in profile.points if not p.sum} | of_sums
    assert sum(seen.values()) > 700
    assert seen.keys() >= {"float32", "float64", "int64", "uint16", "acc32", "bcd32", "string", "bit"}


def test_a_scenarios_map_has_what_its_meters_say_beside_their_profiles(tmp_path: Path) -> None:
    path = tmp_path / "plant.toml"
    meters = [
        'name = "a"\nprofile = "sunspec-inverter"\naddress = 1\nsunspec_base = 0',
        'name = "b"\nprofile = "eastron-sdm630"\naddress = 2\nword_order = "little"',
    ]
    tables = "".join(f"[[bus.meter]]\n{meter}\n" for meter in meters)
    dlt = '[[bus.meter]]\nname = "c"\nprofile = "dlt645-three-phase"\naddress = "123456789012"\n'
    logger = '[[bus.meter]]\nname = "d"\naddress = "ABC"\n'
    path.write_text(
        f'[[bus]]\ntype = "modbus-tcp"\nname = "tcp"\nport = 0\n{tables}'
        f'[[bus]]\ntype = "dlt645"\nname = "dlt"\nport = "line"\n{dlt}'
        f'[[bus]]\ntype = "hj212"\nname = "cems"\nport = 9000\n{logger}'
    )
    (volts,) = (row for row in rows_of(path, "b") if row["point"] == "voltage_ln_l1")
    assert (volts["meter_address"], volts["function"], volts["address"], volts["order"]) == ("2", "4", "0", "little")
    (amps,) = (row for row in rows_of(path, "a") if row["point"] == "current_total")
    assert (amps["address"], amps["scale"], amps["unit"]) == ("72", "0.01", "A")
    (energy,) = (row for row in rows_of(path, "c") if row["point"] == "energy_import_t1")
    assert list(energy.values())[3:9] == ["11", "0001FF00", "4", "XXXXXX.XX, value 2 of 5", "little", "0.01"]
    assert {row["meter"] for row in rows_of(path)} == {"a", "b", "c"}
    assert "cems (hj212): it sends" in printed(path)
    no = [((path, "e"), "known: a, b, c, d"), (("dem",), "did you mean demo?"), (("demo", "x"), "known: export")]
    for words, hint in no:
        assert hint in printed(*words, code=2)


def test_plants_run_by_their_name_and_an_installation_has_them_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = plants()
    assert known.keys() >= {"demo", "month", "coal-and-hydro"}
    assert known.keys().isdisjoint(catalog())
    monkeypatch.chdir(tmp_path)
    (tmp_path / "demo").mkdir()  # a folder of this name is no scenario
    assert load_scenario(Path("demo")).source == str(known["demo"])
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["data-files"]
    for path in known.values():
        load_scenario(path)
        folder = path.parent.relative_to(ROOT)
        for file in path.parent.iterdir():
            assert any(fnmatch(f"{folder}/{file.name}", each) for each in listed[f"share/meterseal/{folder}"]), file
