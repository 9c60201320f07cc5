"""Books of certificates: what a node has produced by its registers, and what became of each Wh of it, exactly. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from decimal import Decimal
from typing import Any

from gateway.accounting.statements import summary
from ledger_client.accounting.formats import words
from ledger_client.accounting.formats.plan import Plan
from ledger_client.accounting.formats.rows import Row
from ledger_client.claims.certificate import EXPORTED, HELD, RETIRED, WITHDRAWN

MILLI = 1000


@dataclass(frozen=True, slots=True)
class Books:
    """Of a node in 10⁻³ Wh: ``produced`` by its registers; of its rows ``certified``, ``rounded_off`` (N4),
    ``not_certifiable`` (their status or the plan forbids it, or nobody asked), ``unallocated`` (I5); of the certified
    what is ``held``, ``retired``, ``exported``, ``withdrawn`` at the registry."""

    node: str
    produced: int
    certified: int
    rounded_off: int
    not_certifiable: int
    unallocated: int
    held: int
    retired: int
    exported: int
    withdrawn: int

    @property
    def closed(self) -> bool:
        """Whether nothing is lost, and nothing there twice."""
        of_rows = self.certified + self.rounded_off + self.not_certifiable + self.unallocated
        of_units = self.held + self.retired + self.exported + self.withdrawn
        return self.produced == of_rows and self.certified == of_units and self.rounded_off >= 0

    def as_json(self) -> dict[str, Any]:
        """Each figure in Wh as text with all its places."""
        plain = {name: str(Decimal(value).scaleb(-3)) for name, value in self._amounts().items()}
        return {"node": self.node, **plain, "closed": self.closed}

    def _amounts(self) -> dict[str, int]:
        return {name: value for name, value in asdict(self).items() if name != "node"}

    def lines(self) -> Iterator[str]:
        """The two equations."""
        wh = {name: summary.amount(value) for name, value in self._amounts().items()}
        yield f"{self.node}: produced {wh['produced']} Wh"
        yield (
            f"   = certified {wh['certified']} + rounded off {wh['rounded_off']} + not certifiable "
            f"{wh['not_certifiable']} + unallocated {wh['unallocated']}"
        )
        yield f"   certified {wh['certified']} Wh"
        yield (
            f"   = held {wh['held']} + retired {wh['retired']} + exported {wh['exported']} + withdrawn "
            f"{wh['withdrawn']}"
        )
        yield f"   the books {'close, exactly' if self.closed else 'DO NOT CLOSE'}"


def certified_books(plan: Plan, node: str, rows: Sequence[Row], shown: Iterable[Mapping[str, Any]]) -> Books:
    """The books of a node of the plan: its rows of the last statement, and all certificates of its device as the
    registry shows them (``certificate list --json``)."""
    units: dict[tuple[int, int], int] = {}
    by_status = dict.fromkeys((HELD, RETIRED, EXPORTED, WITHDRAWN), 0)
    for one in shown:
        interval = one["from"], one["to"]
        units[interval] = units.get(interval, 0) + one["units"]
        for part in one["slices"]:
            by_status[part["status"]] += part["to"] - part["from"]
    rounded = forbidden = unallocated = 0
    for row in rows:
        if row.node == node:
            issued = units.get((row.from_ms, row.to_ms))
            energy = row.amount or 0
            if issued is not None:
                rounded += energy - issued * MILLI
            elif row.status == words.UNALLOCATED:
                unallocated += energy
            else:
                forbidden += energy
    produced = sum(one.energy for one in summary.balances(plan, rows) if one.node == node)
    shares = {status: wh * MILLI for status, wh in by_status.items()}
    certified = sum(units.values()) * MILLI
    return Books(node, produced, certified, rounded, forbidden, unallocated, **shares)
