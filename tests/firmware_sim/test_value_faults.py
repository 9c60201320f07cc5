"""Faults of what a meter measures, counts and lays out: each is as physical as the plant. Without a wire."""

from __future__ import annotations

import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from firmware_sim.clock import SimClock
from firmware_sim.errors import ScenarioError
from firmware_sim.meters import dlt645_pdu
from firmware_sim.meters import pdu as frames
from firmware_sim.meters.answer_faults import Fault
from firmware_sim.meters.armed import Armed, When
from firmware_sim.meters.device import Device, Outcome
from firmware_sim.meters.dlt645_meter import Dlt645Meter
from firmware_sim.meters.emission_station import Station, StationSpec
from firmware_sim.meters.logger_faults import IMPOSSIBLE
from firmware_sim.meters.packing import Cell
from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec
from firmware_sim.meters.value_faults import (
    VALUE_KINDS,
    Calibrating,
    CounterReset,
    Drift,
    NotAvailable,
    PhaseLost,
    Ratio,
    Reversed,
    Rollover,
    Spike,
    StuckRegister,
    SwappedWords,
)
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.plant.quantities import QUANTITIES, Scene
from firmware_sim.plant.stack import StackSpec
from firmware_sim.scenario.load import load_scenario
from firmware_sim.wire.hj212.messages import REALTIME, Manners, Messages
from gateway.devices.profile import load_profile

PLANT = Plant(PlantSpec(seed=4, stack=StackSpec(fuel_kg_h=2000)))
BEGIN_MS, HOUR_MS = 10_000, 3_600_000
READS = [(4, first, 60) for first in (0, 60, 120, 180, 240, 300)]
"""All points of an SDM630, but its serial number."""
START: dict[str, Any] = {"start_wh": (1e6, 2e6), "start_varh": (3e5, 4e5)}


def shown(
    *faults: Fault, t_ms: int, profile: str = "eastron-sdm630", true: bool = False, **keys: Any
) -> dict[str, Any]:
    """What all points show, or what the log says is true, of a fault that begins at BEGIN_MS."""
    spec = MeterSpec("m", load_profile(profile), 1, serial="21043387", **{**START, **keys})
    armed = [Armed.of("fault", fault, When(from_ms=BEGIN_MS), "seed") for fault in faults]
    device, found = Device(Meter(spec, PLANT), armed), dict[str, Any]()
    for fc, address, count in reads(profile):
        pdu = bytes([fc]) + address.to_bytes(2, "big") + count.to_bytes(2, "big")
        outcome = device.ask(1, pdu, t_ms, frames.rtu)
        found |= outcome.true if true else outcome.deliveries[0].values
    return found


def reads(profile: str) -> list[tuple[int, int, int]]:
    if profile == "eastron-sdm630":
        return READS
    return [(p.fc, p.address, p.registers) for p in load_profile(profile).points]


def energies(values: dict[str, Any]) -> tuple[float, float]:
    return values["energy_import"], values["energy_export"]


def test_before_it_begins_nothing_differs_and_what_is_true_is_never_touched() -> None:
    before, later = shown(t_ms=BEGIN_MS - 1), shown(t_ms=HOUR_MS)
    for kind in VALUE_KINDS.values():
        assert shown(kind(), t_ms=BEGIN_MS - 1) == before, kind
        assert shown(kind(), t_ms=HOUR_MS, true=True) == later, kind


def test_a_lost_phase_shows_nothing_counts_nothing_and_totals_follow() -> None:
    lost, sound, begin = shown(PhaseLost(phase=2), t_ms=HOUR_MS), shown(t_ms=HOUR_MS), shown(t_ms=BEGIN_MS)
    assert [lost[f"{name}_l2"] for name in ("voltage_ln", "current", "active_power", "reactive_power")] == [0] * 4
    assert lost["active_power_l1"] == sound["active_power_l1"]
    rest = lost["active_power_l1"] + lost["active_power_l3"]
    assert lost["active_power_total"] == pytest.approx(rest, rel=1e-6)
    assert lost["energy_export_l2"] == begin["energy_export_l2"]
    assert energies(begin) <= energies(lost)
    assert lost["energy_export"] < sound["energy_export"]
    counted = sum(lost[f"energy_export_l{n}"] for n in (1, 2, 3))
    assert lost["energy_export"] == pytest.approx(counted, rel=1e-6)


