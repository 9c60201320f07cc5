"""Replay: which recorded answer a meter shows, what a right reader takes from it, and what a scenario refuses."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner
from pymodbus.client import ModbusTcpClient

from firmware_sim.cli.app import main
from firmware_sim.errors import ScenarioError
from firmware_sim.meters import pdu as frames
from firmware_sim.meters.answer_faults import Lost
from firmware_sim.meters.armed import Armed, When
from firmware_sim.meters.device import Device
from firmware_sim.meters.packing import Value
from firmware_sim.meters.pdu import Read, Refused, Silent
from firmware_sim.meters.register_image import Meter
from firmware_sim.meters.register_map import MeterSpec, Mismatch
from firmware_sim.plant.model import Plant, PlantSpec
from firmware_sim.recorded.client import request_of
from firmware_sim.recorded.recorder import SPOKEN, Recorder
from firmware_sim.recorded.recording import Answer, Head, Recording, read_recording
from firmware_sim.recorded.replay import ReplayedMeter
from firmware_sim.scenario.load import load_scenario
from gateway.devices.profile import catalog, load_profile
from tests.firmware_sim.sim_bench import running, scenario, simulating

BEGAN = "2026-06-21T04:00:00.000+08:00"
SDM630 = MeterSpec("m", load_profile("eastron-sdm630"), 1)


def of_lines(*answers: Answer, profile: str = "eastron-sdm630", every_ms: int = 1000) -> Recording:
    return Recording("meter.jsonl", Head(profile, 1, {}, every_ms, BEGAN), answers, False, "")


def words(fc: int, address: int, *registers: int, at_ms: int = 0) -> Answer:
    data = b"".join(register.to_bytes(2, "big") for register in registers)
    return Answer(at_ms, Read(fc, address, len(registers)), data)


def test_each_register_shows_the_newest_answer_of_that_time() -> None:
    recording = of_lines(
        words(4, 0, 1, 2, 3, 4, at_ms=5),
        words(4, 4, 5, 6, at_ms=10),
        words(4, 2, 33, at_ms=1000),
        words(4, 0, 11, 12, 13, 14, at_ms=2000),
    )
    meter, again = ReplayedMeter(SDM630, recording), ReplayedMeter(SDM630, recording, repeats=True)
    whole = Read(4, 0, 6)
    shown = {t_ms: meter.read(whole, t_ms).registers for t_ms in (3000, 0, 9, 999, 1000, 1999, 2000, 9**9)}
    before, between, behind = (1, 2, 3, 4, 5, 6), (1, 2, 33, 4, 5, 6), (11, 12, 13, 14, 5, 6)
    assert [shown[t_ms] for t_ms in (0, 9, 999)] == [before] * 3
    assert [shown[t_ms] for t_ms in (1000, 1999)] == [between] * 2
    assert [shown[t_ms] for t_ms in (2000, 3000, 9**9)] == [behind] * 3
    assert [again.read(whole, t_ms).registers for t_ms in (2999, 3000, 4000, 5000)] == [behind, before, between, behind]


def test_what_was_refused_silent_or_never_read_is_so_again() -> None:
    meter = ReplayedMeter(
        SDM630,
        of_lines(
            words(4, 0, 1, 2),
            Answer(0, Read(4, 2, 2), exception=4),
            words(3, 10, 7, 8),
            Answer(500, Read(4, 0, 2), timeout_ms=100),
            words(4, 2, 3, 4, at_ms=500),
            words(4, 0, 1, 2, at_ms=1000),
        ),
    )
    assert meter.read(Read(3, 10, 2), 0).registers == (7, 8)
    for read, t_ms, code in (
        (Read(4, 2, 2), 0, 4),
        (Read(4, 0, 4), 499, 4),
        (Read(4, 3, 2), 0, 2),
        (Read(4, 10, 2), 0, 2),
        (Read(1, 0, 1), 0, 2),
        (Read(4, 0, 0), 0, 3),
        (Read(4, 0, 126), 0, 3),
    ):
        with pytest.raises(Refused) as refused:
            meter.read(read, t_ms)
        assert refused.value.code == code
    for read in (Read(4, 0, 2), Read(4, 1, 3)):
        with pytest.raises(Silent):
            meter.read(read, 500)
    assert meter.read(Read(4, 0, 4), 1000).registers == (1, 2, 3, 4)
    device = Device(meter)
    assert device.ask(1, request_of(Read(4, 0, 2)), 500, frames.rtu).deliveries == ()
    outcome = device.ask(1, request_of(Read(4, 2, 2)), 0, frames.rtu)
    assert (outcome.exception, outcome.deliveries[0].data) == (4, frames.rtu(1, frames.exception(4, 4)))
    assert device.ask(1, b"\6\0\0\0\1", 0, frames.rtu).exception == 1
    device = Device(meter, [Armed.of("lost", Lost(), When(), "1")])
    assert device.ask(1, request_of(Read(4, 2, 2)), 500, frames.rtu).deliveries == ()


class Modelled:
    """A wire to a modelled meter, whose time passes between two rounds only."""

    def __init__(self, meter: Meter) -> None:
        self.settings: Mapping[str, str | int] = {}
        self._meter, self._now = meter, 0.0

    def clock(self) -> float:
        return self._now

    def sleep(self, seconds: float) -> None:
        self._now = 1.0 if seconds > 0.5 else self._now

    def ask(self, unit: int, read: Read, timeout_s: float) -> bytes | None:
        outcome = Device(self._meter).ask(unit, request_of(read), round(self._now * 1000), lambda _, pdu: bytes(pdu))
        return outcome.deliveries[0].data

    def open(self) -> None: ...

    def close(self) -> None: ...


def same(one: Mapping[str, Value], other: Mapping[str, Value]) -> bool:
    """Whether readings are the same numbers and texts, however they are written."""

    def number(value: Value) -> object:
        try:
            return value if value is None else float(Fraction(value))
        except ValueError:
            return value

    return {name: number(value) for name, value in one.items()} == {name: number(v) for name, v in other.items()}


@pytest.mark.parametrize("name", [name for name in catalog() if load_profile(name).protocol in SPOKEN])
def test_a_replay_shows_the_readings_of_the_meter_that_was_recorded(name: str) -> None:
    profile = load_profile(name)
    spec = MeterSpec("m", profile, 1, serial="1", factors=dict.fromkeys(profile.factors, Decimal(2)))
    if profile.protocol == "sunspec":
        spec = MeterSpec("m", profile, 1, "pv", sunspec_base=50000)
    try:
        meter = Meter(spec, Plant(PlantSpec()))
    except Mismatch:  # what is not simulated
        return
    wire = Modelled(meter)
    answers = tuple(Recorder(wire, profile, 1, 1000, 2000, 500, wire.clock, wire.sleep).answers())
    replayed = ReplayedMeter(spec, of_lines(*answers, profile=name))
    assert any(value is not None for value in replayed.points(0).values.values())
    for t_ms in (0, 1000):
        assert same(replayed.points(t_ms).values, meter.points(t_ms).values)
    for answer in answers:
        if answer.at_ms == 1000 or answer.data is None:
            continue
        read, shown = answer.read, meter.read(answer.read.fc, answer.read.address, answer.read.count, 0)
        found = replayed.read(read, 0)
        assert found.registers == shown.registers
        assert same(found.values, shown.values)


def recorded(folder: Path, *meters: str, **changes: str) -> Path:
    """A scenario of a replayed meter on the recording ``meter.jsonl``, beside a modelled one."""
    path = folder / "replay.toml"
    text = (
        '[[bus]]\nname = "tcp"\ntype = "modbus-tcp"\nport = 0\n'
        '[[bus.meter]]\nname = "old"\nprofile = "eastron-sdm630"\naddress = 1\nreplay = "meter.jsonl"\n'
        '[[bus.meter]]\nname = "new"\nprofile = "eastron-sdm630"\naddress = 2\n'
    )
    for old, new in changes.items():
        text = text.replace(old, new)
    path.write_text(text + "\n".join(meters))
    return path


def written(folder: Path, text: str | None = None) -> Path:
    path = folder / "meter.jsonl"
    answers = words(4, 0, 0x4366, 0), words(4, 2, 0x4367, 0, at_ms=9)
    lines = [Head("eastron-sdm630", 1, {}, 1000, BEGAN).line(), *(answer.line() for answer in answers)]
    path.write_text("".join(lines) if text is None else text)
    return path


FAULT = '[[fault]]\nmeter = "old"\nkind = "{}"\n'


@pytest.mark.parametrize(
    ("changes", "more", "key"),
    [
        ({'630"\naddress = 1': '230"\naddress = 1'}, "", "bus[0].meter[0].replay"),
        ({"address = 1": "address = 3"}, "", "bus[0].meter[0].replay"),
        ({"meter.jsonl": "none.jsonl"}, "", ""),
        ({"replay =": 'serial = "1"\nreplay ='}, "", "bus[0].meter[0].serial"),
        ({"replay =": "class = 1.0\nreplay ="}, "", "bus[0].meter[0].class"),
        ({"address = 2": "address = 2\nrepeats = true"}, "", "bus[0].meter[1].repeats"),
        ({}, FAULT.format("drift") + "percent_per_hour = 1.0", "fault[0].kind"),
        ({}, FAULT.format("zero-counters"), "fault[0].kind"),
        ({}, FAULT.format("reversed"), "fault[0].kind"),
        ({}, FAULT.format("swapped-words"), "fault[0].kind"),
    ],
)  # fmt: skip
def test_a_replay_that_cannot_be_is_refused(changes: dict[str, str], more: str, key: str, tmp_path: Path) -> None:
    written(tmp_path)
    with pytest.raises(ScenarioError) as refused:
        load_scenario(recorded(tmp_path, more, **changes))
    assert refused.value.key == key


def test_a_recording_with_a_mistake_is_refused_by_its_line_and_a_cut_one_is_used(tmp_path: Path) -> None:
    whole = written(tmp_path).read_text()
    written(tmp_path, whole + "x\n")
    with pytest.raises(ScenarioError) as refused:
        load_scenario(recorded(tmp_path))
    assert (refused.value.file, refused.value.key) == (str(tmp_path / "meter.jsonl"), "line 4")
    written(tmp_path, whole + '{"at_ms": 9')
    result = CliRunner().invoke(main, ["run", str(recorded(tmp_path)), "--dir", str(tmp_path), "--for", "0"])
    assert result.exit_code == 0, result.output
    assert "meter old: " in result.output
    assert load_scenario(recorded(tmp_path)).digest != load_scenario(scenario(tmp_path)).digest


def test_the_truth_of_a_replay_is_what_it_shows(tmp_path: Path) -> None:
    written(tmp_path)
    output = tmp_path / "truth.csv"
    path = recorded(tmp_path, FAULT.format("dead"), "from = 1")
    result = CliRunner().invoke(main, ["truth", str(path), "--for", "1s", "--every", "1s", "-o", str(output)])
    assert result.exit_code == 0, result.output
    rows = [row for row in csv.DictReader(output.open()) if row["meter"] == "old"]
    shown = {(row["at_ms"], row["point"]): (row["plant"], row["true"], row["shown"]) for row in rows}
    assert shown["0", "voltage_ln_l1"] == ("", "230.0", "230.0")
    assert shown["0", "voltage_ln_l3"] == ("", "", "")
    assert shown["1000", "voltage_ln_l2"] == ("", "231.0", "")


def test_a_client_reads_from_a_replay_what_was_recorded_over_the_wire(tmp_path: Path) -> None:
    path, answers = tmp_path / "meter.jsonl", tmp_path / "answers.jsonl"
    with running(scenario(tmp_path)) as bench:
        words = ["record", str(bench.serial), "--profile", "eastron-sdm630", "--for", "0", "-o", str(path)]
        assert CliRunner().invoke(main, words).exit_code == 0
        before = bench.log()
    answers.unlink()
    with simulating(recorded(tmp_path, FAULT.format("lost") + "count = 1")) as simulator:
        there = simulator.ready()["lines"]["tcp"]
        with ModbusTcpClient(there["host"], port=there["port"], timeout=0.2) as client:
            for answer in read_recording(path).answers:
                read = client.read_input_registers if answer.read.fc == 4 else client.read_holding_registers
                found = read(answer.read.address, count=answer.read.count, device_id=1)
                assert tuple(found.registers) == answer.words
            assert client.read_holding_registers(100, count=2, device_id=1).exception_code == 2
            assert not client.read_input_registers(0, count=2, device_id=2).isError()
        lines = [json.loads(line) for line in answers.read_text().splitlines()]
    assert [line["meter"] for line in lines].count("new") == 1
    shown = {(line["address"], line["count"]): line["values"] for line in lines if line["meter"] == "old"}
    assert len(before) > 3
    assert all(same(shown[line["address"], line["count"]], line["values"]) for line in before)
