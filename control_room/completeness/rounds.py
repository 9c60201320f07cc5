"""Rounds over the batches of which something has changed: a bounded number in each, of any gateways, the ones first
that wait longest. What a look at one batch comes to: ``look.py``."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final, NamedTuple

from control_room.archive.files import Archive
from control_room.completeness import verdict
from control_room.completeness.look import Context, Look
from control_room.errors import ArchiveError, DatabaseBusy, Unstorable
from control_room.store import asking, holes, statements
from control_room.store.connection import Database
from control_room.store.raised import set_raised
from gateway.messages.message import Message
from ledger_client import messages
from ledger_client.verification.trust import Trust

log = logging.getLogger("meterseal.control.completeness")

MOST: Final = 100
"""Batches of a round."""
LEASE_MS: Final = 60_000
PUT_OFF_MS: Final = 600_000
_GONE: Final[Mapping[str | None, Message]] = {
    None: Message("control-gone-not"),
    "pruned": Message("control-gone-pruned"),
    "lost": Message("control-gone-lost"),
    "unknown": Message("control-gone-unknown"),
}


class Round(NamedTuple):
    """What a round came to: batches that it looked at, those that are newly proven, whether there is more to do."""

    looked: int = 0
    proven: int = 0
    more: bool = False


class Rounds:
    """Looks at batches, through one connection. One thread."""

    def __init__(self, db: Database, archive: Archive) -> None:
        self._db, self._archive = db, archive
        self._trust: Trust | None = None
        self._meters: frozenset[tuple[str, str]] = frozenset()

    def round(self, trust: Trust, now_ms: int, most: int = MOST) -> Round:
        """Look at the batches that are to be looked at. Raises DatabaseError: those that are left are looked at again
        when their lease is over."""
        self._know(trust)
        db, lease_ms = self._db, now_ms + LEASE_MS
        context = Context(db, self._archive, trust, self._meters, now_ms, lease_ms)
        noticed = asking.notice(db, now_ms, holes.MOST)
        keys = statements.claim(db, now_ms, lease_ms, most)
        looked = proven = 0
        failure: ArchiveError | None = None
        for key in keys:
            try:
                proven += Look(context, key).run()
                looked += 1
            except ArchiveError as error:
                failure = error
                break  # the next one would not be written either; the leases end in a minute
            except (DatabaseBusy, Unstorable) as error:  # this one alone: the others are looked at
                log.warning("batch %s of gateway %s: %s", key.batch, key.gateway, error)
                statements.put_off(db, key, lease_ms, now_ms + PUT_OFF_MS)
        for gateway in sorted({key.gateway for key in keys}):
            self.raise_alarms(gateway, now_ms)
        if failure is not None or proven:
            active = {} if failure is None or failure.message is None else {verdict.ARCHIVE_FAILED: failure.message}
            set_raised(db, None, [verdict.ARCHIVE_FAILED], active, now_ms)
        asking.forget(db, now_ms, holes.MOST)
        return Round(looked, proven, failure is None and bool(keys or noticed == holes.MOST))

    def look(
        self, gateway: str, batch: int, trust: Trust, now_ms: int
    ) -> dict[bytes, tuple[str, messages.Message | None]]:
        """Look at what there is under a number now, whoever else does; by statement its state and what is to be seen
        of it. Raises DatabaseError, ArchiveError."""
        self._know(trust)
        lease_ms = now_ms + LEASE_MS
        context = Context(self._db, self._archive, trust, self._meters, now_ms, lease_ms)
        keys = statements.claim_those(self._db, gateway, batch, lease_ms)
        for key in keys:
            Look(context, key).run()
        for number in {key.gateway for key in keys}:
            self.raise_alarms(number, now_ms)
        found = statements.states(self._db, keys)
        return {key.statement_id: (state, Message.from_fields(why or {})) for key, (state, why) in found.items()}

    def raise_alarms(self, gateway: int, now_ms: int) -> None:
        """Have the alarms of a gateway say what its batches say."""
        active = {
            alarm: Message("control-batches", n=n, batch=batch, why=Message.from_fields(why) or "")
            for alarm, (n, batch, why) in statements.faults(self._db, gateway).items()
        }
        if (missing := holes.batches_missing(self._db, gateway)) is not None:
            n, first, gone = missing
            active[verdict.BATCHES_MISSING] = Message("control-batches-missing", n=n, batch=first, why=_GONE[gone])
        set_raised(self._db, gateway, verdict.OF_GATEWAYS, active, now_ms)

    def _know(self, trust: Trust) -> None:
        if trust is not self._trust:
            self._meters = frozenset((k.gateway, k.meter) for k in trust.keys if k.gateway and k.meter)
            self._trust = trust
