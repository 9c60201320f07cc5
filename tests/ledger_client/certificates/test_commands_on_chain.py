"""The walk of a certificate at a registry that is a contract on a chain: the same commands, by the same parties."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import click
import pytest

from ledger_client.certificates.mcert.file import CertificateFile
from ledger_client.cli.certificates.common import opened
from ledger_client.cli.terminal.options import UsageError
from ledger_client.contracts.claim_registry import CONTRACT, ISSUER, PARTY
from ledger_client.ledgers.evm.account import make_account
from ledger_client.verification.trust_file import load_trust
from tests.ledger_client.evm.chain import Registry, chain, deploy
from tests.ledger_client.evm.evm_site import CHAIN
from tests.support.certificates.certified import CERTIFICATE, REGISTRY, station
from tests.support.certificates.market import BACK_S, Station, trust_text
from tests.support.commands import Answer, ledger_command

ROLES = {"issuer-1": ISSUER, "works": PARTY, "mill": PARTY}
PERIOD = ["--period", "2026-10-01T00:00:00Z/2026-11-01T00:00:00Z"]
USE = ["--purpose", "RE100", *PERIOD]


@dataclass
class Town:
    """A contract, the folders and accounts of its parties, a trust file; and one whose registries are no contracts."""

    folder: Path
    url: str
    contract: Registry
    trust: Path

    @property
    def there(self) -> list[str]:
        """The registry, of which URL is a node."""
        return ["--registry", f"{REGISTRY}={self.url}", "--trust", str(self.trust)]

    def account(self, party: str) -> list[str]:
        """Options that name its account."""
        return ["--keystore", str(self.folder / f"{party}.json"), "--keystore-password-file", str(self.folder / "pass")]

    def run(self, name: str, *words: object, by: str) -> Answer:
        """``certificate NAME … --json`` by a party."""
        key = ["--key", str(self.folder / by)]
        return ledger_command("certificate", name, *words, *self.there, *key, *self.account(by), "--json")

    def station(self, name: str) -> Station:
        """A station with an hour that is stated."""
        folder = self.folder / name
        folder.mkdir()
        site = Station(folder, int(time.time() - BACK_S) * 1000)
        site.device = name
        site.node = station(certificate=CERTIFICATE | {"id": name})
        site.hour(site.node)
        return site

    def issue(self, site: Station, *words: object, by: str = "issuer-1", holder: str = "works") -> Answer:
        """``certificate issue`` of a station's statement."""
        options = ["--node", site.node_name, "--holder", holder]
        return self.run("issue", site.rows_file, *site.files, *options, *words, by=by)


@pytest.fixture(scope="module")
def town(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Town]:
    folder = tmp_path_factory.mktemp("town")
    (folder / "pass").write_text("secret")
    (folder / "pass").chmod(0o600)
    with chain(folder / "chain") as (process, node):
        contract = deploy(node, CONTRACT, REGISTRY)
        entries = []
        for name, role in ROLES.items():
            kind = {ISSUER: "issuer", PARTY: "party"}[role]
            done = ledger_command("party", "new", name, "--role", kind, "-o", folder / name)
            assert done.code == 0, done
            entries.append(ledger_command("party", "show", folder / name).out)
            account = make_account(folder / f"{name}.json", "secret", light=True)
            node.ask("anvil_setBalance", str(account), hex(10**20))
            contract.send(contract.owner, "register", account.address, name, role)
        lines = f'ledger = "{REGISTRY}"\nchain_id = {CHAIN}\ncontract = "0x{contract.address.hex()}"\n'
        entries.append(f"[[chain]]\n{lines}claims = true\nconfirmations = 1\n")
        trust = folder / "trust.toml"
        trust.write_text(trust_text(*entries))
        yield Town(folder, process.url, contract, trust)


