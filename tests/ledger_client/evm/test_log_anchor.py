"""The head of an embedded ledger's log on a chain: written by a bridge, found there by whoever has the log."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger_client.formats.merkle import Tree, leaf_hash, root_from_consistency
from ledger_client.ledgers.evm.node import Node
from ledger_client.transparency.ledger.directory import LedgerDir, open_dir
from ledger_client.transparency.ledger.show import log_state, trust_entry
from ledger_client.transparency.log import tree
from ledger_client.transparency.log.log import Log
from tests.ledger_client.evm.chain import accounts, deploy
from tests.ledger_client.evm.test_cli import fund, refused, run, running
from tests.support.processes import Anvil, embedded_ledger
from tests.system.machine_contract import answer_keys, published_keys

__all__ = ["running"]


@pytest.fixture
def folder(running: Anvil, tmp_path: Path) -> Iterator[LedgerDir]:
    with closing(open_dir(tmp_path / "ledger", "demo")) as folder:
        yield folder


def add(folder: LedgerDir, count: int) -> None:
    with folder.log.write() as log:
        for number in range(count):
            log.append(b"entry %d of %d" % (number, log.size()), None)


def mirror(folder: LedgerDir) -> list[bytes]:
    with folder.log.read() as log:
        return [leaf_hash(entry) for _, entry in log.entries(0, log.size())]


def test_a_log_head_stands_on_the_chain(running: Anvil, folder: LedgerDir) -> None:
    for name in ("owner", "gateway"):
        fund(running, run(f"evm account {name}.json --password-file {name}.password --light").out.strip())
    owner = f"--rpc {running.url} --key owner.json --password-file owner.password"
    bridge = f"--rpc {running.url} --key gateway.json --password-file gateway.password"
    account = "0x" + json.loads(Path("gateway.json").read_text())["address"].removeprefix("0x")
    contract = run(f"evm deploy {owner}").out.strip()

    add(folder, 4)
    assert "Unknown account" in refused(f"evm anchor-log {contract} ledger {bridge}")
    assert run(f"evm bridge {contract} {account} {owner}").code == 0
    size, root = log_state(folder.path)
    printed = run(f"evm anchor-log {contract} ledger {bridge}").out
    assert printed.startswith(f"{size} entries, root {root.hex()} (block ")
    assert "there since block" in run(f"evm anchor-log {contract} ledger {bridge}").out

    add(folder, 7)
    assert run(f"evm anchor-log {contract} ledger {bridge}").code == 0
    hashes = mirror(folder)
    newer = Tree(hashes).root
    asked = f"evm show {contract} --root {Tree(hashes[:size]).root.hex()} --root 0x{newer.hex()} --root {'00' * 32}"
    held = run(f"{asked} --json --rpc {running.url}").facts["roots"]
    assert held[root.hex()][0] == size
    assert held[newer.hex()][0] == len(hashes)
    assert held["00" * 32] is None
    with folder.log.read() as log:
        path = tree.consistency(size, len(hashes), log.node)
    assert root_from_consistency(size, len(hashes), root, path) == newer
    lines = run(f"{asked} --rpc {running.url}").out.splitlines()
    assert lines[1].startswith(f"root {root.hex()}: {size} entries, since block ")
    assert lines[-1] == f"root {'00' * 32}: not anchored"
    assert run(f"evm show {contract} --root 12 --rpc {running.url}").code == 2


def fill(log: Log, *entries: bytes) -> None:
    with log.write() as writing:
        for number, entry in enumerate(entries):
            writing.append(entry, lambda _: b"", gateway=entry.decode(), batch=number)


def test_a_log_is_held_against_what_stands_on_the_chain(running: Anvil, tmp_path: Path) -> None:
    true, false = tmp_path / "true", tmp_path / "false"
    with closing(open_dir(true, "demo")):
        pass
    shutil.copytree(true, false)
    for place, first in ((true, b"one"), (false, b"another")):
        with closing(open_dir(place, "demo")) as held:
            fill(held.log, first, b"two")
    node = Node(running.url)
    registry = deploy(node)
    bridge = accounts(node)[1]
    registry.send(registry.owner, "setBridge", bridge, 1)
    size, root = log_state(true)
    registry.send(bridge, "anchorMany", root, size)
    Path("trust.toml").write_text('[policy]\nreceipts = 1\nledgers = ["demo"]\n' + trust_entry(true))
    asked = f"evm check-log 0x{registry.address.hex()} %s --trust trust.toml --rpc {running.url} --ledger demo=%s"

    with embedded_ledger(true, "demo") as ledger:
        once = f"{asked % (root.hex(), ledger.url)} --confirmations 1"
        assert "CONSISTENT: the log of demo begins with them, 3 entries" in run(once).out
        assert "not final yet" in run(f"{asked % (root.hex(), ledger.url)}").out
        assert "holds no root" in run(f"{asked % ('11' * 32, ledger.url)} --confirmations 1").out
        with closing(Log.open(true / "log.db")) as grows:
            fill(grows, b"three")
        answer = run(f"{once} --json").facts
    assert (answer["consistent"], answer["entries"], answer["log"]["entries"]) == (True, 3, 4)
    assert (answer["root"], answer["account"]) == (root.hex(), "0x" + bridge.hex())
    assert answer_keys(answer) == published_keys("meterseal-ledger evm check-log")

    with embedded_ledger(false, "demo") as ledger:
        done = run(f"{asked % (root.hex(), ledger.url)} --confirmations 1 --json")
        refusal = done.facts
        assert (done.code, refusal["error"]) == (1, "Inconsistent")
        assert set(refusal) == {"consistent", "error", "detail"}
        registry.send(bridge, "anchorMany", bytes(31) + b"\1", 2)
        done = run(f"{asked % (bytes(31).hex() + '01', ledger.url)} --confirmations 1")
        assert done.code == 1
        assert f"written by account 0x{bridge.hex()}" in done.out
    assert "127.0.0.1" in refused(f"{asked % (root.hex(), ledger.url)} --confirmations 1")
    assert "--ledger demo" in refused(f"{asked % (root.hex(), 'x')}")
    node.close()
