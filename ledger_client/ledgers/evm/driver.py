"""EVM ledger driver: statement ids written to an AnchorRegistry contract, once and in order. Network.

What settles a batch here is no receipt but a locator: where the chain holds the event, in a block that is final. It
comes as ``bundle.encode_locator`` writes it and proves nothing offline: ``verify --online`` asks a chain.

The contract is the judge of everything: what it says of a call now (written already, may be written, refused) decides
what happens next. So a lost note, a second driver of the same account or a chain that went back costs gas, never a
second anchor.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from ledger_client.contracts import anchor_registry
from ledger_client.contracts.abi import NotAbi, flag, number, words
from ledger_client.contracts.anchor_registry import CONTRACT, Anchored, AnchoredMany, gateway_hash
from ledger_client.errors import LedgerUnavailable, Refused, Unsupported, VerificationError
from ledger_client.formats.bundle import Locator, encode_locator
from ledger_client.formats.statement import parse_statement
from ledger_client.ledgers.evm.account import Account
from ledger_client.ledgers.evm.finality import Finality
from ledger_client.ledgers.evm.node import Log, Node, Reverted, TxReceipt
from ledger_client.ledgers.evm.settings import EvmSettings
from ledger_client.ledgers.evm.transactions import Sent, TransactionQueue, Version
from ledger_client.ledgers.evm.views import demand_chain
from ledger_client.ledgers.interface import DriverNotes, Pending
from ledger_client.messages import Message
from ledger_client.transport.access import Access

UNKNOWN, TAKEN, OUT_OF_ORDER = "Unknown account", "Batch number taken", "Out of order"
_ANCHOR: Final = CONTRACT.call("anchor")  # the selector
_FARTHEST: Final = 10_000  # anchors back from the last one, when a place is looked for that nobody noted

_MOST_POLLS, _LONGEST_PAUSE_S = 30, 3600.0
_REMEDIES: Final = {
    UNKNOWN: Message("evm-register"),
    TAKEN: Message("evm-number-taken"),
    OUT_OF_ORDER: Message("evm-out-of-order"),
}


class EvmLedger:
    """The contract of ``settings``, written by ``account``, under the ledger's name; see ``ledgers.Ledger``.

    Chain and contract are checked before anything is written, and again after every failure.
    """

    def __init__(
        self,
        name: str,
        url: str,
        settings: EvmSettings,
        *,
        account: Account,
        memory: DriverNotes,
        access: Access | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """No connection is made yet.

        Args:
            name: the ledger's name in locators.
            url: a node of the chain.
            settings: contract, chain, fees, finality, pauses.
            account: who signs the transactions; nobody else may use it.
            memory: holds the signed transactions; it must outlive the process.
            access: how to get in at the node.
            clock: monotonic seconds.
        """
        self.name = name
        self._settings, self._account = settings, account
        self._node = Node(url, access, timeout_s=settings.timeout_s)
        self._finality = Finality(settings.confirmations)
        self._lane = TransactionQueue(self._node, account, settings, memory, clock)
        self._held: dict[bytes, bytes] = {}  # calls that wait until those before them are in a block
        self._checked = False
        self._gateway: bytes | None = None  # that the account is registered for, which never changes

    def submit(self, entry: bytes) -> bytes | Pending:
        """Write the statement's id, unless it stands there or is on its way."""
        try:
            signed = parse_statement(entry)
        except VerificationError as error:
            raise Refused("Malformed statement", error.sentence) from error
        statement = signed.statement
        with self._asking():
            self._demand_gateway(statement.gateway)
            resume = int(statement.resume is not None)
            call = CONTRACT.call("anchor", statement.batch, signed.id, statement.prev or bytes(32), resume)
            return self._go_on(signed.id, self._lane.recall(signed.id)) or self._place(signed.id, call)

    def submit_root(self, root: bytes, size: int) -> bytes | Pending:
        """Write the root of a tree over ``size`` statement ids; the account needs the role bridge.

        ``lookup(root)`` follows it. The locator that settles it becomes a statement's own with its ``inclusion``.
        """
        with self._asking():
            call = CONTRACT.call("anchorMany", root, size)
            sent = self._lane.recall(root)
            if sent and sent.call != call:  # with another size: let the contract say what it makes of it
                sent = None
            return self._go_on(root, sent) or self._place(root, call)

    def lookup(self, statement_id: bytes) -> bytes | Pending | None:
        """How far a statement is that was submitted from here; None: no note of it, ``submit`` asks the contract."""
        with self._asking():
            held = self._held.get(statement_id)
            return self._go_on(statement_id, self._lane.recall(statement_id)) or (
                self._place(statement_id, held) if held else None
            )

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """What the contract holds, final or not."""
        with self._asking():
            last = self._last(gateway_hash(gateway))
        return (last[0], last[1]) if last else None

    def used(self) -> bool:
        """Whether the account has ever sent a transaction on this chain."""
        with self._asking():
            return self._node.nonce(self._account.address) > 0

    def statements(self, gateway: str, after: int) -> list[bytes]:
        """Unsupported."""
        raise Unsupported(Message("evm-no-statements", ledger=self.name, gateway=gateway))

    def demand_account(self, gateway: str) -> None:
        """Raise ``Refused`` unless the account may write for this gateway now; a submission finds out by itself."""
        with self._asking():
            self._demand_gateway(gateway)
            _, active = self._view("gatewayOf", self._account.address, count=2)
            if not flag(active):
                raise Refused(UNKNOWN, Message("evm-account-revoked", account=str(self._account)))

    def demand_bridge(self) -> None:
        """Raise ``Refused`` unless the account may write roots now; ``submit_root`` finds out by itself."""
        with self._asking():
            (allowed,) = self._view("isBridge", self._account.address, count=1)
            if not flag(allowed):
                raise Refused(UNKNOWN, Message("evm-no-bridge-role", account=str(self._account)))

    def close(self) -> None:
        """Close the connections."""
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
            self._checked = False
            why = str(error)
            raise LedgerUnavailable(Message("evm-not-registry", url=self._node.url, error=why)) from None
        except Reverted as error:
            why = str(error)
            raise LedgerUnavailable(Message("evm-contract-refuses", url=self._node.url, error=why)) from None
        except LedgerUnavailable:
            self._checked = False  # what answers next may be another node
            raise

    def _check(self) -> None:
        chain_id = self._settings.chain_id
        demand_chain(self._node, chain_id)
        code, contract = self._node.code(self._settings.contract), self._settings.contract.hex()
        if not code:
            raise Refused("Wrong contract", Message("evm-no-contract", contract=contract, chain=chain_id))
        if code != CONTRACT.runtime_code():
            raise Refused("Wrong contract", Message("evm-other-code", contract=contract, chain=chain_id, n=len(code)))

    def _demand_gateway(self, gateway: str) -> None:
        """The contract books under the sender's gateway, whatever the statement says of itself."""
        if self._gateway is None:
            registered, _ = self._view("gatewayOf", self._account.address, count=2)
            self._gateway = registered if any(registered) else None
        if self._gateway != gateway_hash(gateway):
            if self._gateway is None:
                raise Refused(UNKNOWN, Message("evm-account-no-gateway", account=str(self._account)))
            raise Refused(UNKNOWN, Message("evm-account-other-gateway", account=str(self._account), gateway=gateway))

    def _go_on(self, key: bytes, sent: Sent | None) -> bytes | Pending | None:
        """The next step of something that was sent before; None if nothing was."""
        if sent is None:
            return None
        version, receipt = self._mined(sent)
        if receipt is not None and receipt.ok:
            log = next((log for log in receipt.logs if self._tells(log, key)), None)
            return self._arrived(key, log) if log else self._place(key, sent.call)
        if receipt is not None and version.nonce == sent.newest.nonce:
            if receipt.gas_used >= self._settings.gas_limit:
                what = Message("evm-gas-used-up", tx=receipt.tx.hex(), gas=receipt.gas_used)
                raise Refused("Out of gas", what)
            return self._place(key, sent.call)
        if self._node.nonce(self._account.address) > sent.newest.nonce:  # mined just now, or by another transaction
            return self._place(key, sent.call)
        self._lane.tend(key, sent)
        return Pending(self._settings.poll_s)

    def _place(self, key: bytes, call: bytes) -> bytes | Pending:
        """Ask the contract what it would make of a call now, and do what follows from it."""
        before = self._waits_before(key, call)  # asked first: what waits now may be mined before the contract answers
        self._held.pop(key, None)
        try:
            new = flag(*words(self._node.call(self._settings.contract, call, self._account.address), 1))
        except Reverted as error:
            reason = str(error)
            if reason == UNKNOWN and self._has(key, call):  # written before the account was revoked
                return self._arrived(key, self._find(key, call))
            if reason != OUT_OF_ORDER or not (before or self._held_before(call)):
                raise Refused(reason, self._contract_says(reason)) from None
            overtakes = False
        else:
            if not new:
                return self._arrived(key, self._find(key, call))
            overtakes = before and self._waits_before(key, call)
        if overtakes or self._held_before(call):
            self._held[key] = call
            return Pending(self._settings.poll_s)
        times = self._lane.send(key, call)
        # What the chain reverts though the contract would take it is sent again in pauses that grow: each costs gas.
        return Pending(min(_LONGEST_PAUSE_S, self._settings.poll_s * 2 ** (times - 1)))

    def _contract_says(self, reason: str) -> Message:
        """A refusal of the contract: whom and where it concerns, and what follows from it."""
        return Message(
            "evm-refused",
            account=str(self._account),
            contract=self._settings.contract.hex(),
            chain=self._settings.chain_id,
            why=_REMEDIES.get(reason) or Message("evm-says-no-more"),
        )

    def _waits_before(self, key: bytes, call: bytes) -> bool:
        """True if statements of lower batches are on their way and not in a block yet.

        One that the contract would take all the same (the first of a gateway, one with resume) is held back: if those
        before it got lost, it would take their place for ever.
        """
        return any(_precedes(other, call) for other in self._lane.waiting(key))

    def _held_before(self, call: bytes) -> bool:
        return any(_precedes(other, call) for other in list(self._held.values()))

    def _mined(self, sent: Sent) -> tuple[Version, TxReceipt | None]:
        """The newest form of a call that is in a block, with what it did there."""
        for version in reversed(sent.versions):
            if receipt := self._node.receipt(version.tx):
                return version, receipt
        return sent.newest, None

    def _tells(self, log: Log, key: bytes) -> bool:
        """True for our contract's event about a statement id or a shared root."""
        if log.address != self._settings.contract:
            return False
        event = anchor_registry.event(log.topics, log.data)
        return (isinstance(event, Anchored) and event.id == key) or (
            isinstance(event, AnchoredMany) and event.root == key
        )

    def _arrived(self, key: bytes, log: Log) -> bytes | Pending:
        """The locator, once the event's block is final and still the chain's."""
        block = self._node.block(log.block)
        if block is None or block.hash != log.block_hash:
            return Pending(
                self._settings.poll_s
            )  # the chain has gone another way; the next look finds where this stands
        if missing := self._finality.missing(self._node, log.block):
            return Pending(self._settings.poll_s * min(missing, _MOST_POLLS), state="included")
        self._lane.done(key)
        place = Locator(self.name, self._settings.chain_id, self._settings.contract, log.tx, log.block, log.block_hash)
        return encode_locator(place)

    def _has(self, key: bytes, call: bytes) -> bool:
        """True if the contract holds a statement id under the gateway and number of a call of ``anchor``."""
        if call[:4] != _ANCHOR or self._gateway is None:
            return False
        return self._view("get", self._gateway, call[4:36], count=1) == [key]

    def _find(self, key: bytes, call: bytes) -> Log:
        """The event of a call that the contract has taken already, whoever sent it."""
        if call[:4] != _ANCHOR:
            _, block = self._view("shared", key, count=2)
            logs = self._node.logs(self._settings.contract, number(block), [CONTRACT.topic("AnchoredMany"), key])
            if logs:
                return logs[0]
        else:
            log = self._walk(key, _batch(call))
            if log:
                return log
        raise LedgerUnavailable(Message("evm-event-missing", url=self._node.url, key=key.hex()))

    def _walk(self, key: bytes, batch: int) -> Log | None:
        """From the gateway's last anchor back: each tells in which block the one before it stands."""
        gateway, _ = self._view("gatewayOf", self._account.address, count=2)
        last = self._last(gateway)
        block = last[2] if last else 0
        for _ in range(_FARTHEST):
            logs = self._node.logs(self._settings.contract, block, [CONTRACT.topic("Anchored"), gateway])
            events = [(log, anchor_registry.event(log.topics, log.data)) for log in logs]
            anchors = [(log, event) for log, event in events if isinstance(event, Anchored)]
            found = next((log for log, event in anchors if event.id == key), None)
            before = min((event.previous for _, event in anchors), default=block)
            if found or before >= block or before == 0 or all(event.batch < batch for _, event in anchors):
                return found
            block = before
        return None

    def _last(self, gateway: bytes) -> tuple[int, bytes, int] | None:
        known, batch, id_, block = self._view("last", gateway, count=4)
        return (number(batch), id_, number(block)) if flag(known) else None

    def _view(self, method: str, *arguments: bytes, count: int) -> list[bytes]:
        return words(self._node.call(self._settings.contract, CONTRACT.call(method, *arguments)), count)


def _precedes(one: bytes, other: bytes) -> bool:
    """True for two calls of ``anchor`` of which the first has the lower batch number."""
    return one[:4] == other[:4] == _ANCHOR and _batch(one) < _batch(other)


def _batch(call: bytes) -> int:
    """The batch number of a call of ``anchor``."""
    return number(call[4:36])
