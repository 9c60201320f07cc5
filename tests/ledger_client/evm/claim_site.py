"""A ClaimRegistry on a chain, parties with accounts of their own, and the driver that each of them uses."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from ledger_client.contracts.claim_registry import CONTRACT
from ledger_client.contracts.claim_registry import ISSUER as ISSUER_ROLE
from ledger_client.contracts.claim_registry import PARTY as PARTY_ROLE
from ledger_client.ledgers.evm.account import Account
from ledger_client.ledgers.evm.claim_driver import EvmRegistry
from ledger_client.ledgers.evm.node import Node
from ledger_client.ledgers.evm.settings import EvmSettings
from tests.ledger_client.evm.chain import Registry, deploy
from tests.ledger_client.evm.evm_site import CHAIN, fresh_key
from tests.support.certificates.claimed import Party
from tests.support.processes import Anvil

REGISTRY = "reg"


@dataclass
class ClaimSite:
    """``kept``: signed claims by their ids, which all parties here have."""

    process: Anvil
    node: Node
    registry: Registry
    parties: dict[str, Party] = field(default_factory=dict)
    accounts: dict[str, Account] = field(default_factory=dict)
    kept: dict[bytes, bytes] = field(default_factory=dict)

    def enrol(self, name: str, role: int = PARTY_ROLE) -> Party:
        """A party with an account that writes for it."""
        account = self.account(name)
        self.call_as_owner("register", account.address, name, role)
        self.parties[name] = Party(name, {PARTY_ROLE: "party", ISSUER_ROLE: "issuer"}[role], REGISTRY)
        return self.parties[name]

    def account(self, name: str) -> Account:
        """A new account with money, which ``name`` uses from now on."""
        self.accounts[name] = Account(fresh_key())
        self.rpc("anvil_setBalance", "0x" + self.accounts[name].address.hex(), hex(10**20))
        return self.accounts[name]

    def call_as_owner(self, method: str, *arguments: Any) -> None:
        """A call of the contract's owner."""
        self.registry.send(self.registry.owner, method, *arguments)

    @contextmanager
    def driver(self, who: str | None, name: str = REGISTRY, **changes: Any) -> Iterator[EvmRegistry]:
        """A fresh driver, of one who only looks (None), or of a party."""
        settings = EvmSettings(self.registry.address, CHAIN, confirmations=1, poll_s=0.001)
        settings = replace(settings, **changes.pop("settings", {}))
        usual: dict[str, Any] = {"account": self.accounts[who] if who else None, "entries": self.kept}
        driver = EvmRegistry(name, changes.pop("url", self.process.url), settings, **(usual | changes))
        try:
            yield driver
        finally:
            driver.close()

    def rpc(self, method: str, *parameters: object) -> Any:
        """A call of the node's own."""
        return self.node.ask(method, *parameters)


def claim_site(process: Anvil, node: Node) -> ClaimSite:
    """A new contract with an issuer and two parties."""
    site = ClaimSite(process, node, deploy(node, CONTRACT, REGISTRY))
    site.enrol("mint", ISSUER_ROLE)
    for name in ("owner", "works"):
        site.enrol(name)
    return site
