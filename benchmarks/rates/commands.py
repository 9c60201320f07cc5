"""What a command costs before it answers, as CPU time beside ``import click`` in the same run; and what a start costs.

A ratio is the median of ``runs`` rounds; in each every command runs once, in a process of its own, ``import click``
among them. The site is that of `meterseal init`, the proof one of the tests' own.

``first_reading_cpu_s``, ``first_reading_s``: what `meterseal run` uses, and how long it takes, from its start to the
first durable reading of a Modbus TCP meter, keys and database being there. ``resident_mb``: its memory then.
"""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from gateway.config.load import load_config
from gateway.storage.database import Database
from tests.support.commands import gateway_command
from tests.support.evidence import Site, trust_text
from tests.support.gateways.farm import farm
from tests.support.gateways.tcp_gateway import tcp_site
from tests.support.gateways.weight import cpu_s, weigh

CLICK = "click"
WITHIN_S = 30.0
SMALLEST = ({"runs": 1},)


def run(runs: int = 7) -> dict[str, object]:
    """``runs`` rounds of the commands, and as many starts."""
    with tempfile.TemporaryDirectory() as name:
        commands = _commands(Path(name))
        rounds = [{each: _cpu_ms(words) for each, words in commands.items()} for _ in range(runs)]
        starts = [_start(Path(name) / f"start-{n}") for n in range(runs)]
    ratios = {
        f"{each}_ratio": statistics.median(taken[each] / taken[CLICK] for taken in rounds)
        for each in commands
        if each != CLICK
    }
    return {
        **ratios,
        "click_ms": statistics.median(taken[CLICK] for taken in rounds),
        **{figure: statistics.median(start[figure] for start in starts) for figure in starts[0]},
        "runs": runs,
    }


def _commands(folder: Path) -> dict[str, list[str]]:
    """By name: what is run. Files are made in the folder."""
    assert gateway_command("init", folder / "site").code == 0
    config = folder / "site" / "gateway.toml"
    Database(load_config(config).database).close()
    (folder / "proof.mseal").write_bytes(Site().build())
    (folder / "trust.toml").write_text(trust_text())
    meterseal, ledger = [sys.executable, "-m", "gateway.cli"], [sys.executable, "-m", "ledger_client.cli"]
    return {
        CLICK: [sys.executable, "-c", "import click"],
        "help": [*meterseal, "--help"],
        "version": [*meterseal, "--version"],
        "keys": [*meterseal, "keys", str(config)],
        "status": [*meterseal, "status", str(config)],
        "ledger_help": [*ledger, "--help"],
        "verify": [*ledger, "verify", str(folder / "proof.mseal"), "--trust", str(folder / "trust.toml")],
    }


def _cpu_ms(words: list[str]) -> float:
    """CPU time of one process. What it answers does not count: a gateway that does not run is a problem to `status`."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(words, capture_output=True, text=True, env=os.environ | {"PYTHONDONTWRITEBYTECODE": ""})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode in (0, 1), done.stderr
    assert "Traceback" not in done.stderr, done.stderr
    return 1000 * (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)


def _start(folder: Path) -> dict[str, float]:
    """A gateway of one meter, until its first reading is durable."""
    folder.mkdir()
    with farm(1) as plant:
        config = tcp_site(folder, plant.ports)
        Database(config.database).close()
        store = Database(config.database, read_only=True)
        with (folder / "log").open("w") as log:
            began = time.monotonic()
            gateway = subprocess.Popen([sys.executable, "-m", "gateway.cli", "run", str(config.path)], stderr=log)
        try:
            while not store.totals()["readings"]:
                assert gateway.poll() is None, (folder / "log").read_text()
                assert time.monotonic() - began < WITHIN_S, (folder / "log").read_text()
                time.sleep(0.01)
            wall = time.monotonic() - began
            return {
                "first_reading_cpu_s": cpu_s(gateway.pid),
                "first_reading_s": wall,
                "resident_mb": weigh(gateway.pid).resident_mb,
            }
        finally:
            gateway.terminate()
            gateway.wait()
            store.close()
