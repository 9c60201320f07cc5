"""A ClaimRegistry on a chain with its parties, each of which numbers its claims, and C1 said once more."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from ledger_client.contracts.abi import Argument, number
from ledger_client.contracts.claim_registry import CONTRACT, ISSUER, PARTY, Event, event
from ledger_client.ledgers.evm.node import Node, TxReceipt
from tests.ledger_client.evm.chain import Registry, accounts, deploy

REGISTRY = "registry.example"
DAY_S = 86400
DAY = 20_000  # of the hours here, counted since 1970
NOBODY = bytes(20)


def h(text: str) -> bytes:
    return hashlib.sha256(text.encode()).digest()


class Cert(NamedTuple):
    """What C1 makes a certificate of."""

    issuer: str
    device: str
    begin: int
    end: int
    units: int
    period: str
    row: str
    holder: str

    @property
    def id(self) -> bytes:
        edges = b"".join(n.to_bytes(8) for n in (self.begin, self.end, self.units))
        names = h(REGISTRY) + h(self.issuer) + h(self.device)
        return hashlib.sha256(names + edges + h(self.period) + h(self.row) + h(self.holder)).digest()

    @property
    def interval(self) -> tuple[bytes | int, ...]:
        """As ``issue`` takes it."""
        words = h(self.period), h(self.row), h(self.holder), h(f"claim of {self.row}")
        return self.begin, self.end, self.units, *words

    @property
    def parts(self) -> tuple[bytes | int, ...]:
        """As ``withdraw`` takes them."""
        named = h(self.period), h(self.row), h(self.holder)
        return h(self.device), self.begin, self.end, self.units, *named


def hour(n: int, units: int = 100, holder: str = "buyer", device: str = "turbine", issuer: str = "issuer") -> Cert:
    """The certificate of an hour of the day."""
    begin = DAY * DAY_S + n * 3600
    return Cert(issuer, device, begin, begin + 3600, units, f"period {n // 24}", f"row {n}", holder)


@dataclass(slots=True)
class Claims:
    """The contract, and who writes for whom."""

    registry: Registry
    account: dict[str, bytes] = field(default_factory=dict)
    numbers: Counter[str] = field(default_factory=Counter)
    used: int = 0

    def fresh(self) -> bytes:
        """An account of the node that nobody has used here."""
        self.used += 1
        return accounts(self.registry.node)[self.used]

    def fresh_left(self) -> int:
        """How many more of them there are."""
        return len(accounts(self.registry.node)) - self.used - 1

    def register(self, name: str, role: int) -> TxReceipt:
        self.account[name] = self.fresh()
        return self.call_as_owner("register", self.account[name], name, role)

    def call_as_owner(self, method: str, *arguments: Argument) -> TxReceipt:
        """The owner's call."""
        return self.registry.send(self.registry.owner, method, *arguments)

    def claim(self, who: str, method: str, *arguments: Argument) -> TxReceipt:
        """A party's next claim; raises ``Reverted``."""
        receipt = self.registry.send(self.account[who], method, self.numbers[who], *arguments)
        self.numbers[who] += 1
        return receipt

    def issue(self, *certs: Cert) -> TxReceipt:
        """One call for certificates of one issuer and device."""
        who = certs[0].issuer
        intervals = [cert.interval for cert in certs]
        receipt = self.registry.send(self.account[who], "issue", self.numbers[who], h(certs[0].device), intervals)
        self.numbers[who] += len(certs)
        return receipt

    def slice(self, cert: Cert, start: int) -> tuple[int, int, bytes]:
        """(end, status, SHA-256 of the holder) of a slice."""
        end, status, holder = self.registry.view("slice", cert.id, start, count=3)
        return number(end), number(status), holder

    def quarters(self, device: str = "turbine", day: int = DAY) -> int:
        """The bits that are taken of a device's day."""
        return number(self.registry.view("taken", h(device), day)[0], 96)

    def next(self, name: str) -> int:
        return number(self.registry.view("nextNumber", h(name))[0])

    def events(self) -> list[Event]:
        """Every event of the contract, in order, but those of its ownership."""
        events = (event(log.topics, log.data) for log in self.registry.logs())
        return [one for one in events if one is not None]


def claims(node: Node) -> Claims:
    """A fresh registry with an issuer and two parties."""
    made = Claims(deploy(node, CONTRACT, REGISTRY))
    for name, role in (("issuer", ISSUER), ("buyer", PARTY), ("other", PARTY)):
        made.register(name, role)
    return made