def test_a_reversed_meter_counts_on_in_the_other_direction() -> None:
    turned, sound, begin = shown(Reversed(), t_ms=HOUR_MS), shown(t_ms=HOUR_MS), shown(t_ms=BEGIN_MS)
    assert turned["active_power_total"] == -sound["active_power_total"]
    assert turned["current_l1"] == sound["current_l1"]
    taken, given = (now - then for now, then in zip(energies(sound), energies(begin), strict=True))
    grown = [now - then for now, then in zip(energies(turned), energies(begin), strict=True)]
    assert grown == pytest.approx([given, taken], abs=1e-3)


def test_a_wrong_ratio_is_in_currents_powers_and_what_is_counted_from_then_on() -> None:
    wrong, sound, begin = shown(Ratio(times=1.5), t_ms=HOUR_MS), shown(t_ms=HOUR_MS), shown(t_ms=BEGIN_MS)
    for name in ("current_l1", "active_power_total", "reactive_power_l3", "apparent_power_total"):
        assert wrong[name] == pytest.approx(1.5 * sound[name], rel=1e-6)
    assert wrong["voltage_ln_l1"] == sound["voltage_ln_l1"]
    assert wrong["power_factor_total"] == sound["power_factor_total"]
    grown = wrong["energy_export"] - begin["energy_export"]
    assert grown == pytest.approx(1.5 * (sound["energy_export"] - begin["energy_export"]), rel=1e-3)


def test_counters_that_are_reset_begin_at_zero_and_never_fall() -> None:
    read = shown(t_ms=0)
    counters = [p.name for p in load_profile("eastron-sdm630").points if p.kind == "counter" and p.name in read]
    fault, last = CounterReset(), dict.fromkeys(counters, 0.0)
    assert {shown(fault, t_ms=BEGIN_MS)[name] for name in counters} == {0}
    for t_ms in range(BEGIN_MS, HOUR_MS, 300_000):
        now = shown(fault, t_ms=t_ms)
        assert all(now[name] >= last[name] for name in counters)
        last = {name: now[name] for name in counters}
    grown = shown(t_ms=t_ms)["energy_export"] - shown(t_ms=BEGIN_MS)["energy_export"]
    assert last["energy_export"] == pytest.approx(grown, abs=1e-3)


def test_what_other_meters_count_is_reset_too() -> None:
    keys: dict[str, Any] = {"profile": "siemens-mass6000", "t_ms": HOUR_MS}
    counters = [p.name for p in load_profile("siemens-mass6000").points if p.kind == "counter"]
    sound, reset = shown(**keys), shown(CounterReset(), **keys)
    assert any(float(reset[name]) < float(sound[name]) for name in counters)
    scene = CounterReset().scene(lambda t_ms: Scene(PLANT.at(t_ms), PLANT.at(t_ms).flows["grid"], start_kg=500), 60_000)
    assert 0 < QUANTITIES["fuel_weight"].of(scene) < 500


def test_a_counter_rolls_over_at_its_digits_or_at_its_register() -> None:
    near: dict[str, Any] = {"start_wh": (999_990_000.0, 0.0), "measures": "load"}
    below, over = (shown(Rollover(digits=6), t_ms=t, **near)["energy_import"] for t in (BEGIN_MS, HOUR_MS))
    assert (below > 999_989, 0 <= over < 10) == (True, True)
    cell = Cell("c", 3, 0, 2, "uint32", exponent=-1, kind="counter")
    assert [cell.ceiling(0), cell.ceiling(3)] == [Fraction(2**32, 10), Fraction(1000)]
    assert Rollover().value(cell, Fraction(2**32 + 7, 10), 0) == Fraction(7, 10)


