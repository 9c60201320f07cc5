"""Truth of a plant: what is measured, what a meter shows of it, and what it shows under faults, without a wire."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from firmware_sim.cli.app import main
from firmware_sim.cli.truth import HEAD, Row, rows
from firmware_sim.meters.register_image import Meter
from firmware_sim.plant.model import Plant
from firmware_sim.scenario.load import Scenario, load_scenario

PLANT = """
[plant]
seed = 5
{start}
[plant.stack]
fuel_kg_h = 900
[[bus]]
name = "tcp"
type = "modbus-tcp"
port = 0
[[bus.meter]]
name = "main"
profile = "eastron-sdm630"
address = 1
serial = "4711"
[[bus.meter]]
name = "inverter"
profile = "sunspec-inverter"
address = 2
sleeps = true
[[bus]]
name = "line"
type = "dlt645"
port = "line"
[[bus.meter]]
name = "cn"
profile = "dlt645-three-phase"
address = "000000000001"
[[bus]]
name = "logger"
type = "hj212"
port = 9001
[[bus.meter]]
name = "stack"
address = "010000A8900016F000169DC0"
[[bus]]
name = "home"
type = "p1"
port = 0
[[bus.meter]]
name = "p1"
address = "0-0"
kind = "electricity"
[[bus.meter]]
name = "gas"
address = "0-1"
kind = "gas"
[[fault]]
meter = "main"
kind = "frozen"
from = 60
to = 120
[[fault]]
meter = "cn"
kind = "zero-counters"
every = 2
[[fault]]
meter = "stack"
kind = "dead"
from = 90
"""
START = 'start = "2026-06-21T22:00+02:00"'


def scenario(folder: Path, start: str = START) -> Scenario:
    path = folder / "plant.toml"
    path.write_text(PLANT.format(start=start))
    return load_scenario(path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Scenario, list[Row]]:
    """Three minutes of a summer evening, every 30 s."""
    found = scenario(tmp_path_factory.mktemp("truth"))
    return found, list(rows(found, 180_000, 30_000))


def of(found: list[Row], meter: str, point: str) -> dict[int, tuple[str, str, str]]:
    """A point by the plant's time: what is measured, what it shows, what it shows under faults."""
    return {row[1]: row[4:] for row in found if row[2:4] == (meter, point)}


def test_every_moment_has_every_point_of_every_meter(made: tuple[Scenario, list[Row]]) -> None:
    _, found = made
    assert sorted({row[1] for row in found}) == list(range(0, 180_001, 30_000))
    assert {row[2] for row in found} == {"main", "inverter", "cn", "stack", "p1", "gas"}
    assert len({row[1:4] for row in found}) == len(found)
    assert {row[1]: row[0] for row in found}[90_000] == "2026-06-21T22:01:30.000+02:00"


def test_what_is_measured_is_the_plant_and_what_is_true_is_what_a_reader_gets(made: tuple[Scenario, list[Row]]) -> None:
    loaded, found = made
    plant = Plant(loaded.plant)
    table = loaded.buses[0].meter[0]
    meter = Meter(table.spec(loaded.profiles["main"], {}), plant)  # type: ignore[call-arg,union-attr,arg-type]
    power, energy = of(found, "main", "active_power_l1"), of(found, "main", "energy_import")
    for t_ms in power:
        flow = plant.at(t_ms).flows["grid"]
        assert float(power[t_ms][0]) == flow.watts[0]
        assert float(energy[t_ms][0]) == pytest.approx(sum(flow.imported_wh) / 1000, abs=1e-12)
        read = meter.read(4, 12, 2, t_ms).values
        assert str(read["active_power_l1"]) == power[t_ms][1]
    for name in ("serial_number", "energy_export"):
        assert all(true for _, true, _ in of(found, "main", name).values())


