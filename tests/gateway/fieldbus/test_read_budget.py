"""The budget of a line: times as published, and which reads are short of shapes."""

from __future__ import annotations

from dataclasses import replace

import pytest

from gateway.devices.profile import load_profile, parse_profile
from gateway.devices.register_block import RegisterBlock
from gateway.fieldbus.modbus.dialect import OVER_RTU
from gateway.fieldbus.modbus.read_variants import LATENCY_MS
from gateway.fieldbus.read_budget import budget, identity_every_s
from gateway.fieldbus.wire.line_spec import LineSpec, MeterSpec
from tests.support.register_points import register_point

POINTS = "\n".join(f'p{i} = {{ fc = 3, address = {2 * i}, type = "float32", unit = "W" }}' for i in range(30))
SIXTY = parse_profile(
    'vendor = "T"\ndevice = "T"\nsource = "T"\nmax_registers = 80\ntimeout_ms = 500\n'
    f"readable = [{{ fc = 3, first = 0, last = 79 }}]\n[points]\n{POINTS}",
    "sixty",
    "sixty.toml",
)
POINT = register_point("p", 3, 0, "uint16", 1, unit="W")


def line(*meters: MeterSpec, **kwargs: object) -> LineSpec:
    return LineSpec("rs485-1", "modbus-rtu", meters, port="/dev/null", **kwargs)  # type: ignore[arg-type]


def sixty(period_ms: int, count: int = 5) -> LineSpec:
    return line(*(MeterSpec(f"m{i}", SIXTY, i + 1, period_ms, SIXTY.points) for i in range(count)))


@pytest.mark.parametrize(
    ("parity", "count", "published"), [("N", 2, 17.71 + 8.02), ("E", 80, 198.23 + 8.02)], ids=["8N1, 2", "8E1, 80"]
)
def test_the_wire_times_that_are_published_for_9600_baud(parity: str, count: int, published: float) -> None:
    spec = line(parity=parity)
    assert OVER_RTU.read_ms(spec, RegisterBlock.over(3, 0, count, [POINT]), 0.0) == pytest.approx(published, abs=0.01)


@pytest.mark.parametrize(("period", "share"), [(2000, 0.42), (1000, 0.85), (500, 1.74)])
def test_the_share_of_a_line(period: int, share: float) -> None:
    found = budget(sixty(period))
    assert found.share == pytest.approx(share, abs=0.02)
    assert [len(m.reads) for m in found.meters] == [1] * 5
    assert [m.short() for m in found.meters] == [[]] * 5


@pytest.mark.parametrize("latency_ms", [0, 150, 600])
def test_the_budget_uses_the_latency_of_the_profile(latency_ms: int) -> None:
    slow = replace(SIXTY, latency_ms=latency_ms)
    meter = MeterSpec("m", slow, 1, 10_000, slow.points)
    (usual,), (found,) = (budget(line(one)).meters for one in (replace(meter, profile=SIXTY), meter))
    assert found.poll_ms - usual.poll_ms == pytest.approx(len(found.reads) * (latency_ms - LATENCY_MS))
    assert found.share == found.poll_ms / 10_000


def test_a_device_with_a_long_latency_is_asked_who_it_is_as_seldom_as_its_line_can_bear() -> None:
    who = replace(SIXTY, identity=("p0",))
    every_s = [
        identity_every_s(line(MeterSpec("m", replace(who, latency_ms=ms), 1, 10_000, who.points))) for ms in (20, 600)
    ]
    assert every_s == [60.0, 3600.0]


@pytest.mark.parametrize(("period", "short"), [(500, True), (3000, True), (3400, True), (3500, False)])
def test_a_read_is_short_of_shapes_where_its_period_is_too_short_for_those_it_has(period: int, short: bool) -> None:
    probe = load_profile("vaisala-gmp252")
    (found,) = budget(line(MeterSpec("co2", probe, 240, period, probe.select(), timeout_ms=500))).meters
    assert bool(found.short()) == short


def test_over_modbus_tcp_only_shapes_are_counted() -> None:
    found = load_profile("sunspec-inverter")
    spec = LineSpec("tcp", "modbus-tcp", (MeterSpec("i", found, 1, 100, found.select()),), host="127.0.0.1")
    assert budget(spec).share == 0.0
