"""Meters that do not speak Modbus, from the wire to a verified bundle, with real processes: one on a serial line, one
behind a DTU that dials in, and a data logger of an emission monitor."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.storage.database import Database
from tests.support.gateways.apart import apart
from tests.support.processes import embedded_ledger, free_port
from tests.system.demo_site import GatewayProcess, plant, until

MN = "010000A8900016F000169DC0"
SCENARIO = """
[plant]
seed = 4
[plant.stack]
fuel_kg_h = 5000

[[bus]]
name = "grid"
type = "dlt645"
port = "grid"
baudrate = 19200
  [[bus.meter]]
  name = "grid-main"
  profile = "dlt645-three-phase"
  address = "000000012345"

[[bus]]
name = "pump"
type = "dlt645"
dial = "127.0.0.1:{dtu}"
hello = "DTU-0017"
heartbeat = "hex:FEFE"
heartbeat_ms = 400
redial_ms = 200
baudrate = 19200
  [[bus.meter]]
  name = "pump-main"
  profile = "dlt645-single-phase"
  single_phase = true
  address = "201512000842"

[[bus]]
name = "cems"
type = "hj212"
port = {cems}
  [[bus.meter]]
  name = "stack-1"
  address = "{mn}"
  realtime_s = 1
  timeout_s = 1.0
  reconnect_s = 0.2
"""
SITE = """
[gateway]
id = "test-gateway"
[store]
commit_every = "200ms"
[seal]
every = "2s"

[[bus]]
name = "grid"
type = "dlt645"
port = "{port}"
baudrate = 19200
parity = "N"                       # a pseudo-terminal carries none
timeout = "500ms"
answer_life = "300ms"
  [[bus.meter]]
  name = "grid-main"
  profile = "dlt645-three-phase"
  address = "000000012345"
  points = ["energy_import", "voltage_ln_l1"]
  every = "2s"

[[bus]]
name = "pump"
type = "dlt645"
listen = "127.0.0.1:{dtu}"
hello = "DTU-0017"
heartbeat = "hex:FE FE"
timeout = "500ms"
answer_life = "300ms"
  [[bus.meter]]
  name = "pump-main"
  profile = "dlt645-single-phase"
  address = "201512000842"
  points = ["energy_import", "voltage_ln_l1"]
  every = "2s"

[[bus]]
name = "cems"
type = "hj212"
listen = "127.0.0.1:{cems}"
  [[bus.meter]]
  name = "stack-1"
  profile = "hj212-cems-realtime"
  address = "{mn}"
  password = "123456"
  every = "1s"
  role = "emission"

[[ledger]]
name = "{ledger}"
type = "http"
url = "{url}"
"""
METERS = ("grid-main", "pump-main", "stack-1")


def site(folder: Path, text: str, ledger_folder: Path) -> Config:
    """Keys, enrolment and the ledger's key, as the README has it for a site without `init`."""
    folder.mkdir()
    path = folder / "gateway.toml"
    path.write_text(text)
    request = folder / "keys" / "gateway.enrol"
    for line in (
        ("gateway.cli", "keys", path, "--make-missing"),
        ("ledger_client.cli", "enroll", ledger_folder, request, "--yes"),
    ):
        done = apart(*line)
        assert done.code == 0, done.err
    with (folder / "trust.toml").open("a") as trust:
        trust.write("\n" + apart("ledger_client.cli", "show", ledger_folder, "--trust").out)
    return load_config(path)


def log_of(path: Path, meter: str) -> list[dict[str, Any]]:
    """What the simulator wrote down of a meter."""
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    return [entry for entry in entries if entry["meter"] == meter]


def test_from_the_wire_to_a_verified_bundle(tmp_path: Path) -> None:
    scenario, dtu, cems = tmp_path / "plant.toml", free_port(), free_port()
    scenario.write_text(SCENARIO.format(dtu=dtu, cems=cems, mn=MN))
    with (
        plant(tmp_path / "plant", scenario, "cems") as meters,
        embedded_ledger(tmp_path / "ledger", "demo-ledger") as ledger,
    ):
        text = SITE.format(
            port=meters.lines()["grid"]["port"], dtu=dtu, cems=cems, mn=MN, ledger=ledger.name, url=ledger.url
        )
        loaded = site(tmp_path / "site", text, ledger.folder)
        checked = apart("gateway.cli", "check", loaded.path)
        assert checked.code == 0, checked.err
        assert "identifier 0001FF00" in checked.out
        assert "CN 2011, sent by itself" in checked.out
        demand_read(loaded, "grid-main", {"energy_import", "voltage_ln_l1"})
        assert "for its DTU to connect" in demand_read(loaded, "pump-main", {"energy_import", "voltage_ln_l1"})
        assert "for a message" in demand_read(loaded, "stack-1", {"oxygen", "temperature"})

        gateway = GatewayProcess(loaded, dict(os.environ))
        gateway.start()
        try:
            store = until("a database", lambda: loaded.database.exists()) and Database(loaded.database, read_only=True)
            until("a receipt for each meter", lambda: all(store.records.newest_anchored(m) for m in METERS))
            store.close()
            for meter in METERS:
                demand_proof(loaded, meter, tmp_path / f"{meter}.mseal")
            inside = apart("gateway.cli", "read", loaded.path, "stack-1")
            assert (inside.code, "it sends by itself" in inside.err) == (2, True), inside.err
            found = {f["check"]: f for f in apart("gateway.cli", "doctor", loaded.path, "--json").facts["checks"]}
            assert found["line cems"]["facts"] == found["line pump"]["facts"] == {"connected": ["127.0.0.1"]}
        finally:
            assert gateway.stop() == 0
    demand_all_acknowledged_is_recorded(loaded, meters.answers)


def demand_read(loaded: Config, meter: str, names: set[str]) -> str:
    """`read` shows these values of a meter, and no word of Modbus. Gives what it said meanwhile."""
    once = apart("gateway.cli", "read", loaded.path, meter, "--json")
    assert once.code == 0, once.err
    assert names <= {value["name"] for value in once.facts["values"] if value["raw"]}
    shown = apart("gateway.cli", "read", loaded.path, meter)
    assert (shown.code, "register" in shown.out, "function" in shown.out) == (0, False, False), shown.out
    return shown.err


def demand_proof(loaded: Config, meter: str, bundle: Path) -> None:
    """The newest anchored reading of a meter is proven and verified with its values."""
    until(
        f"a bundle of {meter}",
        lambda: apart("gateway.cli", "prove", loaded.path, meter, "-o", bundle).code == 0,
    )
    done = apart("ledger_client.cli", "verify", bundle, "--trust", loaded.trust, "--json")
    assert done.code == 0, done.out
    facts = done.facts
    assert (facts["verified"], facts["meter"], facts["kind"]) == (True, meter, "reading")


def demand_all_acknowledged_is_recorded(loaded: Config, log: Path) -> None:
    """Each message that the logger got 9014 for is a record, and none is two."""
    store = Database(loaded.database, read_only=True)
    readings = {meter: store.records.readings(meter, 1000) for meter in METERS}
    store.close()
    entries = log_of(log, "stack-1")
    sent = {entry["qn"] for entry in entries if "sent" in entry}
    acknowledged = {entry["qn"] for entry in entries if entry.get("received") == "9014"}
    assert 2 <= len(acknowledged) <= len(readings["stack-1"]) <= len(sent)
    assert min(map(len, readings.values())) >= 2
