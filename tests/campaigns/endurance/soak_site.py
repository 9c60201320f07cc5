"""The world of a soak: two gateways with ten plants each, two ledgers, a broker, a bad wire, and what strikes them."""

from __future__ import annotations

import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median, mode

from gateway.cli.demo import finish
from gateway.storage.database import Database
from ledger_client.ledgers.http import HttpLedger
from tests.campaigns.endurance.bad_wire import BadWire, bad_wire
from tests.campaigns.endurance.soak_books import Stretches, Verdict, verify
from tests.campaigns.endurance.soak_gateway import ClockFile
from tests.campaigns.endurance.soak_plan import Course, Strike
from tests.campaigns.endurance.soak_plant import PLANTS, TenPlants, lines, meters_of, plants_site
from tests.support.gateways.weight import weigh
from tests.support.processes import EmbeddedLedger, Mosquitto, Server, embedded_ledger, free_port, mosquitto

STEADY, STRUCK = "steady", "struck"
"""Both live in the same world; only the second is killed, the first is weighed."""
BROKEN = 0.2
"""Share of the requests to the HTTP ledger that break, calm stretches apart."""
LOOKS = 20
RESTART_S, RESTARTS = 0.5, 60
MARGIN_S = 6.0
"""Seconds before a kill in which an answer may not have been durable yet, and seconds around a disturbance in which a
line may still wait for late answers."""
DRAIN_S = 120.0
LEAD_S = 5.0
"""From the start of plants and gateways to the beginning of the course."""


@dataclass(frozen=True, slots=True)
class Look:
    """What the steady gateway weighs when it rests."""

    resident_mb: float
    fds: int
    tasks: int


class Site:
    """A gateway and its plants."""

    def __init__(
        self, folder: Path, name: str, course: Course, chance: random.Random, clock: Path, ports: Sequence[int]
    ) -> None:
        self.name, self.folder, self._clock, self._long = name, folder, clock, course.long
        struck = lines() if course.long else lines()[::2]
        self.on_lines = [s for line in struck for s in course.strikes(chance, "line", line)]
        self.plants = TenPlants(folder / "plants", self.on_lines, ports)
        self.looks = folder / "looks"
        self.refused_starts = 0
        self.begun_s = self.ended_s = 0.0
        self.away: list[tuple[float, float]] = []
        """When the gateway was not there, or the plants, in Unix seconds."""

    def enroll(self, ledgers: dict[str, tuple[EmbeddedLedger, str]]) -> None:
        """Make the gateway known."""
        seal_every = "10s" if self._long else "2s"
        self.loaded = plants_site(self.folder / "site", self.name, self.plants, ledgers, seal_every)
        words = ["-u", "-m", "tests.campaigns.endurance.soak_gateway", self.loaded.path, self._clock, self.looks]
        command = [sys.executable, *map(str, words)]
        self.gateway = Server(f"gateway {self.name}", command, "records", self.folder / "gateway.log")

    def start_again(self) -> None:
        """Start the gateway as a service manager does: again, when it ends because a line is not there just now."""
        for _ in range(RESTARTS):
            try:
                self.gateway.start()
                return
            except AssertionError:
                self.refused_starts += 1
                time.sleep(RESTART_S)
        raise AssertionError(f"{self.folder}: the gateway does not start any more")

    def excused(self, begun: float) -> dict[str, Stretches]:
        """When each meter's answers prove nothing; ``begun``: Unix time of the beginning of the course."""
        common = [(0.0, self.begun_s + MARGIN_S), (self.ended_s - 1, float("inf"))]
        common += [(begin - MARGIN_S, end + MARGIN_S) for begin, end in self.away]
        found: dict[str, Stretches] = {}
        for line in lines():
            mine = [s for s in self.on_lines if s.whose == line]
            spans = [(begun + s.at_s - MARGIN_S, begun + s.end_s + MARGIN_S) for s in mine]
            found |= {meter: [*common, *spans] for meter in meters_of(line)}
        return found


