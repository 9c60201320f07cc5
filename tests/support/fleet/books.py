"""Books of a fleet: what stands in the gateways' own databases against what the control room has, record by record.

Reads both databases with SQL of its own, not by what is judged.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from gateway.config.model import Config
from gateway.storage.database import Database
from tests.support.brokers import postgres
from tests.support.fleet.site import Fleet

Key = tuple[str, str, bytes, int]
"""Gateway, meter, epoch, number."""

_STORED = """
    SELECT g.name, m.name, e.epoch, r.seq, r.hash, r.bytes FROM meterseal.records r
    JOIN meterseal.meters m ON m.id = r.meter JOIN meterseal.gateways g ON g.id = m.gateway
    JOIN meterseal.epochs e ON e.id = r.epoch
"""
_COUNTED = """
    SELECT g.name, m.name, e.epoch, lower(s), upper(s) FROM meterseal.ranges r
    JOIN meterseal.meters m ON m.id = r.meter JOIN meterseal.gateways g ON g.id = m.gateway
    JOIN meterseal.epochs e ON e.id = r.epoch, unnest(r.seqs) s
"""
_PROVEN = """
    SELECT g.name, b.batch, b.size FROM meterseal.batches b JOIN meterseal.gateways g ON g.id = b.gateway
    WHERE b.state = 'proven'
"""


@dataclass(frozen=True, slots=True)
class Sealed:
    """What a gateway has sealed so far: its newest batch, and the hash of each record in its batches."""

    gateway: str
    batch: int
    records: dict[Key, bytes]


@dataclass(frozen=True, slots=True)
class Books:
    """``recorded`` at the edges in sealed batches; of these ``stored`` and ``proven``; and what is wrong: ``lost`` (not
    stored, or in no range), ``changed`` (other bytes), ``doubled`` (rows with one number), ``holes``, ``refused``."""

    recorded: int
    stored: int
    proven: int
    lost: int
    changed: int
    doubled: int
    invented: int
    holes: int
    refused: int
    forked: int
    batches: int

    @property
    def closed(self) -> bool:
        """Whether everything is there, once, and proven."""
        wrong = self.lost + self.changed + self.doubled + self.invented + self.holes + self.refused + self.forked
        return wrong == 0 and self.recorded == self.stored == self.proven > 0


def sealed(loaded: Config) -> Sealed:
    """What a gateway has sealed by now; it may be running."""
    store = Database(loaded.database, read_only=True)
    try:
        last = store.batches.last()
        rows = store.records.rows(1, last.last_id) if last else []
        name = loaded.gateway_id
        hashes = {(name, row.meter, row.epoch, row.seq): hashlib.sha256(row.data).digest() for row in rows}
        return Sealed(name, last.batch if last else -1, hashes)
    finally:
        store.close()


def proven(database: postgres.Database) -> dict[str, dict[int, int]]:
    """Of each gateway its proven batches, with their sizes."""
    found: dict[str, dict[int, int]] = {}
    for gateway, batch, size in database.query(_PROVEN):
        found.setdefault(gateway, {})[batch] = size
    return found


def is_proven(database: postgres.Database, until: list[Sealed]) -> bool:
    """Whether every batch of each gateway up to these is proven."""
    found = proven(database)
    return all(one.batch >= 0 and set(range(one.batch + 1)) <= found.get(one.gateway, {}).keys() for one in until)


def books(made: Fleet, until: list[Sealed]) -> Books:
    """The books up to these batches, each gateway's; what came in afterwards is compared with nothing but counted for
    doubles."""
    recorded = {key: hash_ for one in until for key, hash_ in one.records.items()}
    stored: dict[Key, bytes] = {}
    doubled = 0
    for gateway, meter, epoch, seq, hash_, data in made.database.query(_STORED):
        key = gateway, meter, bytes(epoch), seq
        doubled += key in stored
        stored[key] = bytes(hash_) if hashlib.sha256(data).digest() == bytes(hash_) else b""
    counted = {
        (gateway, meter, bytes(epoch), seq)
        for gateway, meter, epoch, first, end in made.database.query(_COUNTED)
        for seq in range(first, end)
    }
    now = {key for edge in made.edges for key in _all_keys(edge.loaded)}
    found = proven(made.database)
    return Books(
        recorded=len(recorded),
        stored=len(recorded.keys() & stored.keys()),
        proven=sum(size for one in until for batch, size in found.get(one.gateway, {}).items() if batch <= one.batch),
        lost=len(recorded.keys() - (stored.keys() & counted)),
        changed=sum(stored.get(key, hash_) != hash_ for key, hash_ in recorded.items()),
        doubled=doubled,
        invented=len((stored.keys() | counted) - now),
        holes=_count(made, "holes WHERE closed IS NULL"),
        refused=_count(made, "refused"),
        forked=_count(made, "forks"),
        batches=sum(one.batch + 1 for one in until),
    )


def _all_keys(loaded: Config) -> set[Key]:
    store = Database(loaded.database, read_only=True)
    try:
        rows = store.records.rows(1, 1 << 60)
        return {(loaded.gateway_id, row.meter, row.epoch, row.seq) for row in rows}
    finally:
        store.close()


def _count(made: Fleet, what: str) -> int:
    ((count,),) = made.database.query(f"SELECT count(*) FROM meterseal.{what}")
    return int(count)


def holes(made: Fleet) -> list[tuple[Any, ...]]:
    """The open holes, for whoever looks why."""
    return made.database.query("SELECT * FROM meterseal.holes WHERE closed IS NULL")
