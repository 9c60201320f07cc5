"""Registry on an EVM chain: claims written to a contract ClaimRegistry, once each, and what its events show. Network.

What settles a claim is a locator (``bundle.encode_locator``), once its block is final. The contract's events are the
judge of what was written: before a claim is sent, and after each block, the event with its id is looked for. So a crash
or a replaced block costs gas, never a second claim. The contract has no signed claims; whoever shows a certificate
gets those that it was given.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Final, NoReturn

from ledger_client.claims.answers import Receipted, Shown
from ledger_client.claims.certificate import digest
from ledger_client.claims.claim import Issue, Withdraw, parse_claim
from ledger_client.claims.registry import (
    FINAL,
    MALFORMED,
    NOT_THE_HOLDER,
    NOT_THE_ISSUER,
    NOT_THIS_SLICE,
    NUMBER_TAKEN,
    ORIGIN_TAKEN,
    OUT_OF_ORDER,
    UNKNOWN_PARTY,
)
from ledger_client.contracts.abi import NotAbi, flag, words
from ledger_client.contracts.claim_registry import CONTRACT
from ledger_client.errors import LedgerUnavailable, Malformed, Refused
from ledger_client.formats.bundle import Locator, encode_locator
from ledger_client.ledgers.evm.account import Account
from ledger_client.ledgers.evm.claim_calls import (
    ExpectedEvent,
    call,
    claim_id,
    expected_event,
    groups,
    issue_call,
    parts_of,
)
from ledger_client.ledgers.evm.claim_events import ClaimEvents, Heard, Replayed
from ledger_client.ledgers.evm.finality import Finality
from ledger_client.ledgers.evm.node import Log, Node, Reverted
from ledger_client.ledgers.evm.settings import EvmSettings
from ledger_client.ledgers.evm.transactions import TransactionQueue
from ledger_client.ledgers.evm.views import demand_chain, is_claim_registry
from ledger_client.ledgers.interface import Notebook
from ledger_client.messages import Message
from ledger_client.transport.access import Access

GAS_LIMIT: Final = 2_000_000
"""Of a call: 24 hours issued take 820,000."""
_WAYS: Final[Mapping[str, str]] = {
    UNKNOWN_PARTY: "the contract's owner registers an account for the name (meterseal-ledger evm register)",
    NUMBER_TAKEN: "another claim of this party was taken meanwhile: see what it did, then give the command again",
    OUT_OF_ORDER: "an earlier claim of this party is missing on the chain: give the command again",
    NOT_THE_ISSUER: "an account with the role issuer issues, and withdraws what it has issued itself",
    ORIGIN_TAKEN: "the quarter hour of this device has a certificate already: certificate list shows it",
    NOT_THE_HOLDER: "certificate show says who holds which units",
    NOT_THIS_SLICE: "certificate show says how many units there are",
    FINAL: "units that were retired, exported or withdrawn do not move; certificate show says which are held",
    MALFORMED: "the contract takes intervals of whole quarter hours, of one device and UTC day in a call",
}
"""Ways out of a refusal, by the contract's title."""


