"""A ledger with a broker, gateways enrolled at it, drivers to reach it, and a check of everything it holds."""

from __future__ import annotations

import threading
import time
import tomllib
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from ledger_client.durable_files import write_text
from ledger_client.errors import LedgerUnavailable
from ledger_client.formats import cbor
from ledger_client.formats.cose import CONTENT_TYPE, Sign1
from ledger_client.formats.cose_key import PublicKey, load_private_key
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.formats.receipt import check, parse_receipt
from ledger_client.formats.statement import Statement, parse_statement
from ledger_client.ledgers.http import HttpLedger
from ledger_client.ledgers.interface import Ledger, Pending
from ledger_client.ledgers.mqtt import MqttLedger
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.transparency.ledger.show import trust_entry
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import parse_trust
from ledger_client.verification.trust_text import key_entry
from tests.support.enrolled import Gateway
from tests.support.processes import BrokerServer, EmbeddedLedger, embedded_ledger, mosquitto
from tests.support.stored_log import Stored, queries

if TYPE_CHECKING:
    from tests.support.brokers.postgres import Database

PATIENCE_S = 30.0
KEY_CHANGE = "application/vnd.meterseal.ledger-key+cbor"
T = TypeVar("T")


class Place:
    """A ledger's folder, whoever serves it: gateways are enrolled there, and all that it holds is checked."""

    def __init__(self, folder: Path, name: str, scratch: Path) -> None:
        self.name, self.folder = name, folder
        self._scratch = scratch
        self._log = CheckedLog(folder)

    def enroll(self, gateway: Gateway, *, valid_from: int = 0, extra: str = "") -> Gateway:
        """Enrol a gateway's statement key; ``extra`` is more TOML of its entry, which an operator writes by hand."""
        if valid_from or extra:
            policy = self.folder / "policy.toml"
            entry = key_entry("statement", gateway.key.public, valid_from, gateway=gateway.name)
            write_text(policy, f"{policy.read_text()}\n{entry}{extra}")
        else:
            enroll(self.folder, gateway.request(self._scratch))
        return gateway

    @contextmanager
    def revoked(self, gateway: Gateway) -> Iterator[None]:
        """Within this the gateway's key is revoked."""
        policy = self.folder / "policy.toml"
        before = policy.read_text()
        head, name, tail = before.partition(f'gateway = "{gateway.name}"')
        policy.write_text(head + name + "\nrevoked = 2026-01-01T00:00:00Z" + tail)
        try:
            yield
        finally:
            policy.write_text(before)

    def trust(self) -> Trust:
        """A trust file that believes this ledger."""
        policy = f'[policy]\nreceipts = 1\nledgers = ["{self.name}"]\n'
        return parse_trust(policy + trust_entry(self.folder), "trust.toml")

    def held(self, gateway: Gateway) -> list[int]:
        """The batch numbers of a gateway in the log, after a check of the whole log."""
        return self.held_of(gateway.name)

    def held_of(self, name: str) -> list[int]:
        """The same by the gateway's name."""
        return self._log.check().get(name, [])


class Site(Place):
    """One ledger, reachable over HTTP and through a broker."""

    def __init__(self, ledger: EmbeddedLedger, broker: BrokerServer, scratch: Path) -> None:
        super().__init__(ledger.folder, ledger.name, scratch)
        self.ledger = ledger
        self.broker = broker

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


@contextmanager
def site(
    folder: Path, name: str = "demo-ledger", options: Sequence[str] = (), database: Database | None = None
) -> Iterator[Site]:
    """A running site, its ledger with more ``options`` and its log in a ``database``, or in its folder; its place at
    the broker is taken when it begins."""
    if database is not None:
        Stored(folder / "ledger", database).make(name)
    with ExitStack() as stack:
        broker = stack.enter_context(mosquitto(folder))
        ledger = stack.enter_context(embedded_ledger(folder / "ledger", name, broker.url, options=options))
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


def until(condition: Callable[[], bool]) -> bool:
    """Wait for what another thread or process does: whether it came to be in time."""
    pause, deadline = threading.Event(), time.monotonic() + PATIENCE_S
    while not condition() and time.monotonic() < deadline:
        pause.wait(0.01)
    return condition()


