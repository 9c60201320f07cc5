"""Bridges as processes between a broker and a ledger, and gateways that submit through them as the gateway does."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha256
from itertools import count
from pathlib import Path

from ledger_client.contracts.anchor_registry import AnchoredMany
from ledger_client.errors import LedgerUnavailable
from ledger_client.formats.bundle import Locator, decode_locator
from ledger_client.formats.merkle import leaf_hash, root_from_path
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.evm.account import make_account
from ledger_client.ledgers.interface import Ledger, Pending
from ledger_client.ledgers.mqtt import MqttLedger
from ledger_client.transparency.ledger.enroll import enroll
from tests.ledger_client.evm.chain import Registry
from tests.support.enrolled import Gateway
from tests.support.processes import Server

LEDGER, CHAIN = "demo-ledger", 31337
PASSWORD = "correct horse"
PATIENCE_S = 60.0
_numbers = count(1)


class BridgeProcess(Server):
    """``meterseal-ledger bridge`` over a folder; ``options`` say where the statements go."""

    def __init__(self, folder: Path, mqtt: str, *options: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        command = [sys.executable, "-m", "ledger_client.cli", "bridge", str(folder), "--name", LEDGER, "--mqtt", mqtt]
        log = folder.with_name(folder.name + ".log")
        super().__init__("bridge", [*command, *options], "takes statements at", log)

    def enroll(self, gateway: Gateway) -> Gateway:
        """Let a gateway in at a bridge to a chain; its first start has made the policy."""
        enroll(self.folder, gateway.request(self.folder))
        return gateway


@contextmanager
def running(*bridges: BridgeProcess) -> Iterator[None]:
    """Within this the bridges run."""
    try:
        for bridge in bridges:
            bridge.start()
        yield
    finally:
        for bridge in bridges:
            bridge.close()


def chain_options(folder: Path, registry: Registry, url: str, gather_s: float = 0.2) -> list[str]:
    """The options of a bridge with an account of its own that has the role bridge."""
    keystore, password = folder / f"bridge-{next(_numbers)}.json", folder / "password"
    account = make_account(keystore, PASSWORD, light=True).address
    password.write_text(PASSWORD)
    password.chmod(0o600)
    registry.node.ask("anvil_setBalance", "0x" + account.hex(), hex(10**20))
    registry.send(registry.owner, "setBridge", account, 1)
    return [
        "--evm", url, "--contract", "0x" + registry.address.hex(), "--chain-id", str(CHAIN), "--keystore",
        str(keystore), "--keystore-password-file", str(password), "--confirmations", "1", "--gather", str(gather_s),
    ]  # fmt: skip


@contextmanager
def driver(url: str, timeout_s: float = 2.0) -> Iterator[Ledger]:
    """A gateway's driver at a broker."""
    made = MqttLedger(LEDGER, url, timeout_s=timeout_s)
    try:
        yield made
    finally:
        made.close()


def persist(ledger: Ledger, entry: bytes) -> bytes:
    """Submit until something settles it, as a gateway does: look up, else submit; a pause where one is asked for."""
    pause, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        try:
            answer = ledger.lookup(sha256(entry).digest()) or ledger.submit(entry)
        except LedgerUnavailable:
            pause.wait(0.05)
            continue
        if not isinstance(answer, Pending):
            return answer
        pause.wait(0.02)  # a look costs nothing: the driver itself waits until the bridge wants to be asked again
    raise AssertionError("not settled")


def check_shared(registry: Registry, given: dict[bytes, bytes]) -> list[int]:
    """Every locator leads to a root on the chain, no id is under two, none under a root is unknown; the roots' sizes.

    ``given``: by entry.
    """
    events = [event for event in registry.anchors() if isinstance(event, AnchoredMany)]
    on_chain = {event.root: event.size for event in events}
    assert len(on_chain) == len(events)
    leaves: set[tuple[bytes, int]] = set()
    for entry, answer in given.items():
        place = decode_locator(answer)
        root = _root(place, entry)
        assert place.inclusion is not None
        assert on_chain[root] == place.inclusion[0]
        leaves.add((root, place.inclusion[1]))
    assert len(leaves) == len(given) == sum(on_chain.values())  # so each leaf on the chain is one statement's only
    return list(on_chain.values())


def _root(place: Locator, entry: bytes) -> bytes:
    assert place.inclusion is not None
    return root_from_path(leaf_hash(statement_id(entry)), *place.inclusion)