@dataclass(slots=True)
class World:
    """Everything that runs, and what becomes of it."""

    course: Course
    broker: Mosquitto
    ledgers: dict[str, EmbeddedLedger]
    wire: BadWire
    clock: ClockFile
    sites: dict[str, Site]
    done: list[Strike] = field(default_factory=list)
    looks: dict[float, list[Look]] = field(default_factory=dict)
    trouble: list[BaseException] = field(default_factory=list)
    _begun: float = 0.0
    _begun_unix_s: float = 0.0
    _over: threading.Event = field(default_factory=threading.Event)
    _go_on: threading.Event = field(default_factory=threading.Event)
    """Not set while the gateway is weighed."""

    def soak(self, chance: random.Random) -> None:
        """Start everything, strike it for the time of the course, weigh, and stop the gateways in order."""
        self._begun, self._begun_unix_s = time.monotonic() + LEAD_S, time.time() + LEAD_S
        with ThreadPoolExecutor() as starters:
            list(starters.map(self._start, self.sites.values()))
        self._go_on.set()
        threads = [threading.Thread(target=self._strike_all, args=plan, daemon=True) for plan in self._plans(chance)]
        for thread in threads:
            thread.start()
        try:
            for begin, end in self.course.calm:
                self._until(begin)
                self.wire.share = 0.0
                self._go_on.clear()
                self.looks[begin] = self._weigh()
                self._until(end)
                self._go_on.set()
                self.wire.share = BROKEN
        finally:
            self._over.set()
            self._go_on.set()
            for thread in threads:
                thread.join()
        self.wire.share = 0.0
        for site in self.sites.values():
            site.ended_s = time.time()
            assert site.gateway.stop() == 0, site.gateway.log.read_text()[-2000:]

    def _start(self, site: Site) -> None:
        site.plants.begun = self._begun
        site.plants.start()
        site.gateway.start()
        site.begun_s = time.time()

    def verdicts(self) -> list[Verdict]:
        """Drain what waits, end the plants, and open all books."""
        found = []
        for site in self.sites.values():
            finish.finish(site.loaded, within_s=DRAIN_S)
            site.plants.close()
            logs = {name: self._log(ledger, site.name) for name, ledger in self.ledgers.items()}
            found.append(verify(site.loaded, logs, site.plants.answers, site.excused(self._begun_unix_s)))
        return found

    def weight(self, number: int) -> Look:
        """What the steady gateway weighed at rest in a calm stretch: most looks by far are the same."""
        looks = self.looks[self.course.calm[number][0]]
        return Look(
            median(look.resident_mb for look in looks), mode(look.fds for look in looks), mode(k.tasks for k in looks)
        )

    def _plans(self, chance: random.Random) -> Iterator[tuple[Sequence[Strike], Callable[[Strike], None]]]:
        servers: dict[str, Server] = {"broker": self.broker, **self.ledgers}
        for name, server in servers.items():
            yield self.course.strikes(chance, name, name), self._on(server)
        yield self.course.strikes(chance, "clock", "clock"), self._on_clock
        for site in self.sites.values() if self.course.long else [self.sites[STRUCK]]:
            yield self.course.strikes(chance, "plant", f"plant of {site.name}"), self._on_plants(site)
        struck = self.sites[STRUCK]
        yield self.course.strikes(chance, "gateway", "gateway"), self._on_gateway(struck)

    def _strike_all(self, strikes: Sequence[Strike], strike: Callable[[Strike], None]) -> None:
        try:
            for one in strikes:
                late = self._now() - one.at_s
                if late > 0 and self.course.meets_calm(self._now(), one.seconds):
                    continue
                if late < 0 and self._over.wait(-late):
                    return
                self._go_on.wait()
                strike(one)
                self.done.append(one)
        except BaseException as error:
            self.trouble.append(error)

    def _on(self, server: Server) -> Callable[[Strike], None]:
        def strike(one: Strike) -> None:
            if one.kind.startswith("hung"):
                server.suspend()
            elif one.kind == "killed":
                server.kill()
            else:
                server.stop()
            time.sleep(one.seconds)
            if one.kind == "hung":
                server.resume()
                return
            if one.kind == "hung then killed":
                server.kill()
            server.start()

        return strike

    def _on_clock(self, one: Strike) -> None:
        if one.kind == "unsynchronised":
            self.clock.set(0.0, synchronised=False)
        else:
            self.clock.set(0.0 if one.kind == "set right" else float(one.kind), synchronised=True)

    def _on_plants(self, site: Site) -> Callable[[Strike], None]:
        strike = self._on(site.plants)

        def noted(one: Strike) -> None:
            begin = time.time()
            strike(one)
            site.away.append((begin, time.time()))

        return noted

    def _on_gateway(self, site: Site) -> Callable[[Strike], None]:
        def strike(one: Strike) -> None:
            begin = time.time()
            site.gateway.kill()
            time.sleep(one.seconds)
            site.start_again()
            site.away.append((begin, time.time()))

        return strike

    def _weigh(self) -> list[Look]:
        """Looks at the steady gateway when it is at rest: both its ledgers have answered since the calm began."""
        steady = self.sites[STEADY]
        process = steady.gateway.process
        assert process is not None
        before = _receipts(steady.loaded.database)
        while not all(_receipts(steady.loaded.database)[name] > before[name] for name in self.ledgers):
            assert process.poll() is None, steady.gateway.log.read_text()[-2000:]
            time.sleep(0.1)
        looks = []
        for _ in range(LOOKS):
            steady.looks.unlink(missing_ok=True)
            process.send_signal(signal.SIGUSR1)
            while not steady.looks.exists():
                assert process.poll() is None, steady.gateway.log.read_text()[-2000:]
                time.sleep(0.01)
            weight = weigh(process.pid)
            looks.append(Look(weight.resident_mb, weight.fds, int(steady.looks.read_text())))
            time.sleep(0.4 * self.course.calm_s / LOOKS)
        return looks

    def _now(self) -> float:
        return time.monotonic() - self._begun

    def _until(self, moment: float) -> None:
        time.sleep(max(0.0, moment - self._now()))

    @staticmethod
    def _log(ledger: EmbeddedLedger, gateway: str) -> list[bytes]:
        log, found = HttpLedger(ledger.name, ledger.url), list[bytes]()
        try:
            while page := log.statements(gateway, len(found) - 1):
                found += page
        finally:
            log.close()
        return found


