"""The example of a coal unit and a hydro station: its files are taken as they are, and its simulator's meters read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

from ledger_client.verification.trust_text import key_entry
from tests.support.evidence import key
from tests.support.ledger_site import until
from tests.support.processes import free_port
from tests.system.demo_site import PATIENCE_S, ROOT

EXAMPLE = ROOT / "configs" / "coal-and-hydro"


def command(package: str, *words: object) -> str:
    """What a command prints that ends well."""
    done = subprocess.run(
        [sys.executable, "-m", f"{package}.cli", *map(str, words)],
        capture_output=True, text=True, timeout=PATIENCE_S, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_example_is_checked_simulated_and_read(tmp_path: Path) -> None:
    site = tmp_path / "site"
    shutil.copytree(EXAMPLE, site)
    ports = {
        5511: ("coal-unit", free_port()),
        5512: ("hydro-station", free_port()),
        5513: ("auxiliary-supply", free_port()),
    }
    config = site / "gateway.toml"
    text = config.read_text()
    for port, (_, other) in ports.items():
        assert text.count(f"port = {port}\n") == 1
        text = text.replace(f"port = {port}\n", f"port = {other}\n")
    config.write_text(text)
    command("gateway", "keys", config, "--make-missing")
    with (site / "trust.toml").open("a") as trust:
        trust.write(key_entry("ledger", key("demo-ledger").public, 0, ledger="demo-ledger"))
    command("gateway", "check", config)
    checked = json.loads(command("gateway", "plan", "check", config, "--json"))
    assert checked["problems"] == []
    assert {one["best"] for one in checked["nodes"]} == {"measured"}
    scenario, ready = site / "plant.toml", tmp_path / "ready"
    wires = [word for name, port in ports.values() for word in ("--port", f"{name}={port}")]
    plant = subprocess.Popen(
        [sys.executable, "-m", "firmware_sim.cli", "run", scenario, "--dir", tmp_path, "--ready", ready, *wires]
    )
    try:
        assert until(ready.exists)
        for meter, point in (("hydro", "energy_export"), ("unit", "mass_total"), ("auxiliary", "energy_import")):
            read = json.loads(command("gateway", "read", config, meter, "--json"))
            assert read["failures"] == []
            assert {value["name"]: value["value"] for value in read["values"]}[point] >= 310_000
    finally:
        plant.terminate()
        plant.wait(PATIENCE_S)