def test_gauges_drift_and_counters_do_not() -> None:
    drifted, sound = shown(Drift(percent_per_hour=10), t_ms=BEGIN_MS + HOUR_MS), shown(t_ms=BEGIN_MS + HOUR_MS)
    assert drifted["voltage_ln_l1"] == pytest.approx(1.1 * sound["voltage_ln_l1"], rel=1e-6)
    assert energies(drifted) == energies(sound)
    one = shown(Drift(percent_per_hour=10, point="frequency"), t_ms=BEGIN_MS + HOUR_MS)
    assert {name for name in one if one[name] != sound[name]} == {"frequency"}


def test_a_spike_is_as_high_as_its_registers_allow() -> None:
    assert shown(Spike(), t_ms=HOUR_MS)["frequency"] == pytest.approx(10 * shown(t_ms=HOUR_MS)["frequency"], rel=1e-6)
    keys: dict[str, Any] = {"profile": "vaisala-gmp252", "t_ms": HOUR_MS}
    spiked, sound = shown(Spike(times=1000), **keys), shown(**keys)
    assert spiked["co2"] == pytest.approx(1000 * sound["co2"], rel=1e-6)
    assert spiked["co2_i16"] == 32767, "a 16 bit register ends there"


def test_one_register_is_stuck_and_the_others_move() -> None:
    spec = MeterSpec("m", load_profile("eastron-sdm630"), 1)
    for fault, name in ((StuckRegister(), "voltage_ln_l1"), (StuckRegister(point="current_l2"), "current_l2")):
        device = Device(Meter(spec, PLANT), [Armed.of("stuck", fault, When(), "s")])
        first, last = (device.ask(1, bytes.fromhex("040000003c"), t, frames.rtu) for t in (0, HOUR_MS))
        assert last.deliveries[0].values[name] == first.deliveries[0].values[name]
        assert last.deliveries[0].values["voltage_ln_l3"] != first.deliveries[0].values["voltage_ln_l3"]
        assert {n for n, v in last.true.items() if v != last.deliveries[0].values[n]} == {name}


def test_what_is_not_available_has_its_code_and_is_never_zero() -> None:
    values = shown(NotAvailable(), t_ms=HOUR_MS)
    kinds = {p.name: p.kind for p in load_profile("eastron-sdm630").points}
    assert all(values[name] is None for name in values if kinds[name] in ("gauge", "counter"))
    assert shown(NotAvailable(point="frequency"), t_ms=HOUR_MS)["energy_import"] is not None


def test_swapped_words_are_what_a_reader_decodes_of_them() -> None:
    spec = MeterSpec("m", load_profile("eastron-sdm630"), 1, serial="21043387")
    swapped = Device(Meter(spec, PLANT), [Armed.of("swapped-words", SwappedWords(), When(), "s")])
    for pdu in ("0400000006", "03fc000002"):
        right, wrong = (d.ask(1, bytes.fromhex(pdu), 0, frames.rtu) for d in (Device(Meter(spec, PLANT)), swapped))
        data, other = right.deliveries[0].data[3:-2], wrong.deliveries[0].data[3:-2]
        assert b"".join(data[n + 2 : n + 4] + data[n : n + 2] for n in range(0, len(data), 4)) == other
        assert wrong.true == right.deliveries[0].values != wrong.deliveries[0].values


@pytest.mark.parametrize(
    ("co2_ppm", "states"),
    [
        (0.0, {"zero_check": 1, "span_check": 0, "zero_or_span_check": 1}),
        (2e5, {"zero_check": 0, "span_check": 1, "zero_or_span_check": 1}),
    ],
)
def test_an_analyser_shows_its_test_gas_and_says_so(co2_ppm: float, states: dict[str, int]) -> None:
    values = shown(Calibrating(co2_ppm=co2_ppm), t_ms=HOUR_MS, profile="sick-marsic300")
    assert values["co2"] == pytest.approx(co2_ppm / 1e4, rel=1e-6, abs=1e-5)
    assert (values["so2"] > 1) == (co2_ppm > 0)
    assert {name: values[name] for name in states} == states


