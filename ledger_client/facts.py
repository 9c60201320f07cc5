"""What asking ledgers has brought out: besides bundle, trust file and time the only thing that a verification takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ledger_client.bundle import Locator
from ledger_client.errors import VerificationError


@dataclass(frozen=True, slots=True)
class Placed:
    """A chain holds this statement id where a locator says, in a final block of this time (Unix seconds).

    ``shared``: under a root that a bridge wrote for many gateways; their order was the bridge's duty.
    """

    statement_id: bytes
    time: int
    shared: bool


@dataclass(frozen=True, slots=True)
class InLog:
    """A ledger's log, which had so many entries at ``time`` (Unix seconds), has only grown since it gave a receipt."""

    entries: int
    time: int


@dataclass(frozen=True, slots=True)
class Facts:
    """Of each locator and each receipt that was asked about: what its ledger holds, why it does not count, or why
    nobody could tell. A receipt is known by its bytes."""

    places: Mapping[Locator, Placed | VerificationError | str] = field(default_factory=dict)
    logs: Mapping[bytes, InLog | VerificationError | str] = field(default_factory=dict)


NOTHING_ASKED = Facts()
