"""The owner's commands, as docs/evm.md writes them down, in its order."""

from __future__ import annotations

import hashlib
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ledger_client.ledgers.evm.node import Node
from tests.ledger_client.evm.chain import chain
from tests.support.commands import Answer, ledger_command
from tests.support.processes import Anvil

DOCS = Path(__file__).parents[3] / "docs" / "evm.md"
SECRETS = {"owner.password": "of the owner", "gateway.password": "of the gateway"}


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Anvil]:
    monkeypatch.chdir(tmp_path)
    for name, secret in SECRETS.items():
        path = tmp_path / name
        path.write_text(secret)
        path.chmod(0o600)
    with chain(tmp_path / "chain") as (process, node):
        yield process
        assert node.url == process.url


def run(line: str) -> Answer:
    return ledger_command(*shlex.split(line))


def refused(line: str) -> str:
    return run(line).ended(2).err


def test_the_documented_way_works(running: Anvil) -> None:
    block = re.search(r"```\n(meterseal-ledger evm account.*?)```", DOCS.read_text(), re.DOTALL)
    assert block is not None
    names: dict[str, str] = {}
    printed = []
    for line in block[1].strip().splitlines():
        command = line.removeprefix("meterseal-ledger ").replace("http://127.0.0.1:8545", running.url)
        for name, value in names.items():
            command = command.replace(name, value)
        verb = command.split()[1]
        done = run(command + " --light" * (verb == "account" and "--light" not in command))  # for the test's own speed
        assert done.code == 0, (command, done)
        printed.append(done.out.strip())
        if verb == "account":
            names["ACCOUNT"] = printed[-1]
            fund(running, printed[-1])
        elif verb == "deploy":
            names["CONTRACT"] = printed[-1]
    assert printed[-1] == (
        f"chain 31337, owned by {printed[0]}\ngateway yunnan-hydro-07: account {names['ACCOUNT']}, nothing anchored"
    )
    the_rest(running, names["CONTRACT"], printed[0], names["ACCOUNT"])


def the_rest(running: Anvil, contract: str, owner: str, account: str) -> None:
    way = f"--rpc {running.url} --key owner.json --password-file owner.password"
    one, two = "0x" + "11" * 20, "0x" + "22" * 20
    assert run(f"evm rotate {contract} {account} {one} {way}").code == 0
    assert shown(running, contract)["gateways"]["gw"]["account"] is None
    assert shown(running, contract)["gateways"]["yunnan-hydro-07"]["account"] == one
    assert "Account was used before" in refused(f"evm register {contract} {account} gw {way}")
    assert run(f"evm revoke {contract} {one} {way}").code == 0
    assert shown(running, contract)["gateways"]["yunnan-hydro-07"]["account"] is None
    for remove in ("", "--remove"):
        assert run(f"evm bridge {contract} {two} {remove} {way}").code == 0
    heir = f"--rpc {running.url} --key gateway.json --password-file gateway.password"
    assert "Not the owner" in refused(f"evm register {contract} {two} gw {heir}")
    assert run(f"evm offer {contract} {account} {way}").code == 0
    assert shown(running, contract)["owner"] == owner
    assert run(f"evm take {contract} {heir} --legacy").code == 0
    assert shown(running, contract)["owner"] == account
    assert "Not the owner" in refused(f"evm revoke {contract} {two} {way}")


def shown(running: Anvil, contract: str) -> dict[str, Any]:
    done = run(f"evm show {contract} gw yunnan-hydro-07 --json --rpc {running.url}")
    assert done.code == 0
    facts: dict[str, Any] = done.facts
    return facts


def fund(running: Anvil, account: str) -> None:
    node = Node(running.url)
    node.ask("anvil_setBalance", account, hex(10**20))
    node.close()


def test_a_registry_of_claims_is_owned_by_the_same_commands(running: Anvil) -> None:
    way = f"--rpc {running.url} --key owner.json --password-file owner.password"
    owner = run("evm account owner.json --password-file owner.password --light").out.strip()
    fund(running, owner)
    assert "no name of a registry" in run(f"evm deploy --claims 'a b' {way}").output
    contract = run(f"evm deploy --claims consortium {way}").out.strip()
    one, two, three = ("0x" + digits * 20 for digits in ("11", "22", "33"))
    registered = run(f"evm register {contract} {one} works {way}")
    assert registered.out.startswith(f"account {one} writes for party works (block ")
    assert "writes for issuer mint" in run(f"evm register {contract} {two} mint --role issuer {way}").out
    assert "Name has another role" in refused(f"evm register {contract} {three} mint {way}")
    assert "--role" in run(f"evm register {contract} {three} mill --role owner {way}").output
    assert run(f"evm rotate {contract} {one} {three} {way}").code == 0
    assert run(f"evm revoke {contract} {two} {way}").code == 0
    done = run(f"evm show {contract} works mint nobody --rpc {running.url}")
    digest = hashlib.sha256(b"consortium").hexdigest()
    assert done.out.splitlines() == [
        f"chain 31337, owned by {owner}, for the registry of SHA-256 {digest}",
        f"party works: account {three}, next claim 0",
        "party mint: account none, next claim 0",
        "party nobody: account none, next claim 0",
    ]
    assert run(f"evm show {contract} works --json --rpc {running.url}").facts == {
        "chain": 31337, "owner": owner, "registry": digest,
        "parties": {"works": {"account": three, "role": "party", "next": 0}},
    }  # fmt: skip
    assert "has no roots" in refused(f"evm show {contract} --root {digest} --rpc {running.url}")
    assert "is not AnchorRegistry" in refused(f"evm bridge {contract} {two} {way}")
    anchors = run(f"evm deploy {way}").out.strip()
    assert "whose accounts write for gateways" in refused(f"evm register {anchors} {two} gw --role party {way}")
    assert run(f"evm offer {contract} {two} {way}").code == 0
    assert "Not the heir" in refused(f"evm take {contract} {way}")


def test_mistakes_are_told(running: Anvil) -> None:
    address = "0x" + "11" * 20
    way = f"--rpc {running.url} --key owner.json --password-file owner.password"
    assert "does not exist" in refused(f"evm deploy {way}")
    assert run("evm account owner.json --password-file owner.password --light").code == 0
    assert "the file already exists" in refused("evm account owner.json --password-file owner.password")
    assert "No funds" in refused(f"evm deploy {way}")
    assert "is neither AnchorRegistry nor ClaimRegistry" in refused(f"evm revoke {address} {address} {way}")
    assert "is neither AnchorRegistry nor ClaimRegistry" in refused(f"evm show {address} --rpc {running.url}")
    assert "does not decrypt" in refused(f"evm deploy {way.replace('owner.password', 'gateway.password')}")
    Path("owner.password").chmod(0o644)
    assert "other users can read it" in refused(f"evm deploy {way}")
    for rpc in ("127.0.0.1:8545", "ws://127.0.0.1:8545", "http://"):
        assert "--rpc: is not an HTTP address\n  fix: use http://HOST:PORT" in refused(
            f"evm show {address} --rpc {rpc}"
        )
    assert "no address" in run(f"evm show 0x12 --rpc {running.url}").output
    assert "no name of a gateway or a party" in run(f"evm show {address} 'a b' --rpc {running.url}").output
    assert "addresses are written to logs" in refused(f"evm show {address} --rpc http://u:p@127.0.0.1:1")
