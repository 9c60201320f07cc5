"""Transaction queue of one account, in nonce order; each transaction is durable before it is sent. Network.

What has been broadcast cannot be taken back, so everything that a crash may interrupt is written down first, whole: the
signed bytes. After a crash the same bytes go out again, which is harmless. A transaction that does not move is replaced
by one with the same nonce and a higher fee; a hole in the nonces, behind which nothing would ever move, is closed with
the next one that waits. That all this may place one call twice costs a little gas and nothing else: the contract takes
the same anchor once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final

from ledger_client.errors import LedgerUnavailable, Refused, VerificationError
from ledger_client.formats import cbor
from ledger_client.ledgers.evm.account import Account, Fees, Transaction
from ledger_client.ledgers.evm.node import Node, NodeError
from ledger_client.ledgers.evm.settings import EvmSettings
from ledger_client.ledgers.interface import DriverNotes
from ledger_client.messages import Message

_LOG = logging.getLogger("meterseal.evm")

_VERSION: Final = 1
_KEPT: Final = 16  # newest versions of one call; whether an older one was mined the contract tells
_DEARER: Final = 8  # a replacement pays an eighth more; nodes ask for a tenth
_PRICE_TRIES: Final = 3
_PRICE_WORDS: Final = ("underpriced", "gas price", "gasprice", "fee")


@dataclass(frozen=True, slots=True)
class Version:
    """One signed form of a call: what went out, or was about to."""

    nonce: int
    tx: bytes
    raw: bytes
    fees: Fees


@dataclass(frozen=True, slots=True)
class Sent:
    """A call with all of its signed forms, oldest first: at least one."""

    call: bytes
    versions: tuple[Version, ...]

    @property
    def newest(self) -> Version:
        """The form that is to be mined."""
        return self.versions[-1]


@dataclass(frozen=True, slots=True)
class _Head:
    """The nonce that is next on the chain, since when it is, and the chain's height then."""

    nonce: int
    since: float
    height: int


