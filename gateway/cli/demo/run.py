"""Command `meterseal demo`: simulated meters, gateway and ledger as child processes, then proofs of the records.

Everything stays in one folder. The parts are the shipped commands, started and walked through as a user would; this
file only starts, watches and ends them, and balances the books afterwards (cli/demo/balance.py).
"""

from __future__ import annotations

import json
import re
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live

from gateway.cli.demo import finish
from gateway.cli.demo.balance import account, read_answers
from gateway.cli.demo.parts import Place, end, end_with_parts, enrol, start, start_ledger, wait_for
from gateway.cli.demo.view import summary_text, view
from gateway.commissioning import site_init
from gateway.commissioning.shipped_files import shipped
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.dashboard.auth import setup
from gateway.errors import GatewayError
from gateway.evidence import prove
from gateway.messages.message import Message
from gateway.process.console import console
from gateway.status.collect import collect
from gateway.status.readings import ReadingValue, recorded_values
from gateway.status.status import Status
from gateway.storage.database import Database
from ledger_client.errors import VerificationError
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.verify import verify

ANCHOR_WITHIN_S = 60.0


def main(folder: Path, seconds: float | None, *, as_json: bool) -> int:
    """Run for ``seconds`` (None: until Ctrl-C), then prove, verify and sum up. Returns the exit code."""
    out = console(stderr=as_json)
    place = Place.begin(folder)
    end_with_parts()
    with ExitStack() as children:
        out.print(f"setting up a plant, a gateway and a ledger in {folder} …")
        wires = ("--dir", place.folder, "--log", place.answers, "--ready", place.ready, "--port", "inverter=0")
        plant = start(children, place, "plant", "firmware_sim.cli", "run", shipped("demo/plant.toml"), *wires)
        ledger, listens = start_ledger(children, place)
        config = _site(place, listens, plant)
        pages = setup.demonstrate(config)
        gateway = start(children, place, "gateway", "gateway.cli", "run", config.path)
        try:
            pages |= {"address": _pages(place, gateway)}
            out.print(f"pages at {pages['address']}  user {pages['user']}, password {pages['password']}")
            _watch(config, seconds, out, {"plant": plant, "ledger": ledger, "gateway": gateway}, place)
        except KeyboardInterrupt:
            out.print("\nending: sealing and anchoring the last records …")
        end(gateway)
        finish.finish(config, within_s=ANCHOR_WITHIN_S)
        end(plant)
        summary = _sum_up(config, place) | {"pages": pages}
    if as_json:
        print(json.dumps(summary))
    else:
        out.print(summary_text(summary))
    return 0 if summary["lost"] == 0 and summary["verified"] else 1


def _site(place: Place, ledger: str, plant: subprocess.Popen[bytes]) -> Config:
    """What an installer does: init, and enrol at the ledger."""
    wires = json.loads(
        wait_for("simulated plant", place, "plant", plant, lambda: place.ready.exists() and place.ready.read_text())
    )
    serial, tcp = wires["lines"]["rs485-1"], wires["lines"]["inverter"]
    site_init.init(
        place.site,
        site_init.NewSite(
            gateway="demo-gateway",
            now_s=int(time.time()),
            port=serial["port"],
            sunspec_port=tcp["port"],
            every="2s",
            co2_every="5s",  # its status registers leave no second shape: not more often than an answer lives
            seal_every="10s",
            ledger_url=ledger,
        ),
    )
    config = load_config(place.site / "gateway.toml")
    enrol(config, place)
    return config


def _pages(place: Place, gateway: subprocess.Popen[bytes]) -> str:
    """Where the gateway's pages are, as its log says."""
    log, pattern = place.logs / "gateway.log", re.compile(r"pages at (http://\S+)")
    return str(wait_for("gateway", place, "gateway", gateway, lambda: pattern.search(log.read_text()))[1])


def _watch(
    config: Config, seconds: float | None, out: Console, parts: dict[str, subprocess.Popen[bytes]], place: Place
) -> None:
    """Show what happens until the time is over; a part that ends by itself ends the demonstration with its log."""
    wait_for("gateway", place, "gateway", parts["gateway"], config.database.exists)
    deadline = time.monotonic() + seconds if seconds is not None else None
    with Live(console=out, refresh_per_second=2, transient=False) as live:
        while deadline is None or time.monotonic() < deadline:
            for name, process in parts.items():
                if process.poll() is not None:
                    tail = (place.logs / f"{name}.log").read_text(errors="replace")[-2000:].strip()
                    raise GatewayError(Message("demo-part-ended", part=name, log=tail))
            if out.is_terminal:
                live.update(view(*_look(config), deadline and deadline - time.monotonic()))
            time.sleep(0.5)


def _look(config: Config) -> tuple[Status, list[ReadingValue]]:
    store = Database(config.database, read_only=True)
    try:
        status = collect(config, store, int(time.time() * 1000))
        return status, recorded_values([row for name in config.meters for row in store.records.readings(name, 1)])
    finally:
        store.close()


def _sum_up(config: Config, place: Place) -> dict[str, Any]:
    store, trust = Database(config.database, read_only=True), load_trust(config.trust)
    balances = account(store, read_answers(place.answers))
    proofs = []
    for name in config.meters:
        row = store.records.newest_anchored(name)
        if row is None:
            proofs.append({"meter": name, "verified": False, "error": "no anchored reading"})
            continue
        file = place.folder / f"{name}.mseal"
        file.write_bytes(prove.prove(store, row))
        proof: dict[str, Any] = {"meter": name, "record": row.id, "bundle": str(file), "verified": True}
        try:
            facts = verify(file.read_bytes(), trust, int(time.time()), kind="reading")
            proof |= {
                "time": facts.time_ms,
                "no_later_than": facts.no_later_than,
                "batch": facts.batch,
                "values": len(facts.values),
            }
        except VerificationError as error:
            proof |= {"verified": False, "error": f"{type(error).__name__}: {error}"}
        proofs.append(proof)
    totals = store.totals()
    store.close()
    return {
        "records": totals["records"],
        "readings": totals["readings"],
        "batches": totals["batches"],
        "receipts": totals["receipts"],
        "due": sum(b.due for b in balances.values()),
        "missed": sum(b.missed for b in balances.values()),
        "lost": sum(b.lost for b in balances.values()),
        "verified": all(proof["verified"] for proof in proofs),
        "bundle": proofs[0].get("bundle"),
        "trust": str(config.trust),
        "config": str(config.path),
        "proofs": proofs,
    }
