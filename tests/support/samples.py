"""Small real things for the gateway's tests: a site made by `init`, and recorders on its database."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gateway.clock import Clock, KernelClock
from gateway.config.device_keys import Keys, load_keys, make_missing
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.recording.journal import Journal
from gateway.recording.recorder import Recorder
from gateway.recording.rules import Rules
from gateway.records import GATEWAY, PollResult, Timestamp, Token
from gateway.storage.database import Database
from ledger_client.formats.cose_key import PrivateKey
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import sign_receipt
from ledger_client.formats.record import Event, Record, parse_record
from ledger_client.formats.senml import Reading, Value
from ledger_client.formats.statement import id_text, statement_id
from tests.support.gateways.sites import init_site

EPOCH = bytes(range(8))
START_S = 1_800_000_000


INVERTER_PORT = 1
"""Where the inverter of a ``site`` is: nobody listens there, while a demo that runs beside the tests has 5020."""


def site(folder: Path, changes: Mapping[str, str] | None = None) -> Config:
    """A site as `meterseal init` makes it, with its inverter at ``INVERTER_PORT`` and texts of its gateway.toml
    replaced (old → new)."""
    return init_site(folder, changes, gateway="test-gateway", now_s=1_700_000_000, sunspec_port=INVERTER_PORT)


def rewrite(loaded: Config, *changes: tuple[str, str]) -> None:
    """Change its gateway.toml, each old text once."""
    text = loaded.path.read_text()
    for old, new in changes:
        assert old in text
        text = text.replace(old, new, 1)
    loaded.path.write_text(text)


def rewritten(loaded: Config, *changes: tuple[str, str]) -> Config:
    """The configuration after such changes, with the keys that it needs."""
    rewrite(loaded, *changes)
    after = load_config(loaded.path)
    make_missing(after, 0)
    return after


class Ahead(Clock):
    """The machine's clock, which a test moves ahead by whole seconds between polls that it hands over at once: a ledger
    takes no statement that was signed before its records. Many polls begin as far behind (``ahead_s`` below 0)."""

    def __init__(self, ahead_s: int = 0) -> None:
        self.ahead_s = ahead_s
        super().__init__(
            wall_ns=lambda: time.time_ns() + self.ahead_s * 1_000_000_000,
            monotonic=lambda: time.monotonic() + self.ahead_s,
        )


def recorder(loaded: Config, clock: Clock, epoch: bytes = EPOCH, **changes: Any) -> tuple[Recorder, int]:
    """A recorder whose epoch is open, and the anchor of its schedules; ``start`` is the test's."""
    made = Recorder(Database(loaded.database), load_keys(loaded), replace(Rules.of(loaded), **changes), clock, epoch)
    return made, made.open()


def finished(meter: str, due_ms: int, clock: Clock, value: int = 1, token: Token | None = None) -> PollResult:
    """A poll of one value that was answered now, or a message with a token that was heard now."""
    now = Timestamp.now(clock)
    return PollResult(meter, due_ms, Reading(now.time_ms, (Value("count", value, "count"),)), now, token=token)


def settle(store: Database, numbers: Sequence[int], ledger: PrivateKey, at_s: int | None = None) -> None:
    """A ledger with this key has given its receipt for these batches, at a time (None: a second after each seal)."""
    for number in numbers:
        batch = store.batches.numbered(number)
        assert batch is not None
        tree = Tree([leaf_hash(b"policy"), leaf_hash(batch.entry)])
        sub = id_text(statement_id(batch.entry))
        iat = batch.sealed_ms // 1000 + 1 if at_s is None else at_s
        receipt = sign_receipt("demo-ledger", sub, iat, 2, 1, tree.path(1), tree.root, ledger)
        with store.transaction():
            store.anchors.mark(number, "demo-ledger", "settled", batch.sealed_ms + 1000, receipt=receipt)


class Machine:
    """A machine whose clocks a test moves."""

    def __init__(self) -> None:
        self.wall_ms, self.up_s, self.kernel = START_S * 1000, 500.0, KernelClock(True, 20)
        self.slow_reads = 0

    def clock(self, not_before_ms: int = 0) -> Clock:
        return Clock(
            not_before_ms=not_before_ms, wall_ns=self.wall_ns, monotonic=self.monotonic, kernel=lambda: self.kernel
        )

    def wall_ns(self) -> int:
        if self.slow_reads:
            self.slow_reads -= 1
            self.passes(1.0)
        return self.wall_ms * 1_000_000

    def monotonic(self) -> float:
        return self.up_s

    def passes(self, seconds: float) -> None:
        self.wall_ms, self.up_s = self.wall_ms + round(seconds * 1000), self.up_s + seconds


class Hands:
    """A journal in a test's hands, on a machine whose time goes on only as it polls; every meter every 10 s."""

    EVERY_MS = 10_000

    def __init__(
        self,
        loaded: Config,
        machine: Machine | None = None,
        epoch: bytes = EPOCH,
        store: Callable[[Path], Database] = Database,
        keys: Keys | None = None,
        **changes: Any,
    ) -> None:
        self.machine = machine or Machine()
        self.store = store(loaded.database)
        self.clock = self.machine.clock(self.store.records.latest_ms())
        rules = replace(Rules.of(loaded), **{"seal_every_ms": 60_000, **changes})
        assert set(rules.periods_ms.values()) == {self.EVERY_MS}
        self.journal = Journal(self.store, keys or load_keys(loaded), rules, self.clock, epoch)
        self.anchor_ms = self.journal.open()
        self.polls = 0

    def poll(self, count: int, *, tokens: bool = False) -> None:
        """A number of polls of every meter, each at its time, answered; or messages of it with tokens."""
        for _ in range(count):
            for meter in self.journal.rules.periods_ms:
                due_ms = self.anchor_ms + self.polls * self.EVERY_MS
                token = Token(f"{due_ms}", 1, bytes(32)) if tokens else None
                self.journal.poll(finished(meter, due_ms, self.clock, self.polls, token))
            self.polls += 1
            self.machine.passes(self.EVERY_MS / 1000)
            self.journal.keep_time()

    def end(self) -> None:
        """A graceful stop."""
        self.journal.finish()
        self.store.close()

    def records(self, meter: str) -> list[Record]:
        """The records of a meter, or of the gateway, in order."""
        return [parse_record(row.data) for row in self.store.records.rows(1, 1 << 60) if row.meter == meter]

    def events(self, name: str) -> list[dict[str, Any]]:
        """What the gateway's events of this name say, in order."""
        found = (record.body for record in self.records(GATEWAY))
        return [dict(body.fields) for body in found if isinstance(body, Event) and body.name == name]