class TransactionQueue:
    """The transactions of ``account``, which nobody else may use. Safe from several threads.

    ``clock``, in seconds, measures how long the account's next transaction has waited.
    """

    def __init__(
        self,
        node: Node,
        account: Account,
        settings: EvmSettings,
        memory: DriverNotes,
        clock: Callable[[], float],
    ) -> None:
        self._node, self._account, self._settings, self._memory = node, account, settings, memory
        self._clock = clock
        self._lock = threading.RLock()
        self._known: dict[bytes, Sent] | None = None
        self._head = _Head(-1, 0.0, 0)

    @property
    def _flying(self) -> dict[bytes, Sent]:
        """What has not arrived for good; read when it is first needed, for a memory may not be there before."""
        if self._known is None:
            self._known = {key: sent for key, note in self._memory.notes().items() if (sent := self._parse(note))}
        return self._known

    def recall(self, key: bytes) -> Sent | None:
        """What has been sent for a statement id (or a shared root) by this account to this contract."""
        with self._lock:
            if key in self._flying:
                return self._flying[key]
        note = self._memory.recall(key)
        return self._parse(note) if note is not None else None

    def send(self, key: bytes, call: bytes) -> int:
        """Sign a call under the next free nonce, write it down, hand it to the node; under how many nonces it has been
        sent by now."""
        with self._lock:
            next_nonce = self._node.nonce(self._account.address)
            nonce = max([next_nonce, *(nonce + 1 for nonce in self._used())])
            sent = self._flying.get(key) or Sent(call, ())
            self._go(key, sent, nonce, self._suggested())
            return len({version.nonce for version in self._flying[key].versions})

    def waiting(self, key: bytes) -> list[bytes]:
        """Other calls than this one that are on their way and not yet in a block."""
        with self._lock:
            others = [sent for other, sent in self._flying.items() if other != key]
        next_nonce = self._node.nonce(self._account.address) if others else 0
        return [sent.call for sent in others if sent.newest.nonce >= next_nonce]

    def tend(self, key: bytes, sent: Sent) -> None:
        """Help a call along that is in no block: the same bytes again if the node has lost them; and help the one that
        is next, for which all others wait."""
        with self._lock:
            self._flying.setdefault(key, sent)  # it had arrived, but the chain has gone back behind that
            next_nonce = self._node.nonce(self._account.address)
            self._help_next(next_nonce)
            if self._flying[key].newest.nonce > next_nonce:
                self._again(self._flying[key].newest)

    def done(self, key: bytes) -> None:
        """A call has arrived for good."""
        with self._lock:
            self._flying.pop(key, None)

    def _used(self) -> set[int]:
        return {version.nonce for sent in self._flying.values() for version in sent.versions}

    def _help_next(self, next_nonce: int) -> None:
        """Whatever keeps the chain from the account's next transaction ends here."""
        if self._head.nonce != next_nonce:
            self._head = _Head(next_nonce, self._clock(), self._height())
        if next_nonce not in self._used():
            behind = [(s.newest.nonce, k) for k, s in self._flying.items() if s.newest.nonce > next_nonce]
            if behind:
                _, key = min(behind)
                _LOG.warning("nothing has nonce %d of %s: what is next takes it", next_nonce, self._account)
                self._go(key, self._flying[key], next_nonce, self._suggested())
            return
        key = next(k for k, s in self._flying.items() if any(v.nonce == next_nonce for v in s.versions))
        version = [v for v in self._flying[key].versions if v.nonce == next_nonce][-1]
        if version is not self._flying[key].newest or not self._stuck():
            self._again(version)
            return
        self._head = _Head(next_nonce, self._clock(), self._height())
        self._raise_fees(version)

    def _raise_fees(self, stuck: Version) -> None:
        """Replace what does not move, and what waits behind it and offers no more: it would be stuck next."""
        waiting = [(sent.newest.nonce, key) for key, sent in self._flying.items()]
        cheap = [(n, k) for n, k in sorted(waiting) if n >= stuck.nonce and self._cheap(k, stuck)]
        _LOG.warning("transaction 0x%s does not move: %d replaced with higher fees", stuck.tx.hex(), len(cheap))
        for nonce, key in cheap:
            self._go(key, self._flying[key], nonce, self._dearer(self._flying[key].newest.fees))

    def _cheap(self, key: bytes, stuck: Version) -> bool:
        return self._flying[key].newest.fees.max_fee <= stuck.fees.max_fee

    def _stuck(self) -> bool:
        return self._clock() - self._head.since >= self._settings.stuck_after_s and self._height() > self._head.height

    def _height(self) -> int:
        latest = self._node.block("latest")
        return latest.number if latest else 0

    def _go(self, key: bytes, sent: Sent, nonce: int, fees: Fees) -> None:
        """A new signed form of a call: first written down, then broadcast."""
        for _ in range(_PRICE_TRIES):
            call = Transaction(
                self._settings.chain_id, nonce, self._settings.contract, sent.call, self._settings.gas_limit, fees
            )
            raw, tx = self._account.sign(call)
            sent = replace(sent, versions=(*sent.versions, Version(nonce, tx, raw, fees))[-_KEPT:])
            self._memory.keep(key, self._encode(sent))  # durable from here on: it may be on the chain from here on
            self._flying[key] = sent
            if self._broadcast(sent.newest):
                return
            fees = self._dearer(fees)
        raise LedgerUnavailable(Message("evm-fee-too-low", url=self._node.url, fee=_wei(fees.max_fee)))

    def _again(self, version: Version) -> None:
        if not self._node.knows(version.tx) and not self._broadcast(version):
            _LOG.debug("transaction 0x%s is too cheap for the node by now", version.tx.hex())

    def _broadcast(self, version: Version) -> bool:
        """False: the fee is too low for the node. Raises Refused or LedgerUnavailable for what no fee can cure."""
        try:
            self._node.send(version.raw)
        except NodeError as error:
            if self._node.knows(version.tx):  # it had it already
                return True
            if self._node.nonce(self._account.address) > version.nonce:
                return True  # another transaction was mined under this nonce: seen when the call is looked at again
            text = error.message.lower()
            if "insufficient" in text:
                what = Message("evm-cannot-pay", account=str(self._account), error=error.sentence)
                raise Refused("No funds", what) from None
            if "replacement" in text:
                return True  # another one waits under this nonce: it will be mined, or be stuck and be replaced
            if any(word in text for word in _PRICE_WORDS):
                return False
            raise
        return True

    def _suggested(self) -> Fees:
        return self._capped(suggested(self._node, legacy=self._settings.legacy))

    def _dearer(self, fees: Fees) -> Fees:
        """Fees with which a transaction that offered ``fees`` can be replaced."""
        raised = Fees(_more(fees.max_fee), None if fees.priority is None else _more(fees.priority))
        now = self._suggested()
        if now.priority is not None and raised.priority is not None:
            raised = Fees(max(raised.max_fee, now.max_fee), max(raised.priority, now.priority))
        elif now.priority is None and raised.priority is None:
            raised = Fees(max(raised.max_fee, now.max_fee), None)
        if raised.max_fee > self._settings.max_fee:
            price, limit = _wei(fees.max_fee), _wei(self._settings.max_fee)
            raise LedgerUnavailable(Message("evm-transaction-stuck", url=self._node.url, price=price, limit=limit))
        return raised

    def _capped(self, fees: Fees) -> Fees:
        most = self._settings.max_fee
        if fees.max_fee <= most:
            return fees
        return Fees(most, None if fees.priority is None else min(fees.priority, most))

    def _encode(self, sent: Sent) -> bytes:
        versions = [[v.nonce, v.tx, v.raw, v.fees.max_fee, v.fees.priority] for v in sent.versions]
        return cbor.encode(
            {
                "v": _VERSION,
                "chain": self._settings.chain_id,
                "contract": self._settings.contract,
                "sender": self._account.address,
                "call": sent.call,
                "sent": versions,
            }
        )

    def _parse(self, note: bytes) -> Sent | None:
        """A note of this account at this contract; None for another's, whose transactions are not ours to tend."""
        try:
            fields: Any = cbor.decode(note)
            ours = (_VERSION, self._settings.chain_id, self._settings.contract, self._account.address)
            if (fields["v"], fields["chain"], fields["contract"], fields["sender"]) != ours:
                return None
            versions = tuple(Version(n, tx, raw, Fees(most, tip)) for n, tx, raw, most, tip in fields["sent"])
            return Sent(fields["call"], versions) if versions else None
        except (VerificationError, TypeError, KeyError, ValueError):
            _LOG.error("an earlier run's note cannot be read, its statement is looked for on the chain: %r", note[:80])
            return None


def suggested(node: Node, *, legacy: bool) -> Fees:
    """What a transaction should offer now, by the node; ``legacy``: one price though the chain knows EIP-1559."""
    latest = node.block("latest")
    base = latest.base_fee if latest else None
    if base is None or legacy:
        return Fees(node.gas_price(), None)
    try:
        tip = node.priority_fee()
    except NodeError:  # a younger method than the base fee itself
        tip = max(0, node.gas_price() - base)
    return Fees(2 * base + tip, tip)


def _wei(amount: int) -> str:
    """In digits: an amount may have more than the 64 bits of a fact."""
    return str(amount)


def _more(wei: int) -> int:
    return wei + max(1, -(-wei // _DEARER))
