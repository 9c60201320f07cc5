"""A gateway that anchors on a chain: configured, sealed, settled, proved, and verified by asking the chain."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from eth_account import Account as EthAccount

from gateway.anchoring import ledger_drivers
from gateway.anchoring.driver_notes import Notes
from gateway.cli.demo import finish
from gateway.clock import Clock
from gateway.config.load import load_config
from gateway.config.model import Config
from gateway.errors import ConfigError, GatewayError
from gateway.evidence.prove import find, prove
from gateway.storage.database import Database
from ledger_client.errors import PolicyNotMet
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.evm.account import Account, load_account
from ledger_client.ledgers.evm.node import Node
from ledger_client.online.ask import refresh
from ledger_client.verification.trust import Trust
from ledger_client.verification.trust_file import load_trust
from ledger_client.verification.verify import verify
from tests.gateway.config.refusals import refused
from tests.ledger_client.evm.chain import Registry, chain, deploy
from tests.ledger_client.evm.evm_site import fresh_key
from tests.support.commands import gateway_command
from tests.support.samples import Ahead, finished, recorder, site

NOW = 4_000_000_000
PASSWORD = "correct horse"


class Plant:
    """A site whose one ledger is a contract."""

    def __init__(self, folder: Path, url: str, registry: Registry) -> None:
        self.url, self.registry = url, registry
        loaded = site(folder)
        self.folder = folder
        self.account = Account(fresh_key())
        easy = EthAccount.encrypt(self.account._key, PASSWORD, iterations=2)  # opened in no time, many times over
        (folder / "keys" / "chain.json").write_text(json.dumps(easy))
        secret = folder / "keys" / "chain.password"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        text = loaded.path.read_text()
        head, _, _ = text.partition("[[ledger]]")
        loaded.path.write_text(
            f'{head}[[ledger]]\nname = "consortium"\ntype = "evm"\nurl = "{url}"\n'
            f'contract = "0x{registry.address.hex()}"\nchain_id = 31337\n'
            'keystore = "keys/chain.json"\nkeystore_password_file = "keys/chain.password"\n'
            'confirmations = 1\npoll = "10ms"\n'
        )
        with loaded.trust.open("a") as trust:
            trust.write(
                f'\n[[chain]]\nledger = "consortium"\nchain_id = 31337\ncontract = "0x{registry.address.hex()}"\n'
                f'sender = "{self.account}"\nconfirmations = 1\n'
            )
        loaded.trust.write_text(loaded.trust.read_text().replace('"demo-ledger"', '"consortium"'))
        self.loaded = load_config(loaded.path)

    def register(self) -> None:
        self.registry.send(self.registry.owner, "register", self.account.address, self.loaded.gateway_id)
        self.registry.node.ask("anvil_setBalance", str(self.account), hex(10**20))

    @property
    def trust(self) -> Trust:
        return load_trust(self.loaded.trust)


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    with chain(tmp_path / "chain") as (process, node):
        yield Plant(tmp_path / "site", process.url, deploy(node))


def record(loaded: Config, batches: int) -> None:
    """A number of batches, sealed and queued; ten seconds pass between two polls."""
    clock = Ahead()
    made, anchor_ms = recorder(loaded, clock, seal_count=1, required=())
    made.start()
    for k in range(batches):
        clock.ahead_s = 10 * k
        made.put(finished("export-main", anchor_ms + 10_000 * k, clock))
    made.call(lambda _: None).result(timeout=30)
    made.stop()


def test_every_batch_comes_to_the_chain_and_a_reading_is_proved_by_it(plant: Plant) -> None:
    plant.register()
    record(plant.loaded, 5)
    finish.finish(plant.loaded, within_s=60)
    store = Database(plant.loaded.database, read_only=True)
    batches = store.batches.all()
    assert len(batches) >= 5
    assert {anchor.state for anchor in store.anchors.of()} == {"settled"}
    events = [(event.batch, event.id) for event in plant.registry.anchors()]  # type: ignore[union-attr]
    assert events == [(batch.batch, statement_id(batch.entry)) for batch in batches]
    bundle = prove(store, find(store, "export-main"))
    store.close()
    with pytest.raises(PolicyNotMet):
        verify(bundle, plant.trust, NOW)
    proven = verify(bundle, plant.trust, NOW, facts=refresh(bundle, plant.trust, {"consortium": plant.url}, {}))
    assert [ledger for ledger, _ in proven.receipts] == ["consortium"]


def test_an_account_that_is_not_registered_stops_the_queue_and_says_what_to_do(plant: Plant) -> None:
    record(plant.loaded, 3)
    with pytest.raises(GatewayError, match=r"Unknown account.*meterseal-ledger evm register"):
        finish.finish(plant.loaded, within_s=60)
    assert plant.registry.anchors() == []
    plant.register()
    finish.finish(plant.loaded, within_s=60)
    assert plant.registry.last(plant.loaded.gateway_id) is not None


def test_doctor_looks_whether_the_account_may_write(plant: Plant) -> None:
    def problems() -> str:
        return " ".join(gateway_command("doctor", plant.loaded.path)[1].split())

    assert "would refuse the next batch: Unknown account" in problems()
    plant.register()
    assert "it holds no batch of this gateway yet" in problems()
    plant.registry.send(plant.registry.owner, "revoke", plant.account.address)
    assert "was revoked" in problems()
    text = plant.loaded.trust.read_text()
    plant.loaded.trust.write_text(text[: text.index("[[chain]]")])
    assert "has no [[chain]] for it" in problems()


def test_the_agent_may_make_its_driver_before_its_writer_runs(plant: Plant) -> None:
    """A driver's notes are in the database, which only the writer's thread reads."""
    clock = Clock()
    made, _ = recorder(plant.loaded, clock)
    (entry,) = plant.loaded.document.ledger
    driver = ledger_drivers.driver(plant.loaded, entry, Notes(entry.name, made))
    made.start()
    driver.close()
    made.stop()


RULES = {
    "no contract": ("contract = ", "# ", ("contract: is missing", "docs/evm.md")),
    "no chain": ("chain_id = 31337", "", ("chain_id: is missing",)),
    "no address": (
        'contract = "0x',
        'contract = "',
        ("contract: is not an address: write 0x and 40 hexadecimal digits",),
    ),
    "chain 0": ("chain_id = 31337", "chain_id = 0", ("chain_id",)),
    "over mqtt": ('url = "http://', 'url = "mqtt://', ("url", "type evm needs http://HOST:PORT")),
    "no confirmations": ("confirmations = 1", "confirmations = 0", ("confirmations",)),
    "its keys for another type": ('type = "evm"', 'type = "http"', ("chain_id", "applies to ledgers of type evm only")),
}


@pytest.mark.parametrize("name", RULES)
def test_what_cannot_be_is_named(name: str, tmp_path: Path) -> None:
    plant = Plant(tmp_path / "site", "http://127.0.0.1:1", FAR)
    old, new, words = RULES[name]
    text = plant.loaded.path.read_text()
    assert old in text
    plant.loaded.path.write_text(text.replace(old, new, 1))
    refused(plant.loaded.path, "ledger 'consortium'", *words)


FAR = Registry(Node("http://127.0.0.1:1"), bytes(range(20)), bytes(20))


def test_a_key_file_that_does_not_open_is_named(tmp_path: Path) -> None:
    plant = Plant(tmp_path / "site", "http://127.0.0.1:1", FAR)
    _, _, err = gateway_command("check", plant.loaded.path)
    assert "keystore" not in err, err
    secret, keystore = plant.folder / "keys" / "chain.password", plant.folder / "keys" / "chain.json"
    secret.write_text("wrong")
    refused(plant.loaded.path, "ledger 'consortium', keystore", "the password does not decrypt this key file")
    secret.chmod(0o644)
    refused(plant.loaded.path, "keystore_password_file", "other users can read it")
    secret.unlink()
    refused(plant.loaded.path, "keystore_password_file", "does not exist")
    secret.write_text(PASSWORD)
    secret.chmod(0o600)
    keystore.write_text("{}")
    refused(plant.loaded.path, "ledger 'consortium', keystore", "is not an encrypted key file")
    keystore.unlink()
    refused(plant.loaded.path, "ledger 'consortium', keystore", "the file does not exist")


def test_the_password_may_be_a_systemd_credential(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plant = Plant(tmp_path / "site", "http://127.0.0.1:1", FAR)
    text = plant.loaded.path.read_text()
    plant.loaded.path.write_text(text.replace('"keys/chain.password"', '"$CREDENTIALS_DIRECTORY/chain"'))
    loaded = load_config(plant.loaded.path)
    with pytest.raises(ConfigError, match="systemd passed no credentials"):
        ledger_drivers.check_accounts(loaded)
    os.rename(plant.folder / "keys" / "chain.password", tmp_path / "chain")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    ledger_drivers.check_accounts(loaded)
    assert load_account(plant.folder / "keys" / "chain.json", PASSWORD).address == plant.account.address