def test_the_walk_from_issue_to_a_file_that_is_verified_online(town: Town, tmp_path: Path) -> None:
    site = town.station("walk")
    before = len(town.contract.logs())
    issued = town.issue(site)
    assert (issued.code, [hour["state"] for hour in issued.facts["hours"]]) == (0, ["issued"] * 4), issued
    assert len({log.tx for log in town.contract.logs()[before:]}) <= 2  # a day in one call
    again = town.issue(site)
    assert [hour["state"] for hour in again.facts["hours"]] == ["issued already"] * 4
    cert = issued.facts["hours"][1]["certificate"]
    assert town.run("transfer", f"{cert}:0-500", "mill", by="works").code == 0

    first, second = tmp_path / "first.mcert", tmp_path / "second.mcert"
    claims = [*(town.folder / "issuer-1" / "claims" / REGISTRY).glob("*.claim")]
    claims += (town.folder / "works" / "claims" / REGISTRY).glob("*.claim")
    made = ledger_command(
        "certificate", "prove", f"{cert}:0-500", *site.files, *claims, "--rows", site.rows_file, "-o", first
    )
    assert made.code == 0, made
    assert all(claim.locator is not None for claim in CertificateFile.parse(first.read_bytes()).claims)
    assert town.run("retire", f"{cert}:0-200", *USE, by="mill").code == 0
    claim_files = [*(town.folder / "mill" / "claims" / REGISTRY).glob("*.claim")]
    assert ledger_command("certificate", "prove", f"{cert}:0-200", first, *claim_files, "-o", second).code == 0

    online = ["--online", "--registry", f"{REGISTRY}={town.url}"]
    answer = ledger_command("certificate", "verify", second, "--trust", town.trust, *online, "--json")
    assert answer.code == 0, answer
    assert (answer.facts["verified"], answer.facts["online"], answer.facts["status"]) == (True, [], "retired")
    moved = ledger_command("certificate", "verify", first, "--trust", town.trust, *online)
    assert (moved.code, "units [0, 200) are retired by mill by now (R3)" in moved.out) == (1, True), moved
    alone = ledger_command("certificate", "verify", second, "--trust", town.trust)
    assert (alone.code, "step 2 (claims)" in alone.out, "said to be on chain 31337" in alone.out) == (1, True, True)

    shown = ledger_command("certificate", "show", cert, *town.there, "--key", town.folder / "mill", "--json").facts
    assert [(one["from"], one["to"], one["status"], one["holder"]) for one in shown["slices"]] == [
        (0, 200, "retired", "mill"), (200, 500, "held", "mill"), (500, 90_000, "held", "works"),
    ]  # fmt: skip
    assert [one["party"] for one in shown["claims"]] == ["mill"]
    listed = ledger_command("certificate", "list", "--device", "walk", *town.there, "--json").facts
    assert len(listed["certificates"]) == 4


def test_export_and_withdrawal(town: Town) -> None:
    certs = [hour["certificate"] for hour in town.issue(town.station("leaves")).facts["hours"]]
    assert town.run("export", certs[0], "--to-registry", "i-rec", "--reference", "X-1", by="works").code == 0
    assert town.run("withdraw", certs[1], "--reason", "mistake", by="issuer-1").code == 0
    done = town.run("withdraw", certs[0], "--reason", "mistake", by="issuer-1")
    assert (done.code, [one["title"] for one in done.facts["refused"]]) == (1, ["Final"])


def test_refusals_before_anything_is_sent(town: Town) -> None:
    site = town.station("refused")
    assert town.issue(site, by="mill").code == 1
    bare = ["--key", town.folder / "works", *town.there]
    done = ledger_command("certificate", "transfer", "00" * 32, "mill", *bare)
    assert (done.code, "--keystore is missing" in done.err, "evm account makes one" in done.err) == (2, True, True)
    done = ledger_command("certificate", "transfer", "00" * 32, "mill", *bare, "--keystore", town.folder / "works.json")
    assert (done.code, "--keystore-password-file is missing" in done.err) == (2, True)
    cert = town.issue(site).facts["hours"][0]["certificate"]
    other = ["--key", town.folder / "works", *town.there, *town.account("mill")]
    done = ledger_command("certificate", "transfer", cert, "mill", *other, "--json")
    assert done.code == 1, done
    (refusal,) = done.facts["refused"]
    assert refusal["title"] == "Unknown party"
    assert "does not write for works" in refusal["detail"]
    assert "evm register" in refusal["detail"]
    assert town.run("transfer", cert, "mill", by="works").code == 0


def test_a_command_without_an_account_is_told_that_a_contract_takes_no_such_claim(town: Town) -> None:
    """As `balance`, whose claims are for the log of an embedded ledger."""
    with click.Context(click.Command("balance")), pytest.raises(UsageError, match=r"takes no such claim.*R8"):
        opened(f"{REGISTRY}={town.url}", None, trust=load_trust(town.trust), writes=True)
