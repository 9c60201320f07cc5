"""The fixture ``meterseal_sim``: the examples of its page as they stand, and what it says where something is wrong."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import tomllib
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest
from pymodbus.client import ModbusTcpClient

from firmware_sim.errors import SimError
from firmware_sim.testing.plugin import meterseal_sim
from tests.firmware_sim.sim_bench import PATIENCE_S

if TYPE_CHECKING:
    from firmware_sim.testing.simulation import Start

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```python\n# ([\w.]+)\n(.*?)^```", re.MULTILINE | re.DOTALL)
OWNER = """
import json, sys
from pathlib import Path
import firmware_sim.testing.plugin
ours = [name for name in sys.modules if name.partition(".")[0] in ("firmware_sim", "gateway", "ledger_client")]
from firmware_sim.testing.simulation import running
with running(base=Path(), folder=Path("logs")) as start:
    simulation = start("demo")
    print(json.dumps([sorted(ours), sorted(sys.modules), dict(simulation.ready)]), flush=True)
    sys.stdin.read()
"""
METERS = [
    {"name": "grid", "profile": "eastron-sdm630", "address": 1, "serial": "7"},
    {"name": "probe", "profile": "./probe.toml", "address": 2, "show": {"kind": "frequency"}},
]
PROBE = """vendor = "V"
device = "D"
source = "S"
[points]
kind = { fc = 3, address = 0, type = "uint16", scale = -2, unit = "Hz", kind = "gauge" }
odd = { fc = 3, address = 1, type = "uint16", kind = "status", not_available = [0xFFFF] }
"""


PUSHING = {
    "plant": {"seed": 5, "stack": {"fuel_kg_h": 900}},
    "bus": [
        {"name": "home", "type": "p1", "port": 0, "every_ms": 20, "meter": [
            {"name": "p1", "address": "0-0", "energy_import_kwh": 7.0},
            {"name": "gas", "address": "0-1", "kind": "gas", "start": 1.5},
        ]},
        {"name": "cems", "type": "hj212", "port": 1, "meter": [
            {"name": "stack", "address": "1", "realtime_s": 1, "wants_answer": False},
        ]},
    ],
}  # fmt: skip
"""Meters that nobody asks."""


def read(port: int, address: int, unit: int) -> float:
    with ModbusTcpClient("127.0.0.1", port=port, timeout=PATIENCE_S) as client:
        answer = client.read_input_registers(address, count=2, device_id=unit)
        return float(client.convert_from_registers(answer.registers, client.DATATYPE.FLOAT32))


def test_the_examples_of_the_page_pass_side_by_side(tmp_path: Path) -> None:
    blocks = dict(BLOCK.findall((ROOT / "docs/pytest.md").read_text()))
    for name, text in blocks.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "gateway").mkdir()  # a package of somebody else's, which is no business of the simulator's
    (tmp_path / "gateway" / "__init__.py").write_text("raise ImportError('the project under test')")
    command = [sys.executable, "-m", "pytest", "-p", "firmware_sim.testing.plugin", "-p", "xdist.plugin", "-n", "2"]
    command += ["-p", "no:cacheprovider", "--junitxml", "found.xml"]
    env = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (suite,) = ElementTree.parse(tmp_path / "found.xml").getroot()
    assert (suite.get("tests"), suite.get("failures"), suite.get("errors")) == ("5", "0", "0")


def test_pytest_finds_the_plugin_where_meterseal_is_installed() -> None:
    (entry,) = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["pytest11"].items()
    assert EntryPoint(name=entry[0], value=entry[1], group="pytest11").load().meterseal_sim is meterseal_sim


def test_a_simulator_ends_with_a_test_that_is_killed_and_loads_nothing_into_it(tmp_path: Path) -> None:
    owner = subprocess.Popen(
        [sys.executable, "-c", OWNER], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert owner.stdout is not None
        loaded, modules, ready = json.loads(owner.stdout.readline())
        assert loaded == ["firmware_sim", "firmware_sim.testing", "firmware_sim.testing.plugin"]
        assert not [name for name in modules if name.partition(".")[0] in ("gateway", "pydantic", "click", "asyncio")]
        line, socket = Path(ready["lines"]["rs485-1"]["port"]), Path(ready["control"])
        assert line.is_symlink()
        assert socket.is_socket()
    finally:
        owner.send_signal(signal.SIGKILL)
        owner.wait()
        for pipe in (owner.stdin, owner.stdout):
            if pipe is not None:
                pipe.close()
    deadline = time.monotonic() + PATIENCE_S
    while line.is_symlink() or socket.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_the_truth_of_meters_that_send_unasked_is_what_their_lines_have(meterseal_sim: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as host:
        sim = meterseal_sim(PUSHING, ports={"cems": host.getsockname()[1]})
        dialled, _ = host.accept()
        for meter in ("p1", "gas", "stack"):
            sim.wait(meter, 1)
            line = sim.log(meter)[-1]
            found = {point: sim.truth(meter, point, at=line) for point in line["values"]}
            assert {point: str(value) for point, value in found.items()} == line["values"]
            numbers = {point for point, value in found.items() if isinstance(value, Decimal)}
            assert numbers & {"1-0:2.8.1", "0-1:24.2.1", "a05001-Rtd"}
            assert not numbers & {"0-0:1.0.0", "0-0:96.14.0", "0-1:24.1.0", "DataTime", "a05001-Flag"}
        assert sim.truth("gas", "0-1:24.2.1") == Decimal("1.500")
        with pytest.raises(SimError, match="did you mean '1-0:1"):
            sim.truth("p1", "1-0:1.8.9")
        dialled.close()


def test_what_a_simulator_is_asked(meterseal_sim: Start, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    beside = request.path.parent / "probe.toml"
    beside.write_text(PROBE)
    try:
        buses = [
            {"name": "tcp", "type": "modbus-tcp", "port": 502, "meter": tuple(METERS)},
            {"name": "line", "type": "modbus-rtu", "port": "/dev/none/x", "meter": [METERS[0] | {"name": "other"}]},
        ]
        sim = meterseal_sim({"bus": buses, "plant": {"seed": 5}})
    finally:
        beside.unlink()
    assert (sim.port(), len(sim.path()) < 40) == (sim.port("tcp"), True)
    before = datetime.now(UTC)
    shown = read(sim.port(), 70, 1)
    (answer,) = sim.log("grid")
    assert sim.truth("grid", "frequency", at=answer) == shown == answer["values"]["frequency"]
    assert isinstance(sim.truth("probe", "kind", before), Decimal)
    assert sim.truth("probe", "kind", at=answer) == round(Decimal(shown), 2)
    assert sim.truth("probe", "odd") is None
    assert sim.truth("grid", "serial_number", time.time()) == 7
    sim.inject("tcp", "late", delay_ms=1, every=2, count=3)
    with pytest.raises(SimError, match="'late'"):
        sim.inject("grid", "lat")
    with pytest.raises(SimError, match="known: tcp, line"):
        sim.port("nobody")
    with pytest.raises(SimError, match=r"use port\(\)"):
        sim.path("tcp")
    with pytest.raises(SimError, match="energy_import"):
        sim.truth("grid", "energy_imports")
    with pytest.raises(SimError, match="no such meter"):
        sim.truth("gird", "frequency")
    with pytest.raises(SimError, match="the start and now"):
        sim.truth("grid", "frequency", time.time() + 60)
    with pytest.raises(SimError, match="no time zone"):
        sim.truth("grid", "frequency", datetime(2026, 1, 1))
    with pytest.raises(TimeoutError, match="0 of 2 requests"):
        sim.wait("other", 2, timeout_s=0)
    with pytest.raises(SimError, match="known: grid, probe, other"):
        sim.log("gird")
    path = tmp_path / "plant.toml"
    for wrong, match in (
        (path, "no such file"),
        ("dem", "did you mean demo"),
        ("a = [\n", "not valid TOML"),
        ({"bus": [{"name": None}]}, r"bus\[0\].name: None"),
        ("[[bus]]\nname = 'a'\n", r"bus\[0\].type: missing"),
    ):
        with pytest.raises(SimError, match=match):
            meterseal_sim(wrong)
