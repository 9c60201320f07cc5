"""Lives of a gateway on a database and a ledger: a real log in this process, real databases; a restored one is a copy
that was taken earlier."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gateway.anchoring.reconciliation import Reconciliation
from gateway.anchoring.uplink import Uplink
from gateway.clock import Clock
from gateway.config.device_keys import load_keys
from gateway.config.model import Config
from gateway.evidence.sealing import seal_next
from gateway.recording.rules import Rules
from gateway.status.collect import collect
from gateway.status.status import Status
from gateway.storage.database import Database
from ledger_client.errors import LedgerUnavailable, Unsupported
from ledger_client.formats.record import Event, parse_record
from ledger_client.formats.statement import SignedStatement, parse_statement
from ledger_client.verification.trust_file import load_trust
from tests.contract.memory import NearLedger
from tests.support.books import check_books, check_each_record_is_sealed_once, open_alarms
from tests.support.samples import finished, recorder

METER = "export-main"
_now_ns = [time.time_ns() - 86_400 * 10**9]  # of all lives: it goes on by a period with each poll, from yesterday on


class Ledger(NearLedger):
    """It may be away, and may know less of what it holds than the embedded one does."""

    def __init__(self, folder: Path, name: str = "demo-ledger") -> None:
        super().__init__(folder, name)
        self._name = name
        self.away, self.tells_last, self.tells_statements = False, True, True

    @property
    def name(self) -> str:
        return self._name

    def _there(self, able: bool = True) -> None:
        if self.away:
            raise LedgerUnavailable("nobody answers")
        if not able:
            raise Unsupported("it cannot tell")

    def submit(self, entry: bytes) -> Any:
        self._there()
        return super().submit(entry)

    def lookup(self, statement_id: bytes) -> Any:
        self._there()
        return super().lookup(statement_id)

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        self._there(self.tells_last)
        return super().last(gateway)

    def statements(self, gateway: str, after: int) -> list[bytes]:
        self._there(self.tells_statements)
        return super().statements(gateway, after)

    def signed_statements(self) -> list[SignedStatement]:
        return [parse_statement(entry) for entry in self.service.statements("test-gateway", -1)]


class Life:
    """A gateway without meters from start to stop: it records when a test says so, all else is as in the agent."""

    def __init__(self, loaded: Config, *ledgers: Ledger) -> None:
        self.loaded, self.clock = loaded, Clock(wall_ns=lambda: _now_ns[0], monotonic=lambda: _now_ns[0] / 1e9)
        never = {"seal_count": 10**6, "seal_every_ms": 10**12}  # by itself: the test says where a batch ends
        self.recorder, self.anchor_ms = recorder(loaded, self.clock, secrets.token_bytes(8), **never)
        self.reader = Database(loaded.database, read_only=True)
        self._ledgers, self._trust = ledgers, load_trust(loaded.trust)
        self.reconciliation = Reconciliation(
            loaded, self.recorder, self._trust, self.clock, self.reader.anchors.conflicts()
        )
        self._uplinks: list[Uplink] = []
        self.polls = 0
        self._runner = asyncio.Runner()  # one event loop for the whole life: an uplink is not moved to another
        self.recorder.start()

    def record(self, polls: int, *, cut: bool = True) -> None:
        """Take so many polls; a batch ends behind them."""
        for _ in range(polls):
            self.recorder.put(finished(METER, self.anchor_ms + 10_000 * self.polls, self.clock, self.polls))
            self.polls += 1
            _now_ns[0] += 10 * 10**9
        self.recorder.call(lambda _: self.recorder._journal.cut() if cut else None).result(timeout=30)

    def until(self, *whats: Callable[[Life], object]) -> None:
        """Let the uplinks work until something is true, and then the next, in one run."""

        async def run() -> None:
            loop = asyncio.get_running_loop()  # another one each time, and an uplink belongs to one
            self._uplinks = [
                Uplink(x, self.recorder, self._trust, self.clock, self.reconciliation) for x in self._ledgers
            ]
            tasks = [asyncio.create_task(x.run()) for x in self._uplinks]
            wake = [lambda x=x: loop.call_soon_threadsafe(x.wake) for x in self._uplinks]
            self.recorder.on_seal.extend(wake)
            try:
                async with asyncio.timeout(30):
                    for what in whats:
                        while not what(self):
                            assert not [task.result() for task in tasks if task.done()]  # it raises what ended it
                            await asyncio.sleep(0.01)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                self.recorder.on_seal.clear()

        self._runner.run(run())

    def status(self) -> Status:
        return collect(self.loaded, self.reader, self.clock.now_ms(), self.recorder.health())

    def events(self, name: str) -> list[Event]:
        bodies = [parse_record(row.data).body for row in self.reader.records.epoch_events()]
        return [body for body in bodies if isinstance(body, Event) and body.name == name]

    def alarms(self) -> list[str]:
        return [alarm["code"] for alarm in open_alarms(self.reader)]

    def stop(self) -> None:
        self._runner.close()
        self.reader.close()
        self.recorder.stop()  # the last to close takes the write-ahead log along


def free(life: Life) -> bool:
    """Nothing holds the seals."""
    return life.recorder.health()["sealing"] is None


def anchored(life: Life) -> bool:
    """All that was cut is sealed and has every receipt."""
    if life.reader.batches.cuts():  # looked at first: what is sealed between two looks is then among the anchors
        return False
    return all(anchor.state == "settled" for anchor in life.reader.anchors.of())


def stopped(life: Life) -> bool:
    return bool(life.reader.anchors.conflicts())


def live(loaded: Config, ledger: Ledger, batches: int, *, tail: int = 0) -> None:
    """Record and anchor so many batches, and leave a tail that no batch holds."""
    life = Life(loaded, ledger)
    life.until(free)
    for _ in range(batches):
        life.record(3)
    life.until(anchored)
    life.record(tail, cut=False)
    life.stop()


def saved(loaded: Config, tmp_path: Path) -> Path:
    """A backup of a stopped gateway's database."""
    return Path(shutil.copy(loaded.database, tmp_path / f"backup-{secrets.token_hex(4)}.db"))


def put_back(backup: Path, loaded: Config) -> None:
    assert not loaded.database.with_name("meterseal.db-wal").exists()
    shutil.copy(backup, loaded.database)


def check_all(loaded: Config, ledger: Ledger, tmp_path: Path) -> None:
    """After a last start that seals whatever is left, each record is sealed exactly once."""
    life = Life(loaded, ledger)
    life.record(1)
    life.until(anchored)
    life.recorder.call(lambda _: life.recorder._journal.finish()).result(timeout=30)
    life.record(0)
    life.until(anchored)
    life.stop()
    agent_left = Database(loaded.database)
    with agent_left.transaction():
        agent_left.batches.cut()
    while seal_next(agent_left, Rules.of(loaded).issuer(load_keys(loaded).statement), Clock().now_ms()):
        pass
    for batch in agent_left.batches.all():
        ledger.submit(batch.entry)
    agent_left.close()
    check_books(loaded)
    check_each_record_is_sealed_once(loaded, [signed.entry for signed in ledger.signed_statements()])
