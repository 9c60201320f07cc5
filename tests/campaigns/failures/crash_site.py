"""One site of the crash benchmark: kills at a list of moments, and all books opened after each of them.

``light`` is the gateway of ``crash_gateway`` with its scripted meters; ``whole`` is `meterseal run` beside the
simulator. Both reach the embedded ledger over a wire that breaks.
"""

from __future__ import annotations

import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from gateway.cli.demo import finish
from gateway.cli.demo.balance import account, read_answers
from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.ledgers.http import HttpLedger
from tests.campaigns.endurance.bad_wire import BadWire, bad_wire
from tests.campaigns.endurance.site import unread_site
from tests.campaigns.failures.crash_books import Books, Flaws, Mark, read_offered
from tests.campaigns.failures.crash_gateway import KEEP_MS
from tests.support.books import check_all_is_sealed, check_books, check_each_record_is_sealed_once
from tests.support.gateways.apart import audit_findings, export_to
from tests.support.gateways.sites import before
from tests.support.processes import EmbeddedLedger, embedded_ledger
from tests.system.demo_site import GatewayProcess, make_site, plant
from tests.system.killed.kills import RANDOM, ROUND, begun, kill_once

# The stations that the light gateway reaches, each with the largest arrival to hold at. One that is new goes here.
ARRIVALS = {
    "migrate": 1, "restore": 1, "restored": 1, "sign": 30, "commit": 25, "committed": 25, "cut": 4, "seal": 4,
    "sealed": 4, "submit": 4, "submitted": 3, "settle": 3, "settled": 3, "prune": 5, "pruned": 4,
}  # fmt: skip
PRUNING = ("prune", "pruned")
LIFE_S = 0.7 * KEEP_MS / 1000
"""The longest life: a station that has not been reached by then is not, and the kill counts as one at any moment."""
METERS, EVERY = 4, "100ms"
CHANCE_S = 0.7
BROKEN = 0.25
"""Share of the requests to the ledger that break."""
LAST_LIFE_S = 1.0


@dataclass(slots=True)
class Outcome:
    """What the kills of some sites showed."""

    kills: Counter[str] = field(default_factory=Counter)
    whole_kills: int = 0
    records: int = 0
    statements: int = 0
    flaws: Flaws = field(default_factory=Flaws)
    unverified: list[str] = field(default_factory=list)
    """What the tests' own check of all books said against a state."""
    audit_findings: int = 0
    """What an audit of the exports says against them."""

    def add(self, other: Outcome) -> None:
        """Take in another site's."""
        self.kills += other.kills
        self.whole_kills += other.whole_kills
        self.records += other.records
        self.statements += other.statements
        self.flaws = self.flaws.plus(other.flaws)
        self.unverified += other.unverified
        self.audit_findings += other.audit_findings