def test_counters_are_the_area_under_the_power(tmp_path: Path) -> None:
    """In steps of a second the trapezoid is exact: the plant delivers on all phases."""
    found = list(rows(scenario(tmp_path), 20_000, 1000))
    powers, counters = of(found, "p1", "1-0:2.7.0"), of(found, "p1", "1-0:2.8.1")
    for a, b in pairwise(powers):
        mean_kw = (float(powers[a][0]) + float(powers[b][0])) / 2
        assert mean_kw > 0
        assert float(counters[b][0]) - float(counters[a][0]) == pytest.approx(mean_kw / 3600, rel=1e-6)


def test_a_fault_changes_what_is_shown_and_not_what_is_true(made: tuple[Scenario, list[Row]]) -> None:
    _, found = made
    power = of(found, "main", "active_power_l1")
    assert power[90_000][2] == power[60_000][2] == power[60_000][1] != power[90_000][1]
    assert power[120_000][2] == power[120_000][1]
    assert power[30_000][2] == power[30_000][1]
    energy = [row[1:] for row in of(found, "cn", "energy_export").values()]
    assert [shown == "0" for _, shown in energy[2:]] == [n % 2 == 1 for n in range(2, 7)]
    flow = of(found, "stack", "a00000-Rtd")
    assert {t_ms: bool(shown) for t_ms, (_, true, shown) in flow.items() if true} == {t: t < 90_000 for t in flow}


def test_a_meter_that_sleeps_shows_nothing_and_is_not_zero(made: tuple[Scenario, list[Row]]) -> None:
    _, found = made
    state = of(found, "inverter", "operating_state")
    assert set(state.values()) == {("2.0", "", "")}


def test_a_clock_shows_the_calendar_and_without_one_nothing(made: tuple[Scenario, list[Row]], tmp_path: Path) -> None:
    _, found = made
    assert of(found, "p1", "0-0:1.0.0")[60_000][1] == "260621220100S"
    assert of(found, "cn", "clock_date")[0][1:] == ("26062201", "26062201")  # in Beijing it is the next day, a Monday
    without = list(rows(scenario(tmp_path, ""), 0, 1000))
    assert {row[0] for row in without} == {""}
    for meter, point in (
        ("p1", "0-0:1.0.0"),
        ("cn", "clock_date"),
        ("cn", "clock_time"),
        ("cn", "demand_import_max_time"),
    ):
        assert of(without, meter, point)[0] == ("", "", "")


def truth(*arguments: object) -> Result:
    return CliRunner().invoke(main, ["truth", *map(str, arguments)])


def test_the_command_writes_the_same_bytes_twice(tmp_path: Path) -> None:
    scenario(tmp_path)
    files = [tmp_path / "a.csv", tmp_path / "b.csv"]
    for file in files:
        assert truth(tmp_path / "plant.toml", "--for", "1m", "--every", "20s", "-o", file).exit_code == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    with files[0].open(newline="") as text:
        table: list[Mapping[str, str]] = list(csv.DictReader(text))
    assert tuple(table[0]) == HEAD
    assert {row["at_ms"] for row in table} == {"0", "20000", "40000", "60000"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.csv", "b.csv", "plant.toml"]
    other = tmp_path / "c.csv"
    truth(
        tmp_path / "plant.toml", "--for", "1m", "--every", "20s", "-o", other, "--seed", 6, "--at", "2026-01-01T00:00Z"
    )
    assert b"\n2026-01-01T00:01:00.000+00:00,60000,main,active_power_l1," in other.read_bytes()


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--every", "0"),
        ("--every", "0.5ms"),
        ("--for", "-1h"),
        ("--for", "1 day"),
        ("--for", "nan"),
        ("--at", "2026-01-01T00:00"),
        ("-o", "missing/file"),
        ("--seed", "-1"),
    ],
)
def test_bad_input_is_refused_by_its_option(tmp_path: Path, option: str, value: str) -> None:
    scenario(tmp_path)
    usual = {"-o": str(tmp_path / "t.csv"), "--for": "1s", "--every": "1s"} | {option: value}
    result = truth(tmp_path / "plant.toml", *(word for pair in usual.items() for word in pair))
    assert result.exit_code == 2
    assert option in result.output
    assert not (tmp_path / "t.csv").exists()
