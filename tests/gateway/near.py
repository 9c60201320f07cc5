"""A ledger that is reached without a wire: the embedded one's own log and rules, in this process."""

from __future__ import annotations

from pathlib import Path

from ledger_client.errors import LedgerUnavailable
from ledger_client.ledgers import Pending
from ledger_client.transparency.directory import open_dir
from ledger_client.transparency.policy import PolicyFile
from ledger_client.transparency.service import Service

NAME = "demo-ledger"


class NearLedger:
    """A ledger without a wire: a real log in a folder. ``faults`` are taken in order, one a submission."""

    def __init__(self, folder: Path, name: str = NAME, faults: list[str] | None = None) -> None:
        self._dir = open_dir(folder, name)
        self.service = Service(self._dir, PolicyFile(self._dir.policy).current)
        self.faults, self.submissions, self.damages = faults or [], 0, False

    @property
    def name(self) -> str:
        """What a configuration calls it, whatever the log says."""
        return NAME

    def submit(self, entry: bytes) -> bytes | Pending:
        """Take a statement, or fail as the next fault says."""
        self.submissions += 1
        fault = self.faults.pop(0) if self.faults else ""
        if fault == "failed and lost":
            raise LedgerUnavailable("the wire broke before the ledger heard")
        _, receipt = self.service.submit(entry)
        if fault == "failed but kept":
            raise LedgerUnavailable("the wire broke after the ledger heard")
        if fault == "pending":
            return Pending(retry_after_s=0.01)
        return self._worn(receipt)

    def lookup(self, statement_id: bytes) -> bytes | Pending | None:
        """The receipt of a statement that the log holds."""
        receipt = self.service.receipt(statement_id)
        return None if receipt is None else self._worn(receipt)

    def _worn(self, receipt: bytes) -> bytes:
        return receipt[:-1] + bytes([receipt[-1] ^ 1]) if self.damages else receipt

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """Number and id of a gateway's last statement."""
        return self.service.last(gateway)

    def statements(self, gateway: str, after: int) -> list[bytes]:
        """The next entries of a gateway."""
        return self.service.statements(gateway, after)

    def close(self) -> None:
        """Let go of the folder."""
        self._dir.close()
