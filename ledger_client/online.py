"""``verify --online``: ask the ledgers of a bundle what they hold now. Needs the network; brings ``Facts``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ledger_client.bundle import Bundle, Locator
from ledger_client.errors import LedgerUnavailable, VerificationError
from ledger_client.facts import Facts, InLog, Placed
from ledger_client.ledgers.access import Access
from ledger_client.ledgers.evm_node import Node
from ledger_client.ledgers.evm_proof import confirm
from ledger_client.ledgers.log_client import LogClient
from ledger_client.ledgers.log_proof import confirm as confirm_log
from ledger_client.receipt import Receipt
from ledger_client.statement import SignedStatement, read_statement
from ledger_client.trust import Trust
from ledger_client.vouching import read_receipts

TIMEOUT_S: Final = 10.0


def refresh(
    bundle: bytes,
    trust: Trust,
    nodes: Mapping[str, str],
    logs: Mapping[str, str],
    *,
    access: Access | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Facts:
    """Ask about everything in a bundle that can be asked about; nothing that a ledger says or fails to say raises.

    ``nodes``: ledger name → URL of a node of its chain; ``logs``: ledger name → URL of the ledger. ``access`` is for
    those that speak https. Raises ``Malformed`` for a bundle that cannot be read.
    """
    parts = Bundle.parse(bundle)
    receipts, _ = read_receipts(parts.receipts)  # what is none, its ledger cannot be asked about
    signed = read_statement(parts.statement)
    asking = _Asking(trust, access, timeout_s)
    return Facts(
        places={place: asking.place(place, signed, nodes) for place in parts.anchors},
        logs={receipt.data: asking.log(parts.statement, receipt, logs) for receipt in receipts},
    )


class _Asking:
    """How to ask, and what is believed."""

    def __init__(self, trust: Trust, access: Access | None, timeout_s: float) -> None:
        self._trust, self._access, self._timeout_s = trust, access, timeout_s

    def place(
        self, place: Locator, signed: SignedStatement, nodes: Mapping[str, str]
    ) -> Placed | VerificationError | str:
        if place.ledger not in nodes:
            return f"no node was given to ask, as --rpc {place.ledger}=URL"
        url = nodes[place.ledger]
        node = Node(url, self._way(url), timeout_s=self._timeout_s)
        try:
            return confirm(place, signed, [chain for chain in self._trust.chains if chain.ledger == place.ledger], node)
        except VerificationError as error:
            return error
        except LedgerUnavailable as error:
            return f"its chain could not be asked: {error}"
        finally:
            node.close()

    def log(self, entry: bytes, receipt: Receipt, logs: Mapping[str, str]) -> InLog | VerificationError | str:
        if receipt.ledger not in logs:
            return f"its log was not asked, no address was given, as --ledger {receipt.ledger}=URL"
        url = logs[receipt.ledger]
        log = LogClient(url, self._way(url), timeout_s=self._timeout_s)
        try:
            return confirm_log(entry, receipt, self._trust, log)
        except VerificationError as error:
            return error
        except LedgerUnavailable as error:
            return f"its log could not be asked: {error}"
        finally:
            log.close()

    def _way(self, url: str) -> Access | None:
        return self._access if url.startswith("https:") else None
