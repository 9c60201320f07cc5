"""Facts of the ledgers, and the time of the oldest record that is not settled."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from gateway.config.model import Config
from gateway.messages.languages import Stored
from gateway.storage.database import Database


@dataclass(frozen=True, slots=True)
class LedgerNow:
    """One ledger: whether it could be reached, up to which batch it has settled, how many batches wait for it."""

    name: str
    type: str
    url: str
    required: bool
    reached: bool
    settled_to: int | None = None
    receipt_ms: int | None = None
    waiting: int = 0
    refused: Stored | None = None

    @property
    def state(self) -> str:
        """One word: refused, away, waiting, settled or new."""
        if self.refused is not None:
            return "refused"
        if not self.reached:
            return "away"
        if self.waiting:
            return "waiting"
        return "settled" if self.settled_to is not None else "new"

    def complete(self, store: Database) -> LedgerNow:
        """The same with the facts of the database."""
        refused = store.anchors.first_refused(self.name)
        return replace(
            self,
            settled_to=store.anchors.last_settled(self.name),
            receipt_ms=store.anchors.last_receipt_ms(self.name),
            waiting=store.anchors.count_open(self.name),
            refused=refused.stored if refused else None,
        )


def ledgers(config: Config, reached: Collection[str]) -> tuple[LedgerNow, ...]:
    """Every configured ledger, as far as it is known in memory; ``reached``: those that could be reached."""
    return tuple(
        LedgerNow(x.name, x.type, x.url, x.policy == "required", x.name in reached) for x in config.document.ledger
    )


def oldest_unanchored_ms(config: Config, store: Database) -> int | None:
    """The time of the oldest record that is not settled by every required ledger (where none is required: by any);
    None when all are."""
    entries = config.document.ledger
    required = [entry.name for entry in entries if entry.policy == "required"]
    return store.anchors.oldest_unsettled_ms([entry.name for entry in entries], required)
