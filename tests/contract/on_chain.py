"""The contract's stand for ledgers on a chain: AnchorRegistry on anvil."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, ClassVar

from gateway.config.ledger import Contract
from gateway.config.model import Config
from gateway.evidence.settlement import NotOurs, demand_settled
from ledger_client.contracts import anchor_registry
from ledger_client.contracts.anchor_registry import Anchored, gateway_hash
from ledger_client.formats.bundle import decode_locator
from ledger_client.formats.statement import statement_id
from ledger_client.ledgers.evm.account import Account
from ledger_client.ledgers.evm.driver import EvmLedger
from ledger_client.ledgers.evm.settings import EvmSettings
from ledger_client.ledgers.interface import DriverNotes, Ledger, Notebook
from ledger_client.transparency.ledger.admission import KEY_NOT_VALID, UNKNOWN_KEY
from ledger_client.verification.trust_file import parse_trust
from tests.contract.faults import Faults
from tests.contract.stands import Stand
from tests.contract.wire import NodeWire
from tests.ledger_client.evm.chain import chain, deploy
from tests.support.enrolled import Gateway

NAME, CHAIN = "demo-ledger", 31337
_NOBODY = parse_trust(f'[policy]\nreceipts = 1\nledgers = ["{NAME}"]\n', "trust.toml")


class EvmStand(Stand):
    """One contract; each gateway has an account of its own."""

    tells_statements = takes_receipts = False
    titles: ClassVar = {UNKNOWN_KEY: "Unknown account", KEY_NOT_VALID: "Unknown account"}

    def __init__(self, folder: Path, stack: ExitStack, faults: Faults) -> None:
        super().__init__(faults)
        self.process, self.node = stack.enter_context(chain(folder))
        self.registry = deploy(self.node)
        self.contract = Contract(CHAIN, self.registry.address)
        self.wire = NodeWire(self.process.port, faults)
        stack.callback(self.wire.close)
        self.settings: dict[str, Any] = {"confirmations": 1, "poll_s": 0.01}
        self._accounts: dict[str, Account] = {}

    def rpc(self, method: str, *parameters: object) -> Any:
        """A call of the node's own, such as ``evm_mine``."""
        return self.node.ask(method, *parameters)

    def make(self, gateway: str, memory: DriverNotes | None, timeout_s: float) -> Ledger:
        settings = EvmSettings(self.registry.address, CHAIN, timeout_s=timeout_s, **self.settings)
        account = self._account(gateway)
        notes = Notebook() if memory is None else memory
        return EvmLedger(NAME, self.wire.url, settings, account=account, memory=notes)

    def begin(self) -> None:
        self.process.start()

    def end(self, *, kill: bool) -> None:
        """A node keeps its chain only when it stops in order."""
        assert self.process.stop() == 0

    def enroll(self, gateway: Gateway) -> Gateway:
        self._register(gateway.name)
        return gateway

    def admit(self, loaded: Config) -> None:
        self._register(loaded.gateway_id)

    @contextmanager
    def revoked(self, gateway: Gateway) -> Iterator[None]:
        """An account is out for ever: the gateway gets another one."""
        self.registry.send(self.registry.owner, "revoke", self._accounts.pop(gateway.name).address)
        yield
        self._register(gateway.name)

    def held(self, gateway: str) -> list[int]:
        batches: list[int] = []
        last = bytes(32)
        for event in self.registry.anchors():
            if isinstance(event, Anchored) and event.gateway == gateway_hash(gateway):
                assert event.resume or not batches or (event.batch, event.prev) == (batches[-1] + 1, last)
                assert self.registry.get(gateway, event.batch) == event.id
                batches.append(event.batch)
                last = event.id
        return batches

    def demand(self, entry: bytes, answer: bytes) -> None:
        demand_settled(entry, answer, NAME, _NOBODY, 0, self.contract)
        place = decode_locator(answer)
        receipt = self.node.receipt(place.tx)
        if receipt is None or (receipt.block, receipt.block_hash) != (place.block, place.block_hash):
            raise NotOurs("the chain does not have it there")
        events = [anchor_registry.event(log.topics, log.data) for log in receipt.logs]
        assert [event.id for event in events if isinstance(event, Anchored)] == [statement_id(entry)]

    def _account(self, gateway: str) -> Account:
        if gateway not in self._accounts:
            account = self._accounts[gateway] = Account(secrets.token_bytes(32))
            self.rpc("anvil_setBalance", str(account), hex(10**20))
        return self._accounts[gateway]

    def _register(self, gateway: str) -> None:
        self.registry.send(self.registry.owner, "register", self._account(gateway).address, gateway)
