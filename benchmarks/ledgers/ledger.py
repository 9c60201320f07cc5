"""Ledgers at work: statements a second, how long each waits for its receipt, and what an anchor costs on a chain.

``clients`` gateways at once, each giving its next statement when the one before is settled: over HTTP to the embedded
ledger (by a plain client, which costs little), with its log in SQLite and in PostgreSQL on the same disk, through
mosquitto to the same ledger and to a contract on anvil (by the shipped drivers, all in this process, which is part of
what is measured). The ledger writes to this machine's disk. anvil mines each transaction at once: a real chain adds the
time to its next block, and to its final one.

Each figure is the median of ``runs`` runs, in which all take turns. ``postgresql_ratio``: statements a second of the
ledger with its log there, beside those of SQLite in the same run.
"""

from __future__ import annotations

import secrets
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

from benchmarks.ledgers import chain_gas
from benchmarks.ledgers.driver_load import drive
from ledger_client.ledgers.evm.account import Account
from ledger_client.ledgers.evm.driver import EvmLedger
from ledger_client.ledgers.evm.settings import EvmSettings
from ledger_client.ledgers.interface import Notebook
from ledger_client.ledgers.mqtt import MqttLedger
from tests.campaigns.ledgers.ledger_load import Load, enrolled, submit_all
from tests.ledger_client.evm.chain import Registry, chain, deploy
from tests.support.brokers.postgres import cluster, database
from tests.support.enrolled import Gateway
from tests.support.ledger_site import CheckedLog, Site, site

SMALLEST = ({"clients": 2, "statements": 3, "evm_statements": 2, "runs": 1},)


def run(clients: int = 20, statements: int = 100, evm_statements: int = 20, runs: int = 3) -> dict[str, object]:
    """A number of ``statements`` (on the chain ``evm_statements``) of each of ``clients`` gateways, ``runs`` times."""
    loads: dict[str, list[Load]] = {"http": [], "postgresql": [], "mqtt": [], "evm": []}
    with TemporaryDirectory() as name, ExitStack() as stack:
        folder = Path(name)
        served = stack.enter_context(site(folder))
        log = stack.enter_context(database(stack.enter_context(cluster(on_disk=True)), 1))
        stored = stack.enter_context(site(folder / "postgresql", database=log))
        _, node = stack.enter_context(chain(folder / "chain"))
        gas = chain_gas.measure(deploy(node))
        for number in range(runs):
            gateways = enrolled(served.ledger, folder, clients, f"http-{number}")
            loads["http"].append(submit_all(served.ledger, gateways, statements))
            gateways = enrolled(stored.ledger, folder, clients, f"postgresql-{number}")
            loads["postgresql"].append(submit_all(stored.ledger, gateways, statements))
            loads["mqtt"].append(_mqtt(served, folder, number, clients, statements))
            loads["evm"].append(_evm(deploy(node), number, clients, evm_statements))
        served.ledger.stop()
        stored.ledger.stop()
        held = [CheckedLog(one.ledger.folder).check() for one in (served, stored)]
    counts = [sum(map(len, one.values())) for one in held]
    assert counts == [2 * runs * clients * statements, runs * clients * statements], "the logs hold something else"
    figures = {key: value for driver in loads for key, value in _figures(driver, loads[driver]).items()}
    sizes = {"clients": clients, "statements": statements, "evm_statements": evm_statements, "runs": runs}
    ratio = median(_rate(one) / _rate(other) for one, other in zip(loads["postgresql"], loads["http"], strict=True))
    return {**figures, "postgresql_ratio": ratio, **gas, **sizes}


def _mqtt(served: Site, scratch: Path, number: int, clients: int, statements: int) -> Load:
    gateways = enrolled(served.ledger, scratch, clients, f"mqtt-{number}")
    with ExitStack() as stack:
        drivers = [MqttLedger(served.name, served.broker.url) for _ in gateways]
        for driver in drivers:
            stack.callback(driver.close)
        return drive(drivers, gateways, statements)


def _evm(registry: Registry, number: int, clients: int, statements: int) -> Load:
    """Each gateway with an account of its own; an anchor counts in the block that it is in."""
    gateways = [Gateway(f"evm-{number}-{client}") for client in range(clients)]
    with ExitStack() as stack:
        drivers = []
        for gateway in gateways:
            account = Account(secrets.token_bytes(32))
            registry.node.ask("anvil_setBalance", str(account), hex(10**20))
            registry.send(registry.owner, "register", account.address, gateway.name)
            settings = EvmSettings(registry.address, registry.node.chain_id(), confirmations=1, poll_s=0.01)
            driver = EvmLedger("chain", registry.node.url, settings, account=account, memory=Notebook())
            stack.callback(driver.close)
            drivers.append(driver)
        load = drive(drivers, gateways, statements)
    assert all(known and known[0] == statements - 1 for known in map(registry.last, (g.name for g in gateways)))
    return load


def _figures(driver: str, loads: list[Load]) -> dict[str, object]:
    assert all(set(load.statuses) == {201} for load in loads), [load.statuses for load in loads]
    return {
        f"{driver}_statements_per_s": median(map(_rate, loads)),
        f"{driver}_p50_ms": median(load.percentile_ms(50) for load in loads),
        f"{driver}_p99_ms": median(load.percentile_ms(99) for load in loads),
    }


def _rate(load: Load) -> float:
    """Statements a second."""
    return len(load.latencies_s) / load.seconds
