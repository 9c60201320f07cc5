"""The budget of a line: times as published, and the two errors with values that then pass."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from gateway.devices.plan import Block
from gateway.devices.profile import Point, load_profile, parse_profile
from gateway.fieldbus.blocks import LATENCY_MS
from gateway.fieldbus.budget import budget, read_ms
from gateway.fieldbus.spec import LineSpec, MeterSpec

POINTS = "\n".join(f'p{i} = {{ fc = 3, address = {2 * i}, type = "float32", unit = "W" }}' for i in range(30))
SIXTY = parse_profile(
    'vendor = "T"\ndevice = "T"\nsource = "T"\nmax_registers = 80\ntimeout_ms = 500\n'
    f"readable = [{{ fc = 3, first = 0, last = 79 }}]\n[points]\n{POINTS}",
    "sixty",
    "sixty.toml",
)
POINT = Point("p", 3, 0, "uint16", 1, unit="W")


def line(*meters: MeterSpec, **kwargs: object) -> LineSpec:
    return LineSpec("rs485-1", "modbus-rtu", meters, port="/dev/null", **kwargs)  # type: ignore[arg-type]


def sixty(period_ms: int, count: int = 5) -> LineSpec:
    return line(*(MeterSpec(f"m{i}", SIXTY, i + 1, period_ms, SIXTY.points) for i in range(count)))


@pytest.mark.parametrize(
    ("parity", "count", "published"), [("N", 2, 17.71 + 8.02), ("E", 80, 198.23 + 8.02)], ids=["8N1, 2", "8E1, 80"]
)
def test_the_wire_times_that_are_published_for_9600_baud(parity: str, count: int, published: float) -> None:
    spec = line(parity=parity)
    assert read_ms(spec, Block(3, 0, count, ((POINT, 0),))) - LATENCY_MS == pytest.approx(published, abs=0.01)


def test_a_line_that_has_room_has_nothing_to_say() -> None:
    found = budget(sixty(2000))
    assert found.errors == found.warnings == ()
    assert found.share == pytest.approx(0.42, abs=0.01)
    assert [len(m.reads) for m in found.meters] == [1] * 5


def test_a_nearly_full_line_is_warned_of() -> None:
    found = budget(sixty(1000))
    assert found.errors == ()
    assert "85%" in found.warnings[0]


def test_an_overfull_line_is_an_error_and_the_periods_that_it_names_work() -> None:
    found = budget(sixty(500))
    assert found.share > 1
    (problem,) = found.errors
    assert re.search(r"needs 1\.\d+ s of each second", problem)
    seconds = re.search(r'm0 every "([0-9.]+)s"', problem)
    assert seconds is not None
    better = budget(sixty(round(float(seconds[1]) * 1000)))
    assert better.errors == ()


@pytest.mark.parametrize("period", [500, 1000, 3000])
def test_a_period_without_enough_shapes_is_an_error_and_the_one_that_it_names_works(period: int) -> None:
    probe = load_profile("vaisala-gmp252")
    meter = MeterSpec("co2", probe, 240, period, probe.select())
    (problem,) = budget(line(meter)).errors
    assert "co2" in problem
    seconds = re.search(r'every = "([0-9.]+)s"', problem)
    assert seconds is not None
    assert budget(line(replace(meter, period_ms=round(float(seconds[1]) * 1000)))).errors == ()


def test_what_a_dead_meter_costs_is_told_when_it_is_longer_than_its_period() -> None:
    found = budget(sixty(400, 1))
    assert found.meters[0].dead_ms == 500
    assert "dead" in found.warnings[-1]


def test_over_modbus_tcp_only_shapes_are_counted() -> None:
    found = load_profile("sunspec-inverter")
    spec = LineSpec("tcp", "modbus-tcp", (MeterSpec("i", found, 1, 100, found.select()),), host="127.0.0.1")
    assert budget(spec).share == 0.0
    assert budget(spec).errors == ()
