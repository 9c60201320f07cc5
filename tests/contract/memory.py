"""A ledger that is reached without a wire: the embedded one's own log and rules, in this process."""

from __future__ import annotations

import time
from pathlib import Path

from ledger_client.errors import LedgerUnavailable
from ledger_client.ledgers.interface import Pending
from ledger_client.transparency.ledger.committed_policy import CommittedPolicy
from ledger_client.transparency.ledger.directory import open_dir
from ledger_client.transparency.ledger.service import Service
from tests.contract.faults import GARBAGE, JUNK, KEPT, LATE, LOST, NEVER, OTHER, TWICE, Faults

NAME = "demo-ledger"


class NearLog:
    """A log in a folder, with its rules; it may be ended and begun again."""

    def __init__(self, folder: Path, name: str = NAME) -> None:
        self._folder, self._name = folder, name
        self.behind_s = 0.0
        """So far its clock is behind this machine's."""
        self._service: Service | None = None
        self.begin()

    def begin(self) -> None:
        """Be there."""
        self._dir = open_dir(self._folder, self._name)
        self._service = Service(self._dir, CommittedPolicy.begun(self._dir), now=lambda: time.time() - self.behind_s)

    def end(self) -> None:
        """Be gone, and let go of the folder."""
        if self._service is not None:
            self._service = None
            self._dir.close()

    @property
    def service(self) -> Service:
        """The rules over the log."""
        if self._service is None:
            raise LedgerUnavailable("nobody is there")
        return self._service


class NearLedger:
    """The driver of a log in this process, which it opens itself unless it is given one."""

    def __init__(
        self, folder: Path, name: str = NAME, *, faults: Faults | None = None, log: NearLog | None = None
    ) -> None:
        self._opened = NearLog(folder, name) if log is None else None
        self.log = log or self._opened
        self._faults = Faults() if faults is None else faults
        self._before: bytes | None = None
        self.submissions, self.damages = 0, False

    @property
    def service(self) -> Service:
        """What it is a driver of."""
        assert self.log is not None
        return self.log.service

    @property
    def name(self) -> str:
        """What a configuration calls it, whatever the log says."""
        return NAME

    def submit(self, entry: bytes) -> bytes | Pending:
        """Take a statement, or fail as the next fault says."""
        self.submissions += 1
        fault = self._faults.take()
        if fault == LOST:
            raise LedgerUnavailable("the wire broke before the ledger heard")
        for _ in range(2 if fault == TWICE else 1):
            self._faults.hear()
            _, receipt = self.service.submit(entry)
        return self._answer(receipt, fault)

    def lookup(self, statement_id: bytes) -> bytes | Pending | None:
        """The receipt of a statement that the log holds."""
        fault = self._faults.take(lookup=True)
        receipt = self.service.receipt(statement_id)
        if fault == LOST:
            raise LedgerUnavailable("the wire broke before the ledger heard")
        return None if receipt is None else self._answer(receipt, fault)

    def _answer(self, receipt: bytes, fault: str) -> bytes | Pending:
        before = self._before or JUNK
        self._before = receipt
        if fault in (KEPT, NEVER):
            raise LedgerUnavailable("the wire broke after the ledger heard")
        if fault == LATE:
            return Pending(retry_after_s=0.01)
        if fault in (GARBAGE, OTHER):
            return JUNK if fault == GARBAGE else before
        return receipt[:-1] + bytes([receipt[-1] ^ 1]) if self.damages else receipt

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """Number and id of a gateway's last statement."""
        return self.service.last(gateway)

    def statements(self, gateway: str, after: int) -> list[bytes]:
        """The next entries of a gateway."""
        return self.service.statements(gateway, after)

    def close(self) -> None:
        """Let go of what was opened."""
        if self._opened is not None:
            self._opened.end()
