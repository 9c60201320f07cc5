"""Online queries: what the ledgers of a bundle or an audit hold now, as online facts. Network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from ledger_client.errors import LedgerError, LedgerUnavailable, VerificationError
from ledger_client.formats.bundle import Bundle, Locator, Witnessed
from ledger_client.formats.notes import parse_checkpoint, parse_note
from ledger_client.formats.receipt import Receipt, check, parse_receipt
from ledger_client.formats.statement import SignedStatement, Statement, id_text, parse_statement, read_statement
from ledger_client.ledgers.evm.node import Node
from ledger_client.ledgers.evm.proof import confirm
from ledger_client.ledgers.evm.views import anchored, is_bridge, standing
from ledger_client.ledgers.http import HttpLedger
from ledger_client.online.log_client import LogClient
from ledger_client.online.log_proof import confirm as confirm_log
from ledger_client.online.log_proof import signed_head
from ledger_client.online.witnessed import confirm as confirm_note
from ledger_client.transport.access import Access
from ledger_client.verification.online_facts import ChainFact, Held, LogFact, OnlineFacts
from ledger_client.verification.trust import Chain, Trust
from ledger_client.verification.vouching import read_receipts
from ledger_client.verification.witnesses import ledger_of

TIMEOUT_S: Final = 10.0
Last = tuple[int, bytes] | None
"""A gateway's last batch at a ledger and its statement id; None: the ledger has nothing of the gateway."""
_T = TypeVar("_T")


def refresh(
    bundle: bytes,
    trust: Trust,
    nodes: Mapping[str, str],
    logs: Mapping[str, str],
    *,
    access: Access | None = None,
    timeout_s: float = TIMEOUT_S,
    offline_ok: bool = False,
) -> OnlineFacts:
    """Ask about everything in a bundle that can be asked about, and every ledger of the policy what it holds under the
    number of its batch; nothing that a ledger says or fails to say raises.

    ``nodes``: ledger name → URL of a node of its chain; ``logs``: ledger name → URL of the ledger. ``access`` is for
    those that speak https. ``offline_ok``: a ledger that could not be asked changes no verdict. Raises ``Malformed``
    for a bundle that cannot be read.
    """
    parts = Bundle.parse(bundle)
    receipts, _ = read_receipts(parts.receipts)  # what is none, no ledger can be asked about
    signed = read_statement(parts.statement)
    asking = _Asking(trust, Ways(nodes, logs, access, timeout_s))
    return OnlineFacts(
        places={place: asking.place(place, signed) for place in parts.anchors},
        logs={receipt.data: asking.log(parts.statement, receipt) for receipt in receipts}
        | {one.note: asking.head(one) for one in parts.witnessed},
        held={ledger: asking.held(ledger, signed.statement) for ledger in trust.ledgers},
        all_asked=not offline_ok,
    )


def last_batches(
    gateway: str,
    trust: Trust,
    nodes: Mapping[str, str],
    logs: Mapping[str, str],
    *,
    access: Access | None = None,
    timeout_s: float = TIMEOUT_S,
) -> dict[str, tuple[Last | str, ...]]:
    """Of each ledger of the policy the last batch of a gateway, in each way in which the trust file lets it count (its
    log, its chain), or in words why nobody could tell. Parameters as ``refresh``."""
    ways = Ways(nodes, logs, access, timeout_s)
    return {
        ledger: ways.each(
            ledger,
            trust,
            lambda http: http.last(gateway),
            lambda node, chain: standing(node, chain.contract, gateway).last,
        )
        for ledger in trust.ledgers
    }


@dataclass(frozen=True, slots=True)
class Ways:
    """The addresses under which ledgers may be asked."""

    nodes: Mapping[str, str]
    logs: Mapping[str, str]
    access: Access | None
    timeout_s: float

    def each(
        self,
        ledger: str,
        trust: Trust,
        in_log: Callable[[HttpLedger], _T],
        on_chain: Callable[[Node, Chain], _T],
    ) -> tuple[_T | str, ...]:
        """What a ledger answers in its log and on its chain, as far as the trust file lets it count there."""
        chains = {(chain.chain_id, chain.contract): chain for chain in trust.chains if chain.ledger == ledger}
        answers = [self._on_chain(ledger, chain, on_chain) for chain in chains.values()]
        if ledger in self.logs or not chains or trust.has_ledger_key(ledger):
            answers.append(self._in_log(ledger, trust, in_log))
        return tuple(answers)

    def _in_log(self, ledger: str, trust: Trust, question: Callable[[HttpLedger], _T]) -> _T | str:
        if ledger not in self.logs:
            return f"it was not asked, no address was given, as --ledger {ledger}=URL"
        http = HttpLedger(ledger, self.logs[ledger], self.way(self.logs[ledger]), timeout_s=self.timeout_s)
        log = self.log(ledger)
        try:
            signed_head(ledger, trust, log)  # it is this ledger that answers, and not an empty one at a wrong address
            return question(http)
        except (LedgerError, VerificationError) as error:
            return f"it could not be asked: {error}"
        finally:
            log.close()
            http.close()

    def _on_chain(self, ledger: str, chain: Chain, question: Callable[[Node, Chain], _T]) -> _T | str:
        if ledger not in self.nodes:
            return f"no node was given to ask, as --rpc {ledger}=URL"
        node = self.node(ledger)
        try:
            if (found := node.chain_id()) != chain.chain_id:
                return f"its chain could not be asked: {node.url} follows chain {found}, not {chain.chain_id}"
            return question(node, chain)
        except LedgerError as error:
            return f"its chain could not be asked: {error}"
        finally:
            node.close()

    def at(self, place: Locator, question: Callable[[Node], _T]) -> _T | VerificationError | str:
        """What the chain of a locator answers, why what is there does not count, or why nobody could tell."""
        if place.ledger not in self.nodes:
            return f"no node was given to ask, as --rpc {place.ledger}=URL"
        node = self.node(place.ledger)
        try:
            return question(node)
        except VerificationError as error:
            return error
        except LedgerUnavailable as error:
            return f"its chain could not be asked: {error}"
        finally:
            node.close()

    def node(self, ledger: str) -> Node:
        """The node to be asked about a ledger's chain."""
        return Node(self.nodes[ledger], self.way(self.nodes[ledger]), timeout_s=self.timeout_s)

    def log(self, ledger: str) -> LogClient:
        """The log of a ledger."""
        return LogClient(self.logs[ledger], self.way(self.logs[ledger]), timeout_s=self.timeout_s)

    def way(self, url: str) -> Access | None:
        """How to reach an address."""
        return self.access if url.startswith("https:") else None


