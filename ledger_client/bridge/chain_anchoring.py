"""Chain anchoring of a bridge: statements gathered for a while, one Merkle root and transaction for all.

What is under which root is durable before the first byte of it leaves, and never changes: whatever a crash interrupts,
the same root goes on from where it was, so no statement comes under a second one. The driver does the same one level
below for its transactions.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

from ledger_client.backoff import growing_s
from ledger_client.bridge.backlog import Backlog, Root, Taken
from ledger_client.errors import LedgerError, LedgerUnavailable, Refused
from ledger_client.formats.bundle import decode_locator, encode_locator
from ledger_client.formats.merkle import Tree, leaf_hash
from ledger_client.ledgers.interface import Pending
from ledger_client.transport.wire import CBOR

_LOG = logging.getLogger("meterseal.bridge")

MOST = 4096
"""Statements under one root: a path of twelve hashes."""
IN_FLIGHT = 8
"""Roots on their way; behind a chain that stands still the next ones grow instead."""
_REFUSED_PAUSE_S, _FIRST_PAUSE_S, _LONGEST_PAUSE_S = 30.0, 0.5, 15.0
_NO_ROLE = "this bridge's account may not write roots; the contract's owner lets it: meterseal-ledger evm bridge"

Tell = Callable[[Taken, bytes, str], None]


class Chain(Protocol):
    """What is needed of ``ledgers.evm.EvmLedger``."""

    def submit_root(self, root: bytes, size: int) -> bytes | Pending: ...

    def lookup(self, statement_id: bytes) -> bytes | Pending | None: ...

    def used(self) -> bool: ...

    def demand_bridge(self) -> None: ...


class Anchorage:
    """``step`` does what can be done now; ``run`` does so until ``stop`` is set."""

    def __init__(self, chain: Chain, book: Backlog, tell: Tell, *, gather_s: float) -> None:
        self._chain, self._book, self._tell, self._gather_s = chain, book, tell, gather_s
        self._trees: dict[int, tuple[Sequence[Taken], Tree]] = {}
        self._checked = self._looked = False
        self._complaint = ""
        self._failures = 0

    def answer(self, statement_id: bytes) -> bytes | None:
        """The locator of a statement, once it has one."""
        root = self._book.root_of(statement_id)
        if root is None or root.place is None:
            return None
        statements, tree = self._tree(root)
        index = next(n for n, taken in enumerate(statements) if taken.id == statement_id)
        return _place(root.place, tree, index)

    def run(self, stop: threading.Event, fail: Callable[[str], None]) -> None:
        """Anchor until ``stop``; ``fail`` hears of what no waiting can cure."""
        cut_at, step_at = time.monotonic() + self._gather_s, 0.0
        while not stop.is_set():
            now = time.monotonic()
            try:
                if now >= cut_at:
                    cut_at = now + self._gather_s
                    if self.cut() and not self._complaint:
                        step_at = now
                if now >= step_at:
                    step_at = time.monotonic() + self.step()
            except ForeignAccount as error:
                fail(str(error))
                return
            except Exception as error:
                if not isinstance(error, LedgerError):
                    _LOG.exception("a fault in this program; it goes on")
                self._complain(str(error))
                step_at = time.monotonic() + _LONGEST_PAUSE_S
            stop.wait(max(0.0, min(cut_at, step_at) - time.monotonic()))

    def cut(self) -> bool:
        """Put what waits under a root, unless too many are on their way; whether there is a new one."""
        waiting = self._book.waiting()[:MOST] if len(self._book.open_roots()) < IN_FLIGHT else []
        if waiting:
            tree = Tree([leaf_hash(taken.id) for taken in waiting])
            self._book.bind([taken.id for taken in waiting], tree.root)
        return bool(waiting)

    def step(self) -> float:
        """Move every open root on, oldest first; after how many seconds to look again."""
        pauses = [self._gather_s]
        try:
            roots = self._book.open_roots()
            if not roots and not self._looked:
                self._chain.demand_bridge()  # whoever started it hears now what would keep the first root back
            self._looked = True
            for root in roots:
                self._demand_own_account(root)
                answer = self._chain.lookup(root.root) or self._chain.submit_root(root.root, len(self._tree(root)[0]))
                if isinstance(answer, Pending):
                    pauses.append(answer.retry_after_s)
                else:
                    self._settled(root, answer)
        except ForeignAccount:
            raise
        except Refused as error:
            self._complain(_NO_ROLE if error.title == "Unknown account" else str(error))
            return _REFUSED_PAUSE_S
        except LedgerError as error:
            self._complain(str(error))
            self._failures += 1
            asked_s = error.retry_after_s if isinstance(error, LedgerUnavailable) else None
            return max(growing_s(_FIRST_PAUSE_S, _LONGEST_PAUSE_S, self._failures), asked_s or 0.0)
        if self._complaint:
            _LOG.info("the chain takes roots again")
        self._complaint, self._failures = "", 0
        return min(pauses)

    def _settled(self, root: Root, place: bytes) -> None:
        self._book.settle(root, place)
        statements, tree = self._tree(root)
        for index, taken in enumerate(statements):
            self._tell(taken, _place(place, tree, index), CBOR)
        _LOG.info("root 0x%s over %d statements has its place", root.root.hex(), len(statements))

    def _tree(self, root: Root) -> tuple[Sequence[Taken], Tree]:
        if root.number not in self._trees:
            while len(self._trees) >= 2 * IN_FLIGHT:
                self._trees.pop(next(iter(self._trees)))
            statements = self._book.under(root)
            self._trees[root.number] = statements, Tree([leaf_hash(taken.id) for taken in statements])
        return self._trees[root.number]

    def _demand_own_account(self, root: Root) -> None:
        """What an account has written stands in one book. With another book the same ids would come under a second
        root, and a gateway's order would begin anew."""
        if not self._checked and root.number == 1 and not self._book.notes() and self._chain.used():
            raise ForeignAccount(
                f"{self._book.path} knows of no transaction, and its account has sent some: put the folder back that "
                f"the account was used with, or make a new account and give it the role bridge"
            )
        self._checked = True

    def _complain(self, what: str) -> None:
        if what != self._complaint:
            _LOG.error("statements wait here: %s", what)
        self._complaint = what


class ForeignAccount(LedgerError):
    """The account has a past that is not in this bridge's book."""


def _place(place: bytes, tree: Tree, index: int) -> bytes:
    return encode_locator(replace(decode_locator(place), inclusion=(tree.size, index, tuple(tree.path(index)))))
