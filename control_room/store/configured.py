"""What gateways' signed configurations say of their meters, kept beside the names: records go after some days."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from control_room.judged import JudgedRecord
from control_room.store.connection import Database
from gateway.records import CONFIGURATION, GATEWAY
from ledger_client.formats.checks import is_name
from ledger_client.formats.record import Event

_KEPT: Final = {"role": str, "profile": str, "period": int, "reversed": bool, "series": str, "identity": str}
"""Facts of a meter that are kept, and what they are."""
_LONGEST: Final = 200

Configured = dict[tuple[str, str], tuple[int, dict[str, Any]]]
"""By gateway and meter: Unix ms of the event, and the facts."""


def configured(records: Iterable[JudgedRecord]) -> Configured:
    """What the events `configuration` among these records say, of each meter the newest one."""
    found: Configured = {}
    for record in records:
        body = record.body
        if record.meter != GATEWAY or not isinstance(body, Event) or body.name != CONFIGURATION:
            continue
        meters = body.fields.get("meters")
        for name, facts in meters.items() if isinstance(meters, Mapping) else ():
            key = record.gateway, name
            if is_name(name) and isinstance(facts, Mapping) and found.get(key, (-1,))[0] <= record.time_ms:
                found[key] = record.time_ms, {key: facts[key] for key in _KEPT if _fits(key, facts.get(key))}
    return found


def _fits(key: str, fact: object) -> bool:
    """Whether a fact is what it should be: a gateway signs what it likes."""
    if type(fact) is not _KEPT[key]:
        return False
    if isinstance(fact, str):
        return fact.isprintable() and len(fact) <= _LONGEST
    return isinstance(fact, int) and abs(fact) < 1 << 53


def keep(db: Database, found: Configured, meters: Mapping[tuple[str, str], int]) -> None:
    """Keep it, unless a newer one is there. ``meters``: the number of each (gateway, meter)."""
    if not found:
        return
    rows = sorted((meters[owner], time_ms, json.dumps(facts)) for owner, (time_ms, facts) in found.items())
    db.run(
        "UPDATE meters m SET configured = new.facts::jsonb, configured_at = to_timestamp(new.ms / 1000.0) "
        "FROM unnest(%s::int[], %s::int8[], %s::text[]) AS new (id, ms, facts) WHERE m.id = new.id "
        "AND (m.configured_at IS NULL OR m.configured_at <= to_timestamp(new.ms / 1000.0))",
        [row[0] for row in rows],
        [row[1] for row in rows],
        [row[2] for row in rows],
    )