def _number(last: Last) -> int | None:
    return None if last is None else last[0]


class _Asking:
    """What is asked of one bundle, and what is believed."""

    def __init__(self, trust: Trust, ways: Ways) -> None:
        self._trust, self._ways = trust, ways

    def place(self, place: Locator, signed: SignedStatement) -> ChainFact | VerificationError | str:
        chains = [chain for chain in self._trust.chains if chain.ledger == place.ledger]
        return self._ways.at(place, lambda node: confirm(place, signed, chains, node))

    def log(self, entry: bytes, receipt: Receipt) -> LogFact | VerificationError | str:
        if receipt.ledger not in self._ways.logs:
            return f"its log was not asked, no address was given, as --ledger {receipt.ledger}=URL"
        log = self._ways.log(receipt.ledger)
        try:
            return confirm_log(entry, receipt, self._trust, log)
        except VerificationError as error:
            return error
        except LedgerUnavailable as error:
            return f"its log could not be asked: {error}"
        finally:
            log.close()

    def head(self, one: Witnessed) -> LogFact | VerificationError | str:
        """Of a note: whether the log of its ledger begins with its head."""
        try:
            ledger = ledger_of(parse_checkpoint(parse_note(one.note).text), self._trust.logs)
        except VerificationError as error:
            return error
        if ledger is None or ledger not in self._ways.logs:
            return "its log was not asked"
        log = self._ways.log(ledger)
        try:
            return confirm_note(one, self._trust, log)
        except VerificationError as error:
            return error
        except LedgerUnavailable as error:
            return f"its log could not be asked: {error}"
        finally:
            log.close()

    def held(self, ledger: str, statement: Statement) -> tuple[Held | str, ...]:
        gateway, batch = statement.gateway, statement.batch

        def in_log(http: HttpLedger) -> Held:
            entry = http.statement(gateway, batch)
            if entry is not None:
                return self._statement(entry, statement, http)
            return Held(gateway, batch, None, last=_number(http.last(gateway)))

        def on_chain(node: Node, chain: Chain) -> Held:
            senders = [each.sender for each in self._trust.chains if each.contract == chain.contract]
            shared = any(is_bridge(node, chain.contract, sender) for sender in senders)
            id_, last = anchored(node, chain.contract, gateway, batch), standing(node, chain.contract, gateway).last
            return Held(gateway, batch, id_, last=None if id_ else _number(last), shared=shared)

        return self._ways.each(ledger, self._trust, in_log, on_chain)

    def _statement(self, entry: bytes, asked: Statement, http: HttpLedger) -> Held:
        """What a ledger shows as the statement of a number: a key of the gateway's has signed it, or one that only the
        ledger knows, and the ledger its receipt; else whoever stands in between could make two histories of one."""
        try:
            signed = parse_statement(entry)
            key = self._trust.find("statement", gateway=asked.gateway, kid=signed.kid)
            if key is None:
                self._demand_receipt(entry, signed, http)
            else:
                signed.sign1.verify(key.key)
        except VerificationError as error:
            raise LedgerUnavailable(f"what it shows as batch {asked.batch} does not hold: {error.detail}") from None
        if (signed.statement.gateway, signed.statement.batch) != (asked.gateway, asked.batch):
            raise LedgerUnavailable(f"what it shows as batch {asked.batch} of {asked.gateway} is of another one")
        return Held(asked.gateway, asked.batch, signed.id, signed.kid)

    def _demand_receipt(self, entry: bytes, signed: SignedStatement, http: HttpLedger) -> None:
        data = http.lookup(signed.id)
        if not isinstance(data, bytes):
            raise LedgerUnavailable(f"it gives no receipt for {id_text(signed.id)}, by a key that the trust file lacks")
        receipt = parse_receipt(data)
        key = self._trust.find("ledger", ledger=http.name, kid=receipt.kid)
        if key is None or receipt.ledger != http.name:
            raise LedgerUnavailable(f"its receipt for {id_text(signed.id)} is by a key that the trust file lacks")
        check(receipt, entry, key.key)
