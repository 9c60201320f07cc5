"""Alarms: those of the gateways and those raised here, listed and acknowledged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, LiteralString

from control_room.store.connection import Database

_LIST: Final[LiteralString] = """
SELECT a.id, g.name, a.source, a.meter, a.code, a.line, a.text, a.message,
    (extract(epoch FROM a.since) * 1000)::bigint, (extract(epoch FROM a.raised) * 1000)::bigint,
    (extract(epoch FROM a.cleared) * 1000)::bigint, (extract(epoch FROM a.acked) * 1000)::bigint,
    a.acked_by, a.acked_note
FROM alarms a LEFT JOIN gateways g ON g.id = a.gateway
WHERE a.raised IS NOT NULL AND (%(before)s::bigint IS NULL OR a.id < %(before)s)
    AND (%(gateway)s::text IS NULL OR g.name = %(gateway)s) AND (%(meter)s::text IS NULL OR a.meter = %(meter)s)
    AND (%(all)s OR a.cleared IS NULL OR a.acked IS NULL)
    AND (%(id)s::bigint IS NULL OR a.id = %(id)s)
ORDER BY a.id DESC LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """An alarm. ``gateway`` None: of the control room as a whole; ``source``: "gateway" where a gateway raised it,
    "control" where it was raised here; ``message``: code and facts of its text, where they are known. Times are Unix
    ms."""

    id: int
    gateway: str | None
    source: str
    meter: str
    code: str
    line: str
    text: str
    message: Mapping[str, Any] | None
    since_ms: int | None
    raised_ms: int
    cleared_ms: int | None
    acked_ms: int | None
    acked_by: str | None
    acked_note: str | None


def alarms(
    db: Database,
    limit: int,
    *,
    before: int | None = None,
    gateway: str | None = None,
    meter: str | None = None,
    over: bool = False,
) -> list[AlarmRow]:
    """Alarms, newest first: those that are active or that nobody has acknowledged here; with ``over`` all of them."""
    return _listed(db, limit, before=before, gateway=gateway, meter=meter, over=over)


def alarm(db: Database, number: int) -> AlarmRow | None:
    """One alarm by its number."""
    found = _listed(db, 1, number=number, over=True)
    return found[0] if found else None


def _listed(
    db: Database,
    limit: int,
    *,
    before: int | None = None,
    gateway: str | None = None,
    meter: str | None = None,
    over: bool,
    number: int | None = None,
) -> list[AlarmRow]:
    asked = {"before": before, "gateway": gateway, "meter": meter, "all": over, "id": number, "limit": limit}
    return [AlarmRow(*row) for row in db.named(_LIST, asked)]


def unacknowledged(db: Database) -> int:
    """How many alarms are active or over, and nobody has acknowledged them here."""
    row = db.one("SELECT count(*) FROM alarms WHERE acked IS NULL AND raised IS NOT NULL")
    return 0 if row is None else int(row[0])


def acknowledge(db: Database, number: int, by: str, note: str, now_ms: int) -> bool:
    """Note that somebody has seen an alarm, and what they wrote; False: there is none, or somebody has before. No
    gateway hears of it."""
    return bool(
        db.run(
            "UPDATE alarms SET acked = to_timestamp(%s / 1000.0), acked_by = %s, acked_note = %s "
            "WHERE id = %s AND acked IS NULL",
            now_ms, by, note, number,
        )
    )  # fmt: skip