def _receipts(database: Path) -> Counter[str]:
    """How many receipts of each ledger a database holds."""
    store = Database(database, read_only=True)
    try:
        return Counter(anchor.ledger for anchor in store.anchors.of() if anchor.state == "settled")
    finally:
        store.close()


@contextmanager
def world(folder: Path, course: Course, chance: random.Random) -> Iterator[World]:
    """A world for the time of a ``with``; nothing of it moves yet but the ledgers and their broker."""
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder / "broker"))
        names = ("http-ledger", "mqtt-ledger")
        addresses: Mapping[str, str | None] = {"http-ledger": None, "mqtt-ledger": broker.url}
        ledgers = {n: stack.enter_context(embedded_ledger(folder / n, n, addresses[n])) for n in names}
        wire = stack.enter_context(bad_wire(ledgers["http-ledger"].port, BROKEN, chance.getrandbits(32)))
        clock = folder / "clock"
        file, sites, ports = ClockFile(clock), {}, set[int]()
        while len(ports) < 2 * PLANTS:
            ports.add(free_port())
        for name in (STEADY, STRUCK):
            mine = [ports.pop() for _ in range(PLANTS)]
            site = sites[name] = Site(folder / name, name, course, chance, clock, mine)
            site.enroll({"http": (ledgers["http-ledger"], wire.url), "mqtt": (ledgers["mqtt-ledger"], broker.url)})
            stack.callback(site.plants.close)
            stack.callback(site.gateway.close)
        yield World(course, broker, ledgers, wire, file, sites)
