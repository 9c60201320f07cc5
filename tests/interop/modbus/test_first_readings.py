"""The beginning of docs/simulator.md as it stands: mbpoll, pymodbus and pysunspec2 read what the answer log says."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from firmware_sim.testing.simulation import running

TEXT = (Path(__file__).resolve().parents[3] / "docs/simulator.md").read_text().partition("\n## Commands\n")[0]
OURS, SUNSPEC = sys.executable, "METERSEAL_SUNSPEC_PYTHON"


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", TEXT, re.MULTILINE | re.DOTALL)


def run(command: list[str] | str, folder: Path) -> str:
    env = os.environ | {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
    done = subprocess.run(command, shell=isinstance(command, str), cwd=folder, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_first_readings_are_those_of_the_answer_log(tmp_path: Path) -> None:
    with running(base=tmp_path, folder=tmp_path) as start:
        sim = start("demo")
        folder, port = Path(sim.path()).parent, str(sim.port())
        mbpoll, inject = blocks("sh")
        lines = sim.ready["lines"]
        places = [f"bus {name}: {line['type']} at " for name, line in lines.items()]
        demo, drawn = blocks("console")
        assert demo.partition("\n")[0] == "$ meterseal-sim run demo"
        assert [line.startswith(place) for line, place in zip(demo.splitlines()[1:], places, strict=True)] == [
            True,
            True,
        ]
        volts = re.findall(r"^\[\d+\]:\s+([\d.]+)", run(mbpoll, folder), re.MULTILINE)
        answer = sim.log("export-main")[-1]["values"]
        assert [float(text) for text in volts] == [
            pytest.approx(answer[f"voltage_ln_l{n}"], rel=1e-4) for n in (1, 2, 3)
        ]
        command, *shown = drawn.splitlines()
        assert run(command[2:], folder).splitlines()[: len(shown)] == shown
        for python, script in zip((OURS, os.environ[SUNSPEC]), blocks("python"), strict=True):
            assert "5020" in script
            printed = run([python, "-c", script.replace("5020", port)], folder)
            watts = [
                line["values"]["active_power"] for line in sim.log("pv-inverter") if "active_power" in line["values"]
            ]
            assert float(printed) == float(watts[-1]) > 0
        name = run(inject, folder).strip()
        (fault,) = sim.status()["faults"]
        assert (fault["id"], fault["kind"], fault["target"]) == (name, "dead", "export-main")
    assert json.loads(sim.log_path.read_text().splitlines()[-1])["inject"]["id"] == name
