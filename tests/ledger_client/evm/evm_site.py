"""A gateway's account on a chain, its memory on disk, and drivers over it that can be killed at chosen places."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, fields, replace
from itertools import count
from pathlib import Path
from typing import Any

from ledger_client.contracts.anchor_registry import Anchored
from ledger_client.formats.bundle import Locator, decode_locator
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.evm.account import Account
from ledger_client.ledgers.evm.driver import EvmLedger
from ledger_client.ledgers.evm.node import Node
from ledger_client.ledgers.evm.settings import EvmSettings
from ledger_client.ledgers.interface import Pending
from tests.ledger_client.evm.chain import Registry, deploy
from tests.support.enrolled import Gateway
from tests.support.processes import Anvil

CHAIN = 31337
LOOKS = 20_000
_numbers = count(1)


class Crash(BaseException):
    """The process was killed here."""


class Book:
    """A ``Memory`` in a SQLite file: what one driver noted, the next one reads."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.on_keep: Callable[[bytes], None] = lambda note: None  # after the note is durable
        with self._open() as db:
            db.execute("CREATE TABLE IF NOT EXISTS notes (id BLOB PRIMARY KEY, note BLOB)")

    def keep(self, statement_id: bytes, note: bytes) -> None:
        with self._open() as db:
            db.execute("INSERT OR REPLACE INTO notes VALUES (?, ?)", (statement_id, note))
        self.on_keep(note)

    def recall(self, statement_id: bytes) -> bytes | None:
        return self.notes().get(statement_id)

    def notes(self) -> Mapping[bytes, bytes]:
        with self._open() as db:
            return dict(db.execute("SELECT id, note FROM notes").fetchall())

    def forget(self, statement_id: bytes | None = None) -> None:
        """What the gateway does when a statement is settled; None: all of them, as if the file had been lost."""
        with self._open() as db:
            db.execute("DELETE FROM notes WHERE id = ? OR ? IS NULL", (statement_id, statement_id))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        db = sqlite3.connect(self._path)
        try:
            with db:
                yield db
        finally:
            db.close()


@dataclass
class Time:
    """A clock that stands still until it is moved."""

    now: float = 0.0

    def __call__(self) -> float:
        return self.now


@dataclass
class EvmSite:
    """One gateway with an account of its own, registered at a contract of its own."""

    process: Anvil
    node: Node
    registry: Registry
    gateway: Gateway
    account: Account
    book: Book
    clock: Time = field(default_factory=Time)

    @contextmanager
    def driver(self, **changes: Any) -> Iterator[EvmLedger]:
        """A fresh driver over the same book, as after a restart."""
        settings = EvmSettings(self.registry.address, CHAIN, confirmations=1, poll_s=0.001)
        if ours := {field.name: changes.pop(field.name) for field in fields(EvmSettings) if field.name in changes}:
            settings = replace(settings, **ours)
        usual: dict[str, Any] = {"account": self.account, "memory": self.book, "clock": self.clock}
        driver = EvmLedger("consortium", changes.pop("url", self.process.url), settings, **(usual | changes))
        try:
            yield driver
        finally:
            driver.close()

    def anchors(self) -> list[tuple[int, bytes]]:
        """What the contract's events say of this gateway, in their order: (batch, statement id)."""
        events = self.registry.anchors()
        assert all(isinstance(event, Anchored) for event in events)
        return [(event.batch, event.id) for event in events if isinstance(event, Anchored)]

    def demand(self, *batches: int) -> None:
        """Exactly these statements of the gateway's chain are on the ledger, each once, in this order."""
        assert self.anchors() == [(n, statement_id(self.gateway.statement(n))) for n in batches]

    def rpc(self, method: str, *parameters: object) -> Any:
        """A call of the node's own, such as ``evm_mine``."""
        return self.node.ask(method, *parameters)

    def nonce(self) -> int:
        return self.node.nonce(self.account.address)

    def fund(self, account: bytes) -> None:
        self.rpc("anvil_setBalance", "0x" + account.hex(), hex(10**20))


def evm_site(process: Anvil, node: Node, folder: Path) -> EvmSite:
    """A new contract, a new gateway, a new account that may write for it."""
    account, gateway = Account(fresh_key()), Gateway(f"gw-{next(_numbers)}")
    registry = deploy(node)
    registry.send(registry.owner, "register", account.address, gateway.name)
    site = EvmSite(process, node, registry, gateway, account, Book(folder / f"{gateway.name}.db"))
    site.fund(account.address)
    return site


def fresh_key() -> bytes:
    """The private key of an account that nobody has used."""
    from eth_account import Account as EthAccount

    return bytes(EthAccount.create().key)


def settle(driver: EvmLedger, entry: bytes) -> Locator:
    """Look up or submit until it is settled: the node mines by itself, a moment after it took a transaction."""
    for _ in range(LOOKS):
        answer = driver.lookup(statement_id(entry)) or driver.submit(entry)
        if not isinstance(answer, Pending):
            return decode_locator(answer)
    raise AssertionError("not settled")
