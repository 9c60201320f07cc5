"""``meterseal-sim compare`` of two readers of the plant ``hell``, each on its own line: our gateway, which may have
nothing wrong and nothing missing unsaid, and thirty lines over pymodbus, which have both.

Of the gateway what it exports is judged: its readings as CSV, and what an audit of its batches counts as missed.
``standing_…``: values of the meter that is frozen, of which all are faithful whose truth has moved.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gateway.cli.demo import finish
from gateway.config.model import Config
from tests.campaigns.simulator.waiting import until_ready
from tests.support.commands import audit_exports
from tests.support.gateways.apart import apart
from tests.support.gateways.sites import before, bus_table, make_site, meter_table, over_http, table
from tests.support.processes import EmbeddedLedger, Server, embedded_ledger

ROOT = Path(__file__).resolve().parents[3]
HELL = ROOT / "configs" / "plants" / "hell" / "plant.toml"
ENERGY = {
    "sound": 11, "standing": 21, "untrue": 31, "damaged": 41, "untimely": 51, "absent": 61, "exchanged": 71,
    "sensing": 81, "miswired": 91, "recounted": 101,
}  # fmt: skip
PROBE, PROBE_UNIT = "probe", 240
EVERY_S, NAIVE_EVERY_S = {**dict.fromkeys(ENERGY, 5), PROBE: 11}, dict.fromkeys(ENERGY, 2)
"""The probe's registers can be asked in one shape alone: its next poll waits until no answer to the last can come."""
SMALLEST: tuple[Mapping[str, Any], ...] = ({"seconds": 30.0},)
"""The frozen meter, late answers and lost ones have struck by then."""


def run(seconds: float = 900.0, seed: int = 20261202) -> dict[str, Any]:
    """Both read for so long."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with embedded_ledger(folder / "ledger", "hell-ledger") as ledger:
            ours = _site(folder / "site", folder / "ours", ledger)
            with _plant(folder / "ours", seed), _plant(folder / "naive", seed):
                _read(folder, ours, seconds)
            finish.finish(ours, within_s=60.0)
        gateway, script = _ours(folder, ours), _naive(folder)
        standing = _meter(gateway, "standing")
        return {
            "seconds": seconds,
            **{f"ours_{what}": gateway[what] for what in _SHOWN},
            "ours_wrong_by": gateway["wrong_by"],
            "ours_unsaid_by": _unsaid(gateway),
            "standing_faithful": standing["faithful_flagged"] + standing["faithful_unflagged"],
            "standing_right": standing["right"],
            "standing_wrong": standing["wrong"],
            **{f"naive_{what}": script[what] for what in _SHOWN},
            "naive_wrong_by": script["wrong_by"],
        }


_SHOWN = "right", "right_flagged", "faithful", "wrong", "missing_said", "missing_unsaid", "doubled"


def _read(folder: Path, ours: Config, seconds: float) -> None:
    command = [sys.executable, "-m", "tests.campaigns.simulator.naive_reader", str(folder / "naive" / "hell")]
    command += [str(seconds), str(min(NAIVE_EVERY_S.values())), str(folder / "naive.csv")]
    command += [f"{name}={unit}" for name, unit in ENERGY.items()]
    gateway = Server("gateway", [sys.executable, "-u", "-m", "gateway.cli", "run", str(ours.path)], "records",
                     folder / "gateway.log")  # fmt: skip
    gateway.start()
    try:
        script = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        try:
            time.sleep(seconds)
            assert script.wait(60) == 0
        finally:
            script.kill()
            script.wait()
        assert gateway.stop() == 0
    finally:
        gateway.close()


def _site(folder: Path, plant: Path, ledger: EmbeddedLedger) -> Config:
    meters = [meter_table(name, "eastron-sdm630", unit, f"{EVERY_S[name]}s") for name, unit in ENERGY.items()]
    meters.append(meter_table(PROBE, "vaisala-gmp252", PROBE_UNIT, f"{EVERY_S[PROBE]}s"))
    line = {"port": str(plant / "hell"), "baudrate": 19200, "stopbits": 1, "timeout": "300ms"}
    line["answer_life"] = f"{2 * EVERY_S['untimely']}s"  # ``shifted`` holds an answer back until the next poll
    bus = bus_table("hell", "modbus-rtu", meters, **line)
    return make_site(folder, table("seal", every="10s"), bus, since_s=before(0), ledgers=over_http(ledger))


@contextmanager
def _plant(folder: Path, seed: int) -> Iterator[None]:
    folder.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "firmware_sim.cli", "run", str(HELL), "--dir", str(folder), "--seed", str(seed)]
    command += ["--log", str(folder / "log.jsonl"), "--ready", str(folder / "ready.json")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until_ready(folder / "ready.json", process)
        yield
    finally:
        process.terminate()
        process.wait()


def _ours(folder: Path, ours: Config) -> dict[str, Any]:
    exported = apart("gateway.cli", "readings", ours.path, "-o", folder / "ours.csv")
    assert exported.code == 0, exported
    audit = audit_exports(ours)
    (folder / "audit.json").write_text(json.dumps(audit))
    return _compared(folder / "ours", EVERY_S, folder / "ours.csv", "--missed", folder / "audit.json")


def _naive(folder: Path) -> dict[str, Any]:
    (folder / "naive.toml").write_text(f'[ignore]\nmeters = ["{PROBE}"]\n')
    return _compared(folder / "naive", NAIVE_EVERY_S, folder / "naive.csv", "--map", folder / "naive.toml")


def _compared(plant: Path, every_s: Mapping[str, int], readings: Path, *more: object) -> dict[str, Any]:
    every = [f"--every={name}={period_s}" for name, period_s in every_s.items()]
    done = apart("firmware_sim.cli", "compare", plant / "log.jsonl", readings, *every, *more, "--json")
    assert done.code in (0, 1), done
    for example in done.facts["examples"]:
        print(readings.name, example, file=sys.stderr)
    return done.facts


def _unsaid(facts: Mapping[str, Any]) -> dict[str, int]:
    """What is missing and was not said, by meter and fault."""
    rows = [(meter["meter"], row) for meter in facts["meters"] for row in meter["faults"]]
    return {f"{meter} {row['fault']}": row["missing_unsaid"] for meter, row in rows if row["missing_unsaid"]}


def _meter(facts: Mapping[str, Any], name: str) -> dict[str, int]:
    rows = next(meter["faults"] for meter in facts["meters"] if meter["meter"] == name)
    return {what: sum(row[what] for row in rows) for what in rows[0] if what != "fault"}