class EvmRegistry:
    """The contract of ``settings`` at a node of its chain, as a ``RegistryClient``; for one process at a time."""

    def __init__(
        self,
        name: str,
        url: str,
        settings: EvmSettings,
        *,
        account: Account | None = None,
        entries: Mapping[bytes, bytes] = MappingProxyType({}),
        since: int = 0,
        access: Access | None = None,
        wait_s: float = 900.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """No connection is made yet.

        Args:
            name: the registry's name, for which the contract was deployed.
            url: a node of the chain.
            settings: contract, chain, fees, finality, pauses.
            account: who signs the transactions; None: nothing is submitted.
            entries: signed claims behind what the contract shows, by their ids.
            since: the block from which on the contract's events are read; not after its deployment.
            access: how to get in at the node.
            wait_s: seconds after which a claim that is not final yet is ``LedgerUnavailable``.
            sleep: pauses for so many seconds.
            clock: monotonic seconds.
        """
        self.name = name
        self._settings, self._account, self._entries = settings, account, entries
        self._wait_s, self._sleep, self._clock = wait_s, sleep, clock
        self._node = Node(url, access, timeout_s=settings.timeout_s)
        self._finality = Finality(settings.confirmations)
        self._events = ClaimEvents(self._node, settings.contract, name, self._finality, since)
        self._checked = False
        if account is not None:
            self._lane = TransactionQueue(
                self._node, account, replace(settings, gas_limit=GAS_LIMIT), Notebook(), clock
            )

    def submit(self, entry: bytes) -> bytes:
        """See RegistryClient: a locator, when the claim is final."""
        (locator,) = self.submit_many([entry])
        return locator

    def submit_many(self, entries: Sequence[bytes]) -> list[bytes]:
        """Offer claims of one party in their order; issues for one device and day go together. Their locators.

        Raises ``Refused`` for the first that the contract does not take: those before it were written, none after it.
        """
        if self._account is None:
            raise Refused(UNKNOWN_PARTY, "no account was given that writes to the contract: give its key file as --key")
        many = [self._read(entry) for entry in entries]
        with self._asking():
            for party in dict.fromkeys(one.signed.claim.party for one in many):
                self._demand_account(party, self._account)
            until = self._clock() + self._wait_s
            while (places := self._final(many)) is None:
                known = self._events.places()
                for group in groups([one for one in many if one.id not in known]):
                    self._settle(group)
                self._pause(until, many)
            return [encode_locator(place) for place in places]

    def party(self, name: str) -> tuple[int, str | None]:
        """See RegistryClient."""
        with self._asking():
            now = self._events.replayed()
        return now.state.next_number(name), now.roles.get(name)

    def certificate(self, cert: bytes) -> Shown | None:
        """See RegistryClient; with those of its claims that were given."""
        with self._asking():
            now = self._events.replayed()
            known = now.state.certificate(cert)
            if known is None:
                return None
            return Shown(known, tuple(now.state.slices(cert, known.whole)), tuple(self._claims(now.about[cert])))

    def of_device(self, device: bytes, from_ms: int, to_ms: int) -> Iterator[Shown]:
        """See RegistryClient."""
        with self._asking():
            now = self._events.replayed()
        found = (one for one in now.state.certificates.values() if one.device == device)
        inside = [one for one in found if from_ms <= one.from_ms < to_ms]
        for known in sorted(inside, key=lambda one: (one.from_ms, one.id)):
            yield Shown(known, tuple(now.state.slices(known.id, known.whole)))

    def of_holder(self, party: str) -> Iterator[Shown]:
        """See RegistryClient."""
        with self._asking():
            now = self._events.replayed()
        for known in sorted(now.state.certificates.values(), key=lambda one: one.id):
            held = [one for one in now.state.slices(known.id, known.whole) if one.holder == party]
            if held:
                yield Shown(known, tuple(held))

    def close(self) -> None:
        """See RegistryClient."""
        self._node.close()

    @contextmanager
    def _asking(self) -> Iterator[None]:
        """Whatever is asked is asked of the right contract on the right chain."""
        try:
            if not self._checked:
                self._check()
                self._checked = True
            yield
        except NotAbi as error:
            why = str(error)
            raise LedgerUnavailable(Message("evm-not-registry", url=self._node.url, error=why)) from None

    def _check(self) -> None:
        chain, contract = self._settings.chain_id, self._settings.contract
        demand_chain(self._node, chain)
        code = self._node.code(contract)
        if not is_claim_registry(code):
            raise Refused("Wrong contract", Message("evm-none-of-ours", contract=contract.hex(), chain=chain))
        if not is_claim_registry(code, self.name):
            problem = f"contract 0x{contract.hex()} is of a registry of another name than {self.name}"
            raise Refused("Wrong contract", f"{problem}; give the name that it was deployed for (C1)")

    def _read(self, entry: bytes) -> ExpectedEvent:
        try:
            signed = parse_claim(entry)
        except Malformed as error:
            raise Refused(MALFORMED, error.sentence) from error
        if signed.claim.registry != self.name:
            raise Refused(MALFORMED, f"it is for the registry {signed.claim.registry}, this is {self.name} (P8)")
        return expected_event(signed)

    def _demand_account(self, party: str, account: Account) -> None:
        """The contract books under the sender's party, whatever the signed claim says."""
        owner, _, active = words(self._node.call(self._settings.contract, _party_of(account)), 3)
        if owner != digest(party) or not flag(active):
            problem = f"account {account} does not write for {party} at contract 0x{self._settings.contract.hex()}"
            raise Refused(UNKNOWN_PARTY, f"{problem}; {_WAYS[UNKNOWN_PARTY]}")

    def _settle(self, group: Sequence[ExpectedEvent]) -> None:
        """Until the contract has written all of a group, which it takes whole or not at all."""
        key, until = group[0].id, self._clock() + self._wait_s
        while True:
            nonce = self._node.nonce(self._me.address)  # asked first: what is mined meanwhile is seen below
            if group[-1].id in self._events.places():
                self._lane.done(key)
                return
            sent = self._lane.recall(key)
            if sent is None or nonce > sent.newest.nonce:
                self._demand_gas(sent.newest.tx if sent else None)
                self._lane.done(key)  # the call may be another one by now
                self._lane.send(key, self._dry(group))
            else:
                self._lane.tend(key, sent)
            self._pause(until, group)

    def _final(self, many: Sequence[ExpectedEvent]) -> list[Locator] | None:
        """Where claims stand, once all of them are there and their blocks are final."""
        known = self._events.places()
        logs = [known[one.id] for one in many if one.id in known]
        if len(logs) < len(many) or any(self._finality.missing(self._node, log.block) for log in logs):
            return None
        return [self._place(log) for log in logs]

    def _pause(self, until: float, many: Sequence[ExpectedEvent]) -> None:
        if self._clock() > until:
            problem = f"{self._node.url}: {_numbers(many)} cannot be seen in a final block after {self._wait_s:.0f} s"
            raise LedgerUnavailable(f"{problem}; it may still be taken: see certificate show before you claim it again")
        self._sleep(self._settings.poll_s)

    def _dry(self, group: Sequence[ExpectedEvent]) -> bytes:
        """The call for a group, which the contract would take now. Raises Refused."""
        data = self._call(group)
        try:
            self._node.call(self._settings.contract, data, self._me.address)
        except Reverted as error:
            self._refuse(str(error), group)
        return data

    def _call(self, group: Sequence[ExpectedEvent]) -> bytes:
        first, deed = group[0], group[0].signed.claim.deed
        if isinstance(deed, Issue):
            return issue_call(group)
        now = self._events.replayed()
        if isinstance(deed, Withdraw):
            known = now.state.certificate(deed.cert)
            if known is None:
                self._refuse(NOT_THE_ISSUER, group)
            return call(first, parts_of(known))
        return call(first, {"start": self._start(now, first)})

    def _start(self, now: Replayed, one: ExpectedEvent) -> int:
        """Where the slice begins that has the first unit; 0 where nothing has it, and the contract says so."""
        cert, a = one.values["cert"], one.values["a"]
        assert isinstance(cert, bytes)
        assert isinstance(a, int)
        return next((part.begin for part in now.state.slices(cert, (a, a + 1))), 0)

    def _refuse(self, title: str, group: Sequence[ExpectedEvent]) -> NoReturn:
        where = f"contract 0x{self._settings.contract.hex()}"
        raise Refused(title, f"{_numbers(group)}, by {where}; {_WAYS.get(title, 'the contract says no more')}")

    def _demand_gas(self, tx: bytes | None) -> None:
        receipt = self._node.receipt(tx) if tx is not None else None
        if receipt is not None and not receipt.ok and receipt.gas_used >= GAS_LIMIT:
            raise Refused("Out of gas", Message("evm-gas-used-up", tx=receipt.tx.hex(), gas=receipt.gas_used))

    @property
    def _me(self) -> Account:
        assert self._account is not None
        return self._account

    def _claims(self, about: Sequence[Heard]) -> Iterator[Receipted]:
        for log, event in about:
            claim_hash = claim_id(event)
            entry = self._entries.get(claim_hash) if claim_hash is not None else None
            if entry is not None:
                yield Receipted(entry, encode_locator(self._place(log)))

    def _place(self, log: Log) -> Locator:
        return Locator(self.name, self._settings.chain_id, self._settings.contract, log.tx, log.block, log.block_hash)


def _party_of(account: Account) -> bytes:
    return CONTRACT.call("party", account.address)


def _numbers(many: Sequence[ExpectedEvent]) -> str:
    first, last = many[0].signed.claim, many[-1].signed.claim
    numbers = f"claim {first.number}" if first == last else f"claims {first.number} to {last.number}"
    return f"{numbers} of {first.party}"
