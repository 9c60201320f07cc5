"""What signed events say of meters and of a gateway's clock, kept beside the names: records go after some days."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from control_room.judged import JudgedRecord
from control_room.store.connection import Database
from gateway.records import CONFIGURATION, GATEWAY
from ledger_client.formats.record import Event, parse_record

_KEPT: Final = {"role": str, "profile": str, "period": int, "reversed": bool, "series": str, "identity": str}
"""Facts of a meter that are kept, and what they are."""


def note(db: Database, records: Iterable[JudgedRecord]) -> None:
    """Take in what some new records say. Within the transaction that stores them, behind all other rows."""
    newest: dict[str, JudgedRecord] = {}
    configured: dict[tuple[str, str], tuple[int, str]] = {}
    for record in records:
        before = newest.get(record.gateway)
        if before is None or record.time_ms >= before.time_ms:
            newest[record.gateway] = record
        if record.meter == GATEWAY and isinstance(record.body, Event) and record.body.name == CONFIGURATION:
            for meter, facts in _meters(record.body).items():
                at, _ = configured.get((record.gateway, meter), (-1, ""))
                if record.time_ms >= at:
                    configured[record.gateway, meter] = record.time_ms, json.dumps(facts)
    if configured:
        db.run_each(
            "INSERT INTO meters (gateway, name, configured, configured_at) "
            "SELECT id, %s, %s::jsonb, to_timestamp(%s / 1000.0) FROM gateways WHERE name = %s "
            "ON CONFLICT (gateway, name) DO UPDATE SET configured = excluded.configured, "
            "configured_at = excluded.configured_at "
            "WHERE meters.configured_at IS NULL OR meters.configured_at <= excluded.configured_at",
            [(meter, facts, at, gateway) for (gateway, meter), (at, facts) in sorted(configured.items())],
        )
    db.run_each(
        "UPDATE gateways SET clock = %s WHERE name = %s AND (newest IS NULL OR newest <= to_timestamp(%s / 1000.0))",
        [(parse_record(one.data).claims.clock, name, one.time_ms) for name, one in sorted(newest.items())],
    )


def _meters(event: Event) -> Mapping[str, Mapping[str, Any]]:
    """The facts of each meter that have the kind which they should have: a gateway signs what it likes."""
    meters = event.fields.get("meters")
    found = {}
    for name, facts in meters.items() if isinstance(meters, Mapping) else ():
        if isinstance(name, str) and isinstance(facts, Mapping):
            found[name] = {key: facts[key] for key, kind in _KEPT.items() if type(facts.get(key)) is kind}
    return found
