"""SIGKILL of every part of a running control room: receivers, JetStream leaders of a cluster of three, PostgreSQL,
gateways; and the books of the whole fleet afterwards.

Gateways with simulated meters publish through three nats-servers to two receivers. Again and again, at a moment of a
seeded chance, one part is killed and comes up again after a moment of a seeded chance; of the nats-servers it is the
one that leads the stream of the MQTT messages, or its consumer. Now and then, and at the end, every gateway's newest
sealed batch is waited for until it is proven, and the gateways' own databases are compared with the control room's,
record by record. ``violations`` must be empty: nothing lost, nothing twice, nothing refused or forked, no hole, and the
archive passes the audit.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from tests.support.brokers.nats import Node
from tests.support.fleet.books import books, holes, is_proven, proven, sealed
from tests.support.fleet.site import Fleet, Size, fleet
from tests.support.processes import Server

SMALLEST = ({"kills": 4, "seed": 7, "gateways": 2},)
VICTIMS = "receiver", "leader", "database", "gateway"
STREAM = "$MQTT_msgs"
HUNG, MOST_HUNG = "node that took no client when it was back", 10
"""nats-server (2.10): now and then one that was killed answers no MQTT client afterwards; killed again it does."""
LED_WITHIN_S, PROVEN_WITHIN_S = 60.0, 600.0
_BALANCED_EVERY = 30
_LONGEST_PAUSE_S, _LONGEST_DOWN_S = 1.5, 1.0


def run(kills: int = 300, seed: int = 1, gateways: int = 6) -> dict[str, Any]:
    """``kills``: of each kind of part a quarter, in turn."""
    size = Size(gateways, meters=3, every="200ms", seal_every="3s", nodes=3, receivers=2)
    with TemporaryDirectory() as name, fleet(Path(name), size) as running:
        campaign = _Kills(running, Random(seed))
        for number in range(1, kills + 1):
            campaign.play(VICTIMS[number % len(VICTIMS)])
            if number % _BALANCED_EVERY == 0:
                print(number, campaign.counts(), campaign.balance(), campaign.violations, file=sys.stderr, flush=True)
        figures = campaign.balance()
        campaign.audit()
        return {"kills": kills, "seed": seed, "killed": campaign.counts(), **figures, "violations": campaign.violations}


class _Kills:
    def __init__(self, running: Fleet, chance: Random) -> None:
        self._running, self._chance = running, chance
        self._counts: Counter[str] = Counter()
        self.violations: list[str] = []

    def play(self, victim: str) -> None:
        """Kill one part at a moment of chance, and let it come up again."""
        time.sleep(self._chance.uniform(0, _LONGEST_PAUSE_S))
        server, what = self._victim(victim)
        server.kill()
        time.sleep(self._chance.uniform(0, _LONGEST_DOWN_S))
        server.start()
        self._counts[what] += 1
        if isinstance(server, Node):
            self._demand_clients(server)

    def _demand_clients(self, node: Node) -> None:
        """A node that takes no clients is killed again, and counted."""
        while not node.takes_clients():
            assert self._counts[HUNG] < MOST_HUNG, node.log.read_text()[-2000:]
            self._counts[HUNG] += 1
            node.kill()
            node.start()

    def balance(self) -> dict[str, Any]:
        """Wait for what is sealed to be proven, and compare."""
        until = [sealed(edge.loaded) for edge in self._running.edges]
        deadline = time.monotonic() + PROVEN_WITHIN_S
        while not is_proven(self._running.database, until):
            if time.monotonic() > deadline:
                found = proven(self._running.database)
                short = {one.gateway: (one.batch, sorted(found.get(one.gateway, {}))[-3:]) for one in until}
                self.violations.append(f"not proven within {PROVEN_WITHIN_S:g} s: {short}, {holes(self._running)[:5]}")
                break
            time.sleep(0.2)
        figures = books(self._running, until)
        if not figures.closed:
            self.violations.append(f"the books do not close: {figures}")
        return asdict(figures)

    def audit(self) -> None:
        """What the archive's audit finds."""
        for gateway, answer in self._running.audit().items():
            if answer.code != 0:
                self.violations.append(f"audit of {gateway}: {answer.output[-2000:]}")

    def counts(self) -> dict[str, int]:
        """How often each kind of part was killed."""
        return dict(sorted(self._counts.items()))

    def _victim(self, kind: str) -> tuple[Server, str]:
        running, chance = self._running, self._chance
        if kind == "receiver":
            return chance.choice(running.receivers), kind
        if kind == "gateway":
            return chance.choice(running.edges).process, kind
        if kind == "database":
            return running.database.cluster, kind
        leads = chance.choice(["stream", "consumer"])
        return self._leader(leads), f"leader of the {leads}"

    def _leader(self, leads: str) -> Node:
        """The node that leads the stream, or its consumer; while nobody does, it is asked again."""
        for _ in range(MOST_HUNG):
            deadline = time.monotonic() + LED_WITHIN_S
            while time.monotonic() < deadline:
                for node in self._running.nodes:
                    if leads == "stream" and STREAM in node.leads():
                        return node
                    if leads == "consumer" and node.leads_consumer(STREAM):
                        return node
                time.sleep(0.1)
            for node in self._running.nodes:
                self._demand_clients(node)
        raise AssertionError(f"no node leads the {leads} of {STREAM}")