def meter_645(fault: Fault | None, di: str, t_ms: int) -> tuple[bytes, Outcome]:
    spec = MeterSpec("m", load_profile("dlt645-three-phase"), "123456789012", **START)
    armed = [Armed.of("fault", fault, When(from_ms=BEGIN_MS), "s")] if fault else []
    device = Device(Dlt645Meter(spec, PLANT, lambda t: 1_790_000_000_000 + t), armed)
    outcome = device.ask("123456789012", b"\x11" + bytes.fromhex(di)[::-1], t_ms, dlt645_pdu.frame)
    opened = dlt645_pdu.opened(outcome.deliveries[0].data)
    assert opened is not None
    return opened[1][5:], outcome


def digits(fault: Fault | None, di: str, t_ms: int = HOUR_MS) -> int:
    data = bytearray(meter_645(fault, di, t_ms)[0][::-1])
    sign, data[0] = (-1, data[0] & 0x7F) if data[0] & 0x80 else (1, data[0])
    return sign * int(data.hex())


def test_a_dlt645_meter_has_them_in_its_digits() -> None:
    volts, power, exported = "02010100", "02030000", "00020000"
    assert digits(PhaseLost(), volts) == 0
    assert digits(Reversed(), power) == -digits(None, power)
    assert digits(Ratio(times=0.5), power) == pytest.approx(digits(None, power) / 2, abs=1)
    assert digits(CounterReset(), exported, BEGIN_MS) == 0
    assert digits(Rollover(digits=3), exported) == digits(None, exported) % 100_000
    assert digits(Drift(percent_per_hour=50), volts, BEGIN_MS + HOUR_MS) == pytest.approx(
        1.5 * digits(None, volts, BEGIN_MS + HOUR_MS), abs=1
    )
    assert meter_645(Spike(times=9), volts, HOUR_MS)[0] == b"\x99\x99", "four digits end there"
    assert set(meter_645(NotAvailable(), volts, HOUR_MS)[0]) == {0xFF}
    _, outcome = meter_645(PhaseLost(), volts, HOUR_MS)
    assert list(outcome.true) == list(outcome.deliveries[0].values)
    assert outcome.true != outcome.deliveries[0].values


def message(fault: Fault, kind: str, t_ms: int = HOUR_MS) -> tuple[dict[str, str], dict[str, str]]:
    """The texts of a logger's message, and what would be true."""
    clock = SimClock(lambda: t_ms / 1000)
    station = Station(StationSpec("stack-1", "1" * 24), PLANT)
    armed = [Armed.of(kind, fault, When(from_ms=BEGIN_MS), "s")]
    made = Messages(station, Manners({REALTIME: 1000}), armed, clock, lambda _: None)
    found = made.message(REALTIME, clock.label_unix_at(t_ms), clock.label_unix_at(t_ms))
    assert found is not None
    return dict(found.texts), dict(found.true)


def test_a_logger_has_those_of_its_instruments() -> None:
    zero, true = message(Calibrating(), "calibrating")
    assert (zero["a05001-Rtd"], zero["a05001-Flag"], zero["a21026-Rtd"], zero["a00000-Flag"]) == (
        "0.0",
        "C",
        "0.00",
        "N",
    )
    assert true["a05001-Flag"] == "N"
    assert zero["a00000-Rtd"] == true["a00000-Rtd"]
    gone, true = message(NotAvailable(point="a21026"), "not-available")
    assert ("a21026-Rtd" in gone, gone["a21026-Flag"], gone["a05001-Flag"]) == (False, "B", "N")
    assert float(true["a21026-Rtd"]) > 0
    drifted, true = message(Drift(point="a01012", percent_per_hour=50), "drift", BEGIN_MS + HOUR_MS)
    assert float(drifted["a01012-Rtd"]) == pytest.approx(1.5 * float(true["a01012-Rtd"]), abs=0.1)
    spiked, true = message(Spike(point="a21026", times=4), "spike")
    assert float(spiked["a21026-ZsRtd"]) == pytest.approx(4 * float(true["a21026-ZsRtd"]), rel=1e-3)


