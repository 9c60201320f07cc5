"""A gateway with HJ 212 stations for a benchmark: its folder, `meterseal run`, the loggers, and what they say of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gateway.config.model import Config
from gateway.storage.database import Database
from ledger_client.formats.record import Reading, parse_record
from tests.campaigns.streams.hj212_loggers import INTERVAL_MS, PASSWORD, station
from tests.support.gateways.sites import before, bus_table, make_site, meter_table, over_http
from tests.support.processes import EmbeddedLedger, free_port
from tests.system.demo_site import GatewayProcess

PROFILE, NAME = "hj212-cems-realtime", "stack-"
MARK = "temperature"
"""The point whose value is the message's number, with the station's behind the decimal point."""


@dataclass(frozen=True, slots=True)
class Site:
    """The gateway's configuration, and the port on which its loggers find it."""

    loaded: Config
    port: int


def stations_site(folder: Path, ledger: EmbeddedLedger, stations: int, *more: str, every: str = "1s") -> Site:
    """A gateway of one bus with so many stations, enrolled at the ledger; ``more``: other buses; ``every``: how often a
    station sends."""
    port = free_port()
    meters = [meter_table(f"{NAME}{n:03}", PROFILE, station(n), every, password=PASSWORD) for n in range(stations)]
    cems = bus_table("cems", "hj212", meters, listen=f"127.0.0.1:{port}")
    return Site(make_site(folder, cems, *more, since_s=before(0), ledgers=over_http(ledger)), port)


def gateway(site: Site, hold: str = "") -> GatewayProcess:
    """`meterseal run` of the site, not started; ``hold``: the fail point at which it stops."""
    return GatewayProcess(site.loaded, dict(os.environ) | ({"METERSEAL_HOLD": hold} if hold else {}))


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the loggers say when they have ended: a message by station and number."""

    first_s: dict[tuple[int, int], float]
    sent_s: dict[tuple[int, int], float]
    answered_s: dict[tuple[int, int], float]
    sendings: Counter[tuple[int, int]]
    strays: list[str]

    @classmethod
    def of(cls, path: Path) -> Outcome:
        """Read what they wrote at their end."""
        facts = json.loads(path.read_text())
        rows = {(int(who), row[0]): row for who, mine in facts["messages"].items() for row in mine}
        return cls(
            {message: row[2] for message, row in rows.items() if row[2]},
            {message: row[3] for message, row in rows.items() if row[3]},
            {message: row[4] for message, row in rows.items() if row[4]},
            Counter({message: row[1] for message, row in rows.items()}),
            facts["strays"],
        )

    def answer_ms(self, begin_s: float, end_s: float) -> list[float]:
        """Times from the last sending to the answer, of messages sent once between two moments, in order of size."""
        taken = (
            (self.sent_s[message], at_s) for message, at_s in self.answered_s.items() if self.sendings[message] == 1
        )
        return sorted((at_s - sent_s) * 1000 for sent_s, at_s in taken if begin_s <= sent_s < end_s)


class Loggers:
    """The loggers' process."""

    def __init__(self, process: subprocess.Popen[str], path: Path) -> None:
        self._process, self._path = process, path

    def ended(self, within_s: float) -> Outcome:
        """Wait until they have ended."""
        assert self._process.wait(within_s) == 0
        return Outcome.of(self._path)


@contextmanager
def loggers(
    site: Site, stations: int, seconds: float, *, interval_ms: int = INTERVAL_MS, leaked: int = 0
) -> Iterator[Loggers]:
    """Loggers of ``stations`` that make messages for ``seconds``; they end when all are answered, or patience has.
    ``leaked``: connections of the first of them that it opens besides and never closes."""
    path = site.loaded.path.with_name("loggers.json")
    words = [site.port, stations, seconds, path, interval_ms, leaked]
    command = [sys.executable, "-m", "tests.campaigns.streams.hj212_loggers", *map(str, words)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, text=True)
    try:
        yield Loggers(process, path)
    finally:
        process.kill()
        process.wait()
        if process.stdin is not None:
            process.stdin.close()


def recorded(loaded: Config) -> Counter[tuple[int, int]]:
    """How often each message is in the database, by station and number."""
    store = Database(loaded.database, read_only=True)
    found: Counter[tuple[int, int]] = Counter()
    for row in store.records.rows(1, 1 << 60):
        body = parse_record(row.data).body
        if isinstance(body, Reading) and row.meter.startswith(NAME):
            (mark,) = [value.value for value in body.values if value.name == MARK]
            number, _, who = str(mark).partition(".")
            assert int(who.ljust(3, "0")) == int(row.meter.removeprefix(NAME)), f"{row.id}: {mark}"
            found[int(who.ljust(3, "0")), int(number)] += 1
    store.close()
    return found
