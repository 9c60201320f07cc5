"""Makes the site of a former release that test_former_site.py reads: ``python -m tests.system.make_former_site``.

The files in ``former_site/`` are of the first release, 0.1.0, and are not made again once that is tagged: they stand
for what gateways in the field hold. A release that changes a format gets a second site beside them, made by the release
before it.

The shipped commands run as in the field: a simulated plant, a ledger, a broker with two feeds, and the gateway twice.
Meters fall silent and come back, so that there are alarms; at the end they are silent, so that alarms stand. The clock
of all these processes says 2025, shortly before a full hour, so that no machine that reads the site is behind it.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from datetime import datetime
from pathlib import Path
from typing import Any

from gateway.cli.demo import finish
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.dashboard.auth.setup import set_user
from tests.support.books import check_all_is_sealed, check_books
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger, mosquitto
from tests.support.samples import rewritten
from tests.system.demo_site import GatewayProcess, Plant, make_site, plant, until
from tests.system.former_site import PLACE, write_down

EVERY, SEAL_EVERY, FIRST_S, SECOND_S = "5s", "20s", 70.0, 75.0
PASSWORD = "a-password-for-tests"
METER = "export-main"
POINTS = {
    METER: '["voltage_ln_l1", "active_power_total", "energy_import", "energy_export"]',
    "pv-inverter": '["active_power", "energy_export", "frequency"]',
}
BEGIN = datetime.fromisoformat("2025-01-15T09:58:45Z")
SHIFT = """import time
_time, _time_ns = time.time, time.time_ns
time.time, time.time_ns = lambda: _time() - {0}, lambda: _time_ns() - {0} * 10**9
"""
"""A ``sitecustomize`` module: the clock of a Python process is so many seconds behind."""
MORE = """
[[feed]]
name = "scada"
type = "sparkplug"
group = "plants"
url = "{url}"

[[feed]]
name = "house"
type = "json"
url = "{url}"

[web]
listen = "127.0.0.1:0"
"""


def status(loaded: Config) -> dict[str, Any]:
    """What ``meterseal status --json`` says."""
    facts: dict[str, Any] = apart("gateway.cli", "status", loaded.path, "--json").facts
    return facts


def configure(loaded: Config, broker_url: str) -> Config:
    """Few points, so that it stays small; two feeds and pages; nothing is pruned; no path of one machine only."""
    (port,) = (bus.port for bus in loaded.document.bus if bus.serial)
    changes = [(f'port = "{port}"', 'port = "rs485-1"')]
    changes += [('commit_every = "1s"', 'commit_every = "1s"\nkeep = "36500d"')]
    changes += [(f'name = "{meter}"', f'name = "{meter}"\n  points = {points}') for meter, points in POINTS.items()]
    after = rewritten(loaded, *changes)
    with after.path.open("a") as file:
        file.write(MORE.format(url=broker_url))
    set_user(after, "installer-1", "installer", PASSWORD)
    return load_config(after.path)


def live(loaded: Config, meters: Plant) -> None:
    """Two lives of the gateway; in the second all meters fall silent, come back, and fall silent again at the end."""
    (inverter,) = (bus.port for bus in loaded.document.bus if not bus.serial)
    for seconds in (FIRST_S, SECOND_S):
        gateway = GatewayProcess(loaded)
        gateway.start()
        time.sleep(seconds)
        if seconds == SECOND_S:
            silence(loaded, meters)
            meters.command[meters.command.index("inverter=0")] = f"inverter={inverter}"
            meters.start()
            until("the end of the alarms", lambda: not standing(loaded))
            time.sleep(10)
            silence(loaded, meters)
        assert gateway.stop() == 0


def silence(loaded: Config, meters: Plant) -> None:
    meters.close()
    until("alarms of silence", lambda: {"line-down", "site-silent"} & standing(loaded))


def standing(loaded: Config) -> set[str]:
    """Codes of the alarms about silence that stand."""
    return {alarm["code"] for alarm in status(loaded)["alarms"]} & {"line-down", "site-silent", "comms-lost"}


def take_out(loaded: Config, folder: Path) -> None:
    """What an operator takes out of it: batch files, a proof of each meter, the readings, the status."""
    answers = [apart("gateway.cli", "export", loaded.path, "-o", f"{folder / 'exports'}/")]
    for meter in loaded.meters:
        answers.append(apart("gateway.cli", "prove", loaded.path, meter, "-o", folder / f"{meter}.mseal"))
    for form in ("csv", "jsonl"):
        arguments = ("--from", "2020-01-01T00:00:00Z", "-o", folder / f"readings.{form}")
        answers.append(apart("gateway.cli", "readings", loaded.path, *arguments))
    assert [x.err for x in answers if x.code] == []
    facts = {"status": status(loaded), "fingerprint": loaded.fingerprint().hex()}
    (folder / "facts.json").write_text(json.dumps(facts, indent=1) + "\n")


def main() -> None:
    """Make it in a temporary folder, check it, write it down."""
    if PLACE.exists():
        sys.exit(f"{PLACE} is there, and is not made again")
    with tempfile.TemporaryDirectory() as name:
        whole = Path(name) / "whole"
        with (
            embedded_ledger(whole / "ledger", "demo-ledger") as ledger,
            mosquitto(Path(name) / "broker") as broker,
            plant(whole / "site") as meters,
        ):
            made = make_site(whole / "site", meters, ledger, every=EVERY, inverter_every=EVERY, seal_every=SEAL_EVERY)
            loaded = configure(made, broker.url)
            live(loaded, meters)
            finish.finish(loaded, within_s=30)
            assert ledger.stop() == 0
        check_books(loaded)
        check_all_is_sealed(loaded)
        take_out(loaded, whole)
        write_down(whole, PLACE)


def by_another_clock() -> None:
    """Begin this program anew, with its children, at ``BEGIN``."""
    with tempfile.TemporaryDirectory() as name:
        behind_s = int(time.time() - BEGIN.timestamp())
        Path(name, "sitecustomize.py").write_text(SHIFT.format(behind_s))
        os.environ["PYTHONPATH"] = name
        sys.exit(os.spawnv(os.P_WAIT, sys.executable, [sys.executable, "-m", __spec__.name, "now"]))


if __name__ == "__main__":
    main() if sys.argv[1:] == ["now"] else by_another_clock()
