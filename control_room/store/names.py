"""Numbers of names: gateways, their meters and epochs.

They are made in statements of their own, each of which is kept at once: a portion that then fails leaves names without
records, which harms nobody, and no portion ever waits for another one's names. Rows never go, so what was found once
holds for as long as the connection: a database that was put back to yesterday ends it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, NamedTuple, TypeVar

from control_room.store.connection import Database

K = TypeVar("K", bound=Any)
V = TypeVar("V")
_MOST: Final = 1_000_000
"""Names of a kind that are remembered; whoever has more asks again."""

Owner = tuple[str, str, bytes]
"""Gateway, meter and epoch of a record."""


class Chain(NamedTuple):
    """The records of one meter in one epoch: numbers of its gateway, meter and epoch."""

    gateway: int
    meter: int
    epoch: int


class Names:
    """What is known of one database, through one connection; names that are new get a number."""

    def __init__(self, db: Database) -> None:
        self._db = db
        self._gateways: dict[str, int] = {}
        self._meters: dict[tuple[int, str], int] = {}
        self._epochs: dict[tuple[int, bytes], int] = {}
        self._chains: dict[Owner, Chain] = {}

    def gateways(self, names: Collection[str]) -> dict[str, int]:
        """The number of each gateway."""
        return _found(self._gateways, names, self._find_gateways)

    def meters(self, owners: Collection[tuple[str, str]]) -> dict[tuple[str, str], int]:
        """The number of each (gateway, meter)."""
        gateways = self.gateways({gateway for gateway, _ in owners})
        found = _found(self._meters, {(gateways[g], meter) for g, meter in owners}, self._find_meters)
        return {(g, meter): found[gateways[g], meter] for g, meter in owners}

    def epochs(self, owners: Collection[tuple[str, bytes]]) -> dict[tuple[str, bytes], int]:
        """The number of each (gateway, epoch)."""
        gateways = self.gateways({gateway for gateway, _ in owners})
        found = _found(self._epochs, {(gateways[g], epoch) for g, epoch in owners}, self._find_epochs)
        return {(g, epoch): found[gateways[g], epoch] for g, epoch in owners}

    def chains(self, owners: Collection[Owner]) -> dict[Owner, Chain]:
        """The numbers of each owner, which has a row in ``ranges``."""
        return _found(self._chains, owners, self._find_chains)

    def _find_gateways(self, names: list[str]) -> dict[str, int]:
        self._db.run(
            "INSERT INTO gateways (name) SELECT unnest(%s::text[]) EXCEPT SELECT name FROM gateways ORDER BY 1 "
            "ON CONFLICT DO NOTHING",
            names,
        )
        return dict(self._db.all("SELECT name, id FROM gateways WHERE name = ANY(%s)", names))

    def _find_meters(self, owners: list[tuple[int, str]]) -> dict[tuple[int, str], int]:
        gateways, names = [gateway for gateway, _ in owners], [name for _, name in owners]
        self._db.run(
            "INSERT INTO meters (gateway, name) SELECT * FROM unnest(%s::int[], %s::text[]) "
            "EXCEPT SELECT gateway, name FROM meters WHERE gateway = ANY(%s) ORDER BY 1, 2 ON CONFLICT DO NOTHING",
            gateways,
            names,
            sorted(set(gateways)),
        )
        rows = self._db.all(
            "SELECT gateway, name, id FROM meters "
            "JOIN unnest(%s::int[], %s::text[]) AS wanted (gateway, name) USING (gateway, name)",
            gateways,
            names,
        )
        return {(gateway, name): number for gateway, name, number in rows}

    def _find_epochs(self, owners: list[tuple[int, bytes]]) -> dict[tuple[int, bytes], int]:
        gateways, epochs = [gateway for gateway, _ in owners], [epoch for _, epoch in owners]
        self._db.run(
            "INSERT INTO epochs (gateway, epoch) SELECT * FROM unnest(%s::int[], %s::bytea[]) "
            "EXCEPT SELECT gateway, epoch FROM epochs WHERE gateway = ANY(%s) ORDER BY 1, 2 ON CONFLICT DO NOTHING",
            gateways,
            epochs,
            sorted(set(gateways)),
        )
        rows = self._db.all(
            "SELECT gateway, epoch, id FROM epochs "
            "JOIN unnest(%s::int[], %s::bytea[]) AS wanted (gateway, epoch) USING (gateway, epoch)",
            gateways,
            epochs,
        )
        return {(gateway, epoch): number for gateway, epoch, number in rows}

    def _find_chains(self, owners: list[Owner]) -> dict[Owner, Chain]:
        gateways = self.gateways({gateway for gateway, _, _ in owners})
        meters = self.meters({(gateway, meter) for gateway, meter, _ in owners})
        epochs = self.epochs({(gateway, epoch) for gateway, _, epoch in owners})
        found = {
            (gateway, meter, epoch): Chain(gateways[gateway], meters[gateway, meter], epochs[gateway, epoch])
            for gateway, meter, epoch in owners
        }
        pairs = sorted((chain.meter, chain.epoch) for chain in found.values())
        self._db.run(
            "INSERT INTO ranges (meter, epoch) SELECT * FROM unnest(%s::int[], %s::int[]) "
            "EXCEPT SELECT meter, epoch FROM ranges WHERE meter = ANY(%s) ORDER BY 1, 2 ON CONFLICT DO NOTHING",
            [meter for meter, _ in pairs],
            [epoch for _, epoch in pairs],
            sorted({meter for meter, _ in pairs}),
        )
        return found


def _found(known: dict[K, V], wanted: Collection[K], find: Callable[[list[K]], dict[K, V]]) -> dict[K, V]:
    """What is wanted, found where it is not known yet."""
    if new := sorted(set(wanted) - known.keys()):
        if len(known) + len(new) > _MOST:
            known.clear()
            new = sorted(set(wanted))
        known |= find(new)
    return {key: known[key] for key in wanted}
