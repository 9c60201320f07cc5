"""The catalog's benchmark in short: nothing is wrong, nobody else differs, and what would be wrong is found."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from benchmarks.commissioning import catalog
from benchmarks.commissioning import catalog_judge as judge
from benchmarks.commissioning import catalog_readers as readers
from benchmarks.commissioning.catalog_plant import Device, devices, plant, write_gateway
from gateway.devices.profile import CATALOG, load_profile, parse_profile

HEAD = 'format = 2\nvendor = "V"\ndevice = "D"\nsource = "S"\n'


def test_every_value_of_the_catalog_is_right_and_others_read_the_same() -> None:
    figures: dict[str, Any] = catalog.run(**catalog.SMALLEST[0])
    assert (figures["wrong_points"], figures["beyond"]) == ({}, [])
    assert (figures["profiles"], figures["devices"]) == (8, 14)
    others = figures["independent"]
    assert {name: found["wrong_points"] for name, found in others.items()} == {"mbpoll": {}, "pysunspec2": {}}
    assert others["mbpoll"]["points"] > 40
    assert others["pysunspec2"]["points"] > 400
    assert figures["points"] > 500
    assert set(figures["provenance"]) <= {"seen", "single", "inferred", "open"}


def test_devices_are_those_of_the_catalog_with_each_of_its_models() -> None:
    found = devices()
    assert len({device.profile.name for device in found}) >= 34
    assert sorted(device.model for device in found if device.model) == [
        101, 102, 103, 111, 112, 113, 201, 202, 203, 204, 211, 212, 213, 214,
    ]  # fmt: skip
    assert sum(len(device.points) for device in found) > 1400


@pytest.mark.parametrize(
    ("point", "value", "true", "right"),
    [
        ("voltage_ln_l1", Decimal("230.1"), "230.1", True),
        ("voltage_ln_l1", Decimal("230.1"), "230.2", True),
        ("voltage_ln_l1", Decimal("230.1"), "230.3", False),
        ("voltage_ln_l1", Decimal("230.1"), None, False),
        ("voltage_ln_l1", None, "230.1", False),
        ("voltage_ln_l1", None, None, True),
        ("voltage_ln_l1", "230.1 V", "230.1", False),
        ("serial_number", "123", "123", True),
        ("serial_number", "123", "124", False),
    ],
)
def test_a_value_is_right_within_one_last_digit(point: str, value: object, true: object, right: bool) -> None:
    assert judge.is_right(load_profile("carlo-gavazzi-em24-e1").point(point), value, true) is right


def test_a_float_is_right_within_one_step_of_its_mantissa() -> None:
    point = load_profile("eastron-sdm630").point("active_power_total")
    step = 2.0**-13  # of a single between 1024 and 2048
    assert [judge.is_right(point, 1500.0, 1500.0 + n * step) for n in (-2, -1, 0, 1, 2)] == [
        False,
        True,
        True,
        True,
        False,
    ]


def asked(**place: Any) -> list[judge.Asked]:
    return [judge.Asked("d", {"fc": 3, **place}, {}, refused=False)]


def device(body: str, keys: str = "") -> Device:
    return Device("d", parse_profile(f"{HEAD}{keys}[points]\n{body}", "own", "own.toml"), "rtu", 1)


@pytest.mark.parametrize(
    ("address", "count", "within"),
    [
        (10, 2, True),
        (10, 5, True),
        (10, 6, False),
        (9, 2, False),
        (14, 1, True),
        (14, 2, False),
        (20, 5, True),
        (20, 6, False),
    ],
)
def test_a_question_beyond_points_ranges_and_gaps_is_found(address: int, count: int, within: bool) -> None:
    known = device(
        "a = { fc = 3, address = 10, type = 'uint16', unit = 'W' }\n"
        "b = { fc = 3, address = 13, type = 'uint32', unit = 'W' }\n"
        "c = { fc = 3, address = 20, type = 'uint16', unit = 'W' }\n",
        "max_gap = 2\nmax_registers = 5\nreadable = [{ fc = 3, first = 20, last = 25 }]\n",
    )
    found = judge.beyond([known], asked(address=address, count=count))
    assert (found == []) is within


def test_every_shape_of_every_plan_is_within_the_limits_and_one_that_is_not_is_found() -> None:
    everything = devices()
    reads = {one.name: judge.planned(one) for one in everything}
    assert judge.beyond(everything, [read for shapes in reads.values() for read in shapes]) == []
    assert min(len(shapes) for name, shapes in reads.items() if not name.startswith("dlt645")) >= 4
    (huawei,) = (one for one in everything if one.name == "huawei-sun2000")
    tighter = Device("huawei-sun2000", replace(huawei.profile, max_gap=2), "tcp", 1)
    assert judge.beyond([tighter], reads["huawei-sun2000"]) != []


def test_other_functions_and_longer_reads_are_beyond() -> None:
    known = device("a = { fc = 3, address = 10, type = 'uint16', unit = 'W' }\n")
    for place in ({"fc": 4, "address": 10, "count": 1}, {"fc": 43, "address": None, "count": None}):
        assert len(judge.beyond([known], asked(**place))) == 1
    assert judge.beyond([known], [judge.Asked("d", {"fc": 3, "address": 10, "count": 1}, {}, refused=True)]) != []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('word_order = "big"', 'word_order = "little"'),
        ("active_power_total        = { address =  52", "active_power_total        = { address =  54"),
    ],
)
def test_a_profile_that_is_not_the_devices_is_found(tmp_path: Path, old: str, new: str) -> None:
    (sdm,) = (one for one in devices() if one.name == "eastron-sdm630")
    text = (CATALOG / "eastron-sdm630.toml").read_text()
    assert text.count(old) == 1
    with plant(tmp_path, [sdm], 1) as running:
        config = write_gateway(tmp_path, [sdm], running.tcp_port)
        (tmp_path / "own.toml").write_text(text.replace(old, new))
        config.write_text(config.read_text().replace('profile = "eastron-sdm630"', 'profile = "own.toml"'))
        read = readers.by_gateway(config)
        heard = judge.answers(running.log)
    wrong = judge.wrong(sdm, read[sdm.name], judge.truth(heard)[sdm.name])
    assert "active_power_total" in wrong
    assert readers.differing(sdm, {"frequency": Decimal("49.5")}, read[sdm.name]) == ["frequency"]