class CheckedLog:
    """All that a ledger has on disk, verified without the code that wrote it: what was there once stays as it was."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._rows: list[tuple[object, ...]] = []
        self._hashes: list[bytes] = []
        self._held: dict[str, list[int]] = {}
        self._last: dict[str, bytes] = {}
        self._numbers: dict[tuple[str, str, bytes], tuple[int, int, int, int]] = {}
        self._orders: dict[str, tuple[int, int, bytes, int]] = {}
        self._handed_over = 0  # how often the ledger's key has changed

    def check(self) -> dict[str, list[int]]:
        """{gateway: batch numbers in log order}."""
        with queries(self._folder) as asked:
            rows = asked("SELECT number, id, gateway, batch, entry, receipt FROM entries ORDER BY number")
            ranges = asked("SELECT gateway, meter, epoch, since, first, batch, last FROM ranges")
            orders = asked("SELECT gateway, since, batch, id, from_ms FROM orders")
        assert rows[: len(self._rows)] == self._rows, "what was in the log has changed"
        assert [row[0] for row in rows] == list(range(len(rows)))
        begin, self._rows = len(self._rows), rows
        self._hashes += [leaf_hash(row[4]) for row in rows[begin:]]
        keys = _keys([row[4] for row in rows if row[2] is None], _public_key(self._folder))
        for number, id_, gateway, batch, entry, receipt in rows[begin:]:
            assert id_ == sha256(entry).digest()
            if gateway is None:
                change = Sign1.parse(entry).protected[CONTENT_TYPE] == KEY_CHANGE
                assert (receipt is None) == (change or number == 0)
                if receipt is not None:
                    _check_receipt(receipt, entry, number, self._hashes, keys[self._handed_over])
                self._handed_over += change
                continue
            statement = parse_statement(entry).statement
            assert (statement.gateway, statement.batch) == (gateway, batch)
            if gateway in self._last and statement.resume is None:
                assert statement.prev == self._last[gateway]
                assert batch == self._held[gateway][-1] + 1
            _check_receipt(receipt, entry, number, self._hashes, keys[self._handed_over])
            self._held.setdefault(gateway, []).append(batch)
            self._last[gateway] = id_
            self._check_numbers(statement)
        assert {row[:3]: row[3:] for row in ranges} == self._numbers, "the table of ranges is not that of the entries"
        assert {row[0]: row[1:] for row in orders} == self._orders
        return {name: list(batches) for name, batches in self._held.items()}

    def _check_numbers(self, statement: Statement) -> None:
        """Each number of a meter and epoch stands in one entry; without ``resume`` none is left out."""
        gateway, batch = statement.gateway, statement.batch
        since, _, _, from_ms = self._orders.get(gateway, (batch, 0, b"", 0))
        from_ms = statement.from_ms if statement.resume is not None else max(from_ms, statement.from_ms)
        for meter, stretches in statement.meters.items():
            for stretch in stretches:
                place = gateway, meter, stretch.epoch
                known = self._numbers.get(place)
                if known is not None:
                    assert stretch.first > known[3], f"{place}: number {stretch.first} stands in two entries"
                    assert statement.resume is not None or stretch.first == known[3] + 1, f"{place}: one is left out"
                begun = known[:2] if known else (batch, stretch.first)
                self._numbers[place] = *begun, batch, stretch.last
        self._orders[gateway] = since, batch, self._last[gateway], from_ms


def _public_key(folder: Path) -> PublicKey:
    """Of the key that signs now, in a file or in a token."""
    if (folder / "key.toml").exists():
        return PublicKey.from_text(tomllib.loads((folder / "key.toml").read_text())["public"])
    return load_private_key(folder / "key.pem").public


def _keys(entries: list[bytes], present: PublicKey) -> list[PublicKey]:
    """The keys in the order in which they signed, from the ledger's own entries; each entry is by the key that signs at
    its place, and a change of key by the one before it."""
    signed = [Sign1.parse(entry) for entry in entries]
    changes = [cbor.decode(one.payload or b"") for one in signed if one.protected[CONTENT_TYPE] == KEY_CHANGE]
    keys = [PublicKey.from_cose_key(change["old"]) for change in changes] + [present]
    for change, new in zip(changes, keys[1:], strict=True):
        assert PublicKey.from_cose_key(change["new"]).kid == new.kid
    place = 0
    for one in signed:
        one.verify(keys[place])
        place += one.protected[CONTENT_TYPE] == KEY_CHANGE
    return keys


def _check_receipt(data: bytes, entry: bytes, number: int, hashes: list[bytes], public: PublicKey) -> None:
    receipt = parse_receipt(data)
    check(receipt, entry, public)
    assert (receipt.index, receipt.size, receipt.size_claim) == (number, number + 1, number + 1)
    if number % 16 == 0 or number == len(hashes) - 1:  # the whole tree, where it costs little
        assert list(receipt.path) == Tree(hashes[: number + 1]).path(number)
