"""Online facts: what ledgers hold of a statement, its receipts and locators; input of ``verify``. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ledger_client.errors import VerificationError
from ledger_client.formats.bundle import Locator


@dataclass(frozen=True, slots=True)
class ChainFact:
    """A chain holds this statement id where a locator says, in a final block of this time (Unix seconds).

    ``shared``: under a root that a bridge wrote for many gateways; their order was the bridge's duty.
    """

    statement_id: bytes
    time: int
    shared: bool


@dataclass(frozen=True, slots=True)
class LogFact:
    """A ledger's log, which had so many entries at ``time`` (Unix seconds), has only grown since it gave a receipt."""

    entries: int
    time: int


@dataclass(frozen=True, slots=True)
class Held:
    """What a ledger holds under a batch number of a gateway: a statement id, or None where it has none.

    ``by`` is the kid that signed that statement (None: a chain does not say); ``last`` the highest number that it has
    of the gateway, where it has none of this number (None: no other either). ``shared``: there may be more under the
    roots that a bridge wrote, which nobody can ask for by number.
    """

    gateway: str
    batch: int
    statement_id: bytes | None
    by: bytes | None = None
    last: int | None = None
    shared: bool = False


@dataclass(frozen=True, slots=True)
class OnlineFacts:
    """Of each locator and each receipt that was asked about: what its ledger holds, why it does not count, or why
    nobody could tell. A receipt, and the note of a cosigned head, is known by its bytes.

    ``held``: of each ledger of the policy what it holds under the statement's number, in each way in which it was
    asked, or why the ledger gave no answer; ``all_asked``: whether each of them must have been asked.
    """

    places: Mapping[Locator, ChainFact | VerificationError | str] = field(default_factory=dict)
    logs: Mapping[bytes, LogFact | VerificationError | str] = field(default_factory=dict)
    held: Mapping[str, Sequence[Held | str]] = field(default_factory=dict)
    all_asked: bool = False


NOTHING_ASKED = OnlineFacts()
