"""Events of a contract ClaimRegistry, read from a node and replayed: who holds what, and where each claim stands.

What lies in final blocks is read once; behind them everything is read again at each look, so that a block that is
replaced leaves nothing here. The replay applies the registry's own rules (R1) to what moves. Network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from ledger_client.claims.certificate import Certificate
from ledger_client.claims.claim import Claim, Deed, Export, Retire, Transfer, Withdraw
from ledger_client.claims.memory_state import MemoryState
from ledger_client.claims.registry import ISSUER, PARTY, apply
from ledger_client.contracts import claim_registry
from ledger_client.contracts.abi import NotAbi
from ledger_client.contracts.claim_registry import (
    Event,
    Exported,
    Issued,
    Registered,
    Retired,
    Revoked,
    Rotated,
    Transferred,
    Withdrawn,
)
from ledger_client.errors import LedgerUnavailable, Refused
from ledger_client.ledgers.evm.claim_calls import claim_id
from ledger_client.ledgers.evm.finality import Finality
from ledger_client.ledgers.evm.node import Block, Log, Node, NodeError
from ledger_client.messages import Message

_MOST_BLOCKS: Final = 10_000  # of one question
_TRIES: Final = 5  # to read to the end without a block being replaced meanwhile
_TOO_LARGE: Final = "http-too-large"
_ROLES: Final = {claim_registry.PARTY: PARTY, claim_registry.ISSUER: ISSUER}

Heard = tuple[Log, Event]


@dataclass(slots=True)
class Replayed:
    """What events give. ``roles``: None for a party whose account was revoked; ``names``: by their SHA-256;
    ``about``: the claims of a certificate in their order."""

    registry: str
    state: MemoryState = field(default_factory=MemoryState)
    roles: dict[str, str | None] = field(default_factory=dict)
    names: dict[bytes, str] = field(default_factory=dict)
    about: dict[bytes, list[Heard]] = field(default_factory=dict)

    def hear(self, log: Log, event: Event) -> None:
        """The next event. Raises Refused, KeyError where no ClaimRegistry would have written it."""
        match event:
            case Registered():
                self.names[event.party], self.roles[event.name] = event.name, _ROLES[event.role]
            case Revoked():
                self.roles[self.names[event.party]] = None
            case Rotated():
                pass
            case Issued():
                self.state.issue(self._certificate(event))
                self.state.count(self.names[event.issuer])
                self.about[event.cert] = [(log, event)]
            case _:
                claim = Claim(self._party(event), event.number, self.registry, 0, self._deed(event))
                apply(self.state, claim, self.roles.get, self.registry)
                self.about[event.cert].append((log, event))

    def _certificate(self, event: Issued) -> Certificate:
        return Certificate(
            event.cert, self.names[event.issuer], self.names[event.holder], event.device, event.begin * 1000,
            event.end * 1000, event.units, event.period, event.row,
        )  # fmt: skip

    def _party(self, event: Transferred | Retired | Exported | Withdrawn) -> str:
        return self.names[event.issuer if isinstance(event, Withdrawn) else event.party]

    def _deed(self, event: Transferred | Retired | Exported | Withdrawn) -> Deed:
        match event:
            case Transferred():
                return Transfer(event.cert, (event.a, event.b), self.names[event.to])
            case Retired():
                times = event.begin * 1000, event.end * 1000
                beneficiary = event.beneficiary if any(event.beneficiary) else None
                return Retire(event.cert, (event.a, event.b), event.purpose, *times, beneficiary)
            case Exported():
                return Export(event.cert, (event.a, event.b), event.into, event.reference)
            case Withdrawn():
                return Withdraw(event.cert, event.reason)


class ClaimEvents:
    """The events of the contract at an address, from block ``since`` on, by the word of ``node``.

    Every method raises ``LedgerUnavailable``.
    """

    def __init__(self, node: Node, contract: bytes, registry: str, finality: Finality, since: int) -> None:
        self._node, self._contract, self._registry, self._finality = node, contract, registry, finality
        self._since = since
        self._settled: list[Heard] = []
        self._border: Block | None = None  # the last block that was read as final
        self._heard: list[Heard] = []
        self._places: dict[bytes, Log] = {}
        self._replayed: Replayed | None = None

    def places(self) -> Mapping[bytes, Log]:
        """Where each claim stands now, by the claim's id; of one that was called twice the first place."""
        self._look()
        return self._places

    def replayed(self) -> Replayed:
        """What all events give now."""
        self._look()
        if self._replayed is None:
            made = Replayed(self._registry)
            try:
                for log, event in self._heard:
                    made.hear(log, event)
            except (Refused, KeyError) as error:
                problem = f"an event of contract 0x{self._contract.hex()} does not follow from those before it: {error}"
                raise LedgerUnavailable(
                    f"{self._node.url}: {problem}; --since-block must not be after its deployment"
                ) from None
            self._replayed = made
        return self._replayed

    def _look(self) -> None:
        for _ in range(_TRIES):
            newest = self._block("latest")
            if self._border is not None and self._node.block(self._border.number) != self._border:
                self._border, self._settled = None, []  # what was final is not: the chain was restarted
            begin = self._since if self._border is None else self._border.number + 1
            tail = self._read(begin, newest.number)
            if self._block(newest.number).hash == newest.hash:
                self._take(tail, newest)
                return
        raise LedgerUnavailable(f"{self._node.url}: blocks are replaced faster than their events can be read")

    def _take(self, tail: list[Heard], newest: Block) -> None:
        heard = [*self._settled, *tail]
        if heard != self._heard:
            self._heard, self._replayed, self._places = heard, None, {}
            for log, event in heard:
                if (claim_hash := claim_id(event)) is not None:
                    self._places.setdefault(claim_hash, log)
        final = newest.number - self._finality.missing(self._node, newest.number)
        if final >= (self._since if self._border is None else self._border.number + 1):
            self._settled = [*self._settled, *(one for one in tail if one[0].block <= final)]
            self._border = self._block(final)

    def _read(self, begin: int, end: int) -> list[Heard]:
        found: list[Log] = []
        step = _MOST_BLOCKS
        while begin <= end:
            try:
                last = min(begin + step - 1, end)
                found += self._node.logs(self._contract, begin, [], last=last)
                begin = last + 1
            except LedgerUnavailable as error:  # a node takes fewer blocks at once, or their events are too many
                if step == 1 or not (isinstance(error, NodeError) or _code(error) == _TOO_LARGE):
                    raise
                step = max(step // 4, 1)
        try:
            events = [(log, claim_registry.event(log.topics, log.data)) for log in found]
        except NotAbi as error:
            why = str(error)
            raise LedgerUnavailable(Message("evm-not-registry", url=self._node.url, error=why)) from None
        return [(log, event) for log, event in events if event is not None]

    def _block(self, which: int | str) -> Block:
        block = self._node.block(which)
        if block is None:
            raise LedgerUnavailable(f"{self._node.url}: it does not show block {which} of its chain")
        return block


def _code(error: LedgerUnavailable) -> str:
    return error.what.code if isinstance(error.what, Message) else ""