def moments(chance: random.Random, count: int) -> list[str]:
    """A light site's moments: a new database, the stations and any moments mixed, then what needs a past."""
    early = [name for name in ARRIVALS if name not in (*PRUNING, *PREPARED)]
    late = [*PRUNING, *PREPARED, "prune", RANDOM][: count // 3]
    middle = [*early, *[RANDOM] * 7, "commit", "committed"]
    drawn = [chance.choice(middle) for _ in range(count)] if count > len(middle) else chance.sample(middle, count)
    return ["migrate", *drawn[: count - len(late) - 1], *late][:count]


class Light:
    """A light site."""

    def __init__(self, folder: Path, ledger: EmbeddedLedger, wire: BadWire, chance: random.Random) -> None:
        self.loaded = unread_site(
            folder,
            ledger,
            meters=METERS,
            values=1,
            every=EVERY,
            commit_every="100ms",
            seal_every="150ms",
            since_s=before(0),
            url=wire.url,
        )
        self.folder, self.log, self.flag = folder, folder / "offered.jsonl", folder / "held"
        self.books, self.out, self.worst = Books(), Outcome(), Flaws()
        self._ledger, self._chance = ledger, chance
        self._copy, self._mark = folder / "copy", Mark(0, -1)
        self._exports = folder / "exports"

    def kill_at(self, moment: str) -> None:
        """Start the gateway, let it reach the moment, kill it there, open the books."""
        env = dict(os.environ)
        if moment in PREPARED:
            PREPARED[moment](self)
        if moment in PRUNING and begun(self.loaded):
            export_to(self.loaded, self._exports)
        if moment != RANDOM:
            env["METERSEAL_HOLD"] = f"{moment}:{self._chance.randint(1, ARRIVALS[moment])}:{self.flag}"
        process = self._start(env, prune=moment in PRUNING)
        deadline = time.monotonic() + (self._chance.uniform(0, CHANCE_S) if moment == RANDOM else LIFE_S)
        while time.monotonic() < deadline and not self.flag.exists():
            assert process.poll() is None, f"{self.folder}: it ended by itself:\n{self._printed()}"
            time.sleep(0.002)
        process.kill()
        process.wait()
        self.out.kills[moment if self.flag.exists() else RANDOM] += 1
        self.flag.unlink(missing_ok=True)
        if begun(self.loaded):
            self.check(f"after a kill at {moment}")

    def end(self) -> None:
        """One more life that ends in order; then everything is sealed and anchored, and the books are closed."""
        process = self._start(dict(os.environ), prune=False)
        time.sleep(LAST_LIFE_S)
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0, f"{self.folder}: {self._printed()}"
        finish.finish(self.loaded, within_s=60)
        self.check("at the end", ended=True)
        self.out.audit_findings = audit_findings(self.loaded, "--allow-resume", folder=self._exports)
        self.out.flaws = self.worst
        self.out.records = len(self.books.records) + self.books.forgotten
        self.out.statements = len(self.books.statements)

    def check(self, when: str, *, ended: bool = False) -> None:
        """All of it: the four counts, and the tests' own check of every signature, chain, interval, batch, receipt."""
        statements = statements_of(self.loaded, self._ledger)
        store = Database(self.loaded.database, read_only=True)
        self.books.look(store, statements)
        mark = Mark.of(store)
        store.close()
        self.worst = self.worst.worse(self.books.flaws(read_offered(self.log), ended=ended))
        if self._mark.batch < 0 <= mark.batch:
            self._take_copy(mark)
        try:
            check_books(self.loaded)
            if ended:
                check_all_is_sealed(self.loaded)
                check_each_record_is_sealed_once(self.loaded, statements)
        except AssertionError as error:
            self.out.unverified.append(f"{self.folder.parent.name} {when}: {error}")

    def age(self) -> None:
        """The database has its tables and no version yet, as where a kill met its first start between the two."""
        if begun(self.loaded):
            database = sqlite3.connect(self.loaded.database)
            database.execute("PRAGMA user_version = 0")
            database.close()

    def put_back(self) -> None:
        """An older copy of the database takes its place, as after a restore: what came later only the ledger knows."""
        if not self._copy.exists():
            return
        for suffix in ("", "-wal", "-shm"):
            Path(f"{self.loaded.database}{suffix}").unlink(missing_ok=True)
        for file in self._copy.iterdir():
            shutil.copy(file, self.loaded.data)
        self.books.put_back(self._mark)

    def _take_copy(self, mark: Mark) -> None:
        """Keep the database as it is, its log too: nobody works on it."""
        self._copy.mkdir()
        for suffix in ("", "-wal"):
            shutil.copy(f"{self.loaded.database}{suffix}", self._copy)
        self._mark = mark

    def _start(self, env: dict[str, str], *, prune: bool) -> subprocess.Popen[str]:
        """Returns when it has loaded everything; its database is still closed then."""
        command = [sys.executable, "-m", "tests.campaigns.failures.crash_gateway", str(self.folder), str(self.log)]
        with (self.folder / "printed.log").open("a") as log:
            process = subprocess.Popen(
                [*command, "prune"] if prune else command, env=env, stdout=subprocess.PIPE, stderr=log, text=True
            )
        assert process.stdout is not None
        with process.stdout as stream:
            assert stream.readline() == "here\n", f"{self.folder}: it did not start:\n{self._printed()}"
        return process

    def _printed(self) -> str:
        return (self.folder / "printed.log").read_text()[-2000:]


PREPARED: dict[str, Callable[[Light], None]] = {
    "migrate": Light.age, "restore": Light.put_back, "restored": Light.put_back,
}  # fmt: skip
"""Stations that a start reaches only when something was done to its database before: what. One that is new goes here
too."""


def statements_of(loaded: Config, ledger: EmbeddedLedger) -> list[bytes]:
    """What the ledger holds of a gateway, asked over a good wire."""
    log = HttpLedger(ledger.name, ledger.url)
    try:
        return log.statements(loaded.gateway_id, -1)
    finally:
        log.close()


@contextmanager
def ledger_behind(folder: Path, chance: random.Random) -> Iterator[tuple[EmbeddedLedger, BadWire]]:
    """A ledger for one site, and the bad wire to it."""
    with (
        embedded_ledger(folder / "ledger", "demo-ledger") as ledger,
        bad_wire(ledger.port, BROKEN, chance.getrandbits(32)) as wire,
    ):
        yield ledger, wire


def light(folder: Path, kills: int, seed: int) -> Outcome:
    """Kill a light gateway so many times, then end it."""
    chance = random.Random(seed)
    with ledger_behind(folder, chance) as (ledger, wire):
        site = Light(folder / "site", ledger, wire, chance)
        for moment in moments(chance, kills):
            site.kill_at(moment)
        wire.share = 0.0
        site.end()
    return site.out


def whole(folder: Path, kills: int, seed: int) -> Outcome:
    """Kill `meterseal run` so many times, beside the simulator, whose log says what was lost; then end it."""
    chance, out, books, worst = random.Random(seed), Outcome(whole_kills=kills), Books(), Flaws()
    with ledger_behind(folder, chance) as (ledger, wire), plant(folder / "plant") as meters:
        loaded = make_site(folder / "site", meters, ledger, wire.url, inverter_every="250ms", seal_every="1s")
        for _ in range(kills):
            station = chance.choice(ROUND)
            kill_once(loaded, station, chance, folder / "held")
            out.kills[station] += 1
            if begun(loaded):
                worst = worst.worse(_seen(loaded, ledger, books, out, f"after a kill at {station}"))
        last = GatewayProcess(loaded)
        last.start()
        time.sleep(LAST_LIFE_S)
        assert last.stop() == 0
        wire.share = 0.0
        finish.finish(loaded, within_s=60)
        worst = worst.worse(_seen(loaded, ledger, books, out, "at the end"))
        store = Database(loaded.database, read_only=True)
        lost = sum(balance.lost for balance in account(store, read_answers(meters.answers)).values())
        store.close()
    out.flaws, out.audit_findings = worst.plus(Flaws(lost=lost)), audit_findings(loaded)
    out.records, out.statements = len(books.records), len(books.statements)
    return out


def _seen(loaded: Config, ledger: EmbeddedLedger, books: Books, out: Outcome, when: str) -> Flaws:
    statements = statements_of(loaded, ledger)
    store = Database(loaded.database, read_only=True)
    books.look(store, statements)
    store.close()
    try:
        check_books(loaded)
    except AssertionError as error:
        out.unverified.append(f"{loaded.path.parent.parent.name} {when}: {error}")
    return books.flaws([])
