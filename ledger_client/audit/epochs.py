"""Audit of epochs: one at a time, each from the gateway's first record of it on. No I/O.

The gateway's events are the first records of an epoch, and behind them nothing is of an epoch before. An epoch that an
announced loss has put back (a batch that says ``resume``) is of that step.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from ledger_client.audit.records import Name
from ledger_client.audit.result import CHAIN, Audit
from ledger_client.formats.record import GATEWAY_ITSELF


@dataclass(slots=True)
class Epochs:
    """The epochs of one gateway, in the order of its records."""

    result: Audit
    _losses: int = 0
    _running: bytes | None = None
    """The epoch of the gateway's last record; None: not known."""
    _seen: set[bytes] = field(default_factory=set)
    """Epochs of meters while that is not known."""
    _over: dict[bytes, tuple[Name, int]] = field(default_factory=dict)
    """Those that are over: by the gateway's first record of the next, behind how many announced losses."""
    _found: set[tuple[str, bytes]] = field(default_factory=set)

    def begin_batch(self, *, resume: bool) -> None:
        """The records of the next batch follow; ``resume``: it goes on after a loss, maybe of a gateway's record."""
        if resume:
            self._losses += 1
            self._forget()

    def begin_anew(self) -> None:
        """Batches are missing, and the beginning of an epoch may be with them."""
        self._forget()

    def _forget(self) -> None:
        self._seen |= {self._running} if self._running is not None else set()
        self._running = None

    def record(self, name: Name) -> None:
        """The next record."""
        if name.epoch == self._running:
            return
        if name.epoch in self._over:
            by, losses = self._over[name.epoch]
            self._find(name, f"its epoch was over: {by} has begun the next one before it", losses)
        elif name.meter == GATEWAY_ITSELF:
            ended = {*self._seen, self._running} - {None, name.epoch}
            self._over |= {epoch: (name, self._losses) for epoch in ended if epoch is not None}
            self._running, self._seen = name.epoch, set()
        elif self._running is None:
            self._seen.add(name.epoch)
        else:
            self._find(name, "its epoch begins without a record of the gateway", self._losses)

    def _find(self, name: Name, text: str, losses: int) -> None:
        """Once a meter and epoch."""
        key = name.meter, name.epoch
        if key in self._found:
            return
        self._found.add(key)
        if losses < self._losses:
            self.result.resumed(name, text)
        else:
            self.result.found(CHAIN, name, text)
