"""Ledger interface: submission and lookup of statements; one driver a module. No I/O.

::

    LedgerError
    ├── Refused                 the ledger says no: an alarm, never a reason to drop or to skip a batch
    ├── LedgerUnavailable       no answer, or one that cannot be used: try again
    └── Unsupported             this kind of ledger cannot tell
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol


@dataclass(frozen=True, slots=True)
class Pending:
    """The ledger took the statement and has no receipt yet.

    ``retry_after_s`` is how long it asks to be left alone; ``location`` is where it said the receipt will be.
    ``state``: ``submitted``; on a chain also ``included`` (in a block that may still be replaced) and ``final``.
    """

    retry_after_s: float
    location: str | None = None
    state: Literal["submitted", "included", "final"] = "submitted"


class DriverNotes(Protocol):
    """What a driver must still know after a crash: one note a statement, kept until the statement is settled."""

    def keep(self, statement_id: bytes, note: bytes) -> None:
        """Write a note down; it is durable when this returns. Raises whatever its keeper raises: then do not go on."""
        ...

    def recall(self, statement_id: bytes) -> bytes | None:
        """The newest note of a statement."""
        ...

    def notes(self) -> Mapping[bytes, bytes]:
        """Every note of a statement that is not settled, by statement id."""
        ...


class Notebook:
    """A ``DriverNotes`` that ends with the process: enough where whatever is forgotten can be asked for again."""

    def __init__(self) -> None:
        self._notes: dict[bytes, bytes] = {}

    def keep(self, statement_id: bytes, note: bytes) -> None:
        """Remember a note."""
        self._notes[statement_id] = note

    def recall(self, statement_id: bytes) -> bytes | None:
        """The newest note of a statement."""
        return self._notes.get(statement_id)

    def notes(self) -> Mapping[bytes, bytes]:
        """All of them."""
        return dict(self._notes)


class Ledger(Protocol):
    """What every driver does: plain blocking calls, each bounded in time and size, safe from several threads.

    What settles a statement is handed over as bytes. Of most ledgers it is a receipt, unverified: the caller settles
    nothing before ``verify.check_receipt``. Of a chain it is a locator (``bundle.is_locator`` tells them apart,
    ``bundle.decode_locator`` reads it): the driver has seen the statement's id there, in a block that is final, and
    offline it proves nothing. Receipts go into a bundle's statement, locators into its ``anchors``.
    Every method raises ``LedgerUnavailable`` for whatever may pass by itself.
    """

    @property
    def name(self) -> str:
        """The ledger's name: the ``iss`` of its receipts."""
        ...

    def submit(self, entry: bytes) -> bytes | Pending:
        """Offer a statement (its entry: unprotected header empty); the same one again is harmless.

        Raises ``Refused`` with the ledger's own title and detail.
        """
        ...

    def lookup(self, statement_id: bytes) -> bytes | Pending | None:
        """The receipt of a statement id (SHA-256 of the entry); ``None``: the ledger does not know it."""
        ...

    def last(self, gateway: str) -> tuple[int, bytes] | None:
        """Batch number and statement id of a gateway's last statement; raises ``Unsupported``."""
        ...

    def statements(self, gateway: str, after: int) -> list[bytes]:
        """A gateway's next entries with a batch number above ``after``, in order, none when there are no more; raises
        ``Unsupported``."""
        ...

    def close(self) -> None:
        """Let go of connections and threads; no call may follow."""
        ...
