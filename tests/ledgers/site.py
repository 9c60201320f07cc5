"""A ledger with a broker, gateways enrolled at it, drivers to reach it, and a check of everything it holds."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

from ledger_client import cbor
from ledger_client.cose import Sign1
from ledger_client.cose_key import PublicKey, load_private_key
from ledger_client.errors import LedgerUnavailable
from ledger_client.ledgers import Ledger, Pending
from ledger_client.ledgers.http import HttpLedger
from ledger_client.ledgers.mqtt import MqttLedger
from ledger_client.merkle import Tree, leaf_hash
from ledger_client.receipt import check, parse_receipt
from ledger_client.statement import parse_statement
from ledger_client.transparency.policy import enroll
from ledger_client.transparency.show import trust_entry
from ledger_client.trust import Trust, key_entry, parse_trust
from tests.ledgers.samples import Gateway
from tests.processes import EmbeddedLedger, Mosquitto, embedded_ledger, mosquitto

PATIENCE_S = 30.0
T = TypeVar("T")


class Site:
    """One ledger, reachable over HTTP and through a broker."""

    def __init__(self, ledger: EmbeddedLedger, broker: Mosquitto, scratch: Path) -> None:
        self.ledger = ledger
        self.broker = broker
        self._scratch = scratch

    def enroll(self, gateway: Gateway, *, valid_from: int = 0, extra: str = "") -> Gateway:
        """Enrol a gateway's statement key; ``extra`` is more TOML of its entry."""
        public = self._scratch / f"{gateway.name}.pub.toml"
        public.write_text(key_entry("statement", gateway.key.public, valid_from, gateway=gateway.name) + extra)
        enroll(self.ledger.folder / "policy.toml", public)
        return gateway

    def trust(self) -> Trust:
        """A trust file that believes this ledger."""
        policy = f'[policy]\nreceipts = 1\nledgers = ["{self.ledger.name}"]\n'
        return parse_trust(policy + trust_entry(self.ledger.folder), "trust.toml")

    @contextmanager
    def driver(self, kind: str, timeout_s: float = 5.0) -> Iterator[Ledger]:
        """A driver of the kind ``http`` or ``mqtt``."""
        driver: Ledger
        if kind == "http":
            driver = HttpLedger(self.ledger.name, self.ledger.url, timeout_s=timeout_s)
        else:
            driver = MqttLedger(self.ledger.name, self.broker.url, timeout_s=timeout_s)
        try:
            yield driver
        finally:
            driver.close()

    def held(self, gateway: Gateway) -> list[int]:
        """The batch numbers of a gateway in the log, after a check of the whole log."""
        return check_log(self.ledger.folder).get(gateway.name, [])


@contextmanager
def site(folder: Path, name: str = "demo-ledger") -> Iterator[Site]:
    """A running site; the ledger's place at the broker is taken when it begins."""
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder))
        ledger = stack.enter_context(embedded_ledger(folder / "ledger", name, broker.url))
        yield Site(ledger, broker, folder)


def persist(driver: Ledger, entry: bytes) -> bytes:
    """Submit as a gateway does: look up, else submit, and again for as long as the ledger cannot be reached."""

    def attempt() -> bytes:
        answer = driver.lookup(sha256(entry).digest()) or driver.submit(entry)
        assert not isinstance(answer, Pending)
        return answer

    return again_while_unavailable(attempt)


def again_while_unavailable(attempt: Callable[[], T]) -> T:
    """The first answer other than ``LedgerUnavailable``."""
    pause = threading.Event()
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            return attempt()
        except LedgerUnavailable:
            if time.monotonic() > deadline:
                raise
            pause.wait(0.05)


def check_log(folder: Path) -> dict[str, list[int]]:
    """Verify all that a ledger has on disk, without the code that wrote it: {gateway: batch numbers in log order}."""
    db = sqlite3.connect((folder / "log.db").absolute().as_uri() + "?mode=ro", uri=True)
    try:
        rows = db.execute("SELECT number, id, gateway, batch, entry, receipt FROM entries ORDER BY number").fetchall()
    finally:
        db.close()
    assert [row[0] for row in rows] == list(range(len(rows)))
    hashes = [leaf_hash(row[4]) for row in rows]
    held: dict[str, list[int]] = {}
    last: dict[str, bytes] = {}
    keys = _keys([row[4] for row in rows if row[2] is None], load_private_key(folder / "key.pem").public)
    public = keys.pop(0)
    for number, id_, gateway, batch, entry, receipt in rows[1:]:
        assert id_ == sha256(entry).digest()
        if gateway is None:
            assert receipt is None
            public = keys.pop(0)
            continue
        statement = parse_statement(entry).statement
        assert (statement.gateway, statement.batch) == (gateway, batch)
        if gateway in last and statement.resume is None:
            assert statement.prev == last[gateway]
            assert batch == held[gateway][-1] + 1
        _check_receipt(receipt, entry, number, hashes, public)
        held.setdefault(gateway, []).append(batch)
        last[gateway] = id_
    return held


def _keys(own: list[bytes], present: PublicKey) -> list[PublicKey]:
    """The keys in the order in which they signed, from the ledger's own entries; each entry is by the key before it."""
    signed = [Sign1.parse(entry) for entry in own]
    changes = [cbor.decode(sign1.payload or b"") for sign1 in signed[1:]]
    keys = [PublicKey.from_cose_key(change["old"]) for change in changes] + [present]
    signed[0].verify(keys[0])
    for sign1, change, old, new in zip(signed[1:], changes, keys, keys[1:], strict=False):
        sign1.verify(old)
        assert PublicKey.from_cose_key(change["new"]).kid == new.kid
    return keys


def _check_receipt(data: bytes, entry: bytes, number: int, hashes: list[bytes], public: PublicKey) -> None:
    receipt = parse_receipt(data)
    check(receipt, entry, public)
    assert (receipt.index, receipt.size, receipt.size_claim) == (number, number + 1, number + 1)
    if number % 16 == 0 or number == len(hashes) - 1:  # the whole tree, where it costs little
        assert list(receipt.path) == Tree(hashes[: number + 1]).path(number)
