"""The command: what it prints, where it leaves things, and how it says no."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from firmware_sim.cli.app import main
from firmware_sim.meters.emission_station import FACTORS
from firmware_sim.plant.quantities import QUANTITIES
from firmware_sim.scenario.dlt645_schema import Dlt645MasterTable, Dlt645MeterTable, Dlt645Table
from firmware_sim.scenario.faults import ALL_KINDS, KNOWN, ChoiceTable, FaultTable
from firmware_sim.scenario.hj212_schema import Hj212Table, StationTable
from firmware_sim.scenario.load import load_scenario
from firmware_sim.scenario.plant_schema import PlantTable
from firmware_sim.scenario.schema import (
    AsciiTable,
    FileTable,
    MeterTable,
    RtuTable,
    RtuTcpTable,
    SecondMasterTable,
    TcpTable,
)
from firmware_sim.scenario.table import NoiseTable
from firmware_sim.scenario.unit_schema import BatteryTable, NodeTable, SolarTable, StackTable, ThermalTable
from tests.firmware_sim.sim_bench import PATIENCE_S, Serial, scenario

ROOT = Path(__file__).resolve().parents[2]
ONE_OF = """meter = "export-main"
kind = "one-of"
[[fault.choice]]
kind = "lost"
share = 0.5
[[fault.choice]]
kind = "{kind}"
share = {share}"""
DEMO = ROOT / "configs" / "demo" / "plant.toml"


def sim(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def refused(result: Result) -> str:
    """The message of a run that must have said no in one message."""
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert result.output.startswith("meterseal-sim: ")
    assert result.output.count("fix: ") == 1
    return result.output


def edited(folder: Path, old: str, new: str) -> Path:
    path = scenario(folder)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    return path


def test_profiles_lists_the_devices() -> None:
    result = sim("profiles")
    assert result.exit_code == 0
    lines = {line.split()[0]: line for line in result.output.splitlines()}
    assert lines["eastron-sdm630"].endswith("53 of 53 points")
    assert lines["vaisala-gmp252"].endswith("14 of 14 points")
    assert lines["sunspec-inverter"].endswith("49 of 49 points")
    assert lines["dlt645-three-phase"].endswith("46 of 46 points")
    assert lines["dlt645-single-phase"].endswith("28 of 28 points")


def test_where_dlt645_lines_are_is_printed(tmp_path: Path) -> None:
    buses = {"serial": 'port = "line"', "server": "port = 0", "far": 'dial = "127.0.0.1:1"'}
    meter = '[[bus.meter]]\nname = "{}"\nprofile = "dlt645-three-phase"\naddress = "123456789012"\n'
    path = tmp_path / "plant.toml"
    path.write_text(
        "".join(
            f'[[bus]]\ntype = "dlt645"\nname = "{name}"\n{wire}\n{meter.format(name)}' for name, wire in buses.items()
        )
    )
    result = sim("run", path, "--dir", tmp_path, "--for", 0)
    assert result.exit_code == 0, result.output
    assert f"bus serial: dlt645 at {tmp_path}/line\n" in result.output
    assert "bus server: dlt645 at 127.0.0.1:" in result.output
    assert "bus far: dlt645 dials 127.0.0.1:1\n" in result.output


def test_the_demo_plant_runs_and_stops_cleanly(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "firmware_sim.cli", "run", str(DEMO), "--port", "inverter=0", "--seed", "7"]
    command += ["--dir", ".", "--log", "answers.jsonl", "--ready", "ready.json"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    (tmp_path / "ready.json").write_text("left by a run that was killed")
    process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        printed = [process.stdout.readline(), process.stdout.readline()]
        assert printed[0] == f"bus rs485-1: modbus-rtu at {tmp_path}/rs485-1\n"
        ready = json.loads((tmp_path / "ready.json").read_text())
        assert ready["pid"] == process.pid
        assert ready["lines"]["rs485-1"] == {"type": "modbus-rtu", "port": f"{tmp_path}/rs485-1"}
        host, port = ready["lines"]["inverter"]["host"], ready["lines"]["inverter"]["port"]
        assert printed[1] == f"bus inverter: modbus-tcp at {host}:{port}\n"
        with Serial(tmp_path / "rs485-1", baudrate=9600) as line, socket.create_connection((host, port), PATIENCE_S):
            line.send("F0 03 0000 0002")
            answer = line.receive(9)
            process.send_signal(signal.SIGTERM)
            assert process.wait(PATIENCE_S) == 0
    finally:
        process.kill()
        process.wait()
        if process.stdout:
            process.stdout.close()
    assert {path.name for path in tmp_path.iterdir()} == {"answers.jsonl"}
    (entry,) = (json.loads(text) for text in (tmp_path / "answers.jsonl").read_text().splitlines())
    assert (entry["v"], entry["meter"], entry["answer"]) == (2, "stack-co2", answer.hex())
    assert entry["asked"] == "f00300000002d12a"


def test_it_stops_by_itself(tmp_path: Path) -> None:
    result = sim("run", scenario(tmp_path), "--for", 0, "--dir", tmp_path)
    assert (result.exit_code, result.output.count("bus ")) == (0, 2)


def test_seed_and_ports_can_be_replaced(tmp_path: Path) -> None:
    loaded = load_scenario(DEMO, seed=5, ports={"inverter": "0", "rs485-1": "elsewhere"})
    assert loaded.plant.seed == 5
    assert [bus.port for bus in loaded.buses] == ["elsewhere", 0]
    assert load_scenario(DEMO).plant.seed != 5


@pytest.mark.parametrize(
    ("old", "new", "key", "hint"),
    [
        ("emulate = false", "emulated = false", "bus[0].emulated", "unknown key"),
        ("emulate = false", 'emulate = "no"', "bus[0].emulate", "'no' is not allowed"),
        ('type = "modbus-rtu"', 'type = "modbus"', "bus[0].type", "did you mean 'modbus-"),
        ('type = "modbus-rtu"\n', "", "bus[0].type", "missing"),
        ('port = "rs485-1"\n', "", "bus[0].port", "missing"),
        ("port = 0", "port = 65536", "bus[1].port", "less than or equal to 65535"),
        ('name = "inverter"', 'name = "rs485-1"', "bus[1].name", "is already used by bus[0].name"),
        ('name = "stack-co2"', 'name = "export-main"', "bus[0].meter[1].name", "is already used by bus[0].meter[0]"),
        ("address = 240", "address = 1", "bus[0].meter[1].address", "is already used by bus[0].meter[0].address"),
        ("address = 240", "address = 248", "bus[0].meter[1].address", "use 1 to 247"),
        ("address = 240", "address = 0", "bus[0].meter[1].address", "use 1 to 247"),
        ("address = 240", "address = true", "bus[0].meter[1].address", "True is not allowed"),
        ('name = "stack-co2"', 'name = "stack co2"', "bus[0].meter[1].name", "pattern"),
        ('"vaisala-gmp252"', '"vaisala-gmp25"', "vaisala-gmp25", "vaisala-gmp252"),
        ('serial = "21043387"', 'serial = "A1"', "bus[0].meter[0].serial", "digits only"),
        ('serial = "21043387"', 'show = { frequency = "co2" }', "bus[0].meter[0].show.frequency", "another quantity"),
        ("[[bus]]", "[plant]\nseed = -1\n[[bus]]", "plant.seed", "greater than or equal to 0"),
        ("[[bus]]", "[plant]\nload_kw = inf\n[[bus]]", "plant.load_kw", "less than or equal"),
        ("[[bus]]", "[plant]\nload_kw = nan\n[[bus]]", "plant.load_kw", "is not allowed"),
        ("[[bus]]", "[plant.stack]\ncarbon = 1.1\n[[bus]]", "plant.stack.carbon", "less than or equal to 1"),
        ("[[bus]]", "[plant.stack]\ncarbon = 0.9\nmoisture = 0.2\n[[bus]]", "plant.stack", "more than the whole fuel"),
        ("[[bus]]", "[plant.stack]\ncarbon = 0\nhydrogen = 0\n[[bus]]", "plant.stack", "carbon or hydrogen"),
        ("[[bus]]", "[plant.stack]\nstops = [[9, 5]]\n[[bus]]", "plant.stack", "ends after it begins"),
        ("[[bus]]", "[plant.battery]\nefficiency = 0\n[[bus]]", "plant.battery.efficiency", "greater than or equal"),
        ("[[bus]]", "[plant.battery]\nkwh = -1\n[[bus]]", "plant.battery.kwh", "greater than or equal to 0"),
        ("port = 0", "port = 0\ntls = true", "bus[1]", "tls, ca, cert and key go together"),
        ("port = 0", 'port = 0\nroles = ["a"]', "bus[1]", "and roles with them"),
        ("[[bus]]", "[[bus]", "", "not valid TOML"),
        ("[[bus]]", "a = " + "[" * 20_000 + "\n[[bus]]", "", "not valid TOML: tables or arrays are nested"),
        ("port = 0", "port = " + "9" * 6_000, "", "not valid TOML: a whole number has thousands of digits"),
    ],
)
def test_a_wrong_scenario_is_refused_by_file_and_key(tmp_path: Path, old: str, new: str, key: str, hint: str) -> None:
    path = edited(tmp_path, old, new)
    message = refused(sim("run", path, "--dir", tmp_path, "--for", 0))
    assert key in message
    assert hint in message
    assert str(path) in message or "profile" in message


@pytest.mark.parametrize(
    ("fault", "key", "hint"),
    [
        ('meter = "export-main"\nkind = "lat"', "fault[0].kind", "'late'"),
        ('meter = "export-main"', "fault[0].kind", "known: dead"),
        ('kind = "late"', "fault[0].meter", "missing"),
        ('meter = "export"\nkind = "late"', "fault[0].meter", "export-main"),
        ('meter = "export-main"\nkind = "late"\ndelay = 1', "fault[0].delay", "unknown key"),
        ('meter = "export-main"\nkind = "late"\ndelay_ms = -1', "fault[0].delay_ms", "greater than or equal"),
        ('meter = "export-main"\nkind = "other-serial"', "fault[0].serial", "missing"),
        ('meter = "export-main"\nkind = "dead"\nevery = 0', "fault[0].every", "greater than or equal"),
        ('meter = "pv-inverter"\nkind = "corrupted"', "fault[0].kind", "serial line only"),
        ('meter = "export-main"\nkind = "one-of"', "fault[0].choice", "add [[fault.choice]] tables"),
        (ONE_OF.format(kind="lat", share=0.5), "fault[0].choice[1].kind", "'late'"),
        (ONE_OF.format(kind="late", share=0.6), "fault[0].choice", "add up to more than 1"),
        (ONE_OF.format(kind='late"\ndelay = "1', share=0.5), "fault[0].choice[1].delay", "unknown key"),
    ],
)
def test_a_wrong_fault_is_refused_by_its_key(tmp_path: Path, fault: str, key: str, hint: str) -> None:
    message = refused(sim("run", scenario(tmp_path, faults=f"[[fault]]\n{fault}"), "--dir", tmp_path, "--for", 0))
    assert key in message
    assert hint in message


def test_what_is_in_the_way_is_named(tmp_path: Path) -> None:
    path = scenario(tmp_path)
    assert "No such file" in refused(sim("run", tmp_path / "none.toml"))
    (tmp_path / "empty.toml").touch()
    assert "empty.toml: bus: missing" in refused(sim("run", tmp_path / "empty.toml"))
    assert "no such bus" in refused(sim("run", path, "--port", "nobody=0"))
    assert "--log" in refused(sim("run", path, "--log", tmp_path / "no" / "log", "--dir", tmp_path))
    assert "--ready" in refused(sim("run", path, "--ready", tmp_path / "no" / "ready", "--dir", tmp_path))
    assert "--ready" in refused(sim("run", path, "--ready", path / "below-a-file", "--dir", tmp_path))
    (tmp_path / "rs485-1").write_text("mine")
    assert "not a link to a terminal" in refused(sim("run", path, "--dir", tmp_path))
    assert (tmp_path / "rs485-1").read_text() == "mine"
    (tmp_path / "rs485-1").unlink()
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        message = refused(sim("run", path, "--dir", tmp_path, "--port", f"inverter={port}"))
    assert f"127.0.0.1:{port}" in message
    assert not (tmp_path / "rs485-1").is_symlink()  # the bus that was open already is closed again
    tls = edited(tmp_path, "port = 0", 'port = 0\ntls = true\nca = "ca"\ncert = "cert"\nkey = "key"')
    assert "name PEM files that exist" in refused(sim("run", tls, "--dir", tmp_path))
    usage = sim("run", path, "--port", "inverter")
    assert usage.exit_code == 2
    assert "is not BUS=PORT" in usage.output


def test_points_that_cannot_be_filled_are_told(tmp_path: Path) -> None:
    (tmp_path / "own.toml").write_text(
        'vendor = "V"\ndevice = "D"\nsource = "S"\n'
        '[points]\nodd = { fc = 3, address = 0, type = "uint16", kind = "status" }\n'
    )
    path = edited(tmp_path, '"vaisala-gmp252"', '"./own.toml"')
    result = sim("run", path, "--dir", tmp_path, "--for", 0)
    assert result.exit_code == 0
    assert "meter stack-co2: not available: odd" in result.output


def test_the_documentation_names_every_key_fault_and_quantity() -> None:
    text = (ROOT / "docs" / "simulator.md").read_text()
    words = set(re.findall(r"`([^`\s]+)`", text))
    tables = (
        PlantTable,
        StackTable,
        BatteryTable,
        MeterTable,
        RtuTable,
        RtuTcpTable,
        AsciiTable,
        TcpTable,
        FaultTable,
        ChoiceTable,
        NoiseTable,
        SecondMasterTable,
        Dlt645Table,
        Dlt645MeterTable,
        Dlt645MasterTable,
        Hj212Table,
        StationTable,
        SolarTable,
        ThermalTable,
        NodeTable,
    )
    keys = {field.alias or name for table in tables for name, field in table.model_fields.items()}
    assert keys | set(FileTable.model_fields) | set(KNOWN) <= words
    assert set(FACTORS) <= words
    for kind in ALL_KINDS.values():
        assert {field.name for field in fields(kind) if field.init} <= words
    stems = {re.sub(r"_l\d+$", "", name) for name in QUANTITIES}
    assert stems <= words
