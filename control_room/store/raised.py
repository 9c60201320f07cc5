"""Alarms that the control room raises itself, of a gateway or of itself as a whole."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from psycopg.types.json import Jsonb

from control_room.store.connection import Database
from control_room.store.spans import AT
from ledger_client.messages import Message


def set_raised(
    db: Database, gateway: int | None, kinds: Collection[str], active: Mapping[str, Message], now_ms: int,
    line: str = "",
) -> None:  # fmt: skip
    """Of these kinds, and of one line, have these alarms raised, each with its message as it is now, and the others
    cleared."""
    with db.transaction():
        db.run(
            f"UPDATE alarms SET cleared = {AT} WHERE gateway IS NOT DISTINCT FROM %s AND source = 'control' "
            "AND line = %s AND code = ANY(%s) AND code <> ALL(%s) AND cleared IS NULL",
            now_ms, gateway, line, sorted(kinds), sorted(active),
        )  # fmt: skip
        for kind, message in sorted(active.items()):
            db.run(
                "INSERT INTO alarms AS a (gateway, source, code, line, text, message, since, raised) "
                f"VALUES (%s, 'control', %s, %s, %s, %s, {AT}, {AT}) "
                "ON CONFLICT (gateway, source, meter, code, line) WHERE cleared IS NULL DO UPDATE "
                "SET text = excluded.text, message = excluded.message "
                "WHERE a.message IS DISTINCT FROM excluded.message",
                gateway, kind, line, str(message), Jsonb(message.to_fields()), now_ms, now_ms,
            )  # fmt: skip
