"""What metrics need of the intake beside the fleet: what was refused in all, and what waits at the broker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from control_room.store.connection import Database


@dataclass(frozen=True, slots=True)
class Intake:
    """``refused``: since the database was made; ``refused_of``: of those that are kept, by the name in the topic;
    ``receivers``: of each that runs its name, the messages that wait at the broker, and those that it holds."""

    refused: int
    refused_of: Mapping[str, int]
    receivers: tuple[tuple[str, int, int], ...]


def intake(db: Database, now_ms: int, alive_s: int) -> Intake:
    """How the intake stands at ``now_ms`` (Unix ms). ``alive_s``: a receiver that was not seen for so long does not
    run."""
    row = db.one("SELECT n FROM counters WHERE name = 'refused'")
    of = {row[0]: row[1] for row in db.all("SELECT gateway, count(*) FROM refused GROUP BY gateway")}
    receivers = db.all(
        "SELECT name, pending, held FROM receivers WHERE seen > to_timestamp(%s / 1000.0) - %s * interval '1 s'",
        now_ms,
        alive_s,
    )
    return Intake(0 if row is None else row[0], of, tuple((name, pending, held) for name, pending, held in receivers))
