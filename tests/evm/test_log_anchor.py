"""The head of an embedded ledger's log on a chain: written by a bridge, found there by whoever has the log."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ledger_client.merkle import Tree, leaf_hash, root_from_consistency
from ledger_client.transparency import tree
from ledger_client.transparency.directory import LedgerDir, open_dir
from ledger_client.transparency.show import log_state
from tests.evm.test_cli import fund, refused, run, running
from tests.processes import Anvil

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
        fund(running, run(f"evm account {name}.json --password-file {name}.password --light").stdout.strip())
    owner = f"--rpc {running.url} --key owner.json --password-file owner.password"
    bridge = f"--rpc {running.url} --key gateway.json --password-file gateway.password"
    account = "0x" + json.loads(Path("gateway.json").read_text())["address"].removeprefix("0x")
    contract = run(f"evm deploy {owner}").stdout.strip()

    add(folder, 4)
    assert "Unknown account" in refused(f"evm anchor-log {contract} ledger {bridge}")
    assert run(f"evm bridge {contract} {account} {owner}").exit_code == 0
    size, root = log_state(folder.path)
    told = run(f"evm anchor-log {contract} ledger {bridge}").stdout
    assert told.startswith(f"{size} entries, root {root.hex()} (block ")
    assert "there since block" in run(f"evm anchor-log {contract} ledger {bridge}").stdout

    add(folder, 7)
    assert run(f"evm anchor-log {contract} ledger {bridge}").exit_code == 0
    hashes = mirror(folder)
    newer = Tree(hashes).root
    asked = f"evm show {contract} --root {Tree(hashes[:size]).root.hex()} --root 0x{newer.hex()} --root {'00' * 32}"
    held = json.loads(run(f"{asked} --json --rpc {running.url}").stdout)["roots"]
    assert held[root.hex()][0] == size
    assert held[newer.hex()][0] == len(hashes)
    assert held["00" * 32] is None
    with folder.log.read() as log:
        path = tree.consistency(size, len(hashes), log.node)
    assert root_from_consistency(size, len(hashes), root, path) == newer
    lines = run(f"{asked} --rpc {running.url}").stdout.splitlines()
    assert lines[1].startswith(f"root {root.hex()}: {size} entries, since block ")
    assert lines[-1] == f"root {'00' * 32}: not anchored"
    assert run(f"evm show {contract} --root 12 --rpc {running.url}").exit_code == 2