BUS = '[[bus]]\nname = "b"\n{bus}\n[[bus.meter]]\nname = "m"\n{meter}\n'
FAULT = '[[fault]]\nmeter = "m"\nkind = "{kind}"\n{keys}\n'
MODBUS = 'type = "modbus-tcp"\nport = 0'
METERS = {
    "sdm": (MODBUS, 'profile = "eastron-sdm630"\naddress = 1'),
    "probe": (MODBUS, 'profile = "vaisala-gmp252"\naddress = 1'),
    "sunspec": (MODBUS, 'profile = "sunspec-inverter"\naddress = 1'),
    "dlt": ('type = "dlt645"\nport = 0', 'profile = "dlt645-three-phase"\naddress = "123456789012"'),
    "logger": ('type = "hj212"\nport = 1', 'address = "1"'),
    "p1": ('type = "p1"\nport = 0', 'address = "0-0"'),
}
REFUSED = {
    "sdm": {"calibrating", "rollover"},
    "probe": {"counter-reset", "rollover", "phase-lost", "reversed", "ratio"},
    "sunspec": {"calibrating"},
    "dlt": {"calibrating", "swapped-words"},
    "logger": {*VALUE_KINDS} & {*IMPOSSIBLE},
    "p1": {*VALUE_KINDS},
}
"""Of whom which kinds are refused without further keys."""


def refusal(folder: Path, meter: str, kind: str, keys: str = "") -> ScenarioError | None:
    bus, row = METERS[meter]
    (path := folder / "plant.toml").write_text(BUS.format(bus=bus, meter=row) + FAULT.format(kind=kind, keys=keys))
    try:
        load_scenario(path)
    except ScenarioError as error:
        return error
    return None


@pytest.mark.parametrize("meter", METERS)
def test_what_a_meter_cannot_have_is_refused(tmp_path: Path, meter: str) -> None:
    assert {kind for kind in VALUE_KINDS if refusal(tmp_path, meter, kind)} == REFUSED[meter]


@pytest.mark.parametrize(
    ("meter", "kind", "keys", "key"),
    [
        ("sdm", "drift", 'point = "volts"', "fault[0].point"),
        ("sdm", "spike", 'point = "serial_number"', "fault[0].point"),
        ("logger", "stuck-register", 'point = "a99999"', "fault[0].point"),
        ("sdm", "rollover", "", "fault[0].digits"),
        ("sdm", "rollover", "digits = 19", "fault[0].digits"),
        ("sdm", "phase-lost", "phase = 4", "fault[0].phase"),
        ("sdm", "ratio", "times = 0", "fault[0].times"),
        ("probe", "phase-lost", "", "fault[0].kind"),
    ],
)
def test_a_mistake_is_named_with_its_key(tmp_path: Path, meter: str, kind: str, keys: str, key: str) -> None:
    refused = refusal(tmp_path, meter, kind, keys)
    assert refused is not None
    assert refused.key == key


def test_they_bear_any_moment_in_any_order() -> None:
    """A look back, as ``cached`` takes it, sees what the meter showed then."""
    rng = random.Random(1)
    for kind in VALUE_KINDS.values():
        fault = kind()
        moments = [rng.randrange(0, HOUR_MS) for _ in range(3)]
        if kind is not StuckRegister:
            assert [shown(fault, t_ms=t) for t in moments] == [shown(kind(), t_ms=t) for t in moments]
