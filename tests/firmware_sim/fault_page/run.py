"""All cases at once: one simulator, one gateway, and a plain client of each Modbus meter."""

from __future__ import annotations

import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from firmware_sim.meters.value_faults import VALUE_KINDS
from firmware_sim.testing.simulation import Simulation, running
from tests.firmware_sim.fault_page.cases import CASES, CLIENTS, GATEWAYS, SOUND, profiles, scenario, site
from tests.firmware_sim.fault_page.client import PlainClient, outcomes
from tests.firmware_sim.fault_page.recorded import Recorded, recorded
from tests.support.gateways.sites import before, make_site
from tests.support.processes import Server, free_port

BEFORE, AFTER = 3, 14
"""Requests of the gateway to a meter before faults are armed, and with them."""

ANSWERING = SOUND, "cached", "frozen", *(kind for kind in VALUE_KINDS if kind != "swapped-words")
"""Kinds whose meters go on answering, and are read."""


@dataclass(frozen=True)
class Row:
    """What both came to of one kind."""

    kind: str
    client: Mapping[str, Counter[str]] | None
    gateway: Recorded


def rows(folder: Path) -> list[Row]:
    """Run it, in some 20 s."""
    port = free_port()
    with running(base=folder, folder=folder / "plant") as start:
        sim = start(scenario(port), ports={"loggers": port})
        loaded = make_site(folder / "site", site(sim.ready["lines"], port), since_s=before(0), profiles=profiles())
        asked = [case for case in CASES.values() if CLIENTS in case.asks]
        clients = [PlainClient(case, sim.ready["lines"][f"{CLIENTS}{case.kind}"]) for case in asked]
        command = [sys.executable, "-u", "-m", "gateway.cli", "run", str(loaded.path)]
        gateway = Server("gateway", command, "records", folder / "gateway.log")
        gateway.start()
        try:
            with ThreadPoolExecutor(len(clients)) as threads:
                _wait(sim, dict.fromkeys(_counts(sim), 0), BEFORE, [f"{GATEWAYS}{kind}" for kind in CASES])
                list(threads.map(lambda client: client.ask(1), clients))
                _arm(sim)
                armed = _counts(sim)
                list(threads.map(PlainClient.ask, clients))
            _wait(sim, armed, AFTER, [f"{GATEWAYS}{kind}" for kind in ANSWERING])
            assert gateway.stop() == 0
        finally:
            gateway.close()
            for client in clients:
                client.close()
        log = sim.log()
    seen = {client.case.kind: outcomes(client.case, client.reads, log, _first(client)) for client in clients}
    found = recorded(loaded, list(CASES.values()), log)
    return [Row(kind, seen.get(kind), one) for kind, one in zip(CASES, found, strict=True)]


def _first(client: PlainClient) -> int:
    """The read from which on the fault was armed: behind the first round, and one that another fault took."""
    return len(client.reads) // 4 + len(client.case.behind)


def _arm(sim: Simulation) -> None:
    """Arm all faults."""
    for case in CASES.values():
        for who in case.asks if case.kind != SOUND else ():
            for kind in case.behind:
                sim.inject(f"{who}{case.kind}", kind, count=1)
            sim.inject(f"{who}{case.kind}", case.kind, **case.keys)


def _wait(sim: Simulation, since: Mapping[str, int], requests: int, meters: Sequence[str]) -> None:
    """Wait until each of these meters got so many more requests than it had, or sent so many more messages."""
    deadline = time.monotonic() + 60
    while any(now - since[name] < requests for name, now in _counts(sim).items() if name in meters):
        assert time.monotonic() < deadline, _counts(sim)
        time.sleep(0.1)


def _counts(sim: Simulation) -> dict[str, int]:
    meters = [meter for bus in sim.status()["buses"] for meter in bus["meters"]]
    return {m["name"]: m["answers"] if m["requests"] is None else m["requests"] for m in meters}
