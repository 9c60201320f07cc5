"""A bridge to a chain: many gateways under one root, order and keys checked before, each id under one root only."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gateway.anchoring import ledger_drivers
from gateway.cli.demo import finish
from gateway.config.device_keys import REQUEST_FILE
from gateway.config.load import load_config
from gateway.evidence.prove import find, prove
from gateway.storage.database import Database
from ledger_client.errors import Refused
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.evm.node import Node
from ledger_client.ledgers.interface import Pending
from ledger_client.online.ask import refresh
from ledger_client.transparency.ledger.admission import OUT_OF_ORDER, TAKEN, UNKNOWN_KEY
from ledger_client.transparency.ledger.enroll import enroll
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.verify import verify
from tests.ledger_client.evm.chain import Registry, chain, deploy
from tests.ledger_client.evm.test_gateway import record
from tests.support.brokers.bridge_site import (
    CHAIN,
    LEDGER,
    PATIENCE_S,
    BridgeProcess,
    chain_options,
    check_shared,
    driver,
    persist,
    running,
)
from tests.support.enrolled import Gateway
from tests.support.processes import Anvil, Mosquitto, mosquitto
from tests.support.samples import site

NOW = 4_000_000_000
GATEWAYS, STATEMENTS, KILLS = 6, 4, 4


class Ground:
    """A broker, and a contract on a chain."""

    def __init__(self, broker: Mosquitto, process: Anvil, node: Node, folder: Path) -> None:
        self.broker, self.process, self.node, self.folder = broker, process, node, folder
        self.registry: Registry = deploy(node)
        self.options: dict[str, list[str]] = {}

    def bridge(self, name: str, *more: str, gather_s: float = 0.2) -> BridgeProcess:
        options = self.options[name] = chain_options(self.folder, self.registry, self.process.url, gather_s)
        return BridgeProcess(self.folder / name, self.broker.url, *options, *more)


@pytest.fixture
def ground(tmp_path: Path) -> Iterator[Ground]:
    with mosquitto(tmp_path) as broker, chain(tmp_path / "chain") as (process, node):
        yield Ground(broker, process, node, tmp_path)


def test_killing_either_of_two_loses_and_doubles_nothing(ground: Ground) -> None:
    """Two bridges divide the gateways; each of them is killed at moments that nobody chose."""
    pair = [ground.bridge("one", "--part", "1/2"), ground.bridge("two", "--part", "2/2")]
    gateways = [Gateway(f"gw-{n}") for n in range(GATEWAYS)]
    given: dict[bytes, bytes] = {}
    arrived = threading.Semaphore(0)

    def run(gateway: Gateway) -> None:
        with driver(ground.broker.url) as ledger:
            for batch in range(STATEMENTS):
                entry = gateway.statement(batch)
                given[entry] = persist(ledger, entry)
                arrived.release()

    chance = random.Random(7)
    with running(*pair), ThreadPoolExecutor(GATEWAYS) as pool:
        for bridge in pair:
            for gateway in gateways:
                bridge.enroll(gateway)
        runs = [pool.submit(run, gateway) for gateway in gateways]
        for kill in range(KILLS):
            for _ in range(chance.randrange(1, GATEWAYS * STATEMENTS // (KILLS + 1))):
                assert arrived.acquire(timeout=PATIENCE_S)
            victim = pair[kill % 2]
            victim.kill()
            victim.start()
        for done in runs:
            done.result()
    assert len(given) == GATEWAYS * STATEMENTS
    sizes = check_shared(ground.registry, given)
    assert max(sizes) > 1


def test_keys_numbers_and_order_are_kept_here(ground: Ground) -> None:
    known, unknown = Gateway("gw-a"), Gateway("gw-b")
    bridge = ground.bridge("one")
    with running(bridge), driver(ground.broker.url) as ledger:
        with pytest.raises(Refused, match=UNKNOWN_KEY):
            persist(ledger, unknown.statement(0))
        bridge.enroll(known)
        first = persist(ledger, known.statement(3))  # a first one at any number
        id_ = statement_id(known.statement(3))
        for entry, title in (
            (known.statement(5), OUT_OF_ORDER),
            (known.sign(4, bytes(32)), OUT_OF_ORDER),
            (known.sign(3, id_, mark=1), TAKEN),
            (known.sign(2, id_, resume="card replaced"), OUT_OF_ORDER),
        ):
            with pytest.raises(Refused, match=title):
                persist(ledger, entry)
        given = {known.statement(3): first, known.statement(4): persist(ledger, known.statement(4))}
        resumed = known.sign(9, id_, resume="card replaced")
        given[resumed] = persist(ledger, resumed)
        bridge.kill()
        bridge.start()
        assert persist(ledger, known.statement(3)) == first
    assert check_shared(ground.registry, given) == [1, 1, 1]


def test_what_would_begin_anew_is_refused(ground: Ground) -> None:
    """A second bridge to the same gateways; and a bridge whose account was used with a folder that is not here."""
    gateway = Gateway("gw-a")
    bridge, other = ground.bridge("one"), ground.bridge("other")
    with running(bridge), driver(ground.broker.url) as ledger:
        bridge.enroll(gateway)
        given = {gateway.statement(0): persist(ledger, gateway.statement(0))}
        with pytest.raises(AssertionError, match="did not start"):
            other.start()
        assert "takes some of the same gateways; stop that one, or divide them: --part K/N" in other.log.read_text()
        assert bridge.stop() == 0
        lost = BridgeProcess(ground.folder / "lost", ground.broker.url, *ground.options["one"])
        with running(lost):
            lost.enroll(gateway)
            assert isinstance(ledger.submit(gateway.statement(0)), Pending)
            assert lost.process is not None
            assert lost.process.wait(PATIENCE_S) == 2
        assert "put the folder back that the account was used with" in lost.log.read_text()
        with running(bridge):
            entry = gateway.statement(1)
            given[entry] = persist(ledger, entry)
    assert check_shared(ground.registry, given) == [1, 1]


def test_a_gateways_reading_is_proved_by_a_shared_root(ground: Ground) -> None:
    """The gateway itself behind a broker, a bridge and a chain; its proof holds when the chain is asked."""
    loaded = site(ground.folder / "site")
    head, _, _ = loaded.path.read_text().partition("[[ledger]]")
    place = f'contract = "0x{ground.registry.address.hex()}"\nchain_id = {CHAIN}\n'
    loaded.path.write_text(
        f'{head}[[ledger]]\nname = "{LEDGER}"\ntype = "mqtt"\nurl = "{ground.broker.url}"\ntimeout = "2s"\n{place}'
    )
    loaded = load_config(loaded.path)
    ledger_drivers.check_accounts(loaded)
    record(loaded, 3)
    bridge = ground.bridge("one")
    with running(bridge):
        enroll(bridge.folder, loaded.path.parent / "keys" / REQUEST_FILE)
        finish.finish(loaded, within_s=60)
    store = Database(loaded.database, read_only=True)
    assert {anchor.state for anchor in store.anchors.of()} == {"settled"}
    bundle = prove(store, find(store, "export-main"))
    store.close()
    (event, *_) = ground.registry.anchors()
    with loaded.trust.open("a") as trust:
        trust.write(f'\n[[chain]]\nledger = "{LEDGER}"\n{place}sender = "0x{event.account.hex()}"\nconfirmations = 1\n')
    believed = load_trust(loaded.trust)
    proven = verify(bundle, believed, NOW, facts=refresh(bundle, believed, {LEDGER: ground.process.url}, {}))
    assert [ledger for ledger, _ in proven.receipts] == [LEDGER]
    assert "shared by many gateways" in proven.unconfirmed[0]
